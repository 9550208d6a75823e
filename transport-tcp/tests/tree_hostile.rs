//! Children and parents that claim what is not theirs: it is refused, counted, and in the end their link
//! ends; nobody else in the tree notices.

mod common;

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use common::raw::{Raw, mine, packet, receives, sends};
use common::{Calm, Outcome, SOON, Tick, calm, eventually, spawn, tick};
use netchan::host::{ExportInfo, NodeChange, Visibility};
use netchan::proto::{
    Accept, DeadFrame, Fault, Frame, Handle, LinkKind, Open, Part, Route, Total, TreeFrame,
};
use netchan::{
    Config, Dead, ExportOptions, Fanout, ImportError, LinkError, LinkEvent, Node, Place, Reason, Receiver,
    RecvError, SendCause, Sender,
};
use netchan_tcp as tcp;

/// A root with an honest child that exports ticks to all the tree, and another one that imports them.
struct Grove {
    hub: Node,
    address: SocketAddr,
    _board: Node,
    ticks: Sender<Tick>,
    _desk: Node,
    got: Receiver<Tick>,
    n: u64,
    _calm: Calm,
}

impl Grove {
    fn new() -> Self {
        Self::with(Config::new())
    }

    fn with(config: Config) -> Self {
        let calm = calm();
        let hub = Node::with_config("hub", config).expect("a name");
        let adopt = tcp::Options::new().adopt();
        let address = tcp::listen_with(&hub, "127.0.0.1:0", adopt).expect("a free port").address();
        let join = |name| {
            let node = Node::new(name);
            tcp::join(&node, address).wait().expect("it is adopted");
            node
        };
        let (board, desk) = (join("board"), join("desk"));
        // So that whoever else imports them takes nothing away.
        let options = ExportOptions::fanout(Fanout::Broadcast).visible_to(Visibility::Tree);
        let ticks = board.export_with("ticks", options).expect("a free name");
        let got = desk.remote("board").import("ticks").timeout(SOON).wait().expect("it is there");
        while hub.next_event().is_some() {}
        Self { hub, address, _board: board, ticks, _desk: desk, got, n: 0, _calm: calm }
    }

    /// What passes between honest nodes still does.
    #[track_caller]
    fn goes_on(&mut self) {
        for _ in 0..3 {
            self.n += 1;
            self.ticks.send(tick(self.n)).timeout(SOON).wait().expect("it passes");
            assert_eq!(self.got.recv().timeout(SOON).wait(), Ok(tick(self.n)));
        }
    }

    #[track_caller]
    fn ends_with(&mut self, fault: Fault) {
        let error = eventually("the link ends", || match self.hub.next_event()? {
            LinkEvent::Down { error, .. } => Some(error),
            _ => None,
        });
        assert_eq!(error, LinkError::Fault(fault));
        self.goes_on();
    }

    fn id(&self, name: &str) -> u32 {
        self.hub.nodes().iter().find(|info| info.name == name).expect("it is known").id
    }
}

fn route(from: u32, to: u32) -> Option<Route<'static>> {
    Some(Route { from, hops: 0, to, path: "" })
}

fn to_board(grove: &Grove, from: u32) -> Open<'static> {
    Open { route: route(from, grove.id("board")), ..receives::<Tick>("ticks", 100) }
}

#[test]
fn a_child_cannot_speak_for_another_node() {
    let mut grove = Grove::new();
    let (mut raw, id) = Raw::child(grove.address);
    let (board, desk) = (grove.id("board"), grove.id("desk"));
    // In its own name it may.
    raw.open(0, to_board(&grove, id));
    for (n, from) in [board, desk, grove.hub.id(), id + 1000].into_iter().enumerate() {
        let dead = raw.refused(n as u32 + 1, to_board(&grove, from));
        assert_eq!((dead.reason, dead.at), (Reason::Refused, Place::Peer));
        assert_eq!(grove.hub.strikes(), n as u64 + 1);
    }
    grove.goes_on();
    for n in 5..8 {
        raw.refused(n, to_board(&grove, board));
    }
    raw.send(&Frame::Open(mine(9), to_board(&grove, board)));
    grove.ends_with(Fault::Strikes);
    raw.read_to_end();
    assert_eq!(grove.hub.strikes(), 8);
}

#[test]
fn a_child_cannot_claim_the_routes_of_others() {
    let mut grove = Grove::new();
    let board = grove.id("board");
    let (mut raw, id) = Raw::child(grove.address);
    let (start, count) = raw.allocate(64);
    assert_eq!(count, 64);
    let add = |id, via| Frame::Tree(TreeFrame::AddRoute { id, via, name: "mole" });
    assert!(raw.send(&add(start, id)));
    eventually("its own is known", || grove.hub.nodes().iter().any(|info| info.id == start).then_some(()));
    // Another's, the hub's, one that nobody has, its own once more, its own id, and one below a node that is not its own.
    let claims =
        [add(board, id), add(1, id), add(start + 64, id), add(start, id), add(id, id), add(start + 1, board)];
    for (frame, strikes) in claims.iter().zip(1..) {
        raw.send(frame);
        eventually("it is counted", || (grove.hub.strikes() == strikes).then_some(()));
    }
    grove.goes_on();
    let name = |node: &Node, id| node.nodes().iter().find(|info| info.id == id).map(|info| info.name.clone());
    assert_eq!(name(&grove.hub, board).as_deref(), Some("board"));
    // Nor withdraw them.
    raw.send(&Frame::Tree(TreeFrame::DelRoute(board, Reason::LinkLost)));
    raw.send(&Frame::Tree(TreeFrame::DelRoute(id, Reason::LinkLost)));
    grove.ends_with(Fault::Strikes);
    assert_eq!(name(&grove.hub, board).as_deref(), Some("board"));
    eventually("what it claimed goes with it", || name(&grove.hub, start).is_none().then_some(()));
    // Nobody gets those ids again.
    let (_raw, next) = Raw::child(grove.address);
    assert!(next >= start + 64, "{next} was given before");
}

