//! Where frames are written to, and the frames that a link owes.

use super::crc::crc32c_append;
use super::frame::{
    CONTROL_ACCEPT, CONTROL_DEAD, CONTROL_FRAME_MAX, DeadFrame, Frame, Handle, KIND_CONTROL, KIND_LINK,
    TYPE_NAME_MAX, cut, has_control,
};
use super::framing::CRC_LEN;
use super::hello::{HELLO_MAX, Hello};
use super::{Accept, Place, varint};

/// Takes outgoing bytes: a slice, or a growing buffer.
pub trait Sink {
    /// How many bytes fit now.
    fn room(&self) -> usize;
    /// Appends; only called with at most [`Sink::room`] bytes.
    fn put(&mut self, bytes: &[u8]);

    /// A record of exactly `len` bytes follows, in one or several [`Sink::put`]s: whether there is
    /// room for all of it. A lossy line does not part records among packets.
    fn begin(&mut self, len: usize) -> bool {
        self.room() >= len
    }

    /// As [`Sink::begin`], for a hello: a lossy line repeats it until it is answered.
    fn begin_hello(&mut self, len: usize) -> bool {
        self.begin(len)
    }
}

/// Fills a borrowed slice.
#[derive(Debug)]
pub struct SliceSink<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> SliceSink<'a> {
    /// Starts at the beginning of `out`.
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// How many bytes were written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Sink for SliceSink<'_> {
    fn room(&self) -> usize {
        self.out.len() - self.len
    }

    fn put(&mut self, bytes: &[u8]) {
        let n = bytes.len().min(self.room());
        self.out[self.len..self.len + n].copy_from_slice(&bytes[..n]);
        self.len += n;
    }
}

#[cfg(feature = "alloc")]
impl Sink for alloc::vec::Vec<u8> {
    fn room(&self) -> usize {
        isize::MAX as usize - self.len()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Writes a control frame with its framing, all of it or nothing: whether it fitted.
#[cfg_attr(not(feature = "std"), inline(never))]
pub(crate) fn put_frame(sink: &mut dyn Sink, frame: &Frame<'_>, crc: Option<u32>) -> bool {
    let mut bytes = [0; CONTROL_FRAME_MAX];
    // Control frames are built from our own state, whose texts are checked and cut to fit.
    let Ok(len) = frame.write(&mut bytes) else { return false };
    put(sink, bytes.get(..len).unwrap_or_default(), &[], crc)
}

/// As [`put_frame`], of a frame in two pieces.
#[cfg_attr(not(feature = "std"), inline(never))]
fn put(sink: &mut dyn Sink, first: &[u8], rest: &[u8], crc: Option<u32>) -> bool {
    let trailer = if crc.is_some() { CRC_LEN } else { 0 };
    let mut prefix = [0; varint::MAX_LEN];
    let len = first.len() + rest.len() + trailer;
    let prefix_len = varint::put(&mut prefix, 0, len as u32);
    if !sink.begin(prefix_len + len) {
        return false;
    }
    sink.put(prefix.get(..prefix_len).unwrap_or_default());
    sink.put(first);
    sink.put(rest);
    if let Some(seed) = crc {
        sink.put(&(!crc32c_append(crc32c_append(!seed, first), rest)).to_le_bytes());
    }
    true
}

/// Writes a hello, which is under no session's checksum: whether it fitted.
pub(crate) fn put_hello(sink: &mut dyn Sink, hello: &Hello<'_>) -> bool {
    /// Its length takes one byte, and so does its head, which is 0.
    const HEAD_LEN: usize = 2;
    let mut bytes = [0; HEAD_LEN + HELLO_MAX];
    let [len, _, body @ ..] = &mut bytes;
    let Ok(written) = hello.write(body) else { return false };
    *len = written as u8 + 1;
    let fits = sink.begin_hello(HEAD_LEN + written);
    if fits {
        sink.put(bytes.get(..HEAD_LEN + written).unwrap_or_default());
    }
    fits
}

/// A short control frame, put together number by number: those that a link owes, over and
/// over. [`Frame::write`] says the same of each, and takes more code than a board has to spare.
pub(crate) struct Short {
    bytes: [u8; Self::MAX_LEN],
    len: usize,
}

impl Short {
    /// The longest, in bytes: `ACCEPT`, and a `DEAD` without its text.
    const MAX_LEN: usize = 3 * varint::MAX_LEN + 4;

    /// A frame of this head.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn new(number: u32, kind: u32) -> Self {
        let mut short = Self { bytes: [0; Self::MAX_LEN], len: 0 };
        short.number(number << 3 | kind);
        short
    }

    /// A frame of the link itself.
    pub(crate) fn link(number: u32) -> Self {
        Self::new(number, KIND_LINK)
    }

    /// A frame of a circuit's life.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn control(handle: Handle, code: u8) -> Self {
        let mut short = Self::new(handle.get(), KIND_CONTROL);
        short.byte(code);
        short
    }

