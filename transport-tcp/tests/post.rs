//! One message to a name, and one call of it, without an end of its own: to a neighbour and through bridges.

mod common;

use std::time::Duration;

use common::raw::{Raw, mine, sends};
use common::{Calm, Ground, Outcome, SOON, Tick, calm, eventually, spawn, tick};
use netchan::host::Visibility;
use netchan::proto::{Frame, Handle, Open, OpenFlags, Total};
use netchan::{
    AskError, CallError, Config, Dead, ExportOptions, Fanout, ImportError, LinkEvent, Message, Node,
    PostCause, Reason, Receiver, RecvError, SendCause, Sender, Server, channel,
};
use netchan_tcp as tcp;
use serde::{Deserialize, Serialize};

fn in_tree() -> ExportOptions {
    ExportOptions::default().visible_to(Visibility::Tree)
}

/// hub -> bridge -> board, and hub -> desk.
struct Yard {
    hub: Node,
    bridge: Node,
    board: Node,
    desk: Node,
    _calm: Calm,
}

impl Yard {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let calm = calm();
        let [hub, board, desk] = ["hub", "board", "desk"].map(Node::new);
        let bridge = Node::with_config("bridge", config).expect("a good name");
        let adopts = || tcp::Options::new().adopt();
        let at_hub = tcp::listen_with(&hub, "127.0.0.1:0", adopts()).expect("loopback").address();
        let at_bridge = tcp::listen_with(&bridge, "127.0.0.1:0", adopts()).expect("loopback").address();
        for (node, parent) in [(&bridge, at_hub), (&board, at_bridge), (&desk, at_hub)] {
            let options = tcp::Options::new().join().live_on();
            tcp::connect_with(node, parent, options).timeout(SOON).wait().expect("it is adopted");
        }
        eventually("the hub knows all", || (hub.nodes().len() == 3).then_some(()));
        Self { hub, bridge, board, desk, _calm: calm }
    }

    /// How many circuits pass the hub or the bridge.
    fn passing(&self) -> u32 {
        [&self.hub, &self.bridge].iter().flat_map(|node| node.links()).map(|link| link.passing).sum()
    }

    #[track_caller]
    fn is_quiet(&self) {
        eventually("nothing is left", || {
            let nodes = [&self.hub, &self.bridge, &self.board, &self.desk];
            let circuits: u32 = nodes.iter().flat_map(|node| node.links()).map(|link| link.circuits).sum();
            (circuits == 0).then_some(())
        });
    }
}

/// Answers with twice what it is asked; ends with its link.
fn doubles(mut server: Server<u32, u64>) {
    std::thread::spawn(move || {
        while let Ok(request) = server.recv().wait() {
            let n = u64::from(*request);
            let _ = request.reply(2 * n).wait();
        }
    });
}

#[test]
fn a_message_and_a_question_reach_a_neighbour() -> Outcome {
    let ground = Ground::new();
    let (_node, peer) = ground.visitor();
    let mut ticks: Receiver<Tick> = ground.node.export("ticks")?;
    doubles(ground.node.export("double")?);
    let posted = spawn({
        let peer = peer.clone();
        move || peer.post("ticks", tick(7)).wait()
    });
    assert_eq!(ticks.recv().timeout(SOON).wait(), Ok(tick(7)));
    posted.join()?;
    for n in 0..100_u32 {
        assert_eq!(peer.ask("double", n).wait(), Ok(2 * u64::from(n)));
    }
    assert_eq!(ticks.try_recv(), Err(RecvError::Empty));
    eventually("nothing is left", || {
        // But for the witness.
        let circuits: u32 = ground.node.links().iter().map(|link| link.circuits).sum();
        (circuits == 1).then_some(())
    });
    ground.others_go_on();
    Ok(())
}

#[test]
fn they_pass_bridges_and_leave_nothing_behind() -> Outcome {
    let yard = Yard::new();
    let mut ticks: Receiver<Tick> = yard.board.export_with("ticks", in_tree())?;
    doubles(yard.board.export_with("double", in_tree())?);
    let board = yard.desk.remote("bridge/board");
    let taken = spawn(move || (0..100).all(|n| ticks.recv().timeout(SOON).wait() == Ok(tick(n))));
    for n in 0..100 {
        board.post("ticks", tick(n)).timeout(SOON).wait()?;
        assert_eq!(board.ask("double", n as u32).timeout(SOON).wait(), Ok(2 * n));
    }
    assert!(taken.join(), "each once, in the order in which they were posted");
    yard.is_quiet();
    Ok(())
}

