//! UARTs that fail, or take nothing.

use std::cell::Cell;
use std::task::Poll;
use std::time::Duration;

use netchan::board::{Config, Identity, Memory, Node, Receiver, RecvError, RunError, Sender, Timer};
use netchan::proto::{CounterNonce, Name};
use netchan::testing::{Clock, WireEnd, WireError, wire_at};

use super::{LINE, Tasks};

#[test]
fn a_write_that_does_not_end_stops_neither_what_comes_nor_the_dead_time() {
    let clock = Clock::manual();
    let (left, right) = wire_at(&clock);
    let mut tasks = Tasks::new(&clock);
    let far = board!(tasks, "far", left, Config::new(LINE).export::<Sender<u32>>(2));
    let mut sender: Sender<u32> = far.export("numbers").unwrap();

    const CONFIG: Config = Config::new(LINE).import::<Receiver<u32>>(2);
    static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
    let stuck = std::rc::Rc::new(Cell::new(false));
    let tx = Sticky { tx: right.clone(), stuck: stuck.clone() };
    tasks.spawn(async move {
        let mut nonces = CounterNonce::new(7, 1);
        let identity =
            Identity { name: &const { Name::literal("near") }, uid: 7, boot: 1, nonces: &mut nonces };
        let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
        let mut line = NODE.line(&mut memory, identity);
        let end = line.run(right.clone(), tx, right.clock()).await;
        assert_eq!(end, Err(RunError::Read(WireError::Gone)));
    });
    let mut receiver: Receiver<u32> = NODE.import("numbers").unwrap();
    tasks.run(sender.send(1)).unwrap();
    assert_eq!(tasks.run(receiver.recv()), Ok(1));
    tasks.pass_ms(100);
    stuck.set(true);
    tasks.run(sender.send(2)).unwrap();
    assert_eq!(tasks.run(receiver.recv()), Ok(2));
    left.unplug();
    let told = tasks.run(receiver.recv());
    assert!(matches!(told, Err(RecvError::Interrupted { taken: 2, .. })), "{told:?}");
}

/// A cable is out, and the UART says so at once, each time: the program runs the line again and again.
#[test]
fn errors_of_the_uart_do_not_stop_time() {
    let clock = Clock::manual();
    let (left, right) = wire_at(&clock);
    let mut tasks = Tasks::new(&clock);
    let far = board!(tasks, "far", left, Config::new(LINE).export::<Sender<u32>>(2));
    let mut sender: Sender<u32> = far.export("numbers").unwrap();

    const CONFIG: Config = Config::new(LINE).import::<Receiver<u32>>(2);
    static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
    let out = std::rc::Rc::new(Cell::new(false));
    let rx = Unplugged { rx: right.clone(), out: out.clone() };
    tasks.spawn(async move {
        let mut nonces = CounterNonce::new(7, 1);
        let identity =
            Identity { name: &const { Name::literal("near") }, uid: 7, boot: 1, nonces: &mut nonces };
        let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
        let mut line = NODE.line(&mut memory, identity);
        let clock = right.clock();
        loop {
            let end = line.run(rx.clone(), right.clone(), clock.clone()).await;
            assert_eq!(end, Err(RunError::Read(WireError::Gone)));
            let at = clock.now() + Duration::from_millis(10);
            Timer::until(&clock, at).await;
        }
    });
    let mut receiver: Receiver<u32> = NODE.import("numbers").unwrap();
    tasks.run(sender.send(1)).unwrap();
    assert_eq!(tasks.run(receiver.recv()), Ok(1));
    out.set(true);
    let from = clock.now();
    let told = tasks.run(receiver.recv());
    assert!(matches!(told, Err(RecvError::Interrupted { taken: 1, .. })), "{told:?}");
    let time = clock.now().since(from);
    assert!(time <= Duration::from_millis(2500), "{time:?}");
}

#[test]
fn who_leaves_is_done_although_a_write_does_not_end() {
    let clock = Clock::manual();
    let (left, right) = wire_at(&clock);
    let mut tasks = Tasks::new(&clock);
    let far = board!(tasks, "far", left, Config::new(LINE).export::<Sender<u32>>(2));
    let mut sender: Sender<u32> = far.export("numbers").unwrap();

    const CONFIG: Config = Config::new(LINE).import::<Receiver<u32>>(2);
    static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
    let stuck = std::rc::Rc::new(Cell::new(false));
    let leaves = std::rc::Rc::new(Cell::new(false));
    let tx = Sticky { tx: right.clone(), stuck: stuck.clone() };
    let (is_stuck, is_to_leave) = (stuck.clone(), leaves.clone());
    let left_at = std::rc::Rc::new(Cell::new(None));
    let tells = left_at.clone();
    tasks.spawn(async move {
        let mut nonces = CounterNonce::new(7, 1);
        let identity =
            Identity { name: &const { Name::literal("near") }, uid: 7, boot: 1, nonces: &mut nonces };
        let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
        let mut line = NODE.line(&mut memory, identity);
        let clock = right.clock();
        let free = Sticky { tx: right.clone(), stuck: Default::default() };
        let mut first = Box::pin(line.run(right.clone(), free, clock.clone()));
        std::future::poll_fn(|cx| {
            assert!(first.as_mut().poll(cx).is_pending());
            if is_to_leave.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(first);
        is_stuck.set(true);
        let until = clock.now() + Duration::from_millis(500);
        line.leave(until).run(right.clone(), tx, clock.clone()).await.unwrap();
        tells.set(Some(clock.now()));
    });
    let mut receiver: Receiver<u32> = NODE.import("numbers").unwrap();
    tasks.run(sender.send(1)).unwrap();
    assert_eq!(tasks.run(receiver.recv()), Ok(1));
    leaves.set(true);
    let from = clock.now();
    left.unplug();
    tasks.pass_ms(4000);
    let time = left_at.get().expect("it has left").since(from);
    assert!(time <= Duration::from_millis(2500), "{time:?}");
}

/// A UART whose cable may be out.
#[derive(Clone)]
struct Unplugged {
    rx: WireEnd,
    out: std::rc::Rc<Cell<bool>>,
}

impl embedded_io_async_v0_7::ErrorType for Unplugged {
    type Error = WireError;
}

impl embedded_io_async_v0_7::Read for Unplugged {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, WireError> {
        if self.out.get() {
            return Err(WireError::Gone);
        }
        let mut read = std::pin::pin!(embedded_io_async_v0_7::Read::read(&mut self.rx, bytes));
        std::future::poll_fn(|cx| match read.as_mut().poll(cx) {
            Poll::Pending if self.out.get() => Poll::Ready(Err(WireError::Gone)),
            polled => polled,
        })
        .await
    }
}

/// A UART that takes nothing any more.
struct Sticky {
    tx: WireEnd,
    stuck: std::rc::Rc<Cell<bool>>,
}

impl embedded_io_async_v0_7::ErrorType for Sticky {
    type Error = WireError;
}

impl embedded_io_async_v0_7::Write for Sticky {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, WireError> {
        if self.stuck.get() {
            std::future::pending::<()>().await;
        }
        embedded_io_async_v0_7::Write::write(&mut self.tx, bytes).await
    }

    async fn flush(&mut self) -> Result<(), WireError> {
        Ok(())
    }
}
