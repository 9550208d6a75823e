//! What a frame means for the channels.

use core::ptr;

use super::Circuits;
use crate::board::channel::{Channel, Phase, Shared, flag};
use crate::board::circuit::CREDIT;
use crate::board::ending::Ending;
use crate::board::lines::Place;
use crate::board::section::with;
use crate::board::spec::Spec;
use crate::board::{wake_end, wake_other};
use crate::proto::{
    CONTROL_ACCEPT, CONTROL_ATTACH, CONTROL_DEAD, CONTROL_OPEN, KIND_CONTROL, KIND_DATA, KIND_FIRST,
    KIND_LINK, KIND_MORE, Reason, Total,
};
use crate::varint::Cursor;

/// What is copied in one critical section, in bytes.
pub(super) const CHUNK: usize = 32;

/// What a circuit of the peer is to be told that no channel has: DEAD with a reason, or one of these.
pub(super) mod refusal {
    /// DONE, for the peer has taken back what it has opened.
    pub(crate) const DONE: u8 = 0x40;
    /// DEAD with `TypeDiffers`; the rest is the channel.
    pub(crate) const TYPE: u8 = 0x80;
}

impl Circuits<'_> {
    /// Takes what a packet holds.
    pub(super) fn hear_records(&mut self, mut r: Cursor<'_>) -> Result<(), Ending> {
        while !r.rest.is_empty() {
            let len = r.number() as usize;
            let mut frame = Cursor::new(r.bytes(len));
            if r.is_broken {
                return Err(Ending::BROKEN);
            }
            self.hear(&mut frame)?;
        }
        Ok(())
    }

    /// Takes a frame. One for a circuit that no channel has is about something that was given up, or refused.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn hear(&mut self, r: &mut Cursor<'_>) -> Result<(), Ending> {
        let head = r.number();
        let (handle, kind) = (head >> 3, head & 7);
        let mut code = CREDIT & 0x80 | kind as u8;
        match kind {
            KIND_LINK => return self.hear_link(handle, r),
            KIND_DATA | KIND_FIRST | KIND_MORE => return self.hear_data(handle, kind, r),
            KIND_CONTROL => code = r.byte(),
            _ => {}
        }
        if code == CONTROL_OPEN {
            return self.hear_open(handle, r);
        }
        if code == CONTROL_ATTACH {
            // Its carrier's message arrives without it.
            let end = r.number();
            return self.refuse(end, Reason::Refused.get());
        }
        let mut frame = Heard { place: self.here.place(handle), code, numbers: [0; 3] };
        if matches!(code, CONTROL_ACCEPT | CONTROL_DEAD) {
            frame.numbers = [r.byte().into(), r.number(), r.number()];
        } else {
            frame.numbers[0] = r.number();
        }
        if r.is_broken {
            return Err(Ending::BROKEN);
        }
        let Some(channel) = self.find(handle) else {
            #[cfg(feature = "bridge")]
            self.pass_frame(handle, frame, r)?;
            return Ok(());
        };
        let withdrawn = with(|cs| {
            let channel = channel.borrow(cs);
            match self.common.imports.borrow(cs).get() {
                Some(imports) if channel.is_opening() => (imports.hear)(channel, &frame).map(|()| false),
                _ => channel.hear(&frame),
            }
        })?;
        wake_end(channel);
        wake_other(channel, self.here);
        if withdrawn {
            self.refuse(handle, refusal::DONE)?;
        }
        Ok(())
    }

    /// The channel of a circuit, or one for which the peer has opened it.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn find(&self, handle: u32) -> Option<&'static Shared> {
        let place = self.here.place(handle);
        self.channels.iter().find(|channel| with(|cs| channel.borrow(cs).has_circuit(place)))
    }

    fn hear_data(&mut self, handle: u32, kind: u32, r: &mut Cursor<'_>) -> Result<(), Ending> {
        let first = if kind == KIND_FIRST { r.number() } else { 0 };
        if r.is_broken {
            return Err(Ending::BROKEN);
        }
        let mut rest = r.rest;
        self.link.bytes_in = self.link.bytes_in.wrapping_add(rest.len() as u32);
        let Some(channel) = self.find(handle) else {
            #[cfg(feature = "bridge")]
            self.pass_data(handle, kind, if kind == KIND_FIRST { first } else { rest.len() as u32 }, rest)?;
            return Ok(());
        };
        let len = rest.len() as u32;
        let total = if kind == KIND_FIRST { first } else { len };
        if !with(|cs| channel.borrow(cs).hear_data(cs, kind, total, len))? {
            return Ok(());
        }
        loop {
            let (chunk, after) = rest.split_at_checked(CHUNK).unwrap_or((rest, &[]));
            with(|cs| channel.borrow(cs).hear_bytes(cs, chunk));
            if after.is_empty() {
                wake_end(channel);
                return Ok(());
            }
            rest = after;
        }
    }

    /// The peer opens a circuit.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn hear_open(&mut self, handle: u32, r: &mut Cursor<'_>) -> Result<(), Ending> {
        #[cfg(feature = "bridge")]
        if self.pass_open(handle, r.rest)? {
            return Ok(());
        }
        let flags = r.byte();
        r.number();
        let numbers = [r.number(), r.number(), r.number()];
        let name = r.text();
        let count = r.byte();
        let offered = r.bytes(usize::from(count) * 8);
        if r.is_broken || numbers[0] > Total::MAX_DISTANCE || self.find(handle).is_some() {
            return Err(Ending::BROKEN);
        }
        // One that is longer is not the peer's, and taken back at once.
        let place = self.here.at(handle as u8);
        for (channel, index) in self.channels.iter().zip(0..) {
            let (own, spec) = with(|cs| channel.borrow(cs).exported());
            // Compared with interrupts on, for names may be long.
            let Some(spec) = spec.filter(|_| own.as_bytes() == name) else { continue };
            let which = choose(spec.takes, offered);
            let answer = if flags != spec.peer_flags.get() {
                Reason::WrongDirection.get()
            } else if which == NONE {
                refusal::TYPE | index
            } else if with(|cs| {
                let it = channel.borrow(cs);
                // By now it may be another's.
                let is_still = it.name.get().is_some_and(|name| name.as_ptr() == own.as_ptr())
                    && it.spec.get().is_some_and(|it| ptr::eq(it, spec));
                is_still && it.offer(place, which, numbers)
            }) {
                // Nothing to be told, but that the handle is one of the peer's is seen there.
                0
            } else {
                Reason::Busy.get()
            };
            return self.refuse(handle, answer);
        }
        self.refuse(handle, Reason::NoName.get())
    }

    /// A circuit that the peer has opened is to be told that it is over.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn refuse(&mut self, handle: u32, answer: u8) -> Result<(), Ending> {
        let is_theirs = handle & 1 == u32::from(self.link.parity);
        match self.refusals.get_mut((handle >> 1) as usize) {
            Some(place) if is_theirs => *place = answer,
            _ => return Err(Ending::BROKEN),
        }
        Ok(())
    }
}

