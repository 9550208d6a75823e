//! The tasks beside the line: one for each thing that is waited for.

use core::cell::Cell;

use critical_section::{Mutex, with};
use embassy_executor::Spawner;
use embassy_time::{Duration, with_timeout};
use netchan::board::{
    CallError, Client, ExportError, Node, Receiver, RecvError, SendCause, SendError, Sender, Watch,
};
use netchan_firmware_app::{Block, block};

use super::{CONFIG, Order, Report, Seen};

pub(super) static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);

static SEEN: Mutex<Cell<Seen>> = Mutex::new(Cell::new(Seen {
    setting: 0,
    backward: 0,
    interrupted: 0,
    loaded: 0,
    wrong: 0,
    lost: 0,
    reason: 0,
    dumped: (0, 0, 0),
}));

/// Notes something.
fn see(note: impl FnOnce(&mut Seen)) {
    with(|cs| {
        let mut seen = SEEN.borrow(cs).get();
        note(&mut seen);
        SEEN.borrow(cs).set(seen);
    });
}

/// Starts what goes on beside the line: the orders are for who runs that.
///
/// # Errors
///
/// None, when it is done once.
pub fn start(spawner: Spawner) -> Result<Orders, ExportError> {
    let (dump, load, setting) = (NODE.export("dump")?, NODE.export("load")?, NODE.import("setting")?);
    let (Ok(send), Ok(take), Ok(follow)) = (send(dump), take(load), follow(setting)) else {
        return Err(ExportError::Taken);
    };
    spawner.spawn(send);
    spawner.spawn(take);
    spawner.spawn(follow);
    Ok(Orders {
        orders: NODE.export("orders")?,
        reports: NODE.export("reports")?,
        permit: NODE.import("permit")?,
    })
}

/// Blocks without end, to each host from 0 on.
#[embassy_executor::task]
async fn send(mut dump: Sender<Block>) {
    let mut number = 0;
    loop {
        match dump.send(block(number)).await {
            Ok(()) => number += 1,
            Err(SendError { cause: SendCause::Left { account, .. }, .. }) => {
                see(|seen| seen.dumped = (account.confirmed, account.in_doubt, account.unsent));
                number = 0;
            }
            Err(_) => return,
        }
    }
}

/// Looks whether each block is the next one, of each host from 0 on.
#[embassy_executor::task]
async fn take(mut load: Receiver<Block>) {
    let mut is_first = true;
    loop {
        match load.recv().await {
            Ok(came) => see(|seen| {
                if core::mem::take(&mut is_first) {
                    seen.loaded = 0;
                }
                seen.wrong += u32::from(came != block(seen.loaded));
                seen.loaded += 1;
            }),
            Err(RecvError::Left { dead }) => {
                is_first = true;
                if let Some(dead) = dead {
                    see(|seen| (seen.lost, seen.reason) = (seen.lost + 1, dead.reason.get()));
                }
            }
            Err(_) => return,
        }
    }
}

/// Follows a setting, of which it sees the last one in any case.
#[embassy_executor::task]
async fn follow(mut setting: Watch<u32>) {
    loop {
        match setting.changed().await {
            Ok(value) => see(|seen| {
                seen.backward += u32::from(value < seen.setting);
                seen.setting = value;
            }),
            Err(RecvError::Interrupted { .. }) => see(|seen| seen.interrupted += 1),
            Err(_) => return,
        }
    }
}

/// Who takes orders.
#[derive(Debug)]
pub struct Orders {
    orders: Receiver<Order>,
    reports: Sender<Report>,
    permit: Client<u32, u32>,
}

impl Orders {
    /// Obeys, until there is an order that the line has to be told of: that one.
    pub(super) async fn next(&mut self) -> Order {
        loop {
            let Ok(order) = self.orders.recv().await else { continue };
            let report = match order {
                Order::Ask { number, patience_ms } => self.ask(number, patience_ms).await,
                Order::Tell => Report::Seen(with(|cs| SEEN.borrow(cs).get())),
                Order::Erase { .. } | Order::Leave { .. } => return order,
            };
            self.report(report).await;
        }
    }

    async fn report(&mut self, report: Report) {
        let sent = self.reports.send(report).await;
        if let Err(SendError { cause: SendCause::Left { .. }, value, .. }) = sent {
            // This tells of the host before; the order is of the present one. If that is gone too it needs none.
            let _ = self.reports.send(value).await;
        }
    }

    async fn ask(&mut self, number: u32, patience_ms: u32) -> Report {
        // That the session before is over is told once, as the answer to whatever was asked in it: not to this call.
        let _ = self.permit.try_reply();
        let patience = Duration::from_millis(patience_ms.into());
        match with_timeout(patience, self.permit.call(number)).await {
            Ok(Ok(answer)) => Report::Answer(answer),
            Ok(Err(CallError::Refused(_, dead) | CallError::Dead(dead))) => {
                Report::Refused(dead.reason.get())
            }
            Ok(Err(_)) => Report::Refused(0),
            // The call was dropped: the host is told that nobody waits for it.
            Err(_) => Report::Late,
        }
    }
}