#[test]
fn frames_of_the_tree_come_from_those_alone_who_may_send_them() {
    let mut grove = Grove::new();
    let child_may_not = [
        TreeFrame::Adopt { id: 7, above: Default::default(), place: "" },
        TreeFrame::Grant { start: 100, count: 5 },
        TreeFrame::Shutdown { grace_ms: 0 },
    ];
    for frame in child_may_not {
        // Without anybody above it, this is no frame that can be read at all.
        let fault = match frame {
            TreeFrame::Adopt { .. } => Fault::Frame(netchan::proto::FrameError::Value),
            _ => Fault::NotTheirs,
        };
        let (mut raw, _) = Raw::child(grove.address);
        raw.send(&Frame::Tree(frame));
        grove.ends_with(fault);
    }
    let nobody_else_may = [
        TreeFrame::Allocate(5),
        TreeFrame::AddRoute { id: 50, via: 2, name: "mole" },
        TreeFrame::DelRoute(2, Reason::LinkLost),
        TreeFrame::Shutdown { grace_ms: 0 },
    ];
    for kind in [LinkKind::Peer, LinkKind::Either] {
        for frame in nobody_else_may {
            let mut raw = Raw::connect(grove.address);
            raw.bring_up_as(kind, false);
            raw.send(&Frame::Tree(frame));
            grove.ends_with(Fault::NotTheirs);
        }
    }
}

#[test]
fn a_child_gets_no_more_ids_than_its_share() {
    let mut grove = Grove::new();
    let (mut raw, _) = Raw::child(grove.address);
    let mut got = 1;
    loop {
        let (_, count) = raw.allocate(u32::MAX);
        if count == 0 {
            break;
        }
        got += count;
    }
    // And of what is its own already, two in a second.
    assert!((65_537..66_000).contains(&got), "{got} ids");
    // One question at a time.
    raw.send(&Frame::Tree(TreeFrame::Allocate(0)));
    eventually("it is counted", || (grove.hub.strikes() == 1).then_some(()));
    grove.goes_on();
    let (_other, id) = Raw::child(grove.address);
    assert!(id > got, "there are ids for others");
}

/// Each time it had as many again: after 7 minutes there were none in the world.
#[test]
fn a_child_that_comes_again_and_again_gets_no_more_ids_than_all_have() {
    let mut grove = Grove::new();
    let (mut honest, mut last) = Raw::child(grove.address);
    let first = last;
    let all: Vec<u8> = (0..1024).flat_map(|_| packet(&Frame::Tree(TreeFrame::Allocate(64)))).collect();
    for _ in 0..20 {
        let (mut raw, id) = Raw::child(grove.address);
        assert!(id >= last, "{id} was given before");
        raw.bytes(&all);
        for _ in 0..1024 {
            let (start, count) = raw.granted();
            last = last.max(start + count);
        }
    }
    // 2^20 at once, and after that 16 in a second.
    assert!((1_000_000..1_100_000).contains(&(last - first)), "{} ids", last - first);
    // Whoever was there before has some of its own, and who comes now is adopted.
    eventually("it has its part", || (honest.allocate(1).1 == 1).then_some(()));
    let (_other, id) = Raw::child(grove.address);
    assert!(id >= last);
    assert_eq!(grove.hub.strikes(), 0);
    grove.goes_on();
}

/// It waited for ever, for there was nobody who had an id for it.
#[test]
fn who_waits_for_an_id_is_told_when_there_are_none_left() -> Outcome {
    let _calm = calm();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let node = Node::new("middle");
    let own = node.clone();
    let joining =
        spawn(move || tcp::connect_with(&own, at, tcp::Options::new().join().live_on()).wait().map(drop));
    let mut raw = Raw::accept(&listener);
    raw.bring_up_as(LinkKind::Either, true);
    let above = netchan::proto::Above::default().below(1).expect("one");
    raw.send(&Frame::Tree(TreeFrame::Adopt { id: u32::MAX, above, place: "" }));
    joining.join()?;
    let below = tcp::listen_with(&node, "127.0.0.1:0", tcp::Options::new().adopt())?.address();
    let join = move || tcp::join(&Node::new("below"), below).timeout(SOON).wait().map(drop);
    let waiting = spawn(join);
    raw.expect("a question", |frame| matches!(frame, Frame::Tree(TreeFrame::Allocate(1))).then_some(()));
    drop(raw);
    let none = LinkError::Fault(Fault::Goodbye(Reason::NoResources));
    for refused in [waiting.join(), join()] {
        assert!(matches!(&refused, Err(tcp::ConnectError::Link(error)) if *error == none), "{refused:?}");
    }
    Ok(())
}

#[test]
fn what_leads_nowhere_is_told_and_goes_nowhere() {
    let mut grove = Grove::new();
    let (mut raw, id) = Raw::child(grove.address);
    let dead = raw.refused(0, Open { route: route(id, 4_000_000), ..receives::<Tick>("ticks", 100) });
    assert_eq!(dead, Dead::peer(Reason::NoRoute));
    // Who asks for a node behind itself has just lost it.
    let (start, _) = raw.allocate(64);
    raw.send(&Frame::Tree(TreeFrame::AddRoute { id: start, via: id, name: "gone" }));
    let dead = raw.refused(1, Open { route: route(id, start), ..receives::<Tick>("ticks", 100) });
    assert_eq!(dead, Dead::peer(Reason::NoRoute));
    let far = Route { from: id, hops: 15, to: grove.id("board"), path: "" };
    let dead = raw.refused(2, Open { route: Some(far), ..receives::<Tick>("ticks", 100) });
    assert_eq!(dead, Dead::peer(Reason::HopLimit));
    // A peer reaches nothing behind.
    let mut peer = Raw::up(grove.address);
    let dead = peer.refused(0, Open { route: route(1, grove.id("board")), ..receives::<Tick>("ticks", 100) });
    assert_eq!(dead, Dead::peer(Reason::NoRoute));
    grove.goes_on();
    assert_eq!(grove.hub.strikes(), 0, "these were mistakes, not claims");
}

