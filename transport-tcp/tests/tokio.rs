//! Links that tokio's tasks drive, alone and against threads.
#![cfg(feature = "tokio")]

use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;

use netchan::host::{LinkError, QuietError, RecvError};
use netchan::{
    AskError, Chain, ChainCause, Config, Dead, ImportError, Node, Peer, Reason, Receiver, Sender, Server,
};
use netchan_tcp::tokio as tcp;
use netchan_tcp::{ConnectError, ListenError, Options};
use tokio::runtime::{Builder, Runtime};

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Far beyond what any step takes: only a hang reaches it.
const NEVER: Duration = Duration::from_secs(60);

fn runtimes() -> [Runtime; 2] {
    [Builder::new_current_thread(), Builder::new_multi_thread()]
        .map(|mut builder| builder.enable_all().worker_threads(2).build().expect("a runtime starts"))
}

/// Runs a story on both kinds of runtime.
fn both<F: Future<Output = Outcome> + Send + 'static>(story: fn() -> F) -> Outcome {
    for runtime in runtimes() {
        // Spawned, which asserts that all futures are `Send`.
        let story = runtime.spawn(story());
        runtime.block_on(async { tokio::time::timeout(NEVER, story).await })???;
    }
    Ok(())
}

async fn pair() -> Result<(Node, Node, Peer), Box<dyn std::error::Error + Send + Sync>> {
    let (station, dashboard) = (Node::new("station"), Node::new("dashboard"));
    let listener = tcp::listen(&station, "127.0.0.1:0")?;
    let peer = tcp::connect(&dashboard, listener.address()).await?;
    assert_eq!(peer.info().name, "station");
    Ok((station, dashboard, peer))
}

#[test]
fn one_message_one_question_and_a_chain_are_awaited() -> Outcome {
    both(|| async {
        let (station, _dashboard, peer) = pair().await?;
        let mut words: Receiver<String> = station.export("words")?;
        let mut steps: Server<u32, Result<u32, String>> = station.export("steps")?;
        let program = tokio::spawn(async move {
            for len in [3, 30_000] {
                assert_eq!(words.recv().await.expect("a word").len(), len);
            }
            while let Ok(request) = steps.recv().await {
                let n = *request;
                let result = if n == 13 { Err("unlucky".to_string()) } else { Ok(n + 1) };
                let _ = request.reply(result).await;
            }
        });
        for len in [3, 30_000] {
            peer.post("words", "x".repeat(len)).await?;
        }
        assert_eq!(peer.ask::<u32, Result<u32, String>>("steps", 1).await?, Ok(2));
        let error = peer.ask::<u32, u32>("words", 1).timeout(NEVER).await.unwrap_err();
        assert_eq!(error, AskError::Refused(ImportError::WrongDirection));
        let mut chain = peer.import::<Chain<u32, u32, String>>("steps").await?;
        let first = chain.call(1).await.expect("it goes").await;
        assert!(matches!(first, Ok(2)), "{first:?}");
        let unlucky = chain.call(13).await.expect("it goes");
        let error = match chain.call(2).await {
            Ok(call) => call.await.expect_err("it does not run"),
            Err(error) => error,
        };
        assert!(error.is_skipped() && *error.cause() == ChainCause::Failed("unlucky".into()), "{error:?}");
        assert!(!unlucky.await.expect_err("it fails").is_skipped());
        program.abort();
        Ok(())
    })
}

#[test]
fn values_arrive_in_order_and_then_the_end() -> Outcome {
    both(|| async {
        let (station, dashboard, peer) = pair().await?;
        let mut ticks: Sender<u64> = station.export("ticks")?;
        let mut got = peer.import::<Receiver<u64>>("ticks").await?;
        let sender = tokio::spawn(async move {
            for n in 0..100_000 {
                ticks.send(n).await.expect("the importer is there");
            }
        });
        for n in 0..100_000 {
            assert_eq!(got.recv().await?, n);
        }
        assert!(got.next().await.is_none());
        sender.await?;
        assert_eq!(station.close(NEVER).await, 0);
        assert_eq!(dashboard.close(NEVER).await, 0);
        Ok(())
    })
}

