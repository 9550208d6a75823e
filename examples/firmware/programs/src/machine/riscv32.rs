//! QEMU's `virt` for RISC-V: its interrupts.

use riscv::interrupt::Interrupt;

pub(super) use super::uart::{read, room, write};
use super::{clock, halves, tick, uart};

pub(super) fn start() {
    clock::start();
    uart::start();
}

/// Until the next interrupt.
pub fn sleep() {
    riscv::asm::wfi();
}

/// The clock goes on meanwhile.
pub(super) fn busy(ms: u32) {
    let begin = clock::millis();
    while clock::millis().wrapping_sub(begin) < ms {
        uart::discard();
    }
}

#[riscv_rt::core_interrupt(Interrupt::MachineTimer)]
fn timer() {
    tick();
}

#[riscv_rt::core_interrupt(Interrupt::MachineExternal)]
fn external() {
    uart::on_interrupt();
    halves::wake();
}
