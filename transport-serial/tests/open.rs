//! Ports that cannot be opened, and lines at whose other end there is no node: each is told for
//! what it is.
#![cfg(unix)]

mod common;

#[cfg(target_os = "linux")]
use std::fs;
#[cfg(target_os = "linux")]
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use common::{Cable, Outcome, Pair, Pty, Task, Wires, options, spawn, station};
use netchan::proto::Fault;
use netchan::{LinkError, Node, Peer};
use netchan_serial::{self as serial, Board, OpenError, Reset, Usb};
#[cfg(target_os = "linux")]
use rustix::process::{Uid, geteuid};
#[cfg(target_os = "linux")]
use rustix::thread::set_thread_res_uid;

/// Opens a port where no link will be.
#[track_caller]
fn refused(pty: &Pty) -> OpenError {
    let node = Node::new("host");
    let opening = serial::open(&node, pty.path.as_path()).options(options());
    opening.timeout(Duration::from_millis(500)).wait().expect_err("nobody speaks netchan there")
}

#[track_caller]
fn is_fault(error: &OpenError, wanted: Fault) {
    assert!(matches!(error, OpenError::Link(_, LinkError::Fault(fault)) if *fault == wanted), "{error:?}");
}

/// Says something while the port is being opened, again and again, until it is told to stop.
fn chatter(
    pty: Pty,
    mut say: impl FnMut(&Pty) + Send + 'static,
) -> (PathBuf, Task<()>, std::sync::mpsc::Sender<()>) {
    let path = pty.path.clone();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let task = spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(5))
            == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            say(&pty);
        }
    });
    (path, task, stop)
}

#[track_caller]
fn refused_with(say: impl FnMut(&Pty) + Send + 'static) -> OpenError {
    let (path, task, stop) = chatter(Pty::new().expect("a pty"), say);
    let node = Node::new("host");
    let opening = serial::open(&node, path).options(options()).timeout(Duration::from_millis(500));
    let error = opening.wait().expect_err("nobody speaks netchan there");
    drop(stop);
    task.join();
    error
}

#[test]
fn silence_is_told_within_the_time_that_was_given() -> Outcome {
    let start = Instant::now();
    let error = refused(&Pty::new()?);
    is_fault(&error, Fault::NoHello);
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
    let said = format!("{error:?}");
    assert!(said.contains("no hello") && said.contains("is the board powered"), "{said}");
    Ok(())
}

#[test]
fn garbage_is_told_as_a_wrong_baud_rate() {
    let mut rng = netchan::testing::Rng::new(3);
    let error = refused_with(move |pty| {
        let bytes: Vec<u8> = (0..40).map(|_| rng.next() as u8 | 0x80).chain([0]).collect();
        pty.say(&bytes);
    });
    is_fault(&error, Fault::Noise);
    let said = format!("{error:?}");
    assert!(said.contains("wrong baud rate?") && said.contains(".baud("), "{said}");
}

#[test]
fn text_is_told_as_somebody_else_who_speaks() {
    let error = refused_with(|pty| pty.say(b"\r\nlogin: \r\nPassword: "));
    is_fault(&error, Fault::NotNetchan);
    assert!(format!("{error:?}").contains("boot loader"), "{error:?}");
}

#[test]
fn our_own_echo_is_told_as_a_looped_line() {
    let error = refused_with(|pty| pty.say(&pty.hear()));
    is_fault(&error, Fault::Loopback);
    assert!(format!("{error:?}").contains("RX and TX"), "{error:?}");
}

#[test]
fn a_port_that_is_not_there_is_told() {
    let node = Node::new("host");
    let error = serial::open(&node, "/dev/ttyNONE").wait().expect_err("there is none");
    assert!(matches!(&error, OpenError::NoPort(path) if path.ends_with("ttyNONE")), "{error:?}");
    assert_eq!(
        format!("{error:?}"),
        "/dev/ttyNONE: there is no such port (is it plugged in? `netchan_serial::ports()` lists what there is)"
    );
    let error = serial::open(&node, Usb::new(0xffff, 0xffff)).wait().expect_err("there is none");
    assert!(matches!(error, OpenError::NotFound(_)), "{error:?}");
}

