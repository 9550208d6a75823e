//! Boards whose program consists of tasks: what waits is woken, each at its time, and nothing is lost where
//! a wait is given up.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use netchan::board::{
    Client, Config, Duplex, Identity, LineId, Memory, Node, Receiver, RecvError, RunError, SendCause, Sender,
    Server, Timer,
};
use netchan::proto::{CounterNonce, Dead, Instant, LineConfig, Name, Reason};
use netchan::testing::{Clock, WireError, wire_at};

const LINE: LineConfig = LineConfig::uart(115_200, 2, 64, 2);

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Task<'a> = (Arc<Flag>, Pin<Box<dyn Future<Output = ()> + 'a>>);

/// Runs tasks that are woken, and no others: a wake that is lost is a task that never ends.
struct Tasks<'a> {
    clock: Clock,
    tasks: Vec<Task<'a>>,
}

impl<'a> Tasks<'a> {
    fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), tasks: Vec::new() }
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + 'a) {
        self.tasks.push((Arc::new(Flag(AtomicBool::new(true))), Box::pin(task)));
    }

    /// Runs them all until `task` is through, for ten seconds at most.
    #[track_caller]
    fn run<R>(&mut self, task: impl Future<Output = R>) -> R {
        let end = self.clock.now() + Duration::from_secs(10);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let mut task = std::pin::pin!(task);
        while self.clock.now() < end {
            if flag.0.swap(false, Ordering::SeqCst) {
                let waker = Waker::from(Arc::clone(&flag));
                if let Poll::Ready(result) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return result;
                }
            }
            self.turn();
            let is_idle = !self.tasks.iter().any(|(flag, _)| flag.0.load(Ordering::SeqCst));
            if is_idle && !flag.0.load(Ordering::SeqCst) {
                self.clock.pass(Duration::from_millis(1));
            }
        }
        panic!("nobody has woken the task");
    }

    fn turn(&mut self) {
        self.tasks.retain_mut(|(flag, task)| {
            let waker = Waker::from(Arc::clone(flag));
            !flag.0.swap(false, Ordering::SeqCst)
                || task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
    }

    #[track_caller]
    fn pass_ms(&mut self, millis: u64) {
        let clock = self.clock.clone();
        self.run(async move { clock.until(clock.now() + Duration::from_millis(millis)).await });
    }
}

/// A node, and its line as a task.
macro_rules! board {
    ($tasks:expr, $name:literal, $uart:expr, $config:expr) => {{
        const CONFIG: netchan::board::Config = $config;
        static NODE: netchan::board::Node<{ CONFIG.channels() }, { CONFIG.bytes() }> =
            netchan::board::Node::new(&CONFIG);
        let uart: netchan::testing::WireEnd = $uart.clone();
        $tasks.spawn(async move {
            let uid = $name.len() as u64;
            let mut nonces = netchan::proto::CounterNonce::new(uid, 1);
            let name = &const { netchan::proto::Name::literal($name) };
            let identity = netchan::board::Identity { name, uid, boot: 1, nonces: &mut nonces };
            let mut memory = netchan::board::Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
            let mut line = NODE.line(&mut memory, identity);
            let end = line.run(uart.clone(), uart.clone(), uart.clock()).await;
            assert_eq!(end, Err(netchan::board::RunError::Read(netchan::testing::WireError::Gone)));
        });
        &NODE
    }};
}

mod calls;
mod uart;

/// Polls once, as a task that then does something else.
fn once<R>(task: Pin<&mut impl Future<Output = R>>) -> Poll<R> {
    task.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn values_pass_between_tasks_of_two_boards() {
    let clock = Clock::manual();
    let (left, right) = wire_at(&clock);
    let mut tasks = Tasks::new(&clock);
    let exporter = board!(tasks, "exporter", left, Config::new(LINE).export::<Sender<u32>>(2));
    let importer = board!(tasks, "importing", right, Config::new(LINE).import::<Receiver<u32>>(2));
    let mut sender: Sender<u32> = exporter.export("numbers").unwrap();
    let mut receiver: Receiver<u32> = importer.import("numbers").unwrap();
    tasks.spawn(async move {
        for n in 0..200 {
            sender.send(n).await.unwrap();
        }
    });
    for n in 0..200 {
        assert_eq!(tasks.run(receiver.recv()), Ok(n));
    }
    assert_eq!(tasks.run(receiver.recv()), Err(RecvError::Closed));
    assert!(
        clock.now() < Instant::from_millis(1000),
        "{:?}: it was woken, and not only by and by",
        clock.now()
    );
}

#[test]
fn who_waits_is_told_when_the_line_is_unplugged_and_goes_on_when_it_is_back() {
    let clock = Clock::manual();
    let (left, right) = wire_at(&clock);
    let mut tasks = Tasks::new(&clock);
    let far = board!(tasks, "far", left, Config::new(LINE).export::<Sender<u32>>(2));
    let near = board!(tasks, "near", right, Config::new(LINE).import::<Receiver<u32>>(2));
    let mut sender: Sender<u32> = far.export("numbers").unwrap();
    let mut receiver: Receiver<u32> = near.import("numbers").unwrap();
    tasks.run(sender.send(1)).unwrap();
    assert_eq!(tasks.run(receiver.recv()), Ok(1));
    left.unplug();
    let from = clock.now();
    let told = tasks.run(receiver.recv());
    assert!(matches!(told, Err(RecvError::Interrupted { taken: 1, .. })), "{told:?}");
    let time = clock.now().since(from);
    assert!(time <= Duration::from_millis(2500), "{time:?}");
    tasks.pass_ms(3000);
    left.plug_in();
    let back = clock.now();
    // The other side's sender is told as well, and once.
    let error = tasks.run(sender.send(2)).unwrap_err();
    assert!(matches!(error.cause, SendCause::Left { .. }), "{error}");
    tasks.run(sender.send(3)).unwrap();
    assert_eq!(tasks.run(receiver.recv()), Ok(3));
    assert!(clock.now().since(back) < Duration::from_secs(2));
}

/// What the tasks of one seed have done.
#[derive(Default)]
struct Done {
    values: Cell<u32>,
    calls: Cell<u32>,
    words: Cell<u32>,
}

impl Done {
    fn all(&self) -> [u32; 3] {
        [&self.values, &self.calls, &self.words].map(Cell::get)
    }
}

fn count(cell: &Cell<u32>) {
    cell.set(cell.get() + 1);
}

/// Waits as a program does that has other things to do.
async fn pause(clock: &Clock, rng: &Cell<u64>) {
    // One step of an xorshift: what matters is that it is not the same each time.
    let mut x = rng.get();
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    rng.set(x);
    if x & 3 == 0 {
        clock.until(clock.now() + Duration::from_millis(x >> 8 & 31)).await;
    }
}

#[test]
fn no_task_sleeps_for_ever_on_a_line_that_comes_and_goes() {
    const FAR: Config =
        Config::new(LINE).export::<Sender<u32>>(2).export::<Server<u32, u32>>(2).export::<Duplex<u8, u8>>(2);
    const NEAR: Config = Config::new(LINE)
        .import::<Receiver<u32>>(2)
        .import::<Client<u32, u32>>(2)
        .import::<Duplex<u8, u8>>(2);
    let seeds = if std::env::var_os("NETCHAN_LONG").is_some() { 100 } else { 5 };
    for seed in 1..=seeds {
        let clock = Clock::manual();
        let (left, right) = wire_at(&clock);
        let (done, rng) = (Done::default(), Cell::new(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15)));
        let (done, rng, time) = (&done, &rng, &clock);
        let mut tasks = Tasks::new(&clock);
        let far: &'static Node<{ FAR.channels() }, { FAR.bytes() }> = Box::leak(Box::new(Node::new(&FAR)));
        let near: &'static Node<{ NEAR.channels() }, { NEAR.bytes() }> =
            Box::leak(Box::new(Node::new(&NEAR)));
        for (uid, uart) in [(1_u64, left.clone()), (2, right)] {
            tasks.spawn(async move {
                let name = &const { Name::literal("board") };
                let mut nonces = CounterNonce::new(uid, 1);
                let identity = Identity { name, uid, boot: 1, nonces: &mut nonces };
                if uid == 1 {
                    let mut memory = Memory::<{ FAR.line_bytes() }>::new(&FAR);
                    let mut line = far.line(&mut memory, identity);
                    let _ = line.run(uart.clone(), uart.clone(), uart.clock()).await;
                } else {
                    let mut memory = Memory::<{ NEAR.line_bytes() }>::new(&NEAR);
                    let mut line = near.line(&mut memory, identity);
                    let _ = line.run(uart.clone(), uart.clone(), uart.clock()).await;
                }
            });
        }
        let mut sender: Sender<u32> = far.export("numbers").unwrap();
        let mut server: Server<u32, u32> = far.export("double").unwrap();
        let mut echo: Duplex<u8, u8> = far.export("echo").unwrap();
        let mut receiver: Receiver<u32> = near.import("numbers").unwrap();
        let mut client: Client<u32, u32> = near.import("double").unwrap();
        let mut talk: Duplex<u8, u8> = near.import("echo").unwrap();
        tasks.spawn(async move {
            let mut n = 0;
            loop {
                n += u32::from(sender.send(n).await.is_ok());
                pause(time, rng).await;
            }
        });
        tasks.spawn(async move {
            loop {
                let request = server.recv().await.unwrap();
                pause(time, rng).await;
                let n = *request;
                let _ = request.reply(2 * n);
            }
        });
        tasks.spawn(async move {
            loop {
                if let Ok(byte) = echo.recv().await
                    && let Err(error) = echo.send(byte).await
                {
                    // That was told of the one before: who has said this is there.
                    assert!(matches!(error.cause, SendCause::Left { .. }), "{error}");
                    let _ = echo.send(byte).await;
                }
            }
        });
        tasks.spawn(async move {
            let mut last = None;
            loop {
                match receiver.recv().await {
                    Ok(n) => {
                        assert!(last.is_none_or(|last| n > last), "{n} after {last:?}");
                        last = Some(n);
                        count(&done.values);
                    }
                    Err(error) => assert!(matches!(error, RecvError::Interrupted { .. }), "{error}"),
                }
                pause(time, rng).await;
            }
        });
        tasks.spawn(async move {
            for n in 0.. {
                if let Ok(reply) = client.call(n).await {
                    assert_eq!(reply, 2 * n);
                    count(&done.calls);
                }
            }
        });
        tasks.spawn(async move {
            loop {
                // A loss is told to either half, and then it goes on.
                if talk.send(7).await.is_ok() && talk.recv().await.is_ok() {
                    count(&done.words);
                }
                pause(time, rng).await;
            }
        });
        for round in 0..4_u64 {
            tasks.pass_ms(500 + (seed * 37 + round * 211) % 400);
            left.unplug();
            tasks.pass_ms((seed * 97 + round * 1009) % 4000);
            left.plug_in();
            let before = done.all();
            tasks.pass_ms(4000);
            let after = done.all();
            assert!((0..3).all(|what| after[what] > before[what] + 10), "{seed}: {before:?} {after:?}");
        }
    }
}

#[test]
fn who_waits_on_one_line_is_let_in_as_soon_as_the_other_ones_importer_has_left() {
    const MIDDLE: Config = Config::new(LINE).export::<Receiver<u32>>(2);
    static NODE: Node<{ MIDDLE.channels() }, { MIDDLE.bytes() }> = Node::new(&MIDDLE);
    let clock = Clock::manual();
    let ((first, to_left), (second, to_right)) = (wire_at(&clock), wire_at(&clock));
    let mut tasks = Tasks::new(&clock);
    // The second one's task runs before the first one's in each turn: it finds that the channel is not free yet.
    for line in [LineId::Second, LineId::First] {
        let uart = if line == LineId::First { first.clone() } else { second.clone() };
        tasks.spawn(async move {
            let mut nonces = CounterNonce::new(7, if line == LineId::First { 1 } else { 2 });
            let identity =
                Identity { name: &const { Name::literal("middle") }, uid: 7, boot: 1, nonces: &mut nonces };
            let mut memory = Memory::<{ MIDDLE.line_bytes() }>::new(&MIDDLE);
            let mut line = match line {
                LineId::First => NODE.line(&mut memory, identity),
                LineId::Second => NODE.second_line(&mut memory, identity),
            };
            let end = line.run(uart.clone(), uart.clone(), uart.clock()).await;
            assert_eq!(end, Err(RunError::Read(WireError::Gone)));
        });
    }
    let left = board!(tasks, "left", to_left, Config::new(LINE).import::<Sender<u32>>(2));
    let right = board!(tasks, "the-right", to_right, Config::new(LINE).import::<Sender<u32>>(2));
    let mut numbers: Receiver<u32> = NODE.export("numbers").unwrap();
    let mut sender: Sender<u32> = left.import("numbers").unwrap();
    tasks.run(sender.send(1)).unwrap();
    drop(sender);
    tasks.pass_ms(50);
    let mut sender: Sender<u32> = right.import("numbers").unwrap();
    tasks.pass_ms(50);
    tasks.spawn(async move {
        sender.send(2).await.unwrap();
        std::future::pending().await
    });
    assert_eq!(tasks.run(numbers.recv()), Ok(1));
    let from = clock.now();
    assert_eq!(tasks.run(numbers.recv()), Err(RecvError::Left { dead: None }));
    assert_eq!(tasks.run(numbers.recv()), Ok(2));
    let time = clock.now().since(from);
    assert!(time < Duration::from_millis(20), "{time:?}: not only with the next sign of life");
}

/// What moves the line while it announces a silence.
#[derive(Clone, Copy, Debug)]
enum By {
    Run,
    Poll,
}

#[test]
fn a_silence_counts_from_when_it_is_heard_whatever_moves_the_line() {
    const CONFIG: Config = Config::new(LINE).export::<Sender<u32>>(2);
    for by in [By::Run, By::Poll] {
        let clock = Clock::manual();
        let (left, right) = wire_at(&clock);
        let mut tasks = Tasks::new(&clock);
        // Each time a node of its own, for a test that fails is to say which it was.
        let mut receiver: Receiver<u32> = match by {
            By::Run => board!(tasks, "run", right, Config::new(LINE).import::<Receiver<u32>>(2)).import("x"),
            By::Poll => {
                board!(tasks, "poll", right, Config::new(LINE).import::<Receiver<u32>>(2)).import("x")
            }
        }
        .unwrap();
        let node: &'static Node<{ CONFIG.channels() }, { CONFIG.bytes() }> =
            Box::leak(Box::new(Node::new(&CONFIG)));
        let sender: Sender<u32> = node.export("x").unwrap();
        let mut nonces = CounterNonce::new(7, 1);
        let identity =
            Identity { name: &const { Name::literal("far") }, uid: 7, boot: 1, nonces: &mut nonces };
        let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
        let mut line = node.line(&mut memory, identity);
        let mut uart = left.clone();
        let (mut sent, plug) = (0, left.clone());
        let time = clock.clone();
        let program = async {
            let until = async |millis| Timer::until(&time, time.now() + Duration::from_millis(millis)).await;
            while sent == 0 {
                line.poll(&mut uart, time.now()).unwrap();
                sent += u32::from(sender.try_send(1).is_ok());
                until(1).await;
            }
            for _ in 0..100 {
                line.poll(&mut uart, time.now()).unwrap();
                until(1).await;
            }
            // The notice is lost at first, and heard a second later.
            plug.unplug();
            let from = time.now();
            let mut plugging = std::pin::pin!(async {
                until(1000).await;
                plug.plug_in();
            });
            let mut quiet = line.quiet(Duration::from_secs(5));
            match by {
                By::Run => {
                    let mut run = std::pin::pin!(quiet.run(uart.clone(), uart.clone(), time.clone()));
                    let mut plugged = false;
                    let both = std::future::poll_fn(|cx| {
                        plugged = plugged || plugging.as_mut().poll(cx).is_ready();
                        run.as_mut().poll(cx)
                    });
                    both.await.unwrap();
                }
                By::Poll => {
                    let mut plugged = false;
                    while !quiet.is_heard() {
                        plugged = plugged || once(plugging.as_mut()).is_ready();
                        quiet.poll(&mut uart, time.now()).unwrap();
                        until(1).await;
                    }
                }
            }
            assert!(time.now().since(from) > Duration::from_millis(950), "it was not heard at once");
            // A little longer than was said, and less than what lets a session end.
            until(5000 + 1300).await;
            uart.read(&mut [0; 1024]);
            quiet.back(time.now());
            assert!(line.is_up(), "{by:?}: {:?}", line.ended());
            while sent == 1 {
                line.poll(&mut uart, time.now()).unwrap();
                sent += u32::from(sender.try_send(2).is_ok());
                until(1).await;
            }
            loop {
                line.poll(&mut uart, time.now()).unwrap();
                until(1).await;
            }
        };
        let mut program = std::pin::pin!(program);
        let came = async {
            assert_eq!(receiver.recv().await, Ok(1));
            assert_eq!(receiver.recv().await, Ok(2), "{by:?}");
        };
        let mut came = std::pin::pin!(came);
        tasks.run(std::future::poll_fn(|cx| {
            assert!(program.as_mut().poll(cx).is_pending());
            came.as_mut().poll(cx)
        }));
    }
}

#[test]
fn who_waits_is_told_when_the_task_that_owns_the_line_ends() {
    let clock = Clock::manual();
    let (left, right) = wire_at(&clock);
    let mut tasks = Tasks::new(&clock);
    let far = board!(tasks, "far", left, Config::new(LINE).export::<Sender<u32>>(2));
    let near = board!(tasks, "near", right, Config::new(LINE).import::<Receiver<u32>>(2));
    let mut sender: Sender<u32> = far.export("numbers").unwrap();
    let mut receiver: Receiver<u32> = near.import("numbers").unwrap();
    tasks.run(sender.send(1)).unwrap();
    assert_eq!(tasks.run(receiver.recv()), Ok(1));

    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut waiting = std::pin::pin!(receiver.recv());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    // The executor drops its tasks, and with them the lines that they own.
    tasks.tasks.clear();
    assert!(flag.0.load(Ordering::SeqCst), "it is woken");
    let dead = Dead::here(Reason::LinkLost);
    assert_eq!(once(waiting), Poll::Ready(Err(RecvError::Interrupted { dead, taken: 1 })));
    assert!(
        matches!(sender.try_send(2).unwrap_err().cause, SendCause::Left { dead: told, .. } if told == dead)
    );
}

#[test]
fn a_task_announces_a_silence_and_leaves() {
    let clock = Clock::manual();
    let (left, right) = wire_at(&clock);
    let mut tasks = Tasks::new(&clock);
    let near = board!(tasks, "near", right, Config::new(LINE).import::<Receiver<u32>>(2));
    let mut receiver: Receiver<u32> = near.import("numbers").unwrap();

    const CONFIG: Config = Config::new(LINE).export::<Sender<u32>>(2);
    static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
    let mut sender: Sender<u32> = NODE.export("numbers").unwrap();
    let mut nonces = CounterNonce::new(7, 1);
    let identity = Identity { name: &const { Name::literal("far") }, uid: 7, boot: 1, nonces: &mut nonces };
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut line = NODE.line(&mut memory, identity);
    let (rx, tx) = (left.clone(), left.clone());
    // The line is run for as long as the program does something else.
    let during = async |line: &mut netchan::board::Driver<'_>, program: Pin<&mut dyn Future<Output = ()>>| {
        let mut run = std::pin::pin!(line.run(rx.clone(), tx.clone(), clock.clone()));
        let mut program = program;
        std::future::poll_fn(|cx| {
            assert!(run.as_mut().poll(cx).is_pending());
            program.as_mut().poll(cx)
        })
        .await;
    };
    let far = async {
        during(&mut line, std::pin::pin!(async { sender.send(1).await.unwrap() })).await;
        let mut quiet = line.quiet(Duration::from_secs(5));
        quiet.run(rx.clone(), tx.clone(), clock.clone()).await.unwrap();
        // Nobody polls the line meanwhile, and what comes is lost.
        Timer::until(&clock, clock.now() + Duration::from_secs(4)).await;
        left.clone().read(&mut [0; 1024]);
        quiet.back(clock.now());
        during(&mut line, std::pin::pin!(async { sender.send(2).await.unwrap() })).await;
        let mut leaving = line.leave(clock.now() + Duration::from_secs(1));
        leaving.run(rx.clone(), tx.clone(), clock.clone()).await.unwrap();
        drop(leaving);
        assert_eq!(line.ended(), Some(Dead::here(Reason::Shutdown)));
        clock.now()
    };
    let took = async {
        assert_eq!(receiver.recv().await, Ok(1));
        assert_eq!(receiver.recv().await, Ok(2));
        let told = receiver.recv().await;
        let dead = Dead::peer(Reason::Shutdown);
        assert_eq!(told, Err(RecvError::Interrupted { dead, taken: 2 }));
        clock.now()
    };
    let (mut far, mut took) = (std::pin::pin!(far), std::pin::pin!(took));
    let (mut left_at, mut told_at) = (None, None);
    tasks.run(std::future::poll_fn(|cx| {
        if left_at.is_none()
            && let Poll::Ready(at) = far.as_mut().poll(cx)
        {
            left_at = Some(at);
        }
        if told_at.is_none()
            && let Poll::Ready(at) = took.as_mut().poll(cx)
        {
            told_at = Some(at);
        }
        if left_at.is_some() && told_at.is_some() { Poll::Ready(()) } else { Poll::Pending }
    }));
    let times = (left_at.unwrap().as_micros(), told_at.unwrap().as_micros());
    assert!(times.0.abs_diff(times.1) < 200_000 && times.0 < 5_500_000, "{times:?}");
}
