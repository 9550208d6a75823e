//! How many errors of one to five bits a packet's checksum lets pass: none.
//!
//! A million here; `NETCHAN_LONG=1` makes it a hundred million.
#![expect(clippy::print_stdout, reason = "figures, for who wants them")]

use netchan::proto::varint;
use netchan::testing::{LinePair, Rng};

/// Bytes of packets from a session, and who receives them.
fn wire(rng: &mut Rng, zeros: usize) -> (LinePair, Vec<u8>) {
    let mut pair = LinePair::up(115_200, 0, 240, 1);
    pair.pass_ms(50);
    let sender = pair.nodes[0].port.line.as_mut().unwrap();
    let len = [8, 32, 200u32][rng.below(3)];
    let mut record = vec![0; varint::MAX_LEN];
    let head = varint::put(&mut record, 0, len + 1);
    record.truncate(head);
    record.push(1);
    record.extend((0..len).map(|_| if rng.below(100) < zeros { 0 } else { rng.next() as u8 }));
    assert!(sender.put(&record, false));
    let bytes = sender.drain(usize::MAX);
    (pair, bytes)
}

#[test]
fn no_error_of_up_to_five_bits_passes() {
    let long = std::env::var_os("NETCHAN_LONG").is_some();
    let errors: u64 = if long { 100_000_000 } else { 1_000_000 };
    let mut rng = Rng::new(0xc0b5);
    let (mut injected, mut passed) = (0u64, 0u64);
    while injected < errors {
        let (pair, clean) = wire(&mut rng, [0, 30, 90][(injected / 20_000 % 3) as usize]);
        let receiver = pair.nodes[1].port.line.clone().unwrap();
        let mut whole = receiver.clone();
        assert!(matches!(whole.next(&mut &clean[..]), Ok(Some(_))), "the clean one passes");
        // A receiver that takes nothing stays as it is, but for its counters.
        let mut end = receiver;
        let mut bytes = clean.clone();
        for _ in 0..20_000 {
            let bits = 1 + rng.below(5);
            bytes.copy_from_slice(&clean);
            for _ in 0..bits {
                let at = rng.below(bytes.len());
                bytes[at] ^= 1 << rng.below(8);
            }
            if bytes == clean {
                continue;
            }
            injected += 1;
            // The delimiter falls to the errors, too; the next one ends what is left.
            bytes.push(0);
            let mut input = &bytes[..];
            while let Some(frame) = end.next(&mut input).transpose() {
                // Whole in spite of the error: one of delimiters only, beside the packet.
                let same = frame.is_ok_and(|frame| clean_has(&clean, frame));
                passed += u64::from(!same);
                end = pair.nodes[1].port.line.clone().unwrap();
            }
            bytes.pop();
        }
    }
    println!("{injected} errors, {passed} undetected");
    assert_eq!(passed, 0, "of {injected}");
}

/// Whether the frame is the one that was sent: its bytes stand in the clean packet.
fn clean_has(clean: &[u8], frame: &[u8]) -> bool {
    let (mut out, mut left, mut zero) = (Vec::new(), 0, false);
    for &byte in clean.iter().skip_while(|byte| **byte == 0).take_while(|byte| **byte != 0) {
        if left > 0 {
            left -= 1;
            out.push(byte);
            continue;
        }
        if zero {
            out.push(0);
        }
        zero = byte != 0xff;
        left = byte - 1;
    }
    let body = &out[2..out.len() - 4];
    body.ends_with(frame) && body.len() <= frame.len() + 2
}
