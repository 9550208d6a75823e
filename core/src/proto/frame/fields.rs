//! Fields of frames, as they are taken off the bytes and put down.

use super::text::has_control;
use super::{FrameError, HANDLE_MAX, Handle, KIND_CONTROL, QUIET_MAX_MS};
use crate::proto::{Total, varint};

/// Takes fields off the start of a frame. After the first error all that it gives is empty, so that the
/// caller looks once, at the end: a fifth of the code that a look at each field takes.
pub(crate) struct Reader<'a> {
    pub(super) rest: &'a [u8],
    pub(super) error: Option<FrameError>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest, error: None }
    }

    /// The first error.
    pub(crate) fn error(&self) -> Option<FrameError> {
        self.error
    }

    /// Whether all fields were there; what is left is a tail of a later version.
    pub(crate) fn check(&self) -> Result<(), FrameError> {
        self.error.map_or(Ok(()), Err)
    }

    /// As [`Reader::check`], of a frame without a tail.
    pub(crate) fn check_end(&self) -> Result<(), FrameError> {
        self.check()?;
        if self.rest.is_empty() { Ok(()) } else { Err(FrameError::Trailing) }
    }

    #[cold]
    pub(super) fn fail(&mut self, error: FrameError) {
        self.error = self.error.or(Some(error));
        self.rest = &[];
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.raw(1).first().copied().unwrap_or_default()
    }

    pub(crate) fn number(&mut self) -> u32 {
        match varint::get(self.rest) {
            Ok((value, used)) => {
                self.rest = self.rest.get(used..).unwrap_or_default();
                value
            }
            Err(error) => {
                self.fail(error.into());
                0
            }
        }
    }

    /// How long a silence is announced, in milliseconds.
    pub(crate) fn quiet(&mut self) -> u32 {
        let millis = self.number();
        if millis > QUIET_MAX_MS {
            self.fail(FrameError::Value);
        }
        millis
    }

    pub(crate) fn total(&mut self) -> Total {
        Total::new(self.number())
    }

    pub(super) fn raw(&mut self, len: usize) -> &'a [u8] {
        if let Some((raw, rest)) = self.rest.split_at_checked(len) {
            self.rest = rest;
            return raw;
        }
        self.fail(FrameError::Truncated);
        &[]
    }

    pub(super) fn text(&mut self, max: usize) -> &'a str {
        let len = usize::from(self.byte());
        if len > max {
            self.fail(FrameError::Text);
        }
        let raw = self.raw(len);
        match core::str::from_utf8(raw) {
            Ok(text) if !has_control(raw) => text,
            _ => {
                self.fail(FrameError::Text);
                ""
            }
        }
    }
}

pub(super) struct Writer<'o> {
    pub(super) out: &'o mut [u8],
    pub(super) at: usize,
}

impl Writer<'_> {
    pub(super) fn head(&mut self, number: u32, kind: u32) -> Result<&mut Self, FrameError> {
        if number > HANDLE_MAX {
            return Err(FrameError::Value);
        }
        self.number(number << 3 | kind)
    }

    pub(super) fn control(&mut self, handle: Handle, what: u8) -> Result<&mut Self, FrameError> {
        self.head(handle.0, KIND_CONTROL)?.byte(what)
    }

    pub(super) fn byte(&mut self, byte: u8) -> Result<&mut Self, FrameError> {
        self.raw(&[byte])
    }

    pub(super) fn number(&mut self, value: u32) -> Result<&mut Self, FrameError> {
        let mut bytes = [0; varint::MAX_LEN];
        let len = varint::put(&mut bytes, 0, value);
        self.raw(&bytes[..len])
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<&mut Self, FrameError> {
        let end = self.at + bytes.len();
        self.out.get_mut(self.at..end).ok_or(FrameError::Truncated)?.copy_from_slice(bytes);
        self.at = end;
        Ok(self)
    }

    pub(super) fn text(&mut self, text: &str, max: usize) -> Result<&mut Self, FrameError> {
        if text.len() > max || has_control(text.as_bytes()) {
            return Err(FrameError::Text);
        }
        self.byte(text.len() as u8)?.raw(text.as_bytes())
    }
}