#[test]
fn a_parent_that_asks_for_what_is_not_there_is_not_asked_back() -> Outcome {
    let _calm = calm();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let node = Node::new("child");
    let own = node.clone();
    let joining = spawn(move || tcp::connect_with(&own, at, tcp::Options::new().join()).wait().map(drop));
    let mut raw = Raw::accept(&listener);
    raw.bring_up_as(LinkKind::Either, true);
    let above = netchan::proto::Above::default().below(1).expect("one");
    raw.send(&Frame::Tree(TreeFrame::Adopt { id: 5, above, place: "" }));
    joining.join()?;
    assert_eq!((node.id(), node.above()), (5, vec![1]));
    let _ticks: Sender<Tick> = node.export("ticks")?;
    let open = |from, to| Open { route: route(from, to), ..receives::<Tick>("ticks", 100) };
    assert_eq!(raw.refused(0, open(1, 77)), Dead::peer(Reason::NoRoute));
    // Nor may it speak for the child itself.
    assert_eq!(raw.refused(1, open(5, 5)), Dead::peer(Reason::Refused));
    // Aside: refused by the export. Above: taken.
    assert_eq!(raw.refused(2, open(9, 5)), Dead::peer(Reason::Refused));
    raw.open(3, open(1, 5));
    // What nobody asked for is not taken.
    raw.send(&Frame::Tree(TreeFrame::Grant { start: 1, count: 5 }));
    eventually("it is counted", || (node.strikes() == 2).then_some(()));
    // Another id in the same session is not either.
    raw.send(&Frame::Tree(TreeFrame::Adopt { id: 6, above, place: "" }));
    eventually("it is counted", || (node.strikes() == 3).then_some(()));
    assert_eq!(node.id(), 5);
    Ok(())
}

/// The circuit that the hub opens to the raw child for an import from the desk.
fn raw_exports(grove: &Grove, raw: &mut Raw, id: u32) -> (Handle, common::Task<Receiver<Vec<u8>>>) {
    let remote = grove._desk.remote_id(id);
    let importing = spawn(move || {
        remote.import::<Receiver<Vec<u8>>>("blobs").timeout(SOON).wait().expect("it is accepted")
    });
    let handle = raw.opened();
    raw.send(&Frame::Accept(handle, Accept { which: 0, credit: 0, limit: 0 }));
    (handle, importing)
}

/// The circuit of an import that sends to the raw child, which takes two messages of the limit.
fn raw_sink(grove: &Grove, raw: &mut Raw, id: u32, limit: u32) -> (Handle, Sender<Vec<u8>>) {
    let remote = grove._desk.remote_id(id);
    let importing =
        spawn(move || remote.import::<Sender<Vec<u8>>>("sink").timeout(SOON).wait().expect("it is accepted"));
    let handle = raw.opened();
    raw.send(&Frame::Accept(handle, Accept { which: 0, credit: 2 * limit, limit }));
    (handle, importing.join())
}

#[test]
fn a_child_that_asks_for_half_of_a_links_memory_gets_none_of_it() {
    let mut grove = Grove::new();
    let (mut raw, id) = Raw::child(grove.address);
    let remote = grove._desk.remote_id(id);
    let importing = spawn(move || remote.import::<Sender<Vec<u8>>>("sink").timeout(SOON).wait().map(drop));
    let handle = raw.opened();
    raw.send(&Frame::Accept(handle, Accept { which: 0, credit: 40 << 20, limit: 16 << 20 }));
    let error = importing.join().expect_err("no message of that length passes");
    assert!(matches!(*error, ImportError::NoResources), "{error}");
    grove.goes_on();
}

