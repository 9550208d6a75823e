//! UART0, by interrupts, with a small queue in each direction.

use netchan_firmware_app::Queue;

use super::clock::CORE_HZ;

/// What comes in while the main loop is busy. At 115200 baud 128 bytes are 11 ms.
static RX: Queue<128> = Queue::new();
static TX: Queue<32> = Queue::new();

const BAUD: u32 = 115_200;
const IRQ: i16 = 5;

/// Registers, as the data sheet has them.
const RCGC1: usize = 0x400f_e104;
const RCGC2: usize = 0x400f_e108;
const GPIO_A_AFSEL: usize = 0x4000_4420;
const GPIO_A_DEN: usize = 0x4000_451c;
const DATA: usize = 0x4000_c000;
const FLAGS: usize = 0x4000_c018;
const BAUD_WHOLE: usize = 0x4000_c024;
const BAUD_64TH: usize = 0x4000_c028;
const LINE: usize = 0x4000_c02c;
const CONTROL: usize = 0x4000_c030;
const MASK: usize = 0x4000_c038;
const CLEAR: usize = 0x4000_c044;
const NVIC_ENABLE: usize = 0xe000_e100;

const RX_EMPTY: u32 = 1 << 4;
const TX_FULL: u32 = 1 << 5;
const INT_RX: u32 = 1 << 4;
const INT_TX: u32 = 1 << 5;
const INT_RX_TIMEOUT: u32 = 1 << 6;

fn read_register(at: usize) -> u32 {
    // SAFETY: the addresses above are registers of this chip.
    unsafe { (at as *const u32).read_volatile() }
}

fn write_register(at: usize, value: u32) {
    // SAFETY: as above; none of them writes to memory.
    unsafe { (at as *mut u32).write_volatile(value) }
}

pub(crate) fn start() {
    write_register(RCGC1, read_register(RCGC1) | 1);
    write_register(RCGC2, read_register(RCGC2) | 1);
    write_register(GPIO_A_AFSEL, read_register(GPIO_A_AFSEL) | 3);
    write_register(GPIO_A_DEN, read_register(GPIO_A_DEN) | 3);
    write_register(CONTROL, 0);
    let divisor = (CORE_HZ * 4 + BAUD / 2) / BAUD;
    write_register(BAUD_WHOLE, divisor >> 6);
    write_register(BAUD_64TH, divisor & 63);
    // Eight bits, no parity, one stop bit, with the hardware's queue.
    write_register(LINE, 3 << 5 | 1 << 4);
    // The emulated UART outlives a reset of its board, with what it holds; and it tells of the first byte only.
    while read_register(FLAGS) & RX_EMPTY == 0 {
        read_register(DATA);
    }
    write_register(MASK, INT_RX | INT_RX_TIMEOUT);
    // Receiver, transmitter, and the UART itself.
    write_register(CONTROL, 1 << 9 | 1 << 8 | 1);
    write_register(NVIC_ENABLE, 1 << IRQ);
}

/// Takes what has come in: how many bytes.
pub(crate) fn read(out: &mut [u8]) -> usize {
    let mut n = 0;
    while let Some(slot) = out.get_mut(n)
        && let Some(byte) = RX.take()
    {
        *slot = byte;
        n += 1;
    }
    n
}

/// How many bytes [`write`] takes.
pub(crate) fn room() -> usize {
    TX.room()
}

/// Sends bytes, at most as many as there is room for.
pub(crate) fn write(bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    for &byte in bytes {
        TX.put(byte);
    }
    // The interrupt of the transmitter tells of its becoming empty, so the first bytes are put here.
    cortex_m::interrupt::free(|_| transmit());
}

fn transmit() {
    while read_register(FLAGS) & TX_FULL == 0 {
        let Some(byte) = TX.take() else {
            write_register(MASK, INT_RX | INT_RX_TIMEOUT);
            return;
        };
        write_register(DATA, byte.into());
    }
    write_register(MASK, INT_RX | INT_RX_TIMEOUT | INT_TX);
}

/// The only interrupt there is but the clock's. A byte that finds no room is dropped: the line sends
/// its packet again.
#[cortex_m_rt::exception]
unsafe fn DefaultHandler(irq: i16) {
    if irq != IRQ {
        return;
    }
    write_register(CLEAR, INT_RX | INT_RX_TIMEOUT | INT_TX);
    while read_register(FLAGS) & RX_EMPTY == 0 {
        RX.put(read_register(DATA) as u8);
    }
    transmit();
}
