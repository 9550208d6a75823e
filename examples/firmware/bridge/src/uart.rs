//! UART0 and UART1, by interrupts, with a small queue in each direction.

use netchan_firmware_app::Queue;

use super::clock::CORE_HZ;

/// One of the two.
pub(crate) struct Uart {
    base: usize,
    irq: i16,
    /// What comes in while the main loop is busy. At 115200 baud 128 bytes are 11 ms.
    rx: Queue<128>,
    tx: Queue<32>,
}

/// That to the host, and that to the board behind.
pub(crate) static HOST: Uart = Uart::new(0x4000_c000, 5);
pub(crate) static LEAF: Uart = Uart::new(0x4000_d000, 6);

const BAUD: u32 = 115_200;

/// Registers, as the data sheet has them; those of a UART behind its base.
const RCGC1: usize = 0x400f_e104;
const RCGC2: usize = 0x400f_e108;
const GPIO_A: usize = 0x4000_4000;
const GPIO_D: usize = 0x4000_7000;
const AFSEL: usize = 0x420;
const DEN: usize = 0x51c;
const DATA: usize = 0;
const FLAGS: usize = 0x18;
const BAUD_WHOLE: usize = 0x24;
const BAUD_64TH: usize = 0x28;
const LINE: usize = 0x2c;
const CONTROL: usize = 0x30;
const MASK: usize = 0x38;
const CLEAR: usize = 0x44;
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

fn set_bits(at: usize, bits: u32) {
    write_register(at, read_register(at) | bits);
}

/// Both of them.
pub(crate) fn start() {
    // The clocks of UART0 and UART1, and of the ports A and D with their pins.
    set_bits(RCGC1, 3);
    set_bits(RCGC2, 1 | 1 << 3);
    for (port, pins) in [(GPIO_A, 3), (GPIO_D, 3 << 2)] {
        set_bits(port + AFSEL, pins);
        set_bits(port + DEN, pins);
    }
    HOST.start();
    LEAF.start();
}

impl Uart {
    const fn new(base: usize, irq: i16) -> Self {
        Self { base, irq, rx: Queue::new(), tx: Queue::new() }
    }

    fn start(&self) {
        let write = |register, value| write_register(self.base + register, value);
        write(CONTROL, 0);
        let divisor = (CORE_HZ * 4 + BAUD / 2) / BAUD;
        write(BAUD_WHOLE, divisor >> 6);
        write(BAUD_64TH, divisor & 63);
        // Eight bits, no parity, one stop bit, with the hardware's queue.
        write(LINE, 3 << 5 | 1 << 4);
        // The emulated UART outlives a reset of its board, with what it holds; and it tells of the first byte only.
        while read_register(self.base + FLAGS) & RX_EMPTY == 0 {
            read_register(self.base + DATA);
        }
        write(MASK, INT_RX | INT_RX_TIMEOUT);
        // Receiver, transmitter, and the UART itself.
        write(CONTROL, 1 << 9 | 1 << 8 | 1);
        write_register(NVIC_ENABLE, 1 << self.irq);
    }

    /// Takes what has come in: how many bytes.
    pub(crate) fn read(&self, out: &mut [u8]) -> usize {
        let mut n = 0;
        while let Some(slot) = out.get_mut(n)
            && let Some(byte) = self.rx.take()
        {
            *slot = byte;
            n += 1;
        }
        n
    }

    /// How many bytes [`Uart::write`] takes.
    pub(crate) fn room(&self) -> usize {
        self.tx.room()
    }

    /// Sends bytes, at most as many as there is room for.
    pub(crate) fn write(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        for &byte in bytes {
            self.tx.put(byte);
        }
        // The interrupt of the transmitter tells of its becoming empty, so the first bytes are put here.
        cortex_m::interrupt::free(|_| self.transmit());
    }

    fn transmit(&self) {
        while read_register(self.base + FLAGS) & TX_FULL == 0 {
            let Some(byte) = self.tx.take() else {
                return write_register(self.base + MASK, INT_RX | INT_RX_TIMEOUT);
            };
            write_register(self.base + DATA, byte.into());
        }
        write_register(self.base + MASK, INT_RX | INT_RX_TIMEOUT | INT_TX);
    }

    fn on_interrupt(&self) {
        write_register(self.base + CLEAR, INT_RX | INT_RX_TIMEOUT | INT_TX);
        while read_register(self.base + FLAGS) & RX_EMPTY == 0 {
            self.rx.put(read_register(self.base + DATA) as u8);
        }
        self.transmit();
    }
}

/// The only interrupts there are but the clock's. A byte that finds no room is dropped: the line sends
/// its packet again.
#[cortex_m_rt::exception]
unsafe fn DefaultHandler(irq: i16) {
    for uart in [&HOST, &LEAF] {
        if uart.irq == irq {
            uart.on_interrupt();
        }
    }
}
