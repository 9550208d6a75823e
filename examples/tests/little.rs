//! The little programs print what the README of the examples says.

use std::process::{Command, Stdio};

fn check(path: &str, expected: &str) {
    let output = Command::new(path).stdin(Stdio::null()).output().expect("the program is there");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{errors}");
    assert!(output.status.success(), "{errors}");
}

macro_rules! prints {
    ($($name:ident: $($line:literal)*;)*) => {$(
        #[test]
        fn $name() {
            check(env!(concat!("CARGO_BIN_EXE_", stringify!($name))), concat!($($line, "\n"),*));
        }
    )*};
}

prints! {
    fanout: "WorkQueue: [1, 3]" "WorkQueue: [2, 4]" "Broadcast: [1, 2, 3, 4]" "Broadcast: [1, 2, 3, 4]";
    call:
        "root of 2 is 1.4142135623730951"
        "root of -1: dead: the handler is gone without an answer (says the peer)"
        "after the shutdown: dead: the node shut down (says the peer)";
    chain:
        "step 1 is done" "the flash is locked"
        "not run, because an earlier call of the chain has failed: the flash is locked" "2 of 3 have run";
    chat: "hello -> HELLO" "bye -> BYE";
    latest: "who comes later sees 1" "the last one is 1000, whatever was left out on the way: true";
    selecting: "name seven" "number 7" "nothing for 100 ms";
    local: "one" "two" "three" "confirmed 3";
    refused:
        "channel `words`: types differ: imported as Tick, exported as string"
        "channel `words`: exported for another direction, or as another kind: a Sender is imported as a Receiver, a Latest as a Watch, a Server as a Client"
        "channel `ticks`: nothing is exported under this name"
        "tick 1";
    comeback:
        "tick 1" "tick 2" "tick 3" "a gap after 3: dead: the node shut down (says the peer)"
        "tick 4" "tick 5" "tick 6" "the end";
    tree: "tick 1" "node 2 was the bridge, and so: dead: the node shut down (says node 2)";
    post:
        "the heater is Ok(true)" "the level is 21"
        "channel `heater`: not taken: types differ: imported as string, exported as bool";
    some_values: "tick 1" "tick 2" "tick 3" "channel `ticks`: not sent: nobody has imported the channel";
    account:
        "channel `ticks`: not drained: 3 values in doubt, 0 unsent, the deadline passed"
        "sent 5, confirmed 2, in doubt 3";
}
