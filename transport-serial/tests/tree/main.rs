//! Boards behind a bridge: what passes it, who is told what, and what a board that stands still does to another one.
#![cfg(unix)]
#![expect(clippy::print_stdout, reason = "figures, for who wants them")]

#[path = "../common/mod.rs"]
mod common;

mod board;

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use board::{Block, Board, DEAD_TIME, block};
use common::{Cable, Outcome, SOON, eventually, options, quick, spawn};
use netchan::host::ReadWrite;
use netchan::host::transport::{LinkOptions, Tie, start_blocking};
use netchan::testing::Faults;
use netchan::{
    CallError, Client, Config, Dead, ImportError, LinkEvent, Node, Peer, Place, PostCause, Reason, Receiver,
    RecvError, SendCause, Sender, Watch,
};
use netchan_serial as serial;

/// Of what a bridge may promise and lend on each of its links, in bytes.
const BUDGET: u64 = 256 * 1024;

/// A desk and a bridge below a hub, and boards below the bridge.
struct Yard {
    hub: Node,
    bridge: Node,
    desk: Node,
    boards: Vec<Board>,
    lines: Vec<(Cable, Peer)>,
}

/// Opens the bridge's end of a line.
type Opener = fn(&Node, &Cable) -> Peer;

/// Threads drive the link.
fn threads(bridge: &Node, cable: &Cable) -> Peer {
    let how = options().dead_time(DEAD_TIME).adopt();
    let opening = serial::open(bridge, cable.port(0)).options(how).timeout(SOON);
    opening.reconnect(quick()).wait().expect("the board answers")
}

/// Tasks drive the link, of one thread for all of them.
#[cfg(feature = "tokio")]
fn tasks(bridge: &Node, cable: &Cable) -> Peer {
    use std::sync::LazyLock;
    use tokio::runtime::{Builder, Runtime};

    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime starts")
    });
    let how = options().dead_time(DEAD_TIME).adopt();
    let opening = serial::tokio::open(bridge, cable.port(0)).options(how).timeout(SOON);
    RUNTIME.block_on(async { opening.reconnect(quick()).await.expect("the board answers") })
}

/// All that there are.
const OPENERS: &[Opener] = &[
    threads,
    #[cfg(feature = "tokio")]
    tasks,
];

impl Yard {
    fn new<const N: usize>(lines: [(&str, Cable); N]) -> Self {
        Self::with(threads, lines)
    }

    fn with<const N: usize>(open: Opener, lines: [(&str, Cable); N]) -> Self {
        let small = Config::default().memory_per_link(BUDGET, BUDGET).dead_time(DEAD_TIME);
        let (hub, desk) = (Node::new("hub"), Node::new("desk"));
        let bridge = Node::with_config("bridge", small).expect("a good name");
        tie(&hub, &bridge);
        tie(&hub, &desk);
        let (mut boards, mut kept) = (Vec::new(), Vec::new());
        for (name, cable) in lines {
            boards.push(Board::boot(name, cable.port(1)));
            let peer = open(&bridge, &cable);
            kept.push((cable, peer));
            knows(&hub, &format!("bridge/{name}"));
        }
        Self { hub, bridge, desk, boards, lines: kept }
    }

    /// What waits in the bridge.
    fn held(&self) -> u64 {
        self.bridge.links().iter().map(|link| link.waiting).sum()
    }
}

/// Makes one node the parent of another.
fn tie(parent: &Node, child: &Node) {
    let (a, b) = UnixStream::pair().expect("a pair of sockets");
    let end = |node: &Node, socket: UnixStream, tie| {
        let other = || socket.try_clone().expect("another handle");
        let (reader, writer) = (other(), other());
        let stream = ReadWrite::new(reader, writer).with_close(move || {
            let _ = socket.shutdown(Shutdown::Both);
        });
        start_blocking(node, Box::new(stream), LinkOptions::active().with_tie(tie))
    };
    let (up, down) = (end(parent, a, Tie::Adopt), end(child, b, Tie::Join { lives_on: true }));
    down.timeout(SOON).wait().expect("it is adopted");
    up.timeout(SOON).wait().expect("it adopts");
}

