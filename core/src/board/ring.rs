//! Messages of a channel that wait, in its part of the node's arena.
//!
//! ```text
//! record = length in two bytes, message, and a byte more if these are odd
//! ```
//!
//! The highest bit of the length says that the message is still being put: it is not to be seen, nor is what stands behind it.
//!
//! That is less than a message is charged, so what a ring has left may be promised to the peer. All of it is even, so no
//! length lies on both sides of the end.

use core::cell::Cell;

use critical_section::{CriticalSection, Mutex};

/// A byte of the arena. A slice of them has no size in its type, and whoever holds one needs no
/// node; copying many of them compiles to one copy.
pub(super) type Byte = Mutex<Cell<u8>>;

/// What stands before each message, in bytes.
const HEAD_LEN: usize = 2;

/// In the length of a message that is still being put. None is so long.
const PARTIAL: u16 = 0x8000;

/// So many bytes of a message are copied in one critical section, where an end puts or takes it.
pub(super) const PART: usize = 64;

/// What a message of `len` bytes takes, in bytes.
pub(super) const fn space(len: u16) -> u16 {
    (len + 3) & !1
}

/// A queue of messages. All of it is zero before it is bound to its bytes.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Ring {
    head: Cell<u16>,
    used: Cell<u16>,
    /// Messages that are whole, or are being put by an end.
    ready: Cell<u16>,
    size: Cell<u16>,
    bytes: Cell<Option<&'static [Byte]>>,
}

impl Ring {
    pub(super) const fn new() -> Self {
        Self {
            head: Cell::new(0),
            used: Cell::new(0),
            ready: Cell::new(0),
            size: Cell::new(0),
            bytes: Cell::new(None),
        }
    }

    /// Their number is even.
    pub(super) fn bind(&self, bytes: &'static [Byte]) {
        // Those of a passage are others each time, and may be fewer.
        #[cfg(feature = "bridge")]
        self.head.set(0);
        self.bytes.set(Some(bytes));
        self.size.set(bytes.len() as u16);
    }

