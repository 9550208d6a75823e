//! Methods: requests one way, replies the other, pipelined over one circuit.
//!
//! ```text
//! request = varint id, 0, varint deadline in ms (0: none), message      cancel = varint id, 1
//! reply   = varint id, 0, message                                       dead   = varint id, 1, reason
//! ```
//!
//! Ids count up and are never used again, so a late reply never reaches another call. Room
//! for the replies of all calls that may be under way is promised when the circuit opens.

use alloc::vec::Vec;
use core::fmt;
use std::time::Instant;

use super::named::{ChannelError, sentence};
use super::sync;
use crate::message::{DecodeError, EncodeError};
use crate::proto::{Dead, Place, Reason, varint};
pub(crate) use calls::{Core, Failure};
pub use client::{Calling, Client};
pub use server::{Replying, Request, Server, Serving};

mod calls;
mod client;
mod left;
mod server;

const KIND_MESSAGE: u8 = 0;
const KIND_OTHER: u8 = 1;
/// What stands before a message: id, kind, deadline.
pub(crate) const HEADER_MAX: usize = 2 * varint::MAX_LEN + 1;

/// Why a call has no reply.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// No reply will come: the handler is gone, the link is lost, and so on.
    Dead(Dead),
    /// The deadline passed first. The server is told, and a late reply is dropped.
    Deadline,
    /// The request is longer than the server's limit, in bytes.
    TooLarge(u32),
    /// The request cannot be encoded.
    Encode(EncodeError),
    /// The reply did not decode.
    Decode(DecodeError),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dead(dead) => fmt::Display::fmt(dead, f),
            Self::Deadline => f.write_str("the deadline passed before the reply came"),
            Self::TooLarge(limit) => write!(f, "request longer than the server's limit of {limit} bytes"),
            Self::Encode(error) => write!(f, "the request cannot be encoded: {error}"),
            Self::Decode(error) => write!(f, "the reply did not decode: {error}"),
        }
    }
}

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        sentence(f, self, self.advice())
    }
}

impl core::error::Error for CallError {}

impl ChannelError for CallError {
    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Dead(dead) => dead.advice(),
            Self::Deadline => Dead::here(Reason::Deadline).advice(),
            Self::TooLarge(_) => Dead::here(Reason::TooLarge).advice(),
            Self::Decode(_) => Dead::here(Reason::DecodeFailed).advice(),
            Self::Encode(_) => None,
        }
    }
}

/// What stands before a request: its number, and how long its caller waits, in milliseconds; 0: for ever.
pub(crate) fn request_head(id: u32, left_ms: u32) -> ([u8; HEADER_MAX], usize) {
    let mut head = [0; HEADER_MAX];
    let at = varint::put(&mut head, 0, id);
    head[at] = KIND_MESSAGE;
    let len = varint::put(&mut head, at + 1, left_ms);
    (head, len)
}

/// How long it is until then, as a request says it.
pub(crate) fn left_ms(until: Instant) -> u32 {
    let left = until.saturating_duration_since(sync::now()).as_millis();
    u32::try_from(left).unwrap_or(u32::MAX).max(1)
}

/// The call that a message answers, and its reply's encoding, or why there is none.
pub(crate) fn reply_in(mut bytes: Vec<u8>) -> Option<(u32, Result<Vec<u8>, Dead>)> {
    let (id, used) = varint::get(&bytes).ok()?;
    let reply = match bytes.get(used) {
        Some(&KIND_MESSAGE) => {
            bytes.drain(..=used);
            Ok(bytes)
        }
        _ => {
            let reason = bytes.get(used + 1).map_or(Reason::Protocol, |&reason| Reason::new(reason));
            Err(Dead { reason, at: Place::Peer })
        }
    };
    Some((id, reply))
}

/// Whether an encoded `Result` is an error.
fn is_error(bytes: &[u8]) -> bool {
    bytes.first() == Some(&1)
}

fn short(id: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = [0; varint::MAX_LEN];
    let len = varint::put(&mut bytes, 0, id);
    [&bytes[..len], rest].concat()
}
