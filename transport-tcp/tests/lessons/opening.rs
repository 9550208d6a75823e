//! Names, directions and types are answered at the import, to whoever imports.

use std::time::{Duration, Instant};

use netchan::{Bytes, Config, ImportError, LinkEvent, Message, Node, Reason, Receiver, RecvError, Sender};
use netchan_tcp as tcp;

use crate::common::{Ground, Outcome, Tick, calm, eventually, spawn, tick};

#[test]
fn a_refused_import_does_not_leave_its_reader_waiting() -> Outcome {
    let ground = Ground::new();
    let mut good: Sender<Tick> = ground.node.export("good")?;
    let (_node, peer) = ground.visitor();
    let mut got = peer.import::<Receiver<Tick>>("good").wait()?;
    // The answer comes to the one who asked, while others receive, and long before the five
    // seconds of an import are over.
    let reader = spawn(move || (got.recv().wait(), got.recv().wait()));
    let start = Instant::now();
    let unknown = peer
        .import::<Receiver<Tick>>("bad")
        .timeout(Duration::from_millis(50))
        .wait()
        .err()
        .map(ImportError::from);
    assert!(matches!(unknown, Some(ImportError::NoName | ImportError::Deadline)), "{unknown:?}");
    assert_eq!(
        peer.import::<Sender<Tick>>("good").wait().err().map(ImportError::from),
        Some(ImportError::WrongDirection)
    );
    assert!(start.elapsed() < Duration::from_secs(4));
    good.send(tick(1)).wait()?;
    drop(good);
    assert_eq!(reader.join(), (Ok(tick(1)), Err(RecvError::Closed)));
    Ok(())
}

#[test]
fn a_type_that_differs_does_not_kill_the_connection() -> Outcome {
    let ground = Ground::new();
    let mut ticks: Sender<Tick> = ground.node.export("ticks")?;
    let (_node, peer) = ground.visitor();
    let mut got = peer.import::<Receiver<Tick>>("ticks").wait()?;
    for _ in 0..20 {
        let differs = peer.import::<Receiver<String>>("ticks").wait().err().map(ImportError::from);
        let named = ImportError::TypeDiffers { wanted: String::NAME, exported: "Tick".into() };
        assert_eq!(differs, Some(named));
    }
    ticks.send(tick(7)).wait()?;
    assert_eq!(got.recv().wait()?, tick(7));
    assert_eq!(ticks.importers(), 1, "a refused import is an importer");
    ground.others_go_on();
    Ok(())
}

#[test]
fn events_that_nobody_reads_harm_nothing() -> Outcome {
    let _calm = calm();
    let node = Node::new("deaf");
    let mut ticks: Sender<Tick> = node.export("ticks")?;
    let address = tcp::listen(&node, "127.0.0.1:0")?.address();
    let importer = Node::new("importer");
    let stays = tcp::connect(&importer, address).wait()?;
    let mut got = stays.import::<Receiver<Tick>>("ticks").wait()?;
    // Two events each, of which 256 are kept; and one of the import, which is among the first.
    for n in 0..150 {
        let visitor = Node::new("visitor");
        let peer = eventually("a link", || tcp::connect(&visitor, address).wait().ok());
        peer.close();
        peer.down().wait();
        if n % 50 == 0 {
            ticks.send(tick(n)).wait()?;
            assert_eq!(got.recv().wait()?, tick(n));
        }
    }
    let lost =
        eventually("all ends are seen", || (node.events_lost() >= 302 - 256).then(|| node.events_lost()));
    let mut kept = 0;
    while let Some(event) = node.next_event() {
        assert!(kept == 1 || matches!(event, LinkEvent::Up { .. } | LinkEvent::Down { .. }), "{event:?}");
        kept += 1;
    }
    assert_eq!((kept, lost), (256, 302 - 256));
    ticks.send(tick(1)).wait()?;
    assert_eq!(got.recv().wait()?, tick(1));
    // And there is room for new ones.
    stays.close();
    eventually("a new event", || node.next_event());
    Ok(())
}

