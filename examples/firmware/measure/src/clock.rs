//! Counts instructions: a timer of the machine, under `-icount shift=10`.

/// How long an instruction takes on this machine, in nanoseconds.
const INSTRUCTION_NS: u64 = 1 << 10;

/// The timer: what a tick takes, in nanoseconds. It ticks many times for each instruction, so the count is exact.
#[cfg(target_arch = "arm")]
mod timer {
    /// The chip runs at 12.5 MHz after its reset, and SysTick with it.
    pub(super) const TICK_NS: u64 = 80;
    /// It counts down and begins again there.
    const TOP: u32 = 0x00ff_ffff;
    const CONTROL: usize = 0xe000_e010;
    const RELOAD: usize = 0xe000_e014;
    const CURRENT: usize = 0xe000_e018;

    pub(super) fn start() {
        // SAFETY: SysTick, which nothing else uses: enabled, from the core's clock, without interrupt.
        unsafe {
            (RELOAD as *mut u32).write_volatile(TOP);
            (CURRENT as *mut u32).write_volatile(0);
            (CONTROL as *mut u32).write_volatile(0b101);
        }
    }

    #[inline(always)]
    pub(crate) fn now() -> u32 {
        // SAFETY: as above.
        TOP - unsafe { (CURRENT as *const u32).read_volatile() }
    }

    /// From one look to the next, less than a turn later.
    pub(crate) fn between(from: u32, to: u32) -> u32 {
        to.wrapping_sub(from) & TOP
    }
}

#[cfg(target_arch = "riscv32")]
mod timer {
    /// The machine's timer runs at 10 MHz.
    pub(super) const TICK_NS: u64 = 100;
    const TIME: usize = 0x0200_bff8;

    pub(super) fn start() {}

    #[inline(always)]
    pub(crate) fn now() -> u32 {
        // SAFETY: the lower half of a register of this machine, which is only read.
        unsafe { (TIME as *const u32).read_volatile() }
    }

    pub(crate) fn between(from: u32, to: u32) -> u32 {
        to.wrapping_sub(from)
    }
}

pub(crate) use timer::{between as ticks, now};

pub(crate) fn start() {
    timer::start();
}

/// Instructions in so many ticks.
pub(crate) fn instructions(ticks: u32) -> u32 {
    let ns = u64::from(ticks) * timer::TICK_NS;
    ((ns + INSTRUCTION_NS / 2) / INSTRUCTION_NS) as u32
}

/// Instructions that `work` takes, with the few between it and the clock.
pub(crate) fn count<T>(work: impl FnOnce() -> T) -> (u32, T) {
    let from = now();
    let result = work();
    let to = now();
    (instructions(ticks(from, to)), result)
}
