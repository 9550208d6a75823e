//! Messages that are complete, in the order in which the program takes them.
//!
//! Small ones lie side by side as they came from the wire, length and head before each, so
//! that a whole run of them is taken over with one copy. Their charge covers that: the
//! length and the head of a small message are no longer than the 4 bytes it is charged.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::carry::Attached;
use crate::message::spare;
use crate::proto::{Link, varint};

/// Messages longer than this keep a buffer of their own, which the program gets without a copy.
pub(crate) const BIG: usize = 4096;
/// The head of a small message here, where its circuit is known.
const SMALL: u8 = 1;
/// Stands for a message with a buffer of its own. No message's head on the wire.
const OWNED: [u8; 2] = [1, 7];
/// The same for one that carries channel ends.
const CARRYING: [u8; 2] = [1, 15];
/// The largest buffer that an empty inbox keeps for the next burst, in bytes.
const KEEP: usize = 1 << 20;

/// Complete messages, in order.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    at: usize,
    owned: VecDeque<Vec<u8>>,
    /// Channel ends of the messages that carry some, in order.
    ends: VecDeque<Vec<Attached>>,
    /// Those of the message that was taken last.
    taken_ends: Vec<Attached>,
    /// Credit charged for what was taken since it was last reported.
    pub(crate) charged: u32,
    /// It is reported when it is so much, while there is more to take, and when all is taken.
    pub(crate) report_at: [u16; 2],
}

/// One message of an inbox.
pub(crate) enum Message<'a> {
    Small(&'a [u8]),
    Owned(Vec<u8>),
}

/// What lies at the start of an inbox's bytes, and how long it is there.
enum Entry<'a> {
    Small(&'a [u8]),
    Owned { carries: bool },
}

impl<'a> Entry<'a> {
    #[inline(always)]
    fn first(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (len, used) = varint::get(bytes).ok()?;
        let end = used + len as usize;
        let frame = bytes.get(used..end)?;
        let entry = match *frame.first()? {
            head if head & 7 == SMALL => {
                // The head is a number too: where it ends the message begins.
                let head_len = if head < 0x80 { 1 } else { varint::get(frame).ok()?.1 };
                Self::Small(&frame[head_len..])
            }
            head => Self::Owned { carries: head == CARRYING[1] },
        };
        Some((entry, end))
    }
}

impl Inbox {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            at: 0,
            owned: VecDeque::new(),
            ends: VecDeque::new(),
            taken_ends: Vec::new(),
            charged: 0,
            report_at: [0; 2],
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, message: &[u8]) {
        if message.len() > BIG {
            let mut own = spare::take(message.len());
            own.extend_from_slice(message);
            self.push_owned(own);
            return;
        }
        let mut head = [0; varint::MAX_LEN + 1];
        let at = varint::put(&mut head, 0, message.len() as u32 + 1);
        head[at] = SMALL;
        self.bytes.extend_from_slice(&head[..=at]);
        self.bytes.extend_from_slice(message);
    }

    /// Small messages as they came from the wire, whole and one after the other.
    #[inline]
    pub(crate) fn push_run(&mut self, frames: &[u8]) {
        self.bytes.extend_from_slice(frames);
    }

    pub(crate) fn push_owned(&mut self, message: Vec<u8>) {
        self.bytes.extend_from_slice(&OWNED);
        self.owned.push_back(message);
    }

    /// A message that carries channel ends.
    pub(crate) fn push_carrying(&mut self, message: Vec<u8>, ends: Vec<Attached>) {
        self.bytes.extend_from_slice(&CARRYING);
        self.owned.push_back(message);
        self.ends.push_back(ends);
    }

    /// Whether the next message carries channel ends.
    #[inline]
    pub(crate) fn next_carries(&self) -> bool {
        !self.ends.is_empty() && self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(&CARRYING))
    }

    /// The next message with its channel ends.
    pub(crate) fn next_carrying(&mut self) -> Option<(Vec<u8>, Vec<Attached>)> {
        let message = match self.next()? {
            Message::Owned(message) => message,
            Message::Small(message) => message.to_vec(),
        };
        Some((message, self.take_ends()))
    }

    /// The channel ends that the message taken last has carried.
    pub(crate) fn take_ends(&mut self) -> Vec<Attached> {
        core::mem::take(&mut self.taken_ends)
    }

    /// The channel ends of messages that nobody will take.
    pub(crate) fn drain_ends(&mut self) -> Vec<Attached> {
        let mut all = self.take_ends();
        all.extend(self.ends.drain(..).flatten());
        all
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Moves the next message to another inbox, which is empty: whether there was one.
    pub(crate) fn move_next(&mut self, to: &mut Self) -> bool {
        let Some((entry, end)) = self.bytes.get(self.at..).and_then(Entry::first) else { return false };
        if let Entry::Owned { carries } = entry {
            to.owned.extend(self.owned.pop_front());
            if carries {
                to.ends.extend(self.ends.pop_front());
            }
        }
        to.bytes.extend_from_slice(&self.bytes[self.at..self.at + end]);
        self.at += end;
        if self.is_empty() {
            self.recycle();
        } else if self.at > self.bytes.len() / 2 {
            // Others may come for as long as there are some.
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        true
    }

    /// Puts what is left of another inbox before all that is here.
    pub(crate) fn put_before(&mut self, first: &mut Self) {
        first.bytes.extend_from_slice(self.bytes.get(self.at..).unwrap_or_default());
        first.owned.append(&mut self.owned);
        first.ends.append(&mut self.ends);
        core::mem::swap(&mut self.bytes, &mut first.bytes);
        core::mem::swap(&mut self.owned, &mut first.owned);
        core::mem::swap(&mut self.ends, &mut first.ends);
        self.at = core::mem::take(&mut first.at);
        first.recycle();
    }

    /// Whether what was taken is to be reported now.
    #[inline(always)]
    pub(crate) fn owes_report(&self) -> bool {
        self.charged >= self.report_at[usize::from(self.is_empty())].into()
    }

    /// The next message. Its charge is added to what is to be reported.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<Message<'_>> {
        let (entry, end) = Entry::first(self.bytes.get(self.at..)?)?;
        self.at += end;
        let message = match entry {
            Entry::Small(message) => Message::Small(message),
            Entry::Owned { carries } => {
                if carries {
                    self.taken_ends = self.ends.pop_front().unwrap_or_default();
                }
                Message::Owned(self.owned.pop_front()?)
            }
        };
        self.charged = self.charged.wrapping_add(Link::charge(message.len() as u32));
        Some(message)
    }

    /// The next message, if that is one whose length and head take a byte each.
    #[inline(always)]
    pub(crate) fn next_short(&mut self) -> Option<&[u8]> {
        let [len, head, rest @ ..] = self.bytes.get(self.at..)? else { return None };
        if *len >= 0x80 || *head >= 0x80 || head & 7 != SMALL {
            return None;
        }
        let message = rest.get(..usize::from(*len).checked_sub(1)?)?;
        self.at += 2 + message.len();
        self.charged = self.charged.wrapping_add(Link::charge(message.len() as u32));
        Some(message)
    }

    /// Whether one of the small messages is like this.
    pub(crate) fn any(&self, mut is: impl FnMut(&[u8]) -> bool) -> bool {
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        while let Some((entry, end)) = Entry::first(rest) {
            if matches!(entry, Entry::Small(message) if is(message)) {
                return true;
            }
            rest = &rest[end..];
        }
        false
    }

    /// Drops what nobody will take: the credit that goes back for it and for what was taken.
    pub(crate) fn discard(&mut self) -> u32 {
        while self.next().is_some() {}
        self.recycle();
        core::mem::take(&mut self.charged)
    }

    /// Empties it, and keeps its buffer unless that has grown large.
    pub(crate) fn recycle(&mut self) {
        self.at = 0;
        self.bytes.clear();
        if !self.owned.is_empty() {
            self.owned.clear();
        }
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
    }
}

