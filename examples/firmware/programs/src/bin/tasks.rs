//! The tasks of the README on embassy's executor: the UART's interrupt wakes the line's, the clock's whoever waits for a time.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use netchan_firmware_programs::{machine, tasks};

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let start = machine::start();
    tasks::start(spawner);
    let (rx, tx) = machine::halves();
    tasks::line(rx, tx, start).await;
}
