//! The specimen of this crate's hosts: its exports over any transport.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::thread::{self, JoinHandle};

use super::contract::{
    DOUBLE, ECHO, FEED, LATER, NEWEST, ORDER, Order, Piece, REPORT, SINK, SOURCE, TOLD, order,
};
use crate::host::{
    Config, Duplex, ExportError, ExportOptions, Fanout, Latest, Node, Peer, Receiver, RecvError, SendCause,
    Sender, Server,
};
use crate::proto::Reason;

/// How long the program rests when there is nothing to do.
const REST: Duration = Duration::from_millis(1);
/// Nobody that the specimen waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that its channels may reserve on a link: few, so that a check can reach the end of them.
const RESERVE: u64 = 64 * 1024;
const LEND: u64 = 1 << 20;

/// A specimen that is a host's node, with a thread that is its program.
///
/// Whoever makes a link of its node gives the [`Peer`] of that to [`meet`](Self::meet): from there it imports.
/// Dropping it shuts its node down, without a moment for what was not delivered.
pub struct HostSpecimen {
    node: Node,
    stop: Arc<AtomicBool>,
    program: Option<JoinHandle<()>>,
}

impl fmt::Debug for HostSpecimen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostSpecimen").field("node", &self.node).finish_non_exhaustive()
    }
}

impl HostSpecimen {
    /// A node with all that a specimen exports, that takes a peer on a stream for dead after this silence.
    ///
    /// # Errors
    ///
    /// An [`ExportError`], or what keeps the system from making a thread, in words.
    pub fn new(dead: Duration) -> Result<Self, String> {
        let config = Config::default().dead_time(dead).linger(Duration::ZERO).memory_per_link(RESERVE, LEND);
        let node = Node::with_config("specimen", config).map_err(|error| alloc::format!("{error}"))?;
        let mut program = Program::new(&node).map_err(|error| alloc::format!("{error}"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let run = move || {
            while !is_over.load(Ordering::Acquire) {
                program.poll();
                thread::park_timeout(REST);
            }
        };
        let program = thread::Builder::new().name("specimen".into()).spawn(run);
        let program = program.map_err(|error| alloc::format!("{error}"))?;
        Ok(Self { node, stop, program: Some(program) })
    }

    /// Its node, to make links of.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Imports from whoever is at the other end of a link. Waits for nothing; a thread goes on until that has ended.
    pub fn meet(peer: Peer) {
        // Without a thread nothing is imported, which a check finds.
        let _ = thread::Builder::new().name("specimen-imports".into()).spawn(move || pass_on(&peer));
    }
}

impl Drop for HostSpecimen {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.node.shutdown(Duration::ZERO);
        if let Some(program) = self.program.take() {
            program.thread().unpark();
            // Had it panicked a check would have found its channels dead.
            let _ = program.join();
        }
    }
}

/// What comes by `feed` goes by `report`, for as long as both do.
fn pass_on(peer: &Peer) {
    let Ok(mut feed) = peer.import::<Receiver<u32>>(FEED).wait() else { return };
    let Ok(mut report) = peer.import::<Sender<u32>>(REPORT).wait() else { return };
    while let Ok(value) = feed.recv().wait() {
        if report.send(value).wait().is_err() {
            return;
        }
    }
}

/// What is between two polls.
struct Program {
    node: Node,
    echo: Duplex<Piece, Piece>,
    source: Option<Sender<u32>>,
    sink: Option<Receiver<u32>>,
    newest: Latest<u32>,
    double: Server<u32, u32>,
    orders: Receiver<Order>,
    told: Latest<u32>,
    later: Option<Sender<u32>>,
    /// What could not be sent back yet.
    echoed: Option<Piece>,
    losses: u32,
    /// The numbers from here to there are to be sent, and then perhaps the end.
    next: u32,
    until: u32,
    is_ending: bool,
    /// Values that may be taken of `sink`; all, if it does not say.
    may_take: Option<u32>,
}

fn export_source(node: &Node) -> Result<Sender<u32>, ExportError> {
    node.export_with(SOURCE, ExportOptions::fanout(Fanout::Exclusive))
}

fn export_sink(node: &Node) -> Result<Receiver<u32>, ExportError> {
    node.export_with(SINK, ExportOptions::fanout(Fanout::Exclusive))
}

impl Program {
    fn new(node: &Node) -> Result<Self, ExportError> {
        let newest = node.export::<Latest<u32>>(NEWEST)?;
        // Numbers always encode.
        let _ = newest.set(0);
        let told = node.export::<Latest<u32>>(TOLD)?;
        let _ = told.set(0);
        Ok(Self {
            echo: node.export(ECHO)?,
            source: Some(export_source(node)?),
            sink: Some(export_sink(node)?),
            newest,
            double: node.export(DOUBLE)?,
            orders: node.export(ORDER)?,
            told,
            later: None,
            echoed: None,
            losses: 0,
            next: 0,
            until: 0,
            is_ending: false,
            may_take: None,
            node: node.clone(),
        })
    }

