//! `spec/vectors.txt`: the golden bytes of every kind of frame, and what becomes of them when
//! they are cut or a bit flips.
//!
//! A line is `meaning = hex`, `meaning < hex` where a later version's tail is skipped, or
//! `! error = hex` where the bytes are refused. `NETCHAN_BLESS=1` writes the file.

use std::fmt::Write;

use netchan::proto::{
    Above, Accept, Dead, DeadFrame, Fingerprints, Frame, Handle, Hello, Instant, LineConfig, LinkKind, Open,
    OpenFlags, Part, Place, Reason, Route, Total, TreeFrame, crc32c, framing,
};
use netchan::testing::{LineEnd, Pair, Policy};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../spec/vectors.txt");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// A frame in words.
fn tell(frame: &Frame<'_>) -> String {
    let open = |open: &Open<'_>| {
        let prints: Vec<String> = open.fingerprints.as_slice().iter().map(|f| format!("{f:016x}")).collect();
        format!(
            "flags={} wait_ms={} credit={} limit={} values={} name={:?} fingerprints={} type={:?}",
            open.flags.get(),
            open.wait_ms,
            open.credit,
            open.limit,
            open.values,
            open.name,
            prints.join(","),
            open.type_name
        ) + &open.route.map_or(String::new(), |route| {
            format!(" from={} hops={} to={} path={:?}", route.from, route.hops, route.to, route.path)
        }) + &open.body.map_or(String::new(), |body| format!(" body={}", hex(body)))
    };
    match frame {
        Frame::Hello(h) => format!(
            "HELLO versions={}-{} crc={} kind={:?}{}{} window={} packet={} circuits={} dead_ms={} hear_ms={} \
             nonce={:x} echo={:x} boot={:x} uid={:x} name={:?}",
            h.oldest,
            h.newest,
            h.crc,
            h.kind,
            if h.adopts { " adopts" } else { "" },
            if h.bodies { " bodies" } else { "" },
            h.window,
            h.packet,
            h.circuits,
            h.dead_ms,
            h.hear_ms,
            h.nonce,
            h.echo,
            h.boot,
            h.uid,
            h.name
        ),
        Frame::Beat => "BEAT".into(),
        Frame::Ping => "PING".into(),
        Frame::Pong => "PONG".into(),
        Frame::Quiet(millis) => format!("QUIET {millis}"),
        Frame::Ack(total) => format!("ACK {}", total.get()),
        Frame::Goodbye(reason) => format!("GOODBYE {}", reason.get()),
        Frame::Tree(frame) => match frame {
            TreeFrame::Adopt { id, above, place } => {
                format!("ADOPT id={id} above={:?} place={place:?}", above.as_slice())
            }
            TreeFrame::Allocate(count) => format!("ALLOCATE {count}"),
            TreeFrame::Grant { start, count } => format!("GRANT start={start} count={count}"),
            TreeFrame::AddRoute { id, via, name } => format!("ADD_ROUTE id={id} via={via} name={name:?}"),
            TreeFrame::DelRoute(id, reason) => format!("DEL_ROUTE {id} reason={}", reason.get()),
            TreeFrame::Shutdown { grace_ms } => format!("SHUTDOWN grace_ms={grace_ms}"),
        },
        Frame::Data(h, Part::Whole, bytes) => format!("DATA {h} {}", hex(bytes)),
        Frame::Data(h, Part::First(len), bytes) => format!("FIRST {h} len={len} {}", hex(bytes)),
        Frame::Data(h, Part::More, bytes) => format!("MORE {h} {}", hex(bytes)),
        Frame::Credit(h, total) => format!("CREDIT {h} {}", total.get()),
        Frame::Taken(h, total) => format!("TAKEN {h} {}", total.get()),
        Frame::Open(h, o) => format!("OPEN {h} {}", open(o)),
        Frame::Accept(h, a) => format!("ACCEPT {h} which={} credit={} limit={}", a.which, a.credit, a.limit),
        Frame::Ask(h, total) => format!("ASK {h} {}", total.get()),
        Frame::End(h, total) => format!("END {h} {}", total.get()),
        Frame::Dead(h, d) => {
            let place = match d.dead.at {
                Place::Node(id) => id,
                _ => 0,
            };
            format!(
                "DEAD {h} reason={} place={place} taken={} {:?}",
                d.dead.reason.get(),
                d.taken.get(),
                d.detail
            )
        }
        Frame::Done(h, total) => format!("DONE {h} {}", total.get()),
        Frame::Attach(h, end, ordinal, o) => format!("ATTACH {h} end={end} ordinal={ordinal} {}", open(o)),
    }
}