#[test]
fn large_values_pass_in_both_directions_at_once() -> Outcome {
    both(|| async {
        let (station, _dashboard, peer) = pair().await?;
        let mut down: Sender<Vec<u64>> = station.export("down")?;
        let mut up: Receiver<Vec<u64>> = station.export("up")?;
        let mut from = peer.import::<Receiver<Vec<u64>>>("down").await?;
        let mut to = peer.import::<Sender<Vec<u64>>>("up").await?;
        let value = |n: u64| (0..3_000).map(|i| i * n).collect::<Vec<_>>();
        let tasks = [
            tokio::spawn(async move {
                for n in 0..300 {
                    down.send(value(n)).await.expect("the importer is there");
                }
            }),
            tokio::spawn(async move {
                for n in 0..300 {
                    to.send(value(n)).await.expect("the exporter is there");
                }
                to.drain().await.expect("all is taken");
            }),
            tokio::spawn(async move {
                for n in 0..300 {
                    assert_eq!(up.recv().await.expect("the importer is there"), value(n));
                }
            }),
        ];
        for n in 0..300 {
            assert_eq!(from.recv().await?, value(n));
        }
        for task in tasks {
            task.await?;
        }
        Ok(())
    })
}

#[test]
fn many_clients_share_the_work() -> Outcome {
    both(|| async {
        let station = Node::new("station");
        let mut results: Receiver<u64> = station.export("results")?;
        let address = tcp::listen(&station, "127.0.0.1:0")?.address();
        let clients: Vec<_> = (0..16)
            .map(|_| {
                tokio::spawn(async move {
                    let node = Node::new("client");
                    let peer = tcp::connect(&node, address).await.expect("the station listens");
                    let mut results = peer.import::<Sender<u64>>("results").await.expect("it is exported");
                    for n in 0..1_000 {
                        results.send(n).await.expect("the station is there");
                    }
                    results.drain().await.expect("all is taken");
                    assert_eq!(node.close(NEVER).await, 0);
                })
            })
            .collect();
        let mut sum = 0;
        for _ in 0..16_000 {
            sum += results.recv().await?;
        }
        assert_eq!(sum, 16 * 999 * 500);
        for client in clients {
            client.await?;
        }
        Ok(())
    })
}

#[test]
fn a_link_that_breaks_tells_every_waiter() -> Outcome {
    both(|| async {
        let (station, dashboard) = (Node::new("station"), Node::new("dashboard"));
        let (near, far) = tokio::io::duplex(4096);
        let (near, near_up) = tcp::serve_stream(&station, near)?;
        let (far, far_up) = tcp::serve_stream(&dashboard, far)?;
        let near = tokio::spawn(near);
        let far = tokio::spawn(far);
        let (peer, _) = (far_up.await?, near_up.await?);
        let _ticks: Vec<Sender<u64>> =
            (0..4).map(|i| station.export(&format!("ticks/{i}"))).collect::<Result<_, _>>()?;
        let waiting: Vec<_> = (0..4)
            .map(|i| {
                let peer = peer.clone();
                tokio::spawn(async move {
                    let mut ticks = peer.import::<Receiver<u64>>(&format!("ticks/{i}")).await?;
                    Ok::<_, ImportError>(ticks.recv().await)
                })
            })
            .collect();
        let down = tokio::spawn({
            let peer = peer.clone();
            async move { peer.down().await }
        });
        // One more than will ever be answered.
        let open = tokio::spawn({
            let peer = peer.clone();
            async move { peer.import::<Receiver<u64>>("none").timeout(NEVER).await.map(drop) }
        });
        while _ticks.iter().any(|ticks| ticks.importers() == 0) {
            tokio::task::yield_now().await;
        }
        near.abort();
        for waiting in waiting {
            match waiting.await? {
                Ok(Err(RecvError::Dead(_))) | Err(ImportError::Dead(_)) => {}
                other => panic!("not told: {other:?}"),
            }
        }
        assert!(open.await?.is_err());
        assert_eq!(down.await?, LinkError::Closed);
        assert_eq!(far.await?, LinkError::Closed);
        Ok(())
    })
}

