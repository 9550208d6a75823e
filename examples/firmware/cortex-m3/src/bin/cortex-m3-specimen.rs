//! The specimen of the conformance suite, on the board of this directory.
#![no_std]
#![no_main]

#[path = "../clock.rs"]
mod clock;
#[path = "../uart.rs"]
mod uart;

use netchan::board::{Identity, Memory};
use netchan::proto::{CounterNonce, Instant, Name};
use netchan_firmware_specimen::{CONFIG, NODE, Specimen};
use uart::Uart;

static UART: Uart = Uart::new(0);

const NAME: Name = Name::literal("specimen");
const UID: u64 = 0x7370_6563;

#[cortex_m_rt::entry]
fn main() -> ! {
    clock::start();
    UART.start();
    let start = clock::start_number();
    let mut nonces = CounterNonce::new(UID, start);
    let identity = Identity { name: &NAME, uid: UID, boot: u64::from(start), nonces: &mut nonces };
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut line = NODE.line(&mut memory, identity);
    let Ok(mut specimen) = Specimen::new(&NODE) else { loop {} };
    loop {
        let mut bytes = [0; 32];
        let n = UART.read(&mut bytes);
        line.feed(&bytes[..n], now());
        specimen.poll();
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

/// Says nothing; the suite finds that nobody answers.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        cortex_m::asm::wfi();
    }
}