    pub(crate) fn accept(handle: Handle, accept: &Accept) -> Self {
        let mut short = Self::control(handle, CONTROL_ACCEPT);
        short.byte(accept.which);
        short.number(accept.credit);
        short.number(accept.limit);
        short
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn number(&mut self, value: u32) {
        self.len = varint::put(&mut self.bytes, self.len, value);
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    /// Writes it: whether it fitted.
    pub(crate) fn put(&self, sink: &mut dyn Sink, crc: Option<u32>) -> bool {
        self.put_with(sink, "", crc)
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn put_with(&self, sink: &mut dyn Sink, text: &str, crc: Option<u32>) -> bool {
        put(sink, self.bytes.get(..self.len).unwrap_or_default(), text.as_bytes(), crc)
    }
}

/// Writes a dead notice: whether it fitted.
#[cfg_attr(not(feature = "std"), inline(never))]
pub(crate) fn put_dead(sink: &mut dyn Sink, handle: Handle, frame: &DeadFrame<'_>, crc: Option<u32>) -> bool {
    let place = match frame.dead.at {
        Place::Here | Place::Peer => 0,
        Place::Node(id) => id,
    };
    // A notice always goes out; a text that cannot is left out.
    let detail = if has_control(frame.detail.as_bytes()) { "" } else { cut(frame.detail, TYPE_NAME_MAX) };
    let mut short = Short::control(handle, CONTROL_DEAD);
    short.byte(frame.dead.reason.get());
    short.number(place);
    short.number(frame.taken.get());
    short.byte(detail.len() as u8);
    short.put_with(sink, detail, crc)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::frame::{
        CONTROL_ASK, CONTROL_DONE, CONTROL_END, KIND_CREDIT, KIND_TAKEN, LINK_ACK, LINK_GOODBYE, LINK_PING,
    };
    use super::super::{Dead, Identity, LinkKind, Name, Reason, Total};
    use super::*;

    fn written(write: impl FnOnce(&mut dyn Sink) -> bool) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(write(&mut out));
        out
    }

    #[test]
    fn short_frames_are_the_same_bytes_as_those_that_are_written_whole() {
        for crc in [None, Some(7)] {
            for value in [0, 0x7f, 0x80, u32::MAX] {
                let (handle, total) = (Handle::new(value >> 3), Total::new(value));
                let short = |number: u32, kind, value: u32| {
                    let mut short = Short::new(number, kind);
                    short.number(value);
                    short
                };
                let life = |code| {
                    let mut short = Short::control(handle, code);
                    short.number(value);
                    short
                };
                let mut bye = Short::link(LINK_GOODBYE);
                bye.byte(value as u8);
                let accept = Accept { which: 3, credit: value, limit: value };
                let cases = [
                    (short(LINK_ACK, KIND_LINK, value), Frame::Ack(total)),
                    (Short::link(LINK_PING), Frame::Ping),
                    (bye, Frame::Goodbye(Reason::new(value as u8))),
                    (short(handle.get(), KIND_CREDIT, value), Frame::Credit(handle, total)),
                    (short(handle.get(), KIND_TAKEN, value), Frame::Taken(handle, total)),
                    (life(CONTROL_ASK), Frame::Ask(handle, total)),
                    (life(CONTROL_END), Frame::End(handle, total)),
                    (life(CONTROL_DONE), Frame::Done(handle, total)),
                    (Short::accept(handle, &accept), Frame::Accept(handle, accept)),
                ];
                for (short, frame) in cases {
                    let whole = written(|sink| put_frame(sink, &frame, crc));
                    assert_eq!(written(|sink| short.put(sink, crc)), whole, "{frame:?}");
                }
                for detail in ["", "a::Type", "not\nthis", &"x".repeat(100)] {
                    for at in [Place::Here, Place::Peer, Place::Node(value.max(1))] {
                        let dead = Dead { reason: Reason::new(value as u8), at };
                        let frame = DeadFrame { dead, taken: total, detail };
                        let whole = written(|sink| put_frame(sink, &Frame::Dead(handle, frame), crc));
                        assert_eq!(written(|sink| put_dead(sink, handle, &frame, crc)), whole);
                    }
                }
            }
        }
    }

    #[test]
    fn so_is_a_hello_with_the_longest_name() {
        let id = Identity { name: Name::new(&"n".repeat(Name::MAX_LEN)).unwrap(), uid: 3, boot: 4 };
        let hello = Hello {
            oldest: 1,
            newest: 1,
            crc: true,
            kind: LinkKind::Either,
            adopts: false,
            bodies: false,
            window: 7,
            packet: 64,
            circuits: 9,
            dead_ms: 5,
            hear_ms: 6,
            nonce: 1,
            echo: 2,
            boot: id.boot,
            uid: id.uid,
            name: id.name.as_str(),
        };
        let whole = written(|sink| put_frame(sink, &Frame::Hello(hello), None));
        assert_eq!(written(|sink| put_hello(sink, &hello)), whole);
    }
}