#[test]
fn the_outcome_is_that_the_program_has_taken_it() -> Outcome {
    let yard = Yard::new();
    let mut ticks: Receiver<Tick> = yard.board.export_with("ticks", in_tree())?;
    let board = yard.desk.remote("bridge/board");
    let error = board.post("ticks", tick(1)).timeout(Duration::from_secs(1)).wait().unwrap_err();
    assert_eq!(*error.cause(), PostCause::Lost(Dead::here(Reason::Deadline)));
    assert!(error.may_have_arrived() && error.into_value().is_none());
    // And so it was: it had been accepted.
    assert_eq!(ticks.recv().timeout(SOON).wait(), Ok(tick(1)));
    let posted = spawn(move || board.post("ticks", tick(2)).timeout(SOON).wait());
    eventually("it is there", || (yard.passing() > 0).then_some(()));
    assert!(!posted.is_finished());
    assert_eq!(ticks.recv().timeout(SOON).wait(), Ok(tick(2)));
    posted.join()?;
    // Whoever receives on hears that there is nothing more of them.
    assert_eq!(ticks.try_recv(), Err(RecvError::Empty));
    yard.is_quiet();
    Ok(())
}

#[derive(Serialize, Deserialize, Message, Debug, Clone, PartialEq, Eq)]
struct Blob(Vec<u8>);

#[test]
fn a_message_of_any_length_goes_the_same_way() -> Outcome {
    let yard = Yard::new();
    let options = in_tree().message_limit(1 << 20);
    let mut blobs: Receiver<Blob> = yard.board.export_with("blobs", options.clone())?;
    let mut echo: Server<Blob, Blob> = yard.board.export_with("echo", options)?;
    std::thread::spawn(move || {
        while let Ok(request) = echo.recv().wait() {
            let blob = request.clone();
            let _ = request.reply(blob).wait();
        }
    });
    let board = yard.desk.remote("bridge/board");
    for len in [0, 1, 100, 150, 180, 200, 220, 240, 250, 256, 300, 5000, 70_000, 1_000_000] {
        let blob = Blob((0..len).map(|n| (n % 251) as u8).collect());
        let posted = spawn({
            let (board, blob) = (board.clone(), blob.clone());
            move || board.post("blobs", blob).timeout(SOON).wait()
        });
        assert!(blobs.recv().timeout(SOON).wait()? == blob, "{len} bytes");
        posted.join()?;
        let asked = board.ask::<_, Blob>("echo", blob.clone()).message_limit(1 << 20).timeout(SOON).wait();
        assert!(asked? == blob, "{len} bytes");
    }
    assert!(matches!(blobs.try_recv(), Err(RecvError::Empty)));
    yard.is_quiet();
    Ok(())
}

#[test]
fn a_channel_end_travels_in_one() -> Outcome {
    let yard = Yard::new();
    let mut inbox: Receiver<Sender<Tick>> = yard.board.export_with("inbox", in_tree())?;
    let board = yard.desk.remote("bridge/board");
    let (mine, mut got) = channel::<Tick>(4);
    let posted = spawn(move || board.post("inbox", mine).timeout(SOON).wait());
    let mut back = inbox.recv().timeout(SOON).wait()?;
    posted.join()?;
    back.send(tick(5)).timeout(SOON).wait()?;
    assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(5)));
    drop((back, inbox));
    assert_eq!(got.recv().timeout(SOON).wait(), Err(RecvError::Closed));
    let (other, _got) = channel::<Tick>(4);
    let error = yard.desk.remote("bridge/board").try_post("inbox", other).unwrap_err();
    assert!(
        matches!(error.cause(), PostCause::NotSent(SendCause::Ends(_))),
        "it has to wait for an open circuit"
    );
    Ok(())
}

