//! What a host keeps for one circuit beside the protocol's accounts: the bytes, and who
//! waits for them.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;

use super::carry::Attached;
use super::hub::Member;
use super::sync::{AtomicU64, Ordering};
use crate::proto::{Dead, Handle, Total};

/// Messages longer than this keep a buffer of their own, which the program gets without a copy.
const BIG: usize = 4096;
const BIG_FLAG: u32 = 1 << 31;
const ENDS_FLAG: u32 = 1 << 30;
const LEN_MASK: u32 = ENDS_FLAG - 1;
const HEADER_LEN: usize = 4;
/// The largest buffer that an empty inbox keeps for the next burst, in bytes.
const KEEP: usize = 1 << 20;

/// Index of a cell in its link's table.
pub(crate) type CellId = usize;

/// How far the program has come, shared between the end and the link without the lock.
#[derive(Debug, Default)]
pub(crate) struct TakenWord(AtomicU64);

impl TakenWord {
    const ASKED: u64 = 1 << 63;

    /// One more value was taken: whether the other side asked to be told.
    pub(crate) fn count(&self) -> bool {
        // One read-modify-write on one word: asking and counting cannot miss each other.
        self.0.fetch_add(1, Ordering::AcqRel) & Self::ASKED != 0
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire) & !Self::ASKED
    }

    pub(crate) fn set_asked(&self) -> u64 {
        self.0.fetch_or(Self::ASKED, Ordering::AcqRel) & !Self::ASKED
    }

    pub(crate) fn clear_asked(&self) -> u64 {
        self.0.fetch_and(!Self::ASKED, Ordering::AcqRel) & !Self::ASKED
    }
}

/// Messages that are complete, in order. Small ones lie side by side in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    at: usize,
    big: VecDeque<Vec<u8>>,
    /// Channel ends of the messages that carry some, in order.
    ends: VecDeque<Vec<Attached>>,
    /// Those of the message that was taken last.
    taken_ends: Vec<Attached>,
    /// Credit charged for what was taken since it was last reported.
    pub(crate) charged: u32,
}

