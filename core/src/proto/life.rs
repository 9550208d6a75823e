//! The state of a circuit in words: the names in the tables of `spec/wire.md`.

use alloc::string::String;

use super::circuit::{Final, Phase, Slot, due};
use super::{Direction, Total};

impl Slot {
    /// Its state, as the tables of `spec/wire.md` name it; for circuits of one direction.
    pub fn life(&self) -> String {
        let flow = match self.direction {
            Direction::Receives if self.in_drained => "Drained",
            Direction::Receives if self.in_ended => "Ended",
            Direction::Receives => "Receiving",
            _ if self.ended => "Ended",
            _ if self.ending => "Ending",
            _ => "Sending",
        };
        let is_awaited = self.theirs == Final::None;
        let mut name = String::from(match (self.phase, self.killed) {
            (Phase::Free, _) => return "Free".into(),
            (Phase::Opening, false) if self.ended && is_awaited => "Opening with its message",
            (Phase::Opening, false) => "Opening",
            (Phase::Opening, true) if self.ended && is_awaited => "Cancelled with its message",
            (Phase::Opening, true) => "Cancelled",
            (Phase::Offered, false) if self.in_ended && is_awaited => "Offered with its message",
            (Phase::Offered, false) => "Offered",
            (Phase::Offered, true) => "Refused",
            (Phase::Open, false) => flow,
            (Phase::Open, true) if flow == "Ended" || flow == "Drained" => "Killed after END",
            (Phase::Open, true) => "Killed",
        });
        name += match self.mine {
            Final::None if self.due & due::ACCEPT != 0 => ", ACCEPT due",
            Final::None => "",
            Final::Done if self.due & due::ACCEPT != 0 => ", ACCEPT and DONE due",
            Final::Done => ", DONE due",
            Final::Dead => ", DEAD due",
            Final::Sent => ", final sent",
        };
        name += match self.theirs {
            Final::None => "",
            Final::Dead => ", peer dead",
            _ => ", peer done",
        };
        name
    }

    /// Totals that an honest peer could send now: granted, taken, values sent to us.
    pub const fn honest_totals(&self) -> (Total, Total, Total) {
        (self.granted, self.values_out, self.values_in)
    }
}
