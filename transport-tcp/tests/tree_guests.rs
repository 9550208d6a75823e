//! Guests come into a tree, use a board two hops away in every way there is, and are cut off at any moment.
//!
//! The laws:
//!
//! - No guest waits for longer than a loss takes to be told, whatever it waits for: values, room, a drain, a reply, a chain, an
//!   end that travelled in a message.
//! - Nothing stays of them: no node, no circuit, nothing that waits in a bridge, and of the memory that links promise exactly as
//!   much can be had as before they came.
//! - What an honest node does in order or not is no strike against anybody.
//!
//! `NETCHAN_SEED` chooses the same doings again, `NETCHAN_LONG=1` goes on for a minute.

mod common;

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::cable::Cable;
use common::raw::{self, Raw};
use common::{Rng, SOON, Task, Tick, by_chance_for, calm, eventually, spawn, tick};
use netchan::host::{Remote, Visibility};
use netchan::proto::{Frame, Open, Route};
use netchan::{Chain, Client, ExportOptions, Fanout, Message, Node, Receiver, Sender, Server, channel};
use netchan_tcp as tcp;
use serde::{Deserialize, Serialize};

/// As long as a program of the board waits for one thing before it looks whether it is to stop.
const A_WHILE: Duration = Duration::from_millis(20);
/// As long as guests wait at the most, which none should.
const FOR_LONG: Duration = SOON.saturating_mul(2);

#[derive(Serialize, Deserialize, Message, Debug)]
struct Question {
    text: String,
    answers: Sender<u64>,
    more: Option<Receiver<u64>>,
}

fn adopts(node: &Node) -> SocketAddr {
    tcp::listen_with(node, "127.0.0.1:0", tcp::Options::new().adopt()).expect("a free port").address()
}

/// What a program has found to do in one turn.
#[derive(PartialEq, Eq)]
enum Found {
    One,
    Nothing,
}

/// The board's exports, each with a program that uses it until it is told to stop.
struct Board {
    stop: Arc<AtomicBool>,
    programs: Vec<Task<Box<dyn Any + Send>>>,
}

impl Board {
    fn new(node: &Node) -> Self {
        let all = || ExportOptions::default().visible_to(Visibility::Tree);
        let fanout = || ExportOptions::fanout(Fanout::Broadcast).visible_to(Visibility::Tree);
        let free = "each name is free";
        let mut board = Self { stop: Arc::default(), programs: Vec::new() };
        let mut n = 0;
        board.runs(node.export_with("ticks", fanout()).expect(free), move |ticks: &mut Sender<Tick>| {
            n += 1;
            let _ = ticks.try_send(tick(n));
            thread::park_timeout(Duration::from_micros(300));
            Found::Nothing
        });
        board.runs(node.export_with("sink", all()).expect(free), |sink: &mut Receiver<Vec<u8>>| {
            sink.recv().timeout(A_WHILE).wait().map_or(Found::Nothing, |_| Found::One)
        });
        let calls: Server<Vec<u8>, Vec<u8>> = node.export_with("calls", all()).expect(free);
        board.runs(calls, |calls| {
            let Ok(request) = calls.recv().timeout(A_WHILE).wait() else { return Found::Nothing };
            let reply = vec![1; request.len()];
            // Some are dropped without an answer.
            if reply.len() % 7 != 3 {
                let _ = request.reply(reply).timeout(SOON).wait();
            }
            Found::One
        });
        let chains: Server<u32, Result<u32, u32>> = node.export_with("chains", all()).expect(free);
        board.runs(chains, |chains| {
            let Ok(request) = chains.recv().timeout(A_WHILE).wait() else { return Found::Nothing };
            let n = *request;
            let _ = request.reply(if n % 5 == 4 { Err(n) } else { Ok(n) }).timeout(SOON).wait();
            Found::One
        });
        let mut kept: Vec<Question> = Vec::new();
        board.runs(
            node.export_with("questions", all()).expect(free),
            move |questions: &mut Receiver<Question>| {
                // Who ended before it was cut off waits for nobody any more, and its end stays to be taken: as long as
                // nobody does, its circuit stays on the way.
                for more in kept.iter_mut().filter_map(|question| question.more.as_mut()) {
                    let _ = more.try_recv();
                }
                let Ok(mut question) = questions.recv().timeout(A_WHILE).wait() else {
                    return Found::Nothing;
                };
                for n in 0..3 {
                    let _ = question.answers.send(n).timeout(A_WHILE).wait();
                }
                if let Some(more) = &mut question.more {
                    let _ = more.recv().timeout(A_WHILE).wait();
                }
                // Their ends outlive the guests that they came from.
                kept.insert(0, question);
                kept.truncate(5);
                Found::One
            },
        );
        board
    }

