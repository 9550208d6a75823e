//! What fuzzing checks, one function per target. The same functions replay the corpora on
//! stable in `cargo test`.

use alloc::vec;
use alloc::vec::Vec;

#[cfg(feature = "board")]
mod board;

#[cfg(feature = "board")]
pub use board::board;

pub use super::typed::{KINDS, decode, decode_budget, decode_only};
use super::{Chain, LineEnd, LinePair, Node, Pair, Port, Stage};
use crate::proto::{
    Fault, Frame, Hello, Instant, LinkConfig, LinkKind, LinkState, OpenFlags, Reason, framing, varint,
};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target, with the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("framing", framing),
    ("frames", frames),
    ("bring_up", bring_up),
    ("line", line),
    ("link", link),
    ("splice", splice),
    ("decode", decode),
    #[cfg(feature = "board")]
    ("board", board),
];

/// A stream gives the same frames whole and in any pieces.
pub fn framing(data: &[u8]) {
    let Some((&how, stream)) = data.split_first() else { return };
    let crc = (how & 1 == 1).then_some(u32::from(how));
    let max = 64;
    let (whole, end) = frames_of(stream, max, crc);

    let (mut buffer, mut pieces, mut at) = (Vec::new(), Vec::new(), 0);
    let mut size = usize::from(how >> 1) % 7 + 1;
    let mut fault = None;
    while at < stream.len() && fault.is_none() {
        let piece = &stream[at..(at + size).min(stream.len())];
        at += piece.len();
        size = usize::from(piece[0]) % 9 + 1;
        buffer.extend_from_slice(piece);
        loop {
            match framing::next(&buffer, max, crc) {
                Ok(framing::Step::Frame(frame, used)) => {
                    pieces.push(frame.to_vec());
                    buffer.drain(..used);
                }
                Ok(framing::Step::Need(n)) => {
                    assert!(
                        n > 0 && buffer.len() + n <= max as usize + 9,
                        "it never needs more than a packet"
                    );
                    break;
                }
                Err(error) => {
                    fault = Some(error);
                    break;
                }
            }
        }
    }
    assert_eq!((whole, end), (pieces, fault));
}

fn frames_of(stream: &[u8], max: u32, crc: Option<u32>) -> (Vec<Vec<u8>>, Option<Fault>) {
    let (mut frames, mut at) = (Vec::new(), 0);
    loop {
        match framing::next(&stream[at..], max, crc) {
            Ok(framing::Step::Frame(frame, used)) => {
                frames.push(frame.to_vec());
                at += used;
            }
            Ok(framing::Step::Need(_)) => return (frames, None),
            Err(fault) => return (frames, Some(fault)),
        }
    }
}

/// What parses is written as it stood, but for a later version's tail.
pub fn frames(data: &[u8]) {
    let Ok(frame) = Frame::parse(data) else { return };
    let mut out = vec![0; data.len()];
    let len = frame.write(&mut out).expect("what parses can be written in no more bytes");
    match frame {
        // Fields that this version does not know are written as zero.
        Frame::Hello(_) => {}
        Frame::Open(..) | Frame::Accept(..) | Frame::Dead(..) | Frame::Attach(..) | Frame::Tree(_) => {
            assert_eq!(out[..len], data[..len], "one meaning has one form");
        }
        _ => assert_eq!(out[..len], *data, "one meaning has one form"),
    }
    assert_eq!(Frame::parse(&out[..len]), Ok(frame));
}

/// No hello brings a link up that does not echo its nonce, and few bytes are answered.
pub fn bring_up(data: &[u8]) {
    let Some((&how, data)) = data.split_first() else { return };
    let config = LinkConfig { active: how & 1 == 1, crc: how & 2 == 2, ..Pair::config("a", 1) };
    let nonce = 0x0102_0304_0506_0708;
    let mut node = Node::new(config, nonce, Instant::ZERO);
    let mut echoed = false;
    for chunk in data.chunks(32) {
        if how & 4 == 4 {
            node.receive(chunk);
        } else {
            let byte = |i: usize| chunk.get(i).copied().unwrap_or_default();
            let number = |i: usize| u32::from_le_bytes(core::array::from_fn(|k| byte(i + k)));
            let echo = [0, nonce, u64::from(byte(18))][usize::from(byte(0)) % 3];
            echoed |= echo == nonce;
            let hello = Hello {
                oldest: byte(1) % 4,
                newest: byte(2) % 4,
                crc: byte(3) & 1 == 1,
                adopts: byte(4) & 4 != 0,
                bodies: byte(4) & 8 != 0,
                kind: [LinkKind::Peer, LinkKind::Tree, LinkKind::Either][usize::from(byte(4)) % 3],
                window: byte(5),
                packet: number(6),
                circuits: number(10),
                dead_ms: 1000,
                hear_ms: number(14),
                nonce: if byte(19) == 7 { nonce } else { u64::from(byte(19)) },
                echo,
                boot: u64::from(byte(20)),
                uid: 3,
                name: "b",
            };
            let mut writer = Port::new(config, 9, Instant::ZERO);
            writer.forge(&Frame::Hello(hello));
            node.receive(&writer.output);
        }
        node.pump();
        assert!(node.port.output.len() <= 3 * 110, "few bytes are answered before the link is up");
        assert!(node.port.link.state() != LinkState::Up || echoed, "up without an echo");
    }
    node.tick(Instant::from_millis(20_000));
    assert!(node.port.fault.is_some() || echoed, "the bring-up has an end");
    node.tick(Instant::from_millis(1_000_000));
    assert!(node.port.fault.is_some(), "and so has silence");
}

