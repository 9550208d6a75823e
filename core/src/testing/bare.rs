//! Two links over borrowed arrays in one function: the proof that the protocol needs no
//! allocator. Firmware tests call it on the board.

use crate::proto::{
    Event, Fingerprints, Identity, Instant, Link, LinkConfig, LinkState, Name, Open, OpenFlags, Part,
    SliceSink, Slot, Slots, Start, Total, framing,
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

    let open = Open {
        flags: OpenFlags::SENDS,
        wait_ms: 0,
        credit: 0,
        limit: 0,
        values: 0,
        name: "numbers",
        fingerprints: Fingerprints::new(1, &[]),
        type_name: "u32",
    };
    let (link, mut slots, mut sink) = a.slots();
    let handle = link.open(&mut slots, &open, &mut sink).ok()?;
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
