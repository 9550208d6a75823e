//! A type that must not compile; what the compiler says stands beside it.

use netchan::Message;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Plain(u8);

#[derive(Serialize, Deserialize, Message)]
struct Outer {
    plain: Plain,
}

fn main() {}
