//! A node of four channels with everything that it needs in statics, so that the linker counts all of its
//! RAM but the stack: packets of 64 bytes, a window of two, messages of up to 64 bytes, and room for
//! two of them in each channel.
#![no_std]
#![no_main]

use core::mem::MaybeUninit;

// What a critical section is here.
#[cfg(target_arch = "arm")]
use cortex_m as _;
use netchan::Blob;
use netchan::board::{Config, Driver, Identity, Memory, Node, Receiver, Sender};
use netchan::proto::{CounterNonce, LineConfig, Name};
#[cfg(target_arch = "riscv32")]
use riscv as _;

use self::uart::{now, read, write};

#[path = "../uart.rs"]
mod uart;

/// A length in one byte, and as many bytes as make 64 with it.
type Message = Blob<63>;

const CONFIG: Config = Config::new(LineConfig::uart(115_200, 2, 64, 2))
    .export::<Sender<Message>>(2)
    .export::<Sender<Message>>(2)
    .export::<Receiver<Message>>(2)
    .export::<Receiver<Message>>(2);

static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);

static mut NONCES: MaybeUninit<CounterNonce> = MaybeUninit::uninit();
static mut MEMORY: MaybeUninit<Memory<{ CONFIG.line_bytes() }>> = MaybeUninit::uninit();
static mut LINE: MaybeUninit<Driver<'static>> = MaybeUninit::uninit();

const NAME: Name = Name::literal("size");

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    // SAFETY: this is the only place that names them, and it runs once.
    let (nonces, memory, line) =
        unsafe { (&mut *(&raw mut NONCES), &mut *(&raw mut MEMORY), &mut *(&raw mut LINE)) };
    let nonces = nonces.write(CounterNonce::new(1, read(0x20)));
    let memory = memory.write(Memory::new(&CONFIG));
    let identity = Identity { name: &NAME, uid: 1, boot: u64::from(read(0x20)), nonces };
    let line = line.write(NODE.line(memory, identity));

    let Ok(first) = NODE.export::<Sender<Message>>("first") else { loop {} };
    let Ok(second) = NODE.export::<Sender<Message>>("second") else { loop {} };
    let Ok(mut third) = NODE.export::<Receiver<Message>>("third") else { loop {} };
    let Ok(mut fourth) = NODE.export::<Receiver<Message>>("fourth") else { loop {} };
    loop {
        if read(0x18) & 1 != 0 {
            line.feed(&[read(0) as u8], now());
        }
        let mut byte = [0];
        if read(0x18) & 2 != 0 && line.drain(&mut byte, now()) == 1 {
            write(byte[0]);
        }
        if let Ok(message) = third.try_recv() {
            let _ = first.try_send(message);
        }
        if let Ok(message) = fourth.try_recv() {
            let _ = second.try_send(message);
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
