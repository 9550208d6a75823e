//! What an end asks for, as the protocol says it: a constant of its type.

use core::marker::PhantomData;

use super::channel::Shared;
use super::driver::Imports;
use super::scratch::MESSAGE_MAX;
use crate::message::{Message, Shape};
use crate::proto::{OpenFlags, charge, varint};

/// What stands before the message of a call: id, kind, deadline.
pub(super) const CALL_HEAD_MAX: usize = 2 * varint::MAX_LEN + 1;

/// An end of a channel: `Sender<T>`, `Receiver<T>` and the others. This crate implements it; the
/// turbofish names what the board holds.
pub trait End: Sized + 'static {
    #[doc(hidden)]
    const SPEC: Spec;
    #[doc(hidden)]
    fn bound(channel: Bound) -> Self;
}

/// An end that can be exported: all but `Client`, which would not know whom to ask.
pub trait ExportEnd: End {}

/// A channel that is in the node's table.
#[derive(Debug)]
pub struct Bound(pub(super) &'static Shared);

/// What an end asks for, as its own side sees it.
#[derive(Debug)]
pub struct Spec {
    pub(super) flags: OpenFlags,
    /// As a peer has to see it.
    pub(super) peer_flags: OpenFlags,
    /// Fingerprints that an import offers, its own first, and that an export takes.
    pub(super) offers: &'static [u64],
    pub(super) takes: &'static [u64],
    pub(super) type_name: &'static str,
    /// Longest message that comes in, and goes out, in bytes.
    pub(super) longest_in: u16,
    pub(super) longest_out: u16,
    /// What an import does otherwise; none of it is linked where there is none.
    pub(super) imports: Option<&'static Imports>,
}

impl Spec {
    /// For an end that sends `T`.
    pub(super) const fn sends<T: Message>(kind: OpenFlags) -> Self {
        let flags = OpenFlags::SENDS.with(kind);
        Self {
            flags,
            peer_flags: flags.flipped(),
            offers: Versions::<T>::OWN,
            takes: Versions::<T>::OWN,
            type_name: T::NAME,
            longest_in: 0,
            longest_out: longest::<T>() as u16,
            imports: None,
        }
    }

    /// For an end that receives `T`.
    pub(super) const fn receives<T: Message>(kind: OpenFlags) -> Self {
        let flags = OpenFlags::RECEIVES.with(kind);
        Self {
            flags,
            peer_flags: flags.flipped(),
            offers: Versions::<T>::ALL,
            takes: Versions::<T>::ALL,
            type_name: T::NAME,
            longest_in: longest_accepted::<T>() as u16,
            longest_out: 0,
            imports: None,
        }
    }

    /// For an end that does both.
    pub(super) const fn both<In: Message, Out: Message>(kind: OpenFlags, name: &'static str) -> Self {
        let is_call = kind.has(OpenFlags::CALLS);
        let head = if is_call { CALL_HEAD_MAX } else { 0 };
        let flags = OpenFlags::BOTH.with(kind);
        Self {
            flags,
            peer_flags: flags,
            offers: if is_call { Pair::<In, Out>::CALL } else { Pair::<In, Out>::DUPLEX },
            takes: if is_call { Pair::<Out, In>::CALL } else { Pair::<Out, In>::DUPLEX },
            type_name: name,
            longest_in: (longest::<In>() + head) as u16,
            longest_out: (longest::<Out>() + head) as u16,
            imports: None,
        }
    }

    /// For the same end as an import.
    pub(super) const fn imported(self) -> Self {
        Self { imports: Some(&Imports::ALL), ..self }
    }

    /// Bytes of the arena for so many messages in each direction that there is.
    pub(super) const fn bytes(&self, depth: u16) -> (usize, usize) {
        // The newest value, and one that is being written while it is replaced.
        let depth = if self.flags.has(OpenFlags::LATEST) { 2 } else { depth as u32 };
        let receives = if self.flags.has(OpenFlags::RECEIVES) { depth } else { 0 };
        let sends = if self.flags.has(OpenFlags::SENDS) { depth } else { 0 };
        let bytes_in = receives * charge(self.longest_in as u32).next_multiple_of(2);
        let bytes_out = sends * charge(self.longest_out as u32).next_multiple_of(2);
        (bytes_in as usize, bytes_out as usize)
    }
}

/// The fingerprint of an end that receives the one and sends the other.
struct Pair<In, Out>(PhantomData<(In, Out)>);

impl<In: Message, Out: Message> Pair<In, Out> {
    const CALL: &'static [u64] = &[Self::of("call")];
    const DUPLEX: &'static [u64] = &[Self::of("duplex")];

    const fn of(what: &str) -> u64 {
        Shape::end(what, &[In::FINGERPRINT, Out::FINGERPRINT], 0).fingerprint().get()
    }
}

/// Longest encoding of `T`, in bytes; a type without a bound does not compile.
pub(super) const fn longest<T: Message>() -> usize {
    const {
        let Some(len) = T::MAX_LEN else {
            panic!("a board has no room for messages without a bound: use `Text<N>` and `Blob<N>`");
        };
        assert!(len + CALL_HEAD_MAX <= MESSAGE_MAX, "this message is too long for a board's channel");
        len
    }
}

/// As [`longest`], of the older versions too.
pub(super) const fn longest_accepted<T: Message>() -> usize {
    let (mut most, mut at) = (longest::<T>(), 0);
    while at < T::ACCEPTED.len() {
        // One without a bound is received as far as there is room.
        let len = match T::ACCEPTED[at].max_len {
            Some(len) if len + CALL_HEAD_MAX <= MESSAGE_MAX => len,
            _ => most,
        };
        if len > most {
            most = len;
        }
        at += 1;
    }
    most
}

/// The fingerprints of a type, and of its older versions as long as there are any.
struct Versions<T>(PhantomData<T>);

impl<T: Message> Versions<T> {
    const LIST: [u64; 4] = {
        let (mut list, mut at) = ([T::FINGERPRINT.get(), 0, 0, 0], 0);
        while at < T::ACCEPTED.len() && at < list.len() - 1 {
            list[at + 1] = T::ACCEPTED[at].fingerprint.get();
            at += 1;
        }
        list
    };
    const OWN: &'static [u64] = &[T::FINGERPRINT.get()];
    const ALL: &'static [u64] = {
        let len = T::ACCEPTED.len();
        if len == 0 { Self::OWN } else { Self::LIST.split_at(if len > 3 { 4 } else { len + 1 }).0 }
    };
}
