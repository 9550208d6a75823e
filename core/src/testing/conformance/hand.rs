//! A peer by hand: it says whatever a check wants, and keeps what it hears.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::desk::{PATIENCE, Result, differs};
use super::limit::Limit;
use super::{Failure, Flow, Specimen, Way};
use crate::proto::framing::{self, Step};
use crate::proto::{
    Accept, Dead, DeadFrame, Frame, Handle, Hello, Instant, LinkKind, Open, PROTOCOL_VERSION, Part, Reason,
    Total, crc32c, crc32c_append, varint,
};
use crate::testing::LineEnd;

/// Nothing is to be heard of it for a long time, so no check has to send signs of life.
const HEAR_MS: u32 = 60_000;
/// Longest frame that a hand says, in bytes.
const FRAME_MAX: usize = 1024;

/// How a link has ended, as its peer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The specimen has said goodbye.
    Goodbye(Reason),
    /// The stream has ended.
    Closed,
    /// The specimen has begun another bring-up on the line.
    Again,
}

/// A peer by hand.
pub(super) struct Hand<'d> {
    way: &'d mut dyn Way,
    specimen: &'d Specimen,
    limit: &'d mut Limit,
    line: Option<LineEnd>,
    input: Vec<u8>,
    output: Vec<u8>,
    crc: Option<u32>,
    heard: VecDeque<Vec<u8>>,
    /// Bytes that have come.
    bytes: u64,
    nonce: u64,
    boot: u64,
    /// What its hello says of how often it will be heard, in milliseconds.
    pub(super) hear_ms: u32,
    /// Of the specimen: its nonce, and how many circuits it takes.
    theirs: u64,
    circuits: u32,
    promise_ms: u32,
    takes_bodies: bool,
    is_up: bool,
    ending: Option<Ending>,
}

impl<'d> Hand<'d> {
    pub(super) fn new(
        way: &'d mut dyn Way,
        specimen: &'d Specimen,
        limit: &'d mut Limit,
        number: u64,
        boot: u64,
    ) -> Self {
        let now = way.now();
        Self {
            way,
            specimen,
            limit,
            line: specimen.line().map(|line| LineEnd::new(line, now)),
            input: Vec::new(),
            output: Vec::new(),
            crc: None,
            heard: VecDeque::new(),
            bytes: 0,
            nonce: u64::MAX - number,
            boot,
            hear_ms: HEAR_MS,
            theirs: 0,
            circuits: 0,
            promise_ms: 0,
            takes_bodies: false,
            is_up: false,
            ending: None,
        }
    }

