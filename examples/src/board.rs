//! Programs of boards, as they go into flash. Here they run on the host, against a virtual wire: `tests/boards.rs`.

pub mod interrupt;
pub mod tasks;
pub mod thermostat;
