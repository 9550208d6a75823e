//! Nodes on boards: in a `static`, without heap and without executor.
//!
//! The ends have the names and meanings that they have on hosts, and no lifetime or size, so they
//! go into statics, tasks and interrupt handlers. What waits lies in the node's arena, under critical sections of
//! a few instructions and the copy of a part of a message; the protocol, the framing, the checksums, encoding and decoding
//! run outside of them.
//!
//! ```
//! use netchan::board::{Config, Identity, Latest, Memory, Node, RecvError, Receiver};
//! use netchan::proto::{CounterNonce, Instant, LineConfig, Name};
//!
//! const CONFIG: Config = Config::new(LineConfig::uart(115_200, 2, 64, 2))
//!     .export::<Latest<u16>>(1)
//!     .import::<Receiver<u32>>(2);
//!
//! static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
//! const NAME: Name = Name::literal("thermometer");
//!
//! # struct Uart;
//! # impl Uart { fn received(&mut self) -> &[u8] { &[] } fn room(&self) -> usize { 16 } fn send(&mut self, _: &[u8]) {} }
//! # let mut uart = Uart;
//! # let now = || Instant::ZERO;
//! # fn main_loop(uart: &mut Uart, now: impl Fn() -> Instant) -> Result<(), Box<dyn std::error::Error>> {
//! let mut nonces = CounterNonce::new(1, 1);
//! let identity = Identity { name: &NAME, uid: 1, boot: 1, nonces: &mut nonces };
//! let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
//! let mut line = NODE.line(&mut memory, identity);
//!
//! let load: Latest<u16> = NODE.export("load")?;
//! let mut levels: Receiver<u32> = NODE.import("levels")?;
//! # let mut turns = 0..2;
//! # while turns.next().is_some() {
//! // loop {
//! line.feed(uart.received(), now());
//! let mut out = [0; 16];
//! let n = line.drain(&mut out[..uart.room()], now());
//! uart.send(&out[..n]);
//!
//! load.set(&400)?;
//! while let Ok(level) = levels.try_recv() {
//!     let _ = level;
//! }
//! // }
//! # }
//! # Ok(())
//! # }
//! # main_loop(&mut uart, now).unwrap();
//! ```
//!
//! What else there is, and costs nothing where it is not used:
//!
//! - A UART with the traits of embedded-io is polled in one call: [`Driver`]`::poll` (feature `embedded-io-v0_7`).
//! - Tasks of any executor: `.await` at the ends (feature `async`), and [`Driver`]`::run` over embedded-io-async (feature
//!   `embedded-io-async-v0_7`), with a `Timer` of two functions.
//! - Interrupts send with `try_send` and `set`: an end has no lifetime. One that comes while the program is in the midst of sending on the same
//!   channel sends behind it; of two latest values the one whose `set` began last is the newer.
//! - Sleep and the watchdog: [`Driver::deadline`], [`Driver::silence`], [`Driver::has_unsent`].
//! - A flash erase is announced with [`Driver::quiet`], a restart with [`Driver::leave`].
//! - A second line (feature `two-lines`), circuits that pass from one to the other ([`Bridge`], feature `bridge`), the log as a channel (feature `log`), `defmt::Format` (feature `defmt`).
//! - The program runs in a test on the host: `testing::wire()` (feature `testing`).

#[cfg(feature = "bridge")]
mod bridge;
mod call;
mod channel;
mod circuit;
mod config;
mod driver;
mod duplex;
mod ending;
mod error;
mod latest;
mod lines;
#[cfg(feature = "log")]
mod logger;
mod node;
mod receiver;
mod ring;
mod scratch;
pub(crate) mod section;
mod sender;
mod short;
mod spec;
#[cfg(feature = "async")]
mod timer;
#[cfg(feature = "async")]
mod wait;

#[cfg(feature = "bridge")]
pub use bridge::Bridge;
pub use call::{CallError, CallId, Client, Request, Server};
pub use config::{CHANNELS_MAX, Config};
#[cfg(feature = "embedded-io-async-v0_7")]
pub use driver::RunError;
pub use driver::{Driver, Identity, Leaving, Memory, QUIET_MAX, Quiet};
pub use duplex::Duplex;
pub use error::{Account, ExportError, RecvError, SendCause, SendError};
pub use latest::{Latest, Watch};
#[cfg(feature = "two-lines")]
pub use lines::LineId;
#[cfg(feature = "log")]
pub use logger::Logger;
pub use node::Node;
pub use receiver::Receiver;
pub use sender::Sender;
pub use spec::{Bound, End, ExportEnd, Spec};
#[cfg(feature = "async")]
pub use timer::Timer;

#[cfg(feature = "async")]
use wait::{wake_driver, wake_end};

/// Without tasks nobody waits.
#[cfg(not(feature = "async"))]
const fn wake_end(_: &channel::Shared) {}

#[cfg(all(feature = "async", feature = "two-lines"))]
use wait::wake_other;

/// With one line there is no other, and without tasks nobody waits.
#[cfg(not(all(feature = "async", feature = "two-lines")))]
const fn wake_other(_: &'static channel::Shared, _: lines::Here) {}

#[cfg(all(feature = "async", feature = "bridge"))]
use wait::wake_line;

/// Without tasks nobody waits.
#[cfg(all(feature = "bridge", not(feature = "async")))]
const fn wake_line(_: &node::Common, _: lines::Here) {}

/// Without tasks nobody waits.
#[cfg(not(feature = "async"))]
const fn wake_driver(_: &channel::Shared) {}