    fn runs<E: Send + 'static>(
        &mut self,
        mut end: E,
        mut turn: impl FnMut(&mut E) -> Found + Send + 'static,
    ) {
        let stop = Arc::clone(&self.stop);
        self.programs.push(spawn(move || {
            loop {
                // What was posted is taken, also when whoever has posted it is gone.
                let is_over = stop.load(Ordering::Acquire);
                if turn(&mut end) == Found::Nothing && is_over {
                    break;
                }
            }
            Box::new(end) as Box<dyn Any + Send>
        }));
    }

    /// The exports, which nobody uses any more.
    fn stop(self) -> Vec<Box<dyn Any + Send>> {
        self.stop.store(true, Ordering::Release);
        self.programs.into_iter().map(Task::join).collect()
    }
}

/// One who does anything, with what it keeps until it goes.
struct Guest {
    board: Remote,
    rng: Rng,
    kept: Vec<Box<dyn Any>>,
}

impl Guest {
    /// Ends as soon as something fails, which is when it is cut off, or was refused.
    fn acts(&mut self) -> Option<()> {
        let Self { board, rng, kept } = self;
        let bytes = |rng: &mut Rng, most| vec![7; rng.below(most) as usize];
        match rng.below(9) {
            0 => {
                let mut ticks = board.import::<Receiver<Tick>>("ticks").timeout(FOR_LONG).wait().ok()?;
                let _ = ticks.recv().timeout(FOR_LONG).wait();
                kept.push(Box::new(ticks));
            }
            1 => {
                let mut sink = board.import::<Sender<Vec<u8>>>("sink").timeout(FOR_LONG).wait().ok()?;
                for _ in 0..rng.below(6) {
                    let len = rng.one_of(&[0, 3, 200, 5_000, 60_000]);
                    sink.send(vec![2; len]).timeout(FOR_LONG).wait().ok()?;
                }
                if rng.below(2) == 0 {
                    sink.drain().timeout(FOR_LONG).wait().ok()?;
                }
                if rng.below(2) == 0 {
                    kept.push(Box::new(sink));
                }
            }
            2 => drop(board.ask::<Vec<u8>, Vec<u8>>("calls", bytes(rng, 400)).timeout(FOR_LONG).wait()),
            3 => drop(board.try_post("sink", bytes(rng, 300))),
            4 => board.post("sink", bytes(rng, 30_000)).timeout(FOR_LONG).wait().ok()?,
            5 => {
                let calls =
                    board.import::<Client<Vec<u8>, Vec<u8>>>("calls").timeout(FOR_LONG).wait().ok()?;
                let _ = calls.call(bytes(rng, 20_000)).timeout(FOR_LONG).wait();
                kept.push(Box::new(calls));
            }
            6 => {
                let chain = board.import::<Chain<u32, u32, u32>>("chains").timeout(FOR_LONG).wait();
                let mut chain = chain.ok()?;
                for n in 0..rng.below(8) {
                    let call = chain.call(n as u32).timeout(FOR_LONG).wait().ok()?;
                    if rng.below(2) == 0 {
                        let _ = call.timeout(FOR_LONG).wait();
                    }
                }
            }
            7 => {
                let (answers, mut got) = channel(4);
                let (own, more) = channel(4);
                own.try_send(1).ok()?;
                let text = "x".repeat(rng.below(500) as usize);
                let question = Question { text, answers, more: Some(more) };
                board.post("questions", question).timeout(FOR_LONG).wait().ok()?;
                for _ in 0..3 {
                    got.recv().timeout(FOR_LONG).wait().ok()?;
                }
                kept.push(Box::new(own));
            }
            _ => drop(board.import::<Receiver<Tick>>("never").timeout(Duration::from_millis(3)).wait()),
        }
        Some(())
    }
}

