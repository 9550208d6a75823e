//! A host, a bridge board and a leaf board at its second line. The test's own thread moves the bytes of both boards while it waits.

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use netchan::board::{Driver, Identity};
use netchan::proto::{CounterNonce, LineConfig, Name};
use netchan::testing::{WireEnd, wire};
use netchan::{Node, Peer};

/// A board in a test: its node, and what makes it a bridge.
pub(crate) struct Bridged<N: 'static, B: 'static> {
    pub(crate) node: &'static N,
    pub(crate) bridge: &'static B,
}

/// Lines of boards, each with its end of a wire.
pub(crate) struct Desk {
    pub(crate) lines: Vec<(Driver<'static>, WireEnd)>,
    /// The host's end of the bridge's upper line.
    pub(crate) port: WireEnd,
    line: LineConfig,
    driver: fn(usize, u32) -> Driver<'static>,
    starts: u32,
}

/// The bridge's lines, and the leaf's.
pub(crate) const UP: usize = 0;
pub(crate) const DOWN: usize = 1;
pub(crate) const LEAF: usize = 2;

impl Desk {
    pub(crate) fn new(driver: fn(usize, u32) -> Driver<'static>, line: LineConfig) -> Self {
        let (upper, lower) = (wire(), wire());
        let lines = vec![(driver(UP, 1), upper.0), (driver(DOWN, 1), lower.0), (driver(LEAF, 1), lower.1)];
        Self { lines, port: upper.1, line, driver, starts: 1 }
    }

    /// The program of a board starts anew, as far as this line of its goes.
    pub(crate) fn restart(&mut self, line: usize) {
        self.starts += 1;
        self.lines[line].0 = (self.driver)(line, self.starts);
    }

    /// Moves what there is.
    pub(crate) fn step(&mut self) {
        let mut is_idle = true;
        for (line, uart) in &mut self.lines {
            let mut bytes = [0; 32];
            let n = uart.read(&mut bytes);
            line.feed(&bytes[..n], uart.now());
            let m = line.drain(&mut bytes[..uart.room().min(32)], uart.now());
            uart.write(&bytes[..m]);
            is_idle &= n == 0 && m == 0;
        }
        if is_idle {
            thread::sleep(Duration::from_micros(100)); // sleeps: the host's threads are to move, too
        }
    }

    /// Waits until `done`, for a minute at most.
    #[track_caller]
    pub(crate) fn until(&mut self, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !done() {
            assert!(Instant::now() < end, "{:?}", self.lines);
            self.step();
        }
    }

    /// What the host waits for, for a minute at most.
    #[track_caller]
    pub(crate) fn run<F: IntoFuture>(&mut self, operation: F) -> F::Output {
        self.run_beside(operation, || ())
    }

    /// The same, while a board's program does this.
    #[track_caller]
    pub(crate) fn run_beside<F: IntoFuture>(&mut self, operation: F, mut beside: impl FnMut()) -> F::Output {
        let mut operation = pin!(operation.into_future());
        let mut output = None;
        self.until(|| {
            beside();
            if let Poll::Ready(it) = operation.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                output = Some(it);
            }
            output.is_some()
        });
        output.expect("it was waited for")
    }

    /// Makes a link between the host and the bridge.
    #[track_caller]
    pub(crate) fn adopt(&mut self, host: &Node) -> Peer {
        let adopting = self.port.adopt(host, &self.line);
        self.run(adopting).expect("a bridge is adopted")
    }
}

/// Who a board is, for the rest of the test.
pub(crate) fn identity(name: &'static str, line: usize, start: u32) -> Identity<'static> {
    let nonces = Box::leak(Box::new(CounterNonce::new(line as u64 + 1, start)));
    let name: &'static Name = Box::leak(Box::new(Name::new(name).unwrap()));
    Identity { name, uid: if line == LEAF { 2 } else { 1 }, boot: start.into(), nonces }
}

/// A bridge board and a leaf board with these channels; the bridge's line to the leaf is as the leaf's.
macro_rules! boards {
    ($bridge:expr, $leaf:expr) => {{
        use netchan::board::{Bridge, Memory, Node as Board};
        const BRIDGE: Config = $bridge;
        const LEAVES: Config = $leaf;
        const BELOW: Config = BRIDGE.over(*LEAVES.line());
        static NODES: (
            Board<{ BRIDGE.channels() }, { BRIDGE.bytes() }>,
            Board<{ LEAVES.channels() }, { LEAVES.bytes() }>,
        ) = (Board::new(&BRIDGE), Board::new(&LEAVES));
        static PASSING: Bridge<{ BRIDGE.circuits() }, { BRIDGE.room() }> = Bridge::new(&BRIDGE);
        let driver: fn(usize, u32) -> netchan::board::Driver<'static> = |line, start| match line {
            $crate::desk::UP => {
                let memory = Box::leak(Box::new(Memory::<{ BRIDGE.line_bytes() }>::new(&BRIDGE)));
                NODES.0.up_line(&PASSING, memory, $crate::desk::identity("relay-board", line, start))
            }
            $crate::desk::DOWN => {
                let memory = Box::leak(Box::new(Memory::<{ BELOW.line_bytes() }>::new(&BELOW)));
                NODES.0.down_line(&PASSING, memory, $crate::desk::identity("relay-board", line, start))
            }
            _ => {
                let memory = Box::leak(Box::new(Memory::<{ LEAVES.line_bytes() }>::new(&LEAVES)));
                NODES.1.line(memory, $crate::desk::identity("leaf", line, start))
            }
        };
        let desk = $crate::desk::Desk::new(driver, *BRIDGE.line());
        ($crate::desk::Bridged { node: &NODES.0, bridge: &PASSING }, &NODES.1, desk)
    }};
}

pub(crate) use boards;
