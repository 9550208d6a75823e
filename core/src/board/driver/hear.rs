//! What a frame means for the channels.

use critical_section::{CriticalSection, with};

use super::{AGAIN_MS, Circuits};
use crate::board::channel::{Channel, Phase, Shared, flag};
use crate::board::spec::Spec;
use crate::proto::{Dead, Event, Fault, Handle, Instant, Link, Open, OpenFlags, Part, Reason, Slots, Total};

impl Circuits<'_> {
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn hear(&mut self, frame: &[u8], now: Instant) -> Result<(), Fault> {
        let mut slots = Slots { mine: self.mine, theirs: self.theirs };
        let event = self.link.handle(&mut slots, frame)?;
        match event {
            Event::Open(handle, open) => self.on_open(handle, &open),
            Event::Attach(_, handle, ..) => self.kill(handle, Reason::Refused, ""),
            Event::Data(handle, part, bytes) => self.on_data(handle, part, bytes),
            Event::Accepted(handle, which) => self.on_accepted(handle, which),
            Event::Taken(handle, total) => self.with(handle, |channel| channel.confirmed.set(total.get())),
            Event::Asked(handle, total) => self.with(handle, |channel| {
                channel.asked.set(total.get());
                channel.set(flag::ASKED | flag::TAKEN);
            }),
            Event::End(handle) => self.with(handle, |channel| channel.set(flag::IN_END | flag::UNTOLD)),
            Event::Done(handle) => self.with(handle, Channel::done),
            Event::Dead(handle, frame) => self.on_dead(handle, frame.dead, frame.taken, now),
            _ => {}
        }
        Ok(())
    }

    fn with(&self, handle: Handle, f: impl FnOnce(&Channel)) {
        if let Some(channel) = self.find(handle) {
            with(|cs| f(channel.borrow(cs)));
        }
    }

    fn kill(&mut self, handle: Handle, reason: Reason, detail: &'static str) {
        let mut slots = Slots { mine: self.mine, theirs: self.theirs };
        self.link.kill(&mut slots, handle, Dead::here(reason), detail);
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn on_open(&mut self, handle: Handle, open: &Open<'_>) {
        let judged = self.judge(open);
        match judged {
            Ok((channel, which)) => with(|cs| {
                let channel = channel.borrow(cs);
                channel.which.set(which);
                channel.handle.set(handle.get());
                channel.phase.set(Phase::Offered);
            }),
            Err((reason, detail)) => self.kill(handle, reason, detail),
        }
    }

    /// The export that is asked for, and which of the fingerprints offered it takes.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn judge(&self, open: &Open<'_>) -> Result<(&'static Shared, u8), (Reason, &'static str)> {
        for channel in self.channels {
            let (name, spec, is_import, is_idle) = with(|cs| {
                let channel = channel.borrow(cs);
                let (is_import, is_idle) = (channel.is_import(), channel.phase.get() == Phase::Idle);
                (channel.name.get(), channel.spec.get(), is_import, is_idle)
            });
            let (Some(name), Some(spec)) = (name, spec) else { continue };
            if is_import || name != open.name {
                continue;
            }
            if open.flags != spec.flags.flipped() {
                return Err((Reason::WrongDirection, ""));
            }
            let Some(which) = choose(spec, open.fingerprints.as_slice()) else {
                return Err((Reason::TypeDiffers, spec.type_name));
            };
            return if is_idle { Ok((channel, which)) } else { Err((Reason::Busy, "")) };
        }
        Err((Reason::NoName, ""))
    }

    fn on_accepted(&mut self, handle: Handle, which: u8) {
        self.with(handle, |channel| {
            channel.which.set(which);
            channel.phase.set(Phase::Open);
        });
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn on_data(&mut self, handle: Handle, part: Part, bytes: &[u8]) {
        let Some(channel) = self.find(handle) else { return };
        let freed = with(|cs| {
            let channel = channel.borrow(cs);
            match part {
                Part::Whole => channel.inbox.begin(cs, bytes.len() as u16),
                Part::First(len) => channel.inbox.begin(cs, len as u16),
                Part::More => {}
            }
            if !channel.inbox.append(cs, bytes) || !channel.is_kind(OpenFlags::LATEST) {
                return 0;
            }
            channel.renew(cs)
        });
        if freed > 0 {
            let mut slots = Slots { mine: self.mine, theirs: self.theirs };
            self.link.consumed(&mut slots, handle, freed);
        }
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn on_dead(&mut self, handle: Handle, dead: Dead, taken: Total, now: Instant) {
        let Some(channel) = self.find(handle) else { return };
        let was_open = with(|cs| {
            let channel = channel.borrow(cs);
            let was_open = channel.phase.get() == Phase::Open;
            if was_open {
                channel.confirmed.set(taken.get());
                channel.die(dead);
            } else {
                channel.refuse(dead);
            }
            was_open
        });
        if was_open {
            // What is whole waits here for the program, and not for the link any more.
            let mut slots = Slots { mine: self.mine, theirs: self.theirs };
            self.link.drained(&mut slots, handle);
        } else {
            self.open_at = now.plus_millis(AGAIN_MS);
        }
    }
}

/// Which of those offered is ours, in the upper half, and which of ours that is, in the lower.
fn choose(spec: &Spec, offered: &[u64]) -> Option<u8> {
    let ours = core::iter::once(&spec.theirs).chain(spec.older);
    ours.zip(0..).find_map(|(ours, own)| {
        let theirs = offered.iter().position(|offered| offered == ours)?;
        Some((theirs as u8) << 4 | own)
    })
}

impl Channel {
    /// A newer value has come: the older one is dropped, and the room of the new one is free. How
    /// many bytes of credit that is.
    fn renew(&self, cs: CriticalSection<'_>) -> u32 {
        if self.inbox.ready() > 1
            && let Some(older) = self.inbox.first(cs)
        {
            self.inbox.pop(older);
            self.taken.set(self.taken.get().wrapping_add(1));
            self.set(flag::TAKEN);
        }
        self.inbox.first(cs).map_or(0, |len| Link::charge(len as u32))
    }

    /// The peer has refused what we have opened, or has taken back what it has offered.
    fn refuse(&self, dead: Dead) {
        self.phase.set(Phase::Idle);
        // What may be otherwise in a moment is asked for again.
        let again = matches!(dead.reason, Reason::NoName | Reason::NoResources | Reason::Busy);
        if self.is_import() && !again {
            self.give_up(dead);
            self.set(flag::REFUSED);
        }
        self.free_if_dropped();
    }

    /// In the next session it may be otherwise.
    pub(super) fn forget_refusal(&self) {
        self.clear(flag::REFUSED);
    }
}