    fn bytes(&self) -> &'static [Byte] {
        self.bytes.get().unwrap_or_default()
    }

    /// How many bytes it has, which may be promised.
    pub(super) fn capacity(&self) -> u32 {
        self.size.get().into()
    }

    /// Messages that are whole, or are being put by an end.
    pub(super) fn ready(&self) -> u16 {
        self.ready.get()
    }

    /// Bytes that are in use, also by a message that is not whole.
    pub(super) fn used(&self) -> u32 {
        self.used.get().into()
    }

    /// Drops all. The bytes of the first message stay where they are, for whoever copies it in parts and is in the midst of that.
    pub(super) fn clear(&self) {
        self.used.set(0);
        self.ready.set(0);
    }

    /// Takes room for a message of `len` bytes, which the caller knows to be there.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn begin(&self, cs: CriticalSection<'_>, len: u16) {
        let at = self.used.get();
        self.used.set(at + space(len));
        self.set_len(cs, at.into(), len);
    }

    fn set_len(&self, cs: CriticalSection<'_>, offset: usize, len: u16) {
        let [low, high] = len.to_le_bytes();
        if let [first, second, ..] = self.behind(offset) {
            first.borrow(cs).set(low);
            second.borrow(cs).set(high);
        }
    }

    /// Puts a message of an end, for which the caller knows that there is room; of one of several parts the first: its place.
    pub(super) fn put_first(&self, cs: CriticalSection<'_>, message: &[u8], has_parts: bool) -> u16 {
        let (at, len) = (self.used.get(), message.len() as u16);
        self.begin(cs, len);
        let mut part = message;
        if has_parts && message.len() > PART {
            self.set_len(cs, at.into(), len | PARTIAL);
            part = message.get(..PART).unwrap_or_default();
        }
        self.write(cs, usize::from(at) + HEAD_LEN, part);
        self.complete();
        self.place(at.into()) as u16
    }

    /// Puts another part of the message that stands there, of which so many bytes are there. It is whole with the last part.
    pub(super) fn put_part(&self, cs: CriticalSection<'_>, message: &[u8], place: u16, offset: usize) {
        // Meanwhile messages before it may have been taken.
        let head = self.head.get();
        let behind = usize::from(if place < head { place + self.size.get() - head } else { place - head });
        let rest = message.get(offset..).unwrap_or_default();
        let part = rest.get(..PART).unwrap_or(rest);
        self.write(cs, behind + HEAD_LEN + offset, part);
        if part.len() == rest.len() {
            self.set_len(cs, behind, message.len() as u16);
        }
    }

    /// Puts bytes at this place of the message that has been begun last, of `len` bytes.
    pub(super) fn put(&self, cs: CriticalSection<'_>, len: u16, offset: u16, from: &[u8]) {
        let at = usize::from(self.used.get() - space(len));
        self.write(cs, at + HEAD_LEN + usize::from(offset), from);
    }

    /// The message that has been begun last is whole.
    pub(super) fn complete(&self) {
        self.ready.set(self.ready.get() + 1);
    }

    /// It will not be whole.
    pub(super) fn forget(&self, len: u16) {
        self.used.set(self.used.get() - space(len));
    }

    /// Length of the first message, if it is whole.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn first(&self, cs: CriticalSection<'_>) -> Option<u16> {
        if self.ready.get() == 0 {
            return None;
        }
        let [low, high, ..] = self.behind(0) else { return None };
        let len = u16::from_le_bytes([low.borrow(cs).get(), high.borrow(cs).get()]);
        (len & PARTIAL == 0).then_some(len)
    }

    /// Copies from the first message, beginning at `offset`.
    pub(super) fn read(&self, cs: CriticalSection<'_>, offset: u16, out: &mut [u8]) {
        self.copy(cs, HEAD_LEN + usize::from(offset), out);
    }

    /// Drops the first message, of `len` bytes.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn pop(&self, len: u16) {
        let taken = space(len);
        let left = self.used.get() - taken;
        // An empty one begins at its beginning, so that what comes next is copied in one piece.
        self.head.set(if left == 0 { 0 } else { self.place(taken.into()) as u16 });
        self.used.set(left);
        self.ready.set(self.ready.get() - 1);
    }

    /// Drops all whole messages behind the first, of `len` bytes.
    pub(super) fn keep_first(&self, len: u16) {
        self.used.set(space(len));
        self.ready.set(1);
    }

    /// Puts bytes behind those that are here, without an account of messages: there is room for them.
    #[cfg(feature = "bridge")]
    pub(super) fn append(&self, cs: CriticalSection<'_>, bytes: &[u8]) {
        let at = self.used.get();
        self.write(cs, at.into(), bytes);
        self.used.set(at + bytes.len() as u16);
    }

    /// Copies bytes, beginning at `offset`.
    #[cfg(feature = "bridge")]
    pub(super) fn peek(&self, cs: CriticalSection<'_>, offset: u16, out: &mut [u8]) {
        self.copy(cs, offset.into(), out);
    }

    /// Drops the first `len` bytes, which are here.
    #[cfg(feature = "bridge")]
    pub(super) fn discard(&self, len: u16) {
        self.head.set(self.place(len.into()) as u16);
        self.used.set(self.used.get().saturating_sub(len));
    }

    /// Where the byte is that stands so far behind the first.
    fn place(&self, offset: usize) -> usize {
        let (at, capacity) = (usize::from(self.head.get()) + offset, usize::from(self.size.get()));
        if at >= capacity { at - capacity } else { at }
    }

    /// The bytes from that place up to the end of all.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn behind(&self, offset: usize) -> &'static [Byte] {
        self.bytes().get(self.place(offset)..).unwrap_or_default()
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn write(&self, cs: CriticalSection<'_>, offset: usize, from: &[u8]) {
        let end = self.behind(offset);
        let (first, rest) = from.split_at_checked(end.len()).unwrap_or((from, &[]));
        put_all(cs, end, first);
        if !rest.is_empty() {
            put_all(cs, self.bytes(), rest);
        }
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn copy(&self, cs: CriticalSection<'_>, offset: usize, out: &mut [u8]) {
        let end = self.behind(offset);
        let (first, rest) = out.split_at_mut_checked(end.len().min(out.len())).unwrap_or_default();
        get_all(cs, first, end);
        if !rest.is_empty() {
            get_all(cs, rest, self.bytes());
        }
    }
}

// Copying is most of what is done with interrupts off. So sixteen bytes are named at a time, which the compiler moves as four
// words where a processor has such at any address; and the rest is not given to the usual copy, which costs 400 bytes.

