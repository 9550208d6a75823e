//! Two links over a lossy line, told as stories.

use netchan::proto::{Instant, LineConfig, LinkConfig, OpenFlags};
use netchan::testing::{Node, Outcome, Pair, Port, identity};

fn uart(packet: u16, window: u8) -> LineConfig {
    LineConfig::uart(115_200, 2, packet, window)
}

fn node(name: &str, number: u64, line: LineConfig, nonce: u64, now: Instant) -> Node {
    let config = LinkConfig::line(identity(name, number), &line, 4);
    let mut node = Node::new(config, nonce, now);
    node.port = Port::on_line(config, line, nonce, now);
    node
}

/// Two nodes on a line that loses nothing yet.
fn pair(packet: u16, window: u8) -> Pair {
    let mut pair = Pair::new(Pair::config("a", 1), Pair::config("b", 2));
    pair.a = node("a", 1, uart(packet, window), 0xa11c_e000, pair.now);
    pair.b = node("b", 2, uart(packet, window), 0xb0b0_0000, pair.now);
    pair
}

#[test]
fn a_link_comes_up_and_carries_values_in_order() {
    let mut pair = pair(64, 2);
    pair.run();
    assert!(pair.a.port.is_up() && pair.b.port.is_up());
    let id = pair.a.open("numbers", OpenFlags::SENDS).unwrap();
    for n in 0..50u32 {
        pair.a.send(id, n.to_le_bytes().into());
    }
    pair.a.end(id);
    let mut taken = 0u32;
    for _ in 0..200 {
        pair.run();
        while let Outcome::Value(value) = pair.b.take(0) {
            assert_eq!(value, taken.to_le_bytes());
            taken += 1;
        }
        pair.pass(250);
    }
    assert_eq!(taken, 50);
    assert_eq!(pair.b.take(0), Outcome::Closed);
    pair.pass(250);
    pair.assert_quiet();
}
