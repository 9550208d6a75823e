//! A UART of this chip, by interrupts, with a small queue in each direction.

use netchan_firmware_app::Queue;

use super::clock::CORE_HZ;

/// A UART, which lives in a `static`.
pub(crate) struct Uart {
    number: usize,
    /// What comes in while the main loop is busy. At 115200 baud 128 bytes are 11 ms.
    rx: Queue<128>,
    tx: Queue<32>,
}

const BAUD: u32 = 115_200;

/// The first two, by number: the port of their pins, the bit of its clock, and the pins.
const PORTS: [(usize, u32, u32); 2] = [(0x4000_4000, 1, 3), (0x4000_7000, 1 << 3, 3 << 2)];
/// The interrupt of the first one; the other's is the next.
const FIRST_IRQ: usize = 5;

/// Registers, as the data sheet has them; those of a UART and of a port behind its base.
const RCGC1: usize = 0x400f_e104;
const RCGC2: usize = 0x400f_e108;
const NVIC_ENABLE: usize = 0xe000_e100;
const UARTS: usize = 0x4000_c000;
const UART_LEN: usize = 0x1000;
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

impl Uart {
    /// That of this number, 0 or 1.
    pub(crate) const fn new(number: usize) -> Self {
        assert!(number < PORTS.len());
        Self { number, rx: Queue::new(), tx: Queue::new() }
    }

    fn get(&self, register: usize) -> u32 {
        read_register(UARTS + self.number * UART_LEN + register)
    }

    fn set(&self, register: usize, value: u32) {
        write_register(UARTS + self.number * UART_LEN + register, value);
    }

    pub(crate) fn start(&self) {
        let (port, port_clock, pins) = PORTS[self.number];
        set_bits(RCGC1, 1 << self.number);
        set_bits(RCGC2, port_clock);
        set_bits(port + AFSEL, pins);
        set_bits(port + DEN, pins);
        self.set(CONTROL, 0);
        let divisor = (CORE_HZ * 4 + BAUD / 2) / BAUD;
        self.set(BAUD_WHOLE, divisor >> 6);
        self.set(BAUD_64TH, divisor & 63);
        // Eight bits, no parity, one stop bit, with the hardware's queue.
        self.set(LINE, 3 << 5 | 1 << 4);
        // The emulated UART outlives a reset of its board, with what it holds; and it tells of the first byte only.
        self.discard();
        self.set(MASK, INT_RX | INT_RX_TIMEOUT);
        // Receiver, transmitter, and the UART itself.
        self.set(CONTROL, 1 << 9 | 1 << 8 | 1);
        write_register(NVIC_ENABLE, 1 << (FIRST_IRQ + self.number));
    }

    /// Drops what the hardware has taken.
    pub(crate) fn discard(&self) {
        while self.get(FLAGS) & RX_EMPTY == 0 {
            self.get(DATA);
        }
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
        while self.get(FLAGS) & TX_FULL == 0 {
            let Some(byte) = self.tx.take() else {
                return self.set(MASK, INT_RX | INT_RX_TIMEOUT);
            };
            self.set(DATA, byte.into());
        }
        self.set(MASK, INT_RX | INT_RX_TIMEOUT | INT_TX);
    }

    /// To be called by whatever handles interrupts, with each of them. A byte that finds no room is dropped: the line sends its packet
    /// again.
    pub(crate) fn on_interrupt(&self, irq: i16) {
        if usize::try_from(irq) != Ok(FIRST_IRQ + self.number) {
            return;
        }
        self.set(CLEAR, INT_RX | INT_RX_TIMEOUT | INT_TX);
        while self.get(FLAGS) & RX_EMPTY == 0 {
            self.rx.put(self.get(DATA) as u8);
        }
        self.transmit();
    }
}
