//! A `main` that returns its error prints which channel it is, what happened, and what to do.

use std::process::{Command, Stdio};

fn printed(how: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_failing")).arg(how).stdin(Stdio::null()).output();
    let output = output.expect("the program is there");
    assert!(!output.status.success(), "{how} fails");
    String::from_utf8(output.stderr).expect("words")
}

#[test]
fn errors_name_their_channel_and_say_what_to_do() {
    let expected = [
        ("name", "channel `tocks`: nothing is exported under this name (check the name, and that"),
        ("type", "channel `ticks`: types differ: imported as string, exported as Tick (build both sides"),
        (
            "direction",
            "channel `ticks`: exported for another direction, or as another kind: a Sender is imported as a Receiver",
        ),
        ("importer", "channel `ticks`: not sent: nobody has imported the channel (a send waits for one"),
        (
            "lost",
            "channel `ticks`: dead: the node shut down (says the peer) (that node was shut down: connect",
        ),
        ("receive", "channel `ticks`: the deadline passed (allow more time with `.timeout(..)`)"),
        ("send", "channel `orders`: not sent: dead: the other side hung up (says the peer) (the other end"),
        ("drain", "channel `ticks`: not drained: 1 values in doubt, 0 unsent, the deadline passed (allow"),
        (
            "call",
            "channel `root`: dead: the handler is gone without an answer (says the peer) (the server dropped",
        ),
        ("bare", "nothing is there now (wait with `.wait()`, `.timeout(..)` or `.await`)"),
    ];
    for (how, says) in expected {
        let printed = printed(how);
        assert!(printed.starts_with(&format!("Error: {says}")), "{how}: {printed}");
    }
}

#[test]
fn errors_of_links_say_where_and_what_to_do() {
    assert!(printed("address").starts_with("Error: cannot connect: 127.0.0.1:1: "));
    assert!(printed("network").contains("danger_plaintext_network"));
    assert!(printed("taken").contains("drop the end that holds the name"));
}
