//! Messages of a channel that wait, in its part of the node's arena.
//!
//! ```text
//! record = length in two bytes, message, unused bytes: as many bytes in all as the message is charged
//! ```
//!
//! So what a ring has left is what may be promised to the peer, to the byte.

use core::cell::Cell;

use critical_section::{CriticalSection, Mutex};

use crate::proto::charge;

/// A byte of the arena. A slice of them has no size in its type, and whoever holds one needs no
/// node; copying many of them compiles to one copy.
pub(super) type Byte = Mutex<Cell<u8>>;

/// What stands before each message, in bytes.
const HEAD_LEN: u16 = 2;

/// A queue of messages. All of it is zero before it is bound to its bytes.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Ring {
    head: Cell<u16>,
    used: Cell<u16>,
    /// Messages that are whole.
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

    pub(super) fn bind(&self, bytes: &'static [Byte]) {
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

    /// Messages that are whole.
    pub(super) fn ready(&self) -> u16 {
        self.ready.get()
    }

    /// Bytes that are in use, also by a message that is not whole.
    pub(super) fn used(&self) -> u32 {
        self.used.get().into()
    }

    pub(super) fn clear(&self) {
        self.head.set(0);
        self.used.set(0);
        self.ready.set(0);
    }

    /// Takes room for a message of `len` bytes, which the caller knows to be there.
    pub(super) fn begin(&self, cs: CriticalSection<'_>, len: u16) {
        let at = self.used.get();
        self.used.set(at + charge(len.into()) as u16);
        self.write(cs, at, &len.to_le_bytes());
    }

    /// Puts a whole message, `head` before `body`, for which the caller knows that there is room.
    pub(super) fn put_whole(&self, cs: CriticalSection<'_>, head: &[u8], body: &[u8]) {
        let (mut at, len) = (self.used.get(), (head.len() + body.len()) as u16);
        self.begin(cs, len);
        at += HEAD_LEN;
        if !head.is_empty() {
            self.write(cs, at, head);
            at += head.len() as u16;
        }
        self.write(cs, at, body);
        self.complete();
    }

    /// Puts bytes at this place of the message that has been begun last, of `len` bytes.
    pub(super) fn put(&self, cs: CriticalSection<'_>, len: u16, offset: u16, from: &[u8]) {
        let at = self.used.get() - charge(len.into()) as u16;
        self.write(cs, at + HEAD_LEN + offset, from);
    }

    /// The message that has been begun last is whole.
    pub(super) fn complete(&self) {
        self.ready.set(self.ready.get() + 1);
    }

    /// It will not be whole.
    pub(super) fn forget(&self, len: u16) {
        self.used.set(self.used.get() - charge(len.into()) as u16);
    }

    /// Length of the first message, if it is whole.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn first(&self, cs: CriticalSection<'_>) -> Option<u16> {
        if self.ready.get() == 0 {
            return None;
        }
        let mut head = [0; HEAD_LEN as usize];
        self.copy(cs, 0, &mut head);
        Some(u16::from_le_bytes(head))
    }

    /// Copies from the first message, beginning at `offset`.
    pub(super) fn read(&self, cs: CriticalSection<'_>, offset: u16, out: &mut [u8]) {
        self.copy(cs, HEAD_LEN + offset, out);
    }

    /// Drops the first message, of `len` bytes.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn pop(&self, len: u16) {
        let taken = charge(len.into()) as u16;
        self.head.set(self.place(taken));
        self.used.set(self.used.get() - taken);
        self.ready.set(self.ready.get() - 1);
    }

    /// Drops all whole messages behind the first, of `len` bytes.
    pub(super) fn keep_first(&self, len: u16) {
        self.used.set(charge(len.into()) as u16);
        self.ready.set(1);
    }

    /// Where the byte is that stands so far behind the first.
    fn place(&self, offset: u16) -> u16 {
        let (at, capacity) = (self.head.get() + offset, self.size.get());
        if at >= capacity { at - capacity } else { at }
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn write(&self, cs: CriticalSection<'_>, offset: u16, from: &[u8]) {
        let end = self.bytes().get(self.place(offset).into()..).unwrap_or_default();
        let (first, rest) = from.split_at_checked(end.len()).unwrap_or((from, &[]));
        put_all(cs, end, first);
        put_all(cs, self.bytes(), rest);
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn copy(&self, cs: CriticalSection<'_>, offset: u16, out: &mut [u8]) {
        let end = self.bytes().get(self.place(offset).into()..).unwrap_or_default();
        let (first, rest) = out.split_at_mut_checked(end.len().min(out.len())).unwrap_or_default();
        get_all(cs, first, end);
        get_all(cs, rest, self.bytes());
    }
}

// Copying is most of what is done with interrupts off. So four bytes are named at a time, which the compiler moves as one
// word where a processor has such at any address; and the rest is not given to the usual copy, which costs 400 bytes.

/// Puts all of `from`.
#[cfg_attr(not(feature = "std"), inline(never))]
fn put_all(cs: CriticalSection<'_>, to: &[Byte], from: &[u8]) {
    let (words, last) = from.as_chunks::<4>();
    for (word, [a, b, c, d]) in words.iter().zip(to.as_chunks().0) {
        let [e, f, g, h] = *word;
        a.borrow(cs).set(e);
        b.borrow(cs).set(f);
        c.borrow(cs).set(g);
        d.borrow(cs).set(h);
    }
    let rest = to.get(from.len() & !3..).unwrap_or_default();
    for (to, from) in rest.iter().zip(last) {
        to.borrow(cs).set(*from);
    }
}

/// Fills all of `to`.
#[cfg_attr(not(feature = "std"), inline(never))]
fn get_all(cs: CriticalSection<'_>, to: &mut [u8], from: &[Byte]) {
    let get = |byte: &Byte| byte.borrow(cs).get();
    let rest = from.get(to.len() & !3..).unwrap_or_default();
    let (words, last) = to.as_chunks_mut();
    for (to, [a, b, c, d]) in words.iter_mut().zip(from.as_chunks().0) {
        *to = [get(a), get(b), get(c), get(d)];
    }
    for (to, from) in last.iter_mut().zip(rest.iter().chain(&[])) {
        *to = get(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ARENA: [Byte; 41] = [const { Mutex::new(Cell::new(0)) }; 41];

    #[test]
    fn a_message_of_any_length_comes_out_as_it_was_put_wherever_the_ring_begins_anew() {
        let ring = Ring::new();
        ring.bind(&ARENA);
        let message: [u8; 37] = core::array::from_fn(|at| at as u8 + 1);
        for turn in 0..37 * 41 {
            let len = turn % 38;
            let (head, body) = message[..len].split_at(len / 5);
            critical_section::with(|cs| {
                ring.put_whole(cs, head, body);
                let first = ring.first(cs).expect("it was put whole");
                let mut out = [0; 37];
                ring.read(cs, 0, &mut out[..len]);
                assert_eq!((usize::from(first), &out[..len]), (len, &message[..len]));
                ring.pop(first);
            });
        }
        assert_eq!((ring.used(), ring.ready()), (0, 0));
    }
}
