//! Chains of calls: sent without waiting, run in order, and over with the first that fails.

mod common;

use std::future::{Future as _, IntoFuture as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use common::{Ground, Outcome, SOON, calm, eventually, spawn};
use netchan::host::{ChainCall, Visibility};
use netchan::{
    CallError, Chain, ChainCause, ChainError, Client, Config, Dead, ExportOptions, ImportError, LinkEvent,
    Named, Node, Peer, Reason, Server,
};
use netchan_tcp as tcp;

type Steps = Chain<u32, u32, String>;
type Step = ChainCall<u32, u32, String>;

fn in_tree() -> ExportOptions {
    ExportOptions::default().visible_to(Visibility::Tree)
}

/// Counts how often it runs; refuses 13, drops 666, and panics of 6666.
fn serve(mut steps: Server<u32, Result<u32, String>>) -> Arc<AtomicU32> {
    let runs = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&runs);
    spawn(move || {
        while let Ok(request) = steps.recv().wait() {
            let n = *request;
            count.fetch_add(1, Ordering::SeqCst);
            match n {
                13 => drop(request.reply(Err("unlucky".into())).wait()),
                666 => drop(request),
                6666 => {
                    let handler = std::thread::spawn(move || {
                        let _request = request;
                        panic!("as it was told to");
                    });
                    assert!(handler.join().is_err());
                }
                n => drop(request.reply(Ok(n + 1)).wait()),
            }
        }
    });
    runs
}

fn told(result: Result<u32, ChainError<String>>) -> (ChainCause<String>, bool) {
    let error = result.expect_err("it does not run");
    (error.cause().clone(), error.is_skipped())
}

fn unlucky() -> ChainCause<String> {
    ChainCause::Failed("unlucky".into())
}

/// A call that has gone, or has not because the chain is known to be over.
type Gone = Result<Step, ChainError<String>>;

fn steps(chain: &mut Steps, of: impl IntoIterator<Item = u32>) -> Vec<Gone> {
    of.into_iter().map(|n| chain.call(n).timeout(SOON).wait()).collect()
}

fn reply(call: Gone) -> Result<u32, ChainError<String>> {
    call?.timeout(SOON).wait()
}

fn stories(import: impl Fn() -> Result<Steps, Named<ImportError>>, runs: &AtomicU32) -> Outcome {
    let ran = |n: u32| assert_eq!(runs.swap(0, Ordering::SeqCst), n);
    let mut chain = import()?;
    for (n, call) in (0..).zip(steps(&mut chain, 0..12)) {
        assert_eq!(reply(call), Ok(n + 1));
    }
    assert!(!chain.is_broken());
    ran(12);
    // Of what is under way none runs behind the first that fails; nor does what comes later. Others are not touched.
    let mut other = import()?;
    let calls = steps(&mut chain, [1, 13, 2, 13, 3]);
    let others = steps(&mut other, [1, 2, 3]);
    let results: Vec<_> = calls.into_iter().map(reply).collect();
    assert_eq!(results[0], Ok(2));
    assert_eq!(told(results[1].clone()), (unlucky(), false));
    for result in &results[2..] {
        assert_eq!(told(result.clone()), (unlucky(), true));
    }
    assert!(chain.is_broken() && !other.is_broken());
    let late = chain.call(4).timeout(SOON).wait().expect_err("nothing goes any more");
    assert_eq!((late.cause().clone(), late.is_skipped()), (unlucky(), true));
    for (n, call) in (1..).zip(others) {
        assert_eq!(reply(call), Ok(n + 1));
    }
    ran(5);
    // A call that gets no reply fails as well.
    for (n, reason) in [(666, Reason::HandlerGone), (6666, Reason::HandlerPanicked)] {
        let mut chain = import()?;
        let mut calls = steps(&mut chain, [n, 1, 2]).into_iter();
        let gone = ChainCause::Call(CallError::Dead(Dead::peer(reason)));
        assert_eq!(told(reply(calls.next().expect("three"))), (gone.clone(), false));
        for call in calls {
            assert_eq!(told(reply(call)), (gone.clone(), true));
        }
        ran(1);
    }
    Ok(())
}

#[test]
fn calls_behind_the_first_that_fails_do_not_run() -> Outcome {
    let ground = Ground::new();
    let (_node, peer) = ground.visitor();
    let runs = serve(ground.node.export("steps")?);
    stories(|| peer.import("steps").timeout(SOON).wait(), &runs)?;
    // Who only calls is served beside them, in no order with them.
    let client: Client<u32, Result<u32, String>> = peer.import("steps").wait()?;
    assert_eq!(client.call(13).wait(), Ok(Err("unlucky".into())));
    assert_eq!(client.call(1).wait(), Ok(Ok(2)));
    ground.others_go_on();
    Ok(())
}

