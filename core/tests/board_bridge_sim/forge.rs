//! What a hostile node writes among its honest frames.

use netchan::proto::{
    Accept, Dead, DeadFrame, Fingerprints, Frame, Handle, Open, OpenFlags, Part, Place, Reason, Route, Total,
    TreeFrame,
};
use netchan::testing::{Port, Rng};

/// One frame that an honest node would not have written now.
pub(crate) fn forge(port: &mut Port, rng: &mut Rng) {
    let handle = Handle::new(rng.below(24) as u32);
    let total = Total::new(match rng.below(4) {
        0 => rng.below(100) as u32,
        1 => rng.below(5000) as u32,
        2 => 1 << 31,
        _ => rng.next() as u32,
    });
    let id = 1 + rng.below(40) as u32;
    let bytes = [0x5a; 40];
    let part = match rng.below(3) {
        0 => Part::Whole,
        1 => Part::First(rng.below(3000) as u32),
        _ => Part::More,
    };
    let frame = match rng.below(16) {
        0 | 1 => Frame::Data(handle, part, &bytes[..rng.below(40)]),
        2 => Frame::Credit(handle, total),
        3 => Frame::Taken(handle, total),
        4 => Frame::Ask(handle, total),
        5 => Frame::End(handle, total),
        6 => Frame::Done(handle, total),
        7 => {
            let dead = Dead { reason: Reason::new(rng.below(40) as u8), at: Place::Node(id) };
            Frame::Dead(handle, DeadFrame { dead, taken: total, detail: "forged" })
        }
        8 => Frame::Accept(
            handle,
            Accept { which: rng.below(4) as u8, credit: total.get(), limit: rng.below(5000) as u32 },
        ),
        9 => Frame::Attach(handle, Handle::new(rng.below(24) as u32), 0, open(rng, "", false)),
        10 => Frame::Tree(TreeFrame::AddRoute { id, via: id + 1, name: "forged" }),
        11 => Frame::Tree(TreeFrame::Allocate(id)),
        12 => Frame::Tree(TreeFrame::DelRoute(id, Reason::LinkLost)),
        _ => Frame::Open(handle, open(rng, "forged", true)),
    };
    port.forge(&frame);
}

/// What only a parent may say, and not so.
pub(crate) fn forge_above(port: &mut Port, rng: &mut Rng) {
    let id = 1 + rng.below(60) as u32;
    let frame = match rng.below(3) {
        0 => TreeFrame::Grant { start: id, count: 1 + rng.below(9) as u32 },
        1 => TreeFrame::Grant { start: 0, count: 0 },
        _ => return forge(port, rng),
    };
    port.forge(&Frame::Tree(frame));
}

fn open<'o>(rng: &mut Rng, name: &'o str, is_routed: bool) -> Open<'o> {
    let (from, to) = (1 + rng.below(40) as u32, 1 + rng.below(40) as u32);
    let hops = if rng.one_in(3) { 15 } else { rng.below(4) as u8 };
    let route = Route { from, hops, to: if rng.one_in(4) { 0 } else { to }, path: "" };
    let route = if route.to == 0 { Route { path: "relay-board/leaf", ..route } } else { route };
    Open {
        flags: [OpenFlags::SENDS, OpenFlags::RECEIVES, OpenFlags::BOTH][rng.below(3)],
        wait_ms: 0,
        credit: rng.below(5000) as u32,
        limit: rng.below(3000) as u32,
        values: 0,
        name,
        fingerprints: Fingerprints::new(7, &[]),
        type_name: "",
        route: is_routed.then_some(route),
        body: None,
    }
}