/// Waits until a node is there: its id.
fn knows(node: &Node, path: &str) -> u32 {
    eventually(path, || {
        let infos = node.nodes();
        infos.iter().map(|info| info.id).filter(|id| node.path_of(*id).as_deref() == Some(path)).max()
    })
}

/// A line on which one long packet in seven is damaged, in all ways.
fn bad() -> Faults {
    Faults {
        flip: 4000,
        burst: 20_000,
        lose: 10_000,
        insert: 10_000,
        duplicate: 15_000,
        truncate: 20_000,
        stall: 20_000,
        stall_us: 20_000,
        ..Faults::default()
    }
}

/// The number of a block, which has to be that block.
fn number(came: &Block) -> u32 {
    let number = u32::from_le_bytes(*came.first_chunk().expect("a number"));
    assert!(*came == block(number), "block {number} is altered");
    number
}

/// Everything at once, from the desk to the board and back.
fn all_passes(yard: &Yard) -> Outcome {
    let there = yard.desk.remote("bridge/board");
    let mut counts = there.import::<Receiver<u32>>("counts").timeout(SOON).wait()?;
    let mut dump = there.import::<Receiver<Block>>("dump").timeout(SOON).wait()?;
    let mut load = there.import::<Sender<Block>>("load").timeout(SOON).wait()?;
    let double = there.import::<Client<u32, u64>>("double").timeout(SOON).wait()?;
    let mut level = there.import::<Watch<u32>>("level").timeout(SOON).wait()?;
    let loading = spawn(move || {
        for n in 0..100 {
            load.send(block(n)).timeout(SOON).wait().expect("it is sent");
        }
        load.drain().timeout(SOON).wait().expect("all are taken");
        assert_eq!(load.account().confirmed, 100);
    });
    let dumping = spawn(move || {
        let first = number(&dump.recv().timeout(SOON).wait().expect("a block"));
        for n in 1..100 {
            assert_eq!(number(&dump.recv().timeout(SOON).wait().expect("a block")), first + n);
        }
    });
    let calling = spawn(move || {
        for n in 0..50 {
            assert_eq!(double.call(n).timeout(SOON).wait(), Ok(2 * u64::from(n)));
        }
    });
    let first = counts.recv().timeout(SOON).wait()?;
    for n in 1..300 {
        assert_eq!(counts.recv().timeout(SOON).wait()?, first + n);
    }
    while level.changed().timeout(SOON).wait()? != 100 {}
    loading.join();
    dumping.join();
    calling.join();
    assert_eq!(yard.boards[0].loaded(), 100);
    Ok(())
}

#[test]
fn everything_passes_a_bridge_to_a_board() -> Outcome {
    for open in OPENERS {
        all_passes(&Yard::with(*open, [("board", Cable::new())]))?;
    }
    Ok(())
}

#[test]
fn one_message_and_one_question_reach_a_board_behind_a_bridge() -> Outcome {
    for (open, faults) in OPENERS.iter().zip([None, Some(bad())].into_iter().cycle()) {
        let cable = faults.map_or_else(Cable::new, |faults| Cable::disturbed(faults, 1));
        let yard = Yard::with(*open, [("board", cable)]);
        // A board takes no messages in opens: the bridge unpacks them, and so does a neighbour.
        let there = yard.desk.remote("bridge/board");
        let neighbour = &yard.lines[0].1;
        for n in 0..40 {
            let long = block(n);
            there.post("load", long).timeout(SOON).wait()?;
            assert_eq!(there.ask("double", n).timeout(SOON).wait(), Ok(2 * u64::from(n)));
            neighbour.post("load", block(4)).timeout(SOON).wait()?;
            assert_eq!(neighbour.ask("double", n).timeout(SOON).wait(), Ok(2 * u64::from(n)));
        }
        eventually("the board has them all", || (yard.boards[0].loaded() == 80).then_some(()));
        let error = there.post("double", 1_u32).timeout(SOON).wait().unwrap_err();
        assert_eq!(*error.cause(), PostCause::Refused(ImportError::WrongDirection));
        let error = there.post("load", 1_u32).timeout(SOON).wait().unwrap_err();
        assert!(matches!(error.cause(), PostCause::Refused(ImportError::TypeDiffers { .. })), "{error:?}");
        eventually("nothing stays", || {
            (yard.bridge.links().iter().all(|link| link.passing == 0)).then_some(())
        });
    }
    Ok(())
}

