//! A board and a host's node that leave each other in order: who waits is told at once.

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use netchan::board::{self, Config, Identity, Memory};
use netchan::proto::{CounterNonce, Dead, Fault, LineConfig, Name, Place, Reason};
use netchan::testing::wire;
use netchan::{LinkError, Node, Receiver, RecvError, Sender};

const LINE: LineConfig = LineConfig::uart(115_200, 2, 64, 2);
const LIMIT: Duration = Duration::from_secs(20);
/// Far less than the line's dead-time, which is 2 s.
const AT_ONCE: Duration = Duration::from_millis(700);

const fn who(nonces: &mut CounterNonce) -> Identity<'_> {
    Identity { name: &const { Name::literal("board") }, uid: 1, boot: 1, nonces }
}

#[test]
fn a_host_hears_all_that_a_board_has_sent_and_then_its_goodbye() {
    const CONFIG: Config = Config::new(LINE).export::<board::Sender<u32>>(8);
    static NODE: board::Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = board::Node::new(&CONFIG);
    let (uart, port) = wire();
    let (says, said) = channel();
    let board = thread::spawn(move || {
        let mut nonces = CounterNonce::new(1, 1);
        let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
        let mut line = NODE.line(&mut memory, who(&mut nonces));
        let sender: board::Sender<u32> = NODE.export_with("numbers", 8).unwrap();
        let (clock, mut uart) = (uart.clock(), uart);
        let mut n = 0;
        while n < 8 {
            line.poll(&mut uart, clock.now()).unwrap();
            n += u32::from(sender.try_send(n).is_ok());
        }
        says.send(()).unwrap();
        let mut leaving = line.leave(uart.now() + LIMIT);
        while !leaving.is_done() {
            let mut bytes = [0; 16];
            let n = uart.read(&mut bytes);
            leaving.feed(&bytes[..n], uart.now());
            let n = leaving.drain(&mut bytes[..uart.room().min(16)], uart.now());
            uart.write(&bytes[..n]);
            thread::yield_now();
        }
        drop(leaving);
        assert_eq!(line.ended(), Some(Dead::here(Reason::Shutdown)));
        let error = sender.try_send(8).unwrap_err();
        let board::SendCause::Left { dead, account } = error.cause else { panic!("{error}") };
        assert_eq!((dead, account.unsent), (Dead::here(Reason::Shutdown), 0));
        // The program goes on, and so does the line.
        while line.poll(&mut uart, clock.now()).is_ok() {
            let _ = sender.try_send(9);
        }
    });
    let node = Node::new("desk");
    let peer = port.connect(&node, CONFIG.line()).timeout(LIMIT).wait().unwrap();
    let mut numbers = peer.import::<Receiver<u32>>("numbers").wait().unwrap();
    said.recv_timeout(LIMIT).unwrap();
    let from = Instant::now();
    for n in 0..8 {
        assert_eq!(numbers.recv().timeout(LIMIT).wait(), Ok(n));
    }
    let dead = Dead { reason: Reason::Shutdown, at: Place::Peer };
    assert_eq!(numbers.recv().timeout(LIMIT).wait(), Err(RecvError::Dead(dead)));
    let down = peer.down().wait();
    assert!(from.elapsed() < AT_ONCE, "{:?}", from.elapsed());
    assert_eq!(down, LinkError::Fault(Fault::Goodbye(Reason::Shutdown)));

    let again = port.connect(&node, CONFIG.line()).timeout(LIMIT).wait().unwrap();
    let mut numbers = again.import::<Receiver<u32>>("numbers").wait().unwrap();
    assert_eq!(numbers.recv().timeout(LIMIT).wait(), Ok(9));
    drop((again, peer, node, port));
    board.join().unwrap();
}

#[test]
fn a_board_hears_the_goodbye_of_its_host_and_the_host_need_not_wait_for_it() {
    const CONFIG: Config = Config::new(LINE).import::<board::Receiver<u32>>(2);
    static NODE: board::Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = board::Node::new(&CONFIG);
    let (uart, port) = wire();
    let (says, said) = channel();
    let board = thread::spawn(move || {
        let mut nonces = CounterNonce::new(1, 1);
        let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
        let mut line = NODE.line(&mut memory, who(&mut nonces));
        let mut receiver: board::Receiver<u32> = NODE.import("numbers").unwrap();
        let (clock, mut uart) = (uart.clock(), uart);
        while line.poll(&mut uart, clock.now()).is_ok() {
            match receiver.try_recv() {
                Err(board::RecvError::Empty) => {}
                other => says.send((other, line.ended())).unwrap(),
            }
        }
    });
    for round in 1..=2 {
        let node = Node::new("desk");
        let mut numbers: Sender<u32> = node.export("numbers").unwrap();
        let peer = port.connect(&node, CONFIG.line()).timeout(LIMIT).wait().unwrap();
        numbers.send(round).timeout(LIMIT).wait().unwrap();
        assert_eq!(said.recv_timeout(LIMIT).unwrap().0, Ok(round));
        let from = Instant::now();
        drop(peer);
        drop(node);
        let left = from.elapsed();
        let (told, ended) = said.recv_timeout(LIMIT).unwrap();
        let dead = Dead::peer(Reason::Shutdown);
        assert_eq!(told, Err(board::RecvError::Interrupted { dead, taken: 1 }));
        assert_eq!(ended, Some(dead));
        assert!(from.elapsed() < AT_ONCE && left < AT_ONCE, "{left:?} {:?}", from.elapsed());
    }
    drop(port);
    board.join().unwrap();
}
