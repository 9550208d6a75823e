//! The 16550, by interrupts, with a small queue in each direction.

use netchan_firmware_app::Queue;

/// What comes in while the main loop is busy. At 115200 baud 128 bytes are 11 ms.
static RX: Queue<128> = Queue::new();
static TX: Queue<32> = Queue::new();

/// Registers of the UART and of the interrupt controller, as the machine's device tree has them.
const DATA: usize = 0x1000_0000;
const ENABLE: usize = DATA + 1;
const FIFO: usize = DATA + 2;
const LINE: usize = DATA + 3;
const STATUS: usize = DATA + 5;
const IRQ: u32 = 10;
const PRIORITY: usize = 0x0c00_0000 + 4 * IRQ as usize;
const PLIC_ENABLE: usize = 0x0c00_2000;
const THRESHOLD: usize = 0x0c20_0000;
const CLAIM: usize = 0x0c20_0004;

const RX_READY: u8 = 1;
const TX_EMPTY: u8 = 1 << 5;
const INT_RX: u8 = 1;
const INT_TX: u8 = 1 << 1;

fn read_register(at: usize) -> u8 {
    // SAFETY: the addresses above are registers of this machine.
    unsafe { (at as *const u8).read_volatile() }
}

fn write_register(at: usize, value: u8) {
    // SAFETY: as above; none of them writes to memory.
    unsafe { (at as *mut u8).write_volatile(value) }
}

fn write_word(at: usize, value: u32) {
    // SAFETY: as above.
    unsafe { (at as *mut u32).write_volatile(value) }
}

pub(crate) fn start() {
    write_register(LINE, 3);
    write_register(FIFO, 1);
    // It outlives a reset of its board, with what it holds.
    discard();
    write_register(ENABLE, INT_RX);
    write_word(PRIORITY, 1);
    write_word(PLIC_ENABLE, 1 << IRQ);
    write_word(THRESHOLD, 0);
    // SAFETY: the handlers are in place.
    unsafe {
        riscv::register::mie::set_mext();
        riscv::interrupt::enable();
    }
}

/// Drops what the hardware has taken.
pub(crate) fn discard() {
    while read_register(STATUS) & RX_READY != 0 {
        read_register(DATA);
    }
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
    // The interrupt comes as soon as the transmitter is empty, which it may be already.
    write_register(ENABLE, INT_RX | INT_TX);
}

/// To be called by the handler of external interrupts, of which there is no other. A byte that finds no room is dropped: the line
/// sends its packet again.
pub(crate) fn on_interrupt() {
    // SAFETY: a register of this machine; reading it claims the interrupt.
    let irq = unsafe { (CLAIM as *const u32).read_volatile() };
    while read_register(STATUS) & RX_READY != 0 {
        RX.put(read_register(DATA));
    }
    while read_register(STATUS) & TX_EMPTY != 0 {
        let Some(byte) = TX.take() else {
            write_register(ENABLE, INT_RX);
            break;
        };
        write_register(DATA, byte);
    }
    write_word(CLAIM, irq);
}