#[test]
fn a_bad_line_behind_a_bridge_delivers_everything_once_in_order_unaltered() -> Outcome {
    let rounds = if std::env::var_os("NETCHAN_LONG").is_some() { 50 } else { 3 };
    for seed in 1..=rounds {
        let open = OPENERS[seed as usize % OPENERS.len()];
        let yard = Yard::with(open, [("board", Cable::disturbed(bad(), seed))]);
        all_passes(&yard).map_err(|error| format!("seed {seed}: {error}"))?;
        let line = yard.lines[0].0.line();
        let faults: u64 = line.wires.iter().map(|wire| wire.happened.faults()).sum();
        assert!(faults > 4, "seed {seed}: only {faults} faults");
    }
    Ok(())
}

#[test]
fn a_board_that_is_reset_in_mid_stream_is_told_to_all_with_the_bridges_id() -> Outcome {
    for open in OPENERS {
        resets_are_told(&mut Yard::with(*open, [("board", Cable::new())]))?;
    }
    Ok(())
}

fn resets_are_told(yard: &mut Yard) -> Outcome {
    let (desk, hub, bridge) = (&yard.desk, &yard.hub, yard.bridge.id());
    let mut id = knows(hub, "bridge/board");
    for round in 0..5 {
        let there = desk.remote("bridge/board");
        let mut counts = hub.remote("bridge/board").import::<Receiver<u32>>("counts").timeout(SOON).wait()?;
        let mut dump = there.import::<Receiver<Block>>("dump").timeout(SOON).wait()?;
        let mut load = there.import::<Sender<Block>>("load").timeout(SOON).wait()?;
        let double = there.import::<Client<u32, u64>>("double").timeout(SOON).wait()?;
        assert_eq!(counts.recv().timeout(SOON).wait()?, 0, "values of this boot only");
        assert_eq!(number(&dump.recv().timeout(SOON).wait()?), 0);
        // Calls and blocks are under way for which there is no answer any more.
        yard.boards[0].takes(false);
        let calling = spawn(move || double.call(1).timeout(SOON).wait());
        load.send(block(0)).timeout(SOON).wait()?;
        let loading = spawn(move || {
            let error = (0..).find_map(|n| load.send(block(n)).timeout(SOON).wait().err());
            (error.map(|error| error.cause()), load.account())
        });
        eventually("blocks are under way", || (yard.held() > 0).then_some(()));

        yard.boards[0].reset();
        // The hub is the bridge's neighbour; further away it is known by its id.
        let far = Dead { reason: Reason::PeerRestarted, at: Place::Node(bridge) };
        let near = Dead { reason: Reason::PeerRestarted, at: Place::Peer };
        let ends = |told: Option<RecvError>, dead| assert_eq!(told, Some(RecvError::Dead(dead)), "{round}");
        ends(std::iter::from_fn(|| Some(counts.recv().timeout(SOON).wait())).find_map(Result::err), near);
        ends(std::iter::from_fn(|| Some(dump.recv().timeout(SOON).wait())).find_map(Result::err), far);
        let (cause, account) = loading.join();
        assert_eq!(cause, Some(SendCause::Dead(far)), "{round}");
        assert!(account.in_doubt > 0, "{account:?}");
        let called = calling.join();
        assert!(called == Err(CallError::Dead(far)), "{called:?}");
        assert_eq!(hub.describe(&far), "dead: the peer restarted (says bridge)");
        // It is back under the same name, and is another node.
        let next = eventually("it is back", || Some(knows(hub, "bridge/board")).filter(|next| *next != id));
        assert!(next > id);
        id = next;
        eventually("nothing of the old session is kept", || (yard.held() == 0).then_some(()));
    }
    Ok(())
}