/// From the root to the parent.
fn above(ids: &[u32]) -> Above {
    ids.iter().fold(Above::default(), |above, &id| above.below(id).unwrap())
}

fn samples() -> Vec<Vec<u8>> {
    let h = Handle::new;
    let t = Total::new;
    let open = Open {
        flags: OpenFlags::RECEIVES,
        wait_ms: 5000,
        credit: 65_536,
        limit: 16_384,
        values: 0,
        name: "sensors/temp.1",
        fingerprints: Fingerprints::new(0x0123_4567_89ab_cdef, &[0xfedc_ba98_7654_3210]),
        type_name: "Reading",
        route: None,
        body: None,
    };
    let first = Hello {
        oldest: 1,
        newest: 1,
        crc: true,
        kind: LinkKind::Peer,
        adopts: false,
        bodies: false,
        window: 0,
        packet: 17_408,
        circuits: 16_384,
        dead_ms: 5000,
        hear_ms: 1250,
        nonce: 0x1122_3344_5566_7788,
        echo: 0,
        boot: 7,
        uid: 0xabcd,
        name: "station",
    };
    let answer = Hello { nonce: 2, echo: first.nonce, boot: 1, uid: 9, name: "board-3", ..first };
    let gone = Dead { reason: Reason::HungUp, at: Place::Peer };
    let differs = Dead { reason: Reason::TypeDiffers, at: Place::Node(300) };
    let brings = |body| Open { flags: OpenFlags::SENDS, body: Some(body), ..open };
    let attached = Open { name: "", flags: OpenFlags::BOTH.with(OpenFlags::CALLS), ..open };
    [
        Frame::Hello(first),
        Frame::Hello(answer),
        Frame::Beat,
        Frame::Ping,
        Frame::Pong,
        Frame::Quiet(0),
        Frame::Quiet(20_000),
        Frame::Quiet(30_000),
        Frame::Ack(t(32_768)),
        Frame::Goodbye(Reason::Shutdown),
        Frame::Data(h(0), Part::Whole, b""),
        Frame::Data(h(15), Part::Whole, b"hello"),
        Frame::Data(h(16), Part::Whole, b"hello"),
        Frame::Data(h(3), Part::First(70_000), b"begin"),
        Frame::Data(h(3), Part::More, b"more"),
        Frame::Credit(h(2), t(300)),
        Frame::Credit(h(u32::MAX >> 3), t(u32::MAX)),
        Frame::Taken(h(2), t(127)),
        Frame::Open(h(1), open),
        Frame::Open(h(1), Open { values: 200, ..open }),
        Frame::Open(
            h(1),
            Open { flags: OpenFlags::SENDS.with(OpenFlags::LATEST), name: "$sys/names", ..open },
        ),
        Frame::Accept(h(1), Accept { which: 1, credit: 0, limit: 0 }),
        Frame::Ask(h(2), t(128)),
        Frame::End(h(2), t(5)),
        Frame::Dead(h(2), DeadFrame { dead: gone, taken: t(4), detail: "" }),
        Frame::Dead(h(1), DeadFrame { dead: differs, taken: t(0), detail: "Vec<Reading>" }),
        Frame::Dead(h(1), DeadFrame { dead: Dead::peer(Reason::new(200)), taken: t(0), detail: "später" }),
        Frame::Done(h(2), t(5)),
        Frame::Attach(h(2), h(7), 0, attached),
        Frame::Hello(Hello { kind: LinkKind::Either, adopts: true, ..first }),
        Frame::Hello(Hello { kind: LinkKind::Tree, crc: false, ..first }),
        Frame::Open(h(1), Open { route: Some(Route { from: 300, hops: 2, to: 7, path: "" }), ..open }),
        Frame::Open(
            h(1),
            Open { route: Some(Route { from: 1, hops: 0, to: 0, path: "bridge/board-7" }), ..open },
        ),
        Frame::Open(h(1), Open { route: Some(Route { from: 1, hops: 15, to: 0, path: "/" }), ..open }),
        Frame::Hello(Hello { bodies: true, ..first }),
        Frame::Open(h(1), brings(b"")),
        Frame::Open(h(1), Open { flags: OpenFlags::BOTH.with(OpenFlags::CALLS), ..brings(b"\x01\0\0five") }),
        Frame::Open(
            h(1),
            Open {
                route: Some(Route { from: 1, hops: 0, to: 0, path: "bridge/board-7" }),
                ..brings(b"hello")
            },
        ),
        Frame::Tree(TreeFrame::Adopt { id: 300, above: above(&[1]), place: "server" }),
        Frame::Tree(TreeFrame::Adopt {
            id: 9,
            above: above(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
            place: "",
        }),
        Frame::Tree(TreeFrame::Allocate(64)),
        Frame::Tree(TreeFrame::Grant { start: 64, count: 64 }),
        Frame::Tree(TreeFrame::Grant { start: 0, count: 0 }),
        Frame::Tree(TreeFrame::AddRoute { id: 65, via: 3, name: "board-7" }),
        Frame::Tree(TreeFrame::DelRoute(65, Reason::LinkLost)),
        Frame::Tree(TreeFrame::Shutdown { grace_ms: 2000 }),
    ]
    .iter()
    .map(|frame| {
        let mut bytes = vec![0; 256];
        let len = frame.write(&mut bytes).unwrap();
        bytes.truncate(len);
        bytes
    })
    .collect()
}

/// Bytes that are refused; the reasons stand in the file.
const REFUSED: &[&str] = &[
    "",
    "80",
    "8000",
    "ffffffff1f",
    "07",
    "68",
    "30",
    "30b1ea01",
    "300000",
    "0800",
    "080100",
    "10",
    "18",
    "0c",
    "0c8000",
    "0c0500",
    "16",
    "1600",
    "1608",
    "160105",
    "1601000000000000",
    "160101000000000141016161616161616161",
    "1602040000",
    // Opens that carry a message: with nothing behind, of one who only receives, of a latest value, and in an ATTACH.
    "160111000000000161010000000000000000",
    "16011200000000016101000000000000000000000000",
    "16011500000000016101000000000000000000000000",
    "16070f001100000000000100000000000000000000",
    "16050100004180",
    "160501000001ff",
    "16050100000107",
    "1603",
    "38",
    "3800",
    "380100",
    "38011001",
    "380000",
    "480001",
    "50010200",
    "500102024142",
    "5800",
    "60",
];

fn generate() -> String {
    let mut text = String::from(
        "# Golden bytes of netchan's frames, without framing. See wire.md; read by core/tests/proto_vectors.rs.\n\
         # meaning = hex     meaning < hex with a later version's tail, skipped     ! error = hex refused\n\n",
    );
    for bytes in samples() {
        writeln!(text, "{} = {}", tell(&Frame::parse(&bytes).unwrap()), hex(&bytes)).unwrap();
    }
    text.push('\n');
    for bytes in samples() {
        let frame = Frame::parse(&bytes).unwrap();
        let has_tail = matches!(
            frame,
            Frame::Open(..) | Frame::Accept(..) | Frame::Dead(..) | Frame::Attach(..) | Frame::Tree(_)
        );
        if has_tail {
            // An open between neighbours says first that no route follows.
            let none: &[u8] = if matches!(frame, Frame::Open(_, Open { route: None, body: None, .. })) {
                &[0]
            } else {
                &[]
            };
            writeln!(text, "{} < {}", tell(&frame), hex(&[&bytes, none, b"\x01tail"].concat())).unwrap();
        }
    }
    text.push('\n');
    for refused in REFUSED {
        let error = Frame::parse(&unhex(refused)).expect_err(refused);
        writeln!(text, "{}", format!("! {error} = {refused}").trim_end()).unwrap();
    }
    text.push_str("\n# A packet: BEAT under the session number 01020304, with its checksum.\n");
    let packet = [&[5, 8][..], &crc32c(0x0102_0304, &[8]).to_le_bytes()].concat();
    writeln!(text, "PACKET session=01020304 = {}", hex(&packet)).unwrap();
    text.push_str(
        "\n# Packets on a lossy line, with their delimiters: the beginning of a session, a repair, and a number\n\
         # beyond four bits. Nonces 1122334455667788 (A) and 2 (B), packets of 64 bytes, window 2.\n",
    );
    for (from, packet) in line_packets() {
        writeln!(text, "LINE {from} {} = {}", tell_packet(from, &packet), hex(&packet)).unwrap();
    }
    text
}

/// What A and B write on a lossy line that fails once, packet by packet.
fn line_packets() -> Vec<(char, Vec<u8>)> {
    let config = LineConfig::uart(115_200, 2, 64, 2);
    let end = || LineEnd::new(config, Instant::ZERO);
    let hello = |nonce, echo| {
        let hello = Hello {
            oldest: 1,
            newest: 1,
            crc: false,
            kind: LinkKind::Peer,
            adopts: false,
            bodies: false,
            window: 2,
            packet: 64,
            circuits: 4,
            dead_ms: 2000,
            hear_ms: 500,
            nonce,
            echo,
            boot: 1,
            uid: 9,
            name: "n",
        };
        record(&Frame::Hello(hello))
    };
    fn data(bytes: &[u8]) -> Vec<u8> {
        record(&Frame::Data(Handle::new(0), Part::Whole, bytes))
    }
    let (mut a, mut b, mut packets) = (end(), end(), Vec::new());
    let (nonce_a, nonce_b) = (NONCES[0], NONCES[1]);
    // Puts what `from` says on the line, then what the other answers.
    let mut pass = |from: char, at: &mut LineEnd, to: &mut LineEnd, keep: bool| {
        let mut bytes = at.drain(usize::MAX);
        // After a pause a delimiter leads; it belongs to no packet.
        bytes.drain(..usize::from(bytes.first() == Some(&0)));
        let mut input = &bytes[..];
        while let Ok(Some(_)) = to.next(&mut input) {}
        let mut whole = bytes.split_inclusive(|&byte| byte == 0).map(<[u8]>::to_vec);
        if keep {
            packets.extend(whole.by_ref().map(|packet| (from, packet)));
        }
        bytes
    };
    assert!(a.put(&hello(nonce_a, 0), true));
    pass('A', &mut a, &mut b, true);
    assert!(b.put(&hello(nonce_b, nonce_a), true));
    pass('B', &mut b, &mut a, true);
    assert!(a.put(&hello(nonce_a, nonce_b), true));
    pass('A', &mut a, &mut b, true);
    pass('B', &mut b, &mut a, true);
    assert!(a.put(&data(b"hello"), false) && a.put(&record(&Frame::Beat), false));
    pass('A', &mut a, &mut b, true);
    assert!(b.put(&data(&[0; 3]), false));
    pass('B', &mut b, &mut a, true);
    // B hears a packet that is broken, and wants it again.
    assert!(a.put(&data(b"again"), false));
    let mut broken = a.drain(usize::MAX);
    broken[4] ^= 1;
    let mut input = &broken[..];
    assert_eq!(b.next(&mut input), Ok(None));
    pass('B', &mut b, &mut a, true);
    pass('A', &mut a, &mut b, true);
    pass('B', &mut b, &mut a, true);
    for n in 2..18 {
        assert!(a.put(&data(&[n]), false));
        pass('A', &mut a, &mut b, n == 17);
        pass('B', &mut b, &mut a, n == 17);
    }
    packets
}

const NONCES: [u64; 2] = [0x1122_3344_5566_7788, 2];

fn record(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = [0; 128];
    let len = frame.write(&mut bytes).unwrap();
    [&[len as u8][..], &bytes[..len]].concat()
}

/// A packet in words, by the letter of wire.md and without the code under test.
fn tell_packet(from: char, packet: &[u8]) -> String {
    let (mut bytes, mut rest) = (Vec::new(), packet.strip_suffix(&[0]).unwrap());
    while let Some((&code, after)) = rest.split_first() {
        let (run, after) = after.split_at(usize::from(code) - 1);
        bytes.extend_from_slice(run);
        if code < 0xff && !after.is_empty() {
            bytes.push(0);
        }
        rest = after;
    }
    let (covered, crc) = bytes.split_at(bytes.len() - 4);
    let (kind, numbers) = (covered[0] >> 4 & 3, covered[1]);
    assert_eq!(covered[0] & 0xcf, 0x80);
    let session = {
        let nonces = [NONCES[0].to_le_bytes(), NONCES[1].to_le_bytes()].concat();
        let number = crc32c(0, &nonces);
        if from == 'A' { number } else { !number }
    };
    // Rounds of the sequence and of the acknowledgement: few here, so they are tried.
    let seeds = (0..2u32).flat_map(|s| (0..2u32).map(move |a| (s, a)));
    let mut seeds = seeds.map(|(s, a)| (s, a, session ^ s ^ a << 16));
    let (s, a) = if kind == 3 {
        assert_eq!(crc32c(0x6e63_686e, covered).to_le_bytes(), *crc);
        (0, 0)
    } else {
        let (s, a, _) = seeds.find(|&(_, _, seed)| crc32c(seed, covered).to_le_bytes() == *crc).unwrap();
        (s, a)
    };
    let (sequence, ack) = (s * 16 + u32::from(numbers >> 4), a * 16 + u32::from(numbers & 0xf));
    match kind {
        0 => format!("DATA sequence={sequence} ack={ack} {}", hex(&covered[2..])),
        1 => format!("ACK ack={ack}"),
        2 => format!("NAK ack={ack}"),
        _ => format!("HELLO {}", hex(&covered[2..])),
    }
}

fn file() -> String {
    std::fs::read_to_string(FILE).unwrap()
}

#[test]
fn the_file_has_these_bytes() {
    if std::env::var_os("NETCHAN_BLESS").is_some() {
        std::fs::write(FILE, generate()).unwrap();
    }
    assert_eq!(file(), generate(), "the wire has changed; NETCHAN_BLESS=1 writes the new file");
}

#[test]
fn every_line_parses_to_its_meaning_and_is_written_as_it_stands() {
    let file = file();
    let mut lines = 0;
    for line in file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        lines += 1;
        if let Some((meaning, bytes)) = line.split_once(" < ") {
            assert_eq!(tell(&Frame::parse(&unhex(bytes)).unwrap()), meaning);
            continue;
        }
        let (meaning, bytes) =
            line.split_once(" = ").unwrap_or_else(|| (line.strip_suffix(" =").unwrap(), ""));
        let bytes = unhex(bytes);
        if let Some(error) = meaning.strip_prefix("! ") {
            assert_eq!(Frame::parse(&bytes).unwrap_err().to_string(), error, "{line}");
        } else if let Some(packet) = meaning.strip_prefix("LINE ") {
            let (from, told) = packet.split_once(' ').unwrap();
            assert_eq!(tell_packet(from.chars().next().unwrap(), &bytes), told);
        } else if meaning.starts_with("PACKET") {
            let step = framing::next(&bytes, 256, Some(0x0102_0304));
            assert_eq!(step, Ok(framing::Step::Frame(&[8], bytes.len())));
            assert_eq!(framing::next(&bytes, 256, Some(0x0102_0305)), Err(netchan::proto::Fault::Corrupt));
        } else {
            let frame = Frame::parse(&bytes).unwrap();
            assert_eq!(tell(&frame), meaning);
            let mut out = vec![0; bytes.len()];
            assert_eq!(frame.write(&mut out), Ok(bytes.len()));
            assert_eq!(out, bytes);
            for short in 0..bytes.len() {
                assert!(frame.write(&mut out[..short]).is_err(), "too little room is an error");
            }
        }
    }
    assert!(lines > 50);
}

