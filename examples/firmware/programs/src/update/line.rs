//! The line, which is told before its board is deaf or away.

use core::time::Duration;

use embassy_futures::select::{Either, select};
use embedded_io_async::{Read, Write};
use netchan::board::{Identity, Memory};
use netchan::proto::{CounterNonce, Name};

use super::board::{NODE, Orders};
use super::{CONFIG, Order};
use crate::machine;
use crate::tasks::EmbassyTime;

const NAME: Name = Name::literal("update");
const UID: u64 = 0x7570_6461_7465;
/// More is announced than is needed, in milliseconds.
const SPARE_MS: u32 = 500;
/// So long what was sent is still delivered.
const LAST: Duration = Duration::from_secs(1);

/// Runs the line, with what its orders say in between; `start` is another number at each start.
pub async fn line(mut rx: impl Read, mut tx: impl Write, start: u32, mut orders: Orders) {
    let mut nonces = CounterNonce::new(UID, start);
    let identity = Identity { name: &NAME, uid: UID, boot: start.into(), nonces: &mut nonces };
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut line = NODE.line(&mut memory, identity);
    loop {
        // What a UART has lost is sent again, so running it again is all that an error needs.
        let order = match select(line.run(&mut rx, &mut tx, EmbassyTime), orders.next()).await {
            Either::First(_) => continue,
            Either::Second(order) => order,
        };
        match order {
            Order::Erase { ms, is_announced: true } => {
                let mut quiet = line.quiet(Duration::from_millis((ms + SPARE_MS).into()));
                while quiet.run(&mut rx, &mut tx, EmbassyTime).await.is_err() {}
                machine::busy(ms);
                quiet.back(machine::now());
            }
            Order::Erase { ms, is_announced: false } => machine::busy(ms),
            Order::Leave { away_ms } => {
                let mut leaving = line.leave(machine::now() + LAST);
                while leaving.run(&mut rx, &mut tx, EmbassyTime).await.is_err() {}
                drop(leaving);
                machine::busy(away_ms);
            }
            Order::Ask { .. } | Order::Tell => {}
        }
    }
}