#[test]
fn a_board_is_told_who_has_left_behind_the_bridge() -> Outcome {
    let yard = Yard::new([("board", Cable::new())]);
    let mut load = yard.desk.remote("bridge/board").import::<Sender<Block>>("load").timeout(SOON).wait()?;
    load.send(block(1)).timeout(SOON).wait()?;
    load.drain().timeout(SOON).wait()?;
    // The end in order comes through as such.
    drop(load);
    assert_eq!(eventually("it is told", || yard.boards[0].left().first().copied()), None);
    let mut load = yard.desk.remote("bridge/board").import::<Sender<Block>>("load").timeout(SOON).wait()?;
    load.send(block(1)).timeout(SOON).wait()?;
    yard.desk.shutdown(Duration::ZERO);
    let told = eventually("it is told", || yard.boards[0].left().get(1).copied());
    // A board keeps no ids: for it all of the world is its neighbour.
    assert_eq!(told, Some(Dead::peer(Reason::Shutdown)));
    Ok(())
}

#[test]
fn a_pulled_plug_behind_a_bridge_is_told_to_both_far_ends_and_all_goes_on() -> Outcome {
    let yard = Yard::new([("board", Cable::new())]);
    let (cable, _) = &yard.lines[0];
    let told = Dead { reason: Reason::LinkLost, at: Place::Node(yard.bridge.id()) };
    let mut id = knows(&yard.hub, "bridge/board");
    for round in 0..3 {
        let there = yard.desk.remote("bridge/board");
        let mut load = there.import::<Sender<Block>>("load").timeout(SOON).wait()?;
        let mut dump = there.import::<Receiver<Block>>("dump").timeout(SOON).wait()?;
        load.send(block(7)).timeout(SOON).wait()?;
        load.drain().timeout(SOON).wait()?;
        cable.unplug(0);
        let error = std::iter::from_fn(|| Some(dump.recv().timeout(SOON).wait())).find_map(Result::err);
        assert_eq!(error, Some(RecvError::Dead(told)), "{round}");
        // Each end is told by itself.
        let error = (0..).find_map(|n| load.send(block(n)).timeout(SOON).wait().err());
        assert_eq!(error.map(|error| error.cause()), Some(SendCause::Dead(told)), "{round}");
        cable.plug(0);
        // The board's end has no plug: it is told by the next hello.
        let left = eventually("the board is told", || yard.boards[0].left().get(round).copied());
        assert!(left.is_some_and(|dead| dead.at == Place::Here), "{left:?}");
        id = eventually("it is back", || Some(knows(&yard.hub, "bridge/board")).filter(|next| *next > id));
    }
    Ok(())
}

#[test]
fn a_bridge_that_leaves_says_so_whatever_its_boards_do_then() -> Outcome {
    for (round, open) in OPENERS.iter().cycle().take(30).enumerate() {
        let yard = Yard::with(*open, [("board", Cable::new())]);
        let mut dump =
            yard.desk.remote("bridge/board").import::<Receiver<Block>>("dump").timeout(SOON).wait()?;
        number(&dump.recv().timeout(SOON).wait()?);
        yard.bridge.shutdown(Duration::from_millis(100));
        let error = std::iter::from_fn(|| Some(dump.recv().timeout(SOON).wait())).find_map(Result::err);
        // A board begins anew when it hears the goodbye, which is no reset of the link.
        assert!(
            matches!(error, Some(RecvError::Dead(dead)) if dead.reason == Reason::Shutdown),
            "{round}: {error:?}"
        );
        while let Some(event) = yard.bridge.event().wait() {
            let LinkEvent::Down { error, .. } = event else { continue };
            assert_eq!(error.dead().reason, Reason::Shutdown, "{round}: {error}");
        }
    }
    Ok(())
}

