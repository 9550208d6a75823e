//! Records of a board arrive in the log of the host, and what is lost is told.

use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use log::{Level, LevelFilter};
use netchan::board::{self, Config, Identity, Logger, Memory};
use netchan::proto::{CounterNonce, LineConfig, Name};
use netchan::testing::wire;
use netchan::{LogRecord, Node, Receiver};

const LINE: LineConfig = LineConfig::uart(115_200, 2, 64, 2);
const LIMIT: Duration = Duration::from_secs(20);

/// What the host's program has logged.
struct Seen(Mutex<Vec<(Level, String, String)>>);

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Vec<(Level, String, String)>> {
        self.0.lock().unwrap()
    }
}

impl log::Log for Seen {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.lock().push((record.level(), record.target().to_owned(), record.args().to_string()));
    }

    fn flush(&self) {}
}

static SEEN: Seen = Seen(Mutex::new(Vec::new()));

#[test]
fn records_arrive_under_the_boards_name_and_what_is_lost_is_counted() {
    const CONFIG: Config = Config::new(LINE).log(4);
    static NODE: board::Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = board::Node::new(&CONFIG);
    static LOGGER: Logger = Logger::new();
    log::set_logger(&SEEN).unwrap();
    log::set_max_level(LevelFilter::Debug);

    log::info!(logger: &LOGGER, "before it is started");
    LOGGER.start(&NODE, 4).unwrap();
    log::info!(logger: &LOGGER, "before anybody listens");
    assert_eq!(LOGGER.lost(), 2);

    let (uart, port) = wire();
    let (orders, ordered) = channel::<fn()>();
    let board = thread::spawn(move || {
        let mut nonces = CounterNonce::new(1, 1);
        let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
        let name = &const { Name::literal("pump-3") };
        let mut line = NODE.line(&mut memory, Identity { name, uid: 1, boot: 1, nonces: &mut nonces });
        let (clock, mut uart) = (uart.clock(), uart);
        while line.poll(&mut uart, clock.now()).is_ok() {
            ordered.try_iter().for_each(|order| order());
        }
    });
    let node = Node::new("desk");
    let peer = port.connect(&node, CONFIG.line()).timeout(LIMIT).wait().unwrap();
    let mut records = peer.import::<Receiver<LogRecord>>(LogRecord::NAME).wait().unwrap();
    let mut next = || {
        let record = records.recv().timeout(LIMIT).wait().unwrap();
        record.log(&peer.info().name);
        record
    };

    orders.send(|| log::warn!(logger: &LOGGER, target: "valve", "{} bar\x1b[2J", 7)).unwrap();
    next();
    let expected = [(Level::Warn, "2 records were lost"), (Level::Warn, "7 bar\\u{1b}[2J")];
    let expected = expected.map(|(level, text)| (level, "pump-3::valve".to_owned(), text.to_owned()));
    assert_eq!(SEEN.lock()[..], expected);
    assert_eq!(LOGGER.lost(), 0);

    // A level that the host's program does not want is not shown.
    let detail = || {
        let args = format_args!("a detail");
        log::Log::log(&LOGGER, &log::Record::builder().level(Level::Trace).args(args).build());
    };
    orders.send(detail).unwrap();
    assert_eq!((next().text(), SEEN.lock().len()), ("a detail", 2));

    // A burst, of which only some have room.
    orders.send(|| (0..100).for_each(|n| log::debug!(logger: &LOGGER, "record {n}"))).unwrap();
    orders.send(|| log::error!(logger: &LOGGER, "the last")).unwrap();
    let (mut came, mut lost) = (0, 0);
    while came + lost < 100 {
        // The last one may have had no room itself, and is said again.
        let _ = orders.send(|| log::error!(logger: &LOGGER, "the last"));
        let record = next();
        lost += record.lost();
        assert!(lost > 0 || record.text() == format!("record {came}"), "{record:?}");
        came += 1;
    }
    assert!(lost > 50, "{came} came and {lost} were lost");
    assert!(SEEN.lock().iter().all(|(_, target, _)| target.starts_with("pump-3::")));
    drop((records, peer, node, port));
    board.join().unwrap();
}