#[test]
fn chains_pass_a_bridge_and_leave_nothing_behind() -> Outcome {
    let _calm = calm();
    let [hub, board, desk] = ["hub", "board", "desk"].map(Node::new);
    let at_hub = tcp::listen_with(&hub, "127.0.0.1:0", tcp::Options::new().adopt())?.address();
    for node in [&board, &desk] {
        tcp::connect_with(node, at_hub, tcp::Options::new().join().live_on()).timeout(SOON).wait()?;
    }
    let runs = serve(board.export_with("steps", in_tree())?);
    let far = desk.remote("board");
    stories(|| far.import("steps").timeout(SOON).wait(), &runs)?;
    eventually("nothing is left", || {
        let circuits: u32 =
            [&hub, &board, &desk].iter().flat_map(|node| node.links()).map(|link| link.circuits).sum();
        (circuits == 0).then_some(())
    });
    Ok(())
}

#[test]
fn a_call_begins_when_the_one_before_is_answered() -> Outcome {
    let ground = Ground::new();
    let (_node, peer) = ground.visitor();
    let mut server: Server<u32, Result<u32, String>> = ground.node.export("steps")?;
    let [mut one, mut other]: [Steps; 2] = [peer.import("steps").wait()?, peer.import("steps").wait()?];
    let calls = steps(&mut one, [1, 2]);
    let first = server.recv().timeout(SOON).wait()?;
    assert_eq!(*first, 1);
    // Another chain's is not held up by that, and nor is a call.
    let others = steps(&mut other, [10]);
    let beside = server.recv().timeout(SOON).wait()?;
    assert_eq!(*beside, 10);
    assert!(server.recv().timeout(Duration::from_millis(50)).wait().is_err(), "2 waits for 1");
    let waiting = spawn(move || {
        let second = server.recv().timeout(SOON).wait().expect("its turn comes");
        let n = *second;
        second.reply(Ok(n)).wait().expect("its caller waits");
        (n, server)
    });
    beside.reply(Ok(0)).wait()?;
    first.reply(Ok(0)).wait()?;
    let (second, mut server) = waiting.join();
    assert_eq!(second, 2);
    // All are there before the first is answered: none of the others runs then.
    let broken = steps(&mut one, [13, 3, 4]);
    server.recv().timeout(SOON).wait()?.reply(Err("unlucky".into())).wait()?;
    assert!(server.recv().timeout(Duration::from_millis(50)).wait().is_err());
    for (call, is_skipped) in broken.into_iter().zip([false, true, true]) {
        assert!(call.is_ok(), "it had gone");
        assert_eq!(told(reply(call)), (unlucky(), is_skipped));
    }
    for call in calls.into_iter().chain(others) {
        assert!(reply(call).is_ok());
    }
    ground.others_go_on();
    Ok(())
}

#[test]
fn a_link_that_is_lost_is_told_to_all_calls_of_a_chain() -> Outcome {
    let ground = Ground::new();
    let (node, peer) = ground.visitor();
    let mut server: Server<u32, Result<u32, String>> = ground.node.export("steps")?;
    let mut chain: Steps = peer.import("steps").wait()?;
    let calls = steps(&mut chain, [1, 2, 3]);
    let first = server.recv().timeout(SOON).wait()?;
    node.shutdown(Duration::ZERO);
    for call in calls {
        let (cause, is_skipped) = told(reply(call));
        assert!(
            matches!(cause, ChainCause::Call(CallError::Dead(dead)) if dead.reason == Reason::Shutdown),
            "{cause:?}"
        );
        assert!(!is_skipped);
    }
    // Nor does the exporter run what nobody waits for.
    eventually("it sees that", || first.is_cancelled().then_some(()));
    drop(first);
    assert!(server.recv().timeout(Duration::from_millis(50)).wait().is_err());
    ground.others_go_on();
    Ok(())
}

#[test]
fn chains_that_break_and_go_leave_no_record() -> Outcome {
    let ground = Ground::with(Config::default());
    let (_node, peer) = ground.visitor();
    let runs = serve(ground.node.export("steps")?);
    for _ in 0..300 {
        let mut chain: Steps = peer.import("steps").timeout(SOON).wait()?;
        let mut calls = steps(&mut chain, [13, 1, 2]);
        let last = calls.pop().expect("three");
        drop((chain, calls));
        assert_eq!(told(reply(last)), (unlucky(), true));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 300);
    eventually("nothing is left", || {
        // But for the witness.
        let circuits: u32 = ground.node.links().iter().map(|link| link.circuits).sum();
        (circuits == 1).then_some(())
    });
    while let Some(event) = ground.node.next_event() {
        assert!(!matches!(event, LinkEvent::Down { .. }), "{event:?}");
    }
    ground.others_go_on();
    Ok(())
}

