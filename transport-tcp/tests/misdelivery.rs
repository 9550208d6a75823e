//! A frame reaches only what was opened for it: cases in which other systems delivered a
//! reply to another call, ran another handler, or took one type for another.

mod common;

use std::time::Duration;

use common::raw::{Raw, mine, packet};
use common::{Ground, Outcome, Tick, next_down, spawn, tick};
use netchan::proto::{Fault, Fingerprints, Frame, Open, OpenFlags, Part, Total};
use netchan::{
    CallError, Client, ImportError, Latest, LinkError, Message, Node, Reason, Receiver, Sender, Server, Watch,
};
use netchan_tcp as tcp;
use serde::{Deserialize, Serialize};

const SHORT: Duration = Duration::from_millis(30);

/// A server that replies to nothing before it is told to: then to all, in the order given.
fn held(server: &mut Server<Tick, Tick>, n: usize) -> Vec<netchan::Request<Tick, Tick>> {
    (0..n).map(|_| server.recv().wait().expect("a request comes")).collect()
}

#[test]
fn a_retry_after_a_timeout_does_not_get_the_reply_to_the_first_call() -> Outcome {
    let ground = Ground::new();
    let mut server: Server<Tick, Tick> = ground.node.export("echo")?;
    let (_node, peer) = ground.visitor();
    let client = peer.import::<Client<Tick, Tick>>("echo").wait()?;
    for round in 0..50 {
        let first = client.call(tick(111)).timeout(Duration::from_millis(1)).wait();
        assert_eq!(first, Err(CallError::Deadline), "round {round}");
        let retry = {
            let client = client.clone();
            spawn(move || client.call(tick(222)).wait())
        };
        // Both are there; the old one is answered first, with its own value. One that was
        // given up before it was sent never comes.
        let mut requests = held(&mut server, 1);
        if requests[0].n == 111 {
            requests.extend(held(&mut server, 1));
        }
        for request in requests {
            let n = request.n;
            let _ = request.reply(tick(n)).wait();
        }
        assert_eq!(retry.join(), Ok(tick(222)), "round {round}");
    }
    Ok(())
}

#[test]
fn a_late_reply_does_not_cross_to_another_endpoint() -> Outcome {
    let ground = Ground::new();
    let mut slow: Server<Tick, Tick> = ground.node.export("slow")?;
    let mut temp: Server<Tick, Tick> = ground.node.export("temp")?;
    let (_node, peer) = ground.visitor();
    let slow_client = peer.import::<Client<Tick, Tick>>("slow").wait()?;
    let temp_client = peer.import::<Client<Tick, Tick>>("temp").wait()?;
    assert_eq!(slow_client.call(tick(9999)).timeout(SHORT).wait(), Err(CallError::Deadline));
    // Its circuit is gone too, and another one opened in its place.
    drop(slow_client);
    let late = held(&mut slow, 1).remove(0);
    let again = peer.import::<Client<Tick, Tick>>("temp").wait()?;
    let callers = [temp_client, again].map(|client| spawn(move || client.call(tick(25)).wait()));
    let waiting = held(&mut temp, 2);
    let _ = late.reply(tick(9999)).wait();
    for request in waiting {
        request.reply(tick(25)).wait()?;
    }
    for caller in callers {
        assert_eq!(caller.join(), Ok(tick(25)));
    }
    Ok(())
}

#[test]
fn a_kept_client_does_not_reach_what_was_exported_later() -> Outcome {
    let ground = Ground::new();
    let temp: Server<Tick, Tick> = ground.node.export("temp")?;
    let (_node, peer) = ground.visitor();
    let client = peer.import::<Client<Tick, Tick>>("temp").wait()?;
    drop(temp);
    // Another handler attaches, under its own name and under the same one.
    let mut power: Server<Tick, Tick> = ground.node.export("power")?;
    let mut other: Server<Tick, Tick> = ground.node.export("temp")?;
    let power_client = peer.import::<Client<Tick, Tick>>("power").wait()?;
    let Err(CallError::Dead(dead)) = client.call(tick(1)).wait() else { panic!("somebody answered") };
    assert!([Reason::HungUp, Reason::Withdrawn].contains(&dead.reason), "{dead:?}");
    let caller = spawn(move || power_client.call(tick(2)).wait());
    assert_eq!(held(&mut power, 1)[0].n, 2);
    assert!(matches!(other.try_recv(), Err(netchan::RecvError::Empty)), "a call ran another handler");
    drop(power);
    assert!(caller.join().is_err());
    Ok(())
}

