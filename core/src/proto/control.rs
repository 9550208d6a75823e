//! Where frames are written to.

use super::crc::crc32c;
use super::frame::{CONTROL_FRAME_MAX, Frame};
use super::framing::CRC_LEN;
use super::varint;

/// Takes outgoing bytes: a slice, or a growing buffer.
pub trait Sink {
    /// How many bytes fit now.
    fn room(&self) -> usize;
    /// Appends; only called with at most [`Sink::room`] bytes.
    fn put(&mut self, bytes: &[u8]);

    /// A record of `len` bytes follows, in one or several [`Sink::put`]s: whether there is
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
pub(crate) fn put_frame(sink: &mut dyn Sink, frame: &Frame<'_>, crc: Option<u32>) -> bool {
    let mut bytes = [0; CONTROL_FRAME_MAX];
    // Control frames are built from our own state, whose texts are checked and cut to fit.
    let Ok(len) = frame.write(&mut bytes) else { return false };
    let trailer = if crc.is_some() { CRC_LEN } else { 0 };
    let mut prefix = [0; varint::MAX_LEN];
    let prefix_len = varint::put(&mut prefix, 0, (len + trailer) as u32);
    let record = prefix_len + len + trailer;
    let fits = if matches!(frame, Frame::Hello(_)) { sink.begin_hello(record) } else { sink.begin(record) };
    if !fits {
        return false;
    }
    sink.put(&prefix[..prefix_len]);
    sink.put(&bytes[..len]);
    if let Some(seed) = crc {
        sink.put(&crc32c(seed, &bytes[..len]).to_le_bytes());
    }
    true
}
