//! What a host keeps for one circuit beside the protocol's accounts: the bytes, and who
//! waits for them.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;

use super::carry::Attached;
use super::hub::Member;
use super::inbox::Inbox;
use super::list::List;
use super::sync::{AtomicBool, AtomicU64, Ordering};
use super::transit::Passage;
use crate::proto::{Dead, Handle, Total};

/// The most that a program has taken without its being reported, in bytes.
const REPORT_EVERY: u32 = 32 * 1024;

/// Index of a cell in its link's table.
pub(crate) type CellId = usize;

/// How far the program has come, shared between the end and the link without the lock.
///
/// Counting is a store of the one end that takes, not a read-modify-write: that would be a
/// third of what receiving a small message costs. The price is that a question may cross
/// the last value that is taken, each unseen by the other side for an instant; so who asks
/// looks again a little later, see [`LinkState::look_at_asked`](super::link::LinkState).
#[derive(Debug, Default)]
pub(crate) struct TakenWord {
    count: AtomicU64,
    is_asked: AtomicBool,
    /// Of a method: a reply waits for room, and no further request is taken.
    is_held: AtomicBool,
}

impl TakenWord {
    /// One more value was taken, by the only one who takes: whether the other side asked to
    /// be told.
    #[inline]
    pub(crate) fn count(&self) -> bool {
        self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Release);
        self.is_asked.load(Ordering::Acquire)
    }

    /// So many were taken, where it is another node that counts.
    pub(crate) fn set(&self, total: u64) {
        self.count.store(total, Ordering::Release);
    }

    pub(crate) fn get(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    pub(crate) fn set_asked(&self) -> u64 {
        self.is_asked.swap(true, Ordering::AcqRel);
        self.get()
    }

    pub(crate) fn clear_asked(&self) {
        self.is_asked.store(false, Ordering::Release);
    }

    /// Changed with the link locked.
    pub(crate) fn set_held(&self, is_held: bool) {
        self.is_held.store(is_held, Ordering::Release);
    }

    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Acquire)
    }
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
    /// It passes through this node. Nobody here receives, so `rx_gone` is set as well.
    pub(crate) transit: Option<Passage>,
    /// The member has been told that something is there.
    pub(crate) announced: bool,
    /// The peer's values have ended in order.
    pub(crate) ended: bool,
    /// The peer is through with the circuit in order.
    pub(crate) done: bool,
    /// The program has been told of the end: with `done`, the handle may be another circuit's at any time.
    pub(crate) drained: bool,
    pub(crate) dead: Option<Dead>,
    /// What the dead notice said beside its reason, for instance the exported type.
    pub(crate) detail: String,
    pub(crate) taken: Arc<TakenWord>,
    pub(crate) ask: Option<Total>,
    /// The end that received has moved on, and a relay passes on what it gets: questions as well, and all is taken when
    /// the far program has taken it.
    pub(crate) is_relayed: bool,
    /// A question has come that the relay has not seen.
    pub(crate) was_asked: bool,
    /// How often it is looked at again, without anything having happened.
    pub(crate) looks: u8,
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
    /// Messages of calls that could not be sent at once: at most one for each call.
    pub(crate) backlog: VecDeque<Vec<u8>>,
    /// Of a method: the next request is taken alone, for the reply to it may have to wait as the one before had.
    pub(crate) one_by_one: bool,
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
    /// Its backlog is what the node tells of itself, or it is on the way of such a channel of another node.
    pub(crate) is_list: bool,
    /// What goes over it a node tells of itself, at whichever end or on the way.
    pub(crate) tells: bool,
    /// What is sent goes on behind the neighbour, which has it for a while.
    pub(crate) is_far: bool,
    /// What is still to be made of a list.
    pub(crate) list: Option<List>,
    /// Which list of the node it is, or 0.
    pub(crate) list_number: u64,
    pub(crate) sent: u64,
    /// Of these, so many came when nothing could be written any more.
    pub(crate) unwritten: u64,
    pub(crate) confirmed: u64,
    pub(crate) dropped: u64,
}