#[test]
fn a_child_that_sends_beyond_its_credit_ends_alone_and_its_reader_is_told() {
    let mut grove = Grove::new();
    let (mut raw, id) = Raw::child(grove.address);
    let (handle, importing) = raw_exports(&grove, &mut raw, id);
    let mut got = importing.join();
    // More than any window, without a look at what was granted.
    let chunk = vec![0; 16 * 1024];
    let mut message = vec![0; 5];
    let used = netchan::proto::varint::put(&mut message, 0, chunk.len() as u32 - 3);
    message.truncate(used);
    message.resize(chunk.len() - 3 + used, 7);
    for _ in 0..200 {
        if !raw.data(handle, &message) {
            break;
        }
    }
    grove.ends_with(Fault::OverCredit);
    let error = loop {
        match got.recv().timeout(SOON).wait() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let RecvError::Dead(dead) = error else { panic!("{error}") };
    assert_eq!((dead.reason, dead.at), (Reason::Protocol, Place::Peer));
}

#[test]
fn a_child_that_takes_nothing_holds_up_its_own_circuits_only() {
    let mut grove = Grove::new();
    let (mut raw, id) = Raw::child(grove.address);
    let (handle, mut sender) = raw_sink(&grove, &mut raw, id, 1024);
    let mut sent = 0;
    let refused = loop {
        match sender.send(vec![0; 1000]).timeout(Duration::from_millis(200)).wait() {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 100_000, "somebody takes it all");
    };
    assert_eq!(refused.cause(), SendCause::Deadline);
    // Two for the child, and what the bridge has promised to hold: a few KiB.
    assert!((3..100).contains(&sent), "{sent} values are under way");
    let waiting: u64 = grove.hub.links().iter().map(|link| link.waiting).sum();
    assert!(waiting < 100_000, "{waiting} bytes wait");
    grove.goes_on();
    // It dies with the values: nobody is told that they were taken.
    raw.send(&Frame::Dead(
        handle,
        DeadFrame { dead: Dead::here(Reason::HungUp), taken: Total::new(1), detail: "" },
    ));
    let account = eventually("the sender is told", || match sender.try_send(vec![]) {
        Ok(()) => {
            sent += 1;
            None
        }
        Err(error) => matches!(error.cause(), SendCause::Dead(_)).then(|| sender.account()),
    });
    assert_eq!((account.confirmed, account.in_doubt + account.unsent), (1, sent - 1));
    // A death is never answered by another.
    raw.expect("the end of it", |frame| match frame {
        Frame::Done(ended, _) if *ended == handle => Some(()),
        Frame::Dead(..) => panic!("a death for a death"),
        _ => None,
    });
}

#[test]
fn a_message_that_no_hop_takes_is_refused_at_the_send() {
    let mut grove = Grove::new();
    let (mut raw, id) = Raw::child(grove.address);
    let (_, mut sender) = raw_sink(&grove, &mut raw, id, 1024);
    let error = sender.send(vec![0; 2000]).timeout(SOON).wait().unwrap_err();
    assert_eq!(error.cause(), SendCause::TooLarge(1024));
    grove.goes_on();
}

#[test]
fn circuits_that_are_opened_and_cancelled_through_a_bridge_leave_nothing_behind() {
    let mut grove = Grove::new();
    let (mut raw, id) = Raw::child(grove.address);
    let circuits = |node: &Node| node.links().iter().map(|link| link.circuits).sum::<u32>();
    let before = circuits(&grove.hub);
    let mut handle = 0;
    let open = to_board(&grove, id);
    let cancel = DeadFrame { dead: Dead::here(Reason::Cancelled), taken: Total::ZERO, detail: "" };
    for _ in 0..3000 {
        raw.send(&Frame::Open(mine(handle), open));
        raw.send(&Frame::Dead(mine(handle), cancel));
        // The handle is free when the answer has come, whichever that is.
        raw.expect("an end", |frame| match frame {
            Frame::Done(ended, _) | Frame::Dead(ended, _) if *ended == mine(handle) => Some(()),
            _ => None,
        });
        handle = (handle + 1) % 7;
    }
    eventually("all are gone", || (circuits(&grove.hub) == before).then_some(()));
    grove.goes_on();
}

#[test]
fn a_bridge_without_room_says_so_with_its_name_and_is_not_used_up() {
    // Room for a few circuits of 64 KiB, and no more.
    let mut grove = Grove::with(Config::new().memory_per_link(2 << 20, 0));
    let (mut raw, id) = Raw::child(grove.address);
    let mut opened = 0;
    let board = grove.id("board");
    let open =
        Open { route: route(id, board), credit: 200_000, limit: 65_536, ..receives::<Tick>("ticks", 0) };
    let detail = loop {
        raw.send(&Frame::Open(mine(opened), open));
        let detail = raw.expect("an answer", |frame| match frame {
            Frame::Accept(..) => Some(None),
            Frame::Dead(_, dead) => Some(Some((dead.dead, dead.detail.to_string()))),
            _ => None,
        });
        if let Some(detail) = detail {
            break detail;
        }
        opened += 1;
        assert!(opened < 1000, "there is room without end");
    };
    assert_eq!(detail, (Dead::peer(Reason::NoResources), "hub".to_string()));
    assert!((3..8).contains(&opened), "{opened} circuits in its third of 2 MiB");
    grove.goes_on();
    drop(raw);
    // It is given back.
    let passing = |node: &Node| node.links().iter().map(|link| link.passing).sum::<u32>();
    eventually("its circuits are gone", || (passing(&grove.hub) == 2).then_some(()));
    let (mut raw, id) = Raw::child(grove.address);
    raw.open(0, Open { route: route(id, board), ..open });
}

#[test]
fn a_child_that_does_not_end_when_told_is_left_alone() {
    let mut grove = Grove::new();
    let (mut raw, id) = Raw::child(grove.address);
    let told = |frame: &Frame<'_>| matches!(frame, Frame::Tree(TreeFrame::Shutdown { .. })).then_some(());
    grove.hub.shut_down_below(Duration::ZERO);
    raw.expect("it is told", told);
    // Those that obey are gone at once, and know why.
    let error = grove.got.recv().timeout(SOON).wait().unwrap_err();
    assert!(matches!(error, RecvError::Dead(dead) if dead.reason == Reason::Shutdown), "{error}");
    // This one says nothing, and reads on: its link is ended from here.
    raw.read_to_end();
    eventually("its link ends", || match grove.hub.next_event()? {
        LinkEvent::Down { error: LinkError::Local(Reason::Shutdown), .. } => Some(()),
        _ => None,
    });
    eventually("it is gone", || (!grove.hub.nodes().iter().any(|info| info.id == id)).then_some(()));
    assert!(!grove.hub.is_shut());
}

#[test]
fn lists_that_nobody_takes_are_in_nobodys_way() -> Outcome {
    let _calm = calm();
    let adopts = |node: &Node| {
        tcp::listen_with(node, "127.0.0.1:0", tcp::Options::new().adopt()).expect("a free port").address()
    };
    let (hub, bridge, desk) = (Node::new("hub"), Node::new("bridge"), Node::new("desk"));
    tcp::join(&bridge, adopts(&hub)).wait()?;
    let at_bridge = adopts(&bridge);
    tcp::join(&desk, at_bridge).wait()?;
    // More than the bridge takes of a circuit that does not move on.
    let all: Vec<Sender<Tick>> =
        (0..500).map(|n| hub.export(&format!("{n:060}"))).collect::<Result<_, _>>()?;
    let ask = |from, limit| Open { route: route(from, 1), limit, ..receives::<ExportInfo>("$exports", 1000) };
    let (mut raw, id) = Raw::child(at_bridge);
    for n in 0..4 {
        raw.open(n, ask(id, 1000));
    }
    assert_eq!(raw.refused(4, ask(id, 1000)), Dead { reason: Reason::Busy, at: Place::Node(1) });
    // Nor may it have them all in the names of nodes below it.
    let (ids, _) = with_many(&mut raw, id);
    let mut n = 5;
    while lists(&mut raw, n, ask(ids + n / 4, 1000)).is_none() {
        n += 1;
    }
    assert_eq!(n, 15, "14 lists, a third of what the bridge lets up");
    assert_eq!(lists(&mut raw, n + 1, ask(ids, 1000)), Some(Dead::peer(Reason::NoResources)));
    let list = desk.remote("/").exports().timeout(SOON).wait()?;
    assert_eq!(list.into_iter().filter(Result::is_ok).count(), all.len());
    // On its own link the oldest makes room.
    let (mut own, id) = Raw::child(adopts(&hub));
    let (ids, _) = with_many(&mut own, id);
    for n in 0..65 {
        assert!(own.send(&Frame::Open(mine(n), ask(ids + n / 4, 1000))));
    }
    let given_up = |raw: &mut Raw, n| {
        raw.expect("it is given up", |frame| match frame {
            Frame::Dead(handle, dead) if *handle == mine(n) => Some(dead.dead.reason),
            _ => None,
        })
    };
    assert_eq!(given_up(&mut own, 0), Reason::TooSlow, "the oldest has made room");
    // An entry that is longer than its importer takes ends the list.
    let mut short = Raw::child(adopts(&hub));
    short.0.open(0, ask(short.1, 10));
    assert_eq!(given_up(&mut short.0, 0), Reason::TooLarge);
    Ok(())
}

/// Who took whatever came had lists made for it without end.
#[test]
fn who_asks_for_lists_without_end_has_so_many_in_a_second() -> Outcome {
    let mut grove = Grove::new();
    let (mut raw, id) = Raw::child(grove.address);
    let (behind, _) = raw.allocate(1);
    assert!(raw.send(&Frame::Tree(TreeFrame::AddRoute { id: behind, via: id, name: "behind" })));
    let mut asked = |n: &mut u32, by| {
        let ask = Open { route: route(by, 1), ..receives::<ExportInfo>("$exports", 1000) };
        let why = lists(&mut raw, *n, ask);
        if why.is_none() {
            let ended = raw.expect("its end", |frame| match frame {
                Frame::End(handle, total) if *handle == mine(*n) => Some(*total),
                _ => None,
            });
            raw.send(&Frame::Done(mine(*n), ended));
        }
        *n += 1;
        why
    };
    let (from, mut n, mut made) = (Instant::now(), 0, 0);
    for _ in 0..8 {
        while asked(&mut n, id).is_none() {
            made += 1;
        }
        assert_eq!(asked(&mut n, id).map_or(Reason::Busy, |dead| dead.reason), Reason::Busy);
        // What there is for another node behind the same link it leaves.
        assert_eq!(asked(&mut n, behind), None);
    }
    // An empty one is looked for and looked through: two parts.
    let most = (256.0 + 256.0 * from.elapsed().as_secs_f64()) / 2.0;
    assert!(f64::from(made) <= most + 10.0, "{made} lists, and no more than {most:.0} are for it");
    assert!(made >= 40, "{made} lists");
    // Nobody else notices, and it may ask again a moment later.
    let list = grove._desk.remote("/").nodes().timeout(SOON).wait()?;
    assert_eq!(list.into_iter().filter(Result::is_ok).count(), 5);
    eventually("it has another one", || asked(&mut n, id).is_none().then_some(()));
    assert_eq!(grove.hub.strikes(), 0);
    grove.goes_on();
    Ok(())
}

/// What becomes of the open of a list: why it is refused.
fn lists(raw: &mut Raw, n: u32, open: Open<'_>) -> Option<Dead> {
    assert!(raw.send(&Frame::Open(mine(n), open)));
    raw.expect("an answer", |frame| match frame {
        Frame::Dead(handle, dead) if *handle == mine(n) => Some(Some(dead.dead)),
        Frame::Accept(handle, _) if *handle == mine(n) => Some(None),
        _ => None,
    })
}

/// A child says that there are many nodes below it.
fn with_many(raw: &mut Raw, via: u32) -> (u32, u32) {
    let (start, count) = raw.allocate(64);
    for id in start..start + count {
        assert!(raw.send(&Frame::Tree(TreeFrame::AddRoute { id, via, name: "x" })));
    }
    (start, count)
}

#[test]
fn who_waits_for_many_exports_keeps_nobody_else_from_waiting() -> Outcome {
    let _calm = calm();
    let adopts = |node: &Node| {
        tcp::listen_with(node, "127.0.0.1:0", tcp::Options::new().adopt()).expect("a free port").address()
    };
    let (hub, bridge, desk) = (Node::new("hub"), Node::new("bridge"), Node::new("desk"));
    tcp::join(&bridge, adopts(&hub)).wait()?;
    let at_bridge = adopts(&bridge);
    tcp::join(&desk, at_bridge).wait()?;
    let (mut raw, id) = Raw::child(at_bridge);
    let wait = Open { wait_ms: 60_000, route: route(id, 1), ..receives::<Tick>("never", 100) };
    for n in 0..64 {
        assert!(raw.send(&Frame::Open(mine(n), wait)));
    }
    let dead = raw.refused(64, wait);
    assert_eq!((dead.reason, dead.at), (Reason::NoResources, Place::Node(1)));
    let hub_of = desk.remote("/");
    let importing = spawn(move || hub_of.import::<Receiver<Tick>>("late").timeout(SOON).wait());
    eventually("it waits too", || (hub.links()[0].circuits == 65).then_some(()));
    let mut late: Sender<Tick> = hub.export("late")?;
    late.send(tick(1)).timeout(SOON).wait()?;
    let mut got = importing.join().expect("it has waited");
    assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(1)));
    Ok(())
}

