//! Milliseconds, by SysTick; and the number of this start.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

/// What the chip runs at after its reset, in hertz.
pub(crate) const CORE_HZ: u32 = 12_500_000;

static MILLIS: AtomicU32 = AtomicU32::new(0);

pub(crate) fn start() {
    if let Some(peripherals) = cortex_m::Peripherals::take() {
        let mut syst: SYST = peripherals.SYST;
        syst.set_clock_source(SystClkSource::Core);
        syst.set_reload(CORE_HZ / 1000 - 1);
        syst.clear_current();
        syst.enable_counter();
        syst.enable_interrupt();
    }
}

/// Milliseconds since the start.
pub(crate) fn millis() -> u32 {
    MILLIS.load(Ordering::Relaxed)
}

/// To be called by SysTick's handler.
pub(crate) fn on_tick() {
    // Only here is it written, so it needs no more than a load and a store.
    MILLIS.store(MILLIS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Another number at each start. A product counts in flash; this board's memory outlives a reset,
/// so it counts there, from whatever stood there when the power came.
pub(crate) fn start_number() -> u32 {
    #[unsafe(link_section = ".uninit.starts")]
    static mut STARTS: core::mem::MaybeUninit<u32> = core::mem::MaybeUninit::uninit();
    let starts = &raw mut STARTS;
    // SAFETY: `main` calls it once, and no interrupt does. The memory is a valid `u32` whatever it holds, read
    // as volatile so that nothing is assumed of it.
    unsafe {
        let count = starts.cast::<u32>().read_volatile().wrapping_add(1);
        starts.cast::<u32>().write_volatile(count);
        count
    }
}
