//! A type that must not compile; what the compiler says stands beside it.

use netchan::Message;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message)]
struct Sized {
    count: Option<Vec<usize>>,
}

#[derive(Serialize, Deserialize, Message)]
struct Borrowed<'a> {
    text: &'a str,
}

#[derive(Serialize, Deserialize, Message)]
struct Endless {
    next: Option<Box<Endless>>,
}

#[derive(Serialize, Deserialize, Message)]
enum Never {}

#[derive(Message)]
union Either {
    a: u8,
    b: i8,
}

fn main() {}
