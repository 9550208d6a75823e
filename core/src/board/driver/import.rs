//! Circuits that this side opens. A program without imports links nothing of it.

use core::ptr;

use super::{Circuits, Heard};
use crate::board::channel::{Channel, Phase, Shared, flag};
use crate::board::ending::Ending;
use crate::board::error::{RecvError, SendCause};
use crate::board::lines::Place;
use crate::board::section::with;
use crate::board::short::Short;
use crate::proto::{CONTROL_ACCEPT, CONTROL_DEAD, CONTROL_DONE, CONTROL_OPEN, Dead, Reason, Total, put};

/// How long the peer waits for an export that an import of ours names, in milliseconds.
const WAIT_MS: u32 = 30_000;
/// What the peer has refused is asked for again after this time, in milliseconds.
const AGAIN_MS: u32 = 1000;

/// What a node with imports can do besides.
#[derive(Debug)]
pub(in crate::board) struct Imports {
    pub(super) tell: fn(&mut Circuits<'_>, &'static Shared, &mut Short),
    pub(super) hear: fn(&Channel, &Heard) -> Result<(), Ending>,
    pub(in crate::board) ended_in: fn(&Channel) -> RecvError,
    pub(in crate::board) ended_out: fn(&Channel) -> SendCause,
}

impl Imports {
    pub(in crate::board) const ALL: Self = Self {
        tell: |circuits, channel, short| circuits.open(channel, short),
        hear: Channel::hear_opening,
        ended_in: Channel::import_ended_in,
        ended_out: Channel::import_ended_out,
    };
}

impl Circuits<'_> {
    /// Opens the circuit of an import, if it is to be.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn open(&mut self, channel: &'static Shared, head: &mut Short) {
        let (is_wanted, refused, name, spec, window, index) = with(|cs| {
            let it = channel.borrow(cs);
            let is_here = it.is_at(self.here);
            let wish = (is_here && it.is_wanted(), is_here && it.has(flag::AGAIN));
            (
                wish.0,
                wish.1,
                it.name.get().unwrap_or_default(),
                it.spec.get(),
                it.window(),
                it.next_which.get(),
            )
        });
        if refused {
            self.open_at = self.arq.now.plus_millis(AGAIN_MS);
            with(|cs| channel.borrow(cs).clear(flag::AGAIN));
        }
        let Some(spec) = spec.filter(|_| is_wanted && self.open_at.is_over(self.arq.now)) else { return };
        #[cfg(not(feature = "bridge"))]
        let handle = (index < self.link.circuits).then(|| index << 1 | (1 - self.link.parity));
        // Circuits that pass through have handles of ours as well.
        #[cfg(feature = "bridge")]
        let handle = if self.transit.is_some() {
            self.free_handle()
        } else {
            (index < self.link.circuits).then(|| index << 1 | (1 - self.link.parity))
        };
        let Some(handle) = handle else { return };
        head.circuit(handle, CONTROL_OPEN);
        for number in [spec.flags.get().into(), WAIT_MS, window, spec.longest_in.into(), 0, name.len() as u32]
        {
            head.number(number);
        }
        let count = spec.offers.len();
        let fixed = name.len() + 1 + count * 8 + 1;
        let room = usize::from(self.link.packet).saturating_sub(head.bytes().len() + fixed + 2);
        let type_name = spec.type_name.as_bytes();
        let type_name = type_name.get(..type_name.len().min(room)).unwrap_or_default();
        let more = fixed + type_name.len();
        let place = self.here.at(handle);
        // Its end may have been dropped meanwhile, and its place in the table be another's. What is dropped from now on is told
        // behind the open.
        let is_still = self.has_room(head, more)
            && with(|cs| {
                let it = channel.borrow(cs);
                let is_it = it.name.get().is_some_and(|it| ptr::eq(it, name))
                    && it.spec.get().is_some_and(|it| ptr::eq(it, spec));
                let is_still = is_it && it.is_wanted();
                if is_still {
                    it.opened(place, window);
                }
                is_still
            });
        if !is_still {
            return;
        }
        if let Some(mut room) = self.record(head, more) {
            put(&mut room, name.as_bytes());
            put(&mut room, &[count as u8]);
            for fingerprint in spec.offers {
                put(&mut room, &fingerprint.to_le_bytes());
            }
            put(&mut room, &[type_name.len() as u8]);
            put(&mut room, type_name);
        }
    }
}

