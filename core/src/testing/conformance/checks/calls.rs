//! Methods: requests, answers, cancels.

use alloc::vec::Vec;
use core::time::Duration;

use crate::message::Message;
use crate::proto::{Reason, varint};
use crate::testing::Outcome;
use crate::testing::conformance::desk::{Desk, Result, differs, double, echo, encoded, piece, same};

fn request(id: u32, value: u32) -> Vec<u8> {
    let mut bytes = [0; varint::MAX_LEN];
    let n = varint::put(&mut bytes, 0, id);
    [&bytes[..n], &[0, 0], &encoded(&value)].concat()
}

fn cancel(id: u32) -> Vec<u8> {
    let mut bytes = [0; varint::MAX_LEN];
    let n = varint::put(&mut bytes, 0, id);
    [&bytes[..n], &[1]].concat()
}

/// The next answer: to which call, and the value or why there is none.
fn answer(desk: &mut Desk<'_>, circuit: usize) -> Result<(u32, Result<u32, Reason>)> {
    let bytes = desk.take(circuit)?;
    let parsed = varint::get(&bytes).ok().and_then(|(id, used)| match bytes.get(used..)? {
        [0, message @ ..] => Some((id, Ok(u32::decode(message).ok()?))),
        [1, reason] => Some((id, Err(Reason::new(*reason)))),
        _ => None,
    });
    parsed.ok_or_else(|| differs("an answer", "a number of a call, and a value or a reason", bytes))
}

pub(super) fn answers_match_their_calls(desk: &mut Desk<'_>) -> Result {
    const CALLS: u32 = 40;
    desk.up()?;
    let circuit = desk.import(&double())?;
    // Many at once; what there is no credit for waits here.
    (1..=CALLS).for_each(|id| desk.node.send(circuit, request(id, id * 1000)));
    let mut left: Vec<u32> = (1..=CALLS).collect();
    while !left.is_empty() {
        let (id, got) = answer(desk, circuit)?;
        let Some(at) = left.iter().position(|&of| of == id) else {
            return Err(differs("an answer", "one to each call", id));
        };
        left.remove(at);
        same("an answer", Ok(id * 2000), got)?;
    }
    desk.close(circuit)
}

pub(super) fn any_number_of_a_call_comes_back(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    let circuit = desk.import(&double())?;
    for id in [1, 127, 128, 16_384, u32::MAX / 2, u32::MAX - 1, u32::MAX] {
        desk.node.send(circuit, request(id, id));
        let (of, got) = answer(desk, circuit)?;
        same("an answer", (id, Ok(id.wrapping_mul(2))), (of, got))?;
    }
    desk.close(circuit)
}

pub(super) fn a_call_that_is_cancelled_is_answered_once(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    let circuit = desk.import(&double())?;
    for round in 0..5 {
        let first = round * 2 + 1;
        desk.node.send(circuit, request(first, 7));
        desk.node.send(circuit, cancel(first));
        // A cancel of what was never asked, or is answered, is none.
        desk.node.send(circuit, cancel(first));
        desk.node.send(circuit, request(first + 1, 8));
        let (mut cancelled, mut other) = (0, 0);
        while cancelled == 0 || other == 0 {
            match answer(desk, circuit)? {
                (id, Ok(14) | Err(_)) if id == first => cancelled += 1,
                (id, Ok(16)) if id == first + 1 => other += 1,
                got => return Err(differs("an answer", "one to each of two calls", got)),
            }
            if cancelled > 1 || other > 1 {
                return Err(differs("answers to two calls", "one to each", (cancelled, other)));
            }
        }
        desk.pass(Duration::from_millis(50))?;
        same("answers to a call that was cancelled", (1, 1), (cancelled, other))?;
        same("what comes after all answers", Outcome::Empty, desk.node.take(circuit))?;
    }
    desk.close(circuit)
}

pub(super) fn a_request_that_does_not_decode_ends_its_circuit_only(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    let beside = desk.import(&echo())?;
    for wrong in [&[1, 0, 0, 0x80, 0x00][..], &[1, 0, 0], &[1], &[0x80, 0x00, 0, 0, 1], &[1, 0, 0, 1, 1]] {
        let circuit = desk.import(&double())?;
        desk.node.send(circuit, wrong.to_vec());
        let dead = desk.until("its end", |desk| desk.node.circuits[circuit].dead)?;
        same("what is said of a request that does not decode", Reason::DecodeFailed, dead.reason)?;
        let end = desk.end_of(circuit)?;
        same("how it ends", Some(dead), end)?;
        desk.free(circuit)?;
        desk.node.send(beside, piece(1, 9));
        let got = desk.take(beside)?;
        same("an echo beside", piece(1, 9), got)?;
        // The server goes on with the next caller.
        let circuit = desk.import(&double())?;
        desk.node.send(circuit, request(1, 3));
        let got = answer(desk, circuit)?;
        same("an answer to the next caller", (1, Ok(6)), got)?;
        desk.close(circuit)?;
    }
    desk.part(beside)
}

pub(super) fn what_was_asked_before_the_end_is_answered(desk: &mut Desk<'_>) -> Result {
    desk.up()?;
    for calls in [1, 6, 20] {
        let circuit = desk.import(&double())?;
        (1..=calls).for_each(|id| desk.node.send(circuit, request(id, id)));
        desk.node.end(circuit);
        for _ in 0..calls {
            let (id, got) = answer(desk, circuit)?;
            same("an answer", Ok(id * 2), got)?;
        }
        let end = desk.end_of(circuit)?;
        same("how it ends", None, end)?;
        desk.free(circuit)?;
    }
    Ok(())
}
