//! The board that calls its host, follows it, erases flash and leaves.

use std::thread;
use std::time::{Duration, Instant as Clock};

use netchan::proto::{Fault, Reason};
use netchan::{Latest, LinkError, Node, Peer, Receiver, RecvError, Request, Sender, Server};
use netchan_firmware_app::{Block, block};
use netchan_firmware_programs::update::{CONFIG, Order, Report, Seen};

use super::{PATIENCE, Said, is_over, word};
use crate::cable::Cable;

/// An erase, which is longer than the line's dead-time.
const ERASE: Duration = Duration::from_secs(3);
/// How long the board is away.
const AWAY: Duration = Duration::from_millis(1500);
/// A loss is told within the dead-time and a quarter; and this for the order, and for what is under way to be told.
const SPARE: Duration = Duration::from_millis(250);
/// Blocks in each direction before something happens, and after it.
const BLOCKS: u32 = 100;
const SETTINGS: u32 = 500;
/// Calls that are never answered, more than the board has room for answers; and how long it waits for each.
const UNANSWERED: u32 = 5;
const SHORT: Duration = Duration::from_millis(300);

pub(super) fn tell(cable: &mut Cable, said: &mut Said) -> Result<(), String> {
    let mut host = Host::plug(cable)?;
    ask(&mut host)?;
    said.ok("it calls its host, gives up a call in time, of which the host is told, and gets the answer to the next one");
    for n in 1..=SETTINGS {
        word("a setting", host.setting.set(n))?;
    }
    let mut seen = host.seen()?;
    while seen.setting != SETTINGS {
        seen = host.seen()?;
    }
    host.has_seen("the settings", |seen| seen.backward == 0)?;
    said.ok(format!("it sees the last of {SETTINGS} settings"));

    announced(&mut host, said)?;
    let mut host = unannounced(host, cable, said)?;
    host = leave(host, cable, said)?;
    let reached = never_answered(&mut host)?;
    said.ok(format!(
        "of {UNANSWERED} calls that are never answered {reached} reach the host, and all end in time; and at once when it has the method no more"
    ));

    cable.reset()?;
    is_over(host.reports.recv().timeout(PATIENCE).wait(), Reason::PeerRestarted)?;
    let mut host = Host::plug(cable)?;
    host.has_seen("a reset", |seen| (seen.lost, seen.interrupted, seen.loaded) == (0, 0, 0))?;
    ask(&mut host)?;
    said.ok("a reset is told, and it begins anew");
    Ok(())
}

/// Calls, of which the second one is not answered in time.
fn ask(host: &mut Host) -> Result<(), String> {
    host.answer(7)?;
    let begin = Clock::now();
    host.order(Order::Ask { number: 8, patience_ms: SHORT.as_millis() as u32 })?;
    let request = host.request(8)?;
    while !request.is_cancelled() && begin.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(1));
    }
    // Two clocks: the board's ticks are a millisecond long, and an emulator's are not quite the host's.
    if !request.is_cancelled() || begin.elapsed() < SHORT * 9 / 10 {
        return Err(format!("a call is to be given up after {SHORT:?}, and not after {:?}", begin.elapsed()));
    }
    // It is too late, and is not for the next call.
    word("a late answer", request.reply(0).timeout(PATIENCE).wait())?;
    host.is_late()?;
    host.answer(9)
}

/// The host takes calls and never answers: each ends in time, those too that it is not told of, for there is room for so many
/// answers. And it gives the method up: calls end at once.
fn never_answered(host: &mut Host) -> Result<usize, String> {
    let mut held = Vec::new();
    for number in 0..UNANSWERED {
        host.order(Order::Ask { number, patience_ms: SHORT.as_millis() as u32 })?;
        host.is_late()?;
        held.extend(host.permit.try_recv());
    }
    let reached = held.len();
    if reached == 0 || reached == UNANSWERED as usize {
        return Err(format!("{reached} calls of {UNANSWERED} have reached the host"));
    }
    drop(held);
    host.answer(10)?;
    host.permit = word("another permit", Node::new("nobody").export("permit"))?;
    let begin = Clock::now();
    host.order(Order::Ask { number: 11, patience_ms: PATIENCE.as_millis() as u32 })?;
    match host.report("the report of a method that was given up")? {
        Report::Refused(_) if begin.elapsed() < PATIENCE / 10 => Ok(reached),
        report => Err(format!("a method that was given up: {report:?} after {:?}", begin.elapsed())),
    }
}

