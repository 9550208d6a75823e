//! The programs of boards against a host's node, over a virtual wire: the three ways to run a node.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use netchan::board::{Identity, Memory};
use netchan::proto::{CounterNonce, Name};
use netchan::testing::{WireEnd, wire};
use netchan::{Client, Node, Receiver, Sender, Watch};
use netchan_examples::board::interrupt::{self, Press};
use netchan_examples::board::{tasks, thermostat};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_main_loop_publishes_and_obeys() {
    let (uart, port) = wire();
    let (heats, heated) = channel();
    let board = thread::spawn(move || {
        let (clock, mut last) = (uart.clock(), None);
        let heat = move |on| {
            // Told once for each change, as a relay would be.
            if last.replace(on) != Some(on) {
                heats.send(on).unwrap();
            }
        };
        thermostat::run(uart, 1, move || clock.now(), || 215, heat);
    });
    assert!(!heated.recv_timeout(LIMIT).unwrap(), "nobody is there");

    let node = Node::new("desk");
    let mut heater: Sender<bool> = node.export("heater").unwrap();
    let peer = port.connect(&node, thermostat::CONFIG.line()).timeout(LIMIT).wait().unwrap();
    assert_eq!(peer.info().name, "thermostat");
    let mut temperature = peer.import::<Watch<i16>>("temperature").wait().unwrap();
    assert_eq!(temperature.changed().timeout(LIMIT).wait().unwrap(), 215);
    heater.send(true).timeout(LIMIT).wait().unwrap();
    assert!(heated.recv_timeout(LIMIT).unwrap());

    // The host goes, and the board notices.
    drop((heater, temperature, peer, node));
    assert!(!heated.recv_timeout(LIMIT).unwrap());
    drop(port);
    board.join().unwrap();
}

#[embassy_executor::task]
async fn line(uart: WireEnd) {
    tasks::line(uart.clone(), uart, 1).await;
}

#[test]
fn tasks_wait_for_their_channels() {
    let (uart, port) = wire();
    // An executor never ends; it goes with the process.
    thread::spawn(move || {
        let executor = Box::leak(Box::new(embassy_executor::Executor::new()));
        executor.run(|spawner| {
            tasks::start(spawner);
            spawner.spawn(line(uart).unwrap());
        });
    });
    let node = Node::new("desk");
    let mut steps: Sender<u32> = node.export("steps").unwrap();
    let peer = port.connect(&node, tasks::CONFIG.line()).timeout(LIMIT).wait().unwrap();
    let double = peer.import::<Client<u32, u32>>("double").wait().unwrap();
    let mut total = peer.import::<Watch<u32>>("total").wait().unwrap();
    for n in 1..=20 {
        assert_eq!(double.call(n).timeout(LIMIT).wait().unwrap(), 2 * n);
        steps.send(n).timeout(LIMIT).wait().unwrap();
    }
    while total.changed().timeout(LIMIT).wait().unwrap() != 210 {}
}

#[test]
fn an_interrupt_sends() {
    interrupt::start().unwrap();
    let (uart, port) = wire();
    let board = thread::spawn(move || {
        let (clock, mut uart) = (uart.clock(), uart);
        let mut nonces = CounterNonce::new(3, 1);
        let name = &const { Name::literal("buttons") };
        let mut memory = Memory::<{ interrupt::CONFIG.line_bytes() }>::new(&interrupt::CONFIG);
        let identity = Identity { name, uid: 3, boot: 1, nonces: &mut nonces };
        let mut line = interrupt::line(&mut memory, identity);
        while line.poll(&mut uart, clock.now()).is_ok() {}
    });
    let node = Node::new("desk");
    let peer = port.connect(&node, interrupt::CONFIG.line()).timeout(LIMIT).wait().unwrap();
    let mut presses = peer.import::<Receiver<Press>>("presses").wait().unwrap();
    // A thread plays the interrupt, as often and as fast as it likes.
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut lost, mut sent) = (0, 0);
            while sent < 500 {
                match interrupt::on_button(sent as u8, lost) {
                    true => sent += 1,
                    false => lost += 1,
                }
                thread::yield_now();
            }
            done.store(true, Ordering::Release);
        });
        for n in 0..500_u32 {
            let press = presses.recv().timeout(LIMIT).wait().unwrap();
            assert_eq!(press.button, n as u8, "each once, in order");
        }
    });
    assert!(done.load(Ordering::Acquire));
    drop((presses, peer, node, port));
    board.join().unwrap();
}