#[test]
fn a_dropped_node_does_not_block_its_runtime() -> Outcome {
    both(|| async {
        let (station, dashboard, peer) = pair().await?;
        let mut ticks: Sender<u64> = station.export("ticks")?;
        let mut got = peer.import::<Receiver<u64>>("ticks").await?;
        for n in 0..100 {
            ticks.send(n).await?;
        }
        drop(ticks);
        // On one thread the links' tasks cannot run before these drops return.
        drop(station);
        for n in 0..100 {
            assert_eq!(got.recv().await?, n);
        }
        assert!(got.next().await.is_none());
        assert_eq!(peer.down().await.dead().reason, Reason::Shutdown);
        drop(dashboard);
        Ok(())
    })
}

#[test]
fn a_runtime_that_ends_takes_its_links_down() -> Outcome {
    let station = Node::new("station");
    let _ticks: Sender<u64> = station.export("ticks")?;
    let address = netchan_tcp::listen(&station, "127.0.0.1:0")?.address();
    let dashboard = Node::new("dashboard");
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (peer, mut got) = runtime.block_on(async {
        let peer = tcp::connect(&dashboard, address).await?;
        let got = peer.import::<Receiver<u64>>("ticks").await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((peer, got))
    })?;
    drop(runtime);
    assert!(matches!(got.recv().wait(), Err(RecvError::Dead(_))));
    assert!(!peer.is_up());
    // Nobody drives the link: closing ends all the same.
    assert_eq!(dashboard.close(NEVER).wait(), 0);
    Ok(())
}

#[test]
fn closing_on_the_thread_of_the_tasks_ends() -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (station, _dashboard, _peer) = pair().await?;
        // Blocks the only thread: misuse, but one that ends.
        station.shutdown(Duration::from_millis(10));
        Ok(())
    })
}

#[test]
fn threads_and_tasks_understand_each_other() -> Outcome {
    both(|| async {
        let (threads, tasks) = (Node::new("threads"), Node::new("tasks"));
        let mut up: Receiver<u64> = threads.export("up")?;
        let address = netchan_tcp::listen(&threads, "127.0.0.1:0")?.address();
        let peer = tcp::connect(&tasks, address).await?;
        let mut to = peer.import::<Sender<u64>>("up").await?;
        let taking = std::thread::spawn(move || {
            for n in 0..10_000 {
                assert_eq!(up.recv().wait().expect("the sender is there"), n);
            }
        });
        for n in 0..10_000 {
            to.send(n).await?;
        }
        to.drain().await?;
        tokio::task::spawn_blocking(|| taking.join().expect("all values came")).await?;

        let mut down: Sender<u64> = tasks.export("down")?;
        let address = tcp::listen(&tasks, "127.0.0.1:0")?.address();
        let taking = tokio::task::spawn_blocking(move || {
            let node = Node::new("other");
            let peer = netchan_tcp::connect(&node, address).wait().expect("the node listens");
            let mut from = peer.import::<Receiver<u64>>("down").wait().expect("it is exported");
            for n in 0..10_000 {
                assert_eq!(from.recv().wait().expect("the sender is there"), n);
            }
            assert_eq!(from.recv().wait(), Err(RecvError::Closed));
        });
        for n in 0..10_000 {
            down.send(n).await?;
        }
        drop(down);
        taking.await?;
        // A node with links of both kinds: closed without blocking this thread.
        tasks.close(NEVER).await;
        tokio::task::spawn_blocking(move || drop(threads)).await?;
        Ok(())
    })
}

#[test]
fn other_addresses_than_loopback_are_refused() -> Outcome {
    both(|| async {
        let node = Node::new("station");
        let refused = tcp::connect(&node, "192.0.2.1:7000").await;
        assert!(matches!(refused, Err(ConnectError::NotLoopback)));
        assert!(matches!(tcp::listen(&node, "0.0.0.0:0"), Err(ListenError::NotLoopback)));
        let open = Options::new().danger_plaintext_network();
        tcp::listen_with(&node, "0.0.0.0:0", open)?.close();
        Ok(())
    })
}

