//! A board with a UART: QEMU's `virt` for RISC-V.
#![no_std]
#![no_main]

mod clock;
mod uart;

use netchan::board::Memory;
use netchan::proto::{CounterNonce, Identity, Instant, Name};
use netchan_firmware_app::{App, CONFIG, NODE};

const NAME: Name = match Name::new("riscv32") {
    Ok(name) => name,
    Err(_) => panic!("not a node's name"),
};

#[riscv_rt::entry]
fn main() -> ! {
    clock::start();
    uart::start();
    let start = clock::start_number();
    let identity = Identity { name: NAME, uid: 0x7276_3332, boot: u64::from(start) };
    let mut nonces = CounterNonce::new(identity.uid, start);
    let mut memory = Memory::<{ CONFIG.circuits() }, { CONFIG.line_bytes() }>::new(&CONFIG);
    let mut line = NODE.line(&mut memory, identity, &mut nonces, now());
    let Ok(mut app) = App::new() else { loop {} };
    loop {
        let mut bytes = [0; 32];
        let n = uart::read(&mut bytes);
        line.feed(&bytes[..n], now());
        app.poll(clock::millis());
        let room = uart::room().min(bytes.len());
        let n = line.drain(&mut bytes[..room], now());
        uart::write(&bytes[..n]);
        if n == 0 {
            // The clock's interrupt comes every millisecond.
            riscv::asm::wfi();
        }
    }
}

fn now() -> Instant {
    Instant::from_millis(u64::from(clock::millis()))
}

/// Says nothing, for there is nobody to hear it; the peer finds that nobody answers.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        riscv::asm::wfi();
    }
}
