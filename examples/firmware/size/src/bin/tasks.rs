//! The smallest firmware with a channel, as tasks: its line is run by one, and another echoes.
#![no_std]
#![no_main]

use core::convert::Infallible;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};

// What a critical section is here.
#[cfg(target_arch = "arm")]
use cortex_m as _;
use embedded_io_async::{ErrorType, Read, Write};
use netchan::Message;
use netchan::board::{Config, Duplex, Identity, Memory, Node, Timer};
use netchan::proto::{CounterNonce, Instant, LineConfig, Name};
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

const CONFIG: Config = Config::new(LineConfig::uart(115_200, 2, 64, 2)).export::<Duplex<Ping, Ping>>(2);

static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);

const NAME: Name = Name::literal("size");

struct Rx;

struct Tx;

struct Time;

impl ErrorType for Rx {
    type Error = Infallible;
}

impl Read for Rx {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Infallible> {
        let Some(byte) = into.first_mut() else { return Ok(0) };
        poll_fn(|_| if read(0x18) & 1 != 0 { Poll::Ready(()) } else { Poll::Pending }).await;
        *byte = read(0) as u8;
        Ok(1)
    }
}

impl ErrorType for Tx {
    type Error = Infallible;
}

impl Write for Tx {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some(&byte) = bytes.first() else { return Ok(0) };
        poll_fn(|_| if read(0x18) & 2 != 0 { Poll::Ready(()) } else { Poll::Pending }).await;
        write(byte);
        Ok(1)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Timer for Time {
    fn now(&self) -> Instant {
        now()
    }

    async fn until(&self, at: Instant) {
        poll_fn(|_| if now() >= at { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let mut nonces = CounterNonce::new(1, read(0x20));
    let identity = Identity { name: &NAME, uid: 1, boot: u64::from(read(0x20)), nonces: &mut nonces };
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut line = NODE.line(&mut memory, identity);
    let Ok(mut echo) = NODE.export::<Duplex<Ping, Ping>>("echo") else { loop {} };
    let echoing = async {
        loop {
            if let Ok(ping) = echo.recv().await {
                let _ = echo.send(ping).await;
            }
        }
    };
    let mut echoing = pin!(echoing);
    // An executor of a few lines, that asks all the time.
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        let mut running = pin!(line.run(Rx, Tx, Time));
        while running.as_mut().poll(&mut cx).is_pending() {
            let Poll::Pending = echoing.as_mut().poll(&mut cx);
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
