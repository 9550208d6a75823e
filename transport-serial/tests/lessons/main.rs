//! The lessons that hold on every transport, over a serial line that loses bytes.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;

#[path = "../../../core/tests/lessons/drain.rs"]
mod drain;
#[path = "../../../core/tests/lessons/threads.rs"]
mod threads;
