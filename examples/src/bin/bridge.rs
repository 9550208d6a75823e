//! Joins serial boards and TCP hosts into one tree, and says who comes and who goes: `bridge --help`.
#![expect(clippy::print_stderr, reason = "it talks to its terminal")]

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use netchan::proto::Name;
use netchan::{Config, LinkEvent, Node, Peer};
use netchan_examples::process::{READY, end_with_stdin};
use netchan_examples::{plain, signals};
use netchan_serial::{self as serial, Board, Port, Usb};
use netchan_tcp as tcp;

const USAGE: &str = "\
usage: bridge [OPTIONS]

    --name NAME       what this node is called; else `bridge`
    --listen ADDRESS  adopts the hosts that join here
    --join ADDRESS    has the node for parent that listens and adopts there
    --board BOARD     adopts a board: a port (/dev/ttyACM0, COM3), usb:2E8A:000A, or the name that the board says
    --baud BITS       of the boards; else 115200
    --danger-plaintext-network
                      addresses may be other than loopback, although nothing is encrypted
    --nodes N         knows so many nodes below it; else 16384, of about 80 bytes each
    --channels N      passes so many channels on over each of its links; else 16384, of about 1 KiB each and what waits
    --memory MIB      promises so much on each link for what waits, and lends as much to those that are busy; else 64
    --child           ends with its standard input

`--listen` and `--board` may be given several times. What is not there, or is lost, is tried again for as long as
this program runs. Whoever is in the tree can reach a board as `bridge/BOARD`.";

/// Between two attempts: the first pause, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];
/// So often it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
/// What of the network is refused, in the words of this program.
const PLAINTEXT: &str =
    "not a loopback address, and nothing is encrypted here; allow it with --danger-plaintext-network";
/// So long it waits until what was sent is delivered, when it ends.
const LINGER: Duration = Duration::from_secs(1);

struct Options {
    name: String,
    listen: Vec<String>,
    join: Option<String>,
    boards: Vec<String>,
    baud: u32,
    tcp: tcp::Options,
    config: Config,
    child: bool,
}

