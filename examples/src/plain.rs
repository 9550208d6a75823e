//! The dashboard without a terminal: plain lines.

use std::io::{self, Write};

/// Writes a line. Whoever reads no more has seen enough: that ends the program in order. A line that could not
/// be written otherwise, to a full disk for instance, does not.
pub fn line(text: &str) {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            // Nothing more can be done where that cannot be written either.
            let _ = writeln!(io::stderr(), "cannot write: {error}");
            std::process::exit(1);
        }
    }
}
