//! Replays the corpora of the fuzz targets, and what can be made of them cheaply: every cut,
//! and every flipped bit of the short ones.

use netchan::testing::Rng;
use netchan::testing::fuzz::TARGETS;

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
