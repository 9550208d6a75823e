//! Where there are no ptys there is no board to be shown.

use std::convert::Infallible;
use std::path::Path;
use std::time::Instant;

/// A board that was started here: there is none.
#[derive(Debug)]
pub struct BoardProcess(Infallible);

#[expect(missing_docs, reason = "as on Unix, where it can be called")]
impl BoardProcess {
    pub fn emulate(_: &Path) -> Result<Self, String> {
        Err("a board needs a pty for its line, which this system has not".into())
    }

    pub fn process(program: &Path) -> Result<Self, String> {
        Self::emulate(program)
    }

    pub fn port(&self) -> &Path {
        match self.0 {}
    }

    pub fn about(&self) -> &str {
        match self.0 {}
    }

    pub const fn how(&self) -> &'static str {
        match self.0 {}
    }

    pub fn reset(&mut self) -> Result<Instant, String> {
        match self.0 {}
    }
}
