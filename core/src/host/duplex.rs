//! Both directions over one circuit.

use super::receiver::{Receiver, Receiving};
use super::sender::{Sender, Sending};
use super::spec::{End, ExportEnd, Exported, Imported, Spec};
use super::wait::Wait;
use crate::message::Message;
use crate::proto::OpenFlags;

/// Receives `In` and sends `Out`.
///
/// An exported duplex talks with one importer at a time; the next one can come when the last
/// has left, with both its halves. Where its values end [`recv`](Self::recv) yields
/// [`RecvError::Left`](crate::RecvError::Left) once, and goes on with the next one's. An
/// importer that has only ended what it sends is still sent to; see
/// [`Fanout::Exclusive`](crate::Fanout::Exclusive).
///
/// Dropping it ends what it sends in order, and then hangs up on what it receives.
#[derive(Debug)]
pub struct Duplex<In: Message + Send, Out: Message + Send> {
    sender: Sender<Out>,
    receiver: Receiver<In>,
}

impl<In: Message + Send, Out: Message + Send> Duplex<In, Out> {
    /// Sends a value; see [`Sender::send`].
    ///
    /// # Errors
    ///
    /// [`SendError`](crate::SendError) with the value.
    #[inline]
    pub fn send(&mut self, value: Out) -> Wait<Sending<'_, Out>> {
        self.sender.send(value)
    }

    /// Receives the next value; see [`Receiver::recv`].
    ///
    /// # Errors
    ///
    /// [`RecvError`](crate::RecvError).
    #[inline]
    pub fn recv(&mut self) -> Wait<Receiving<'_, In>> {
        self.receiver.recv()
    }

    /// Both halves at once, for `drain`, `account`, `try_recv` and `select`.
    pub const fn halves(&mut self) -> (&mut Sender<Out>, &mut Receiver<In>) {
        (&mut self.sender, &mut self.receiver)
    }

    /// Two ends of their own: dropping one leaves the other open. An exported duplex closes,
    /// and the place of an imported one is free for the next, when both are dropped.
    ///
    /// Dropping the sender is the orderly end of what it sends; the far end hears `Closed`.
    /// Dropping the receiver means that nothing is taken any more. No frame hangs up on one
    /// direction alone, so the far sender hears of it only when this sender is dropped, too:
    /// until then its sends go through, their values stay *in doubt* in its account, and a
    /// [`drain`](Sender::drain) there waits for its deadline.
    pub fn split(self) -> (Sender<Out>, Receiver<In>) {
        (self.sender, self.receiver)
    }

    pub(crate) fn receiver_mut(&mut self) -> &mut Receiver<In> {
        &mut self.receiver
    }
}

impl<In: Message + Send, Out: Message + Send> End for Duplex<In, Out> {
    fn spec() -> Spec {
        Spec::both::<In, Out>(OpenFlags::NONE, In::NAME, In::MAX_LEN)
    }

    fn imported(end: Imported) -> Self {
        let receiver = Receiver::on(end.circuit.clone(), 0);
        Self { sender: Sender::on(end.circuit, end.values), receiver }
    }
}

impl<In: Message + Send, Out: Message + Send> ExportEnd for Duplex<In, Out> {
    fn exported(end: Exported) -> Self {
        let hub = end.hub.clone();
        Self { sender: Sender::exported(Exported { hub }), receiver: Receiver::exported(end) }
    }
}
