//! A main loop: the board of the README.

use embedded_io::{Error, ErrorKind, Read, ReadReady, Write, WriteReady};
use netchan::board::{Config, Identity, Latest, Memory, Node, Receiver, RecvError};
use netchan::proto::{CounterNonce, Instant, LineConfig, Name};

/// What the node holds, and so how much memory it takes.
pub const CONFIG: Config =
    Config::new(LineConfig::uart(115_200, 2, 64, 2)).export::<Latest<i16>>(1).import::<Receiver<bool>>(2);

static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
const NAME: Name = Name::literal("thermostat");

/// Publishes a temperature, and heats as it is told; `start` is another number at each start.
pub fn run<U: Read + ReadReady + Write + WriteReady>(
    mut uart: U,
    start: u32,
    now: impl Fn() -> Instant,
    mut decidegrees: impl FnMut() -> i16,
    mut heat: impl FnMut(bool),
) {
    let mut nonces = CounterNonce::new(0x7e3, start);
    let identity = Identity { name: &NAME, uid: 0x7e3, boot: start.into(), nonces: &mut nonces };
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut line = NODE.line(&mut memory, identity);
    let Ok(temperature) = NODE.export::<Latest<i16>>("temperature") else { return }; // run twice?
    let Ok(mut heater) = NODE.import::<Receiver<bool>>("heater") else { return };
    let mut last = None;
    loop {
        match line.poll(&mut uart, now()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return, // only in a test
            _ => {} // what a UART has lost is sent again
        }
        let degrees = decidegrees();
        if last.replace(degrees) != Some(degrees) {
            let _ = temperature.set(&degrees); // a number always encodes
        }
        match heater.try_recv() {
            Ok(on) => heat(on),
            Err(RecvError::Empty) => {}
            Err(_) => heat(false), // whoever commanded has left
        }
        if !line.is_up() {
            heat(false); // nobody watches
        }
    }
}