#[test]
fn who_waits_in_the_names_of_many_keeps_nobody_else_from_waiting() -> Outcome {
    let _calm = calm();
    let adopts = |node: &Node| {
        tcp::listen_with(node, "127.0.0.1:0", tcp::Options::new().adopt()).expect("a free port").address()
    };
    let (hub, bridge, desk) = (Node::new("hub"), Node::new("bridge"), Node::new("desk"));
    tcp::join(&bridge, adopts(&hub)).wait()?;
    let at_bridge = adopts(&bridge);
    tcp::join(&desk, at_bridge).wait()?;
    let (mut raw, id) = Raw::child(at_bridge);
    let (ids, count) = with_many(&mut raw, id);
    let wait = |from| Open { wait_ms: 60_000, route: route(from, 1), ..receives::<Tick>("never", 100) };
    for n in 0..64 * count {
        assert!(raw.send(&Frame::Open(mine(n), wait(ids + n / 64))));
    }
    // All have been looked at when a last one is refused.
    raw.refused(64 * count, Open { wait_ms: 0, ..wait(id) });
    let most = 16 * 1024 / 4;
    let waiting = bridge.links()[0].passing;
    assert!((1000..most).contains(&waiting), "{waiting} wait, of the channels of the link a share");
    eventually("all of them wait", || (hub.links()[0].circuits == waiting).then_some(()));
    let hub_of = desk.remote("/");
    let importing = spawn(move || hub_of.import::<Receiver<Tick>>("late").timeout(SOON).wait());
    eventually("it waits too", || (hub.links()[0].circuits == waiting + 1).then_some(()));
    let mut late: Sender<Tick> = hub.export("late")?;
    late.send(tick(1)).timeout(SOON).wait()?;
    let mut got = importing.join().expect("it has waited");
    assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(1)));
    assert_eq!((hub.strikes(), bridge.strikes()), (0, 0));
    Ok(())
}

