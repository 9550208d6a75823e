//! The program `faulty-line`, as a person would start it, with a node at each end of it.
#![cfg(all(unix, feature = "faulty-line"))]
#![expect(clippy::print_stdout, reason = "figures, for who wants them")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use common::{Cable, Outcome, SOON, Tick, eventually, options, quick, spawn, station, tick};
use netchan::{CallError, Client, Node, Reason, Receiver, RecvError, SendCause, Sender, Server};
use netchan_serial::{self as serial, Options};
use rustix::process::{Pid, Signal, kill_process};

/// The program under way; its end is that of the test.
struct Line {
    child: Child,
    out: BufReader<ChildStdout>,
    ports: [PathBuf; 2],
}

impl Line {
    fn start(args: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_faulty-line"))
            .args(args.split_whitespace())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program is there");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = |before: &str| {
            let mut line = String::new();
            out.read_line(&mut line).expect("it speaks");
            line.trim_end().strip_prefix(before).unwrap_or_else(|| panic!("not {before}: {line}")).to_owned()
        };
        line("seed ");
        let ports = [line("port 0: "), line("port 1: ")].map(PathBuf::from);
        Self { child, out, ports }
    }

    /// Ctrl-C: what it says it has done, in each direction.
    fn end(mut self) -> [String; 2] {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("its number");
        kill_process(pid, Signal::INT).expect("it lives");
        let mut text = String::new();
        self.out.read_to_string(&mut text).expect("it speaks");
        let status = eventually("it ends", || self.child.try_wait().expect("it can be waited for"));
        assert!(status.success(), "{status}: {text}");
        assert!(!self.ports[0].exists(), "the ptys are gone");
        println!("{text}");
        let mut lines = text.lines();
        [0, 1].map(|n| {
            let line = lines.next().unwrap_or_default();
            let told = line.strip_prefix(&format!("from port {n}: "));
            told.unwrap_or_else(|| panic!("no summary: {text}")).to_owned()
        })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // It may have ended in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number before a word of a summary; 0 where it is not told.
fn told(summary: &str, what: &str) -> u64 {
    let part = summary.split(", ").find_map(|part| part.strip_suffix(what));
    part.map_or(0, |number| number.trim().parse().expect("a number"))
}

fn serve(port: &Path, options: Options) -> Node {
    let node = station();
    serial::serve(&node, port, options).expect("a pty");
    node
}

#[test]
fn everything_arrives_once_in_order_unaltered_through_all_faults_of_bytes() -> Outcome {
    let rates = "--seed 7 --baud 0 --flip 1000 --burst 4000 --lose 3000 --insert 3000 --duplicate 4000 --truncate 5000 \
                 --stall 5000 --stall-ms 20";
    let line = Line::start(rates);
    let station = serve(&line.ports[1], options());
    let mut up: Sender<Tick> = station.export("up")?;
    let mut down: Receiver<Tick> = station.export("down")?;
    let mut twice: Server<Tick, Tick> = station.export("twice")?;
    let serving = spawn(move || {
        while let Ok(request) = twice.recv().timeout(SOON).wait() {
            let n = request.n;
            let _ = request.reply(tick(2 * n)).wait();
        }
    });
    let dashboard = Node::new("dashboard");
    let board = serial::open(&dashboard, line.ports[0].as_path()).options(options()).wait()?;
    let mut got = board.import::<Receiver<Tick>>("up").timeout(SOON).wait()?;
    let mut out = board.import::<Sender<Tick>>("down").timeout(SOON).wait()?;
    let client = board.import::<Client<Tick, Tick>>("twice").timeout(SOON).wait()?;
    let sends = [
        spawn(move || {
            (0..2000).try_for_each(|n| up.send(tick(n)).timeout(SOON).wait().map_err(|e| e.cause()))
        }),
        spawn(move || {
            (0..2000).try_for_each(|n| out.send(tick(n)).timeout(SOON).wait().map_err(|e| e.cause()))
        }),
    ];
    let calls = spawn(move || (0..50).map(|n| client.call(tick(n)).timeout(SOON).wait()).collect::<Vec<_>>());
    let taken = spawn(move || (0..2000).map(|_| down.recv().timeout(SOON).wait()).collect::<Vec<_>>());
    for n in 0..2000 {
        assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(n)));
    }
    assert!(taken.join().into_iter().eq((0..2000).map(|n| Ok(tick(n)))));
    assert!(calls.join().into_iter().eq((0..50).map(|n| Ok(tick(2 * n)))));
    for sent in sends {
        assert_eq!(sent.join(), Ok(()));
    }
    assert!(board.is_up(), "one session");
    drop(station);
    serving.join();
    for summary in line.end() {
        assert!(told(&summary, "faults") > 3 && told(&summary, "bytes") > 10_000, "{summary}");
        assert_eq!(told(&summary, "disconnects"), 0, "{summary}");
    }
    Ok(())
}

