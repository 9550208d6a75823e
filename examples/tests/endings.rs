//! Processes whose program hangs, and that end all the same: told to from above in their tree, or with their parent.
#![cfg(unix)]
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "figures, and the address of a process, are said there"
)]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use netchan::{Config, LinkEvent, Node, Receiver};
use netchan_tcp as tcp;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// The time that a process is given.
const GRACE: Duration = Duration::from_secs(1);
/// How much later than that it may be seen to be gone, on a busy machine.
const LATE: Duration = Duration::from_secs(2);
/// Nothing here takes anywhere near as long.
const LIMIT: Duration = Duration::from_secs(20);
const ROLE: &str = "NETCHAN_TEST_ROLE";
const PARENT: &str = "NETCHAN_TEST_PARENT";
const WITNESS: &str = "NETCHAN_TEST_WITNESS";

/// Sees when processes end: each holds a connection to it, which the system closes.
struct Witness {
    address: SocketAddr,
    ends: mpsc::Receiver<(String, Instant)>,
}

impl Witness {
    fn new() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (sender, ends) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(std::result::Result::ok) {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    let (mut stream, mut name) = (BufReader::new(stream), String::new());
                    let _ = stream.read_line(&mut name);
                    let _ = stream.read(&mut [0]);
                    let _ = sender.send((name.trim().to_owned(), Instant::now()));
                });
            }
        });
        Ok(Self { address, ends })
    }

    /// The next one that ends.
    fn next(&self) -> Result<(String, Instant)> {
        Ok(self.ends.recv_timeout(LIMIT)?)
    }
}

/// A process that does not outlive its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// This test program again, with a part to play below the node that listens there.
    fn start(role: &str, parent: &str, witness: &Witness) -> Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .args(["--exact", "a_process_of_the_other_tests", "--nocapture", "--test-threads", "1"])
            .env(ROLE, role)
            .env(PARENT, parent)
            .env(WITNESS, witness.address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self(child))
    }

    /// What it says first.
    fn says(&mut self) -> Result<String> {
        let stderr = self.0.stderr.take().ok_or("it is piped")?;
        let (mut stderr, mut line) = (BufReader::new(stderr), String::new());
        stderr.read_line(&mut line)?;
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::stderr()));
        Ok(line.trim().to_owned())
    }

    fn ends(&mut self) -> Result<ExitStatus> {
        if let Some(mut stderr) = self.0.stderr.take() {
            // What it has said belongs to this test's output.
            std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::stderr()));
        }
        let until = Instant::now() + LIMIT;
        while Instant::now() < until {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Err("it does not end".into())
    }
}

/// Not a test of its own: what a process does that [`Process::start`] has started.
#[test]
fn a_process_of_the_other_tests() -> Result {
    let Ok(role) = std::env::var(ROLE) else { return Ok(()) };
    // The test holds the other end and writes nothing: this process dies with it.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::abort();
    });
    let mut witness = TcpStream::connect(std::env::var(WITNESS)?)?;
    writeln!(witness, "{role}")?;
    let config = Config::default().linger(GRACE);
    let (config, options) = match role.as_str() {
        "parent" | "lives-on" => (config, tcp::Options::new().join().live_on()),
        _ => (config.ends_process(), tcp::Options::new().join()),
    };
    let node = Node::with_config(&role, config)?;
    if role != "parent" {
        // It may be told to end before this says that it has joined: the program hangs all the same.
        let _ = tcp::connect_with(&node, std::env::var(PARENT)?, options).wait();
    }
    if role == "parent" || role == "middle" {
        // After it has joined, for its children would be numbered anew by that.
        let listener = tcp::listen_with(&node, "127.0.0.1:0", tcp::Options::new().adopt())?;
        eprintln!("{}", listener.address());
    }
    hang(&role, &node);
    drop(witness);
    Ok(())
}

/// The program, which is not of much use.
fn hang(role: &str, node: &Node) {
    match role {
        // Hears that it is to end, and does.
        "obeys" => {
            while node.event().wait().is_some() {}
            std::process::exit(7);
        }
        // Behind a lock that nobody will release.
        "locked" => {
            let lock = Arc::new(Mutex::new(()));
            let _own = lock.lock();
            let _held = std::io::stdout().lock();
            let other = Arc::clone(&lock);
            let never = std::thread::spawn(move || drop(other.lock()));
            let _ = never.join();
        }
        // Computes for ever.
        "computes" => {
            let mut n = 0_u64;
            loop {
                n = std::hint::black_box(n.wrapping_add(1));
            }
        }
        // Does not listen to signals, and sits in the middle of a wait that no value ends.
        _ => {
            let term = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(signal_hook::consts::SIGTERM, term).expect("a handler");
            // It may have been told to end by now.
            if let Ok(mut never) = node.export::<Receiver<u8>>("never") {
                loop {
                    let _ = never.recv().wait();
                }
            }
            loop {
                std::thread::park();
            }
        }
    }
}

/// A node that adopts, and where.
fn hub() -> Result<(Node, String)> {
    let hub = Node::new("hub");
    let address = tcp::listen_with(&hub, "127.0.0.1:0", tcp::Options::new().adopt())?.address().to_string();
    Ok((hub, address))
}