/// Puts all of `from`.
#[cfg_attr(not(feature = "std"), inline(never))]
pub(super) fn put_all(cs: CriticalSection<'_>, mut to: &[Byte], from: &[u8]) {
    let set = |place: &Byte, byte| place.borrow(cs).set(byte);
    let (words, last) = from.as_chunks::<16>();
    for word in words {
        let Some(([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p], rest)) = to.split_first_chunk() else {
            return;
        };
        to = rest;
        // All of them are read before the first is written, for the compiler cannot know that they are apart.
        let it = *word;
        set(a, it[0]);
        set(b, it[1]);
        set(c, it[2]);
        set(d, it[3]);
        set(e, it[4]);
        set(f, it[5]);
        set(g, it[6]);
        set(h, it[7]);
        set(i, it[8]);
        set(j, it[9]);
        set(k, it[10]);
        set(l, it[11]);
        set(m, it[12]);
        set(n, it[13]);
        set(o, it[14]);
        set(p, it[15]);
    }
    let (words, last) = last.as_chunks::<4>();
    for word in words {
        let Some(([a, b, c, d], rest)) = to.split_first_chunk() else { return };
        to = rest;
        let it = *word;
        set(a, it[0]);
        set(b, it[1]);
        set(c, it[2]);
        set(d, it[3]);
    }
    for (to, from) in to.iter().zip(last) {
        set(to, *from);
    }
}

/// Fills all of `to`.
#[cfg_attr(not(feature = "std"), inline(never))]
pub(super) fn get_all(cs: CriticalSection<'_>, to: &mut [u8], mut from: &[Byte]) {
    let get = |place: &Byte| place.borrow(cs).get();
    let (words, last) = to.as_chunks_mut::<16>();
    for word in words {
        let Some(([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p], rest)) = from.split_first_chunk() else {
            return;
        };
        from = rest;
        *word = [
            get(a),
            get(b),
            get(c),
            get(d),
            get(e),
            get(f),
            get(g),
            get(h),
            get(i),
            get(j),
            get(k),
            get(l),
            get(m),
            get(n),
            get(o),
            get(p),
        ];
    }
    let (words, last) = last.as_chunks_mut::<4>();
    for word in words {
        let Some(([a, b, c, d], rest)) = from.split_first_chunk() else { return };
        from = rest;
        *word = [get(a), get(b), get(c), get(d)];
    }
    // As cells, for else this would be the usual copy.
    let last = Cell::from_mut(last).as_slice_of_cells();
    for (to, from) in last.iter().zip(from) {
        to.set(get(from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ARENA: [Byte; 42] = [const { Mutex::new(Cell::new(0)) }; 42];

    #[test]
    fn a_message_of_any_length_comes_out_as_it_was_put_wherever_the_ring_begins_anew() {
        let ring = Ring::new();
        ring.bind(&ARENA);
        let message: [u8; 37] = core::array::from_fn(|at| at as u8 + 1);
        for turn in 0..38 * 42 {
            let len = turn % 38;
            critical_section::with(|cs| {
                ring.put_first(cs, &message[..len], true);
                let first = ring.first(cs).expect("it was put whole");
                let mut out = [0; 37];
                ring.read(cs, 0, &mut out[..len]);
                assert_eq!((usize::from(first), &out[..len]), (len, &message[..len]));
                ring.pop(first);
            });
        }
        assert_eq!((ring.used(), ring.ready()), (0, 0));
    }

    static WIDE: [Byte; 302] = [const { Mutex::new(Cell::new(0)) }; 302];

    #[test]
    fn a_message_that_is_put_in_parts_is_there_with_the_last_whatever_is_taken_before_it() {
        let ring = Ring::new();
        ring.bind(&WIDE);
        let message: [u8; 140] = core::array::from_fn(|at| at as u8 + 1);
        let is_first = |cs: CriticalSection<'_>, len: usize| {
            let mut out = [0; 140];
            ring.read(cs, 0, &mut out[..len]);
            assert_eq!((ring.first(cs), &out[..len]), (Some(len as u16), &message[..len]));
        };
        critical_section::with(|cs| ring.put_first(cs, &message[..1], true));
        let mut before = 1;
        for turn in 0..141 * 40 {
            let (len, taken_at) = (turn * 7 % 141, PART + turn % 4 * PART);
            critical_section::with(|cs| {
                let place = ring.put_first(cs, &message[..len], true);
                let mut is_taken = false;
                for offset in (PART..len).step_by(PART) {
                    if offset == taken_at {
                        is_first(cs, before);
                        ring.pop(before as u16);
                        is_taken = true;
                    }
                    assert_eq!(ring.first(cs), (!is_taken).then_some(before as u16));
                    ring.put_part(cs, &message[..len], place, offset);
                }
                if !is_taken {
                    is_first(cs, before);
                    ring.pop(before as u16);
                }
                // The ring is never empty, so it begins anew anywhere.
                is_first(cs, len);
                before = len;
            });
        }
        assert_eq!((ring.used(), ring.ready()), (u32::from(space(before as u16)), 1));
    }
}
