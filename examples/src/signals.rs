//! Signals that end a program set a flag instead, so that it can end in order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The flag that Ctrl-C sets, and whatever else asks a program to end.
///
/// # Errors
///
/// What the system says.
#[cfg(unix)]
pub fn ask() -> io::Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

/// As on Unix; here nothing sets it.
///
/// # Errors
///
/// None.
#[cfg(not(unix))]
pub fn ask() -> io::Result<Arc<AtomicBool>> {
    Ok(Arc::new(AtomicBool::new(false)))
}
