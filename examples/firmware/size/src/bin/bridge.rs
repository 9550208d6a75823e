//! A bridge board with one channel of its own, which echoes, and room for four circuits that pass through, with everything that it
//! needs in statics, so that the linker counts all of its RAM but the stack: packets of 240 bytes upward and of 64 to
//! the board behind it.
#![no_std]
#![no_main]

use core::mem::MaybeUninit;

// What a critical section is here.
#[cfg(target_arch = "arm")]
use cortex_m as _;
use netchan::Message;
use netchan::board::{Bridge, Config, Driver, Duplex, Identity, Memory, Node};
use netchan::proto::{CounterNonce, LineConfig, Name};
#[cfg(target_arch = "riscv32")]
use riscv as _;
use serde::{Deserialize, Serialize};

use self::uart::{now, read, write};

#[path = "../uart.rs"]
mod uart;

#[derive(Serialize, Deserialize, Message, Clone, Copy)]
struct Ping {
    id: u16,
    value: u32,
}

const CIRCUITS: usize = if cfg!(feature = "eight") { 8 } else { 4 };
const CONFIG: Config =
    Config::new(LineConfig::uart(115_200, 2, 240, 2)).export::<Duplex<Ping, Ping>>(2).bridge(CIRCUITS, 256);
const DOWN: Config = CONFIG.over(LineConfig::uart(115_200, 2, 64, 2));

static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
static BRIDGE: Bridge<{ CONFIG.circuits() }, { CONFIG.room() }> = Bridge::new(&CONFIG);

static mut NONCES: [MaybeUninit<CounterNonce>; 2] = [const { MaybeUninit::uninit() }; 2];
static mut UP_MEMORY: MaybeUninit<Memory<{ CONFIG.line_bytes() }>> = MaybeUninit::uninit();
static mut DOWN_MEMORY: MaybeUninit<Memory<{ DOWN.line_bytes() }>> = MaybeUninit::uninit();
static mut LINES: [MaybeUninit<Driver<'static>>; 2] = [const { MaybeUninit::uninit() }; 2];

const NAME: Name = Name::literal("size");

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    // SAFETY: this is the only place that names them, and it runs once.
    let ([first, second], up_memory, down_memory, [up, down]) = unsafe {
        (
            &mut *(&raw mut NONCES),
            &mut *(&raw mut UP_MEMORY),
            &mut *(&raw mut DOWN_MEMORY),
            &mut *(&raw mut LINES),
        )
    };
    let boot = u64::from(read(0x20));
    let nonces = first.write(CounterNonce::new(1, read(0x20)));
    let identity = Identity { name: &NAME, uid: 1, boot, nonces };
    let up = up.write(NODE.up_line(&BRIDGE, up_memory.write(Memory::new(&CONFIG)), identity));
    let nonces = second.write(CounterNonce::new(2, read(0x20)));
    let identity = Identity { name: &NAME, uid: 1, boot, nonces };
    let down = down.write(NODE.down_line(&BRIDGE, down_memory.write(Memory::new(&DOWN)), identity));

    let Ok(mut echo) = NODE.export::<Duplex<Ping, Ping>>("echo") else { loop {} };
    loop {
        let mut byte = [0];
        if read(0x18) & 1 != 0 {
            up.feed(&[read(0) as u8], now());
        }
        if read(0x18) & 2 != 0 && up.drain(&mut byte, now()) == 1 {
            write(byte[0]);
        }
        if read(0x18) & 4 != 0 {
            down.feed(&[read(8) as u8], now());
        }
        if read(0x18) & 8 != 0 && down.drain(&mut byte, now()) == 1 {
            write(byte[0]);
        }
        if let Ok(ping) = echo.try_recv() {
            let _ = echo.try_send(ping);
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
