//! Which line a circuit is on, where a node has two (feature `two-lines`). With one there is nothing to know, and
//! nothing of this is left.

/// A circuit's place on the node's lines: its handle, and the line in the upper byte.
#[cfg(feature = "two-lines")]
pub(super) type Place = u16;
/// A circuit's place on the line: its handle.
#[cfg(not(feature = "two-lines"))]
pub(super) type Place = u8;

/// The lines of a board that has two.
#[cfg(feature = "two-lines")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(clippy::exhaustive_enums, reason = "the feature says how many")]
pub enum LineId {
    /// That of [`Node::line`](super::Node::line).
    First,
    /// That of [`Node::second_line`](super::Node::second_line).
    Second,
}

/// How many there may be.
#[cfg(any(feature = "async", feature = "bridge"))]
pub(super) const LINES: usize = if cfg!(feature = "two-lines") { 2 } else { 1 };

/// A line, as its driver and the channels know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Here(#[cfg(feature = "two-lines")] u8);

#[cfg(not(feature = "two-lines"))]
impl Here {
    pub(super) const FIRST: Self = Self();

    pub(super) const fn place(self, handle: u32) -> u32 {
        handle
    }

    pub(super) const fn at(self, handle: u8) -> Place {
        handle
    }

    pub(super) const fn has(self, _: Place) -> bool {
        true
    }

    #[cfg(feature = "embedded-io-async-v0_7")]
    pub(super) const fn index(self) -> usize {
        0
    }
}

#[cfg(feature = "two-lines")]
impl Here {
    pub(super) const FIRST: Self = Self::of(LineId::First);

    pub(super) const fn of(line: LineId) -> Self {
        Self(line as u8)
    }

    /// The place to be looked for. Where no handle is so large there is no circuit.
    pub(super) const fn place(self, handle: u32) -> u32 {
        if handle > u8::MAX as u32 { Place::MAX as u32 + 1 } else { (self.0 as u32) << 8 | handle }
    }

    /// The place of a handle that a circuit has.
    pub(super) const fn at(self, handle: u8) -> Place {
        (self.0 as Place) << 8 | handle as Place
    }

    /// Whether a circuit is on this line.
    pub(super) const fn has(self, place: Place) -> bool {
        place >> 8 == self.0 as Place
    }

    #[cfg(any(feature = "bridge", feature = "embedded-io-async-v0_7"))]
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The handle of a circuit, as its line knows it.
#[expect(clippy::allow_attributes, reason = "with one line it is the same")]
#[allow(clippy::unnecessary_cast, reason = "with one line it is the same")]
pub(super) const fn handle(place: Place) -> u8 {
    place as u8
}
