//! An interrupt that sends: what happens while the main loop does something else is in the channel when that comes
//! round.

use core::cell::Cell;

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

/// The end that the interrupt has, while it has it not in its hands.
static PRESSES: Mutex<Cell<Option<Sender<Press>>>> = Mutex::new(Cell::new(None));

/// The interrupt's handler: it never waits. Returns whether there was room. The value is encoded and put with other interrupts
/// enabled; one of a higher priority that sends by this as well finds no end meanwhile.
pub fn on_button(button: u8, lost: u32) -> bool {
    let Some(presses) = critical_section::with(|cs| PRESSES.borrow(cs).take()) else { return false };
    let has_room = presses.try_send(Press { button, lost }).is_ok();
    critical_section::with(|cs| PRESSES.borrow(cs).set(Some(presses)));
    has_room
}

/// What the program does before interrupts are enabled.
///
/// # Errors
///
/// [`ExportError::Taken`] when it is done twice.
pub fn start() -> Result<(), ExportError> {
    let presses = NODE.export_with("presses", 16)?;
    critical_section::with(|cs| PRESSES.borrow(cs).set(Some(presses)));
    Ok(())
}

/// The line, for the main loop.
pub fn line<'m>(memory: &'m mut Memory<{ CONFIG.line_bytes() }>, identity: Identity<'m>) -> Driver<'m> {
    NODE.line(memory, identity)
}
