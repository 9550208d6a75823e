//! How deep the stack goes: painted below the caller, and looked at afterwards.

/// Deeper than anything here goes, in bytes.
const DEPTH: usize = 8 * 1024;
/// What painting itself needs.
const MARGIN: usize = 256;
const PAINT: u32 = 0x5354_4143;

#[inline(always)]
fn pointer() -> usize {
    let at: usize;
    // SAFETY: only reads the stack pointer.
    #[cfg(target_arch = "arm")]
    unsafe {
        core::arch::asm!("mov {}, sp", out(reg) at, options(nomem, nostack, preserves_flags));
    }
    // SAFETY: as above.
    #[cfg(target_arch = "riscv32")]
    unsafe {
        core::arch::asm!("mv {}, sp", out(reg) at, options(nomem, nostack, preserves_flags));
    }
    at
}

/// Bytes of stack that `work` uses, and what it yields. Less than the margin of painting is not seen.
#[inline(never)]
pub(crate) fn used<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let top = pointer() & !3;
    let places = (top - DEPTH..top - MARGIN).step_by(4);
    for at in places.clone() {
        // SAFETY: memory below the stack, which nobody uses; it is larger than that.
        unsafe { (at as *mut u32).write_volatile(PAINT) };
    }
    let result = work();
    let mut places = places;
    // SAFETY: as above; it holds numbers.
    let deepest = places.find(|&at| unsafe { (at as *const u32).read_volatile() } != PAINT);
    (deepest.map_or(0, |at| top - at), result)
}
