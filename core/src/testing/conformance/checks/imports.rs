//! What the specimen imports.

use core::time::Duration;

use crate::testing::conformance::contract::{FEED, REPORT};
use crate::testing::conformance::desk::{Desk, Result, encoded, same};

pub(super) fn its_imports_are_made_in_each_session(desk: &mut Desk<'_>) -> Result {
    for session in 0..3 {
        desk.up()?;
        if desk.specimen.imports {
            let (feed, report) = (desk.imported(FEED)?, desk.imported(REPORT)?);
            // Nothing of the session before.
            desk.pass(Duration::from_millis(50))?;
            same("what came before anything was sent", 0, desk.node.circuits[report].received)?;
            (0..30).for_each(|n| desk.node.send(feed, encoded(&(session * 1000 + n))));
            for n in 0..30 {
                let got = desk.number(report)?;
                same("what it has imported", session * 1000 + n, got)?;
            }
            desk.close(feed)?;
        } else {
            desk.pass(Duration::from_millis(300))?;
            let link = &desk.node.port.link;
            let opened =
                desk.node.circuits.iter().filter(|it| it.handle.is_some_and(|handle| !link.is_mine(handle)));
            same("circuits that it opens", 0, opened.count())?;
        }
        desk.leave()?;
    }
    Ok(())
}