/// The link takes the frame in any of its states without a panic, and holds no more than it granted.
fn feed(pairs: &[Pair], bytes: &[u8]) {
    for pair in pairs {
        let mut node = pair.b.clone();
        node.port.output.clear();
        let mut writer = pair.a.port.clone();
        writer.output.clear();
        writer.forge_bytes(bytes);
        node.receive(&writer.output);
        node.pump();
        let reply = if matches!(Frame::parse(bytes), Ok(Frame::Hello(_))) { 120 } else { bytes.len() + 16 };
        assert!(node.port.output.len() <= reply, "{} bytes answer {}", node.port.output.len(), hex(bytes));
    }
}

#[test]
fn every_cut_and_every_flipped_bit_of_them_is_bounded_and_panics_nowhere() {
    let mut held = Pair::up();
    held.b.policy = Policy::Hold;
    let mut open = Pair::up();
    open.a.open("x", OpenFlags::BOTH).unwrap();
    open.a.open("y", OpenFlags::SENDS).unwrap();
    open.b.open("z", OpenFlags::BOTH).unwrap();
    open.run();
    let config = |name, number| Pair::config(name, number);
    let mut before = Pair::new(config("a", 1), config("b", 2));
    before.b.pump();
    let pairs = [held, open, before];
    for bytes in samples() {
        feed(&pairs, &bytes);
        for cut in 0..bytes.len() {
            if let Ok(frame) = Frame::parse(&bytes[..cut]) {
                let mut out = vec![0; cut];
                assert!(frame.write(&mut out).is_ok_and(|len| len <= cut));
            }
            if cut > 0 {
                feed(&pairs, &bytes[..cut]);
            }
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(frame) = Frame::parse(&flipped) {
                let mut out = vec![0; flipped.len()];
                let len = frame.write(&mut out).unwrap();
                assert_eq!(
                    Frame::parse(&out[..len]).unwrap(),
                    frame,
                    "what parses is written and parses again"
                );
            }
            feed(&pairs, &flipped);
        }
    }
}

#[test]
fn every_flipped_bit_of_a_packet_with_a_checksum_is_refused() {
    for frame in samples() {
        let seed = 0x5eed_5eed;
        let mut packet = vec![0; 5];
        let n = netchan::proto::varint::put(&mut packet, 0, frame.len() as u32 + 4);
        packet.truncate(n);
        packet.extend_from_slice(&frame);
        packet.extend_from_slice(&crc32c(seed, &frame).to_le_bytes());
        let whole = framing::next(&packet, 256, Some(seed));
        assert_eq!(whole, Ok(framing::Step::Frame(&frame[..], packet.len())));
        for bit in 0..packet.len() * 8 {
            let mut flipped = packet.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let next = framing::next(&flipped, 256, Some(seed));
            assert!(!matches!(next, Ok(framing::Step::Frame(..))), "bit {bit} of {}", hex(&packet));
        }
        for cut in 0..packet.len() {
            assert!(
                matches!(framing::next(&packet[..cut], 256, Some(seed)), Ok(framing::Step::Need(n)) if n > 0)
            );
        }
    }
}
