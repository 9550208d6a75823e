//! Latest values: the newest counts.

use core::time::Duration;

use crate::testing::Outcome;
use crate::testing::conformance::contract::order;
use crate::testing::conformance::desk::{Desk, Result, differs, newest, same};

pub(super) fn who_comes_later_has_the_newest_value_at_once(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    for value in [5, 70_000] {
        desk.order(order::SET, value - 1)?;
        desk.order(order::SET, value)?;
        let id = desk.import(&newest())?;
        let got = desk.number(id)?;
        same("the first value", value, got)?;
        desk.order(order::SET, value + 1)?;
        let got = desk.number(id)?;
        same("the next value", value + 1, got)?;
        // It comes once.
        desk.pass(Duration::from_millis(100))?;
        same("a value that has come", Outcome::Empty, desk.node.take(id))?;
        desk.hang_up(id)?;
    }
    Ok(())
}

pub(super) fn none_is_stale_after_a_long_time_without_credit(desk: &mut Desk<'_>) -> Result {
    const FIRST: u32 = 100;
    const LAST: u32 = 130;
    desk.up()?;
    desk.order(order::SET, FIRST)?;
    let id = desk.import(&crate::proto::Open { credit: 9, limit: 5, ..newest() })?;
    for value in FIRST..=LAST {
        desk.order(order::SET, value)?;
    }
    // What was under way when there was no credit any more comes first; behind it only the newest.
    let mut last = desk.number(id)?;
    let mut count = 1;
    while last != LAST {
        let next = desk.number(id)?;
        if next < last {
            return Err(differs("a value after another one", "a newer one", (last, next)));
        }
        (last, count) = (next, count + 1);
        if count > 3 {
            return Err(differs("values without credit", "the newest of them", count));
        }
    }
    desk.pass(Duration::from_millis(100))?;
    same("what comes behind the newest", Outcome::Empty, desk.node.take(id))?;
    desk.hang_up(id)
}