impl Message<'_> {
    #[inline]
    const fn len(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Owned(bytes) => bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_in_the_order_they_went_in_whichever_way() {
        let mut inbox = Inbox::default();
        inbox.push(b"one");
        // Two frames of circuit 300, as they stand on the wire.
        inbox.push_run(&[4, 0xe1, 0x12, b'a', b'b', 2, 0xe1, 0x12]);
        inbox.push(&[7; BIG + 1]);
        inbox.push(&[8; BIG]);
        inbox.push_carrying(b"ends".to_vec(), Vec::new());
        assert!(inbox.any(|message| message == b"ab") && !inbox.any(|message| message == b"ends"));
        for (expected, carries) in [
            (&b"one"[..], false),
            (b"ab", false),
            (b"", false),
            (&[7; BIG + 1], false),
            (&[8; BIG], false),
            (b"ends", true),
        ] {
            assert_eq!(inbox.next_carries(), carries);
            let charged = inbox.charged;
            let message = match inbox.next().expect("a message is left") {
                Message::Small(bytes) => bytes.to_vec(),
                Message::Owned(bytes) => bytes,
            };
            assert_eq!(message, expected);
            assert_eq!(inbox.charged - charged, Link::charge(expected.len() as u32));
        }
        assert!(inbox.is_empty() && inbox.next().is_none());
    }

    #[test]
    fn what_is_put_back_comes_before_what_has_come_since() {
        let (mut first, mut inbox) = (Inbox::default(), Inbox::default());
        first.push(b"taken");
        first.push_owned(b"large".to_vec());
        first.push(b"two");
        assert!(first.next().is_some());
        inbox.push(b"gone");
        inbox.push_owned(b"gone, too".to_vec());
        inbox.push_carrying(b"ends".to_vec(), Vec::new());
        inbox.push(b"last");
        assert!(inbox.next().is_some() && inbox.next().is_some());
        inbox.put_before(&mut first);
        assert!(first.is_empty() && first.next().is_none());
        for (expected, carries) in
            [(&b"large"[..], false), (b"two", false), (b"ends", true), (b"last", false)]
        {
            assert_eq!(inbox.next_carries(), carries);
            match inbox.next() {
                Some(Message::Small(bytes)) => assert_eq!(bytes, expected),
                Some(Message::Owned(bytes)) => assert_eq!(bytes, expected),
                None => panic!("a message is left"),
            }
        }
        assert!(inbox.is_empty() && inbox.next().is_none());
    }
}
