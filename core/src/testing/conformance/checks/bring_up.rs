//! How a session begins.

use core::time::Duration;

use crate::proto::{Frame, Hello, PROTOCOL_VERSION};
use crate::testing::conformance::Medium;
use crate::testing::conformance::desk::{Desk, Nonce, Result, differs, echo, piece, same};
use crate::testing::conformance::hand::Ending;

/// A stranger is told within this that he is one.
const SOON: Duration = Duration::from_secs(5);

/// Text of a boot loader, with what a wrong baud rate makes of bytes.
const NOISE: &[u8] = b"\r\nU-Boot 2023.01 (Jan 09 2023)\r\n\xff\xff\x00\x00\x80\xa0\x01\x00Starting kernel ...\r\n\x00\x01\x01\x01\x01\x00";

pub(super) fn a_link_comes_up_whoever_has_the_higher_nonce(desk: &mut Desk<'_>) -> Result {
    for nonce in [Nonce::Low, Nonce::High, Nonce::Low] {
        desk.up_as(nonce)?;
        let id = desk.import(&echo())?;
        desk.node.send(id, piece(7, 20));
        let got = desk.take(id)?;
        same("an echo", piece(7, 20), got)?;
        desk.part(id)?;
        desk.leave()?;
    }
    Ok(())
}

pub(super) fn a_version_that_is_not_spoken_is_answered_and_refused(desk: &mut Desk<'_>) -> Result {
    let is_stream = matches!(desk.specimen.medium, Medium::Stream);
    let mut hand = desk.stranger()?;
    let later = PROTOCOL_VERSION + 7;
    let hello = Hello { oldest: later, newest: later, ..hand.hello() };
    hand.say(&Frame::Hello(hello));
    let spoken = hand.next("its hello", |frame| match frame {
        Frame::Hello(hello) => Some((hello.oldest, hello.newest, hello.nonce)),
        _ => None,
    })?;
    same("versions that it speaks", (PROTOCOL_VERSION, PROTOCOL_VERSION), (spoken.0, spoken.1))?;
    // Even an echo of its nonce brings no link up.
    let hello = Hello { echo: spoken.2, ..hello };
    hand.say(&Frame::Hello(hello));
    hand.say(&Frame::Open(hand.mine(0), echo()));
    if is_stream {
        let ending = hand.ending("it to close the stream", SOON)?;
        return if ending == Ending::Again {
            Err(differs("a stranger", "a closed stream", ending))
        } else {
            Ok(())
        };
    }
    // On a line it waits for a peer that fits, and says nothing but hello.
    let until = hand.now() + Duration::from_millis(1500);
    while hand.now() < until {
        hand.step()?;
        for frame in hand.kept() {
            if !matches!(Frame::parse(&frame), Ok(Frame::Hello(_))) {
                return Err(differs("to a stranger", "hellos only", frame));
            }
        }
    }
    Ok(())
}

pub(super) fn noise_before_the_first_packet_does_no_harm(desk: &mut Desk<'_>) -> Result {
    let is_stream = matches!(desk.specimen.medium, Medium::Stream);
    let mut hand = desk.stranger()?;
    if is_stream {
        hand.noise(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let ending = hand.ending("it to close the stream", SOON)?;
        same("what a stranger is told", Ending::Closed, ending)?;
        // One that connects says hello first.
        return match hand.kept().find(|frame| !matches!(Frame::parse(frame), Ok(Frame::Hello(_)))) {
            Some(frame) => Err(differs("what a stranger is told", "nothing", frame)),
            None => Ok(()),
        };
    }
    for _ in 0..20 {
        hand.noise(NOISE)?;
    }
    hand.bring_up()?;
    hand.open(0, &echo())?;
    hand.hang_up(0)
}

pub(super) fn noise_between_packets_does_no_harm(desk: &mut Desk<'_>) -> Result {
    let is_stream = matches!(desk.specimen.medium, Medium::Stream);
    let mut hand = desk.by_hand()?;
    if is_stream {
        // A length beyond all that is agreed: nothing behind it may be interpreted.
        hand.noise(&[0xff, 0xff, 0xff, 0xff, 0x0f])?;
        let ending = hand.ending("it to end the link", SOON)?;
        return super::broken::is_fault(ending);
    }
    hand.open(0, &echo())?;
    let handle = hand.mine(0);
    for n in 0..20 {
        hand.data(handle, &piece(n, 30));
        hand.noise(NOISE)?;
        let got = hand.next("an echo", |frame| match frame {
            Frame::Data(of, _, bytes) if *of == handle => Some(bytes.to_vec()),
            _ => None,
        })?;
        same("an echo", piece(n, 30), got)?;
        hand.say(&Frame::Credit(handle, crate::proto::Total::new(4096 + 40 * (n + 1))));
    }
    hand.hang_up(0)
}
