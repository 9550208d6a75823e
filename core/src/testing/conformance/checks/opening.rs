//! How circuits begin, and how they are refused.

use alloc::vec::Vec;
use core::time::Duration;

use crate::message::Message;
use crate::proto::{Fingerprints, Open, OpenFlags, Reason};
use crate::testing::Stage;
use crate::testing::conformance::contract::{DOUBLE_TYPE, ECHO_TYPE, FEED, LATER, REPORT, order};
use crate::testing::conformance::desk::{
    Desk, Result, differs, double, echo, encoded, newest, piece, same, sink, source,
};

/// The fingerprint of nothing.
const OTHER: u64 = 0x0123_4567_89ab_cdef;

pub(super) fn a_fingerprint_of_several_is_chosen(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    for (at, others) in [(1, [ECHO_TYPE, OTHER + 1, OTHER + 2]), (3, [OTHER + 1, OTHER + 2, ECHO_TYPE])] {
        let id = desk.import(&Open { fingerprints: Fingerprints::new(OTHER, &others), ..echo() })?;
        same("which fingerprint was chosen", at, desk.node.circuits[id].which)?;
        desk.node.send(id, piece(at.into(), 10));
        let got = desk.take(id)?;
        same("an echo", piece(at.into(), 10), got)?;
        desk.part(id)?;
    }
    Ok(())
}

pub(super) fn a_name_that_is_not_there_is_refused(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    // Names are matched whole, and one that is longer or shorter is another one.
    for name in ["nothing", "ech", "echoo", "echo/echo", "$nothing"] {
        let (reason, _) = desk.refused(&Open { name, ..echo() })?;
        same(name, Reason::NoName, reason)?;
    }
    Ok(())
}

pub(super) fn another_type_is_refused_by_its_name(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    let number = Fingerprints::new(u64::MAX ^ u32::FINGERPRINT.get(), &[]);
    for open in [source(), sink(), newest(), double(), echo()] {
        let (reason, detail) = desk.refused(&Open { fingerprints: number, ..open })?;
        same(open.name, Reason::TypeDiffers, reason)?;
        if detail.is_empty() {
            return Err(differs(open.name, "the name of the type that is exported", detail));
        }
    }
    let (_, detail) = desk.refused(&Open { fingerprints: number, ..source() })?;
    if !detail.contains(u32::NAME) {
        return Err(differs("the name of what is exported", u32::NAME, detail));
    }
    // The fingerprint of another kind of end over the same types is another one.
    let (reason, _) = desk.refused(&Open { fingerprints: Fingerprints::new(DOUBLE_TYPE, &[]), ..echo() })?;
    same("a call's fingerprint for a conversation", Reason::TypeDiffers, reason)
}

pub(super) fn another_direction_or_kind_is_refused(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    let wrong = [
        Open { flags: OpenFlags::SENDS, credit: 0, limit: 0, ..source() },
        Open { flags: OpenFlags::RECEIVES, ..Open { credit: 64, limit: 60, ..sink() } },
        Open { flags: OpenFlags::BOTH, ..source() },
        Open { flags: OpenFlags::RECEIVES.with(OpenFlags::LATEST), ..source() },
        Open { flags: OpenFlags::RECEIVES, ..newest() },
        Open { flags: OpenFlags::BOTH, ..double() },
        Open { flags: OpenFlags::RECEIVES, ..echo() },
    ];
    for open in wrong {
        let (reason, _) = desk.refused(&open)?;
        same(open.name, Reason::WrongDirection, reason)?;
    }
    Ok(())
}

pub(super) fn a_second_importer_is_refused_and_the_first_goes_on(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    let first = desk.import(&echo())?;
    for n in 0..5 {
        let (reason, _) = desk.refused(&echo())?;
        same("a second importer", Reason::Busy, reason)?;
        desk.node.send(first, piece(n, 12));
        let got = desk.take(first)?;
        same("an echo to the first", piece(n, 12), got)?;
    }
    desk.part(first)?;
    // And then the next may come.
    let next = desk.import(&echo())?;
    desk.part(next)
}

