//! The thermostat of the README in a room: while it heats a decidegree is added in each 100 ms, else one is lost, down to
//! that of the house.
#![no_std]
#![no_main]

use core::cell::Cell;

use netchan_firmware_programs::machine::{self, Serial};
use netchan_firmware_programs::thermostat;

/// How cold the room becomes, in decidegrees.
const HOUSE: i16 = 150;
/// How long a decidegree takes, in milliseconds.
const STEP_MS: u32 = 100;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let start = machine::start();
    let (is_hot, room, last) = (Cell::new(false), Cell::new(HOUSE), Cell::new(machine::millis()));
    let decidegrees = || {
        // A look at the thermometer takes until the next interrupt.
        machine::sleep();
        if machine::millis().wrapping_sub(last.get()) >= STEP_MS {
            last.set(last.get().wrapping_add(STEP_MS));
            let step = if is_hot.get() { 1 } else { -1 };
            room.set(room.get().saturating_add(step).max(HOUSE));
        }
        room.get()
    };
    thermostat::run(Serial::new(), start, machine::now, decidegrees, |on| is_hot.set(on));
    loop {
        machine::sleep();
    }
}
