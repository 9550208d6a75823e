//! A board that starts over in the middle of a session: its host's channels say so, whatever the length of the line's packets.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use netchan::board::{self, Config, Identity, Memory};
use netchan::proto::{CounterNonce, Dead, Fault, LINE_PACKET_MIN, LineConfig, Name, Reason};
use netchan::testing::wire;
use netchan::{LinkError, Node, RecvError, Watch};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_hello_that_is_longer_than_the_packets_tells_of_a_restart() {
    const CONFIG: Config =
        Config::new(LineConfig::uart(115_200, 2, LINE_PACKET_MIN, 2)).export::<board::Latest<u32>>(1);
    static NODE: board::Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = board::Node::new(&CONFIG);
    static RESETS: AtomicU32 = AtomicU32::new(0);
    let (uart, port) = wire();
    let board = thread::spawn(move || {
        let (clock, mut uart) = (uart.clock(), uart);
        let starts: board::Latest<u32> = NODE.export("starts").unwrap();
        while uart.is_open() {
            let start = RESETS.load(Ordering::Acquire);
            let mut nonces = CounterNonce::new(1, start);
            let name = &const { Name::literal("board") };
            let identity = Identity { name, uid: 1, boot: start.into(), nonces: &mut nonces };
            let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
            let mut line = NODE.line(&mut memory, identity);
            starts.set(&start).unwrap();
            while RESETS.load(Ordering::Acquire) == start && line.poll(&mut uart, clock.now()).is_ok() {}
        }
    });
    let node = Node::new("desk");
    for reset in 0..3 {
        let peer = port.connect(&node, CONFIG.line()).timeout(LIMIT).wait().unwrap();
        let mut starts = peer.import::<Watch<u32>>("starts").timeout(LIMIT).wait().unwrap();
        assert_eq!(starts.changed().timeout(LIMIT).wait(), Ok(reset));
        RESETS.store(reset + 1, Ordering::Release);
        let told = starts.changed().timeout(LIMIT).wait();
        assert_eq!(told, Err(RecvError::Dead(Dead::here(Reason::PeerRestarted))));
        assert_eq!(peer.down().wait(), LinkError::Fault(Fault::Restarted(Reason::PeerRestarted)));
    }
    drop((node, port));
    board.join().unwrap();
}
