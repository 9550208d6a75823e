//! Tasks on embassy-executor: one moves the line's bytes, others wait for their channels.

use embassy_executor::Spawner;
use embedded_io_async::{Error as _, ErrorKind, Read, Write};
use netchan::board::{Config, Identity, Latest, Memory, Node, Receiver, RecvError, RunError, Server, Timer};
use netchan::proto::{CounterNonce, Instant, LineConfig, Name};

/// What the node holds.
pub const CONFIG: Config = Config::new(LineConfig::uart(115_200, 2, 64, 2))
    .export::<Latest<u32>>(1)
    .export::<Server<u32, u32>>(2)
    .import::<Receiver<u32>>(2);

static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
const NAME: Name = Name::literal("tasks");

/// The time of embassy.
#[derive(Debug)]
pub struct EmbassyTime;

impl Timer for EmbassyTime {
    fn now(&self) -> Instant {
        Instant::from_micros(embassy_time::Instant::now().as_micros())
    }

    async fn until(&self, at: Instant) {
        embassy_time::Timer::at(embassy_time::Instant::from_micros(at.as_micros())).await;
    }
}

/// Starts the program's own tasks. The line is run by a task of the board's, for its UART has a type of its own:
/// see [`line()`].
pub fn start(spawner: Spawner) {
    let double = NODE.export("double").expect("the first of this name");
    let total = NODE.export("total").expect("the first of this name");
    let steps = NODE.import("steps").expect("the first of this name");
    spawner.spawn(serve(double).expect("one of each"));
    spawner.spawn(add(steps, total).expect("one of each"));
}

/// Moves the line's bytes for as long as the UART lives; `start` is another number at each start.
pub async fn line(mut rx: impl Read, mut tx: impl Write, start: u32) {
    let mut nonces = CounterNonce::new(0x7a5, start);
    let identity = Identity { name: &NAME, uid: 0x7a5, boot: start.into(), nonces: &mut nonces };
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut line = NODE.line(&mut memory, identity);
    loop {
        let kind = match line.run(&mut rx, &mut tx, EmbassyTime).await {
            Ok(never) => match never {},
            Err(RunError::Read(error)) => error.kind(),
            Err(RunError::Write(error)) => error.kind(),
            Err(_) => return, // its input has ended, as a pipe's does
        };
        match kind {
            ErrorKind::BrokenPipe => return, // only in a test
            // The cable of a USB port is out: it comes back.
            ErrorKind::NotConnected => embassy_time::Timer::after_millis(10).await,
            _ => {} // what a UART has lost is sent again
        }
    }
}

/// Answers calls, one after the other.
#[embassy_executor::task]
async fn serve(mut double: Server<u32, u32>) {
    loop {
        match double.recv().await {
            Ok(request) => {
                let n = *request;
                // A caller that is gone needs no answer.
                let _ = request.reply(n.wrapping_mul(2));
            }
            Err(_) => continue, // a request that does not decode; its caller is told
        }
    }
}

/// Adds up what comes, and publishes the sum.
#[embassy_executor::task]
async fn add(mut steps: Receiver<u32>, total: Latest<u32>) {
    let mut sum = 0_u32;
    loop {
        match steps.recv().await {
            Ok(step) => {
                sum = sum.wrapping_add(step);
                total.set(&sum).expect("a number always encodes");
            }
            // The session is over; the import goes on in the next one.
            Err(RecvError::Interrupted { .. }) => {}
            Err(_) => return,
        }
    }
}
