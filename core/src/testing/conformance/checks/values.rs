//! Values, the credit that they need, and what is known of those that were sent.

use core::time::Duration;

use crate::proto::{Frame, Open, Part, Reason, Total};
use crate::testing::conformance::Failure;
use crate::testing::conformance::contract::order;
use crate::testing::conformance::desk::{Desk, Result, differs, echo, encoded, piece, same, sink, source};
use crate::testing::conformance::hand::Ending;

pub(super) fn values_come_in_order_with_credit_for_one(desk: &mut Desk<'_>) -> Result {
    numbers(desk, Open { credit: 9, limit: 5, ..source() }, 40)
}

pub(super) fn values_come_in_order_with_a_large_window(desk: &mut Desk<'_>) -> Result {
    numbers(desk, source(), 500)
}

fn numbers(desk: &mut Desk<'_>, open: Open<'_>, count: u32) -> Result {
    desk.up()?;
    let id = desk.import(&open)?;
    desk.order(order::SEND, count)?;
    for n in 0..count {
        let got = desk.number(id)?;
        same("the next number", n, got)?;
    }
    desk.pass(Duration::from_millis(50))?;
    same("numbers that have come", count, desk.node.circuits[id].received)?;
    desk.hang_up(id)
}

pub(super) fn nothing_is_sent_beyond_the_credit(desk: &mut Desk<'_>) -> Result {
    const ROOM: u32 = 3;
    const COUNT: u32 = 20;
    desk.up()?;
    let id = desk.import(&Open { credit: 8 * ROOM, limit: 5, ..source() })?;
    desk.order(order::SEND, COUNT)?;
    desk.until("what there is credit for", |desk| (desk.node.circuits[id].received >= ROOM).then_some(()))?;
    desk.pass(Duration::from_millis(300))?;
    same("numbers for which there was credit", ROOM, desk.node.circuits[id].received)?;
    for n in 0..COUNT {
        let got = desk.number(id)?;
        same("the next number", n, got)?;
    }
    desk.hang_up(id)
}

pub(super) fn credit_comes_back_when_values_are_taken(desk: &mut Desk<'_>) -> Result {
    /// More than any specimen has room for in `sink`.
    const COUNT: u32 = 700;
    desk.up()?;
    desk.order(order::HOLD, 0)?;
    let id = desk.import(&sink())?;
    (0..COUNT).for_each(|n| desk.node.send(id, encoded(&n)));
    desk.pass(Duration::from_millis(300))?;
    let started = desk.node.circuits[id].started;
    if started == 0 || started == COUNT {
        return Err(differs("values that nobody takes", "credit for some of them", started));
    }
    desk.pass(Duration::from_millis(200))?;
    same("values for which there is credit", started, desk.node.circuits[id].started)?;
    desk.order(order::GO, 0)?;
    desk.close(id)
}

pub(super) fn only_what_is_taken_is_confirmed(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    desk.order(order::HOLD, 0)?;
    let id = desk.import(&sink())?;
    (0..5_u32).for_each(|n| desk.node.send(id, encoded(&n)));
    desk.until("the values to be written", |desk| (desk.node.circuits[id].started == 5).then_some(()))?;
    desk.ask(id, 2);
    desk.pass(Duration::from_millis(600))?;
    same("values that nobody has taken", 0, desk.node.circuits[id].confirmed)?;
    desk.order(order::HOLD, 2)?;
    desk.confirmed(id, 2)?;
    desk.pass(Duration::from_millis(300))?;
    same("values of which two were taken", 2, desk.node.circuits[id].confirmed)?;
    desk.order(order::GO, 0)?;
    desk.close(id)
}

