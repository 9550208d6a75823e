//! What a type costs without netchan: decoded and encoded with postcard, and nothing else.
#![no_std]
#![no_main]

#[cfg(target_arch = "arm")]
use cortex_m as _;
#[cfg(target_arch = "riscv32")]
use riscv as _;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Clone, Copy)]
struct Ping {
    id: u16,
    value: u32,
}

#[cfg(feature = "other")]
#[derive(Serialize, Deserialize, Clone, Copy)]
struct Other {
    flag: bool,
    level: i16,
    time: u32,
}

#[cfg(target_arch = "arm")]
const UART: usize = 0x4000_c000;
#[cfg(target_arch = "riscv32")]
const UART: usize = 0x1000_0000;

fn read(at: usize) -> u32 {
    // SAFETY: never run; on the boards it stands for these are registers of the UART.
    unsafe { ((UART + at) as *const u32).read_volatile() }
}

fn write(byte: u8) {
    // SAFETY: as above.
    unsafe { (UART as *mut u32).write_volatile(byte.into()) }
}

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    loop {
        let mut bytes = [0; 16];
        bytes.fill_with(|| read(0) as u8);
        let mut out = [0; 16];
        let mut sent: &[u8] = &[];
        if let Ok(ping) = postcard::from_bytes::<Ping>(&bytes) {
            sent = postcard::to_slice(&ping, &mut out).unwrap_or_default();
        }
        #[cfg(feature = "other")]
        if let Ok(other) = postcard::from_bytes::<Other>(&bytes[8..]) {
            sent = postcard::to_slice(&other, &mut out).unwrap_or_default();
        }
        sent.iter().for_each(|&byte| write(byte));
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
