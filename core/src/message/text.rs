//! Text of bounded length, held in place.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::Deref;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::inline::Inline;
use super::{Message, Overflow, Shape};

/// At most `N` bytes of UTF-8, without a heap; `N` is at most 65535. RAM: `N` and 2 bytes.
///
/// ```
/// use core::fmt::Write;
/// use netchan::Text;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut line = Text::<16>::try_from("pump ")?;
/// write!(line, "{}", 7)?;
/// assert_eq!(line, "pump 7");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Text<const N: usize>(Inline<N>);

impl<const N: usize> Text<N> {
    /// No text.
    pub const fn new() -> Self {
        Self(Inline::new())
    }

    /// Appends all of `text`.
    ///
    /// # Errors
    /// If it does not fit; nothing is appended then.
    pub fn push_str(&mut self, text: &str) -> Result<(), Overflow> {
        self.0.extend(text.as_bytes())
    }

    /// Removes all text.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The text. Costs a check of its bytes each time, as this crate has no unsafe code.
    pub fn as_str(&self) -> &str {
        // Only whole `str`s are ever appended, so the empty text never stands in.
        core::str::from_utf8(self.0.as_slice()).unwrap_or_default()
    }
}

impl<const N: usize> Message for Text<N> {
    const NAME: &'static str = "text";
    const SHAPE: Shape = Shape::bounded("text", N);
}

impl<const N: usize> Serialize for Text<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Text<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Visitor)
    }
}

struct Visitor<const N: usize>;

impl<const N: usize> de::Visitor<'_> for Visitor<N> {
    type Value = Text<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {N} bytes of text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<N>, E> {
        Text::try_from(text).map_err(|Overflow| E::invalid_length(text.len(), &self))
    }
}

impl<const N: usize> TryFrom<&str> for Text<N> {
    type Error = Overflow;

    fn try_from(text: &str) -> Result<Self, Overflow> {
        let mut copy = Self::new();
        copy.push_str(text)?;
        Ok(copy)
    }
}

impl<const N: usize> core::str::FromStr for Text<N> {
    type Err = Overflow;

    fn from_str(text: &str) -> Result<Self, Overflow> {
        Self::try_from(text)
    }
}

impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text).map_err(|Overflow| fmt::Error)
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Deref for Text<N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> AsRef<str> for Text<N> {
    fn as_ref(&self) -> &str {
        self
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice() == other.0.as_slice()
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> PartialEq<str> for Text<N> {
    fn eq(&self, other: &str) -> bool {
        self.0.as_slice() == other.as_bytes()
    }
}

impl<const N: usize> PartialEq<&str> for Text<N> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl<const N: usize> PartialOrd for Text<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Text<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        // As `str` does.
        self.0.as_slice().cmp(other.0.as_slice())
    }
}

impl<const N: usize> Hash for Text<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
