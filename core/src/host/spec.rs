//! What an end asks for, as the protocol says it: direction, kind, fingerprints, limits.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::circuit::Circuit;
use super::hub::Hub;
use super::reopen::Reopen;
use crate::message::{Fingerprint, Message, Shape};
use crate::proto::{Link, OpenFlags};

/// Longest message of a type without a bound, unless the export or import says more, in bytes.
pub(crate) const LIMIT_DEFAULT: u32 = 64 * 1024;
/// The least room that a receiving circuit reserves, in bytes.
const FLOOR_MIN: u32 = 4 * 1024;

/// An end that can be imported: `Sender<T>`, `Receiver<T>` and the others. This crate
/// implements it; the turbofish names what the caller holds.
pub trait End: Sized + Send + 'static {
    #[doc(hidden)]
    fn spec() -> Spec;
    #[doc(hidden)]
    fn imported(circuit: Imported) -> Self;
}

/// An end that can be exported: all but `Client`, which would not know whom to ask.
pub trait ExportEnd: End {
    #[doc(hidden)]
    fn exported(hub: Exported) -> Self;
}

/// An end that can outlive its session; see [`Import::reopen`](super::Import::reopen).
pub trait ReopenEnd: End {}

/// A circuit that was accepted.
#[derive(Debug)]
pub struct Imported {
    pub(crate) circuit: Arc<Circuit>,
    /// Which of the spec's fingerprints the exporter chose.
    pub(crate) which: u8,
    /// The longest message that it takes, where its type has no bound and the import says so, in bytes.
    pub(crate) limit: Option<u32>,
    /// How many values may pass, if that is limited.
    pub(crate) values: Option<u64>,
    /// How it is opened again in the next session, if it is to be.
    pub(crate) reopen: Option<alloc::boxed::Box<Reopen>>,
}

/// A hub that was published.
#[derive(Debug)]
pub struct Exported {
    pub(crate) hub: Arc<Hub>,
}

/// What an end asks for, as its own side sees it.
#[derive(Debug, Clone)]
pub struct Spec {
    /// `SENDS` and `RECEIVES` from this end's own point of view, and the kind.
    pub(crate) flags: OpenFlags,
    /// Own fingerprint first, then older ones that a receiver takes.
    pub(crate) fingerprints: Vec<u64>,
    /// What an opener may offer, in its own view, where both directions count; else none.
    pub(crate) mirrored: Vec<u64>,
    pub(crate) type_name: &'static str,
    /// Longest message that this end receives, where the type has a bound.
    pub(crate) longest: Option<u32>,
}

impl Spec {
    /// For an end that sends `T`.
    pub(crate) fn sends<T: Message>(kind: OpenFlags) -> Self {
        Self {
            flags: OpenFlags::SENDS.with(kind),
            fingerprints: [T::FINGERPRINT.get()].to_vec(),
            mirrored: Vec::new(),
            type_name: T::NAME,
            longest: Some(0),
        }
    }

    /// For an end that receives `T`.
    pub(crate) fn receives<T: Message>(kind: OpenFlags) -> Self {
        let older = T::ACCEPTED.iter().map(|old| old.fingerprint.get());
        let bounds = T::ACCEPTED.iter().map(|old| old.max_len).chain([T::MAX_LEN]);
        Self {
            flags: OpenFlags::RECEIVES.with(kind),
            fingerprints: [T::FINGERPRINT.get()].into_iter().chain(older).collect(),
            mirrored: Vec::new(),
            type_name: T::NAME,
            longest: bounds.reduce(|a, b| Some(a?.max(b?))).flatten().and_then(|len| u32::try_from(len).ok()),
        }
    }

    /// For an end that does both. The other side sees them the other way round.
    pub(crate) fn both<In: Message, Out: Message>(
        kind: OpenFlags,
        name: &'static str,
        longest: Option<usize>,
    ) -> Self {
        let what = if kind.has(OpenFlags::CALLS) { "call" } else { "duplex" };
        Self::both_as::<In, Out>(what, kind, name, longest)
    }

    /// For the calls of a chain, which are others than those of a client.
    pub(crate) fn chain<In: Message, Out: Message>(name: &'static str, longest: Option<usize>) -> Self {
        Self::both_as::<In, Out>("chain", OpenFlags::CALLS, name, longest)
    }

    /// The same, for whoever imports this as a chain.
    pub(crate) fn or_chain<In: Message, Out: Message>(mut self) -> Self {
        self.mirrored.extend(Self::chain::<In, Out>(self.type_name, None).mirrored);
        self
    }

    fn both_as<In: Message, Out: Message>(
        what: &str,
        kind: OpenFlags,
        name: &'static str,
        longest: Option<usize>,
    ) -> Self {
        let of = |list: &[Fingerprint]| Shape::end(what, list, 0).fingerprint().get();
        Self {
            flags: OpenFlags::BOTH.with(kind),
            fingerprints: [of(&[In::FINGERPRINT, Out::FINGERPRINT])].to_vec(),
            mirrored: [of(&[Out::FINGERPRINT, In::FINGERPRINT])].to_vec(),
            type_name: name,
            longest: longest.and_then(|len| u32::try_from(len).ok()),
        }
    }

    /// Longest message and floor of the receiving half, in bytes.
    pub(crate) fn room(&self, limit: Option<u32>) -> (u32, u32) {
        if !self.flags.has(OpenFlags::RECEIVES) {
            return (0, 0);
        }
        let limit = self.longest.or(limit).unwrap_or(LIMIT_DEFAULT).min(1 << 28);
        let longest = Link::charge(limit);
        if self.flags.has(OpenFlags::LATEST) {
            return (limit, longest);
        }
        if self.flags.has(OpenFlags::CALLS) {
            // Room for the replies of all calls that may be under way.
            return (limit, (16 * longest).clamp(FLOOR_MIN, 256 * 1024).max(2 * longest));
        }
        // Two of the longest, so that there is always credit for one when half is taken.
        (limit, (2 * longest).max(FLOOR_MIN))
    }
}
