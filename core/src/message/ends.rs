//! The hook through which channel ends travel inside messages.

use core::any::Any;
use core::fmt;

/// Is shown each channel end inside a message, in the order of the fields.
///
/// The runtime implements it: before encoding it gives each end its ordinal, after decoding it puts a live
/// end in the place of each ordinal.
pub trait EndVisitor {
    /// Looks at one end, which the implementor recognizes by its type.
    ///
    /// # Errors
    /// Whatever makes this end unable to travel; the visit stops there.
    fn end(&mut self, end: &mut dyn Any) -> Result<(), EndError>;
}

/// Why a channel end could not travel with its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndError {
    /// The message names an end that did not come with it, or names one twice.
    Missing,
    /// This node cannot move ends of this kind.
    Refused,
    /// More ends than one message may carry.
    TooMany,
}

impl fmt::Display for EndError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "a channel end did not come with its message",
            Self::Refused => "a channel end of this kind cannot be moved",
            Self::TooMany => "too many channel ends in one message",
        })
    }
}

impl core::error::Error for EndError {}
