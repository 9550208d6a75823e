//! What a neighbour may do wrong before its link ends.
//!
//! A link may live for years, and an honest neighbour is wrong now and then: so a strike is forgotten after a while, and
//! only who is struck faster than that is out.

use crate::proto::Instant;

/// So many strikes end a link: routes, ids or sources that were not the peer's to claim, and floods of opens that are refused.
pub const STRIKES_MAX: u8 = 8;
/// One of them is forgotten in each such time.
pub const FORGOTTEN_MS: u64 = 10_000;
/// So many refused opens of the neighbour itself within a second are a strike.
pub const REFUSALS_MAX: u32 = 4096;

const SECOND_US: u64 = 1_000_000;

/// What a peer claimed was not its to claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "there is one thing to know")]
pub struct Strike {
    /// It was one too many: the link is to end.
    pub out: bool,
}

/// The strikes of one link that are not forgotten.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub struct Strikes {
    count: u8,
    /// Since when the next one is being forgotten.
    since: Instant,
}

impl Strikes {
    /// One more.
    pub fn add(&mut self, now: Instant) -> Strike {
        let time = now.as_micros().saturating_sub(self.since.as_micros());
        let forgotten = time / (FORGOTTEN_MS * 1000);
        self.count = u64::from(self.count).saturating_sub(forgotten) as u8;
        self.since = match self.count {
            0 => now,
            _ => Instant::from_micros(self.since.as_micros() + forgotten * FORGOTTEN_MS * 1000),
        };
        self.count = self.count.saturating_add(1);
        Strike { out: self.count >= STRIKES_MAX }
    }
}

/// The refused opens of one neighbour within a second.
///
/// Those of nodes behind it are not among them: an honest bridge passes on whatever those open, and what is hostile
/// there is another link's. So a neighbour that claims to have nodes behind it may flood in their names: each such open
/// costs us an answer, and nothing is kept of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refusals {
    count: u32,
    since: Instant,
}

impl Refusals {
    /// One more: whether they are a strike.
    pub fn add(&mut self, now: Instant) -> bool {
        if now.as_micros().saturating_sub(self.since.as_micros()) >= SECOND_US {
            *self = Self { count: 0, since: now };
        }
        self.count += 1;
        let is_strike = self.count >= REFUSALS_MAX;
        if is_strike {
            *self = Self { count: 0, since: now };
        }
        is_strike
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn who_is_wrong_now_and_then_is_never_out_and_who_is_at_a_time_is() {
        let mut strikes = Strikes::default();
        for n in 0..10_000 {
            assert!(!strikes.add(at(n * FORGOTTEN_MS)).out, "strike {n}");
        }
        // Seven at a time, if there is peace for as long behind them.
        for day in 10..1000 {
            for _ in 1..STRIKES_MAX {
                assert!(!strikes.add(at(day * DAY_MS)).out);
            }
        }
        assert!(strikes.add(at(999 * DAY_MS)).out);
        // A clock that stands still, or goes back, forgets nothing.
        assert!(strikes.add(at(0)).out);
        // Twice as fast as they are forgotten is too fast.
        let mut strikes = Strikes::default();
        let out = (0..100).find(|n| strikes.add(at(n * FORGOTTEN_MS / 2)).out);
        assert!(out.is_some_and(|n| n < 16), "{out:?}");
    }

    #[test]
    fn opens_that_are_refused_are_strikes_where_they_are_a_flood() {
        let (mut refusals, mut strikes) = (Refusals::default(), Strikes::default());
        // Somebody tries again and again what is not there, for an hour.
        for ms in 0..3_600_000 {
            assert!((0..4).all(|_| !refusals.add(at(ms))), "in millisecond {ms}");
        }
        // A burst is one strike, and in each minute it is forgotten.
        for minute in 100..2000 {
            let burst = (0..REFUSALS_MAX + 100).filter(|_| refusals.add(at(minute * 60_000))).count();
            assert_eq!(burst, 1);
            assert!(!strikes.add(at(minute * 60_000)).out);
        }
        // A flood ends its link within ten seconds.
        let from = 2000 * 60_000;
        let out = (0..20_000)
            .find(|ms| (0..5).any(|_| refusals.add(at(from + ms)) && strikes.add(at(from + ms)).out));
        assert!(out.is_some_and(|ms| (6_000..9_000).contains(&ms)), "{out:?}");
    }
}
