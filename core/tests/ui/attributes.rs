//! A type that must not compile; what the compiler says stands beside it.

use netchan::Message;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message)]
struct Old(u8);

#[derive(Serialize, Deserialize, Message)]
#[netchan(also = Old, also = Old, also = Old, also = Old)]
struct New(u8);

#[derive(Serialize, Deserialize, Message)]
#[netchan(nmae = "x")]
struct Misspelt(u8);

#[derive(Serialize, Deserialize, Message)]
struct Named(#[netchan(name = "x")] u8);

fn main() {}
