//! The mistakes of netchan's ancestors and relatives, each as a test named after what must
//! not happen.

#[path = "../common/mod.rs"]
mod common;

mod credit;
#[path = "../../../core/tests/lessons/drain.rs"]
mod drain;
mod ends;
mod fan_out;
mod leaving;
mod load;
mod opening;
#[path = "../../../core/tests/lessons/threads.rs"]
mod threads;
mod wakers;
