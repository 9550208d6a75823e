//! The same program as a process, for people without a board and without QEMU: its standard input and
//! output are the line, or with `--pty` a port that it makes and names.

#[cfg(unix)]
mod pty;

use std::error::Error;
use std::io::{Read, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant as Clock, SystemTime, UNIX_EPOCH};

use netchan::board::{Identity, Memory};
use netchan::proto::{CounterNonce, Instant, Name};

use netchan_firmware_app::{App, CONFIG, NODE};

const NAME: Name = Name::literal("process");
const UID: u64 = 0x7072_6f63;
const USAGE: &str = "\
usage: netchan-firmware-process [--pty]

    --pty     makes a port, says its path, and serves it until Ctrl-C; else standard input and output are the line";

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        None => run(std::io::stdin(), std::io::stdout()),
        #[cfg(unix)]
        Some("--pty") => {
            let pty = pty::Pty::new()?;
            eprintln!("the board `{NAME}` is at {}", pty.path.display());
            run(pty.master.try_clone()?, &pty.master)
        }
        Some("--help" | "-h") => {
            println!("{USAGE}");
            Ok(())
        }
        Some(other) => Err(format!("unknown option {other}\n{USAGE}").into()),
    }
}

fn run(mut input: impl Read + Send + 'static, mut output: impl Write) -> Result<(), Box<dyn Error>> {
    let (sender, received) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 256];
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
