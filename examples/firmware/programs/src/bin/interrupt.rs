//! The button of the README, pressed by the clock's interrupt: once in a millisecond, and now and then so often that the
//! presses have no room.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use netchan::board::{Identity, Memory};
use netchan::proto::{CounterNonce, Name};
use netchan_firmware_programs::interrupt::{CONFIG, line, on_button, start};
use netchan_firmware_programs::machine::{self, Serial};

const NAME: Name = Name::literal("buttons");
const UID: u64 = 0x6274_6e;
/// A contact that bounces: so many presses at once, each so many milliseconds.
const BOUNCES: u32 = 64;
const BOUNCE_MS: u32 = 64;

/// Presses that were sent, and those that had no room.
static SENT: AtomicU32 = AtomicU32::new(0);
static LOST: AtomicU32 = AtomicU32::new(0);

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let number = machine::start();
    let mut nonces = CounterNonce::new(UID, number);
    let identity = Identity { name: &NAME, uid: UID, boot: number.into(), nonces: &mut nonces };
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut line = line(&mut memory, identity);
    let mut uart = Serial::new();
    if start().is_ok() {
        machine::at_each_tick(press);
    }
    loop {
        // This UART has no errors.
        let _ = line.poll(&mut uart, machine::now());
        machine::sleep();
    }
}

/// In the interrupt: the number of a press is in its button, as many as that holds.
fn press() {
    let presses = if machine::millis().is_multiple_of(BOUNCE_MS) { BOUNCES } else { 1 };
    for _ in 0..presses {
        // Only here are they written, so they need no more than a load and a store.
        let (sent, lost) = (SENT.load(Ordering::Relaxed), LOST.load(Ordering::Relaxed));
        if on_button(sent.wrapping_add(lost) as u8, lost) {
            SENT.store(sent.wrapping_add(1), Ordering::Relaxed);
        } else {
            LOST.store(lost.wrapping_add(1), Ordering::Relaxed);
        }
    }
}
