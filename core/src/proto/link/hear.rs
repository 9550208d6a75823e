//! What a frame does to the circuits and to the link.

use super::{Event, Link, LinkState};
use crate::proto::circuit::{Phase, Slot, Slots};
use crate::proto::frame::{Frame, Handle};
use crate::proto::{Fault, Total};

impl Link {
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn on_frame<'i>(
        &mut self,
        slots: &mut Slots<'_>,
        frame: Frame<'i>,
    ) -> Result<Event<'i>, Fault> {
        if let Frame::Hello(hello) = frame {
            return self.on_hello(hello);
        }
        if !self.is_up() {
            return Err(if self.state == LinkState::Hello { Fault::NotNetchan } else { Fault::OutOfTurn });
        }
        let told = |news: bool, event| if news { event } else { Event::Nothing };
        let (handle, event) = match frame {
            Frame::Hello(_) | Frame::Beat | Frame::Pong => return Ok(Event::Nothing),
            Frame::Ping => {
                // A bit, not a queue: many pings get one answer.
                self.pong_due = true;
                return Ok(Event::Nothing);
            }
            Frame::Goodbye(reason) => return Err(Fault::Goodbye(reason)),
            Frame::Ack(total) => return self.on_ack(total),
            Frame::Open(handle, open) => {
                self.on_open(slots, handle, &open)?;
                return Ok(Event::Open(handle, open));
            }
            Frame::Attach(carrier, handle, ordinal, open) => {
                let carried = self.known(slots, carrier)?;
                if carried.phase != Phase::Open
                    || carried.is_final()
                    || carried.in_ended
                    || carried.in_left != 0
                    || !carried.direction.receives()
                {
                    return Err(Fault::WrongState);
                }
                self.on_open(slots, handle, &open)?;
                return Ok(Event::Attach(carrier, handle, ordinal, open));
            }
            Frame::Data(handle, part, bytes) => return self.on_data(slots, handle, part, bytes),
            Frame::Accept(handle, accept) => {
                let news = self.known(slots, handle)?.on_accept(&accept)?;
                (handle, told(news, Event::Accepted(handle, accept.which)))
            }
            Frame::Credit(handle, total) => {
                let news = self.known(slots, handle)?.on_credit(total)?;
                (handle, told(news, Event::Granted(handle)))
            }
            Frame::Taken(handle, total) => {
                let news = self.known(slots, handle)?.on_taken(total)?;
                (handle, told(news, Event::Taken(handle, total)))
            }
            Frame::Ask(handle, total) => {
                let news = self.known(slots, handle)?.on_ask()?;
                (handle, told(news, Event::Asked(handle, total)))
            }
            Frame::End(handle, total) => {
                let news = self.known(slots, handle)?.on_end(total)?;
                (handle, told(news, Event::End(handle)))
            }
            Frame::Done(handle, total) => {
                let news = self.known(slots, handle)?.on_done(total)?;
                (handle, told(news, Event::Done(handle)))
            }
            Frame::Dead(handle, dead) => {
                let news = self.known(slots, handle)?.on_dead(&dead)?;
                self.mark(slots, handle);
                (handle, told(news, Event::Dead(handle, dead)))
            }
        };
        self.free_if_over(slots, handle);
        Ok(event)
    }

    pub(super) fn on_ack<'i>(&mut self, total: Total) -> Result<Event<'i>, Fault> {
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
