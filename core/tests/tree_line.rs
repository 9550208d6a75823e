//! A tree on serial lines with short packets.

use std::time::Duration;

use netchan::Node;
use netchan::proto::LineConfig;
use netchan::testing::wire;

const SOON: Duration = Duration::from_secs(10);

/// What a child is told of those above it once had no room in a packet, and stopped the line for ever.
#[test]
fn long_names_above_do_not_stop_a_line_of_short_packets() {
    let names = ["a-hub-with-a-name-of-29-letters", "a-mid-with-a-name-of-29-letters", "leaf", "below"];
    let nodes = names.map(Node::new);
    let lines = [240, 48, 64].map(|packet| LineConfig::uart(115_200, 2, packet, 2));
    let mut kept = Vec::new();
    for (pair, line) in nodes.windows(2).zip(&lines) {
        let (upper, lower) = wire();
        let up = upper.adopt(&pair[0], line);
        let peer = lower.join(&pair[1], line).timeout(SOON).wait().expect("it is adopted");
        kept.push((upper, lower, up.timeout(SOON).wait().expect("it has joined"), peer));
    }
    for node in &nodes[1..] {
        let root = node.remote_id(nodes[0].id()).nodes().timeout(SOON).wait().expect("the root answers");
        assert!(root.count() >= 1);
        assert!(node.above().contains(&nodes[0].id()));
    }
}
