//! Bytes that are sent from where they lie.

use core::task::{Context, Poll};

use super::error::SendError;
use super::sender::{Outgoing, Sender, Sending};
use super::wait::{Source, Wait, Waiting};
use crate::message::Bytes;

impl Sender<Bytes> {
    /// Sends bytes that the program keeps: as [`send`](Self::send), without a buffer for
    /// each message.
    ///
    /// An imported sender gives them to the stream at once where nothing stands in the way.
    /// They are copied where there is no credit yet, where other messages go first or small
    /// ones go along, and what the stream does not take is. Exported senders, those that
    /// reopen or send a fixed number, and links with a checksum copy all.
    ///
    /// Dropping the operation before it is ready means that nothing was sent.
    ///
    /// # Errors
    ///
    /// [`SendError`], with a copy.
    ///
    /// ```
    /// use netchan::{Bytes, channel};
    ///
    /// let (mut blocks, mut taken) = channel::<Bytes>(4);
    /// let block = [7; 1024];
    /// blocks.send_slice(&block).wait()?;
    /// assert_eq!(taken.try_recv()?.len(), 1024);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_slice<'s>(&'s mut self, bytes: &'s [u8]) -> Wait<SendingSlice<'s>> {
        Wait::new(SendingSlice { next: Sending::nothing(self), bytes: Some(bytes) })
    }
}

/// Bytes being sent.
#[derive(Debug)]
pub struct SendingSlice<'s> {
    /// Their copy, if they have to wait.
    next: Sending<'s, Bytes>,
    bytes: Option<&'s [u8]>,
}

impl Waiting for SendingSlice<'_> {
    type Output = Result<(), SendError<Bytes>>;

    fn now(&mut self) -> Option<Self::Output> {
        let bytes = self.bytes?;
        if self.next.sender.put_slice(bytes) {
            self.bytes = None;
            return Some(Ok(()));
        }
        None
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(output) = self.now() {
            return Poll::Ready(output);
        }
        if let Some(bytes) = self.bytes.take() {
            self.next.value = Outgoing::Value(Bytes::from(bytes));
        }
        self.next.poll(cx)
    }

    fn expire(&mut self) -> Self::Output {
        self.next.expire()
    }

    fn source(&self) -> Option<Source<'_>> {
        self.next.source()
    }
}