#[test]
fn a_line_that_is_bad_one_way_and_unplugged_tells_each_loss_once() -> Outcome {
    let impatient = options().dead_time(Duration::from_millis(400));
    let rates = "--seed 3 --baud 0 --flip 20000 --one-way 40000 --one-way-ms 900 --disconnect 15000 --disconnect-ms 300";
    let line = Line::start(rates);
    let station = serve(&line.ports[1], impatient);
    let mut orders: Receiver<Tick> = station.export("orders")?;
    let mut echo: Server<Tick, Tick> = station.export("echo")?;
    let serving = spawn(move || {
        while let Ok(request) = echo.recv().timeout(SOON).wait() {
            let n = request.n;
            let _ = request.reply(tick(n)).wait();
        }
    });
    let dashboard = Node::new("dashboard");
    let opening = serial::open(&dashboard, line.ports[0].as_path()).options(impatient).timeout(SOON);
    let peer = opening.reconnect(quick()).wait()?;
    let mut out = peer.import::<Sender<Tick>>("orders").reopen().timeout(SOON).wait()?;
    let receiving = spawn(move || {
        let (mut last, mut got) = (None, 0_u64);
        loop {
            match orders.recv().timeout(SOON).wait() {
                Ok(Tick { n: u64::MAX }) => return got,
                Ok(value) => {
                    assert!(last.is_none_or(|last| value.n > last), "{value:?} after {last:?}: again");
                    (last, got) = (Some(value.n), got + 1);
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    // Values and calls, until the line has been lost several times.
    let (mut sent, mut confirmed, mut in_doubt, mut sessions, mut n) = (0, 0, 0, 0, 0);
    while sessions < 6 {
        match out.send(tick(n)).timeout(SOON).wait() {
            Ok(()) => {
                (n, sent) = (n + 1, sent + 1);
            }
            Err(error) => {
                let SendCause::Interrupted { dead, account } = error.cause() else { panic!("{error}") };
                let known = [Reason::Unresponsive, Reason::LinkLost, Reason::LinkReset];
                assert!(known.contains(&dead.reason), "{dead}");
                assert_eq!(account.sent(), sent, "what this session was given: {account:?}");
                confirmed += account.confirmed;
                in_doubt += account.in_doubt;
                (sessions, sent) = (sessions + 1, 0);
            }
        }
        if n % 50 == 0 {
            // A call is answered, or told why not: never another one's answer.
            let client = peer.import::<Client<Tick, Tick>>("echo").timeout(SOON).wait();
            match client.map(|client| client.call(tick(n)).timeout(SOON).wait()) {
                Ok(Ok(answer)) => assert_eq!(answer, tick(n)),
                Ok(Err(CallError::Dead(_))) | Err(_) => {}
                Ok(Err(error)) => panic!("{error}"),
            }
        }
    }
    // The last word gets through, however often it takes.
    let mut last = 0;
    while let Err(error) = out.send(tick(u64::MAX)).timeout(SOON).wait().map_err(|error| error.cause()) {
        let SendCause::Interrupted { account, .. } = error else { panic!("{error}") };
        confirmed += account.confirmed;
        in_doubt += account.in_doubt;
        last += 1;
        assert!(last < 50, "it never gets through");
    }
    drop(out);
    let got = receiving.join();
    // What was sent in the session that stands was all taken.
    let least = confirmed;
    assert!(got >= least && got <= least + in_doubt + sent, "{got}: {confirmed} and {in_doubt} in doubt");
    drop((peer, dashboard, station));
    serving.join();
    let summaries = line.end();
    let disconnects: u64 = summaries.iter().map(|summary| told(summary, "disconnects")).sum();
    let faults: u64 = summaries.iter().map(|summary| told(summary, "faults")).sum();
    assert!(disconnects > 2 && faults > disconnects, "{summaries:?}");
    Ok(())
}

#[test]
fn a_port_of_this_machine_is_one_end_and_may_go_and_come_back() -> Outcome {
    // Its other side is a cable, as far as the program knows a real one.
    let cable = Cable::new();
    let line = Line::start(&format!("--seed 5 --baud 115200 --flip 300 --port {}", cable.port(1).display()));
    assert_eq!(line.ports[1], cable.port(1));
    let impatient = options().dead_time(Duration::from_millis(400));
    let station = serve(&cable.port(0), impatient);
    let mut ticks: Sender<Tick> = station.export("ticks")?;
    let dashboard = Node::new("dashboard");
    let opening = serial::open(&dashboard, line.ports[0].as_path()).options(impatient).timeout(SOON);
    let peer = opening.reconnect(quick()).wait()?;
    let mut got = peer.import::<Receiver<Tick>>("ticks").reopen().timeout(SOON).wait()?;
    for n in 0..100 {
        ticks.send(tick(n)).timeout(SOON).wait()?;
        assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(n)));
    }
    cable.unplug(1);
    assert!(matches!(got.recv().timeout(SOON).wait(), Err(RecvError::Interrupted { taken: 100, .. })));
    cable.plug(1);
    let sending = spawn(move || ticks.send(tick(100)).timeout(SOON).wait().map_err(|error| error.cause()));
    assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(100)));
    assert_eq!(sending.join(), Ok(()));
    let [out, back] = line.end();
    assert!(told(&out, "flips") + told(&back, "flips") > 0, "{out} {back}");
    Ok(())
}

#[test]
fn what_it_does_not_understand_it_says() {
    for args in
        [&["--flop", "3"][..], &["--flip"], &["--flip", "x"], &["--seed", "-1"], &["--stall-ms", "9999999"]]
    {
        let run = Command::new(env!("CARGO_BIN_EXE_faulty-line")).args(args).output().expect("it runs");
        assert_eq!(run.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&run.stderr).contains(args[0]), "{args:?}");
    }
    let help = Command::new(env!("CARGO_BIN_EXE_faulty-line")).arg("--help").output().expect("it runs");
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--disconnect"));
}
