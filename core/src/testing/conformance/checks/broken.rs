//! What comes of a broken protocol: the session ends, its program is told, and the next one is as if nothing had been.

use alloc::vec::Vec;
use core::time::Duration;

use crate::proto::{Accept, Frame, Handle, Open, Part, Reason, Total, TreeFrame, varint};
use crate::testing::conformance::contract::order;
use crate::testing::conformance::desk::{Desk, Result, differs, echo, encoded, piece, same, sink};
use crate::testing::conformance::hand::{Ending, Hand};

/// An end that is to come comes within this.
const SOON: Duration = Duration::from_secs(5);

/// That a link has ended as it does for a broken protocol: perhaps with a word, which says so then.
pub(super) fn is_fault(ending: Ending) -> Result {
    match ending {
        Ending::Goodbye(Reason::Protocol) | Ending::Closed | Ending::Again => Ok(()),
        other @ Ending::Goodbye(_) => {
            Err(differs("what is said of a broken protocol", Reason::Protocol, other))
        }
    }
}

/// Somebody who has imported `echo` does this, which ends the session; the specimen's program is told why.
fn breaks(desk: &mut Desk<'_>, act: impl FnOnce(&mut Hand<'_>, Handle)) -> Result {
    desk.up()?;
    let (before, _) = desk.losses()?;
    desk.leave()?;
    let mut hand = desk.by_hand()?;
    hand.open(0, &echo())?;
    let handle = hand.mine(0);
    act(&mut hand, handle);
    let ending = hand.ending("it to end the session", SOON)?;
    is_fault(ending)?;
    desk.up()?;
    desk.told(before, Reason::Protocol)
}

/// Somebody does this, which is not to end the session: an echo comes back in it.
fn does_no_harm(desk: &mut Desk<'_>, act: impl FnOnce(&mut Hand<'_>, Handle)) -> Result {
    let mut hand = desk.by_hand()?;
    hand.open(0, &echo())?;
    let handle = hand.mine(0);
    act(&mut hand, handle);
    hand.data(handle, &piece(3, 20));
    let got = hand.next("an echo", |frame| match frame {
        Frame::Data(of, _, bytes) if *of == handle => Some(bytes.to_vec()),
        _ => None,
    })?;
    same("an echo", piece(3, 20), got)?;
    hand.hang_up(0)
}

/// A frame of a kind for a handle, as bytes.
fn frame(handle: Handle, kind: u32, payload: &[u8]) -> Vec<u8> {
    let mut head = [0; varint::MAX_LEN];
    let n = varint::put(&mut head, 0, handle.get() << 3 | kind);
    [&head[..n], payload].concat()
}

/// Kinds, codes and words that there are, and that there are not.
const CREDIT: u32 = 4;
const TAKEN: u32 = 5;
const CONTROL: u32 = 6;
const UNKNOWN_KIND: u32 = 7;
const UNKNOWN_CODE: u8 = 9;
const UNKNOWN_WORD: u32 = 13;

pub(super) fn more_than_was_granted_is_a_fault(desk: &mut Desk<'_>) -> Result {
    // Nothing is taken, so nothing more is granted.
    desk.up()?;
    desk.order(order::HOLD, 0)?;
    desk.leave()?;
    let mut hand = desk.by_hand()?;
    let accept = hand.open(0, &sink())?;
    let handle = hand.mine(0);
    let fits = accept.credit / 8;
    for _ in 0..fits {
        hand.data(handle, &encoded(&1_u32));
    }
    hand.flush()?;
    hand.pass(Duration::from_millis(100))?;
    hand.data(handle, &encoded(&1_u32));
    let ending = hand.ending("it to end the session", SOON)?;
    is_fault(ending)
}

pub(super) fn a_message_longer_than_the_limit_is_a_fault(desk: &mut Desk<'_>) -> Result {
    let mut hand = desk.by_hand()?;
    let accept = hand.open(0, &sink())?;
    if accept.limit + 4 > accept.credit {
        return Err(differs("the limit of `sink`", "room for a message of it", accept));
    }
    let handle = hand.mine(0);
    // The length stands in its first part, and is all that comes.
    hand.say(&Frame::Data(handle, Part::First(accept.limit + 1), &[0]));
    let ending = hand.ending("it to end the session", SOON)?;
    is_fault(ending)
}

pub(super) fn a_kind_that_is_not_known_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, handle| hand.say_bytes(&frame(handle, UNKNOWN_KIND, &[0])))
}

pub(super) fn a_code_that_is_not_known_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, handle| hand.say_bytes(&frame(handle, CONTROL, &[UNKNOWN_CODE, 0])))
}