/// A frame of a circuit: its code, and up to three numbers.
pub(in crate::board) struct Heard {
    pub(in crate::board) place: u32,
    pub(in crate::board) code: u8,
    pub(in crate::board) numbers: [u32; 3],
}

impl Channel {
    fn has_circuit(&self, place: u32) -> bool {
        let present = self.phase.get() != Phase::Idle && u32::from(self.handle.get()) == place;
        present || u32::from(self.next.get()) == place + 1
    }

    fn is_opening(&self) -> bool {
        matches!(self.phase.get(), Phase::Opening | Phase::Gone)
    }

    /// Under which name it is exported, and what it is, if it is.
    fn exported(&self) -> (&'static str, Option<&'static Spec>) {
        let is_export = !self.has(flag::IMPORT | flag::DROPPED);
        (self.name.get().unwrap_or_default(), self.spec.get().filter(|_| is_export))
    }

    /// The peer has opened a circuit for this, which may wait until the present one is over: whether there is a
    /// place for it.
    fn offer(&self, place: Place, which: u8, [credit, limit, values]: [u32; 3]) -> bool {
        let is_closing = self.phase.get() != Phase::Open
            || self.has(flag::IN_END | flag::THEIRS) && (!self.sends() || self.has(flag::OUT_END));
        if !is_closing || self.next.get() != 0 {
            return false;
        }
        self.next.set(place.wrapping_add(1));
        self.next_which.set(which);
        self.granted.set(credit);
        self.limit.set(limit.min(u16::MAX.into()) as u16);
        self.values.set(values);
        true
    }
}

/// None of those offered is taken.
const NONE: u8 = 0xff;

/// Which of those offered is one that we take, in the upper half, and which of ours that is, in the lower.
fn choose(takes: &[u64], offered: &[u8]) -> u8 {
    for (ours, own) in takes.iter().zip(0..) {
        for (offered, theirs) in offered.chunks_exact(8).zip(0..) {
            if *offered == ours.to_le_bytes() {
                return theirs << 4 | own;
            }
        }
    }
    NONE
}
