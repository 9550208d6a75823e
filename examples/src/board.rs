//! Programs of boards, as they go into flash. Here they run on the host, against a virtual wire: `tests/boards.rs`.
//! On boards they run too: `firmware/programs`.

pub mod interrupt;
pub mod tasks;
pub mod thermostat;
