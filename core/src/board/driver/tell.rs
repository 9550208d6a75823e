//! What the channels want of the link: opens, answers, values, ends.

use critical_section::with;

use super::{Circuits, Opener};
use crate::board::channel::{Channel, Phase, Shared, flag};
use crate::board::spec::Spec;
use crate::proto::{Fingerprints, Handle, Instant, Link, LinkState, Open, OpenFlags, Sink, Slots, Total};

/// How long the peer waits for an export that an import of ours names, in milliseconds.
const WAIT_MS: u32 = 30_000;
/// What is copied in one critical section, in bytes.
const CHUNK: usize = 32;

/// What a look at a channel has found.
struct Look {
    phase: Phase,
    flags: u16,
    handle: Handle,
    opener: Option<Opener>,
    taken: Total,
    freed: u32,
    is_asked: bool,
}

impl Look {
    fn has(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }
}

impl Circuits<'_> {
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn tell(&mut self, sink: &mut dyn Sink, now: Instant) {
        // Answers before values: an `ACCEPT` comes first of all.
        self.control(sink);
        if self.link.state() != LinkState::Up {
            return;
        }
        for channel in self.channels {
            self.tell_channel(channel, sink, now);
        }
        self.fragments(sink);
        self.control(sink);
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn tell_channel(&mut self, channel: &'static Shared, sink: &mut dyn Sink, now: Instant) {
        let look = with(|cs| channel.borrow(cs).look());
        let handle = look.handle;
        let mut slots = Slots { mine: self.mine, theirs: self.theirs };
        if look.has(flag::KILL) && look.phase != Phase::Idle {
            let dead = with(|cs| channel.borrow(cs).killed());
            return self.link.kill(&mut slots, handle, dead, "");
        }
        match look.phase {
            Phase::Idle => {
                if let Some(open) = look.opener
                    && self.open_at <= now
                {
                    open(self, channel, sink);
                }
            }
            Phase::Offered => {
                if let Some((which, window, limit)) = with(|cs| channel.borrow(cs).accept()) {
                    self.link.accept(&mut slots, handle, which, window, limit);
                }
            }
            Phase::Opening => {}
            Phase::Open => {
                if look.has(flag::TAKEN) {
                    self.link.taken(&mut slots, handle, look.taken, look.is_asked);
                    self.link.consumed(&mut slots, handle, look.freed);
                }
                if look.has(flag::DRAINED) {
                    self.link.drained(&mut slots, handle);
                }
                while self.send(channel, handle, sink) {}
                if with(|cs| channel.borrow(cs).is_at_end()) {
                    let mut slots = Slots { mine: self.mine, theirs: self.theirs };
                    self.link.end(&mut slots, handle);
                }
            }
        }
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(in crate::board) fn open(&mut self, channel: &'static Shared, sink: &mut dyn Sink) {
        let Some((name, spec, window)) = with(|cs| channel.borrow(cs).wanted()) else { return };
        let open = Open {
            flags: spec.flags,
            wait_ms: WAIT_MS,
            credit: window,
            limit: u32::from(spec.longest_in),
            values: 0,
            name,
            fingerprints: Fingerprints::new(spec.fingerprint, spec.older),
            type_name: spec.type_name,
        };
        let mut slots = Slots { mine: self.mine, theirs: self.theirs };
        if let Ok(handle) = self.link.open(&mut slots, &open, sink) {
            with(|cs| channel.borrow(cs).begin(Phase::Opening, handle.get()));
        }
    }

    /// Begins the next message of a channel: whether there may be another.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn send(&mut self, channel: &'static Shared, handle: Handle, sink: &mut dyn Sink) -> bool {
        let Some(len) = with(|cs| {
            let channel = channel.borrow(cs);
            if channel.has(flag::STALE | flag::SENDING) { None } else { channel.outbox.first(cs) }
        }) else {
            return false;
        };
        let head = self.link.head(handle, len);
        let record = head.as_slice().len() + len;
        // Room first: what is begun must be written.
        if sink.room() < record.min(self.link.packet()) {
            return false;
        }
        let mut slots = Slots { mine: self.mine, theirs: self.theirs };
        let Ok(straight) = self.link.begin(&mut slots, handle, len) else { return false };
        with(|cs| channel.borrow(cs).begun());
        if straight {
            sink.begin(record);
            sink.put(head.as_slice());
            copy(channel, 0, len, sink);
            with(|cs| channel.borrow(cs).sent(cs));
        }
        straight
    }

    /// Writes parts of the messages that are longer than a packet.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn fragments(&mut self, sink: &mut dyn Sink) {
        // Each wants a packet of its own.
        while sink.room() >= self.link.packet() {
            let mut slots = Slots { mine: self.mine, theirs: self.theirs };
            let Some(part) = self.link.fragment(&mut slots) else { return };
            let head = part.head.as_slice();
            sink.begin(head.len() + part.len);
            sink.put(head);
            if let Some(channel) = self.find(part.handle) {
                copy(channel, part.offset, part.len, sink);
                if part.last {
                    with(|cs| channel.borrow(cs).sent(cs));
                }
            }
        }
    }
}