    fn poll(&mut self) {
        loop {
            match self.orders.try_recv() {
                Ok(order) => self.obey(order),
                Err(RecvError::Left { .. }) => {}
                Err(_) => break,
            }
        }
        self.poll_echo();
        self.poll_source();
        self.poll_sink();
        loop {
            match self.double.try_recv() {
                Ok(request) => {
                    let double = request.wrapping_mul(2);
                    // A caller that is gone needs no answer.
                    let _ = request.reply(double).timeout(PATIENCE).wait();
                }
                Err(RecvError::Decode(_)) => {}
                Err(_) => break,
            }
        }
    }

    fn obey(&mut self, (what, number): Order) {
        match what {
            order::SEND => (self.next, self.until) = (0, number),
            order::END => self.is_ending = true,
            order::HOLD => self.may_take = Some(number),
            order::GO => self.may_take = None,
            order::HANG_UP => (self.sink, self.may_take) = (None, None),
            order::SET => {
                let _ = self.newest.set(number);
            }
            order::LATER => self.later = if number == 0 { None } else { self.node.export(LATER).ok() },
            _ => {}
        }
    }

    fn poll_echo(&mut self) {
        let (sender, receiver) = self.echo.halves();
        loop {
            let piece = match self.echoed.take() {
                Some(piece) => piece,
                None => match receiver.try_recv() {
                    Ok(piece) => piece,
                    Err(RecvError::Left { dead }) => {
                        self.losses += 1;
                        let reason = dead.map_or(0, |dead| dead.reason.get());
                        let _ = self.told.set(self.losses << 8 | u32::from(reason));
                        continue;
                    }
                    Err(RecvError::Decode(_)) => {
                        self.losses += 1;
                        let _ = self.told.set(self.losses << 8 | u32::from(Reason::DecodeFailed.get()));
                        continue;
                    }
                    Err(_) => return,
                },
            };
            if let Err(error) = sender.try_send(piece) {
                // Whoever it was for is gone, where it is anything else.
                if error.cause() == SendCause::Full {
                    self.echoed = error.into_value();
                    return;
                }
            }
        }
    }

    fn poll_source(&mut self) {
        let Some(source) = &self.source else {
            self.source = export_source(&self.node).ok();
            return;
        };
        while self.next < self.until {
            match source.try_send(self.next).map_err(|error| error.cause()) {
                Ok(()) => self.next += 1,
                Err(SendCause::Full) => return,
                // Of one who was there before.
                Err(SendCause::Left { .. }) if self.next == 0 => {}
                Err(_) => self.until = self.next,
            }
        }
        if core::mem::take(&mut self.is_ending) {
            self.source = None;
        }
    }

    fn poll_sink(&mut self) {
        let Some(sink) = &mut self.sink else {
            self.sink = export_sink(&self.node).ok();
            return;
        };
        while self.may_take != Some(0) {
            match sink.try_recv() {
                Ok(_) => self.may_take = self.may_take.map(|count| count - 1),
                Err(RecvError::Left { .. } | RecvError::Decode(_)) => {}
                Err(_) => return,
            }
        }
    }
}