fn announced(host: &mut Host, said: &mut Said) -> Result<(), String> {
    let mut bulk = Bulk::begin(host)?;
    bulk.pass(BLOCKS)?;
    host.order(Order::Erase { ms: ERASE.as_millis() as u32, is_announced: true })?;
    let (begin, mut is_quiet) = (Clock::now(), false);
    while begin.elapsed() < ERASE {
        word("blocks beside an erase", bulk.step())?;
        is_quiet |= host.peer.is_quiet();
    }
    bulk.pass(BLOCKS)?;
    // Less what was under way when it began.
    if bulk.pause < ERASE * 9 / 10 || !is_quiet {
        return Err(format!("it was not silent: {:?} at most, {is_quiet}", bulk.pause));
    }
    let (came, pause) = (bulk.came, bulk.pause);
    let sent = bulk.end()?;
    host.has_seen("an announced erase", |seen| {
        (seen.loaded, seen.wrong, seen.lost, seen.interrupted) == (sent, 0, 0, 0)
    })?;
    said.ok(format!(
        "it announces an erase of {ERASE:?} among {came} blocks from it and {sent} to it: a pause of {} ms, and none is lost",
        pause.as_millis()
    ));
    Ok(())
}

fn unannounced(mut host: Host, cable: &mut Cable, said: &mut Said) -> Result<Host, String> {
    let mut bulk = Bulk::begin(&mut host)?;
    bulk.pass(BLOCKS)?;
    host.order(Order::Erase { ms: ERASE.as_millis() as u32, is_announced: false })?;
    let begin = Clock::now();
    let error = bulk.until_told()?;
    let took = begin.elapsed();
    let most = Duration::from_millis(CONFIG.line().dead_ms.into()) * 5 / 4 + SPARE;
    let down = host.peer.down().timeout(PATIENCE).wait();
    let is_silence = matches!(down, LinkError::Fault(Fault::Unresponsive | Fault::Unacknowledged));
    if !is_silence || took > most {
        return Err(format!("an erase that was not announced is told after {took:?} as: {error} ({down})"));
    }
    let host = told_both(&bulk, cable, 1)?;
    said.ok(format!("one that it does not announce is told after {} ms: {error} ({down})", took.as_millis()));
    Ok(host)
}

fn leave(mut host: Host, cable: &mut Cable, said: &mut Said) -> Result<Host, String> {
    let mut bulk = Bulk::begin(&mut host)?;
    bulk.pass(BLOCKS)?;
    host.order(Order::Leave { away_ms: AWAY.as_millis() as u32 })?;
    let error = bulk.until_told()?;
    let left = Clock::now();
    is_over::<()>(Err(error), Reason::Shutdown)?;
    let down = host.peer.down().timeout(PATIENCE).wait();
    if down != LinkError::Fault(Fault::Goodbye(Reason::Shutdown)) {
        return Err(format!("a goodbye was taken for: {down}"));
    }
    let mut host = told_both(&bulk, cable, 2)?;
    let back = left.elapsed();
    if back < AWAY * 9 / 10 {
        return Err(format!("it was to be away for {AWAY:?}, and was for {back:?}"));
    }
    host.has_seen("its own goodbye", |seen| seen.reason == Reason::Shutdown.get())?;
    said.ok(format!(
        "it leaves in the middle of that for {AWAY:?}, all adds up, and it is back after {} ms",
        back.as_millis()
    ));
    Ok(host)
}

/// A session with a bulk transfer has ended: what this side says of it is what the board says when it is back, which has been
/// told of so many ends.
fn told_both(bulk: &Bulk, cable: &mut Cable, ends: u32) -> Result<Host, String> {
    let account = bulk.load.account();
    if account.confirmed + account.in_doubt + account.unsent != u64::from(bulk.sent) {
        return Err(format!("{} blocks were sent, and {account:?}", bulk.sent));
    }
    let mut host = Host::plug(cable)?;
    let came = bulk.came;
    host.has_seen("the end of a session", |seen| {
        let (confirmed, in_doubt, _) = seen.dumped;
        let loaded = u64::from(seen.loaded);
        (account.confirmed..=account.confirmed + account.in_doubt).contains(&loaded)
            && (confirmed..=confirmed + in_doubt).contains(&came)
            && (seen.wrong, seen.lost, seen.interrupted) == (0, ends, ends)
    })
    .map_err(|error| format!("{error}; {came} came, {account:?}"))?;
    Ok(host)
}

/// The board's host.
struct Host {
    /// Its exports live as long as it does.
    _node: Node,
    permit: Server<u32, u32>,
    setting: Latest<u32>,
    orders: Sender<Order>,
    reports: Receiver<Report>,
    peer: Peer,
}

