//! How sessions end, and what the next one knows of them.

use core::time::Duration;

use crate::proto::{Fault, Open, Reason};
use crate::testing::conformance::Medium;
use crate::testing::conformance::contract::order;
use crate::testing::conformance::desk::{Desk, Result, differs, echo, piece, same, source};
use crate::testing::conformance::hand::Ending;

/// An end that is to come comes within this.
const SOON: Duration = Duration::from_secs(5);

pub(super) fn nothing_of_a_session_arrives_in_the_next(desk: &mut Desk<'_>) -> Result {
    for round in 0..3 {
        desk.up()?;
        // Both have more to send than there is credit for.
        let id = desk.import(&Open { credit: 164, limit: 160, ..echo() })?;
        (0..3).for_each(|n| desk.node.send(id, piece(n, 150)));
        let numbers = desk.import(&Open { credit: 16, limit: 5, ..source() })?;
        desk.order(order::SEND, 50)?;
        desk.until("the first of them", |desk| {
            let came = |id: usize| desk.node.circuits[id].received > 0;
            (came(id) && came(numbers)).then_some(())
        })?;
        // What its program has not begun to send is nobody's any more; what it has stays with the session.
        desk.order(order::SEND, 0)?;
        desk.leave_for(if round == 1 { Reason::Shutdown } else { Reason::Closed })?;
        desk.up()?;
        let (id, numbers) = (desk.import(&echo())?, desk.import(&source())?);
        desk.pass(Duration::from_millis(200))?;
        same("echoes of an earlier session", 0, desk.node.circuits[id].received)?;
        same("numbers of an earlier session", 0, desk.node.circuits[numbers].received)?;
        desk.node.send(id, piece(99, 30));
        let got = desk.take(id)?;
        same("the first echo", piece(99, 30), got)?;
        desk.order(order::SEND, 2)?;
        let got = desk.number(numbers)?;
        same("the first number", 0, got)?;
        desk.leave()?;
    }
    Ok(())
}

pub(super) fn a_goodbye_is_told_with_its_reason(desk: &mut Desk<'_>) -> Result {
    for reason in [Reason::Shutdown, Reason::NoResources, Reason::new(201)] {
        desk.up()?;
        let (before, _) = desk.losses()?;
        desk.import(&echo())?;
        desk.leave_for(reason)?;
        desk.up()?;
        desk.told(before, reason)?;
        desk.leave()?;
    }
    Ok(())
}

pub(super) fn a_death_is_told_with_its_reason(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    for reason in [Reason::HungUp, Reason::TooSlow, Reason::new(200)] {
        let (before, _) = desk.losses()?;
        let id = desk.import(&echo())?;
        desk.node.send(id, piece(1, 10));
        desk.node.kill(id, reason);
        desk.free(id)?;
        desk.told(before, reason)?;
    }
    // And an end in order is none.
    let (before, _) = desk.losses()?;
    let id = desk.import(&echo())?;
    desk.part(id)?;
    desk.told(before, Reason::new(0))
}

pub(super) fn a_peer_that_resets_its_link_is_told_so(desk: &mut Desk<'_>) -> Result {
    hello_again(desk, false, Reason::LinkReset)
}

pub(super) fn a_peer_that_restarts_is_told_so(desk: &mut Desk<'_>) -> Result {
    hello_again(desk, true, Reason::PeerRestarted)
}

fn hello_again(desk: &mut Desk<'_>, restarts: bool, reason: Reason) -> Result {
    desk.up()?;
    let (before, _) = desk.losses()?;
    desk.leave()?;
    let mut hand = desk.by_hand()?;
    hand.open(0, &echo())?;
    hand.flush()?;
    hand.begin_again(restarts);
    let ending = hand.ending("it to end the session", SOON)?;
    if !matches!(ending, Ending::Closed | Ending::Again | Ending::Goodbye(_)) {
        return Err(differs("a hello in a session", "its end", ending));
    }
    desk.up()?;
    desk.told(before, reason)
}

pub(super) fn a_specimen_that_restarts_says_so(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    let id = desk.import(&echo())?;
    desk.node.send(id, piece(1, 100));
    desk.way.restart()?;
    let fault = desk.ended("it to be noticed that it has restarted")?;
    let wanted = match desk.specimen.medium {
        Medium::Stream => Fault::Goodbye(Reason::LinkLost),
        Medium::Line(_) => Fault::Restarted(Reason::PeerRestarted),
    };
    same("what a restart is taken for", wanted, fault)?;
    desk.up()?;
    let id = desk.import(&echo())?;
    desk.pass(Duration::from_millis(100))?;
    same("echoes of before the restart", 0, desk.node.circuits[id].received)?;
    desk.part(id)
}