#[test]
fn many_calls_go_before_the_first_reply_and_each_runs_once() -> Outcome {
    let ground = Ground::new();
    let (_node, peer) = ground.visitor();
    let runs = serve(ground.node.export("steps")?);
    let mut chain: Steps = peer.import("steps").timeout(SOON).wait()?;
    let mut waiting = std::collections::VecDeque::new();
    // Whoever sends more than there is room for replies of waits for these.
    for n in 1000..6000_u32 {
        if waiting.len() == 8 {
            let (n, call): (u32, Step) = waiting.pop_front().expect("eight");
            assert_eq!(call.timeout(SOON).wait(), Ok(n + 1));
        }
        waiting.push_back((n, chain.call(n).timeout(SOON).wait()?));
    }
    drop(waiting);
    drop(chain);
    eventually("all have run", || (runs.load(Ordering::SeqCst) >= 4992).then_some(()));
    ground.others_go_on();
    Ok(())
}

#[test]
fn a_chain_needs_a_method_that_says_whether_it_has_failed() -> Outcome {
    let ground = Ground::new();
    let (_node, peer): (Node, Peer) = ground.visitor();
    let _plain: Server<u32, u32> = ground.node.export("plain")?;
    let refused = peer.import::<Steps>("plain").wait().expect_err("its replies are no results");
    assert!(matches!(*refused, ImportError::TypeDiffers { .. }), "{refused:?}");
    Ok(())
}

#[test]
fn a_chain_in_steady_use_lets_others_have_their_turns() -> Outcome {
    let _calm = calm();
    let (exporter, importer) = (Node::new("exporter"), Node::new("importer"));
    let at = tcp::listen(&exporter, "127.0.0.1:0")?.address();
    let peer = tcp::connect(&importer, at).wait()?;
    let runs = serve(exporter.export("steps")?);
    let mut chain: Steps = peer.import("steps").wait()?;
    let client: Client<u32, Result<u32, String>> = peer.import("steps").wait()?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let chaining = spawn(move || {
        let mut under_way = std::collections::VecDeque::new();
        while !stopped.load(Ordering::SeqCst) {
            under_way.push_back(chain.call(1).timeout(SOON).wait().expect("it goes"));
            if under_way.len() > 12 {
                let first: Step = under_way.pop_front().expect("there are twelve more");
                first.wait().expect("it runs");
            }
        }
        for call in under_way {
            call.wait().expect("it runs");
        }
    });
    for round in 1..=3 {
        eventually("the chain runs on", || (runs.load(Ordering::SeqCst) >= round * 2_000).then_some(()));
        let before = runs.load(Ordering::SeqCst);
        assert_eq!(client.call(7).timeout(SOON).wait(), Ok(Ok(8)));
        let waited = runs.load(Ordering::SeqCst) - before;
        // Its request travels while some of the chain's run; but it has its turn when it has come.
        assert!(waited < 1_000, "it has waited for {waited} of the chain's");
    }
    stop.store(true, Ordering::SeqCst);
    chaining.join();
    Ok(())
}

#[test]
fn a_reply_that_nobody_takes_makes_room_for_the_next_call() -> Outcome {
    let _calm = calm();
    let (exporter, importer) = (Node::new("exporter"), Node::new("importer"));
    let at = tcp::listen(&exporter, "127.0.0.1:0")?.address();
    let peer = tcp::connect(&importer, at).wait()?;
    let runs = serve(exporter.export("steps")?);
    let client: Client<u32, Result<u32, String>> = peer.import("steps").wait()?;
    let mut cx = Context::from_waker(Waker::noop());
    let mut calls = Vec::new();
    // As many as may be under way.
    loop {
        let before = runs.load(Ordering::SeqCst);
        let mut call = Box::pin(client.call(1).into_future());
        if call.as_mut().poll(&mut cx).is_ready() {
            // Its reply was quicker than this poll, and is taken.
            continue;
        }
        calls.push(call);
        let ran = eventually("it runs, or waits for room", || {
            let ran = runs.load(Ordering::SeqCst) > before;
            (ran || client.call(1).timeout(Duration::from_millis(50)).wait() == Err(CallError::Deadline))
                .then_some(ran)
        });
        if !ran {
            break;
        }
    }
    let other = client.clone();
    let waiting = spawn(move || other.call(5).timeout(SOON).wait());
    drop(calls);
    assert_eq!(waiting.join(), Ok(Ok(6)));
    Ok(())
}