#[test]
fn one_that_nobody_takes_is_told_why_and_given_back() -> Outcome {
    let yard = Yard::new();
    let _ticks: Receiver<Tick> = yard.board.export_with("ticks", in_tree())?;
    let _there: Sender<Tick> = yard.board.export_with("there", in_tree())?;
    let _private: Receiver<Tick> = yard.board.export("private")?;
    let exclusive = ExportOptions::fanout(Fanout::Exclusive).visible_to(Visibility::Tree);
    let mut one: Receiver<Tick> = yard.board.export_with("one", exclusive)?;
    let _short: Receiver<Blob> = yard.board.export_with("short", in_tree().message_limit(10))?;
    let board = yard.desk.remote("bridge/board");
    let mut holder = board.import::<Sender<Tick>>("one").timeout(SOON).wait()?;
    holder.send(tick(1)).timeout(SOON).wait()?;
    assert_eq!(one.recv().timeout(SOON).wait(), Ok(tick(1)));
    let refused = |name: &str| {
        let error = board.post(name, tick(9)).timeout(Duration::from_secs(3)).wait().unwrap_err();
        assert!(!error.may_have_arrived());
        assert_eq!(error.channel(), name);
        let PostCause::Refused(cause) = error.cause().clone() else { panic!("{error:?}") };
        assert_eq!(error.into_value(), Some(tick(9)));
        cause
    };
    assert_eq!(refused("nothing"), ImportError::NoName);
    assert_eq!(refused("there"), ImportError::WrongDirection);
    let differs = |exported: &str| ImportError::TypeDiffers { wanted: "Tick", exported: exported.into() };
    assert_eq!(refused("short"), differs("Blob"));
    assert!(matches!(refused("private"), ImportError::Dead(dead) if dead.reason == Reason::Refused));
    assert!(matches!(refused("one"), ImportError::Dead(dead) if dead.reason == Reason::Busy));
    assert_eq!(refused("Not a name"), ImportError::BadName);
    let nobody = yard.desk.remote("bridge/nobody").post("ticks", tick(1)).wait().unwrap_err();
    assert!(
        matches!(nobody.cause(), PostCause::Refused(ImportError::Dead(dead)) if dead.reason == Reason::NoRoute)
    );
    // One that is too long, whether it comes with the open or behind it.
    for len in [20, 2000] {
        let error = board.post("short", Blob(vec![1; len])).timeout(SOON).wait().unwrap_err();
        let is_it = match error.cause() {
            PostCause::Refused(ImportError::Dead(dead)) => dead.reason == Reason::TooLarge,
            PostCause::NotSent(cause) => *cause == SendCause::TooLarge(10),
            _ => false,
        };
        assert!(is_it, "{error:?}");
        assert_eq!(error.into_value(), Some(Blob(vec![1; len])));
    }
    // Whoever is on the channels beside does not notice.
    holder.send(tick(2)).timeout(SOON).wait()?;
    assert_eq!(one.recv().timeout(SOON).wait(), Ok(tick(2)));
    let error = board.ask::<_, u64>("nothing", 1_u32).timeout(Duration::from_secs(3)).wait().unwrap_err();
    assert_eq!(error, AskError::Refused(ImportError::NoName));
    drop((holder, one));
    yard.is_quiet();
    Ok(())
}

#[test]
fn one_waits_for_its_export() -> Outcome {
    let yard = Yard::new();
    let board = yard.desk.remote("bridge/board");
    let posted = spawn({
        let board = board.clone();
        move || board.post("later", tick(3)).timeout(SOON).wait()
    });
    let asked = spawn(move || board.ask::<u32, u64>("double", 4).timeout(SOON).wait());
    eventually("both wait there", || (yard.passing() == 8).then_some(()));
    let mut later: Receiver<Tick> = yard.board.export_with("later", in_tree())?;
    assert_eq!(later.recv().timeout(SOON).wait(), Ok(tick(3)));
    posted.join()?;
    doubles(yard.board.export_with("double", in_tree())?);
    assert_eq!(asked.join(), Ok(8));
    assert_eq!(later.try_recv(), Err(RecvError::Empty));
    yard.is_quiet();
    Ok(())
}

#[test]
fn one_that_is_given_up_while_it_waits_is_not_taken() -> Outcome {
    let yard = Yard::new();
    let board = yard.desk.remote("bridge/board");
    let error = board.post("later", tick(3)).timeout(Duration::from_millis(50)).wait().unwrap_err();
    // The answer may come first.
    let is_it = match error.cause() {
        PostCause::Lost(dead) => dead.reason == Reason::Deadline,
        PostCause::Refused(error) => *error == ImportError::NoName,
        _ => false,
    };
    assert!(is_it, "{error:?}");
    yard.is_quiet();
    let mut later: Receiver<Tick> = yard.board.export_with("later", in_tree())?;
    assert_eq!(later.try_recv(), Err(RecvError::Empty));
    Ok(())
}

