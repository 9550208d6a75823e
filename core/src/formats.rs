//! `defmt::Format` where a derive would not say what it is: texts, and reasons in words. The other types derive it.

use defmt::{Format, Formatter, write};

use crate::message::{Blob, Text};
use crate::proto::{Name, Reason};

impl Format for Reason {
    fn format(&self, f: Formatter<'_>) {
        match self.text() {
            Some(text) => write!(f, "{=str}", text),
            None => write!(f, "reason {=u8} of a later version", self.get()),
        }
    }
}

impl Format for Name {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{=str}", self.as_str());
    }
}

impl<const N: usize> Format for Text<N> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{=str}", self.as_str());
    }
}

impl<const N: usize> Format for Blob<N> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{=[u8]:02x}", self);
    }
}
