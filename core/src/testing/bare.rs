//! Two links over borrowed arrays in one function, on a stream and on a lossy line: the proof
//! that the protocol needs no allocator. Firmware tests call it on the board.

use crate::proto::{
    Event, Fingerprints, Identity, Instant, Line, LineConfig, Link, LinkConfig, LinkState, Name, Open,
    OpenFlags, Part, Sink, SliceSink, Slot, Slots, Start, Total, framing,
};

const WIRE: usize = 512;
const CIRCUITS: usize = 2;

struct End {
    link: Link,
    mine: [Slot; CIRCUITS],
    theirs: [Slot; CIRCUITS],
    wire: [u8; WIRE],
    len: usize,
}

impl End {
    fn new(name: &str, nonce: u64, active: bool) -> Option<Self> {
        let identity = Identity { name: Name::new(name).ok()?, uid: nonce, boot: nonce };
        let config = LinkConfig {
            packet: 256,
            circuits: CIRCUITS as u32,
            crc: true,
            active,
            ..LinkConfig::stream(identity)
        };
        Some(Self {
            link: Link::new(config, nonce, Instant::ZERO),
            mine: [const { Slot::new() }; CIRCUITS],
            theirs: [const { Slot::new() }; CIRCUITS],
            wire: [0; WIRE],
            len: 0,
        })
    }

    fn slots(&mut self) -> (&mut Link, Slots<'_>, SliceSink<'_>) {
        let slots = Slots { mine: &mut self.mine, theirs: &mut self.theirs };
        (&mut self.link, slots, SliceSink::new(&mut self.wire[self.len..]))
    }

    fn control(&mut self) {
        let (link, mut slots, mut sink) = self.slots();
        link.control(&mut slots, &mut sink);
        let written = sink.len();
        self.len += written;
    }

    /// Gives everything that `from` has written to `self`, event by event.
    fn hear(&mut self, from: &mut Self, mut on: impl FnMut(&mut Link, &mut Slots<'_>, Event<'_>)) -> bool {
        from.control();
        let mut at = 0;
        while at < from.len {
            let input = &from.wire[at..from.len];
            let next = framing::next(input, self.link.max_frame(), self.link.crc_seed());
            let Ok(framing::Step::Frame(frame, used)) = next else { return false };
            let (link, mut slots, _) = self.slots();
            let Ok(event) = link.handle(&mut slots, frame) else { return false };
            on(link, &mut slots, event);
            at += used;
        }
        from.len = 0;
        true
    }
}

/// Brings two links up, sends `values` numbers over one circuit, ends it in order, and
/// returns how many arrived; `None` when anything went wrong. Uses about 3 KiB of stack.
pub fn exchange(values: u32) -> Option<u32> {
    let mut a = End::new("left", 0x1111, true)?;
    let mut b = End::new("right", 0x2222, false)?;
    for _ in 0..3 {
        b.hear(&mut a, |_, _, _| {}).then_some(())?;
        a.hear(&mut b, |_, _, _| {}).then_some(())?;
    }
    if a.link.state() != LinkState::Up || b.link.state() != LinkState::Up {
        return None;
    }

    let (link, mut slots, mut sink) = a.slots();
    let handle = link.open(&mut slots, &numbers(), &mut sink).ok()?;
    a.len += sink.len();

    let (mut sent, mut taken, mut right, mut done) = (0u32, 0u32, true, false);
    for _ in 0..values.saturating_mul(4) + 16 {
        b.hear(&mut a, |link, slots, event| match event {
            Event::Open(handle, _) => link.accept(slots, handle, 0, 64, 16),
            Event::Data(handle, Part::Whole, bytes) => {
                right &= bytes == taken.to_le_bytes();
                taken += 1;
                link.taken(slots, handle, Total::new(taken), false);
                link.consumed(slots, handle, Link::charge(bytes.len() as u32));
            }
            Event::End(handle) => link.drained(slots, handle),
            _ => {}
        })
        .then_some(())?;
        a.hear(&mut b, |_, _, event| done |= matches!(event, Event::Done(_))).then_some(())?;

        let (link, mut slots, _) = a.slots();
        if sent == values {
            link.end(&mut slots, handle);
        } else if let Ok(Start::Straight(head)) = link.start(&mut slots, handle, 4) {
            let bytes = sent.to_le_bytes();
            sent += 1;
            let crc = link.crc_seed().map(|seed| {
                !crate::proto::crc32c_append(crate::proto::crc32c_append(!seed, head.frame()), &bytes)
            })?;
            for piece in [head.as_slice(), &bytes, &crc.to_le_bytes()] {
                a.wire[a.len..a.len + piece.len()].copy_from_slice(piece);
                a.len += piece.len();
            }
        }
    }
    let free = |end: &End| end.mine.iter().chain(&end.theirs).all(Slot::is_free);
    (right && done && free(&a) && free(&b)).then_some(taken)
}

/// The line of [`exchange_on_line`]: packets of 64 bytes, two of them under way.
const LINE: LineConfig = LineConfig::uart(115_200, 2, 64, 2);