#[test]
fn without_waiting_it_goes_or_says_why_not() -> Outcome {
    let yard = Yard::new();
    let mut ticks: Receiver<Tick> = yard.board.export_with("ticks", in_tree())?;
    let mut blobs: Receiver<Blob> = yard.board.export_with("blobs", in_tree())?;
    let _short: Receiver<Blob> = yard.board.export_with("short", in_tree().message_limit(10))?;
    let board = yard.desk.remote("bridge/board");
    for n in 0..200 {
        board.try_post("ticks", tick(n))?;
    }
    for n in 0..200 {
        assert_eq!(ticks.recv().timeout(SOON).wait(), Ok(tick(n)));
    }
    board.try_post("blobs", Blob(vec![3; 30_000]))?;
    assert_eq!(blobs.recv().timeout(SOON).wait()?, Blob(vec![3; 30_000]));
    // Nobody hears that these are refused, and nothing of them stays.
    board.try_post("nothing", tick(1))?;
    board.try_post("short", Blob(vec![3; 100]))?;
    board.try_post("short", Blob(vec![3; 30_000]))?;
    let error = board.try_post("Not a name", tick(2)).unwrap_err();
    assert_eq!(error.into_value(), Some(tick(2)));
    assert_eq!(ticks.try_recv(), Err(RecvError::Empty));
    assert!(matches!(blobs.try_recv(), Err(RecvError::Empty)));
    yard.is_quiet();
    // To a neighbour what was posted last arrives, though whoever has posted it is gone.
    let ground = Ground::new();
    let mut ticks: Receiver<Tick> = ground.node.export("ticks")?;
    for n in 0..20 {
        let (node, peer) = ground.visitor();
        peer.try_post("ticks", tick(n))?;
        node.shutdown(SOON);
        assert_eq!(ticks.recv().timeout(SOON).wait(), Ok(tick(n)));
    }
    Ok(())
}

#[test]
fn a_link_that_is_lost_leaves_it_in_doubt() -> Outcome {
    let yard = Yard::new();
    let _ticks: Receiver<Tick> = yard.board.export_with("ticks", in_tree())?;
    let _double: Server<u32, u64> = yard.board.export_with("double", in_tree())?;
    let board = yard.desk.remote("bridge/board");
    let posted = spawn({
        let board = board.clone();
        move || board.post("ticks", tick(3)).timeout(SOON).wait()
    });
    let asked = spawn(move || board.ask::<u32, u64>("double", 4).timeout(SOON).wait());
    eventually("both are there", || (yard.passing() == 8).then_some(()));
    yard.bridge.shutdown(Duration::ZERO);
    let error = posted.join().unwrap_err();
    assert!(matches!(error.cause(), PostCause::Lost(dead) if dead.reason == Reason::Shutdown), "{error:?}");
    assert!(
        matches!(*asked.join().unwrap_err(), AskError::Call(CallError::Dead(dead)) if dead.reason == Reason::Shutdown)
    );
    let error = yard.desk.remote("bridge/board").post("ticks", tick(4)).timeout(SOON).wait().unwrap_err();
    assert!(!error.may_have_arrived(), "{error:?}");
    Ok(())
}

#[test]
fn a_question_that_is_given_up_is_cancelled_there() -> Outcome {
    let yard = Yard::new();
    let mut slow: Server<u32, u64> = yard.board.export_with("slow", in_tree())?;
    let board = yard.desk.remote("bridge/board");
    let asked = spawn(move || board.ask::<u32, u64>("slow", 1).timeout(Duration::from_secs(1)).wait());
    let request = slow.recv().timeout(SOON).wait()?;
    assert!(request.deadline().is_some());
    assert_eq!(asked.join().unwrap_err(), AskError::Call(CallError::Deadline));
    eventually("the server sees it", || request.is_cancelled().then_some(()));
    drop(request);
    let board = yard.desk.remote("bridge/board");
    let asked = spawn(move || board.ask::<u32, u64>("slow", 2).timeout(SOON).wait());
    drop(slow.recv().timeout(SOON).wait()?);
    let error = asked.join().unwrap_err();
    assert!(matches!(*error, AskError::Call(CallError::Dead(dead)) if dead.reason == Reason::HandlerGone));
    assert!(matches!(slow.try_recv(), Err(RecvError::Empty)));
    yard.is_quiet();
    Ok(())
}

