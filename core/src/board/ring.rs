//! Bytes of a channel that wait, in its part of the node's arena.
//!
//! ```text
//! record = length in two bytes, message
//! ```

use core::cell::Cell;

use critical_section::{CriticalSection, Mutex};

/// A byte of the arena. A slice of them has no size in its type, and whoever holds one needs no
/// node; copying many of them compiles to one copy.
pub(super) type Byte = Mutex<Cell<u8>>;

/// What stands before each message, in bytes.
const HEAD_LEN: usize = 2;

/// A queue of messages. All of it is zero before it is bound to its bytes.
#[derive(Debug)]
pub(super) struct Ring {
    bytes: Cell<Option<&'static [Byte]>>,
    head: Cell<u16>,
    len: Cell<u16>,
    /// Messages that are whole.
    ready: Cell<u16>,
    /// Bytes of the last one that have come and that are still to come, while it is not whole.
    partial: Cell<u16>,
    missing: Cell<u16>,
}

impl Ring {
    pub(super) const fn new() -> Self {
        Self {
            bytes: Cell::new(None),
            head: Cell::new(0),
            len: Cell::new(0),
            ready: Cell::new(0),
            partial: Cell::new(0),
            missing: Cell::new(0),
        }
    }

    pub(super) fn bind(&self, bytes: &'static [Byte]) {
        self.bytes.set(Some(bytes));
        self.clear();
    }

    /// How many bytes it has: as many may be promised, for a message is charged more than it takes.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.get().map_or(0, <[Byte]>::len)
    }

    /// Messages that are whole.
    pub(super) fn ready(&self) -> u16 {
        self.ready.get()
    }

    /// Whether a message of `len` bytes has room beside `kept` bytes for others.
    pub(super) fn has_room(&self, len: usize, kept: usize) -> bool {
        usize::from(self.len.get()) + kept + HEAD_LEN + len <= self.capacity()
    }

    pub(super) fn clear(&self) {
        self.head.set(0);
        self.len.set(0);
        self.ready.set(0);
        self.partial.set(0);
        self.missing.set(0);
    }

    /// Drops a message that has begun and that will not become whole.
    pub(super) fn drop_partial(&self) {
        self.len.set(self.len.get() - self.partial.take());
        self.missing.set(0);
    }

    /// A message of `len` bytes begins; its bytes follow by [`Ring::append`].
    pub(super) fn begin(&self, cs: CriticalSection<'_>, len: u16) {
        self.missing.set(len);
        self.write(cs, &len.to_le_bytes());
        self.partial.set(HEAD_LEN as u16);
        self.settle(0);
    }

    /// More of the message that has begun: whether it is whole.
    pub(super) fn append(&self, cs: CriticalSection<'_>, bytes: &[u8]) -> bool {
        self.write(cs, bytes);
        bytes.is_empty() || self.settle(bytes.len() as u16)
    }

    /// Length of the first message, if it is whole.
    pub(super) fn first(&self, cs: CriticalSection<'_>) -> Option<usize> {
        if self.ready.get() == 0 {
            return None;
        }
        let mut head = [0; HEAD_LEN];
        self.copy_out(cs, 0, &mut head);
        Some(usize::from(u16::from_le_bytes(head)))
    }

    /// Copies from the first message, beginning at `offset`.
    pub(super) fn read(&self, cs: CriticalSection<'_>, offset: usize, out: &mut [u8]) {
        self.copy_out(cs, HEAD_LEN + offset, out);
    }

    /// Drops the first message, of `len` bytes.
    pub(super) fn pop(&self, len: usize) {
        let taken = HEAD_LEN + len;
        self.head.set(self.place(taken) as u16);
        self.len.set(self.len.get().saturating_sub(taken as u16));
        self.ready.set(self.ready.get().saturating_sub(1));
    }

    /// Drops all behind the first message, of `len` bytes.
    pub(super) fn keep_first(&self, len: usize) {
        self.len.set((HEAD_LEN + len) as u16);
        self.ready.set(1);
    }

    fn settle(&self, came: u16) -> bool {
        let missing = self.missing.get().saturating_sub(came);
        self.missing.set(missing);
        if missing > 0 {
            self.partial.set(self.partial.get() + came);
            return false;
        }
        self.partial.set(0);
        self.ready.set(self.ready.get() + 1);
        true
    }

    /// Where the byte is that stands so far behind the first.
    fn place(&self, offset: usize) -> usize {
        let (at, capacity) = (usize::from(self.head.get()) + offset, self.capacity());
        if at >= capacity { at - capacity } else { at }
    }

    fn write(&self, cs: CriticalSection<'_>, bytes: &[u8]) {
        let all = self.bytes.get().unwrap_or_default();
        let at = self.place(usize::from(self.len.get()));
        let end = all.get(at..).unwrap_or_default();
        let (first, rest) = bytes.split_at_checked(end.len()).unwrap_or((bytes, &[]));
        copy_in(cs, end, first);
        copy_in(cs, all, rest);
        self.len.set(self.len.get() + bytes.len() as u16);
    }

    fn copy_out(&self, cs: CriticalSection<'_>, offset: usize, out: &mut [u8]) {
        let all = self.bytes.get().unwrap_or_default();
        let end = all.get(self.place(offset)..).unwrap_or_default();
        let whole = end.len().min(out.len());
        let (first, rest) = out.split_at_mut(whole);
        copy_from(cs, end, first);
        copy_from(cs, all, rest);
    }
}

fn copy_in(cs: CriticalSection<'_>, to: &[Byte], from: &[u8]) {
    for (to, from) in to.iter().zip(from) {
        to.borrow(cs).set(*from);
    }
}

fn copy_from(cs: CriticalSection<'_>, from: &[Byte], to: &mut [u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = from.borrow(cs).get();
    }
}
