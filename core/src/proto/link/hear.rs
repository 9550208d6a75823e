//! What a frame does to the circuits and to the link.

use super::{Event, Link, LinkState};
use crate::proto::circuit::{Phase, Slot, Slots};
use crate::proto::frame::{
    CONTROL_ACCEPT, CONTROL_ASK, CONTROL_ATTACH, CONTROL_DEAD, CONTROL_DONE, CONTROL_END, CONTROL_OPEN,
    FrameError, Handle, KIND_CONTROL, KIND_CREDIT, KIND_DATA, KIND_FIRST, KIND_LINK, KIND_MORE, KIND_TAKEN,
    LINK_ACK, LINK_ADOPT, LINK_BEAT, LINK_GOODBYE, LINK_HELLO, LINK_PING, LINK_PONG, LINK_QUIET,
    LINK_SHUTDOWN, Part, Reader, TreeFrame,
};
use crate::proto::hello::{Hello, Relation};
use crate::proto::{Fault, Total, varint};

/// Stand for the kinds without a code, where those with one are told apart.
const CREDIT: u8 = 0x10;
const TAKEN: u8 = 0x11;

impl Link {
    /// Takes a frame that may be anything. It is the same as [`Frame::parse`](crate::proto::Frame::parse)
    /// and a look at the result, without a value in between that could be every kind of frame: that
    /// takes a board twice the code.
    #[inline]
    pub(super) fn hear<'i>(&mut self, slots: &mut Slots<'_>, frame: &'i [u8]) -> Result<Event<'i>, Fault> {
        let (head, used) = varint::get(frame).map_err(FrameError::from)?;
        let mut rest = frame.get(used..).unwrap_or_default();
        let part = match head & 7 {
            KIND_DATA => Part::Whole,
            KIND_MORE => Part::More,
            KIND_FIRST => {
                let (len, used) = varint::get(rest).map_err(FrameError::from)?;
                rest = rest.get(used..).unwrap_or_default();
                Part::First(len)
            }
            _ => return self.on_control(slots, head, rest),
        };
        self.expect_up()?;
        self.on_data(slots, Handle::new(head >> 3), part, rest)
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn on_control<'i>(
        &mut self,
        slots: &mut Slots<'_>,
        head: u32,
        rest: &'i [u8],
    ) -> Result<Event<'i>, Fault> {
        let mut r = Reader::new(rest);
        let handle = Handle::new(head >> 3);
        let code = match head & 7 {
            KIND_LINK => return self.on_link(head >> 3, rest),
            KIND_CREDIT => CREDIT,
            KIND_TAKEN => TAKEN,
            KIND_CONTROL => match r.byte() {
                code @ CONTROL_OPEN..=CONTROL_ATTACH => code,
                _ => return Err(r.error().unwrap_or(FrameError::Kind).into()),
            },
            _ => return Err(FrameError::Kind.into()),
        };
        let told = match code {
            CONTROL_OPEN => {
                let open = r.carrying_open();
                r.check()?;
                self.expect_up()?;
                self.on_open(slots, handle, &open)?;
                return Ok(Event::Open(handle, open));
            }
            CONTROL_ATTACH => {
                let (end, ordinal, open) = (Handle::new(r.number()), r.number(), r.open());
                r.check()?;
                self.expect_up()?;
                let carrier = self.known(slots, handle)?;
                let is_carrying = carrier.phase == Phase::Open
                    && !carrier.is_final()
                    && !carrier.in_ended
                    && carrier.in_left == 0
                    && carrier.direction.receives();
                if !is_carrying {
                    return Err(Fault::WrongState);
                }
                self.on_open(slots, end, &open)?;
                return Ok(Event::Attach(handle, end, ordinal, open));
            }
            CONTROL_ACCEPT => {
                let accept = r.accept();
                r.check()?;
                self.expect_up()?;
                let news = self.known(slots, handle)?.on_accept(&accept)?;
                // Who has sent all with the open is through.
                self.mark(slots, handle);
                (news, Event::Accepted(handle, accept.which))
            }
            CONTROL_DEAD => {
                let dead = r.dead();
                r.check()?;
                self.expect_up()?;
                let news = self.known(slots, handle)?.on_dead(&dead)?;
                self.mark(slots, handle);
                (news, Event::Dead(handle, dead))
            }
            _ => {
                let total = r.total();
                r.check_end()?;
                self.expect_up()?;
                let slot = self.known(slots, handle)?;
                match code {
                    CREDIT => (slot.on_credit(total)?, Event::Granted(handle)),
                    TAKEN => (slot.on_taken(total)?, Event::Taken(handle, total)),
                    CONTROL_ASK => (slot.on_ask()?, Event::Asked(handle, total)),
                    CONTROL_END => (slot.on_end(total)?, Event::End(handle)),
                    _ => {
                        debug_assert!(code == CONTROL_DONE, "the last one");
                        (slot.on_done(total)?, Event::Done(handle))
                    }
                }
            }
        };
        self.free_if_over(slots, handle);
        Ok(if told.0 { told.1 } else { Event::Nothing })
    }

    /// A frame of the link itself.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn on_link<'i>(&mut self, number: u32, rest: &'i [u8]) -> Result<Event<'i>, Fault> {
        if number == LINK_HELLO {
            return self.on_hello(Hello::parse(rest)?);
        }
        let mut r = Reader::new(rest);
        if (LINK_ADOPT..=LINK_SHUTDOWN).contains(&number) {
            let frame = r.tree(number);
            r.check()?;
            self.expect_up()?;
            return self.on_tree(frame);
        }
        let value = match number {
            LINK_ACK => r.number(),
            LINK_GOODBYE => u32::from(r.byte()),
            LINK_QUIET => r.quiet(),
            LINK_BEAT | LINK_PING | LINK_PONG => 0,
            _ => return Err(FrameError::Kind.into()),
        };
        r.check_end()?;
        self.expect_up()?;
        match number {
            LINK_ACK => return self.on_ack(Total::new(value)),
            LINK_GOODBYE => return Err(Fault::Goodbye(crate::proto::Reason::new(value as u8))),
            // A bit, not a queue: many pings get one answer.
            LINK_PING => self.pong_due = true,
            // The last one counts.
            LINK_QUIET => self.quiet_heard = Some(value),
            _ => {}
        }
        Ok(Event::Nothing)
    }

    /// Parents and children may say what is theirs to say, and nobody else anything of the tree.
    fn on_tree<'i>(&self, frame: TreeFrame<'i>) -> Result<Event<'i>, Fault> {
        let from_parent = match frame {
            TreeFrame::Adopt { .. } | TreeFrame::Grant { .. } | TreeFrame::Shutdown { .. } => true,
            TreeFrame::Allocate(_) | TreeFrame::AddRoute { .. } | TreeFrame::DelRoute(..) => false,
        };
        match self.peer.relation {
            Relation::Parent if from_parent => Ok(Event::Tree(frame)),
            Relation::Child { leaf: false } if !from_parent => Ok(Event::Tree(frame)),
            _ => Err(Fault::NotTheirs),
        }
    }

    pub(super) fn expect_up(&self) -> Result<(), Fault> {
        if self.is_up() {
            return Ok(());
        }
        Err(if self.state == LinkState::Hello { Fault::NotNetchan } else { Fault::OutOfTurn })
    }

    fn on_ack<'i>(&mut self, total: Total) -> Result<Event<'i>, Fault> {
        if !self.bytes_out.at_least(total) {
            return Err(Fault::BadTotal);
        }
        if total.at_least(self.bytes_out_acked) {
            self.bytes_out_acked = total;
        }
        Ok(Event::Nothing)
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn known<'s>(&self, slots: &'s mut Slots<'_>, handle: Handle) -> Result<&'s mut Slot, Fault> {
        match self.slot(slots, handle) {
            Some(slot) if slot.phase != Phase::Free => Ok(slot),
            _ => Err(Fault::UnknownHandle),
        }
    }
}
