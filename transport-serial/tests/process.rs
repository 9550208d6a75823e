//! Peers that are processes of their own: killed, and stopped.
#![cfg(unix)]

mod common;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Cable, LOADED, Outcome, SOON, Tick, eventually, options, quick, spawn, tick};
use netchan::{Dead, Node, Reason, Receiver, RecvError, Sender};
use netchan_serial::{self as serial, Options};
use rustix::process::{Pid, Signal, kill_process};

/// Tells the other process which port it serves.
const PORT: &str = "NETCHAN_TEST_PORT";
const DEAD: Duration = Duration::from_millis(800);

fn impatient() -> Options {
    options().dead_time(DEAD)
}

/// The other process: this very test, with [`PORT`] set. Else there is nothing to it.
#[test]
fn the_station_of_the_other_tests() -> Outcome {
    let Some(port) = std::env::var_os(PORT) else { return Ok(()) };
    let node = Node::new("station");
    let mut ticks: Sender<Tick> = node.export("ticks")?;
    serial::serve(&node, port, impatient())?;
    let mut n = 0;
    loop {
        // Whoever goes takes a value along: the next one is for the next.
        if ticks.send(tick(n)).wait().is_ok() {
            n += 1;
        }
    }
}

/// Its end is that of the test.
struct Station(Child);

impl Station {
    fn start(cable: &Cable) -> Self {
        let own = std::env::current_exe().expect("this test");
        let child = Command::new(own)
            .args(["--exact", "the_station_of_the_other_tests"])
            .env(PORT, cable.port(1))
            .stdout(Stdio::null())
            .spawn();
        Self(child.expect("another process"))
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).expect("its number");
        kill_process(pid, signal).expect("it lives");
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nothing is heard any more, or what was on its way is not acknowledged: whichever is first.
fn is_silence(dead: Dead) -> bool {
    [Reason::Unresponsive, Reason::LinkLost].contains(&dead.reason) && dead == Dead::here(dead.reason)
}

#[test]
fn a_killed_peer_is_noticed_within_the_dead_time_and_a_quarter_and_its_successor_goes_on() -> Outcome {
    let cable = Cable::new();
    let mut station = Station::start(&cable);
    let node = Node::new("dashboard");
    let opening = serial::open(&node, cable.port(0)).options(impatient()).timeout(SOON);
    let peer = opening.reconnect(quick()).wait()?;
    let mut ticks = peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    for _ in 0..3 {
        for n in 0..20 {
            assert_eq!(ticks.recv().timeout(SOON).wait(), Ok(tick(n)));
        }
        let start = Instant::now();
        drop(station);
        let (told, taken) = loop {
            match ticks.recv().timeout(SOON).wait() {
                Ok(_) => {}
                Err(RecvError::Interrupted { dead, taken }) => break (dead, taken),
                Err(error) => return Err(error.into()),
            }
        };
        let took = start.elapsed();
        // The port is still there, and silent: only the dead-time tells.
        assert!(took < DEAD + DEAD / 4 + LOADED, "{took:?}");
        assert!(is_silence(told) && taken >= 20, "{told:?}");
        station = Station::start(&cable);
    }
    Ok(())
}

#[test]
fn a_stopped_peer_is_dead_and_when_it_goes_on_it_is_a_new_session() -> Outcome {
    let cable = Cable::new();
    let station = Station::start(&cable);
    let node = Node::new("dashboard");
    let opening = serial::open(&node, cable.port(0)).options(impatient()).timeout(SOON);
    let peer = opening.reconnect(quick()).wait()?;
    let mut ticks = peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    assert_eq!(ticks.recv().timeout(SOON).wait(), Ok(tick(0)));
    station.signal(Signal::STOP);
    let start = Instant::now();
    let told = loop {
        match ticks.recv().timeout(SOON).wait() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(start.elapsed() < DEAD + DEAD / 4 + LOADED, "{:?}", start.elapsed());
    let RecvError::Interrupted { dead, .. } = told else { panic!("{told:?}") };
    assert!(is_silence(dead), "{dead:?}");
    let receiving = spawn(move || ticks.recv().timeout(SOON).wait());
    station.signal(Signal::CONT);
    // What stood in its port and in its memory is of a session that is over.
    receiving.join()?;
    eventually("the link is up", || peer.is_up().then_some(()));
    Ok(())
}