pub(super) fn a_word_of_the_link_that_is_not_known_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, _| hand.say_bytes(&frame(Handle::new(UNKNOWN_WORD), 0, &[0])))
}

pub(super) fn a_word_of_the_tree_from_a_peer_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, _| hand.say(&Frame::Tree(TreeFrame::Shutdown { grace_ms: 0 })))
}

pub(super) fn a_frame_that_is_cut_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, handle| hand.say_bytes(&frame(handle, CREDIT, &[])))
}

pub(super) fn a_number_that_is_longer_than_it_must_be_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, handle| hand.say_bytes(&frame(handle, CREDIT, &[0x80, 0x00])))
}

pub(super) fn bytes_behind_a_frame_are_a_fault_or_nothing(desk: &mut Desk<'_>) -> Result {
    let says = |hand: &mut Hand<'_>, handle| hand.say_bytes(&frame(handle, TAKEN, &[0, 0]));
    if desk.specimen.is_strict { breaks(desk, says) } else { does_no_harm(desk, says) }
}

pub(super) fn an_ack_beyond_what_was_sent_is_a_fault_or_nothing(desk: &mut Desk<'_>) -> Result {
    let says = |hand: &mut Hand<'_>, _| hand.say(&Frame::Ack(Total::new(1 << 20)));
    if desk.specimen.is_strict { breaks(desk, says) } else { does_no_harm(desk, says) }
}

pub(super) fn a_frame_for_nobody_is_a_fault_or_nothing(desk: &mut Desk<'_>) -> Result {
    let says = |hand: &mut Hand<'_>, _| {
        let free = hand.mine(2);
        hand.data(free, &[1]);
        hand.say(&Frame::Credit(free, Total::new(100)));
    };
    if desk.specimen.remembers { breaks(desk, says) } else { does_no_harm(desk, says) }
}

pub(super) fn an_open_of_the_other_parity_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, _| {
        let handle = hand.of_specimen(5);
        hand.say(&Frame::Open(handle, Open { name: "nothing", ..echo() }));
    })
}

pub(super) fn an_open_beyond_the_table_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, _| {
        let handle = hand.mine(hand.circuits());
        hand.say(&Frame::Open(handle, Open { name: "nothing", ..echo() }));
    })
}

pub(super) fn an_open_of_a_handle_in_use_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, handle| hand.say(&Frame::Open(handle, Open { name: "nothing", ..echo() })))
}

pub(super) fn an_accept_of_what_it_did_not_open_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, handle| {
        hand.say(&Frame::Accept(handle, Accept { which: 0, credit: 100, limit: 96 }));
    })
}

pub(super) fn credit_too_far_ahead_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, handle| hand.say(&Frame::Credit(handle, Total::new(0x5000_0000))))
}

pub(super) fn a_total_that_goes_back_is_ignored(desk: &mut Desk<'_>) -> Result {
    does_no_harm(desk, |hand, handle| {
        for total in [1, 0] {
            hand.say(&Frame::Credit(handle, Total::new(total)));
            hand.say(&Frame::Taken(handle, Total::ZERO));
        }
    })
}

pub(super) fn more_taken_than_was_sent_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, handle| hand.say(&Frame::Taken(handle, Total::new(1))))
}

pub(super) fn an_end_with_a_wrong_total_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, handle| {
        hand.data(handle, &piece(1, 4));
        hand.say(&Frame::End(handle, Total::new(2)));
    })
}

pub(super) fn a_done_before_the_end_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, handle| hand.say(&Frame::Done(handle, Total::ZERO)))
}

pub(super) fn a_value_behind_the_end_is_a_fault(desk: &mut Desk<'_>) -> Result {
    let mut hand = desk.by_hand()?;
    hand.open(0, &echo())?;
    let handle = hand.mine(0);
    hand.say(&Frame::End(handle, Total::ZERO));
    hand.data(handle, &piece(1, 4));
    let ending = hand.ending("it to end the session", SOON)?;
    is_fault(ending)
}

pub(super) fn a_message_inside_another_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, handle| {
        hand.say(&Frame::Data(handle, Part::First(20), &[1; 5]));
        hand.data(handle, &[2; 4]);
    })
}

pub(super) fn more_than_a_message_has_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, handle| {
        hand.say(&Frame::Data(handle, Part::First(10), &[1; 5]));
        hand.say(&Frame::Data(handle, Part::More, &[1; 6]));
    })
}

pub(super) fn a_part_of_no_message_is_a_fault(desk: &mut Desk<'_>) -> Result {
    breaks(desk, |hand, handle| hand.say(&Frame::Data(handle, Part::More, &[1; 3])))
}