impl Inbox {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            at: 0,
            big: VecDeque::new(),
            ends: VecDeque::new(),
            taken_ends: Vec::new(),
            charged: 0,
        }
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, message: &[u8]) {
        if message.len() > BIG {
            self.push_big(message.to_vec());
            return;
        }
        self.bytes.extend_from_slice(&(message.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(message);
    }

    pub(crate) fn push_big(&mut self, message: Vec<u8>) {
        self.bytes.extend_from_slice(&(message.len() as u32 | BIG_FLAG).to_le_bytes());
        self.big.push_back(message);
    }

    /// A message that carries channel ends.
    pub(crate) fn push_carrying(&mut self, message: Vec<u8>, ends: Vec<Attached>) {
        let header = message.len() as u32 | BIG_FLAG | ENDS_FLAG;
        self.bytes.extend_from_slice(&header.to_le_bytes());
        self.big.push_back(message);
        self.ends.push_back(ends);
    }

    /// Whether the next message carries channel ends.
    #[inline]
    pub(crate) fn next_carries(&self) -> bool {
        !self.ends.is_empty()
            && self
                .bytes
                .get(self.at..)
                .and_then(|rest| rest.first_chunk::<HEADER_LEN>())
                .is_some_and(|header| u32::from_le_bytes(*header) & ENDS_FLAG != 0)
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

    /// The next message. Its charge is added to what is to be reported.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<Message<'_>> {
        let header = self.bytes.get(self.at..)?.first_chunk::<HEADER_LEN>()?;
        let header = u32::from_le_bytes(*header);
        self.at += HEADER_LEN;
        self.charged = self.charged.wrapping_add(crate::proto::Link::charge(header & LEN_MASK));
        if header & BIG_FLAG != 0 {
            if header & ENDS_FLAG != 0 {
                self.taken_ends = self.ends.pop_front().unwrap_or_default();
            }
            return self.big.pop_front().map(Message::Owned);
        }
        let from = self.at;
        self.at += header as usize;
        self.bytes.get(from..self.at).map(Message::Small)
    }

    /// Whether one of the small messages is like this.
    pub(crate) fn any(&self, mut is: impl FnMut(&[u8]) -> bool) -> bool {
        let mut at = self.at;
        while let Some(header) = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<HEADER_LEN>()) {
            let header = u32::from_le_bytes(*header);
            at += HEADER_LEN;
            if header & BIG_FLAG == 0 {
                let end = at + header as usize;
                if self.bytes.get(at..end).is_some_and(&mut is) {
                    return true;
                }
                at = end;
            }
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
        self.big.clear();
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
    }
}

/// One message of an inbox.
pub(crate) enum Message<'a> {
    Small(&'a [u8]),
    Owned(Vec<u8>),
}

/// One circuit on a host. Lives in its link's table until the program's end is dropped.
#[derive(Default)]
pub(crate) struct Cell {
    /// `None` once the protocol is through with the circuit.
    pub(crate) handle: Option<Handle>,
    pub(crate) opened: bool,
    pub(crate) which: u8,
    pub(crate) inbox: Inbox,
    /// The message that is arriving in fragments, and its whole length.
    pub(crate) partial: Option<(Vec<u8>, usize)>,
    pub(crate) outbox: Option<Arc<Vec<u8>>>,
    pub(crate) recv_waker: Option<Waker>,
    pub(crate) send_waker: Option<Waker>,
    pub(crate) member: Option<Member>,
    /// The member has been told that something is there.
    pub(crate) announced: bool,
    /// The peer's values have ended in order.
    pub(crate) ended: bool,
    /// The peer is through with the circuit in order.
    pub(crate) done: bool,
    pub(crate) dead: Option<Dead>,
    /// What the dead notice said beside its reason, for instance the exported type.
    pub(crate) detail: String,
    pub(crate) taken: Arc<TakenWord>,
    pub(crate) ask: Option<Total>,
    pub(crate) window: u32,
    pub(crate) window_max: u32,
    /// Bytes of the link's budget that this circuit holds.
    pub(crate) reserved: u32,
    pub(crate) is_latest: bool,
    /// Channel ends of the message that is arriving.
    pub(crate) attached: Vec<Attached>,
    /// END follows when the backlog is sent.
    pub(crate) end_after: bool,
    /// The newest value received, of a latest-value circuit.
    pub(crate) newest: Option<Vec<u8>>,
    /// The newest value to be sent, of a latest-value circuit.
    pub(crate) unsent: Option<Vec<u8>>,
    /// Short messages of calls that could not be sent at once: at most one for each call.
    pub(crate) backlog: VecDeque<Vec<u8>>,
    /// The link knows that something waits for room in its buffer.
    pub(crate) kept: bool,
    pub(crate) receives: bool,
    pub(crate) sends: bool,
    /// The program has dropped its sending half.
    pub(crate) tx_gone: bool,
    /// The program has dropped its receiving half.
    pub(crate) rx_gone: bool,
    /// Values have come that nobody will take.
    pub(crate) untaken: bool,
    /// Nobody holds the cell any more; it goes when the circuit is over.
    pub(crate) orphan: bool,
    pub(crate) sent: u64,
    pub(crate) confirmed: u64,
    pub(crate) dropped: u64,
}

impl Cell {
    pub(crate) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.recv_waker.take());
        wakers.extend(self.send_waker.take());
    }

    /// The far end's program has taken `total` values, modulo 2^32.
    pub(crate) fn confirm(&mut self, total: Total) {
        self.confirmed += u64::from(total.ahead_of(Total::new(self.confirmed as u32)));
    }
}

/// Cells by number; numbers of dropped cells are used again.
#[derive(Default)]
pub(crate) struct Cells {
    list: Vec<Option<Cell>>,
    free: Vec<CellId>,
}

impl Cells {
    pub(crate) fn insert(&mut self, cell: Cell) -> CellId {
        match self.free.pop() {
            Some(id) => {
                self.list[id] = Some(cell);
                id
            }
            None => {
                self.list.push(Some(cell));
                self.list.len() - 1
            }
        }
    }

    #[inline]
    pub(crate) fn get(&mut self, id: CellId) -> Option<&mut Cell> {
        self.list.get_mut(id)?.as_mut()
    }

    pub(crate) fn remove(&mut self, id: CellId) -> Option<Cell> {
        let cell = self.list.get_mut(id)?.take()?;
        self.free.push(id);
        Some(cell)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Cell> {
        self.list.iter_mut().flatten()
    }
}
