//! What a specimen exports and imports, and what it is ordered to do.
//!
//! Nothing here needs an allocator: boards have the same.

use crate::message::{Blob, Message, Shape};

/// What `echo` carries: bytes, up to more than a short packet of a line takes.
pub type Piece = Blob<160>;

/// An order: which, and a number to it.
pub type Order = (u8, u32);

/// `Duplex<Piece, Piece>`: sends back what it receives, to one importer at a time. It may end when its importer has, and need not.
pub const ECHO: &str = "echo";
/// `Sender<u32>`: sends what [`order::SEND`] says. One importer at a time.
pub const SOURCE: &str = "source";
/// `Receiver<u32>`: takes what it receives, unless [`order::HOLD`] says otherwise. One importer at a time.
pub const SINK: &str = "sink";
/// `Latest<u32>`: what [`order::SET`] said last, 0 before.
pub const NEWEST: &str = "newest";
/// `Server<u32, u32>`: answers with the double, modulo 2^32.
pub const DOUBLE: &str = "double";
/// `Receiver<Order>`: obeys each before it takes the next, and before it takes more of `sink`. Orders that it does not know it ignores.
pub const ORDER: &str = "order";
/// `Latest<u32>`: how often an importer of `echo` has left, times 256, plus the [`Reason`](crate::Reason) of the last time, 0 where
/// that was in order.
pub const TOLD: &str = "told";
/// `Sender<u32>`, exported by [`order::LATER`] only, where opens may wait. Sends nothing.
pub const LATER: &str = "later";

/// Imported: `Receiver<u32>`, in each session again. Each value goes on to [`REPORT`].
pub const FEED: &str = "feed";
/// Imported: `Sender<u32>`, in each session again.
pub const REPORT: &str = "report";

/// Orders: the first of the two numbers.
pub mod order {
    /// Nothing: by this the suite sees that the order before is obeyed.
    pub const NOTHING: u8 = 0;
    /// Send the numbers from 0 to below this one by `source`, in place of what was still to be sent. What an importer leaves of
    /// them may go to the next one, or not.
    pub const SEND: u8 = 1;
    /// End `source` in order, behind what is to be sent, and export it again.
    pub const END: u8 = 2;
    /// Take so many values more of `sink`, and then none.
    pub const HOLD: u8 = 3;
    /// Take all of `sink` again.
    pub const GO: u8 = 4;
    /// Drop `sink`, which hangs up, and export it again. It takes all then.
    pub const HANG_UP: u8 = 5;
    /// Set `newest` to this number.
    pub const SET: u8 = 6;
    /// Export `later`, or drop it with the number 0. Only where opens may wait.
    pub const LATER: u8 = 7;
}

/// The fingerprint of `echo`.
pub const ECHO_TYPE: u64 =
    Shape::end("duplex", &[Piece::FINGERPRINT, Piece::FINGERPRINT], 0).fingerprint().get();
/// The fingerprint of `double`.
pub const DOUBLE_TYPE: u64 = Shape::end("call", &[u32::FINGERPRINT, u32::FINGERPRINT], 0).fingerprint().get();
