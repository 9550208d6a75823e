//! Links that tasks of async-std and smol drive: the same stories for both.
#![cfg(all(feature = "async-std", feature = "smol"))]

use std::future::Future;
use std::time::Duration;

use netchan::host::RecvError;
use netchan::{Node, Receiver, Sender};
use netchan_tcp::{ConnectError, ListenError};

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Far beyond what any step takes: only a hang reaches it.
const NEVER: Duration = Duration::from_secs(60);

fn sent<F: Future<Output = Outcome> + Send>(story: F) -> F {
    story
}

macro_rules! stories {
    ($runtime:ident, $block_on:path) => {
        mod $runtime {
            use netchan_tcp::$runtime as tcp;

            use super::*;

            #[test]
            fn values_arrive_in_order_and_then_the_end() -> Outcome {
                $block_on(sent(async {
                    let (station, dashboard) = (Node::new("station"), Node::new("dashboard"));
                    let mut ticks: Sender<u64> = station.export("ticks")?;
                    let address = tcp::listen(&station, "127.0.0.1:0")?.address();
                    let peer = tcp::connect(&dashboard, address).timeout(NEVER).await?;
                    let mut got = peer.import::<Receiver<u64>>("ticks").await?;
                    let sender = ::smol::spawn(async move {
                        for n in 0..100_000 {
                            ticks.send(n).timeout(NEVER).await.expect("the importer is there");
                        }
                    });
                    for n in 0..100_000 {
                        assert_eq!(got.recv().timeout(NEVER).await?, n);
                    }
                    assert!(got.next().timeout(NEVER).await.is_none());
                    sender.await;
                    assert_eq!(station.close(NEVER).await, 0);
                    dashboard.close(NEVER).await;
                    Ok(())
                }))
            }

            #[test]
            fn large_values_pass_and_many_clients_share_the_work() -> Outcome {
                $block_on(sent(async {
                    let station = Node::new("station");
                    let mut results: Receiver<Vec<u64>> = station.export("results")?;
                    let address = tcp::listen(&station, "127.0.0.1:0")?.address();
                    let clients: Vec<_> = (0..8)
                        .map(|_| {
                            ::smol::spawn(async move {
                                let node = Node::new("client");
                                let peer = tcp::connect(&node, address).await.expect("the station listens");
                                let mut results =
                                    peer.import::<Sender<Vec<u64>>>("results").await.expect("it is exported");
                                for n in 0..50 {
                                    let value = (0..3_000).map(|i| i * n).collect();
                                    results.send(value).timeout(NEVER).await.expect("the station is there");
                                }
                                results.drain().timeout(NEVER).await.expect("all is taken");
                                node.close(NEVER).await
                            })
                        })
                        .collect();
                    let mut sum = 0;
                    for _ in 0..400 {
                        sum += results.recv().timeout(NEVER).await?.iter().sum::<u64>();
                    }
                    assert_eq!(sum, 8 * (49 * 25) * (2_999 * 1_500));
                    for client in clients {
                        assert_eq!(client.await, 0);
                    }
                    Ok(())
                }))
            }

            #[test]
            fn threads_and_tasks_understand_each_other() -> Outcome {
                let threads = Node::new("threads");
                let mut down: Sender<u64> = threads.export("down")?;
                let address = netchan_tcp::listen(&threads, "127.0.0.1:0")?.address();
                let sending = std::thread::spawn(move || {
                    for n in 0..10_000 {
                        down.send(n).timeout(NEVER).wait().expect("the importer is there");
                    }
                });
                $block_on(sent(async {
                    let tasks = Node::new("tasks");
                    let peer = tcp::connect(&tasks, address).await?;
                    let mut from = peer.import::<Receiver<u64>>("down").await?;
                    for n in 0..10_000 {
                        assert_eq!(from.recv().timeout(NEVER).await?, n);
                    }
                    assert_eq!(from.recv().timeout(NEVER).await, Err(RecvError::Closed));
                    tasks.close(NEVER).await;
                    Ok(())
                }))?;
                sending.join().expect("all values were sent");
                Ok(())
            }

            #[test]
            fn a_dropped_node_tells_its_peer_without_blocking() -> Outcome {
                $block_on(sent(async {
                    let (station, dashboard) = (Node::new("station"), Node::new("dashboard"));
                    let mut ticks: Sender<u64> = station.export("ticks")?;
                    let address = tcp::listen(&station, "127.0.0.1:0")?.address();
                    let peer = tcp::connect(&dashboard, address).await?;
                    let mut got = peer.import::<Receiver<u64>>("ticks").await?;
                    ticks.send(7).await?;
                    drop((ticks, station));
                    assert_eq!(got.recv().timeout(NEVER).await?, 7);
                    assert!(got.next().timeout(NEVER).await.is_none());
                    let down = peer.down().timeout(NEVER).await;
                    assert_eq!(down.dead().reason, netchan::proto::Reason::Shutdown);
                    Ok(())
                }))
            }

            #[test]
            fn other_addresses_than_loopback_are_refused() -> Outcome {
                $block_on(sent(async {
                    let node = Node::new("station");
                    let refused = tcp::connect(&node, "192.0.2.1:7000").await;
                    assert!(matches!(refused, Err(ConnectError::NotLoopback)));
                    assert!(matches!(tcp::listen(&node, "0.0.0.0:0"), Err(ListenError::NotLoopback)));
                    let listener = tcp::listen(&node, "127.0.0.1:0")?;
                    node.close(Duration::ZERO).await;
                    while tcp::connect(&Node::new("late"), listener.address()).await.is_ok() {}
                    assert!(matches!(tcp::listen(&node, "127.0.0.1:0"), Err(ListenError::Shutdown)));
                    Ok(())
                }))
            }

            #[test]
            fn any_stream_becomes_a_link() -> Outcome {
                $block_on(sent(async {
                    let (station, dashboard) = (Node::new("station"), Node::new("dashboard"));
                    let listener = ::smol::net::TcpListener::bind("127.0.0.1:0").await?;
                    let near = ::smol::net::TcpStream::connect(listener.local_addr()?).await?;
                    let (far, _) = listener.accept().await?;
                    let serve = netchan_tcp::futures_io::serve_stream;
                    let (near_driver, near_up) = serve(&station, near.clone(), near)?;
                    let (far_driver, far_up) = serve(&dashboard, far.clone(), far)?;
                    let near_task = ::smol::spawn(near_driver);
                    ::smol::spawn(far_driver).detach();
                    let peer = far_up.timeout(NEVER).await?;
                    near_up.timeout(NEVER).await?;
                    let mut ticks: Sender<u64> = station.export("ticks")?;
                    let mut got = peer.import::<Receiver<u64>>("ticks").await?;
                    for n in 0..10 {
                        ticks.send(n).timeout(NEVER).await?;
                        assert_eq!(got.recv().timeout(NEVER).await?, n);
                    }
                    // Dropping the task's future takes the link down, and every waiter is told.
                    drop(near_task);
                    assert!(matches!(got.recv().timeout(NEVER).await, Err(RecvError::Dead(_))));
                    assert!(ticks.try_send(1).is_err());
                    Ok(())
                }))
            }
        }
    };
}

stories!(async_std, ::async_std::task::block_on);
stories!(smol, ::smol::block_on);
