//! What one process sees when another one ends, is killed, or stops: with real processes,
//! killed and stopped for real.
#![cfg(unix)]
#![expect(clippy::print_stderr, reason = "figures, and the address of a child, go to stderr")]

use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use netchan::host::Fanout;
use netchan::{Config, Dead, ExportOptions, ImportError, Node, Peer, Reason, Receiver, RecvError, Sender};
use netchan_examples::Tick;
use netchan_tcp as tcp;
use rustix::process::{Pid, Signal, kill_process};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// A killed peer is noticed within this.
const KILLED: Duration = Duration::from_millis(50);
/// Of both sides, in the tests about a stopped peer.
const DEAD_TIME: Duration = Duration::from_secs(1);
/// Nothing here takes anywhere near as long.
const LIMIT: Duration = Duration::from_secs(20);
const ROLE: &str = "NETCHAN_TEST_ROLE";

/// A child process that does not outlive its test.
struct Process {
    child: Child,
    address: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// This test program again, as an exporter that does what `role` says.
    fn with_role(role: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", "exporting_child", "--nocapture"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        let stderr = child.stderr.take().ok_or("stderr is piped")?;
        let mut stderr = BufReader::new(stderr);
        stderr.read_line(&mut address)?;
        // What else it says belongs to this test's output.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::stderr()));
        Ok(Self { child, address: address.trim().to_owned() })
    }

    /// One of the example programs, told where to meet.
    fn program(path: &str, address: &str) -> Result<Self> {
        let child = Command::new(path).arg(address).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        Ok(Self { child, address: address.to_owned() })
    }

    fn signal(&self, signal: Signal) -> Result<Instant> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).ok_or("a process has an id")?;
        let at = Instant::now();
        kill_process(pid, signal)?;
        Ok(at)
    }

    fn kill(&self) -> Result<Instant> {
        self.signal(Signal::KILL)
    }
}

/// Not a test of its own: what the child process does when [`Process::with_role`] starts it.
#[test]
fn exporting_child() -> Result {
    let Ok(role) = std::env::var(ROLE) else { return Ok(()) };
    // The parent holds the other end and writes nothing: this child dies with it.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
    let node = node("child")?;
    let mut ticks: Sender<Tick> = node.export("ticks")?;
    eprintln!("{}", tcp::listen(&node, "127.0.0.1:0")?.address());
    match role.as_str() {
        // One value for whoever comes, then silence.
        "idle" => loop {
            ticks.send(Tick { n: 1 }).wait()?;
            while ticks.importers() > 0 {
                std::thread::park_timeout(Duration::from_millis(10));
            }
        },
        _ => {
            for n in 1.. {
                ticks.send(Tick { n }).wait()?;
            }
        }
    }
    Ok(())
}

fn node(name: &str) -> Result<Node> {
    let mut config = Config::default();
    config.dead_time = DEAD_TIME;
    Ok(Node::with_config(name, config)?)
}

/// A port that was free a moment ago.
fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Connects to a program that may still be starting.
fn connect(node: &Node, address: &str) -> Result<Peer> {
    let start = Instant::now();
    loop {
        match tcp::connect(node, address).wait() {
            Ok(peer) => return Ok(peer),
            Err(error) if start.elapsed() > LIMIT => return Err(error.into()),
            Err(_) => std::thread::park_timeout(Duration::from_millis(5)),
        }
    }
}

fn import(role: &str) -> Result<(Process, Node, Peer, Receiver<Tick>)> {
    let process = Process::with_role(role)?;
    let node = node("parent")?;
    let peer = tcp::connect(&node, process.address.as_str()).wait()?;
    let ticks = peer.import("ticks").wait()?;
    Ok((process, node, peer, ticks))
}

/// The shortest of three, because a loaded machine may hold up one or two.
fn best_of_3(mut measure: impl FnMut() -> Result<Duration>) -> Result<Duration> {
    let times = [measure()?, measure()?, measure()?];
    Ok(times.into_iter().min().unwrap_or_default())
}

fn assert_dead_for_ever(ticks: &mut Receiver<Tick>, reason: Reason) {
    for _ in 0..3 {
        assert_eq!(ticks.recv().wait().map(|tick| tick.n), Err(RecvError::Dead(Dead::here(reason))));
    }
    assert_eq!(
        ticks.next().wait().and_then(std::result::Result::err).map(Dead::from),
        Some(Dead::here(reason))
    );
}

#[test]
fn a_killed_peer_is_noticed_within_50_ms() -> Result {
    let best = best_of_3(|| {
        let (process, _node, _peer, mut ticks) = import("idle")?;
        assert_eq!(ticks.recv().timeout(LIMIT).wait()?.n, 1);
        let waiting = std::thread::spawn(move || {
            let result = ticks.recv().timeout(LIMIT).wait();
            (result.map(|tick| tick.n), Instant::now(), ticks)
        });
        let at = process.kill()?;
        let (result, noticed, mut ticks) = waiting.join().expect("the waiting thread returns");
        assert_eq!(result, Err(RecvError::Dead(Dead::here(Reason::LinkLost))));
        assert_dead_for_ever(&mut ticks, Reason::LinkLost);
        Ok(noticed - at)
    })?;
    eprintln!("figure: a killed peer is noticed after {:.2} ms", best.as_secs_f64() * 1e3);
    assert!(best < KILLED, "{best:?}");
    Ok(())
}

