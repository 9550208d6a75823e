//! Many values at once: what costs the same for one and for thirty is paid once.

use core::fmt;
use core::task::{Context, Poll};

use super::error::SendError;
use super::sender::{Outgoing, SHORT_ROOM, Sender, Sending, Short};
use super::wait::{Source, Wait, Waiting};
use crate::message::Message;

/// Short values that are encoded before the link is locked for them.
const AT_ONCE: usize = 32;

/// Not all values of a batch were sent.
pub struct BatchError<T> {
    sent: usize,
    error: SendError<T>,
}

impl<T> BatchError<T> {
    /// How many were sent: the first of the slice.
    pub const fn sent(&self) -> usize {
        self.sent
    }

    /// Why the next one was not.
    pub const fn error(&self) -> &SendError<T> {
        &self.error
    }
}

impl<T> fmt::Debug for BatchError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} after {} values", self.error, self.sent)
    }
}

impl<T> fmt::Display for BatchError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {} values of the batch were sent before", self.error, self.sent)
    }
}

impl<T> core::error::Error for BatchError<T> {}

impl<T: Message + Send + Clone> Sender<T> {
    /// Sends values in order, each as soon as there is credit for it: as
    /// [`send`](Self::send) for one after the other, but cheaper where the encoding of `T`
    /// is bounded by 48 bytes, and there is one receiver: an import that does not reopen, or
    /// an export with one importer.
    ///
    /// Dropping the operation before it is ready means that some of the first are sent and
    /// the others are not; [`account`](Self::account) counts them. A value is cloned only
    /// where it has to wait or is not short. Values that carry channel ends cannot be sent
    /// like this: that does not compile.
    ///
    /// # Errors
    ///
    /// [`BatchError`] says how many were sent, and why the next one was not.
    ///
    /// ```
    /// let (mut samples, mut taken) = netchan::channel::<u32>(8);
    /// samples.send_batch(&[7, 8, 9]).wait()?;
    /// assert_eq!(taken.try_recv()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_batch<'s>(&'s mut self, values: &'s [T]) -> Wait<SendingBatch<'s, T>> {
        const { assert!(!T::HAS_ENDS, "values that carry channel ends are sent one by one") };
        Wait::new(SendingBatch { next: Sending::nothing(self), values, sent: 0 })
    }
}

/// A batch being sent.
#[derive(Debug)]
pub struct SendingBatch<'s, T: Message + Send> {
    /// The value that waits, if one does.
    next: Sending<'s, T>,
    values: &'s [T],
    sent: usize,
}

impl<T: Message + Send> Unpin for SendingBatch<'_, T> {}

impl<T: Message + Send + Clone> SendingBatch<'_, T> {
    /// Sends short values for as long as nothing stands in the way.
    fn send_short(&mut self) {
        let mut batch: [(Short, usize); AT_ONCE] = [([0; SHORT_ROOM], 0); AT_ONCE];
        loop {
            while self.values.get(self.sent).is_some_and(|value| self.next.sender.put_in_lane(value)) {
                self.sent += 1;
            }
            if self.sent == self.values.len() {
                return;
            }
            let mut len = 0;
            // Encoded before the lock is taken: `Serialize` is the program's code.
            for (value, (message, message_len)) in self.values[self.sent..].iter().zip(&mut batch) {
                let Ok(used) = value.encode(message) else { break };
                *message_len = used;
                len += 1;
            }
            let sent = self.next.sender.put_batch(&batch[..len]);
            self.sent += sent;
            if sent == 0 || sent < len {
                return;
            }
        }
    }

    fn failed(&self, error: SendError<T>) -> BatchError<T> {
        BatchError { sent: self.sent, error }
    }
}

impl<T: Message + Send + Clone> Waiting for SendingBatch<'_, T> {
    type Output = Result<(), BatchError<T>>;

    #[inline]
    fn now(&mut self) -> Option<Self::Output> {
        if self.next.is_idle() && self.next.sender.puts_short() {
            self.send_short();
        }
        (self.sent == self.values.len()).then_some(Ok(()))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if let Some(output) = self.now() {
                return Poll::Ready(output);
            }
            if self.next.is_idle() {
                self.next.value = Outgoing::Value(self.values[self.sent].clone());
            }
            match self.next.poll(cx) {
                Poll::Ready(Ok(())) => self.sent += 1,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.failed(error))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn expire(&mut self) -> Self::Output {
        if let Err(error) = self.next.expire() {
            return Err(self.failed(error));
        }
        // Slow importers of a broadcast were dropped: the others have this one.
        self.sent += 1;
        match self.values.get(self.sent) {
            None => Ok(()),
            Some(next) => {
                self.next.value = Outgoing::Value(next.clone());
                let error = self.next.too_late();
                Err(self.failed(error))
            }
        }
    }

    fn source(&self) -> Option<Source<'_>> {
        self.next.source()
    }
}
