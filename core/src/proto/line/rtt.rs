//! How long an answer takes: the estimate behind the retransmit timer.

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
        if self.smooth == 0 {
            self.smooth = us;
            self.deviation = us / 2;
        } else {
            self.deviation = self.deviation - self.deviation / 4 + self.smooth.abs_diff(us) / 4;
            self.smooth = self.smooth - self.smooth / 8 + us / 8;
        }
    }

    /// Wait at least this long for an acknowledgement; `None` while nothing is known.
    pub(super) const fn timeout(&self) -> Option<u32> {
        match self.smooth {
            0 => None,
            smooth => Some(smooth.saturating_add(self.deviation.saturating_mul(4))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_line_is_waited_for_little_longer_than_it_takes() {
        let mut rtt = Rtt::NEW;
        assert_eq!(rtt.timeout(), None);
        rtt.sample(20_000);
        assert_eq!(rtt.timeout(), Some(60_000));
        for _ in 0..100 {
            rtt.sample(20_000);
        }
        assert!((20_000..21_000).contains(&rtt.timeout().unwrap()));
        for _ in 0..40 {
            rtt.sample(200_000);
        }
        assert!((190_000..900_000).contains(&rtt.timeout().unwrap()), "and it follows");
        rtt.sample(u32::MAX);
        rtt.sample(u32::MAX);
        assert_eq!(rtt.timeout(), Some(u32::MAX), "without an overflow");
    }
}