#[test]
fn a_child_that_opens_all_it_can_keeps_nobody_else_from_a_board() {
    let mut grove = Grove::new();
    let (hub, board) = (grove.hub.clone(), grove.id("board"));
    let sink: Receiver<Tick> = hub.export("sink").expect("a free name");
    let passing = || hub.links().iter().map(|link| link.passing).sum::<u32>();
    let at_first = passing();
    let (mut raw, id) = Raw::child(grove.address);
    let open = |limit: u32| Open {
        route: route(id, board),
        credit: 2 * (limit + 4),
        limit,
        ..receives::<Tick>("ticks", 0)
    };
    let mut n = 0;
    let mut fill = |limit: u32| {
        let first = n;
        while lists(&mut raw, n, open(limit)).is_none() {
            n += 1;
        }
        n += 1;
        n - first - 1
    };
    // The longest messages that pass, and when there is no room for those, short ones.
    assert_eq!(fill((4 << 20) - 8), 2);
    assert!(fill(100) > 500, "there is a rest of its share");
    let import = |from: &Node, name: &str| {
        let remote = from.remote_id(if name == "sink" { hub.id() } else { board });
        match name {
            "sink" => remote.import::<Sender<Tick>>(name).timeout(SOON).wait().map(drop),
            _ => remote.import::<Receiver<Tick>>(name).timeout(SOON).wait().map(drop),
        }
    };
    import(&grove._desk, "ticks").expect("another child has a share of its own");
    import(&hub, "ticks").expect("the node itself has what it needs");
    import(&grove._board, "sink").expect("the board has its own link");
    grove.goes_on();
    // What it has had is there again for the next one.
    drop(raw);
    eventually("nothing of it passes any more", || (passing() == at_first).then_some(()));
    let (mut raw, id) = Raw::child(grove.address);
    let again = Open { route: route(id, board), ..open((4 << 20) - 8) };
    assert!((0..2).all(|n| lists(&mut raw, n, again).is_none()));
    drop(sink);
}

#[test]
fn a_place_is_believed_of_whoever_is_behind_the_link() -> Outcome {
    let grove = Grove::new();
    let (mut raw, id) = Raw::child(grove.address);
    let (below, _) = with_many(&mut raw, id);
    let hub = grove.hub.clone();
    eventually("those below are known", || (hub.nodes().len() > 60).then_some(()));
    let (board, desk) = (grove.id("board"), grove._desk.clone());
    let mut said = |from: &Node, at: Place| {
        let remote = from.remote_id(id);
        let importing = spawn(move || remote.import::<Receiver<Tick>>("x").timeout(SOON).wait().map(drop));
        let handle = raw.opened();
        let dead = Dead { reason: Reason::LinkLost, at };
        raw.send(&Frame::Dead(handle, DeadFrame { dead, taken: Total::ZERO, detail: "" }));
        place(&importing.join().expect_err("it is dead"))
    };
    for at in [Place::Peer, Place::Node(board), Place::Node(hub.id()), Place::Node(desk.id())] {
        assert_eq!(said(&desk, at), Place::Node(id), "{at:?}");
        assert_eq!(said(&hub, at), Place::Peer, "{at:?}");
    }
    for at in [Place::Node(id), Place::Node(below)] {
        assert_eq!((said(&desk, at), said(&hub, at)), (at, at));
    }
    Ok(())
}

#[test]
fn a_place_above_is_believed_of_whoever_is_not_below() -> Outcome {
    let _calm = calm();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let (node, peer) = (Node::new("child"), Node::new("peer"));
    let own = node.clone();
    let joining = spawn(move || tcp::connect_with(&own, at, tcp::Options::new().join()).wait().map(drop));
    let mut raw = Raw::accept(&listener);
    raw.bring_up_as(LinkKind::Either, true);
    let above = netchan::proto::Above::default().below(1).expect("one");
    raw.send(&Frame::Tree(TreeFrame::Adopt { id: 5, above, place: "" }));
    joining.join()?;
    let said = |raw: &mut Raw, importing: common::Task<Result<(), Place>>, at| {
        let handle = raw.opened();
        let dead = Dead { reason: Reason::LinkLost, at };
        raw.send(&Frame::Dead(handle, DeadFrame { dead, taken: Total::ZERO, detail: "" }));
        importing.join().expect_err("it is dead")
    };
    for (at, heard) in [(9, Place::Node(9)), (5, Place::Peer)] {
        let import = node.remote("/").import::<Receiver<Tick>>("x").timeout(SOON);
        let importing = spawn(move || import.wait().map(drop).map_err(|error| place(&error)));
        assert_eq!(said(&mut raw, importing, Place::Node(at)), heard);
    }
    // A peer speaks for itself.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let connecting = spawn(move || tcp::connect(&peer, at).wait().map(|to| (peer, to)));
    let mut raw = Raw::accept(&listener);
    raw.bring_up();
    let (_peer, to) = connecting.join()?;
    let import = to.import::<Receiver<Tick>>("x").timeout(SOON);
    let importing = spawn(move || import.wait().map(drop).map_err(|error| place(&error)));
    assert_eq!(said(&mut raw, importing, Place::Node(9)), Place::Peer);
    Ok(())
}

/// Where an import was given up.
fn place(error: &ImportError) -> Place {
    match error {
        ImportError::Dead(dead) => dead.at,
        other => panic!("{other}"),
    }
}