/// Root may open everything: where the test is root, a thread of it is somebody else.
#[cfg(target_os = "linux")]
#[test]
fn a_port_that_may_not_be_opened_is_told() {
    const NOBODY: u32 = 65_534;
    let cable = Cable::new();
    let port = cable.port(0);
    fs::set_permissions(&port, fs::Permissions::from_mode(0o000)).expect("it is ours");
    let path = port.clone();
    let opening = thread::spawn(move || {
        if geteuid().is_root() {
            let nobody = Uid::from_raw(NOBODY);
            set_thread_res_uid(nobody, nobody, nobody).expect("root may be anybody");
        }
        serial::open(&Node::new("host"), path).wait()
    });
    let error = opening.join().expect("it does not panic").expect_err("its mode forbids it");
    assert!(matches!(&error, OpenError::NoPermission(path) if *path == port), "{error:?}");
    assert_eq!(
        format!("{error:?}"),
        format!(
            "{}: no permission to open it (on Linux: add the user to the group that owns the port, often `dialout`, and log in again)",
            port.display()
        )
    );
}

#[test]
fn a_file_is_no_serial_port() {
    let node = Node::new("host");
    for path in ["/dev/null", "/proc/self/stat", "/"] {
        let error = serial::open(&node, path).wait().expect_err("it is none");
        assert!(matches!(error, OpenError::NotSerial(_) | OpenError::NoPermission(_)), "{error:?}");
    }
}

#[test]
fn a_port_in_use_is_busy_and_its_user_is_not_disturbed() -> Outcome {
    let pair = Pair::new(Cable::new());
    let peer = pair.open()?;
    let other = Node::new("other");
    for _ in 0..3 {
        let slower = options().baud(1200);
        let opening = serial::open(&other, pair.cable.port(0)).options(slower);
        let error = opening.wait().expect_err("it is in use");
        assert!(matches!(error, OpenError::Busy(_)), "{error:?}");
        assert!(format!("{error:?}").contains("close the other program"), "{error:?}");
    }
    assert!(peer.is_up());
    peer.close();
    peer.down().wait();
    // And free again, as soon as the last words are said: an opening waits for that.
    assert!(pair.open()?.is_up());
    Ok(())
}

#[test]
fn a_port_without_control_lines_cannot_reset_a_board() -> Outcome {
    let pty = Pty::new()?;
    let node = Node::new("host");
    for reset in [Reset::Dtr(Duration::ZERO), Reset::Rts(Duration::ZERO)] {
        let opening = serial::open(&node, pty.path.as_path()).reset(reset);
        let error = opening.wait().expect_err("a pty has none");
        assert!(matches!(error, OpenError::NotSerial(_) | OpenError::Io(..)), "{error:?}");
    }
    Ok(())
}

#[test]
fn a_board_is_found_by_its_name_among_other_ports() -> Outcome {
    let pair = Pair::new(Cable::new());
    let other = Cable::new();
    let gauge = Node::new("gauge");
    serial::serve(&gauge, other.port(1), options())?;
    let silent = Pty::new()?;
    let ports = ["/dev/ttyNONE".into(), silent.path.clone(), pair.cable.port(0), other.port(0)];

    let find = |node: &Node, name: &str| -> Result<Peer, OpenError> {
        let board = Board::named(name).among(ports.clone());
        serial::open(node, board).options(options()).timeout(Duration::from_secs(1)).wait()
    };
    let node = Node::new("host");
    let peer = find(&node, "gauge")?;
    assert_eq!(peer.info().name, "gauge");
    let error = find(&Node::new("other"), "nobody").expect_err("there is none");
    let said = error.to_string();
    for part in [
        "no board `nobody`; ",
        "ttyNONE: there is no such port",
        "no hello from the other side",
        "port-0: `station`",
        "port-0: another program has it open",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    Ok(())
}

#[test]
fn a_served_port_is_let_go_with_its_node_or_before() -> Outcome {
    let pty = Pty::new()?;
    let node = station();
    let serving = serial::serve(&node, &pty.path, options())?;
    assert!(matches!(serial::serve(&node, &pty.path, options()), Err(OpenError::Busy(_))));
    assert_eq!(serving.path(), pty.path);
    serving.close();
    let again = common::eventually("the port is free", || serial::serve(&node, &pty.path, options()).ok());
    drop(node);
    let other = station();
    common::eventually("the port is free", || serial::serve(&other, &pty.path, options()).ok());
    again.close();
    Ok(())
}

#[test]
fn a_thread_that_waits_for_a_link_hears_of_the_nodes_end() -> Outcome {
    let pty = Pty::new()?;
    let node = Node::new("host");
    let (own, path) = (node.clone(), pty.path.clone());
    let opening = spawn(move || serial::open(&own, path).options(options()).wait().map(drop));
    common::eventually("it has begun", || (!pty.hear().is_empty()).then_some(()));
    let start = Instant::now();
    thread::spawn(move || node.shutdown(Duration::ZERO));
    assert!(matches!(opening.join(), Err(OpenError::Link(_, LinkError::Local(_)))));
    assert!(start.elapsed() < Duration::from_secs(2));
    Ok(())
}