pub(super) fn what_is_taken_is_told_soon(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    let id = desk.import(&sink())?;
    let tells_unasked = desk.specimen.tells_unasked;
    for n in 1..=3 {
        desk.node.send(id, encoded(&n));
        desk.until("a value to be written", |desk| (desk.node.circuits[id].started >= n).then_some(()))?;
        if !tells_unasked {
            desk.ask(id, n);
        }
        let start = desk.now();
        let all = |desk: &mut Desk<'_>| (desk.node.circuits[id].confirmed >= n).then_some(());
        desk.until("a value to be confirmed", all)?;
        // Half a second, and what a busy machine needs.
        if desk.now().since(start) > Duration::from_millis(1500) {
            return Err(differs("a value to be confirmed", "half a second", desk.now().since(start)));
        }
    }
    desk.close(id)
}

pub(super) fn who_hangs_up_says_how_many_were_taken(desk: &mut Desk<'_>) -> Result {
    const COUNT: u32 = 700;
    desk.up()?;
    desk.order(order::HOLD, 2)?;
    let id = desk.import(&sink())?;
    (0..COUNT).for_each(|n| desk.node.send(id, encoded(&n)));
    desk.confirmed(id, 2)?;
    desk.order(order::HANG_UP, 0)?;
    let dead = desk.until("it to hang up", |desk| desk.node.circuits[id].dead)?;
    same("why it has", Reason::HungUp, dead.reason)?;
    let account = desk.node.circuits[id].account();
    same("what was taken", 2, account.confirmed)?;
    same("what was sent", account.sent, account.confirmed + account.in_doubt + account.unsent)?;
    if account.in_doubt == 0 || account.unsent == 0 {
        return Err(differs("what was not taken", "some in doubt, and some unsent", account));
    }
    desk.free(id)?;
    // The next importer has nothing of it.
    let id = desk.import(&sink())?;
    desk.node.send(id, encoded(&1_u32));
    desk.close(id)
}

pub(super) fn an_end_follows_all_values(desk: &mut Desk<'_>) -> Result {
    const COUNT: u32 = 30;
    desk.up()?;
    for credit in [9, 1000] {
        let id = desk.import(&Open { credit, limit: 5, ..source() })?;
        desk.order(order::SEND, COUNT)?;
        desk.order(order::END, 0)?;
        for n in 0..COUNT {
            let got = desk.number(id)?;
            same("the next number", n, got)?;
        }
        let end = desk.end_of(id)?;
        same("how it ends", None, end)?;
        desk.free(id)?;
    }
    Ok(())
}

pub(super) fn both_ends_may_end_at_once(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    for n in 0..12 {
        let id = desk.import(&source())?;
        desk.order(order::SEND, 2)?;
        // The order and the DEAD are under way when the END comes; now and then one of them is first.
        desk.order_at_once(order::END, 0)?;
        for _ in 0..n {
            desk.step()?;
        }
        desk.hang_up(id)?;
        let id = desk.import(&echo())?;
        desk.node.send(id, piece(n, 8));
        desk.node.end(id);
        for _ in 0..n {
            desk.step()?;
        }
        desk.hang_up(id)?;
    }
    Ok(())
}

pub(super) fn an_import_of_some_values_is_ended_after_so_many(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    let id = desk.import(&Open { values: 5, ..source() })?;
    desk.order(order::SEND, 20)?;
    for n in 0..5 {
        let got = desk.number(id)?;
        same("the next number", n, got)?;
    }
    let end = desk.end_of(id)?;
    same("how it ends", None, end)?;
    desk.free(id)?;
    // What else it has may go to the next one, who does not want it.
    desk.order(order::SEND, 0)?;
    let next = desk.import(&source())?;
    desk.hang_up(next)
}

pub(super) fn large_messages_pass_beside_small_ones(desk: &mut Desk<'_>) -> Result {
    const LARGE: u32 = 12;
    const SMALL: u32 = 200;
    desk.up()?;
    let (large, small) = (desk.import(&echo())?, desk.import(&source())?);
    desk.order(order::SEND, SMALL)?;
    (0..LARGE).for_each(|n| desk.node.send(large, piece(n, 160)));
    for n in 0..SMALL {
        let got = desk.number(small)?;
        same("a small one", n, got)?;
    }
    for n in 0..LARGE {
        let got = desk.take(large)?;
        same("a large one", piece(n, 160), got)?;
    }
    desk.hang_up(small)?;
    desk.part(large)
}