#[test]
fn imports_that_were_given_up_do_not_take_the_place_of_those_who_wait() -> Outcome {
    let ground = Ground::new();
    let (_node, peer) = ground.visitor();
    // More than may wait on one link at a time, each given up after a moment.
    for n in 0..200 {
        let gone = peer.import::<Receiver<Tick>>(&format!("never/{n}")).timeout(Duration::from_secs(600));
        let mut gone = Box::pin(gone);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(gone.as_mut().poll(&mut cx).is_pending());
        drop(gone);
    }
    let waits = peer
        .import::<Receiver<Tick>>("late")
        .timeout(Duration::from_millis(50))
        .wait()
        .err()
        .map(ImportError::from);
    assert!(matches!(waits, Some(ImportError::NoName | ImportError::Deadline)), "{waits:?}");
    let _late: Sender<Tick> = ground.node.export("late")?;
    peer.import::<Receiver<Tick>>("late").wait()?;
    Ok(())
}

#[test]
fn names_are_free_again_and_never_twice() -> Outcome {
    let ground = Ground::new();
    for _ in 0..200 {
        let first: Sender<Tick> = ground.node.export("name")?;
        assert!(ground.node.export::<Sender<Tick>>("name").is_err(), "exported twice");
        drop(first);
    }
    Ok(())
}

#[test]
fn handles_that_are_used_again_do_not_mix_their_values() -> Outcome {
    let mut config = Config::default();
    // Few, so that each is used again and again.
    config.channels_per_link = 8;
    let ground = Ground::with(config);
    let (_node, peer) = ground.visitor();
    let mut exports = Vec::new();
    for n in 0..4_u64 {
        let mut export: Sender<Tick> = ground.node.export(&format!("churn/{n}"))?;
        exports.push(spawn(move || {
            // Sends for as long as somebody imports; every value says whose it is.
            let mut i = 0;
            while export.send(tick(n << 32 | i)).timeout(Duration::from_secs(3)).wait().is_ok() {
                i += 1;
            }
        }));
    }
    let importers: Vec<_> = (0..4_u64)
        .map(|n| {
            let peer = peer.clone();
            spawn(move || {
                for round in 0..600 {
                    let mut got = match peer.import::<Receiver<Tick>>(&format!("churn/{n}")).wait() {
                        Ok(got) => got,
                        // The finals of the one before are still under way.
                        Err(error) if *error == ImportError::NoResources => continue,
                        Err(error) => panic!("{error}"),
                    };
                    let mut last = None;
                    for _ in 0..round % 5 {
                        let value = got.recv().wait().expect("the sender sends").n;
                        assert_eq!(value >> 32, n, "a value of another channel");
                        assert!(last.is_none_or(|last| value > last), "{value} after {last:?}");
                        last = Some(value);
                    }
                    // With values under way, on purpose.
                    drop(got);
                }
            })
        })
        .collect();
    for importer in importers {
        importer.join();
    }
    assert!(peer.is_up());
    peer.close();
    ground.others_go_on();
    assert_eq!(peer.down().wait().dead().reason, Reason::Closed);
    for export in exports {
        export.join();
    }
    Ok(())
}

#[test]
fn an_import_that_is_not_made_does_not_keep_its_room() -> Outcome {
    let ground = Ground::new();
    let _ticks: Sender<Tick> = ground.node.export("ticks")?;
    let (_node, peer) = ground.visitor();
    // More than all the room that a link has.
    for _ in 0..100 {
        let refused = peer.import::<Receiver<Bytes>>("Not A Name").message_limit(1 << 20).wait();
        assert!(matches!(refused, Err(ref error) if **error == ImportError::BadName), "{refused:?}");
    }
    peer.import::<Receiver<Tick>>("ticks").wait()?;
    Ok(())
}