fn main() -> ExitCode {
    let result = parse(std::env::args().skip(1)).and_then(|options| match options {
        Some(options) => run(&options),
        None => {
            plain::line(USAGE);
            Ok(())
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bridge: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        name: "bridge".into(),
        listen: Vec::new(),
        join: None,
        boards: Vec::new(),
        baud: 115_200,
        tcp: tcp::Options::new(),
        config: Config::new(),
        child: false,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value; see --help"));
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--name" => options.name = value()?,
            "--listen" => options.listen.push(value()?),
            "--join" => options.join = Some(value()?),
            "--board" => options.boards.push(value()?),
            "--baud" => options.baud = number(&arg, &value()?)?,
            "--nodes" => options.config.nodes_below = number(&arg, &value()?)?,
            "--channels" => options.config.passing_per_link = number(&arg, &value()?)?,
            "--memory" => {
                let bytes = u64::from(number(&arg, &value()?)?) << 20;
                options.config = options.config.memory_per_link(bytes, bytes);
            }
            "--danger-plaintext-network" => options.tcp = options.tcp.danger_plaintext_network(),
            "--child" => options.child = true,
            other => return Err(format!("unknown option {other}; usage: bridge --help")),
        }
    }
    if options.listen.is_empty() && options.join.is_none() && options.boards.is_empty() {
        return Err("nothing to join: --listen, --join or --board; usage: bridge --help".into());
    }
    Ok(Some(options))
}

fn number(option: &str, text: &str) -> Result<u32, String> {
    text.parse().map_err(|error| format!("{option}: {error}"))
}

fn run(options: &Options) -> Result<(), String> {
    let asked_to_end = signals::ask().map_err(|error| format!("signals: {error}"))?;
    let node = Node::with_config(&options.name, options.config.clone())
        .map_err(|error| format!("{}: {error}", options.name))?;
    if options.child {
        end_with_stdin();
    }
    let boards = options.boards.iter().map(|board| Ok((board, port(board)?)));
    let boards = boards.collect::<Result<Vec<_>, String>>()?;
    if let Some(address) = options.join.clone() {
        let tcp = options.tcp.join().live_on();
        let tried = keep(&node, format!("parent {address}"), move |node| {
            let peer =
                tcp::connect_with(node, address.as_str(), tcp).wait().map_err(|error| match error {
                    tcp::ConnectError::NotLoopback => PLAINTEXT.into(),
                    error => error.to_string(),
                })?;
            plain::line(&format!("below   {}, as node {}", peer.info().name, node.id()));
            Ok(peer)
        });
        // Those who are adopted before would be given other numbers, and so have to come again.
        while tried.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
            if asked_to_end.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }
    for address in &options.listen {
        let listener = tcp::listen_with(&node, address.as_str(), options.tcp.adopt());
        let listener = listener.map_err(|error| match error {
            tcp::ListenError::NotLoopback => format!("{address}: {PLAINTEXT}"),
            error => format!("{address}: {error:?}"),
        })?;
        plain::line(&format!("{READY}{}", listener.address()));
    }
    for (board, port) in boards {
        let baud = options.baud;
        keep(&node, format!("board {board}"), move |node| {
            serial::open(node, port.clone()).baud(baud).adopt().wait().map_err(|error| error.to_string())
        });
    }
    let mut names = Names::default();
    while !node.is_shut() {
        if asked_to_end.load(Ordering::Relaxed) {
            node.shutdown(LINGER);
        }
        if let Some(event) = node.event().timeout(LOOK).wait() {
            names.tell(&node, event);
        }
    }
    // Those who left in the end.
    while let Some(event) = node.event().wait() {
        names.tell(&node, event);
    }
    Ok(())
}

/// The port that a board is at.
fn port(board: &str) -> Result<Port, String> {
    if let Some(usb) = board.strip_prefix("usb:") {
        let number = |text: &str| u16::from_str_radix(text, 16).ok();
        let numbers = usb.split_once(':').and_then(|(a, b)| Some((number(a)?, number(b)?)));
        let (vendor, product) =
            numbers.ok_or_else(|| format!("--board {board}: like usb:2E8A:000A, in hexadecimal digits"))?;
        return Ok(Usb::new(vendor, product).into());
    }
    // Boards have no capitals in their names, and ports have a slash or capitals.
    Ok(if Name::new(board).is_ok() { Board::named(board).into() } else { board.into() })
}

/// Makes a link, and again whenever it is lost. Says once why there is none. What it returns tells when it was tried.
fn keep(
    node: &Node,
    what: String,
    dial: impl Fn(&Node) -> Result<Peer, String> + Send + 'static,
) -> mpsc::Receiver<()> {
    let node = node.downgrade();
    let (tried, is_tried) = mpsc::channel();
    thread::spawn(move || {
        let (mut pause, mut said) = (PAUSES[0], String::new());
        while let Some(node) = node.upgrade().filter(|node| !node.is_shut()) {
            let peer = dial(&node);
            let _ = tried.send(());
            match peer {
                Ok(peer) => {
                    (pause, said) = (PAUSES[0], String::new());
                    peer.down().wait();
                }
                Err(error) if error != said && !node.is_shut() => {
                    plain::line(&format!("waits   {what}: {error}"));
                    said = error;
                }
                Err(_) => {}
            }
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSES[1]);
        }
    });
    is_tried
}

/// Who is who, also when they are gone.
#[derive(Default)]
struct Names {
    links: HashMap<u64, String>,
    nodes: HashMap<u32, String>,
}

impl Names {
    fn tell(&mut self, node: &Node, event: LinkEvent) {
        plain::line(&match event {
            LinkEvent::Up { link, peer } => {
                let line = format!("up      {}", peer.name);
                self.links.insert(link, peer.name);
                line
            }
            LinkEvent::Down { link, error } => {
                // Of one that was never up `keep` has told.
                let Some(name) = self.links.remove(&link) else { return };
                format!("down    {name}: {error}")
            }
            LinkEvent::NodeJoined { id, name, .. } => {
                let path = node.path_of(id).unwrap_or(name);
                let path = format!("{}/{path}", node.name());
                let mut line = format!("joined  {path} (node {id})");
                if let Some((other, _)) = self.nodes.iter().find(|(_, other)| **other == path) {
                    line += &format!(
                        "; so is node {other} called, which was first: only its id leads to this one"
                    );
                }
                self.nodes.insert(id, path);
                line
            }
            LinkEvent::NodeLeft { id, name, reason } => {
                let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                format!("left    {} (node {id}){why}", self.nodes.remove(&id).unwrap_or(name))
            }
            _ => return,
        });
    }
}