pub(super) fn opens_beyond_the_room_are_refused_and_others_go_on(desk: &mut Desk<'_>) -> Result {
    /// More than any specimen has room for, and as many as this side has handles.
    const MANY: u32 = 60;
    desk.up()?;
    if desk.specimen.imports {
        // They have their room before others take it.
        desk.imported(FEED)?;
        desk.imported(REPORT)?;
    }
    let beside = desk.import(&echo())?;
    let mut held = Vec::new();
    let reason = loop {
        let id = desk.begin(&double())?;
        let dead = desk.until("an answer to an open", |desk| {
            let circuit = &desk.node.circuits[id];
            circuit.dead.map(Some).or_else(|| (circuit.stage == Stage::Open).then_some(None))
        })?;
        match dead {
            Some(dead) => break dead.reason,
            None => held.push(id),
        }
        if held.len() as u32 == MANY {
            return Err(differs("opens without end", desk.specimen.no_room, "room for all"));
        }
    };
    same("an open without room", desk.specimen.no_room, reason)?;
    desk.node.send(beside, piece(3, 100));
    let got = desk.take(beside)?;
    same("an echo beside", piece(3, 100), got)?;
    for &id in &held {
        desk.node.send(id, [&[1, 0, 0][..], &encoded(&4_u32)].concat());
        let got = desk.take(id)?;
        same("an answer to one that has its place", [&[1, 0][..], &encoded(&8_u32)].concat(), got)?;
    }
    // What one gives up another one may have.
    let Some(last) = held.pop() else { return Err(differs("the first open", "room for it", reason)) };
    desk.hang_up(last)?;
    let again = desk.import_into_room(&double())?;
    held.push(again);
    for id in held {
        desk.hang_up(id)?;
    }
    desk.part(beside)
}

pub(super) fn an_open_waits_for_its_export_or_is_refused_at_once(desk: &mut Desk<'_>) -> Result {
    const SHORT_MS: u32 = 300;
    const LONG_MS: u32 = 30_000;
    desk.up()?;
    let waiting = Open { name: LATER, wait_ms: LONG_MS, ..source() };
    if !desk.specimen.waits {
        let (reason, _) = desk.refused(&waiting)?;
        return same("an open that would wait", Reason::NoName, reason);
    }
    let id = desk.begin(&waiting)?;
    desk.pass(Duration::from_millis(100))?;
    same("an open that waits", Stage::Opening, desk.node.circuits[id].stage)?;
    desk.order(order::LATER, 1)?;
    desk.until("the open that waits to be accepted", |desk| {
        (desk.node.circuits[id].stage == Stage::Open).then_some(())
    })?;
    desk.order(order::LATER, 0)?;
    let end = desk.end_of(id)?;
    same("how an export ends that sends nothing more", None, end)?;
    desk.free(id)?;
    // One that is taken back is answered.
    let id = desk.begin(&waiting)?;
    desk.pass(Duration::from_millis(50))?;
    desk.hang_up(id)?;
    // And one that has waited long enough is refused.
    let start = desk.now();
    let (reason, _) = desk.refused(&Open { wait_ms: SHORT_MS, ..waiting })?;
    if !matches!(reason, Reason::NoName | Reason::Deadline) {
        return Err(differs("an open that has waited in vain", Reason::NoName, reason));
    }
    if desk.now().since(start) < Duration::from_millis(SHORT_MS.into()) {
        return Err(differs("an open that waits", "to be refused later", desk.now().since(start)));
    }
    Ok(())
}

pub(super) fn handles_are_free_when_both_sides_are_through(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    for n in 0..20 {
        let id = desk.import(&echo())?;
        desk.node.send(id, piece(n, 5));
        match n % 3 {
            0 => desk.part(id)?,
            1 => desk.hang_up(id)?,
            _ => {
                let got = desk.take(id)?;
                same("an echo", piece(n, 5), got)?;
                desk.hang_up(id)?;
            }
        }
        let id = desk.import(&sink())?;
        desk.node.send(id, encoded(&n));
        desk.close(id)?;
        // An open that is taken back before its answer has come.
        let id = desk.begin(&double())?;
        desk.hang_up(id)?;
        let (reason, _) = desk.refused(&Open { name: "nothing", ..echo() })?;
        same("nothing", Reason::NoName, reason)?;
    }
    desk.until("nothing to be left", |desk| {
        desk.node.port.mine.iter().all(|slot| slot.is_free()).then_some(())
    })
}
