//! A link with what its driver keeps: slots, and bytes on their way in and out.

use alloc::vec;
use alloc::vec::Vec;

use super::LineEnd;
use crate::proto::{
    Event, Fault, Fragment, Frame, Identity, Instant, LineConfig, Link, LinkConfig, LinkState, Name, Sink,
    Slot, Slots, crc32c_append, framing,
};

/// A test node's identity.
///
/// # Panics
///
/// When `name` is no node's name.
pub fn identity(name: &str, number: u64) -> Identity {
    Identity { name: Name::new(name).expect("a node's name"), uid: number, boot: number << 8 }
}

/// A link and its driver's state.
#[derive(Debug, Clone, Hash)]
pub struct Port {
    /// The link itself.
    pub link: Link,
    /// Circuits that we opened.
    pub mine: Vec<Slot>,
    /// Circuits that the peer opened.
    pub theirs: Vec<Slot>,
    /// Bytes to be written: records, on their way into the line's packets where there is one.
    pub output: Vec<u8>,
    /// The line, where the link is on a lossy one.
    pub line: Option<LineEnd>,
    /// Why it is down.
    pub fault: Option<Fault>,
    /// Frames taken in.
    pub frames_in: u32,
    input: Vec<u8>,
}

impl Port {
    /// Before the bring-up.
    pub fn new(config: LinkConfig, nonce: u64, now: Instant) -> Self {
        let n = config.circuits as usize;
        Self {
            link: Link::new(config, nonce, now),
            mine: vec![Slot::new(); n],
            theirs: vec![Slot::new(); n],
            output: Vec::new(),
            line: None,
            fault: None,
            frames_in: 0,
            input: Vec::new(),
        }
    }

    /// Before the bring-up, on a lossy line.
    pub fn on_line(config: LinkConfig, line: LineConfig, nonce: u64, now: Instant) -> Self {
        Self { line: Some(LineEnd::new(line, now)), ..Self::new(config, nonce, now) }
    }

    /// The same line, with a new link.
    #[must_use]
    pub fn again(&self, config: LinkConfig, nonce: u64, now: Instant) -> Self {
        let line = self.line.clone().map(|mut line| {
            line.restart(now);
            line
        });
        Self { line, ..Self::new(config, nonce, now) }
    }

    /// The link, its slots, and its output.
    pub fn parts(&mut self) -> (&mut Link, Slots<'_>, &mut Vec<u8>) {
        (&mut self.link, Slots { mine: &mut self.mine, theirs: &mut self.theirs }, &mut self.output)
    }

