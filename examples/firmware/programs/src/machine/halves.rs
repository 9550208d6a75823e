//! The two halves of the UART with the traits of embedded-io-async: a task that waits is woken by the UART's interrupt.

use core::cell::Cell;
use core::convert::Infallible;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use critical_section::{Mutex, with};
use embedded_io_async::{ErrorType, Read, Write};

use super::{TX_ROOM, chip};

/// Who waits for bytes, and who for room.
static READER: Waiter = Waiter::new();
static WRITER: Waiter = Waiter::new();

/// The half that reads.
#[derive(Debug)]
pub struct Rx(());

/// The half that writes.
#[derive(Debug)]
pub struct Tx(());

/// Both: to be asked for once, for a task waits in each.
pub const fn halves() -> (Rx, Tx) {
    (Rx(()), Tx(()))
}

/// The UART's interrupt has taken or sent something.
pub(super) fn wake() {
    READER.wake();
    WRITER.wake();
}

impl ErrorType for Rx {
    type Error = Infallible;
}

impl Read for Rx {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        if out.is_empty() {
            return Ok(0);
        }
        Ok(READER.until(|| Some(chip::read(out)).filter(|&n| n > 0)).await)
    }
}

impl ErrorType for Tx {
    type Error = Infallible;
}

impl Write for Tx {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let n = WRITER.until(|| Some(chip::room().min(bytes.len())).filter(|&n| n > 0)).await;
        chip::write(&bytes[..n]);
        Ok(n)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        WRITER.until(|| (chip::room() == TX_ROOM).then_some(())).await;
        Ok(())
    }
}

/// Where one task waits for an interrupt.
struct Waiter(Mutex<Cell<Option<Waker>>>);

impl Waiter {
    const fn new() -> Self {
        Self(Mutex::new(Cell::new(None)))
    }

    /// What `look` finds, as soon as it finds something.
    async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        poll_fn(|cx| {
            // First, so that an interrupt that comes before the look is over is not missed.
            with(|cs| self.0.borrow(cs).set(Some(cx.waker().clone())));
            look().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn wake(&self) {
        let waker = with(|cs| self.0.borrow(cs).take());
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
