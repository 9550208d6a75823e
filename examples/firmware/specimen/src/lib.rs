//! The specimen of boards: what the conformance suite of netchan asks (`netchan::testing::conformance`), the same on a microcontroller
//! and in a test.
#![no_std]

use netchan::board::{
    Config, Duplex, ExportError, Latest, Node, Receiver, RecvError, SendCause, Sender, Server,
};
use netchan::proto::{LineConfig, Reason};
use netchan::testing::conformance::contract::{
    DOUBLE, ECHO, FEED, NEWEST, ORDER, Order, Piece, REPORT, SINK, SOURCE, TOLD, order,
};

/// Messages for which its channels have room.
const ECHO_DEPTH: u16 = 3;
const DEPTH: u16 = 8;

/// What the node holds.
pub const CONFIG: Config = Config::new(LineConfig::uart(115_200, 2, 96, 4))
    .export::<Duplex<Piece, Piece>>(ECHO_DEPTH)
    .export::<Sender<u32>>(DEPTH)
    .export::<Receiver<u32>>(DEPTH)
    .export::<Latest<u32>>(1)
    .export::<Server<u32, u32>>(DEPTH)
    .export::<Receiver<Order>>(DEPTH)
    .export::<Latest<u32>>(1)
    .import::<Receiver<u32>>(DEPTH)
    .import::<Sender<u32>>(DEPTH);

/// Its node.
pub type SpecimenNode = Node<{ CONFIG.channels() }, { CONFIG.bytes() }>;

/// The node of a program that has one.
pub static NODE: SpecimenNode = Node::new(&CONFIG);

/// Its program.
#[derive(Debug)]
pub struct Specimen {
    node: &'static SpecimenNode,
    echo: Duplex<Piece, Piece>,
    source: Option<Sender<u32>>,
    sink: Option<Receiver<u32>>,
    newest: Latest<u32>,
    double: Server<u32, u32>,
    orders: Receiver<Order>,
    told: Latest<u32>,
    feed: Receiver<u32>,
    report: Sender<u32>,
    /// What could not be sent back yet, and what could not be reported.
    echoed: Option<Piece>,
    reported: Option<u32>,
    losses: u32,
    /// The numbers from here to there are to be sent, and then perhaps the end.
    next: u32,
    until: u32,
    is_ending: bool,
    /// Values that may be taken of `sink`; all, if it does not say.
    may_take: Option<u32>,
}

impl Specimen {
    /// Exports and imports its channels.
    ///
    /// # Errors
    ///
    /// None, when it is made once.
    pub fn new(node: &'static SpecimenNode) -> Result<Self, ExportError> {
        let specimen = Self {
            node,
            echo: node.export_with(ECHO, ECHO_DEPTH)?,
            source: Some(node.export_with(SOURCE, DEPTH)?),
            sink: Some(node.export_with(SINK, DEPTH)?),
            newest: node.export(NEWEST)?,
            double: node.export_with(DOUBLE, DEPTH)?,
            orders: node.export_with(ORDER, DEPTH)?,
            told: node.export(TOLD)?,
            feed: node.import_with(FEED, DEPTH)?,
            report: node.import_with(REPORT, DEPTH)?,
            echoed: None,
            reported: None,
            losses: 0,
            next: 0,
            until: 0,
            is_ending: false,
            may_take: None,
        };
        // Numbers always encode.
        let _ = specimen.newest.set(&0);
        let _ = specimen.told.set(&0);
        Ok(specimen)
    }

    /// Does what there is to do, and does not wait.
    pub fn poll(&mut self) {
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
        while let Ok(request) = self.double.try_recv() {
            let double = request.wrapping_mul(2);
            // A caller that is gone needs no answer.
            let _ = request.reply(double);
        }
        self.poll_imports();
    }

    fn obey(&mut self, (what, number): Order) {
        match what {
            order::SEND => (self.next, self.until) = (0, number),
            order::END => self.is_ending = true,
            order::HOLD => self.may_take = Some(number),
            order::GO => self.may_take = None,
            order::HANG_UP => (self.sink, self.may_take) = (None, None),
            order::SET => {
                let _ = self.newest.set(&number);
            }
            _ => {}
        }
    }

    fn tell(&mut self, reason: Option<Reason>) {
        self.losses += 1;
        let _ = self.told.set(&(self.losses << 8 | u32::from(reason.map_or(0, Reason::get))));
    }

    fn poll_echo(&mut self) {
        loop {
            let piece = match self.echoed.take() {
                Some(piece) => piece,
                None => match self.echo.try_recv() {
                    Ok(piece) => piece,
                    Err(RecvError::Left { dead }) => {
                        self.tell(dead.map(|dead| dead.reason));
                        continue;
                    }
                    Err(RecvError::Decode(_)) => {
                        self.tell(Some(Reason::DecodeFailed));
                        continue;
                    }
                    Err(_) => return,
                },
            };
            let Err(error) = self.echo.try_send(piece) else { continue };
            match error.cause {
                // Sending tells of the last partner before it takes anything for this one.
                SendCause::Left { .. } => self.echoed = Some(error.value),
                SendCause::Full => {
                    self.echoed = Some(error.value);
                    return;
                }
                // Whoever this was for is gone.
                _ => {}
            }
        }
    }

    fn poll_source(&mut self) {
        let Some(source) = &self.source else {
            // Its place is free as soon as the one before is through.
            self.source = self.node.export_with(SOURCE, DEPTH).ok();
            return;
        };
        while self.next < self.until {
            match source.try_send(self.next).map_err(|error| error.cause) {
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
            self.sink = self.node.export_with(SINK, DEPTH).ok();
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

    fn poll_imports(&mut self) {
        loop {
            let Some(value) = self.reported.take().or_else(|| self.feed.try_recv().ok()) else { return };
            let Err(error) = self.report.try_send(value) else { continue };
            if matches!(error.cause, SendCause::Full) {
                self.reported = Some(value);
                return;
            }
            // What a session has left is told once, and then this value is for the next one.
            if matches!(error.cause, SendCause::Interrupted { .. }) {
                self.reported = Some(value);
            }
        }
    }
}
