//! The programs that the project's README shows, as they are there, on emulated boards; and what a board gives them.
//!
//! A host that depends on it has their messages and how their lines are.
#![no_std]

#[path = "../../../src/board/interrupt.rs"]
pub mod interrupt;
#[cfg(target_os = "none")]
pub mod machine;
#[cfg(target_os = "none")]
#[path = "../../../src/board/tasks.rs"]
pub mod tasks;
#[path = "../../../src/board/thermostat.rs"]
pub mod thermostat;
pub mod update;