/// Copies from the first message of the outbox.
fn copy(channel: &'static Shared, mut offset: usize, len: usize, sink: &mut dyn Sink) {
    let end = offset + len;
    while offset < end {
        let mut chunk = [0; CHUNK];
        let n = CHUNK.min(end - offset);
        let chunk = chunk.get_mut(..n).unwrap_or_default();
        with(|cs| channel.borrow(cs).outbox.read(cs, offset, chunk));
        sink.put(chunk);
        offset += n;
    }
}

impl Channel {
    /// Everything that the driver needs to know, and what it has to do once.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn look(&self) -> Look {
        let (flags, taken) = (self.flags.get(), Total::new(self.taken.get()));
        let is_asked = self.has(flag::ASKED) && taken.at_least(Total::new(self.asked.get()));
        self.clear(flag::TAKEN | flag::DRAINED);
        if is_asked {
            self.clear(flag::ASKED);
        }
        let look = Look {
            phase: self.phase.get(),
            flags,
            handle: Handle::new(self.handle.get()),
            opener: self.opener.get(),
            taken,
            freed: self.freed.take(),
            is_asked,
        };
        if look.has(flag::DRAINED) && (look.has(flag::DONE) || !self.is_kind(OpenFlags::SENDS)) {
            self.end();
        }
        look
    }

    /// What is opened for an import, if it is to be.
    fn wanted(&self) -> Option<(&'static str, &'static Spec, u32)> {
        let not = flag::OVER | flag::REFUSED | flag::DROPPED | flag::ENDING;
        if self.has(not) || !self.is_told() {
            return None;
        }
        Some((self.name.get()?, self.spec.get()?, self.window()))
    }

    /// Accepts what was offered, as soon as the program knows of the end of the one before.
    fn accept(&self) -> Option<(u8, u32, u32)> {
        if !self.is_told() {
            return None;
        }
        let spec = self.spec.get()?;
        self.begin(Phase::Open, self.handle.get());
        Some((self.which.get() >> 4, self.window(), u32::from(spec.longest_in)))
    }

    /// Bytes promised from the beginning.
    fn window(&self) -> u32 {
        match self.spec.get() {
            Some(spec) if self.is_kind(OpenFlags::LATEST) && spec.longest_in > 0 => {
                Link::charge(u32::from(spec.longest_in))
            }
            _ => self.inbox.capacity() as u32,
        }
    }

    /// The first message has taken its credit.
    fn begun(&self) {
        self.begun.set(self.begun.get().wrapping_add(1));
        self.set(flag::SENDING);
    }

    /// And it is written.
    fn sent(&self, cs: critical_section::CriticalSection<'_>) {
        self.clear(flag::SENDING);
        if self.is_kind(OpenFlags::LATEST) && self.outbox.ready() == 1 {
            // Kept for who imports later.
            self.set(flag::STALE);
        } else if let Some(len) = self.outbox.first(cs) {
            self.outbox.pop(len);
        }
    }

    /// Whether our END is due now.
    fn is_at_end(&self) -> bool {
        if self.phase.get() != Phase::Open || !self.is_kind(OpenFlags::SENDS) || self.has(flag::ENDED) {
            return false;
        }
        let is_call = self.is_kind(OpenFlags::CALLS);
        let is_export = !self.is_import();
        if is_call && is_export && self.has(flag::IN_END) && self.has(flag::UNTOLD) {
            // A server is not told of the end of a caller.
            if self.inbox.ready() > 0 || self.is_handling() {
                return false;
            }
            self.clear(flag::UNTOLD);
            self.set(flag::DRAINED);
        }
        let partner_left = self.has(flag::IN_END) && !self.has(flag::UNTOLD) && (is_export || is_call);
        let is_empty = self.outbox.ready() == 0 || self.has(flag::STALE);
        let is_due = (self.has(flag::ENDING) || partner_left) && is_empty && !self.has(flag::SENDING);
        if is_due {
            self.set(flag::ENDED);
        }
        is_due
    }

    /// The driver has given the circuit up, as the program wants it.
    fn killed(&self) -> crate::proto::Dead {
        self.clear(flag::KILL | flag::SENDING | flag::STALE | flag::UNTOLD | flag::UNTOLD_OUT);
        self.inbox.clear();
        if !self.is_kind(OpenFlags::LATEST) {
            self.outbox.clear();
        }
        self.phase.set(Phase::Idle);
        self.free_if_dropped();
        self.dead()
    }
}
