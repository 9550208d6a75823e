//! What became of what was sent.

/// What became of the values that a sender has sent. The four add up to all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Account {
    /// Taken by the far end's program.
    pub confirmed: u64,
    /// Written, and not known to be taken.
    pub in_doubt: u64,
    /// Not written yet.
    pub unsent: u64,
    /// Left out, where loss was asked for: broadcast to an importer without room, latest value.
    pub dropped: u64,
}

impl Account {
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            confirmed: self.confirmed + other.confirmed,
            in_doubt: self.in_doubt + other.in_doubt,
            unsent: self.unsent + other.unsent,
            dropped: self.dropped + other.dropped,
        }
    }

    /// How many were sent.
    pub const fn sent(&self) -> u64 {
        self.confirmed + self.in_doubt + self.unsent + self.dropped
    }
}
