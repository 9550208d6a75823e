//! Why a check has failed.

use alloc::string::String;
use core::fmt;
use core::time::Duration;
use std::io;

use crate::proto::Fault;

/// Why a check has failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// It was waited for in vain.
    Vain {
        /// What.
        what: String,
        /// What was there instead.
        instead: String,
    },
    /// The link has ended where it should not: the specimen has ended it, or has broken the protocol, or the line is dead.
    Ended {
        /// What was waited for.
        during: String,
        /// Why it has.
        fault: Fault,
    },
    /// Something else came than should have.
    Differs {
        /// What it is about.
        what: String,
        /// What should have come.
        wanted: String,
        /// What came.
        got: String,
    },
    /// The link that is not to end has ended, by what the specimen has said or not said, where the peer is written by hand.
    Over {
        /// What was waited for.
        during: String,
        /// How it has ended.
        how: String,
    },
    /// The check's time is over, though something came again and again.
    Late {
        /// What was waited for.
        during: String,
        /// The time that there was: [`Check::bound`](super::Check::bound).
        bound: Duration,
    },
    /// The way to the specimen does not work.
    Way(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vain { what, instead } => write!(f, "waited in vain for {what}; there was {instead}"),
            Self::Ended { during, fault } => {
                write!(f, "the link has ended, while it was waited for {during}: {fault}")
            }
            Self::Differs { what, wanted, got } => write!(f, "{what}: {got} came in place of {wanted}"),
            Self::Over { during, how } => {
                write!(f, "the link is over, while it was waited for {during}: {how}")
            }
            Self::Late { during, bound } => {
                write!(f, "the check was not through after {bound:?}, while it was waited for {during}")
            }
            Self::Way(error) => write!(f, "the way to the specimen: {error}"),
        }
    }
}

impl core::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Way(error)
    }
}