fn joined(hub: &Node, wanted: &str) -> Result {
    loop {
        match hub.event().timeout(LIMIT).wait() {
            Some(LinkEvent::NodeJoined { name, .. }) if name == wanted => return Ok(()),
            Some(_) => {}
            None => return Err(format!("{wanted} does not come").into()),
        }
    }
}

#[test]
fn a_process_that_hangs_ends_when_its_time_is_over() -> Result {
    let witness = Witness::new()?;
    for role in ["locked", "computes", "deaf"] {
        let (hub, address) = hub()?;
        let mut process = Process::start(role, &address, &witness)?;
        joined(&hub, role)?;
        let told = Instant::now();
        hub.shut_down_below(GRACE);
        let (name, at) = witness.next()?;
        let took = at - told;
        assert_eq!((name.as_str(), process.ends()?.code()), (role, Some(0)));
        println!("{role}: {} ms", took.as_millis());
        assert!(took < GRACE + LATE, "{role}: {took:?}");
    }
    Ok(())
}

#[test]
fn a_program_that_obeys_has_its_time_and_ends_by_itself() -> Result {
    let witness = Witness::new()?;
    let (hub, address) = hub()?;
    let mut process = Process::start("obeys", &address, &witness)?;
    joined(&hub, "obeys")?;
    let told = Instant::now();
    hub.shut_down_below(LIMIT / 2);
    assert_eq!(process.ends()?.code(), Some(7));
    assert!(told.elapsed() < LIMIT / 4, "as soon as it hears of it");
    Ok(())
}

#[test]
fn a_shorter_time_counts_and_a_longer_one_does_not() -> Result {
    let witness = Witness::new()?;
    let (hub, address) = hub()?;
    let mut process = Process::start("locked", &address, &witness)?;
    joined(&hub, "locked")?;
    let told = Instant::now();
    hub.shut_down_below(LIMIT);
    hub.shut_down_below(GRACE);
    hub.shut_down_below(LIMIT);
    let (_, at) = witness.next()?;
    assert!(at - told < GRACE + LATE, "{:?}", at - told);
    assert_eq!(process.ends()?.code(), Some(0));
    Ok(())
}

/// The one beside it hangs as well, and goes on hanging.
#[test]
fn one_process_that_hangs_ends_and_its_siblings_do_not() -> Result {
    let witness = Witness::new()?;
    let (hub, address) = hub()?;
    let mut middle = Process::start("middle", &address, &witness)?;
    let at_middle = middle.says()?;
    let mut below = Process::start("computes", &at_middle, &witness)?;
    joined(&hub, "computes")?;
    let mut beside = Process::start("deaf", &address, &witness)?;
    joined(&hub, "deaf")?;
    let told = Instant::now();
    hub.remote("middle").shut_down(GRACE)?;
    let [(first, _), (second, at)] = [witness.next()?, witness.next()?];
    assert_eq!([first.as_str(), second.as_str()], ["computes", "middle"]);
    assert!(at - told < GRACE + LATE, "{:?}", at - told);
    assert_eq!([below.ends()?.code(), middle.ends()?.code()], [Some(0), Some(0)]);
    assert!(beside.0.try_wait()?.is_none(), "it was not told");
    assert_eq!(hub.remote("deaf").nodes().timeout(LIMIT).wait()?.count(), 1, "and answers");
    Ok(())
}

#[test]
fn processes_that_hang_end_from_the_bottom() -> Result {
    let witness = Witness::new()?;
    let (hub, address) = hub()?;
    let mut middle = Process::start("middle", &address, &witness)?;
    let at_middle = middle.says()?;
    let mut below = Process::start("deaf", &at_middle, &witness)?;
    joined(&hub, "deaf")?;
    let told = Instant::now();
    hub.shut_down_below(2 * GRACE);
    let [(first, _), (second, at)] = [witness.next()?, witness.next()?];
    assert_eq!([first.as_str(), second.as_str()], ["deaf", "middle"]);
    assert!((2 * GRACE..2 * GRACE + LATE).contains(&(at - told)), "{:?}", at - told);
    // The one below has been told as well, and not only lost its parent.
    assert_eq!([below.ends()?.code(), middle.ends()?.code()], [Some(0), Some(0)]);
    Ok(())
}

#[test]
fn a_process_ends_with_its_parents_unless_it_was_told_to_live_on() -> Result {
    let witness = Witness::new()?;
    let mut parent = Process::start("parent", "", &witness)?;
    let address = parent.says()?;
    let mut locked = Process::start("locked", &address, &witness)?;
    let mut lives_on = Process::start("lives-on", &address, &witness)?;
    let watch = Node::new("watch");
    let beside = tcp::Options::new().join().live_on();
    tcp::connect_with(&watch, &*address, beside).timeout(LIMIT).wait()?;
    let until = Instant::now() + LIMIT;
    // The two, this one, and the parent.
    while watch.remote("/").nodes().wait()?.count() < 4 {
        assert!(Instant::now() < until, "both join");
        // Lists are made only so fast for one neighbour.
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let killed = Instant::now();
    parent.0.kill()?;
    let [(first, _), (second, at)] = [witness.next()?, witness.next()?];
    assert_eq!([first.as_str(), second.as_str()], ["parent", "locked"]);
    assert!(at - killed < GRACE + LATE, "{:?}", at - killed);
    assert_eq!(locked.ends()?.code(), Some(1));
    assert!(lives_on.0.try_wait()?.is_none(), "it was told to live on");
    Ok(())
}
