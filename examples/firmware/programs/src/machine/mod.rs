//! What a board gives to a program: a UART, the time, an interrupt in each millisecond.

mod halves;
mod serial;
mod time;

#[cfg(target_arch = "arm")]
#[path = "../../../cortex-m3/src/clock.rs"]
mod clock;
#[cfg(target_arch = "arm")]
#[path = "../../../cortex-m3/src/uart.rs"]
mod uart;

#[cfg(target_arch = "riscv32")]
#[path = "../../../riscv32/src/clock.rs"]
mod clock;
#[cfg(target_arch = "riscv32")]
#[path = "../../../riscv32/src/uart.rs"]
mod uart;

#[cfg_attr(target_arch = "arm", path = "cortex_m3.rs")]
#[cfg_attr(target_arch = "riscv32", path = "riscv32.rs")]
mod chip;

use core::cell::Cell;

use critical_section::{Mutex, with};
use netchan::proto::Instant;

pub use chip::sleep;
pub use halves::{Rx, Tx, halves};
pub use serial::Serial;

/// Bytes that wait in the UART's queue at most.
const TX_ROOM: usize = 31;
/// What the interrupt of the clock does beside counting.
static ON_TICK: Mutex<Cell<fn()>> = Mutex::new(Cell::new(|| {}));

/// Starts the clock and the UART: the number of this start, another one at each.
pub fn start() -> u32 {
    chip::start();
    clock::start_number()
}

/// Milliseconds since the start.
pub fn millis() -> u32 {
    clock::millis()
}

/// The time, for a line.
pub fn now() -> Instant {
    Instant::from_millis(u64::from(millis()))
}

/// From now on each interrupt of the clock, one in a millisecond, does this too.
pub fn at_each_tick(work: fn()) {
    with(|cs| ON_TICK.borrow(cs).set(work));
}

/// For so many milliseconds no interrupt comes, and the UART's bytes are lost, as while flash is erased.
pub fn busy(ms: u32) {
    with(|_| chip::busy(ms));
}

/// The clock's interrupt.
fn tick() {
    clock::on_tick();
    time::wake();
    with(|cs| ON_TICK.borrow(cs).get())();
}

/// Says nothing, for there is nobody to hear it; the peer finds that nobody answers.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        sleep();
    }
}
