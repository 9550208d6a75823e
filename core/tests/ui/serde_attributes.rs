//! A type that must not compile; what the compiler says stands beside it.

use netchan::Message;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message)]
struct Inner {
    x: u8,
}

#[derive(Serialize, Deserialize, Message)]
struct Flat {
    #[serde(flatten)]
    inner: Inner,
}

#[derive(Serialize, Deserialize, Message)]
struct Skipping {
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<u8>,
}

#[derive(Serialize, Deserialize, Message)]
#[serde(untagged)]
enum Untagged {
    A(u8),
}

#[derive(Serialize, Deserialize, Message)]
#[serde(tag = "kind")]
enum Tagged {
    A { x: u8 },
}

#[derive(Serialize, Deserialize, Message, Clone)]
#[serde(from = "u8", into = "u8")]
struct Converted(u8);

impl From<u8> for Converted {
    fn from(x: u8) -> Self {
        Self(x)
    }
}

impl From<Converted> for u8 {
    fn from(x: Converted) -> Self {
        x.0
    }
}

fn main() {}