/// A list that is long, and its importer slow.
#[test]
fn a_long_list_comes_as_it_is_taken_and_is_whole() -> Outcome {
    let _calm = calm();
    let hub = Node::new("hub");
    let at = tcp::listen_with(&hub, "127.0.0.1:0", tcp::Options::new().adopt())?.address();
    let desk = Node::new("desk");
    tcp::join(&desk, at).wait()?;
    let (mut raw, id) = Raw::child(at);
    let mut ids = vec![1, desk.id(), id];
    for _ in 0..20 {
        let (start, count) = with_many(&mut raw, id);
        ids.extend(start..start + count);
    }
    eventually("all are known", || (hub.nodes().len() == ids.len() - 1).then_some(()));
    let mut list = desk.remote("/").nodes().message_limit(64).window(1).timeout(SOON).wait()?;
    let first = list.recv().timeout(SOON).wait()?;
    // One that comes now is in it, for its id is not told yet.
    let late = Node::new("late");
    tcp::join(&late, at).wait()?;
    eventually("it is known", || (hub.nodes().len() == ids.len()).then_some(()));
    ids.push(late.id());
    let mut got = vec![first.id];
    for info in &mut list {
        got.push(info?.id);
    }
    assert!(got[1..].is_sorted(), "in the order of the ids");
    assert_eq!((got[0], got.len()), (1, ids.len()));
    ids.sort_unstable();
    got.sort_unstable();
    assert_eq!(got, ids);
    // Links, and exports, the same way.
    let links = desk.remote("/").links().timeout(SOON).wait()?.collect::<Result<Vec<_>, _>>()?;
    assert!(links.iter().map(|link| link.id).eq([desk.id(), id, late.id()]));
    let all: Vec<Sender<Tick>> =
        (0..1000).map(|n| hub.export(&format!("{n:04}"))).collect::<Result<_, _>>()?;
    let exports = desk.remote("/").exports().timeout(SOON).wait()?.collect::<Result<Vec<_>, _>>()?;
    assert_eq!(exports.len(), all.len());
    assert!(exports.is_sorted_by_key(|info| &info.name));
    Ok(())
}

#[test]
fn random_frames_of_a_child_end_its_link_only() {
    let mut grove = Grove::new();
    let mut rng = common::Rng::new("random_frames_of_a_child_end_its_link_only");
    for _ in 0..40 {
        let (mut raw, id) = Raw::child(grove.address);
        let board = grove.id("board");
        for _ in 0..60 {
            let small =
                |rng: &mut common::Rng| [0, 1, id, board, id + 1, 63, 64, 4_000_000][rng.below(8) as usize];
            let handle = mine(rng.below(4) as u32);
            let (a, b) = (small(&mut rng).max(1), small(&mut rng));
            let frame = match rng.below(12) {
                0 => Frame::Tree(TreeFrame::AddRoute { id: a, via: b.max(1), name: "x" }),
                1 => Frame::Tree(TreeFrame::DelRoute(a, Reason::LinkLost)),
                2 => Frame::Tree(TreeFrame::Allocate(b)),
                3 => Frame::Open(handle, Open { route: route(a, b.max(1)), ..receives::<Tick>("ticks", b) }),
                4 => Frame::Open(handle, Open { route: route(id, board), ..sends::<Tick>("ticks") }),
                5 => Frame::Data(handle, Part::Whole, &[1]),
                6 => Frame::Credit(handle, Total::new(b)),
                7 => Frame::Taken(handle, Total::new(b)),
                8 => Frame::End(handle, Total::new(0)),
                9 => Frame::Done(handle, Total::new(0)),
                10 => Frame::Attach(handle, mine(9), 0, Open { name: "", ..receives::<Tick>("", 100) }),
                _ => Frame::Dead(
                    handle,
                    DeadFrame { dead: Dead::here(Reason::Cancelled), taken: Total::ZERO, detail: "" },
                ),
            };
            if !raw.send(&frame) {
                break;
            }
        }
        raw.finish();
        eventually("its link ends", || match grove.hub.next_event()? {
            LinkEvent::Down { .. } => Some(()),
            _ => None,
        });
        grove.goes_on();
    }
}

#[test]
fn a_child_that_asks_and_does_not_read_is_answered_in_bits_alone() {
    let mut grove = Grove::new();
    let (mut raw, id) = Raw::child(grove.address);
    // Refusals carry the bridge's name: as many as are written to somebody who reads none of them.
    let nowhere = Open { route: route(id, 4_000_000), ..receives::<Tick>("ticks", 100) };
    let mut open = packet(&Frame::Open(mine(0), nowhere));
    open.extend(packet(&Frame::Done(mine(0), Total::ZERO)));
    let flood: Vec<u8> = open.iter().copied().cycle().take(open.len() * 400).collect();
    raw.stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a socket");
    for _ in 0..2000 {
        let waiting: u64 = grove.hub.links().iter().map(|link| link.waiting).sum();
        assert!(waiting < 2 << 20, "{waiting} bytes wait for somebody who does not read");
        // In the end it is taken for what it is, or nothing more of it is read.
        if !raw.bytes(&flood) {
            break;
        }
    }
    grove.goes_on();
}

/// Opens so many exports that are not there, and hears that of each; `false` where the link has ended by then.
fn asks_for_nothing(raw: &mut Raw, open: Open<'_>, count: u32) -> bool {
    let opens: Vec<u8> = (0..count).flat_map(|n| packet(&Frame::Open(mine(n), open))).collect();
    let over: Vec<u8> = (0..count).flat_map(|n| packet(&Frame::Done(mine(n), Total::ZERO))).collect();
    if !raw.bytes(&opens) {
        return false;
    }
    let mut refused = 0;
    while refused < count {
        let Some(frame) = raw.frame() else { return false };
        match Frame::parse(&frame).expect("a node sends good frames") {
            Frame::Dead(_, dead) if dead.dead.reason == Reason::NoName => refused += 1,
            Frame::Goodbye(..) => return false,
            _ => {}
        }
    }
    raw.bytes(&over)
}

