use netchan::Message;
use serde::{Deserialize, Serialize};

#[derive(Message)]
struct Alone {
    x: u8,
}

fn main() {}
