//! Replays the corpora of the fuzz targets, and what can be made of them cheaply: every cut,
//! and every flipped bit of the short ones.

use allocation_counter::measure;
use netchan::testing::Rng;
use netchan::testing::fuzz::{KINDS, TARGETS, decode, decode_budget, decode_only};

#[test]
fn corpora_hold_their_promises() {
    for (name, target) in TARGETS {
        let dir = format!("{}/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 3, "{name} has seeds");
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            for cut in 0..=bytes.len() {
                target(&bytes[..cut]);
            }
            for bit in 0..bytes.len().min(64) * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                target(&flipped);
            }
        }
    }
}

#[test]
fn random_bytes_hold_their_promises() {
    let mut rng = Rng::new(1);
    for (_, target) in TARGETS {
        for _ in 0..1500 {
            let len = rng.below(160);
            // Small numbers make more frames that mean something.
            let small = rng.one_in(2);
            let bytes: Vec<u8> =
                (0..len).map(|_| if small { rng.below(32) as u8 } else { rng.next() as u8 }).collect();
            target(&bytes);
        }
    }
}

/// Typed decoding of these bytes, and what it holds meanwhile.
fn decodes_within_its_budget(bytes: &[u8]) -> bool {
    let mut error = None;
    let used = measure(|| error = decode_only(bytes)).bytes_max;
    assert!(used <= decode_budget(bytes), "{used} bytes held while decoding {bytes:?}");
    decode(bytes);
    error.is_none()
}

/// Random bytes are hardly ever a value of a large type: these begin as a value and are
/// changed, lengthened and cut.
#[test]
fn typed_decoding_is_canonical_and_within_its_budget() {
    let mut rng = Rng::new(7);
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/decode");
    let mut seeds: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    seeds.sort();
    let refused = seeds.iter().filter(|seed| decode_only(seed).is_some()).count();
    assert_eq!(refused, 3, "a length of nothing, a list of what is absent, and one of small maps");
    for which in 0..KINDS as u8 {
        let start = seeds.iter().find(|seed| seed[0] == which).cloned().unwrap_or_else(|| vec![which]);
        let mut bytes = start.clone();
        let mut decoded = 0;
        for _ in 0..3000 {
            let before = bytes.clone();
            match rng.below(7) {
                0 => bytes.push(rng.below(4) as u8),
                1 => bytes.push(rng.next() as u8),
                2 if bytes.len() > 1 => {
                    let at = 1 + rng.below(bytes.len() - 1);
                    bytes[at] = [0, 1, 2, 0x7f, 0x80, 0xff, rng.next() as u8][rng.below(7)];
                }
                3 => {
                    let at = 1 + rng.below(bytes.len());
                    bytes.insert(at, rng.below(3) as u8);
                }
                4 if bytes.len() > 1 => drop(bytes.remove(1 + rng.below(bytes.len() - 1))),
                5 => {
                    let more = rng.below(40);
                    bytes.resize(bytes.len() + more, rng.below(2) as u8);
                }
                _ => bytes.truncate(1 + rng.below(bytes.len())),
            }
            bytes.truncate(600);
            let fits = decodes_within_its_budget(&bytes);
            decoded += usize::from(fits);
            // From a value to the next; from what is none only now and then.
            if !fits && !rng.one_in(4) {
                bytes = before;
            }
            if rng.one_in(50) {
                bytes = start.clone();
            }
        }
        assert!(decoded > 0, "nothing of kind {which} was ever decoded");
    }
}