#[test]
fn a_flood_of_opens_that_are_refused_ends_its_link() {
    let mut grove = Grove::new();
    // As many as somebody may have refused who tries again and again.
    let (mut raw, id) = Raw::child(grove.address);
    let nothing = Open { route: route(id, grove.hub.id()), ..receives::<Tick>("nothing", 100) };
    assert!(asks_for_nothing(&mut raw, nothing, 4000));
    assert_eq!(grove.hub.strikes(), 0);
    // For what nodes behind a neighbour open, it is not struck: it may be an honest bridge.
    let (below, _) = with_many(&mut raw, id);
    for _ in 0..10 {
        let of_others = Open { route: route(below, grove.hub.id()), ..nothing };
        assert!(asks_for_nothing(&mut raw, of_others, 1000));
    }
    assert_eq!(grove.hub.strikes(), 0);
    // Whoever it is, a child or a peer, and however it says so.
    let (mut child, id) = Raw::child(grove.address);
    let to_hub = Open { route: route(id, grove.hub.id()), ..nothing };
    let own = Open { route: None, ..nothing };
    for (raw, open, strikes) in [(&mut child, to_hub, 8), (&mut Raw::up(grove.address), own, 16)] {
        let from = Instant::now();
        while asks_for_nothing(raw, open, 1000) {
            assert!(from.elapsed() < 6 * SOON, "{} strikes", grove.hub.strikes());
        }
        assert_eq!(grove.hub.strikes(), strikes);
        grove.ends_with(Fault::Strikes);
    }
}

#[test]
fn circuits_for_a_message_that_never_comes_are_few() {
    let mut grove = Grove::new();
    let (mut raw, id) = Raw::child(grove.address);
    let (mut sink, sink_id) = Raw::child(grove.address);
    raw.send(&Frame::Open(mine(0), Open { route: route(id, sink_id), ..sends::<Tick>("sink") }));
    let handle = sink.opened();
    sink.send(&Frame::Accept(handle, Accept { which: 0, credit: 4096, limit: 1024 }));
    raw.expect("an accept", |frame| matches!(frame, Frame::Accept(..)).then_some(()));
    // Each is given up before its message, and makes room for the next one.
    let end = Open { name: "", ..receives::<Tick>("", 100) };
    let mut ended = false;
    for n in 0..100 {
        raw.send(&Frame::Attach(mine(0), mine(1), n, end));
        raw.send(&Frame::Dead(
            mine(1),
            DeadFrame { dead: Dead::here(Reason::Cancelled), taken: Total::ZERO, detail: "" },
        ));
        let dead = raw.expect("an end of one of them", |frame| match frame {
            Frame::Done(ended, _) if *ended == mine(1) => Some(false),
            Frame::Dead(ended, dead) if *ended == mine(0) => Some(dead.dead.reason == Reason::NoResources),
            _ => None,
        });
        if dead {
            ended = true;
            break;
        }
    }
    assert!(ended, "the carrier is given up");
    grove.goes_on();
}

/// Of 3201 nodes that went at a time a watcher once heard of 1025, and nothing said so.
#[test]
fn what_a_watcher_misses_is_counted_in_its_place() -> Outcome {
    let _calm = calm();
    let hub = Node::new("hub");
    let adopt = tcp::Options::new().adopt();
    let at = tcp::listen_with(&hub, "127.0.0.1:0", adopt)?.address();
    let desk = Node::new("desk");
    tcp::join(&desk, at).wait()?;
    let mut changes = desk.remote("/").changes().timeout(SOON).wait()?;
    let (mut raw, id) = Raw::child(at);
    let blocks: Vec<_> = (0..50).map(|_| raw.allocate(64)).collect();
    let ids: Vec<u32> = blocks.into_iter().flat_map(|(start, n)| start..start + n).collect();
    let all = ids.len() as u64 + 1;
    let mut next = || changes.recv().timeout(SOON).wait();
    // One that looks when all have come.
    for &n in &ids {
        raw.send(&Frame::Tree(TreeFrame::AddRoute { id: n, via: id, name: "x" }));
    }
    eventually("all are known", || (hub.nodes().len() as u64 == all + 1).then_some(()));
    let (mut told, mut missed) = (0, 0);
    while told + missed < all {
        match next()? {
            NodeChange::Joined(_) => told += 1,
            NodeChange::Missed(more) => missed += more,
            NodeChange::Left(info, _) => panic!("{info:?} has not left"),
        }
    }
    assert_eq!(told + missed, all, "{told} and {missed}");
    assert!(told >= 1024, "{told} were told");
    // One that takes whatever comes, and they go at a time.
    drop(raw);
    let (mut told, mut missed) = (0, 0);
    while told + missed < all {
        match next()? {
            NodeChange::Left(..) => told += 1,
            NodeChange::Missed(more) => missed += more,
            NodeChange::Joined(info) => panic!("{info:?} has not come again"),
        }
    }
    assert_eq!((told, missed), (1024, all - 1024));
    // What is there now says the list, and what comes now is told again.
    let list: Result<Vec<_>, _> = desk.remote("/").nodes().timeout(SOON).wait()?.collect();
    assert_eq!(list?.iter().map(|info| &*info.name).collect::<Vec<_>>(), ["hub", "desk"]);
    let guest = Node::new("guest");
    tcp::join(&guest, at).wait()?;
    let NodeChange::Joined(joined) = next()? else { panic!("another change") };
    assert_eq!((&*joined.name, joined.id), ("guest", guest.id()));
    // The node's own events count theirs.
    let read = core::iter::from_fn(|| hub.next_event()).count() as u64;
    assert!(read + hub.events_lost() >= 2 * all, "{read} and {}", hub.events_lost());
    Ok(())
}

#[test]
fn those_who_watch_have_their_share() -> Outcome {
    let _calm = calm();
    let hub = Node::new("hub");
    let adopt = tcp::Options::new().adopt();
    let at = tcp::listen_with(&hub, "127.0.0.1:0", adopt)?.address();
    let (mut raw, id) = Raw::child(at);
    let (start, count) = raw.allocate(64);
    for n in start..start + count {
        raw.send(&Frame::Tree(TreeFrame::AddRoute { id: n, via: id, name: "x" }));
    }
    let watch = |from| Open { route: route(from, 1), ..receives::<NodeChange>("$changes", 100) };
    for n in 0..64 {
        raw.open(n, watch(start + n / 4));
    }
    // Neither a fifth of one node, nor a sixty-fifth of the link.
    assert_eq!(raw.refused(64, watch(start)).reason, Reason::Busy);
    assert_eq!(raw.refused(65, watch(start + 20)).reason, Reason::Busy);
    // Who leaves makes room.
    let cancel = DeadFrame { dead: Dead::here(Reason::Cancelled), taken: Total::ZERO, detail: "" };
    raw.send(&Frame::Dead(mine(3), cancel));
    raw.open(66, watch(start + 20));
    Ok(())
}