impl Cell {
    pub(crate) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.recv_waker.take());
        wakers.extend(self.send_waker.take());
    }

    /// What the program has taken is reported when it is so much, in bytes of credit, while there is more to take,
    /// and when there is not: who has taken all may well wait for something that is sent only after what there is
    /// no credit for.
    ///
    /// Up to half of a window is not worth a frame to the peer. With an eighth that it is not told of, three eighths
    /// are left to be sent, which is a message of the limit in a window that has grown to twice its floor.
    pub(crate) fn report_at(&self) -> [u16; 2] {
        let most = (self.window / 8).min(REPORT_EVERY) as u16;
        [most, if self.window / 2 < self.reserved { 1 } else { most }]
    }

    /// Of a method: whether a reply waits for room, and may still go.
    pub(crate) fn keeps_replies(&self) -> bool {
        let goes_on = self.handle.is_some() && self.dead.is_none() && !self.done;
        self.taken.is_held() && goes_on && !self.backlog.is_empty()
    }

    /// The far end's program has taken `total` values, modulo 2^32.
    pub(crate) fn confirm(&mut self, total: Total) {
        let more = u64::from(total.ahead_of(Total::new(self.confirmed as u32)));
        // A dead notice may speak of an older total, and what it says is not to be trusted.
        if more <= self.sent - self.confirmed {
            self.confirmed += more;
        }
    }
}

/// What a circuit has sent that goes on behind the neighbour.
#[derive(Debug)]
pub(crate) struct UnderWay {
    pub(crate) id: CellId,
    pub(crate) handle: Handle,
    sent: u64,
}

impl UnderWay {
    pub(crate) const fn total(&self) -> Total {
        Total::new(self.sent as u32)
    }

    /// Whether it may still be taken, and not all of it was.
    pub(crate) fn is_under_way(&self, cells: &mut Cells) -> bool {
        let is_it = |cell: &mut Cell| cell.handle == Some(self.handle) && cell.dead.is_none();
        cells.get(self.id).is_some_and(|cell| is_it(cell) && cell.confirmed < self.sent)
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

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len() - self.free.len()
    }

    pub(crate) fn remove(&mut self, id: CellId) -> Option<Cell> {
        let cell = self.list.get_mut(id)?.take()?;
        self.free.push(id);
        Some(cell)
    }

    /// Those whose values go on behind the neighbour and are not all taken yet.
    pub(crate) fn under_way(&self) -> Vec<UnderWay> {
        let of = |(id, cell): (CellId, &Option<Cell>)| {
            let cell = cell.as_ref().filter(|cell| cell.is_far && cell.dead.is_none())?;
            if cell.confirmed < cell.sent {
                Some(UnderWay { id, handle: cell.handle?, sent: cell.sent })
            } else {
                None
            }
        };
        self.list.iter().enumerate().filter_map(of).collect()
    }

    /// Adds a cell to a list of some to look at later. Numbers of cells that are gone by now leave no more in it than
    /// two for each place.
    pub(crate) fn note(&self, list: &mut Vec<CellId>, id: CellId) {
        if list.len() >= 2 * self.list.len() {
            list.sort_unstable();
            list.dedup();
        }
        list.push(id);
    }

    /// Those that pass through this node.
    pub(crate) fn transits(&self) -> Vec<(CellId, Passage)> {
        let of = |(id, cell): (CellId, &Option<Cell>)| Some((id, cell.as_ref()?.transit.clone()?));
        self.list.iter().enumerate().filter_map(of).collect()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Cell> {
        self.list.iter_mut().flatten()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use alloc::vec::Vec;

    use super::{Cell, Cells};

    #[test]
    fn cells_that_come_and_go_leave_no_more_to_look_at_than_there_were() {
        let (mut cells, mut list) = (Cells::default(), Vec::new());
        for _ in 0..10_000 {
            let ids = [(); 3].map(|()| cells.insert(Cell::default()));
            for id in ids {
                cells.note(&mut list, id);
                assert!(list.contains(&id));
                cells.remove(id);
            }
        }
        assert!(list.len() <= 6, "{} to look at", list.len());
    }
}