pub(super) fn a_message_in_parts_is_put_together(desk: &mut Desk<'_>) -> Result {
    let mut hand = desk.by_hand()?;
    hand.open(0, &echo())?;
    let (handle, bytes) = (hand.mine(0), piece(9, 40));
    hand.say(&Frame::Data(handle, Part::First(40), &bytes[..1]));
    // Frames of the circuit may come between the parts, but no other message.
    hand.say(&Frame::Ask(handle, Total::new(1)));
    hand.say(&Frame::Data(handle, Part::More, &bytes[1..39]));
    hand.say(&Frame::Ping);
    hand.say(&Frame::Data(handle, Part::More, &bytes[39..]));
    let mut got = alloc::vec::Vec::new();
    while got.len() < bytes.len() {
        let part = hand.next("an echo", |frame| match frame {
            Frame::Data(of, _, bytes) if *of == handle => Some(bytes.to_vec()),
            _ => None,
        })?;
        got.extend(part);
    }
    same("an echo", bytes, got)?;
    hand.hang_up(0)
}

pub(super) fn a_value_that_does_not_decode_ends_its_circuit_only(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    let beside = desk.import(&echo())?;
    // A number is not canonical, has more bits than there are, or has something behind it.
    for wrong in [&[0x80, 0x00][..], &[0xff, 0xff, 0xff, 0xff, 0x7f], &[1, 2], &[]] {
        let id = desk.import(&sink())?;
        desk.node.send(id, encoded(&1_u32));
        desk.node.send(id, wrong.to_vec());
        let dead = desk.until("its end", |desk| desk.node.circuits[id].dead)?;
        same("what is said of a value that does not decode", Reason::DecodeFailed, dead.reason)?;
        desk.free(id)?;
        desk.node.send(beside, wrong.to_vec());
        let got = desk.take(beside)?;
        same("an echo beside", wrong.to_vec(), got)?;
    }
    desk.part(beside)
}

pub(super) fn a_post_is_taken_or_refused(desk: &mut Desk<'_>) -> Result {
    let takes = desk.specimen.takes_posts;
    let mut hand = desk.by_hand()?;
    let (handle, body) = (hand.mine(0), encoded(&7_u32));
    same("what its hello says of posts", takes, hand.takes_bodies())?;
    hand.say(&Frame::Open(handle, Open { body: Some(&body), ..sink() }));
    if takes {
        hand.next("the accept", |frame| {
            matches!(frame, Frame::Accept(of, _) if *of == handle).then_some(())
        })?;
        hand.say(&Frame::Done(handle, Total::ZERO));
        return hand.next("word that it was taken", |frame| match frame {
            Frame::Done(of, total) if *of == handle => {
                Some(same("values that were taken", Total::new(1), *total))
            }
            Frame::Dead(of, dead) if *of == handle => Some(Err(differs("a post", "it taken", dead))),
            _ => None,
        })?;
    }
    // It was told not to, and may refuse or end the link; it may not take it.
    let answer = hand.next("a refusal", |frame| match frame {
        Frame::Accept(of, _) if *of == handle => Some(Err(differs("a post", "a refusal", "it was accepted"))),
        Frame::Dead(of, _) if *of == handle => Some(Ok(())),
        _ => None,
    });
    match answer {
        Ok(Ok(())) => {
            hand.say(&Frame::Done(handle, Total::ZERO));
            hand.flush()
        }
        Ok(wrong) => wrong,
        Err(Failure::Over { .. }) if hand.has_ended() != Some(Ending::Goodbye(Reason::Shutdown)) => Ok(()),
        Err(failure) => Err(failure),
    }
}
