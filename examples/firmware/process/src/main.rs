//! The same program as a process, for people without a board and without QEMU: its standard input and
//! output are the line.

use std::io::{Read, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant as Clock, SystemTime, UNIX_EPOCH};

use netchan::board::{Identity, Memory};
use netchan::proto::{CounterNonce, Instant, Name};

const NAME: Name = Name::literal("process");
const UID: u64 = 0x7072_6f63;
use netchan_firmware_app::{App, CONFIG, NODE};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (sender, received) = channel();
    std::thread::spawn(move || {
        let (mut input, mut bytes) = (std::io::stdin().lock(), [0; 256]);
        while let Ok(n @ 1..) = input.read(&mut bytes) {
            if sender.send(bytes[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    let clock = Clock::now();
    let now = || Instant::from_micros(clock.elapsed().as_micros() as u64);
    // Another number at each start, as the time is.
    let start = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let mut nonces = CounterNonce::new(UID, start as u32);
    let identity = Identity { name: &NAME, uid: UID, boot: start, nonces: &mut nonces };
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut line = NODE.line(&mut memory, identity);
    let mut app = App::new()?;
    let mut output = std::io::stdout().lock();
    loop {
        match received.recv_timeout(Duration::from_millis(1)) {
            Ok(bytes) => line.feed(&bytes, now()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        app.poll(clock.elapsed().as_millis() as u32);
        let mut bytes = [0; 256];
        let n = line.drain(&mut bytes, now());
        output.write_all(&bytes[..n])?;
        output.flush()?;
    }
}