#[test]
fn a_stopped_peer_is_noticed_within_5_quarters_of_the_dead_time() -> Result {
    let (process, _node, _peer, mut ticks) = import("idle")?;
    assert_eq!(ticks.recv().timeout(LIMIT).wait()?.n, 1);
    let at = process.signal(Signal::STOP)?;
    let result = ticks.recv().timeout(LIMIT).wait().map(|tick| tick.n);
    let took = at.elapsed();
    assert_eq!(result, Err(RecvError::Dead(Dead::here(Reason::Unresponsive))));
    assert_dead_for_ever(&mut ticks, Reason::Unresponsive);
    eprintln!("figure: a stopped peer is noticed after {:.2} dead-times", took.as_secs_f64());
    assert!(took <= DEAD_TIME * 5 / 4, "{took:?}");
    assert!(took >= DEAD_TIME / 2, "{took:?} is too eager: a moment of silence is no death");
    Ok(())
}

#[test]
fn a_program_that_sends_ten_values_and_returns_from_main_loses_none() -> Result {
    for _ in 0..10 {
        let mut exporter = Process::program(env!("CARGO_BIN_EXE_exporter"), &free_address()?)?;
        let node = node("parent")?;
        let peer = connect(&node, &exporter.address)?;
        let ticks = peer.import::<Receiver<Tick>>("ticks").wait()?;
        let got = ticks.map(|tick| tick.map(|tick| tick.n)).collect::<std::result::Result<Vec<_>, _>>()?;
        assert_eq!(got, (1..=10).collect::<Vec<_>>());
        assert!(exporter.child.wait()?.success());
    }
    Ok(())
}

#[test]
fn the_first_two_programs_understand_each_other() -> Result {
    let exporter = Process::program(env!("CARGO_BIN_EXE_exporter"), &free_address()?)?;
    // The importer does not wait for a listener, so see first that there is one.
    drop(connect(&node("parent")?, &exporter.address)?);
    let output = Command::new(env!("CARGO_BIN_EXE_importer")).arg(&exporter.address).output()?;
    let expected: String = (1..=10).map(|n| format!("tick {n}\n")).chain(["the end\n".into()]).collect();
    assert_eq!(String::from_utf8(output.stdout)?, expected);
    assert!(output.status.success());
    Ok(())
}

#[test]
fn a_killed_exporter_in_mid_stream_gives_what_is_complete_and_then_dead() -> Result {
    let (process, _node, _peer, mut ticks) = import("flood")?;
    for n in 1..=10_000 {
        assert_eq!(ticks.recv().timeout(LIMIT).wait()?.n, n);
    }
    process.kill()?;
    let mut last = 10_000;
    let dead = loop {
        match ticks.recv().timeout(LIMIT).wait() {
            Ok(tick) => {
                assert_eq!(tick.n, last + 1, "nothing is left out before the end");
                last = tick.n;
            }
            Err(error) => break error,
        }
    };
    assert_eq!(dead, RecvError::Dead(Dead::here(Reason::LinkLost)));
    assert_dead_for_ever(&mut ticks, Reason::LinkLost);
    Ok(())
}

#[test]
fn an_import_that_waits_for_its_export_hears_of_the_kill_too() -> Result {
    let best = best_of_3(|| {
        let (process, _node, peer, _ticks) = import("idle")?;
        let waiting = std::thread::spawn(move || {
            let result = peer.import::<Receiver<Tick>>("not-there").timeout(LIMIT).wait();
            (result.map(drop), Instant::now())
        });
        // Long enough that the import is under way; it holds without, too.
        std::thread::park_timeout(Duration::from_millis(20));
        let at = process.kill()?;
        let (result, noticed) = waiting.join().expect("the waiting thread returns");
        assert_eq!(result.map_err(ImportError::from), Err(ImportError::Dead(Dead::here(Reason::LinkLost))));
        Ok(noticed - at)
    })?;
    assert!(best < KILLED, "{best:?}");
    Ok(())
}

#[test]
fn a_killed_importer_leaves_an_account_that_adds_up() -> Result {
    let node = node("parent")?;
    let options = ExportOptions::fanout(Fanout::WorkQueue);
    let mut ticks: Sender<Tick> = node.export_with("ticks", options)?;
    let listener = tcp::listen(&node, "127.0.0.1:0")?;
    let mut importer = Process::program(env!("CARGO_BIN_EXE_importer"), &listener.address().to_string())?;
    ticks.send(Tick { n: 1 }).timeout(LIMIT).wait()?;
    ticks.send(Tick { n: 2 }).timeout(LIMIT).wait()?;
    ticks.drain().timeout(LIMIT).wait()?;
    assert_eq!(ticks.account().confirmed, 2);
    // A stopped program takes nothing any more.
    importer.signal(Signal::STOP)?;
    for n in 3..=5 {
        ticks.send(Tick { n }).timeout(LIMIT).wait()?;
    }
    importer.kill()?;
    let error = ticks.drain().timeout(LIMIT).wait().err();
    let account = ticks.account();
    assert_eq!((account.confirmed, account.sent()), (2, 5), "{account:?}, {error:?}");
    assert_eq!(account.in_doubt + account.unsent, 3, "{account:?}");
    let mut printed = String::new();
    importer.child.stdout.take().ok_or("stdout is piped")?.read_to_string(&mut printed)?;
    assert!("tick 1\ntick 2\n".starts_with(&printed), "{printed}");
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn a_demo_whose_words_nobody_can_read_does_not_claim_success() -> Result {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
    let output = Command::new(env!("CARGO_BIN_EXE_demo")).stdout(full).output()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr)?.starts_with("cannot write: "));
    Ok(())
}
