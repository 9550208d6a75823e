//! A bridge board with two UARTs: QEMU's `lm3s6965evb`, or the real one. UART0 leads to the host, UART1 to a board
//! with the firmware of this directory.
#![no_std]
#![no_main]

#[path = "../../cortex-m3/src/clock.rs"]
mod clock;
#[path = "../../cortex-m3/src/uart.rs"]
mod uart;

use netchan::board::{Bridge, Config, Driver, Duplex, Identity, Latest, Memory, Node};
use netchan::proto::{CounterNonce, Instant, LineConfig, Name};
use netchan_firmware_app::CONFIG as BEHIND;
use uart::Uart;

/// Up to eight circuits at a time pass through, each with room for two of the longest messages of the board behind; and two
/// channels of its own.
const CONFIG: Config = Config::new(LineConfig::uart(115_200, 2, 240, 4))
    .export::<Latest<u32>>(1)
    .export::<Duplex<u32, u32>>(4)
    .bridge(8, 320);
const DOWN: Config = CONFIG.over(*BEHIND.line());

static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
static BRIDGE: Bridge<{ CONFIG.circuits() }, { CONFIG.room() }> = Bridge::new(&CONFIG);

/// That to the host, and that to the board behind.
static HOST: Uart = Uart::new(0);
static LEAF: Uart = Uart::new(1);

const NAME: Name = Name::literal("relay-board");
const UID: u64 = 0x7265_6c61_79;

#[cortex_m_rt::entry]
fn main() -> ! {
    clock::start();
    HOST.start();
    LEAF.start();
    let start = clock::start_number();
    // Numbers that differ on its two lines.
    let (mut up_nonces, mut down_nonces) = (CounterNonce::new(UID, start), CounterNonce::new(!UID, start));
    let mut up_memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut down_memory = Memory::<{ DOWN.line_bytes() }>::new(&DOWN);
    let identity = Identity { name: &NAME, uid: UID, boot: u64::from(start), nonces: &mut up_nonces };
    let mut up = NODE.up_line(&BRIDGE, &mut up_memory, identity);
    let identity = Identity { name: &NAME, uid: UID, boot: u64::from(start), nonces: &mut down_nonces };
    let mut down = NODE.down_line(&BRIDGE, &mut down_memory, identity);
    let (Ok(uptime), Ok(mut echo)) =
        (NODE.export::<Latest<u32>>("uptime"), NODE.export_with::<Duplex<u32, u32>>("echo", 4))
    else {
        loop {}
    };
    loop {
        // A number always encodes.
        let _ = uptime.set(&clock::millis());
        while let Ok(value) = echo.try_recv() {
            // Its partner takes what it gets before it sends more, or is gone.
            let _ = echo.try_send(value);
        }
        // Both are asked in each turn, for what one has heard may be for the other one to say.
        let moved = turn(&mut up, &HOST) | turn(&mut down, &LEAF);
        if !moved {
            // The clock's interrupt comes every millisecond.
            cortex_m::asm::wfi();
        }
    }
}

/// Moves bytes between a line and its UART: whether there were any.
fn turn(line: &mut Driver<'_>, uart: &Uart) -> bool {
    let mut bytes = [0; 32];
    let came = uart.read(&mut bytes);
    line.feed(&bytes[..came], now());
    let room = uart.room().min(bytes.len());
    let goes = line.drain(&mut bytes[..room], now());
    uart.write(&bytes[..goes]);
    came + goes > 0
}

fn now() -> Instant {
    Instant::from_millis(u64::from(clock::millis()))
}

#[cortex_m_rt::exception]
fn SysTick() {
    clock::on_tick();
}

/// The only interrupts there are but the clock's.
#[cortex_m_rt::exception]
unsafe fn DefaultHandler(irq: i16) {
    HOST.on_interrupt(irq);
    LEAF.on_interrupt(irq);
}

/// Says nothing, for there is nobody to hear it; the peers find that nobody answers.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        cortex_m::asm::wfi();
    }
}