    /// A hello that is in order.
    pub(super) fn hello(&self) -> Hello<'static> {
        let line = self.specimen.line();
        Hello {
            oldest: PROTOCOL_VERSION,
            newest: PROTOCOL_VERSION,
            crc: false,
            kind: LinkKind::Peer,
            adopts: false,
            bodies: true,
            window: line.map_or(0, |line| line.window),
            packet: line.map_or(17 * 1024, |line| u32::from(line.packet)),
            circuits: 64,
            dead_ms: self.hear_ms * 4,
            hear_ms: self.hear_ms,
            nonce: self.nonce,
            echo: self.theirs,
            boot: self.boot,
            uid: 3,
            name: "hand",
        }
    }

    /// Says hello, and waits until the link is up.
    pub(super) fn bring_up(&mut self) -> Result {
        let first = self.hello();
        self.say(&Frame::Hello(first));
        let until = self.way.now() + PATIENCE;
        let mut echoed = 0;
        while !(self.is_up && echoed == self.theirs) {
            let hello = |frame: &Frame<'_>| match frame {
                Frame::Hello(it) => Some((it.nonce, it.echo, it.crc, (it.circuits, it.hear_ms, it.bodies))),
                _ => None,
            };
            let (nonce, echo, crc, says) = self.next("its hello", hello)?;
            (self.circuits, self.promise_ms, self.takes_bodies) = says;
            self.theirs = nonce;
            self.is_up = echo == self.nonce;
            if echoed != nonce {
                echoed = nonce;
                let hello = self.hello();
                self.say(&Frame::Hello(hello));
            }
            // A hello has a checksum of its own, and what follows one of the session.
            if crc && self.line.is_none() {
                self.flush()?;
                self.crc = Some(session(self.nonce, self.theirs));
            }
            if self.way.now() > until {
                return Err(Failure::Vain { what: "the bring-up".into(), instead: "hellos".into() });
            }
        }
        Ok(())
    }

    /// Says hello as one who begins anew on a link that is up: a program that has started again, or one that has reset its link.
    pub(super) fn begin_again(&mut self, restarts: bool) {
        self.nonce -= 1;
        self.boot += u64::from(restarts);
        if let (Some(end), Some(line)) = (&mut self.line, self.specimen.line()) {
            *end = LineEnd::new(line, self.way.now());
        }
        let hello = Hello { echo: 0, ..self.hello() };
        self.say(&Frame::Hello(hello));
    }

    /// The handle of this side's `n`th circuit: it has the higher nonce.
    pub(super) fn mine(&self, n: u32) -> Handle {
        Handle::new(2 * n + u32::from(self.nonce > self.theirs))
    }

    /// The same of the specimen's circuits.
    pub(super) fn of_specimen(&self, n: u32) -> Handle {
        Handle::new(2 * n + u32::from(self.nonce < self.theirs))
    }

    /// Circuits that the specimen lets this side open.
    pub(super) const fn circuits(&self) -> u32 {
        self.circuits
    }

    /// How often it is to be heard, in milliseconds.
    pub(super) const fn promise_ms(&self) -> u32 {
        self.promise_ms
    }

    /// What there is for the whole check.
    pub(super) const fn bound(&self) -> Duration {
        self.limit.bound()
    }

    /// Whether it takes opens that carry their message.
    pub(super) const fn takes_bodies(&self) -> bool {
        self.takes_bodies
    }

    /// How the link has ended, if it is known by now.
    pub(super) const fn has_ended(&self) -> Option<Ending> {
        self.ending
    }

    /// Says a frame.
    pub(super) fn say(&mut self, frame: &Frame<'_>) {
        let mut bytes = [0; FRAME_MAX];
        // No check says a longer one.
        let len = frame.write(&mut bytes).unwrap_or_default();
        self.say_bytes(&bytes[..len]);
    }

    /// Says any bytes in a frame's place.
    pub(super) fn say_bytes(&mut self, frame: &[u8]) {
        let len = frame.len() + if self.crc.is_some() { framing::CRC_LEN } else { 0 };
        let mut prefix = [0; varint::MAX_LEN];
        let n = varint::put(&mut prefix, 0, len as u32);
        self.output.extend_from_slice(&prefix[..n]);
        self.output.extend_from_slice(frame);
        if let Some(seed) = self.crc {
            self.output.extend_from_slice(&crc32c(seed, frame).to_le_bytes());
        }
    }

    /// Puts bytes on the wire that are in no packet.
    pub(super) fn noise(&mut self, bytes: &[u8]) -> Result {
        self.flush()?;
        self.exchange(bytes)
    }

    /// Says a whole message.
    pub(super) fn data(&mut self, handle: Handle, bytes: &[u8]) {
        self.say(&Frame::Data(handle, Part::Whole, bytes));
    }

    /// Opens a circuit, and waits until it is accepted.
    pub(super) fn open(&mut self, n: u32, open: &Open<'_>) -> Result<Accept> {
        let handle = self.mine(n);
        self.say(&Frame::Open(handle, *open));
        self.next(&format!("{} to be accepted", open.name), |frame| match frame {
            Frame::Accept(of, accept) if *of == handle => Some(Ok(*accept)),
            Frame::Dead(of, dead) if *of == handle => Some(Err(differs(open.name, "an accept", dead))),
            _ => None,
        })?
    }

    /// Gives a circuit up, and waits for the answer.
    pub(super) fn hang_up(&mut self, n: u32) -> Result {
        let handle = self.mine(n);
        let dead = DeadFrame { dead: Dead::here(Reason::HungUp), taken: Total::ZERO, detail: "" };
        self.say(&Frame::Dead(handle, dead));
        self.next("the answer to a DEAD", |frame| match frame {
            Frame::Done(of, _) | Frame::Dead(of, _) if *of == handle => Some(()),
            _ => None,
        })
    }

    /// Moves bytes.
    pub(super) fn step(&mut self) -> Result {
        let out = self.written();
        self.exchange(&out)
    }

    /// Hears what comes and says nothing, not even on the line below.
    pub(super) fn listen(&mut self) -> Result {
        self.exchange(&[])
    }

    /// Writes all that was said.
    pub(super) fn flush(&mut self) -> Result {
        let until = self.way.now() + PATIENCE;
        loop {
            self.step()?;
            let is_idle = self.line.as_ref().is_none_or(|end| end.line.is_idle());
            if self.output.is_empty() && is_idle || self.ending.is_some() {
                return Ok(());
            }
            if self.way.now() > until {
                let what = "it to take what was said".to_string();
                return Err(Failure::Vain { what, instead: "no acknowledgement".into() });
            }
        }
    }

    fn written(&mut self) -> Vec<u8> {
        let now = self.way.now();
        let Some(end) = &mut self.line else { return core::mem::take(&mut self.output) };
        // That nothing is acknowledged is noticed by whoever waits.
        let _ = end.tick(now);
        let mut at = 0;
        while let Ok(Step::Frame(frame, used)) = framing::next(&self.output[at..], u32::MAX, None) {
            if !end.put(&self.output[at..at + used], frame[0] == 0 && frame.len() > 1) {
                break;
            }
            at += used;
        }
        self.output.drain(..at);
        end.drain(FRAME_MAX)
    }

    fn exchange(&mut self, out: &[u8]) -> Result {
        let mut came = Vec::new();
        self.limit.check(self.way.now())?;
        let flow = self.way.step(out, &mut came)?;
        self.bytes += came.len() as u64;
        let now = self.way.now();
        if let Some(end) = &mut self.line {
            end.set_time(now);
            let mut input = &came[..];
            while let Some(frame) = end.next(&mut input).transpose() {
                let frame = frame.map_err(|fault| Failure::Ended { during: "a record".into(), fault })?;
                self.heard.push_back(frame.to_vec());
            }
        } else {
            self.input.extend_from_slice(&came);
            let mut at = 0;
            loop {
                let next = framing::next(&self.input[at..], 1 << 20, self.crc);
                match next.map_err(|fault| Failure::Ended { during: "a packet".into(), fault })? {
                    Step::Need(_) => break,
                    Step::Frame(frame, used) => {
                        self.heard.push_back(frame.to_vec());
                        at += used;
                    }
                }
            }
            self.input.drain(..at);
        }
        if flow == Flow::Ended && self.ending.is_none() && self.heard.is_empty() {
            self.ending = Some(Ending::Closed);
        }
        Ok(())
    }

    /// The next frame that is of interest, of those that come; those before it are dropped.
    pub(super) fn next<R>(&mut self, what: &str, mut f: impl FnMut(&Frame<'_>) -> Option<R>) -> Result<R> {
        let until = self.way.now() + PATIENCE;
        self.limit.waits_for(what);
        loop {
            if let Some(found) = self.heard(&mut f)? {
                return Ok(found);
            }
            if let Some(ending) = self.ending {
                return Err(Failure::Over { during: what.to_string(), how: format!("{ending:?}") });
            }
            if self.way.now() > until {
                return Err(Failure::Vain { what: what.to_string(), instead: "nothing of the kind".into() });
            }
            self.step()?;
        }
    }

    /// Looks through what was heard.
    fn heard<R>(&mut self, f: &mut impl FnMut(&Frame<'_>) -> Option<R>) -> Result<Option<R>> {
        while let Some(bytes) = self.heard.pop_front() {
            let frame = Frame::parse(&bytes)
                .map_err(|error| Failure::Ended { during: "a frame".into(), fault: error.into() })?;
            let ending = match &frame {
                Frame::Goodbye(reason) => Some(Ending::Goodbye(*reason)),
                // One that has crossed ours is of this bring-up still.
                Frame::Hello(hello) if self.is_up && hello.nonce != self.theirs => Some(Ending::Again),
                _ => None,
            };
            self.ending = self.ending.or(ending);
            if let Some(found) = f(&frame) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Waits for the end of the link, which goes on for no longer than this.
    pub(super) fn ending(&mut self, what: &str, within: Duration) -> Result<Ending> {
        self.ending_of(what, within, Self::step)
    }

    /// As [`Hand::ending`], and says nothing meanwhile.
    pub(super) fn ending_in_silence(&mut self, what: &str, within: Duration) -> Result<Ending> {
        self.ending_of(what, within, Self::listen)
    }

    fn ending_of(&mut self, what: &str, within: Duration, step: fn(&mut Self) -> Result) -> Result<Ending> {
        let until = self.way.now() + within;
        self.limit.waits_for(what);
        let before = self.bytes;
        loop {
            self.heard(&mut |_| None::<()>)?;
            if let Some(ending) = self.ending {
                return Ok(ending);
            }
            if self.way.now() > until {
                let instead = format!("a link that goes on, with {} bytes", self.bytes - before);
                return Err(Failure::Vain { what: what.to_string(), instead });
            }
            step(self)?;
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.way.now()
    }

    /// Lets time pass in which the link is not to end; what comes is kept.
    pub(super) fn pass(&mut self, time: Duration) -> Result {
        let until = self.way.now() + time;
        while self.way.now() < until {
            self.step()?;
            let is_over = |bytes: &Vec<u8>| match Frame::parse(bytes) {
                Ok(Frame::Hello(hello)) => hello.nonce != self.theirs,
                Ok(Frame::Goodbye(_)) | Err(_) => true,
                Ok(_) => false,
            };
            if self.ending.is_some() || self.heard.iter().any(is_over) {
                return Err(Failure::Over {
                    during: format!("{time:?} to pass"),
                    how: "it has ended it".into(),
                });
            }
        }
        Ok(())
    }

    /// What has come and was not looked at.
    pub(super) fn kept(&mut self) -> vec::IntoIter<Vec<u8>> {
        core::mem::take(&mut self.heard).into_iter().collect::<Vec<_>>().into_iter()
    }
}

/// The number of a session: what its checksums begin with.
fn session(one: u64, other: u64) -> u32 {
    let higher = crc32c_append(!0, &one.max(other).to_le_bytes());
    !crc32c_append(higher, &one.min(other).to_le_bytes())
}