/// How a board stands still, or those who talk to it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stall {
    /// Its program does not take.
    Takes,
    /// Nothing moves there, as in a debugger.
    Frozen,
    /// The desk does not take what the board sends.
    Desk,
}

/// Takes all that comes, each in its turn, and counts it.
fn take_all(mut dump: Receiver<Block>) -> Arc<AtomicU32> {
    let taken = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&taken);
    let _ends_with_the_test = spawn(move || {
        let first = number(&dump.recv().wait().expect("a block"));
        for n in 1.. {
            let Ok(came) = dump.recv().wait() else { return };
            assert_eq!(number(&came), first + n);
            count.store(n, Ordering::Release);
        }
    });
    taken
}

/// How long so many more take.
fn passes(taken: &AtomicU32, blocks: u32) -> Duration {
    let (start, until) = (Instant::now(), taken.load(Ordering::Acquire) + blocks);
    eventually("the other board goes on", || (taken.load(Ordering::Acquire) >= until).then_some(()));
    start.elapsed()
}

#[test]
fn a_board_that_stands_still_does_not_hold_up_another_one() -> Outcome {
    // One of each length.
    const BLOCKS: u32 = 296;
    let stalls = [Stall::Takes, Stall::Frozen, Stall::Desk];
    for (stall, open) in stalls.into_iter().flat_map(|stall| OPENERS.iter().map(move |open| (stall, *open))) {
        let line = || Cable::new().baud(921_600);
        let yard = Yard::with(open, [("quick", line()), ("stalled", line())]);
        let stalled = &yard.boards[1];
        let taken = take_all(yard.desk.remote("bridge/quick").import("dump").wait()?);
        let there = yard.desk.remote("bridge/stalled");
        let mut load = there.import::<Sender<Block>>("load").wait()?;
        let mut untaken = None;
        let (mut ratios, mut most) = (Vec::new(), 0);
        // A machine that does other work has more than one try.
        while ratios.len() < 5 && ratios.iter().all(|ratio| *ratio < 0.9) {
            let before = passes(&taken, BLOCKS);
            match stall {
                Stall::Takes => stalled.takes(false),
                Stall::Frozen => stalled.freeze(true),
                Stall::Desk => untaken = Some(there.import::<Receiver<Block>>("dump").wait()?),
            }
            let mut sent = 0;
            let mut fill = |load: &mut Sender<Block>, patience| {
                while load.send(block(sent)).timeout(patience).wait().is_ok() {
                    sent += 1;
                    assert!(sent < 10_000, "{stall:?}: nothing holds the desk back");
                }
            };
            if stall != Stall::Desk {
                fill(&mut load, Duration::from_millis(100));
            }
            let loaded = stalled.loaded();
            ratios.push(before.as_secs_f64() / passes(&taken, BLOCKS).as_secs_f64());
            if stall != Stall::Desk {
                // As much is under way as anybody takes.
                fill(&mut load, Duration::ZERO);
                assert_eq!(stalled.loaded(), loaded, "{stall:?}: it stood still all the while");
                most = most.max(yard.held());
                assert!((1..=BUDGET).contains(&most), "{stall:?}: the bridge holds {most} bytes");
            }
            // It goes on as if nothing had been.
            stalled.takes(true);
            stalled.freeze(false);
            drop(untaken.take());
            load.drain().timeout(SOON).wait()?;
        }
        println!("{stall:?}: the other one has {ratios:.2?} of its throughput, {most} bytes are held");
        assert!(ratios.iter().any(|ratio| *ratio >= 0.9), "{stall:?}: {ratios:?}");
    }
    Ok(())
}
