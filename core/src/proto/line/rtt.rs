//! How long an answer takes: the estimate behind the retransmit timer.

/// An answer that takes longer tells no more than that.
const LONGEST_US: u32 = 1 << 28;

/// Smoothed round trip and its deviation, in microseconds (RFC 6298).
#[derive(Debug, Clone, Copy)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Rtt {
    smooth: u32,
    deviation: u32,
}

impl Rtt {
    /// Nothing is known.
    pub(super) const NEW: Self = Self { smooth: 0, deviation: 0 };

    /// A packet that was sent once was acknowledged after this time.
    pub(super) const fn sample(&mut self, us: u32) {
        let us = if us < LONGEST_US { us } else { LONGEST_US };
        if self.smooth == 0 {
            self.smooth = us;
            self.deviation = us / 2;
        } else {
            self.deviation = self.deviation - self.deviation / 4 + self.smooth.abs_diff(us) / 4;
            self.smooth = self.smooth - self.smooth / 8 + us / 8;
        }
    }

    /// How long to wait for an acknowledgement: `least` at the least, and so much more while nothing is known.
    pub(super) fn timeout(&self, least: u32, unknown: u32) -> u32 {
        if self.smooth == 0 { least + unknown } else { least.max(self.smooth + self.deviation * 4) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_line_is_waited_for_little_longer_than_it_takes() {
        let mut rtt = Rtt::NEW;
        assert_eq!(rtt.timeout(7, 5), 12);
        rtt.sample(20_000);
        assert_eq!((rtt.timeout(7, 5), rtt.timeout(70_000, 5)), (60_000, 70_000));
        for _ in 0..100 {
            rtt.sample(20_000);
        }
        assert!((20_000..21_000).contains(&rtt.timeout(0, 0)));
        for _ in 0..40 {
            rtt.sample(200_000);
        }
        assert!((190_000..900_000).contains(&rtt.timeout(0, 0)), "and it follows");
        rtt.sample(u32::MAX);
        rtt.sample(u32::MAX);
        assert!(rtt.timeout(0, 0) > 100_000_000, "without an overflow");
    }
}