#[test]
fn a_client_of_an_old_session_does_not_reach_the_new_one() -> Outcome {
    let ground = Ground::new();
    let (node, peer) = ground.visitor();
    // On both sides of the break the same handle is the first of its link.
    let mut temp: Server<Tick, Tick> = ground.node.export("temp")?;
    let old = peer.import::<Client<Tick, Tick>>("temp").wait()?;
    let call = {
        let old = old.clone();
        spawn(move || old.call(tick(1)).wait())
    };
    let late = held(&mut temp, 1).remove(0);
    peer.close();
    peer.down().wait();
    next_down(&ground.node);
    let mut power: Server<Tick, Tick> = ground.node.export("power")?;
    let peer = tcp::connect(&node, ground.address).wait()?;
    let new = peer.import::<Client<Tick, Tick>>("power").wait()?;
    let caller = spawn(move || new.call(tick(2)).wait());
    let request = held(&mut power, 1).remove(0);
    assert!(late.is_cancelled());
    assert!(late.reply(tick(111)).wait().is_err(), "a reply went out without a circuit");
    assert!(matches!(call.join(), Err(CallError::Dead(_))));
    assert!(matches!(old.call(tick(3)).wait(), Err(CallError::Dead(_))));
    request.reply(tick(222)).wait()?;
    assert_eq!(caller.join(), Ok(tick(222)));
    assert!(matches!(power.try_recv(), Err(netchan::RecvError::Empty)));
    Ok(())
}

#[test]
fn the_wrong_node_never_executes() -> Outcome {
    let ground = Ground::new();
    let here: Server<Tick, Tick> = ground.node.export("act")?;
    // A visitor that exports the same name, and one that does not.
    let (near, peer) = ground.visitor();
    let mut there: Server<Tick, Tick> = near.export("act")?;
    let (_far, far_peer) = ground.visitor();
    let client = far_peer.import::<Client<Tick, Tick>>("act").wait()?;
    drop(here);
    // The node that was asked is gone from the name; nobody else takes the call, neither the
    // other neighbour nor a later import through the same node.
    assert!(client.call(tick(1)).wait().is_err());
    let later = far_peer.import::<Client<Tick, Tick>>("act").timeout(SHORT).wait().map_err(ImportError::from);
    assert!(matches!(later, Err(ImportError::NoName | ImportError::Deadline)));
    // Nor does a node reach its own export through a peer that does not have it.
    let own = peer.import::<Client<Tick, Tick>>("act").timeout(SHORT).wait().map_err(ImportError::from);
    assert!(matches!(own, Err(ImportError::NoName | ImportError::Deadline)));
    assert!(matches!(there.try_recv(), Err(netchan::RecvError::Empty)), "the wrong node executed");
    Ok(())
}