struct LineEnd {
    end: End,
    line: Line,
    rx: [u8; LINE.rx_len()],
    tx: [u8; LINE.tx_len()],
}

impl LineEnd {
    fn new(name: &str, nonce: u64) -> Option<Self> {
        let mut end = End::new(name, nonce, true)?;
        let identity = Identity { name: Name::new(name).ok()?, uid: nonce, boot: nonce };
        end.link = Link::new(LinkConfig::line(identity, &LINE, CIRCUITS as u32), nonce, Instant::ZERO);
        Some(Self { end, line: Line::new(LINE), rx: [0; LINE.rx_len()], tx: [0; LINE.tx_len()] })
    }

    /// One round: takes `input`, lets the program act, and writes into `out`.
    fn round(
        &mut self,
        mut input: &[u8],
        out: &mut [u8],
        now: Instant,
        mut on: impl FnMut(&mut Link, &mut Slots<'_>, Event<'_>),
        act: impl FnOnce(&mut Link, &mut Slots<'_>, &mut dyn Sink),
    ) -> Option<usize> {
        let End { link, mine, theirs, .. } = &mut self.end;
        let mut slots = Slots { mine, theirs };
        while let Some(frame) = self.line.next(&mut self.rx, &mut input, now).ok()? {
            let event = link.handle(&mut slots, frame).ok()?;
            on(link, &mut slots, event);
        }
        self.line.tick(now).ok()?;
        link.tick(now).ok()?;
        let mut sink = self.line.sink(&mut self.tx);
        act(link, &mut slots, &mut sink);
        link.control(&mut slots, &mut sink);
        Some(self.line.drain(&mut self.tx, out, now))
    }
}

/// As [`exchange`], over a line that loses a byte in every thousand and flips a bit of another.
/// Uses about 3 KiB of stack.
pub fn exchange_on_line(values: u32) -> Option<u32> {
    let (mut a, mut b) = (LineEnd::new("left", 0x1111)?, LineEnd::new("right", 0x2222)?);
    let mut to_a = ([0; 64], 0);
    let (mut opened, mut sent, mut taken, mut right, mut done) = (None, 0u32, 0u32, true, false);
    for round in 0..values.saturating_mul(40) + 1000 {
        // 64 bytes take six milliseconds.
        let now = Instant::from_millis(u64::from(round) * 6);
        let mut out = [0; 64];
        let on = |_: &mut Link, _: &mut Slots<'_>, event: Event<'_>| done |= matches!(event, Event::Done(_));
        let act = |link: &mut Link, slots: &mut Slots<'_>, sink: &mut dyn Sink| {
            let Some(handle) = opened else {
                opened = link.open(slots, &numbers(), sink).ok();
                return;
            };
            if sent == values {
                return link.end(slots, handle);
            }
            // Room first: what is begun must be written.
            let fits = sink.room() >= crate::proto::Head::MAX_LEN + 4;
            if fits && let Ok(Start::Straight(head)) = link.start(slots, handle, 4) {
                sink.begin(head.as_slice().len() + 4);
                sink.put(head.as_slice());
                sink.put(&sent.to_le_bytes());
                sent += 1;
            }
        };
        let len = a.round(&to_a.0[..to_a.1], &mut out, now, on, act)?;
        let to_b = disturbed(&out[..len], round);

        let mut out = [0; 64];
        let on = |link: &mut Link, slots: &mut Slots<'_>, event: Event<'_>| match event {
            Event::Open(handle, _) => link.accept(slots, handle, 0, 64, 16),
            Event::Data(handle, Part::Whole, bytes) => {
                right &= bytes == taken.to_le_bytes();
                taken += 1;
                link.taken(slots, handle, Total::new(taken), false);
                link.consumed(slots, handle, Link::charge(bytes.len() as u32));
            }
            Event::End(handle) => link.drained(slots, handle),
            _ => {}
        };
        let len = b.round(&to_b.0[..to_b.1], &mut out, now, on, |_, _, _| {})?;
        to_a = disturbed(&out[..len], round + 77);
        let free = |end: &End| end.mine.iter().chain(&end.theirs).all(Slot::is_free);
        if done && free(&a.end) && free(&b.end) {
            let resent = a.line.counts().resent + b.line.counts().resent;
            return (right && resent > 0).then_some(taken);
        }
    }
    None
}

fn numbers() -> Open<'static> {
    Open {
        flags: OpenFlags::SENDS,
        wait_ms: 0,
        credit: 0,
        limit: 0,
        values: 0,
        name: "numbers",
        fingerprints: Fingerprints::new(1, &[]),
        type_name: "u32",
        route: None,
        body: None,
    }
}

fn disturbed(bytes: &[u8], round: u32) -> ([u8; 64], usize) {
    let (mut out, mut len) = ([0; 64], 0);
    for (i, &byte) in bytes.iter().enumerate() {
        let place = (round as usize * 64 + i) % 1009;
        if place != 5 {
            out[len] = byte ^ u8::from(place == 500);
            len += 1;
        }
    }
    (out, len)
}