/// Guests, one after the other, each of whom is cut off some time after it has come. How many.
fn guests(parents: [SocketAddr; 2], mut rng: Rng, until: Instant) -> u64 {
    let mut came = 0;
    while Instant::now() < until {
        let (cable, through) = Cable::new(rng.one_of(&parents));
        let node = Node::new("guest");
        let join = tcp::Options::new().join().live_on();
        tcp::connect_with(&node, through, join).timeout(SOON).wait().expect("it is adopted");
        let after = Duration::from_millis(1 + rng.below(60));
        let cutter = spawn(move || {
            thread::park_timeout(after);
            cable.cut();
        });
        let mut guest = Guest { board: node.remote("bridge/board"), rng: rng.fork(), kept: Vec::new() };
        for _ in 0..30 {
            let since = Instant::now();
            let done = guest.acts();
            let took = since.elapsed();
            assert!(took < SOON, "it has waited for {took:?}");
            if done.is_none() && cutter.is_finished() {
                break;
            }
        }
        drop(guest);
        cutter.join();
        node.shutdown(Duration::ZERO);
        came += 1;
    }
    came
}

/// How many circuits that want much a child of the node there can open to the board, to receive and to send, until
/// the memory of a link on the way is promised.
fn room(at: SocketAddr, board: u32) -> [u32; 2] {
    const MUCH: u32 = 4 << 20;
    [raw::receives::<Tick>("ticks", MUCH), raw::sends::<Vec<u8>>("large")].map(|open| {
        let (mut child, id) = Raw::child(at);
        let route = Some(Route { from: id, hops: 0, to: board, path: "" });
        let open = Open { route, limit: if open.credit > 0 { MUCH - 8 } else { 0 }, ..open };
        let opened = (0..).take_while(|n| {
            child.send(&Frame::Open(raw::mine(*n), open));
            child.expect("an answer", |frame| match frame {
                Frame::Accept(handle, _) if *handle == raw::mine(*n) => Some(true),
                Frame::Dead(handle, _) if *handle == raw::mine(*n) => Some(false),
                _ => None,
            })
        });
        opened.count() as u32
    })
}

#[test]
fn guests_that_do_anything_and_are_cut_off_leave_nothing_behind() {
    let _calm = calm();
    let mut rng = Rng::new("guests");
    let [hub, bridge, board] = ["hub", "bridge", "board"].map(Node::new);
    let hub_at = adopts(&hub);
    tcp::join(&bridge, hub_at).wait().expect("it is adopted");
    let bridge_at = adopts(&bridge);
    tcp::join(&board, bridge_at).wait().expect("it is adopted");
    let parents = [hub_at, bridge_at];
    let large = ExportOptions::default().visible_to(Visibility::Tree).message_limit((4 << 20) - 8);
    let _large: Receiver<Vec<u8>> = board.export_with("large", large).expect("a free name");
    let programs = Board::new(&board);
    let empty = |what: &str, nodes: &[&Node]| {
        let is_empty = |node: &&Node| node.links().iter().all(|link| link.circuits == 0 && link.waiting == 0);
        let alone = || hub.nodes().len() == 2 && nodes.iter().all(is_empty);
        eventually(what, || alone().then_some(()));
    };
    empty("the hub knows both", &[&hub, &bridge, &board]);
    let before = parents.map(|at| room(at, board.id()));
    assert!(before.iter().flatten().all(|opened| *opened > 0), "{before:?}");
    empty("nothing stays of those who looked", &[&hub, &bridge, &board]);

    let until = Instant::now() + by_chance_for();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let rng = rng.fork();
            thread::spawn(move || guests(parents, rng, until))
        })
        .collect();
    let came: u64 = workers.into_iter().map(|worker| worker.join().expect("no law is broken")).sum();
    assert!(came >= 4, "only {came} guests came");

    // The board's program still holds ends that guests have sent.
    empty("nothing stays on the way", &[&hub, &bridge]);
    let _exports = programs.stop();
    empty("nothing stays of the guests", &[&hub, &bridge, &board]);
    assert_eq!(parents.map(|at| room(at, board.id())), before, "of {came} guests memory stays promised");
    assert_eq!([hub.strikes(), bridge.strikes(), board.strikes()], [0; 3]);
}
