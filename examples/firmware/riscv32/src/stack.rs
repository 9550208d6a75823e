//! Paints the stack, so that a test can see how deep it goes.

/// What `cortex-m-rt` paints with.
const PAINT: u32 = 0xcccc_cccc;

unsafe extern "C" {
    /// The linker's: where the statics end, and the free memory below the stack begins.
    static mut __sheap: u32;
}

/// Paints what the stack has not reached yet.
#[inline(never)]
pub(crate) fn paint() {
    let top: usize;
    // SAFETY: only reads the stack pointer.
    unsafe { core::arch::asm!("mv {}, sp", out(reg) top, options(nomem, nostack, preserves_flags)) };
    let begin = &raw mut __sheap as usize;
    for at in (begin..top).step_by(4) {
        // SAFETY: memory between the statics and the stack, which nobody uses; there is no heap.
        unsafe { (at as *mut u32).write_volatile(PAINT) };
    }
}
