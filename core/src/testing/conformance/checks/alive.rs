//! Signs of life, and silence.

use core::time::Duration;

use crate::proto::{Frame, Reason};
use crate::testing::conformance::Medium;
use crate::testing::conformance::desk::{Desk, Result, differs, echo, piece, same};

/// What a busy machine may add to a time.
const SLACK: Duration = Duration::from_millis(500);
/// What may keep a sign of life, beside a busy machine: what goes before it on a line, and its being sent again.
const LATE: Duration = Duration::from_millis(1000);
/// So long a step may take without this side having stood still.
const STEP_MAX: Duration = Duration::from_millis(5);

pub(super) fn an_idle_link_stays(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    let id = desk.import(&echo())?;
    let (before, _) = desk.losses()?;
    desk.pass(desk.dead(9))?;
    desk.node.send(id, piece(1, 20));
    let got = desk.take(id)?;
    same("an echo after a long time", piece(1, 20), got)?;
    let (after, _) = desk.losses()?;
    same("importers that were lost meanwhile", before, after)?;
    desk.part(id)
}

pub(super) fn it_is_heard_as_often_as_it_has_promised(desk: &mut Desk<'_>) -> Result {
    let time = desk.dead(10);
    let mut hand = desk.by_hand()?;
    hand.flush()?;
    hand.kept();
    let promise = Duration::from_millis(hand.promise_ms().into());
    // Long enough for a silence that is too long, and for several signs beside it.
    let time = time.max(2 * (promise + LATE));
    if 2 * time > hand.bound() {
        return Err(differs("how often it is to be heard", "what a check has time for", promise));
    }
    let (mut last, mut listened, mut silence) = (hand.now(), Duration::ZERO, Duration::ZERO);
    let mut signs = 0_u32;
    while listened < time {
        hand.step()?;
        // Where this side was not run for a while, the other one may not have been either.
        let step = hand.now().since(last).min(STEP_MAX);
        (listened, silence) = (listened + step, silence + step);
        last = hand.now();
        if hand.kept().count() > 0 {
            (silence, signs) = (Duration::ZERO, signs + 1);
        }
        // It is promised to its peer, so the way counts as well.
        if silence > promise + LATE {
            return Err(differs("signs of life", promise, silence));
        }
    }
    // Of a short promise the slack is many: so they are counted as well, and half of them may be late or lost.
    let least = (time - SLACK).as_micros() / (2 * promise).as_micros().max(1);
    if u128::from(signs) < least {
        return Err(differs("signs of life in all", least, signs));
    }
    Ok(())
}

pub(super) fn a_ping_is_answered_and_many_are_no_more_than_that(desk: &mut Desk<'_>) -> Result {
    const MANY: u32 = 50;
    let mut hand = desk.by_hand()?;
    let pong = |frame: &Frame<'_>| (*frame == Frame::Pong).then_some(());
    hand.say(&Frame::Ping);
    hand.next("a PONG", pong)?;
    (0..MANY).for_each(|_| hand.say(&Frame::Ping));
    hand.next("a PONG", pong)?;
    hand.flush()?;
    hand.pass(Duration::from_millis(200))?;
    let more = hand.kept().filter(|frame| Frame::parse(frame) == Ok(Frame::Pong)).count() as u32;
    if more >= MANY { Err(differs("answers to 50 PINGs", "50 at most", more + 1)) } else { Ok(()) }
}

pub(super) fn a_silent_peer_is_dead_in_time(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    let (before, _) = desk.losses()?;
    desk.leave()?;
    let (dead, limit) = (desk.dead(4), desk.dead(5) + SLACK);
    let mut hand = desk.stranger()?;
    hand.hear_ms = dead.as_millis() as u32 / 4;
    hand.bring_up()?;
    hand.open(0, &echo())?;
    hand.flush()?;
    let start = hand.now();
    hand.ending_in_silence("it to take a silent peer for dead", limit)?;
    let took = hand.now().since(start);
    // It has heard this side a little before.
    if took + SLACK / 4 < dead {
        return Err(differs("a silent peer to be dead", dead, took));
    }
    desk.up()?;
    let is_line = matches!(desk.specimen.medium, Medium::Line(_));
    let (count, reason) = desk.lost_since(before)?;
    same("importers that were lost", before + 1, count)?;
    // On a line that nothing is acknowledged may be noticed before that nothing is heard.
    if reason == Reason::Unresponsive || is_line && reason == Reason::LinkLost {
        return Ok(());
    }
    Err(differs("what its program was told", Reason::Unresponsive, reason))
}

pub(super) fn an_announced_silence_is_no_death(desk: &mut Desk<'_>) -> Result {
    let (dead, silence) = (desk.dead(4), desk.dead(7));
    let mut hand = desk.stranger()?;
    hand.hear_ms = dead.as_millis() as u32 / 4;
    hand.bring_up()?;
    hand.open(0, &echo())?;
    let handle = hand.mine(0);
    hand.say(&Frame::Quiet(silence.as_millis() as u32));
    hand.flush()?;
    let start = hand.now();
    while hand.now().since(start) < silence - dead / 4 {
        hand.listen()?;
    }
    hand.say(&Frame::Quiet(0));
    hand.data(handle, &piece(5, 20));
    let got = hand.next("an echo after a silence that was announced", |frame| match frame {
        Frame::Data(of, _, bytes) if *of == handle => Some(bytes.to_vec()),
        _ => None,
    })?;
    same("an echo", piece(5, 20), got)?;
    hand.hang_up(0)
}
