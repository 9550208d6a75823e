//! Children and parents that claim what is not theirs: it is refused, counted, and in the end their link
//! ends; nobody else in the tree notices.

mod common;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use common::raw::{Raw, mine, receives, sends};
use common::{Calm, Outcome, SOON, Tick, calm, eventually, spawn, tick};
use netchan::host::{ExportInfo, Visibility};
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
    raw.send(&Frame::Tree(TreeFrame::DelRoute(board)));
    raw.send(&Frame::Tree(TreeFrame::DelRoute(id)));
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
        TreeFrame::Adopt { id: 7, above: Default::default() },
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
        TreeFrame::DelRoute(2),
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
    assert!((60_000..=65_536).contains(&got), "{got} ids");
    // One question at a time.
    raw.send(&Frame::Tree(TreeFrame::Allocate(0)));
    eventually("it is counted", || (grove.hub.strikes() == 1).then_some(()));
    grove.goes_on();
    let (_other, id) = Raw::child(grove.address);
    assert!(id > got, "there are ids for others");
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
    raw.send(&Frame::Tree(TreeFrame::Adopt { id: 5, above }));
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
    raw.send(&Frame::Tree(TreeFrame::Adopt { id: 6, above }));
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
    assert!((5..40).contains(&opened), "{opened} circuits in 2 MiB");
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
    let (mut one, first) = Raw::child(at_bridge);
    let (mut other, second) = Raw::child(at_bridge);
    for n in 0..4 {
        one.open(n, ask(first, 1000));
    }
    assert_eq!(one.refused(4, ask(first, 1000)).reason, Reason::Busy);
    for n in 0..4 {
        other.open(n, ask(second, 1000));
    }
    // There is no place left on the hub's link, and still.
    let list = desk.remote("/").exports().timeout(SOON).wait()?;
    assert_eq!(list.into_iter().filter(Result::is_ok).count(), all.len());
    let given_up = |raw: &mut Raw| {
        raw.expect("it is given up", |frame| match frame {
            Frame::Dead(handle, dead) if *handle == mine(0) => Some(dead.dead.reason),
            _ => None,
        })
    };
    assert_eq!(given_up(&mut one), Reason::TooSlow, "the oldest has made room");
    // An entry that is longer than its importer takes ends the list.
    let mut short = Raw::child(adopts(&hub));
    short.0.open(0, ask(short.1, 10));
    assert_eq!(given_up(&mut short.0), Reason::TooLarge);
    Ok(())
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
                1 => Frame::Tree(TreeFrame::DelRoute(a)),
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
    let mut open = common::raw::packet(&Frame::Open(mine(0), nowhere));
    open.extend(common::raw::packet(&Frame::Done(mine(0), Total::ZERO)));
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
