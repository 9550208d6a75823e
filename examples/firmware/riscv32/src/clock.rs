//! Milliseconds, by the machine's timer; and the number of this start.

/// What the timer counts at on this machine, in hertz.
const TIMER_HZ: u64 = 10_000_000;
const PER_MILLI: u64 = TIMER_HZ / 1000;

const TIME: usize = 0x0200_bff8;
const COMPARE: usize = 0x0200_4000;

fn time() -> u64 {
    let half = |at: usize| {
        // SAFETY: the two halves of a register of this machine, which is only read.
        u64::from(unsafe { (at as *const u32).read_volatile() })
    };
    loop {
        let high = half(TIME + 4);
        let low = half(TIME);
        if high == half(TIME + 4) {
            return high << 32 | low;
        }
    }
}

/// The next interrupt comes at this time.
fn compare(at: u64) {
    // SAFETY: the two halves of a register of this machine; the upper one is put out of reach first, so that no
    // interrupt comes between.
    unsafe {
        ((COMPARE + 4) as *mut u32).write_volatile(u32::MAX);
        (COMPARE as *mut u32).write_volatile(at as u32);
        ((COMPARE + 4) as *mut u32).write_volatile((at >> 32) as u32);
    }
}

pub(crate) fn start() {
    compare(time() + PER_MILLI);
    // SAFETY: the handler below is in place.
    unsafe { riscv::register::mie::set_mtimer() };
}

/// Milliseconds since the power came.
pub(crate) fn millis() -> u32 {
    (time() / PER_MILLI) as u32
}

/// To be called by the timer's handler: the next one comes a millisecond later.
pub(crate) fn on_tick() {
    compare(time() + PER_MILLI);
}

/// Another number at each start. A product counts in flash; this machine's memory outlives a reset,
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
