//! QEMU's `lm3s6965evb`, or the real one: its interrupts.

use cortex_m::peripheral::SYST;

use super::clock::CORE_HZ;
use super::uart::Uart;
use super::{clock, halves, tick};

static UART: Uart = Uart::new(0);

pub(super) fn start() {
    clock::start();
    UART.start();
}

/// Until the next interrupt.
pub fn sleep() {
    cortex_m::asm::wfi();
}

pub(super) fn read(out: &mut [u8]) -> usize {
    UART.read(out)
}

pub(super) fn room() -> usize {
    UART.room()
}

pub(super) fn write(bytes: &[u8]) {
    UART.write(bytes);
}

/// The clock stands still meanwhile: what it counts are interrupts.
pub(super) fn busy(ms: u32) {
    const LONGEST: u32 = 0x00ff_ffff;
    // SAFETY: SysTick, whose interrupt does not come now; it is left as it was found.
    let syst = unsafe { &*SYST::PTR };
    let reload = syst.rvr.read();
    let restart = |reload| {
        // SAFETY: as above.
        unsafe {
            syst.rvr.write(reload);
            syst.cvr.write(0);
        }
    };
    restart(LONGEST);
    let (mut left, mut last) = (ms * (CORE_HZ / 1000), syst.cvr.read());
    while left > 0 {
        UART.discard();
        let now = syst.cvr.read();
        // It counts down, and begins anew after more than a second.
        left = left.saturating_sub(last.wrapping_sub(now) & LONGEST);
        last = now;
    }
    restart(reload);
}

#[cortex_m_rt::exception]
fn SysTick() {
    tick();
}

/// The only interrupt there is but the clock's.
#[cortex_m_rt::exception]
unsafe fn DefaultHandler(irq: i16) {
    UART.on_interrupt(irq);
    halves::wake();
}