    /// Takes bytes off the wire and gives every event to `on`, while the link lives.
    pub fn receive(&mut self, bytes: &[u8], mut on: impl FnMut(&mut Self, Event<'_>)) {
        if let Some(mut line) = self.line.take() {
            let mut input = bytes;
            // Bytes that follow a fault are taken still: the line acknowledges the goodbye.
            while let Some(frame) = line.next(&mut input).transpose() {
                if self.fault.is_some() {
                    continue;
                }
                self.frames_in += 1;
                let (link, mut slots, _) = self.parts();
                match frame.and_then(|frame| link.handle(&mut slots, frame)) {
                    Ok(event) => on(self, event),
                    Err(fault) => self.fail(fault),
                }
            }
            self.line = Some(line);
            return;
        }
        self.input.extend_from_slice(bytes);
        let input = core::mem::take(&mut self.input);
        let mut at = 0;
        while self.fault.is_none() {
            let (max, crc) = (self.link.max_frame(), self.link.crc_seed());
            let event = match framing::next(&input[at..], max, crc) {
                Ok(framing::Step::Need(_)) => break,
                Ok(framing::Step::Frame(frame, used)) => {
                    at += used;
                    self.frames_in += 1;
                    let (link, mut slots, _) = self.parts();
                    link.handle(&mut slots, frame)
                }
                Err(fault) => Err(fault),
            };
            match event {
                Ok(event) => on(self, event),
                Err(fault) => self.fail(fault),
            }
        }
        if self.fault.is_none() {
            self.input = input[at..].to_vec();
        }
    }

    fn fail(&mut self, fault: Fault) {
        self.link.fail(fault);
        self.fault = Some(fault);
    }

    /// Bytes for the wire.
    pub fn transmit(&mut self) -> Vec<u8> {
        self.transmit_some(usize::MAX)
    }

    /// So many bytes for the wire at most, where the link is on a lossy line.
    pub fn transmit_some(&mut self, most: usize) -> Vec<u8> {
        let Some(line) = &mut self.line else { return core::mem::take(&mut self.output) };
        line.put_records(&mut self.output);
        line.drain(most)
    }

    /// Bytes held of frames that are not whole yet.
    pub fn pending_input(&self) -> usize {
        self.input.len()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        let lost = self.line.as_mut().and_then(|line| line.tick(now).err());
        if self.fault.is_some() {
            return;
        }
        if let Some(fault) = lost {
            self.fail(fault);
        } else if let Err(fault) = self.link.tick(now) {
            self.fault = Some(self.line.as_ref().map_or(fault, |line| line.line.explain(fault)));
        }
    }

    /// Writes the control frames that are due.
    pub fn control(&mut self) {
        let (link, mut slots, output) = self.parts();
        link.control(&mut slots, output);
    }

    /// Writes at most one control frame: whether there was one.
    pub fn control_one(&mut self) -> bool {
        let before = self.output.len();
        let (link, mut slots, output) = self.parts();
        link.control(&mut slots, &mut OneFrame::new(output));
        self.output.len() > before
    }

    /// Writes a data frame's head, its bytes, and the checksum where the link has one.
    pub fn data(&mut self, head: crate::proto::Head, pieces: [&[u8]; 2]) {
        self.output.extend_from_slice(head.as_slice());
        for piece in pieces {
            self.output.extend_from_slice(piece);
        }
        if let Some(seed) = self.link.crc_seed() {
            let mut crc = crc32c_append(!seed, head.frame());
            for piece in pieces {
                crc = crc32c_append(crc, piece);
            }
            self.output.extend_from_slice(&(!crc).to_le_bytes());
        }
    }

    /// The next fragment that is to be written.
    pub fn fragment(&mut self) -> Option<Fragment> {
        let (link, mut slots, _) = self.parts();
        link.fragment(&mut slots)
    }

    /// Writes a frame that no honest link would.
    ///
    /// # Panics
    ///
    /// When `frame` is longer than 300 bytes.
    pub fn forge(&mut self, frame: &Frame<'_>) {
        let mut bytes = [0; 300];
        let len = frame.write(&mut bytes).expect("a frame of at most 300 bytes");
        self.forge_bytes(&bytes[..len]);
    }

    /// Writes any bytes in the frame's place.
    pub fn forge_bytes(&mut self, frame: &[u8]) {
        let crc = self.link.crc_seed();
        let len = frame.len() + if crc.is_some() { framing::CRC_LEN } else { 0 };
        let mut prefix = [0; 5];
        let n = crate::proto::varint::put(&mut prefix, 0, len as u32);
        self.output.extend_from_slice(&prefix[..n]);
        self.output.extend_from_slice(frame);
        if let Some(seed) = crc {
            self.output.extend_from_slice(&crate::proto::crc32c(seed, frame).to_le_bytes());
        }
    }

    /// Whether circuits can be opened.
    pub fn is_up(&self) -> bool {
        self.fault.is_none() && self.link.state() == LinkState::Up
    }

    /// Whether the peer knows of every silence that we have announced.
    pub fn is_quiet_heard(&self) -> bool {
        let written = self.link.quiets_written();
        written.is_some_and(|n| self.line.as_ref().is_none_or(|end| end.line.is_quiet_heard(n)))
    }

    /// Whether no circuit is open and nothing waits to be written.
    pub fn is_quiet(&self) -> bool {
        let free = |slots: &[Slot]| slots.iter().all(Slot::is_free);
        let idle = self.line.as_ref().is_none_or(|line| line.line.is_idle());
        idle && self.output.is_empty() && !self.link.has_control() && free(&self.mine) && free(&self.theirs)
    }
}

/// A sink with room for one frame.
#[derive(Debug)]
pub struct OneFrame<'a> {
    out: &'a mut Vec<u8>,
    from: usize,
}

impl<'a> OneFrame<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { from: out.len(), out }
    }
}

impl Sink for OneFrame<'_> {
    fn room(&self) -> usize {
        if self.out.len() == self.from { usize::MAX } else { 0 }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
}

/// A sink in which no more than so many bytes gather.
#[derive(Debug)]
pub struct Limited<'a> {
    out: &'a mut Vec<u8>,
    full_at: usize,
}

impl<'a> Limited<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>, full_at: usize) -> Self {
        Self { out, full_at }
    }
}

impl Sink for Limited<'_> {
    fn room(&self) -> usize {
        self.full_at.saturating_sub(self.out.len())
    }

    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
}