/// The far program sees no difference to an importer that sends one value and leaves.
#[test]
fn an_export_sees_it_come_and_leave() -> Outcome {
    let ground = Ground::new();
    let (_node, peer) = ground.visitor();
    let mut ticks: Receiver<Tick> = ground.node.export("ticks")?;
    while ground.node.next_event().is_some() {}
    let posted = spawn(move || peer.post("ticks", tick(7)).wait());
    assert_eq!(ticks.recv().timeout(SOON).wait(), Ok(tick(7)));
    posted.join()?;
    let next = || {
        eventually("an event", || match ground.node.next_event()? {
            LinkEvent::Joined { export, .. } => Some((export, true)),
            LinkEvent::Left { export, dead: None, .. } => Some((export, false)),
            _ => None,
        })
    };
    assert_eq!([next(), next()], [("ticks".into(), true), ("ticks".into(), false)]);
    Ok(())
}

/// An open that carries this.
fn brings(open: Open<'static>, body: &'static [u8]) -> Open<'static> {
    Open { body: Some(body), ..open }
}

/// Sends one message to `ticks`: why it is refused, if it is.
#[track_caller]
fn refused(raw: &mut Raw, n: u32) -> Option<Reason> {
    raw.send(&Frame::Open(mine(n), brings(sends::<Tick>("ticks"), &[7])));
    raw.expect("an answer", |frame| match frame {
        Frame::Accept(..) => Some(None),
        Frame::Dead(_, dead) => Some(Some(dead.dead.reason)),
        _ => None,
    })
}

#[track_caller]
fn dead(raw: &mut Raw, handle: Handle) -> (Reason, Total) {
    raw.expect("a death", |frame| match frame {
        Frame::Dead(other, dead) if *other == handle => Some((dead.dead.reason, dead.taken)),
        _ => None,
    })
}

#[test]
fn a_hostile_message_in_an_open_is_told_and_disturbs_nobody() -> Outcome {
    let ground = Ground::new();
    let mut ticks: Receiver<Tick> = ground.node.export("ticks")?;
    let mut double: Server<u32, u64> = ground.node.export("double")?;
    let mut raw = Raw::up(ground.address);
    // A number that has no end; one with something behind it.
    for (n, body) in [(0, &[0xff_u8; 10][..]), (1, &[1, 2, 3])] {
        raw.open(n, brings(sends::<Tick>("ticks"), body));
        assert!(matches!(ticks.recv().timeout(SOON).wait(), Err(RecvError::Decode(_))), "{body:?}");
        assert_eq!(dead(&mut raw, mine(n)), (Reason::DecodeFailed, Total::ZERO));
        raw.send(&Frame::Done(mine(n), Total::ZERO));
        ticks = {
            drop(ticks);
            ground.node.export("ticks")?
        };
    }
    for (n, name, reason) in [(2, "nothing", Reason::NoName), (3, "witness", Reason::WrongDirection)] {
        assert_eq!(raw.refused(n, brings(sends::<Tick>(name), &[1])).reason, reason);
    }
    assert_eq!(raw.refused(4, brings(sends::<u8>("ticks"), &[1])).reason, Reason::TypeDiffers);
    // A request that is none.
    let calls = Open {
        flags: OpenFlags::BOTH.with(OpenFlags::CALLS),
        credit: 100,
        limit: 90,
        fingerprints: calls(),
        ..sends::<Tick>("double")
    };
    raw.open(5, brings(calls, &[1, 9]));
    assert!(matches!(double.recv().timeout(SOON).wait(), Err(RecvError::Decode(_))));
    assert_eq!(dead(&mut raw, mine(5)).0, Reason::DecodeFailed);
    ground.others_go_on();
    // What is no frame, and what follows where nothing may, ends the link.
    let open = brings(sends::<Tick>("ticks"), &[1]);
    let mut bytes = [0; 256];
    let len = Frame::Open(mine(6), open).write(&mut bytes)?;
    raw.bytes(&common::raw::packed(&bytes[..len - 1]));
    ground.ends_with(netchan::LinkError::Fault(netchan::proto::Fault::Frame(
        netchan::proto::FrameError::Truncated,
    )));
    for frame in [Frame::Data(mine(0), netchan::proto::Part::Whole, &[1]), Frame::End(mine(0), Total::new(1))]
    {
        let mut raw = Raw::up(ground.address);
        raw.open(0, open);
        raw.send(&frame);
        ground.ends_with(netchan::LinkError::Fault(netchan::proto::Fault::WrongState));
    }
    Ok(())
}

fn calls() -> netchan::proto::Fingerprints {
    let node = Node::new("elsewhere");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("it has one");
    let asking = std::thread::spawn(move || {
        let peer = tcp::connect(&node, address).wait().expect("a link");
        let _ = peer.ask::<u32, u64>("double", 1).timeout(Duration::from_millis(1)).wait();
    });
    let mut raw = Raw::accept(&listener);
    raw.bring_up();
    let fingerprints = raw.expect("an open", |frame| match frame {
        Frame::Open(_, open) => Some(open.fingerprints),
        _ => None,
    });
    drop(raw);
    asking.join().expect("it ends");
    fingerprints
}

