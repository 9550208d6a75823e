//! The programs as processes: they say clearly what is wrong, and leave nothing behind.
#![cfg(unix)]

use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const STATION: &str = env!("CARGO_BIN_EXE_station");
const DASHBOARD: &str = env!("CARGO_BIN_EXE_dashboard");
const DEMO: &str = env!("CARGO_BIN_EXE_demo");

#[test]
fn a_station_that_cannot_listen_says_why() -> Result {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let output = Command::new(STATION).args([&address, "--child"]).stdin(Stdio::null()).output()?;
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr)?;
    assert!(error.starts_with(&format!("station: {address}: cannot listen: ")), "{error}");
    Ok(())
}

#[test]
fn unknown_options_are_refused_with_the_usage() -> Result {
    for program in [STATION, DASHBOARD, DEMO] {
        let output = Command::new(program).arg("--juggle").stdin(Stdio::null()).output()?;
        let error = String::from_utf8(output.stderr)?;
        assert!(!output.status.success() && error.contains("usage: "), "{error}");
    }
    Ok(())
}

#[test]
fn a_station_dies_with_a_killed_demo() -> Result {
    let mut demo = Command::new(DEMO).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(demo.stdout.take().ok_or("stdout is piped")?).lines();
    let station = loop {
        let line = lines.next().ok_or("the demo names its station")??;
        if let Some((id, _)) = line.strip_prefix("station ").and_then(|rest| rest.split_once(' ')) {
            break Pid::from_raw(id.parse()?).ok_or("a process has an id")?;
        }
    };
    assert!(test_kill_process(station).is_ok(), "it lives");
    demo.kill()?;
    demo.wait()?;
    let until = Instant::now() + Duration::from_secs(10);
    while test_kill_process(station).is_ok() && !is_zombie(station) {
        assert!(Instant::now() < until, "the station outlives the demo");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    Ok(())
}

/// Dead, and not collected by whoever inherited it.
fn is_zombie(pid: Pid) -> bool {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let mut stat = String::new();
    let read = std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut stat));
    read.is_ok() && stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}
