//! The line, which is told before its board is deaf or away.

use core::time::Duration;

use embassy_time::Timer;
use embedded_io_async::{Read, Write};
use netchan::board::{Identity, Memory};
use netchan::proto::{CounterNonce, Name};

use super::board::{NODE, Orders};
use super::meanwhile::meanwhile;
use super::{CONFIG, Order};
use crate::machine;
use crate::tasks::EmbassyTime;

const NAME: Name = Name::literal("update");
const UID: u64 = 0x7570_6461_7465;
/// More is announced than is needed, in milliseconds.
const SPARE_MS: u32 = 500;
/// So long what was sent is still delivered.
const LAST: Duration = Duration::from_secs(1);

/// A UART may fail at once, each time: the board's other tasks have their turns all the same. It is shorter than what a UART
/// keeps of bytes that nobody reads.
async fn pause() {
    Timer::after_millis(1).await;
}

/// Runs the line, with what its orders say in between; `start` is another number at each start.
pub async fn line(mut rx: impl Read, mut tx: impl Write, start: u32, mut orders: Orders) {
    let mut nonces = CounterNonce::new(UID, start);
    let identity = Identity { name: &NAME, uid: UID, boot: start.into(), nonces: &mut nonces };
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut line = NODE.line(&mut memory, identity);
    loop {
        // What a UART has lost is sent again, so running it again is all that an error needs. An order is not lost by that.
        let order = meanwhile(orders.next(), async || {
            let _ = line.run(&mut rx, &mut tx, EmbassyTime).await;
            pause().await;
        });
        match order.await {
            Order::Erase { ms, is_announced: true } => {
                let mut quiet = line.quiet(Duration::from_millis((ms + SPARE_MS).into()));
                while quiet.run(&mut rx, &mut tx, EmbassyTime).await.is_err() {
                    pause().await;
                }
                machine::busy(ms);
                quiet.back(machine::now());
            }
            Order::Erase { ms, is_announced: false } => machine::busy(ms),
            Order::Leave { away_ms } => {
                let mut leaving = line.leave(machine::now() + LAST);
                while leaving.run(&mut rx, &mut tx, EmbassyTime).await.is_err() {
                    pause().await;
                }
                drop(leaving);
                machine::busy(away_ms);
            }
            Order::Ask { .. } | Order::Tell => {}
        }
    }
}