#[test]
fn an_unknown_name_never_runs_another_handler() -> Outcome {
    let ground = Ground::new();
    let mut echo: Server<u32, u32> = ground.node.export("echo")?;
    let mut raw = Raw::up(ground.address);
    // Every name of one letter, names that differ in one place, and many more: none is it.
    let mut names: Vec<String> = ('a'..='z').map(String::from).collect();
    names.extend(["echo/", "ech", "echoo", "xecho", "echo/echo", "$echo", "e.cho"].map(String::from));
    names.extend((0..4000).map(|n| format!("flash/erase/{n}")));
    names.retain(|name| !name.ends_with('/'));
    let served = Client::<u32, u32>::open("echo");
    for (n, name) in names.iter().enumerate() {
        raw.send(&Frame::Open(mine(n as u32), Open { name, ..served }));
    }
    for name in &names {
        raw.expect(name, |frame| match frame {
            Frame::Accept(..) => panic!("{name} was taken for another"),
            Frame::Dead(_, dead) => (dead.dead.reason == Reason::NoName).then_some(()),
            _ => None,
        });
    }
    assert!(matches!(echo.try_recv(), Err(netchan::RecvError::Empty)));
    // The same type and name do connect.
    raw.open(names.len() as u32, served);
    Ok(())
}

/// What an importer of this end sends.
trait OpenOf {
    fn open(name: &str) -> Open<'_>;
}

impl OpenOf for Client<u32, u32> {
    fn open(name: &str) -> Open<'_> {
        Open {
            flags: OpenFlags::BOTH.with(OpenFlags::CALLS),
            wait_ms: 0,
            credit: 4096,
            limit: 1024,
            values: 0,
            name,
            fingerprints: Fingerprints::new(fingerprint_of_a_call(), &[]),
            type_name: "u32",
            route: None,
            body: None,
        }
    }
}

/// As a node writes it: taken from its own open.
fn fingerprint_of_a_call() -> u64 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("loopback");
    let opener = spawn(move || {
        let node = Node::new("opener");
        let peer = tcp::connect(&node, address).wait().expect("a link");
        let _ = peer.import::<Client<u32, u32>>("x").wait();
    });
    let mut raw = Raw::accept(&listener);
    raw.bring_up();
    let fingerprint = raw.expect("an open", |frame| match frame {
        Frame::Open(_, open) => Some(open.fingerprints.as_slice()[0]),
        _ => None,
    });
    drop(raw);
    opener.join();
    fingerprint
}

#[test]
fn half_a_fingerprint_is_no_fingerprint() -> Outcome {
    let ground = Ground::new();
    let export: Sender<Tick> = ground.node.export("ticks")?;
    let mut raw = Raw::up(ground.address);
    let whole = Tick::FINGERPRINT.get();
    for bit in 0..64 {
        let fingerprints = Fingerprints::new(whole ^ 1 << bit, &[]);
        let open = Open { fingerprints, ..common::raw::receives::<Tick>("ticks", 100) };
        raw.send(&Frame::Open(mine(bit), open));
        let (reason, detail) = raw.expect("an answer", |frame| match frame {
            Frame::Accept(..) => panic!("bit {bit} of the fingerprint does not count"),
            Frame::Dead(_, dead) => Some((dead.dead.reason, dead.detail.to_owned())),
            _ => None,
        });
        assert_eq!((reason, detail.as_str()), (Reason::TypeDiffers, "Tick"));
    }
    assert_eq!(export.importers(), 0);
    Ok(())
}

#[allow(unreachable_pub, reason = "fields as a user writes them")]
/// Types that hold the same numbers of the same kinds, and mean something else.
mod alike {
    use super::{Deserialize, Message, Serialize};