impl Host {
    fn plug(cable: &mut Cable) -> Result<Self, String> {
        let node = Node::new("desk");
        let permit = word("permit", node.export("permit"))?;
        let setting = word("setting", node.export("setting"))?;
        let peer = cable.plug(&node, CONFIG.line())?;
        let orders = word("orders", peer.import("orders").timeout(PATIENCE).wait())?;
        let reports = word("reports", peer.import("reports").timeout(PATIENCE).wait())?;
        Ok(Self { _node: node, permit, setting, orders, reports, peer })
    }

    fn order(&mut self, order: Order) -> Result<(), String> {
        word("an order", self.orders.send(order).timeout(PATIENCE).wait())
    }

    /// A call of the board, which is answered.
    fn answer(&mut self, number: u32) -> Result<(), String> {
        self.order(Order::Ask { number, patience_ms: PATIENCE.as_millis() as u32 })?;
        let request = self.request(number)?;
        word("an answer", request.reply(number * 3).timeout(PATIENCE).wait())?;
        match self.report("the report of an answer")? {
            Report::Answer(answer) if answer == number * 3 => Ok(()),
            report => Err(format!("call {number}: {report:?}")),
        }
    }

    fn request(&mut self, number: u32) -> Result<Request<u32, u32>, String> {
        let request = word("a call of the board", self.permit.recv().timeout(PATIENCE).wait())?;
        if *request == number {
            return Ok(request);
        }
        Err(format!("it calls with {}, and was to with {number}", *request))
    }

    fn is_late(&mut self) -> Result<(), String> {
        match self.report("the report of a call that is late")? {
            Report::Late => Ok(()),
            report => Err(format!("a call that is not answered: {report:?}")),
        }
    }

    fn report(&mut self, what: &str) -> Result<Report, String> {
        word(what, self.reports.recv().timeout(PATIENCE).wait())
    }

    fn seen(&mut self) -> Result<Seen, String> {
        self.order(Order::Tell)?;
        match self.report("the report of what it has seen")? {
            Report::Seen(seen) => Ok(seen),
            report => Err(format!("told to tell, it says {report:?}")),
        }
    }

    fn has_seen(&mut self, what: &str, is_right: impl FnOnce(Seen) -> bool) -> Result<(), String> {
        let seen = self.seen()?;
        if is_right(seen) { Ok(()) } else { Err(format!("of {what} it has {seen:?}")) }
    }
}

/// Blocks in both directions, in order.
struct Bulk {
    dump: Receiver<Block>,
    load: Sender<Block>,
    came: u32,
    sent: u32,
    /// When the last one came, and the longest pause between two.
    last: Clock,
    pause: Duration,
}

impl Bulk {
    fn begin(host: &mut Host) -> Result<Self, String> {
        let load = word("load", host.peer.import("load").timeout(PATIENCE).wait())?;
        let dump = word("dump", host.peer.import("dump").timeout(PATIENCE).wait())?;
        Ok(Self { dump, load, came: 0, sent: 0, last: Clock::now(), pause: Duration::ZERO })
    }

    /// Takes and sends what is possible now.
    fn step(&mut self) -> Result<(), RecvError> {
        while self.load.try_send(block(self.sent)).is_ok() {
            self.sent += 1;
        }
        loop {
            match self.dump.recv().timeout(Duration::from_millis(1)).wait() {
                Ok(came) if came == block(self.came) => self.came += 1,
                // It is another one, which ends this: nothing else is to come.
                Ok(_) => return Err(RecvError::Closed),
                Err(RecvError::Deadline) => return Ok(()),
                Err(error) => return Err(error),
            }
            self.pause = self.pause.max(self.last.elapsed());
            self.last = Clock::now();
        }
    }

    /// Goes on for so many more in both directions.
    fn pass(&mut self, blocks: u32) -> Result<(), String> {
        let (begin, came, sent) = (Clock::now(), self.came + blocks, self.sent + blocks);
        while self.came < came || self.sent < sent {
            word(&format!("block {}", self.came), self.step())?;
            if begin.elapsed() > PATIENCE {
                return Err(format!(
                    "{} blocks came of {came}, {} were sent of {sent}",
                    self.came, self.sent
                ));
            }
        }
        Ok(())
    }

    /// Goes on until the session is over: why.
    fn until_told(&mut self) -> Result<RecvError, String> {
        let begin = Clock::now();
        while begin.elapsed() < PATIENCE {
            if let Err(error) = self.step() {
                return Ok(error);
            }
        }
        Err("the end of the session was not told".into())
    }

    /// Ends in order, when all has been taken: how many were sent.
    fn end(mut self) -> Result<u32, String> {
        word("the last blocks", self.load.drain().timeout(PATIENCE).wait())?;
        Ok(self.sent)
    }
}
