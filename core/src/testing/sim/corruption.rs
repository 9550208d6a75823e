//! How many errors of a few bits the real receiver of a lossy line lets pass.

use alloc::vec;
use alloc::vec::Vec;

use super::CorruptionReport;
use crate::proto::varint;
use crate::testing::{LineEnd, LinePair, Rng};

/// Errors in one packet before the next one is made.
const ERRORS: u64 = 20_000;

/// A packet on the wire, the frame that is in it, and who is to receive it.
struct Packet {
    wire: Vec<u8>,
    frame: Vec<u8>,
    receiver: LineEnd,
}

impl Packet {
    /// Of a session, with so many zeros among a hundred bytes of its payload.
    fn new(rng: &mut Rng, zeros: usize) -> Self {
        let mut pair = LinePair::up(115_200, 0, 240, 1);
        pair.pass_ms(50);
        let len = [8, 32, 200][rng.below(3)];
        let byte = |rng: &mut Rng| if rng.below(100) < zeros { 0 } else { rng.next() as u8 };
        // The head is that of a message.
        let frame: Vec<u8> = core::iter::once(1).chain((0..len).map(|_| byte(rng))).collect();
        let mut record = vec![0; varint::MAX_LEN];
        let head = varint::put(&mut record, 0, frame.len() as u32);
        record.truncate(head);
        record.extend(&frame);
        let [sender, receiver] = &mut pair.nodes;
        let sender = sender.port.line.as_mut().expect("it is on a line");
        assert!(sender.put(&record, false), "an empty window has room");
        let wire = sender.drain(usize::MAX);
        let receiver = receiver.port.line.take().expect("it is on a line");
        let mut whole = receiver.clone();
        assert_eq!(whole.next(&mut &wire[..]), Ok(Some(&frame[..])), "the clean one passes");
        Self { wire, frame, receiver }
    }
}

/// Runs one seed; see [`super::run_corruption`].
pub(super) fn run(seed: u64, errors: u64) -> CorruptionReport {
    let mut rng = Rng::new(seed);
    let mut report = CorruptionReport::default();
    while report.injected < errors {
        let zeros = [0, 30, 90][(report.injected / ERRORS % 3) as usize];
        let Packet { wire, frame, receiver } = Packet::new(&mut rng, zeros);
        // A receiver that takes nothing stays as it is, but for its counters.
        let mut end = receiver.clone();
        let mut bytes = wire.clone();
        for _ in 0..ERRORS.min(errors - report.injected) {
            bytes.clear();
            bytes.extend(&wire);
            for _ in 0..1 + rng.below(5) {
                let at = rng.below(bytes.len());
                bytes[at] ^= 1 << rng.below(8);
            }
            if bytes == wire {
                continue;
            }
            report.injected += 1;
            // The delimiter falls to the errors, too; the next one ends what is left.
            bytes.push(0);
            let mut input = &bytes[..];
            while let Some(found) = end.next(&mut input).transpose() {
                // Whole in spite of the error: one of delimiters only, beside the packet.
                if found.is_ok_and(|found| found == frame) {
                    report.spared += 1;
                } else {
                    report.altered += 1;
                }
                end = receiver.clone();
            }
        }
        // It has refused them, and not stopped listening.
        assert_eq!(end.next(&mut &wire[..]), Ok(Some(&frame[..])), "the clean one passes still");
    }
    report
}