/// Arbitrary frames on a link with circuits of all kinds: no panic, nothing held beyond what
/// was granted, and answers no larger than what caused them.
pub fn link(data: &[u8]) {
    let mut pair = Pair::up();
    for flags in [OpenFlags::SENDS, OpenFlags::RECEIVES, OpenFlags::BOTH] {
        pair.a.open("x", flags).expect("there are four slots");
        pair.b.open("y", flags).expect("there are four slots");
    }
    pair.run();
    let node = &mut pair.b;
    for frame in pieces(data) {
        pair.a.port.output.clear();
        pair.a.port.forge_bytes(frame);
        node.receive(&pair.a.port.output);
        node.port.control();
        let goodbye = if node.port.fault.is_some() { 3 } else { 0 };
        let most = if matches!(frame.first(), Some(0)) { 120 } else { frame.len() + 17 };
        assert!(node.port.output.len() <= most + goodbye, "a small frame has a large answer");
        node.pump();
        node.port.output.clear();
        // The program does something, too.
        let live: Vec<usize> = node.live().collect();
        let Some(&id) = live.get(usize::from(frame[0]) % live.len().max(1)) else { continue };
        match frame.len() % 7 {
            0 => drop(node.take(id)),
            1 => node.send(id, vec![1; frame.len()]),
            2 => node.end(id),
            3 if frame.len() > 9 => node.kill(id, Reason::HungUp),
            _ => {}
        }
        node.pump();
        node.port.output.clear();
    }
    node.cut();
    assert!(node.circuits.iter().all(|circuit| circuit.stage == Stage::Over), "every waiter is told");
}

/// Arbitrary frames at a router: no panic, and nothing held beyond what was granted.
pub fn splice(data: &[u8]) {
    let mut chain = Chain::up();
    for flags in [OpenFlags::SENDS, OpenFlags::BOTH] {
        chain.a.open("x", flags).expect("there are four slots");
        chain.b.open("y", flags).expect("there are four slots");
    }
    chain.run();
    for frame in pieces(data) {
        let port = usize::from(frame[0] >> 3 & 1);
        let writer = if port == 0 { &mut chain.a.port } else { &mut chain.b.port };
        writer.output.clear();
        writer.forge_bytes(frame);
        let bytes = core::mem::take(&mut writer.output);
        chain.r.receive(port, &bytes);
        chain.r.pump();
        let (held, room) = chain.r.held();
        assert!(held <= room, "the router holds {held} of {room}");
        chain.r.ports.iter_mut().for_each(|port| port.output.clear());
    }
    chain.r.cut(0);
    chain.r.cut(1);
    assert!(chain.r.is_quiet());
}

/// Arbitrary bytes, and altered ones of an honest sender, on a line with a session: no panic,
/// little is answered, and what the sender said arrives once, in order, unaltered.
pub fn line(data: &[u8]) {
    let mut pair = LinePair::up(1_000_000, 0, 48, 3);
    pair.pass_ms(5);
    let ends = pair.nodes.map(|node| node.port.line.expect("it is on a line"));
    let ([mut a, mut b], mut now) = (ends, pair.now);
    let (mut said, mut heard, mut honest) = (0u32, 0u32, true);
    for piece in pieces(data) {
        let (how, piece) = (piece[0], &piece[1..]);
        let from_a = match how % 6 {
            0 | 1 => piece.to_vec(),
            2 => {
                now += u64::from(how) * 3000;
                Vec::new()
            }
            3 if honest && piece.len() > 30 => {
                // A record that is none: the sender breaks the protocol under a valid checksum.
                honest = !a.put(&piece[..30], false);
                a.drain(usize::MAX)
            }
            _ => {
                let record = [&[5, 1][..], &said.to_le_bytes()].concat();
                if honest && a.put(&record, false) {
                    said += 1;
                }
                let mut bytes = a.drain(usize::MAX);
                for fault in piece.chunks_exact(2) {
                    let at = usize::from(fault[0]).min(bytes.len().saturating_sub(1));
                    match (fault[1] % 4, bytes.is_empty()) {
                        (_, true) => {}
                        (0, _) => bytes[at] ^= 1 << (fault[1] >> 5),
                        (1, _) => bytes.truncate(at),
                        (2, _) => bytes.extend_from_within(at..),
                        _ => bytes.insert(at, fault[1]),
                    }
                }
                bytes
            }
        };
        let now = Instant::from_micros(now);
        let lost = a.tick(now).is_err() | b.tick(now).is_err();
        let mut input = &from_a[..];
        loop {
            match b.next(&mut input) {
                Ok(Some([0, ..])) | Err(_) => {}
                Ok(Some(frame)) if honest => {
                    assert_eq!(frame[1..], heard.to_le_bytes(), "once, in order, unaltered");
                    heard += 1;
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
            }
        }
        assert!(heard <= said, "heard before it was said");
        let answer = b.drain(usize::MAX);
        assert!(answer.len() <= from_a.len() + 200, "{} bytes have a large answer", from_a.len());
        hear_all(&mut a, &answer);
        if lost {
            return;
        }
    }
}

fn hear_all(end: &mut LineEnd, bytes: &[u8]) {
    let mut input = bytes;
    while let Ok(Some(_)) | Err(_) = end.next(&mut input) {}
}

/// Frames from fuzzed bytes: a length, then as many bytes.
fn pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    core::iter::from_fn(move || {
        let (len, used) = varint::get(rest).ok()?;
        let len = (len as usize % 256).clamp(1, rest.len().checked_sub(used + 1)? + 1);
        let (piece, after) = rest[used..].split_at(len);
        rest = after;
        Some(piece)
    })
}