/// Each is charged what it occupies, and whoever sends more than there is room for is told.
#[test]
fn messages_that_nobody_takes_fill_what_was_promised_and_no_more() -> Outcome {
    let config = Config::default().memory_per_link(8 * 1024, 0);
    let ground = Ground::with(config);
    let mut ticks: Receiver<Tick> = ground.node.export("ticks")?;
    let mut raw = Raw::up(ground.address);
    let mut taken = 0;
    let refused = loop {
        if let Some(reason) = refused(&mut raw, taken) {
            break reason;
        }
        taken += 1;
    };
    // Eight bytes each.
    assert_eq!((refused, taken), (Reason::NoResources, 1024));
    raw.send(&Frame::Done(mine(taken), Total::ZERO));
    for n in 0..taken {
        assert_eq!(ticks.recv().timeout(SOON).wait(), Ok(tick(7)));
        raw.send(&Frame::Done(mine(n), Total::ZERO));
    }
    assert_eq!(ticks.try_recv(), Err(RecvError::Empty));
    raw.expect("the last is through", |frame| {
        matches!(frame, Frame::Done(other, _) if *other == mine(taken - 1)).then_some(())
    });
    raw.open(taken + 1, brings(sends::<Tick>("ticks"), &[8]));
    assert_eq!(ticks.recv().timeout(SOON).wait(), Ok(tick(8)));
    ground.others_go_on();
    Ok(())
}

#[test]
fn a_bridge_without_room_refuses_it_by_name() -> Outcome {
    // The room is that of answers, which a bridge has to promise.
    let yard = Yard::with(Config::default().memory_per_link(64 * 1024, 0));
    let mut ticks: Receiver<Tick> = yard.board.export_with("ticks", in_tree())?;
    let _echo: Server<Blob, Blob> = yard.board.export_with("echo", in_tree())?;
    let board = yard.desk.remote("bridge/board");
    let error = board.ask::<_, Blob>("echo", Blob(vec![1])).timeout(SOON).wait().unwrap_err();
    assert_eq!(error, AskError::Refused(ImportError::NoResources));
    let posted = spawn(move || board.post("ticks", tick(1)).timeout(SOON).wait());
    assert_eq!(ticks.recv().timeout(SOON).wait(), Ok(tick(1)));
    posted.join()?;
    assert_eq!(ticks.try_recv(), Err(RecvError::Empty));
    yard.is_quiet();
    Ok(())
}

#[test]
fn one_handle_again_and_again_fills_no_more_than_its_link_may() -> Outcome {
    let ground = Ground::with(Config::default().channels_per_link(8));
    let mut ticks: Receiver<Tick> = ground.node.export("ticks")?;
    let mut raw = Raw::up(ground.address);
    let mut accepted = 0;
    let reason = loop {
        if let Some(reason) = refused(&mut raw, 0) {
            break reason;
        }
        accepted += 1;
        assert!(accepted <= 16, "what is over and not received counts as well");
        raw.dead(mine(0), Reason::Cancelled);
        raw.expect("it is through", |frame| matches!(frame, Frame::Done(..) | Frame::Dead(..)).then_some(()));
    };
    assert_eq!(reason, Reason::NoResources);
    for _ in 0..accepted {
        assert_eq!(ticks.recv().timeout(SOON).wait(), Ok(tick(7)));
    }
    ground.others_go_on();
    Ok(())
}

#[test]
fn a_link_that_ends_for_a_reason_of_refusals_has_refused_nothing() -> Outcome {
    let _calm = calm();
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let peer = spawn(move || {
        let mut raw = Raw::accept(&listener);
        raw.bring_up();
        raw.expect("it brings its message", |frame| match frame {
            Frame::Open(_, open) => open.body.map(|_| ()),
            _ => None,
        });
        // The program has it by now.
        raw.send(&Frame::Goodbye(Reason::HopLimit));
        raw.read_to_end();
    });
    let node = Node::new("desk");
    let error = tcp::connect(&node, at).wait()?.post("ticks", tick(7)).timeout(SOON).wait().unwrap_err();
    assert!(error.may_have_arrived(), "{error}");
    assert_eq!(error.into_value(), None);
    peer.join();
    Ok(())
}
