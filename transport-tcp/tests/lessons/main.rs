//! The mistakes of netchan's ancestors and relatives, each as a test named after what must
//! not happen.

#[path = "../common/mod.rs"]
mod common;

mod credit;
mod drain;
mod ends;
mod fan_out;
mod load;
mod opening;
mod threads;
mod wakers;
