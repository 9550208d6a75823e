//! Waiting for whichever of several ends comes first.

use core::fmt;
use core::task::{Context, Poll, Waker};

use super::call::Server;
use super::duplex::Duplex;
use super::error::RecvError;
use super::latest::Watch;
use super::receiver::Receiver;
use super::sync;
use super::wait::{Wait, Waiting};
use crate::message::Message;

/// An end that [`select`] can wait for.
pub trait Selectable {
    /// Whether receiving would not wait: a value is there, or the end of the channel. The
    /// waker is registered if not.
    #[doc(hidden)]
    fn poll_ready(&mut self, waker: &Waker) -> bool;
}

impl<T: Message + Send> Selectable for Receiver<T> {
    fn poll_ready(&mut self, waker: &Waker) -> bool {
        self.is_ready(waker)
    }
}

impl<In: Message + Send, Out: Message + Send> Selectable for Duplex<In, Out> {
    fn poll_ready(&mut self, waker: &Waker) -> bool {
        self.receiver_mut().is_ready(waker)
    }
}

impl<T: Message + Send> Selectable for Watch<T> {
    fn poll_ready(&mut self, waker: &Waker) -> bool {
        self.is_ready(waker)
    }
}

impl<Req: Message + Send, Rep: Message + Send> Selectable for Server<Req, Rep> {
    fn poll_ready(&mut self, waker: &Waker) -> bool {
        self.is_ready(waker)
    }
}

/// Why nothing was selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SelectError {
    /// There is nothing to select from: the wait would never end.
    Empty,
    /// The deadline passed first.
    Deadline,
}

impl fmt::Display for SelectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "there is nothing to select from",
            Self::Deadline => "the deadline passed",
        })
    }
}

impl core::error::Error for SelectError {}

/// Waits until one of `ends` has a value or has ended, and yields its index: `try_recv` on
/// it then does not say `Empty`. Where several are ready, none is preferred for long.
///
/// ```no_run
/// # fn f(mut ticks: netchan::Receiver<u64>, mut names: netchan::Receiver<String>) -> Result<(), Box<dyn std::error::Error>> {
/// match netchan::select(&mut [&mut ticks, &mut names]).wait()? {
///     0 => println!("{}", ticks.try_recv()?),
///     _ => println!("{}", names.try_recv()?),
/// }
/// # Ok(())
/// # }
/// ```
///
/// Dropping the operation loses nothing.
///
/// # Errors
///
/// [`SelectError`].
pub fn select<'a, 'e>(ends: &'a mut [&'e mut dyn Selectable]) -> Wait<Selecting<'a, 'e>> {
    Wait::new(Selecting { ends })
}

/// Ends being waited for.
pub struct Selecting<'a, 'e> {
    ends: &'a mut [&'e mut dyn Selectable],
}

impl fmt::Debug for Selecting<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Selecting({})", self.ends.len())
    }
}

impl Waiting for Selecting<'_, '_> {
    type Output = Result<usize, SelectError>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let len = self.ends.len();
        if len == 0 {
            return Poll::Ready(Err(SelectError::Empty));
        }
        let start = sync::turn();
        for i in 0..len {
            let index = (start.wrapping_add(i)) % len;
            if self.ends[index].poll_ready(cx.waker()) {
                return Poll::Ready(Ok(index));
            }
        }
        Poll::Pending
    }

    fn expire(&mut self) -> Self::Output {
        Err(SelectError::Deadline)
    }
}

/// Whether a fill left something for the program: a value or an end.
pub(crate) const fn is_something(filled: Result<(), RecvError>) -> bool {
    !matches!(filled, Err(RecvError::Empty))
}
