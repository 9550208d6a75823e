//! An interrupt that sends: what happens while the main loop does something else is in the channel when that comes
//! round.

use core::cell::OnceCell;

use critical_section::Mutex;
use netchan::Message;
use netchan::board::{Config, Driver, ExportError, Identity, Memory, Node, Sender};
use netchan::proto::LineConfig;
use serde::{Deserialize, Serialize};

/// A button was pressed.
#[derive(Serialize, Deserialize, Message, Debug, Clone, Copy, PartialEq, Eq)]
pub struct Press {
    /// Which one.
    pub button: u8,
    /// How many presses before this one had no room.
    pub lost: u32,
}

/// What the node holds: room for so many presses until the line takes them.
pub const CONFIG: Config = Config::new(LineConfig::uart(115_200, 2, 64, 2)).export::<Sender<Press>>(16);

static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);

/// The end that the interrupt has.
static PRESSES: Mutex<OnceCell<Sender<Press>>> = Mutex::new(OnceCell::new());

/// The interrupt's handler: it never waits. Returns whether there was room.
pub fn on_button(button: u8, lost: u32) -> bool {
    critical_section::with(|cs| {
        let presses = PRESSES.borrow(cs).get();
        presses.is_some_and(|presses| presses.try_send(Press { button, lost }).is_ok())
    })
}

/// What the program does before interrupts are enabled.
///
/// # Errors
///
/// [`ExportError::Taken`] when it is done twice.
pub fn start() -> Result<(), ExportError> {
    let presses = NODE.export_with("presses", 16)?;
    critical_section::with(|cs| PRESSES.borrow(cs).set(presses)).map_err(|_| ExportError::Taken)
}

/// The line, for the main loop.
pub fn line<'m>(memory: &'m mut Memory<{ CONFIG.line_bytes() }>, identity: Identity<'m>) -> Driver<'m> {
    NODE.line(memory, identity)
}
