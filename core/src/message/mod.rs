//! What may travel: the [`Message`] trait, type fingerprints and the encoding.
//!
//! A message type derives serde's traits and [`Message`]:
//!
//! ```
//! use netchan::Message;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Message, Debug, PartialEq)]
//! struct Reading {
//!     sensor: u16,
//!     celsius: Option<f32>,
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let reading = Reading { sensor: 300, celsius: Some(21.5) };
//! let mut buffer = [0; 8]; // `Reading::MAX_LEN` is 3 + 1 + 4
//! let len = reading.encode(&mut buffer)?;
//! assert_eq!(Reading::decode(&buffer[..len])?, reading);
//! # Ok(())
//! # }
//! ```
//!
//! The encoding is postcard's, defined with the fingerprints in `spec/types.md`. Decoding is strict and
//! bounded whatever the input, see [`Message::decode`].

use serde::Serialize;
use serde::de::DeserializeOwned;

mod blob;
#[cfg(feature = "alloc")]
mod bytes;
mod codec;
mod compound;
mod ends;
mod fingerprint;
#[cfg(feature = "alloc")]
mod heap;
mod inline;
mod leaf;
mod sha256;
mod shape;
#[cfg(feature = "std")]
pub(crate) mod spare;
mod text;
mod version;

pub use self::blob::Blob;
#[cfg(feature = "alloc")]
pub use self::bytes::Bytes;
pub use self::codec::{DecodeError, EncodeError};
#[cfg(feature = "std")]
pub(crate) use self::codec::{WORDS, Words};
pub use self::ends::{EndError, EndVisitor};
pub use self::fingerprint::Fingerprint;
pub use self::inline::Overflow;
pub use self::shape::{MAX_DEPTH, Shape, ShapeBuilder};
pub use self::text::Text;
pub use self::version::Accepted;

/// `Bytes`, also where there is no heap for it.
const BYTES: Shape = Shape::leaf("bytes", None);

/// A type whose values travel through channels.
///
/// Derive it, together with serde's traits: `#[derive(Serialize, Deserialize, Message)]`. The derive
/// takes:
///
/// - `#[netchan(also = ReadingV1)]` on the type: values of that older type are accepted as well, through
///   `From<ReadingV1>`. Up to three, newest first: `also = ReadingV2, also = ReadingV1`.
/// - `#[netchan(name = "...")]` on the type, a field or a variant: the name that enters the fingerprint,
///   so that a Rust name can change and the wire does not.
/// - `#[netchan(crate = path)]` on the type: where netchan is, if not at `::netchan`.
///
/// Of serde's attributes those are refused that would change the encoding behind the fingerprint's back.
/// A type that contains itself is refused: put such data into a list and refer to it by index.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent: it does not implement `netchan::Message`",
    label = "not a message",
    note = "derive it: `#[derive(Serialize, Deserialize, Message)]`, for each type inside as well",
    note = "`usize` and `isize` differ between machines: use `u32`, `u64` or the signed ones",
    note = "arrays go up to 32 items; for bytes there are `Blob<N>` and `Bytes`, for text `Text<N>` and `String`",
    note = "`String`, `Vec`, `Box` and `BTreeMap` need netchan's feature `alloc`"
)]
pub trait Message: Serialize + DeserializeOwned + 'static {
    /// The type's name, for errors: `Reading`.
    const NAME: &'static str;

    /// Fingerprint and limits, see [`Shape`].
    const SHAPE: Shape;

    /// What both ends compare before the first value.
    const FINGERPRINT: Fingerprint = Self::SHAPE.fingerprint();

    /// The longest encoding in bytes; `None` where there is no bound.
    const MAX_LEN: Option<usize> = Self::SHAPE.max_len();

    /// Whether channel ends are inside, and [`visit_ends`](Self::visit_ends) has something to do.
    const HAS_ENDS: bool = Self::SHAPE.has_ends();

    /// Older versions that a receiver takes as well; at most three.
    const ACCEPTED: &'static [Accepted<Self>] = &[];

    /// Whether [`encode`](Self::encode) does just what `Serialize` says. The derive tells.
    #[doc(hidden)]
    const BY_SERDE: bool = false;

    /// A `Result`, whose encoding begins with 1 where it is an error.
    #[doc(hidden)]
    const IS_RESULT: bool = false;

    /// Encodes to the start of `out`, and gives the length.
    ///
    /// # Errors
    /// [`EncodeError::Full`] if `out` is too short; it never is with [`MAX_LEN`](Self::MAX_LEN) bytes.
    /// [`EncodeError::Budget`] if no receiver would decode the value, see [`decode`](Self::decode).
    fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        codec::encode(self, out)
    }

    /// Appends the encoding to `out`, which is as before after an error.
    ///
    /// # Errors
    /// Like [`encode`](Self::encode), but never `Full`.
    #[cfg(feature = "alloc")]
    fn encode_to(&self, out: &mut alloc::vec::Vec<u8>) -> Result<(), EncodeError> {
        codec::encode_to(self, out)
    }

    /// Decodes what is exactly one encoded value.
    ///
    /// Of every value there is one encoding: padded numbers and trailing bytes are refused (of maps, any
    /// order of the entries is taken). Memory is bounded by what arrived: list elements, map entries and
    /// boxes may take 4 KiB plus 32 bytes for each byte of `bytes`, allocated ahead at most once more,
    /// and beyond that only what growing vectors and maps hold in reserve: a `BTreeMap` has room for
    /// eleven entries as soon as it has one, so many maps of one entry each take eleven times as much.
    ///
    /// # Errors
    /// Says what is wrong with the bytes. It never panics.
    #[cfg_attr(feature = "std", inline(always))]
    #[cfg_attr(not(feature = "std"), inline)]
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }

    /// Like [`decode`](Self::decode), for who owns the bytes: [`Bytes`] keeps them without a copy.
    ///
    /// # Errors
    /// Like [`decode`](Self::decode).
    #[cfg(feature = "alloc")]
    fn decode_owned(bytes: alloc::vec::Vec<u8>) -> Result<Self, DecodeError> {
        let value = Self::decode(&bytes);
        #[cfg(feature = "std")]
        spare::keep(bytes);
        value
    }

    /// The value as its encoding, where it is that already: [`Bytes`] gives its buffer without a copy.
    ///
    /// # Errors
    /// Gives the value back if it has to be encoded first.
    #[cfg(feature = "alloc")]
    fn into_owned_bytes(self) -> Result<alloc::vec::Vec<u8>, Self> {
        Err(self)
    }

    /// Shows `visitor` the channel ends inside, in the order of the fields.
    ///
    /// # Errors
    /// The visitor's, at the first end that it refuses.
    fn visit_ends(&mut self, visitor: &mut dyn EndVisitor) -> Result<(), EndError> {
        let _ = visitor;
        Ok(())
    }
}