    macro_rules! types {
        ($($module:ident { $($item:item)* })*) => {
            $(pub mod $module {
                use super::{Deserialize, Message, Serialize};
                $(#[derive(Serialize, Deserialize, Message, Debug, PartialEq)] $item)*
            })*
        };
    }

    types! {
        plain { pub struct Reading { pub x: u32, pub y: u32 } }
        swapped { pub struct Reading { pub y: u32, pub x: u32 } }
        renamed { pub struct Reading { pub x: u32, pub z: u32 } }
        optional { pub struct Reading { pub x: u32, pub y: Option<u32> } }
        signed { pub struct Reading { pub x: u32, pub y: i32 } }
        longer { pub struct Reading { pub x: u32, pub y: u32, pub z: () } }
        shorter { pub struct Reading { pub x: u32 } }
        listed { pub struct Reading { pub x: u32, pub y: Vec<u32> } }
        paired { pub struct Reading { pub x: (u32, u32) } }
        outside { pub struct Item { pub x: u32 } pub struct Reading { pub items: Vec<Item>, pub hz: u32 } }
        inside { pub struct Item { pub x: u32, pub hz: u32 } pub struct Reading { pub items: Vec<Item> } }
        open { pub enum Reading { Open, Shut } }
        shut { pub enum Reading { Shut, Open } }
        ajar { pub enum Reading { Open, Ajar } }
        third { pub enum Reading { Open, Shut, Ajar } }
        other_name { pub struct Lecture { pub x: u32, pub y: u32 } }
    }
}

#[test]
fn types_that_only_look_alike_never_connect() -> Outcome {
    use alike::*;

    let ground = Ground::new();
    let (_node, peer) = ground.visitor();
    macro_rules! pairs {
        ($($type:ty),*) => {{
            let names = [$(stringify!($type)),*];
            let exported_as = |n: usize| format!("t{n}");
            let mut n = 0..;
            let mut next = || exported_as(n.next().expect("counts on"));
            let exports = ($(ground.node.export::<Sender<$type>>(&next())?,)*);
            let mut own = 0;
            $({
                for (other, name) in names.iter().enumerate() {
                    let import = peer.import::<Receiver<$type>>(&exported_as(other)).wait();
                    if other == own {
                        assert!(import.is_ok(), "{name} does not fit itself");
                    } else {
                        let error = import.err().map(ImportError::from);
                        let differs = matches!(&error, Some(ImportError::TypeDiffers { wanted, exported })
                            if *wanted == <$type>::NAME && !exported.is_empty());
                        assert!(differs, "{} fits {name}: {error:?}", stringify!($type));
                    }
                }
                own += 1;
            })*
            assert_eq!(own, names.len());
            drop(exports);
        }};
    }
    pairs!(
        plain::Reading,
        swapped::Reading,
        renamed::Reading,
        optional::Reading,
        signed::Reading,
        longer::Reading,
        shorter::Reading,
        listed::Reading,
        paired::Reading,
        outside::Reading,
        inside::Reading,
        open::Reading,
        shut::Reading,
        ajar::Reading,
        third::Reading,
        u32,
        u64,
        String,
        netchan::Bytes,
        Vec<u8>,
        ()
    );
    // Only the type's own name differs: the bytes mean the same, and the spec says whether
    // that counts. It is one answer in both directions.
    let _plain = ground.node.export::<Sender<plain::Reading>>("n1")?;
    let _other = ground.node.export::<Sender<other_name::Lecture>>("n2")?;
    let one = peer.import::<Receiver<other_name::Lecture>>("n1").wait().is_ok();
    let two = peer.import::<Receiver<plain::Reading>>("n2").wait().is_ok();
    assert_eq!(one, two);
    Ok(())
}

#[test]
fn ends_of_another_kind_never_connect() -> Outcome {
    let ground = Ground::new();
    let (_node, peer) = ground.visitor();
    let _sender: Sender<Tick> = ground.node.export("sender")?;
    let _receiver: Receiver<Tick> = ground.node.export("receiver")?;
    let _latest: Latest<Tick> = ground.node.export("latest")?;
    let _watch: Watch<Tick> = ground.node.export("watch")?;
    let _server: Server<Tick, Tick> = ground.node.export("server")?;
    let _duplex: netchan::Duplex<Tick, Tick> = ground.node.export("duplex")?;
    let names = ["sender", "receiver", "latest", "watch", "server", "duplex"];
    let fits = |name: &str| {
        let outcome =
            |result: Result<(), netchan::Named<ImportError>>| match result.map_err(ImportError::from) {
                Ok(()) => true,
                Err(ImportError::WrongDirection) => false,
                Err(error) => panic!("{name}: {error}"),
            };
        [
            outcome(peer.import::<Receiver<Tick>>(name).wait().map(drop)),
            outcome(peer.import::<Sender<Tick>>(name).wait().map(drop)),
            outcome(peer.import::<Watch<Tick>>(name).wait().map(drop)),
            outcome(peer.import::<Latest<Tick>>(name).wait().map(drop)),
            outcome(peer.import::<Client<Tick, Tick>>(name).wait().map(drop)),
            outcome(peer.import::<netchan::Duplex<Tick, Tick>>(name).wait().map(drop)),
        ]
    };
    for (own, name) in names.iter().enumerate() {
        let mut expected = [false; 6];
        expected[own] = true;
        assert_eq!(fits(name), expected, "{name}");
    }
    // The two directions of a call are not the same type.
    let _calls: Server<Tick, u32> = ground.node.export("calls")?;
    let turned = peer.import::<Client<u32, Tick>>("calls").wait().err().map(ImportError::from);
    assert!(matches!(turned, Some(ImportError::TypeDiffers { .. })), "{turned:?}");
    Ok(())
}

#[test]
fn a_reply_without_a_call_reaches_nobody() -> Outcome {
    // A server by hand, which answers calls that were never made, and the right one twice.
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let connecting = spawn(move || {
        let node = Node::new("n");
        tcp::connect(&node, address).wait().map(|peer| (node, peer))
    });
    let mut raw = Raw::accept(&listener);
    raw.bring_up();
    let (_node, peer) = connecting.join()?;
    let import = spawn(move || peer.import::<Client<Tick, Tick>>("c").wait());
    let handle = raw.accept_open(4096);
    let client = import.join()?;
    let mut credit_left = 4000_u32;
    for n in 1..=20_u8 {
        let call = {
            let client = client.clone();
            spawn(move || client.call(tick(u64::from(n))).wait())
        };
        let id = raw.expect("the request", |frame| match frame {
            Frame::Data(_, Part::Whole, bytes) => Some(bytes[0]),
            _ => None,
        });
        // reply = id, 0, message
        for (id, value) in [(id + 1, 66), (id.wrapping_sub(1), 66), (100, 66), (id, n), (id, 66)] {
            raw.data(handle, &[id, 0, value]);
            credit_left -= 8;
        }
        assert_eq!(call.join(), Ok(tick(u64::from(n))));
    }
    assert!(credit_left < 4000);
    Ok(())
}

#[test]
fn a_circuit_is_not_spoken_to_on_the_handle_of_another() -> Outcome {
    let ground = Ground::new();
    // Two importers of different links hold the same number; a frame of one link means its own.
    let mut a: Receiver<Tick> = ground.node.export("a")?;
    let mut b: Receiver<Tick> = ground.node.export("b")?;
    let (mut one, mut two) = (Raw::up(ground.address), Raw::up(ground.address));
    one.open(0, common::raw::sends::<Tick>("a"));
    two.open(0, common::raw::sends::<Tick>("b"));
    one.data(mine(0), &[1]);
    two.data(mine(0), &[2]);
    assert_eq!((a.recv().wait()?, b.recv().wait()?), (tick(1), tick(2)));
    // What ends on one link stays on the other.
    one.send(&Frame::End(mine(0), Total::new(1)));
    let next = spawn(move || (a.recv().timeout(Duration::from_millis(500)).wait(), a));
    one.expect("the end is seen", |frame| matches!(frame, Frame::Done(..)).then_some(()));
    let (nothing, mut a) = next.join();
    assert_eq!(nothing, Err(netchan::RecvError::Deadline));
    // A sender's final: now the handle is free on this link.
    one.send(&Frame::Done(mine(0), Total::ZERO));
    one.bytes(&packet(&Frame::Data(mine(0), Part::Whole, &[9])));
    assert_eq!(next_down(&ground.node), LinkError::Fault(Fault::UnknownHandle));
    two.data(mine(0), &[3]);
    assert_eq!(b.recv().wait()?, tick(3));
    assert_eq!(a.try_recv(), Err(netchan::RecvError::Empty));
    Ok(())
}