impl Channel {
    /// Whether it is an import whose circuit is to be opened.
    fn is_wanted(&self) -> bool {
        let not = flag::OVER | flag::REFUSED | flag::DROPPED | flag::ENDING;
        let is_closed = self.phase.get() == Phase::Idle && self.name.get().is_some();
        // One that the peer has given up is over as soon as the program hears of it.
        let is_over = self.has(flag::UNTOLD_OUT) && !self.has(flag::LOST);
        is_closed && self.has(flag::IMPORT) && !self.has(not) && !is_over && self.is_told()
    }

    /// We have opened its circuit.
    fn opened(&self, place: Place, window: u32) {
        self.begin(place);
        self.promised.set(window);
        self.values.set(0);
        self.phase.set(Phase::Opening);
    }

    /// Takes a frame of a circuit that we have opened, or given up.
    fn hear_opening(&self, frame: &Heard) -> Result<(), Ending> {
        let [a, b, c] = frame.numbers;
        match (self.phase.get(), frame.code) {
            (Phase::Opening, CONTROL_ACCEPT) if b <= Total::MAX_DISTANCE => {
                self.which.set(a as u8);
                self.granted.set(b);
                self.limit.set(c.min(u16::MAX.into()) as u16);
                self.phase.set(Phase::Open);
            }
            (Phase::Opening, CONTROL_DEAD) => self.refuse(Ending::peer(Reason::new(a as u8))),
            (Phase::Gone, CONTROL_DEAD | CONTROL_DONE) => self.idle(),
            (Phase::Gone, _) => {}
            _ => return Err(Ending::BROKEN),
        }
        Ok(())
    }

    /// The peer has refused what we have opened.
    fn refuse(&self, end: Ending) {
        self.phase.set(Phase::Answer);
        // What may be otherwise in a moment is asked for again.
        if matches!(end.reason(), Reason::NoName | Reason::NoResources | Reason::Busy) {
            self.set(flag::AGAIN);
        } else {
            self.give_up(end);
            self.set(flag::REFUSED);
        }
    }

    /// Why there is no message: told once, if it is how a session ended.
    fn import_ended_in(&self) -> RecvError {
        if !self.is_ended_in() {
            return if self.has(flag::OVER | flag::REFUSED) { self.over() } else { RecvError::Empty };
        }
        let in_order = self.end_in();
        if !in_order && self.has(flag::LOST) {
            return RecvError::Interrupted { dead: self.dead(), taken: self.taken.get() };
        }
        // After an orderly end it goes on in the next session: where that has come before this was told, at once.
        let over = if !in_order {
            flag::OVER
        } else if self.has(flag::LOST) && self.phase.get() == Phase::Idle {
            0
        } else {
            flag::REFUSED
        };
        self.set(over);
        self.over()
    }

    /// Why nothing can be sent: told once, if it was a session that ended.
    fn import_ended_out(&self) -> SendCause {
        if self.has(flag::UNTOLD_OUT) {
            let (dead, account) = self.left();
            if self.has(flag::LOST) {
                return SendCause::Interrupted { dead, account };
            }
            self.set(flag::OVER);
        }
        let is_over = self.has(flag::OVER | flag::REFUSED);
        match self.over() {
            _ if !is_over => SendCause::NoImporter,
            RecvError::Dead(dead) => SendCause::Dead(dead),
            _ => SendCause::Dead(Dead::peer(Reason::Closed)),
        }
    }

    fn over(&self) -> RecvError {
        if self.reason.get() == 0 { RecvError::Closed } else { RecvError::Dead(self.dead()) }
    }
}
