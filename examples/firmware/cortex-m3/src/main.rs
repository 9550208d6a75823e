//! A board with a UART: QEMU's `lm3s6965evb`, or the real one.
#![no_std]
#![no_main]

mod clock;
mod uart;

use netchan::board::{Identity, Memory};
use netchan::proto::{CounterNonce, Instant, Name};
use netchan_firmware_app::{App, CONFIG, NODE};
use uart::Uart;

static UART: Uart = Uart::new(0);

const NAME: Name = Name::literal("cortex-m3");
const UID: u64 = 0x6c6d_3373;

#[cortex_m_rt::entry]
fn main() -> ! {
    clock::start();
    UART.start();
    let start = clock::start_number();
    let mut nonces = CounterNonce::new(UID, start);
    let identity = Identity { name: &NAME, uid: UID, boot: u64::from(start), nonces: &mut nonces };
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut line = NODE.line(&mut memory, identity);
    let Ok(mut app) = App::new() else { loop {} };
    loop {
        let mut bytes = [0; 32];
        let n = UART.read(&mut bytes);
        line.feed(&bytes[..n], now());
        app.poll(clock::millis());
        let room = UART.room().min(bytes.len());
        let n = line.drain(&mut bytes[..room], now());
        UART.write(&bytes[..n]);
        if n == 0 {
            // The clock's interrupt comes every millisecond.
            cortex_m::asm::wfi();
        }
    }
}

fn now() -> Instant {
    Instant::from_millis(u64::from(clock::millis()))
}

#[cortex_m_rt::exception]
fn SysTick() {
    clock::on_tick();
}

/// The only interrupt there is but the clock's.
#[cortex_m_rt::exception]
unsafe fn DefaultHandler(irq: i16) {
    UART.on_interrupt(irq);
}

/// Says nothing, for there is nobody to hear it; the peer finds that nobody answers.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        cortex_m::asm::wfi();
    }
}
