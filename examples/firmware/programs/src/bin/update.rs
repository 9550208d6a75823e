//! A board that erases its flash while blocks go in both directions, and leaves in order.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use netchan_firmware_programs::{machine, update};

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let start = machine::start();
    let Ok(orders) = update::start(spawner) else { return };
    let (rx, tx) = machine::halves();
    update::line(rx, tx, start, orders).await;
}