#[test]
fn connecting_and_listening_say_why_not() -> Outcome {
    both(|| async {
        let node = Node::new("station");
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let late = tcp::connect(&node, silent.local_addr()?).timeout(Duration::from_millis(50)).await;
        assert!(matches!(late, Err(ConnectError::Link(LinkError::Local(_)))), "{late:?}");
        let address = silent.local_addr()?;
        drop(silent);
        assert!(matches!(tcp::connect(&node, address).await, Err(ConnectError::Io(_))));
        let listener = tcp::listen(&node, "127.0.0.1:0")?;
        node.close(Duration::ZERO).await;
        // The listener goes with its node, as soon as its task has been told.
        while tokio::net::TcpStream::connect(listener.address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(matches!(tcp::listen(&node, "127.0.0.1:0"), Err(ListenError::Shutdown)));
        Ok(())
    })?;
    let node = Node::new("station");
    assert!(matches!(tcp::listen(&node, "127.0.0.1:0"), Err(ListenError::Io(_))), "there is no runtime");
    Ok(())
}

#[test]
fn strangers_are_few_and_leave_when_they_say_nothing() -> Outcome {
    use tokio::io::AsyncReadExt;

    both(|| async {
        let node = Node::new("station");
        let address = tcp::listen(&node, "127.0.0.1:0")?.address();
        let mut strangers = Vec::new();
        for _ in 0..17 {
            strangers.push(tokio::net::TcpStream::connect(address).await?);
        }
        // The first is sent away at once, the others when their time is over.
        for mut stranger in strangers.into_iter().rev() {
            let mut hello = Vec::new();
            let _ = stranger.read_to_end(&mut hello).await;
        }
        tcp::connect(&Node::new("late"), address).await?;
        Ok(())
    })
}

#[test]
fn a_program_that_blocks_its_runtime_is_not_dead_when_it_has_announced_that() -> Outcome {
    const DEAD_TIME: Duration = Duration::from_millis(250);
    let node = |name| Node::with_config(name, Config::default().dead_time(DEAD_TIME));
    let (station, dashboard) = (node("station")?, node("dashboard")?);
    let (found, find) = mpsc::channel();
    let (done, wait) = mpsc::channel::<()>();
    let busy = std::thread::spawn(move || -> Outcome {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut ticks: Sender<u64> = station.export("ticks")?;
            let listener = tcp::listen(&station, "127.0.0.1:0")?;
            found.send(listener.address())?;
            ticks.send(1).await?;
            assert_eq!(station.quiet(Duration::from_secs(31)).await, Err(QuietError::TooLong));
            station.quiet(Duration::from_secs(30)).timeout(NEVER).await?;
            // The link's own task does not run, until the other side has seen enough.
            wait.recv()?;
            station.quiet(Duration::ZERO).timeout(NEVER).await?;
            ticks.send(2).await?;
            ticks.drain().await?;
            // And once more, without a word.
            wait.recv()?;
            Ok(())
        })
    });
    let peer = netchan_tcp::connect(&dashboard, find.recv()?).wait()?;
    let mut ticks = peer.import::<Receiver<u64>>("ticks").wait()?;
    assert_eq!(ticks.recv().timeout(NEVER).wait()?, 1);
    while !peer.is_quiet() {
        std::thread::yield_now();
    }
    // Who waits has a deadline of his own, and here it is long after the dead-time.
    assert_eq!(ticks.recv().timeout(4 * DEAD_TIME).wait(), Err(RecvError::Deadline));
    assert!(peer.is_up());
    done.send(())?;
    assert_eq!(ticks.recv().timeout(NEVER).wait()?, 2);
    assert!(!peer.is_quiet());
    let told = ticks.recv().timeout(NEVER).wait();
    assert_eq!(told, Err(RecvError::Dead(Dead::here(Reason::Unresponsive))));
    done.send(())?;
    busy.join().expect("the thread does not panic")
}
