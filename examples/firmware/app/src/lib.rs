//! What the boards do, whatever they are: the same on a microcontroller and in a process.
#![no_std]

mod queue;

use core::fmt::Write;

use netchan::board::{
    Config, Duplex, ExportError, Latest, Logger, Node, Receiver, RecvError, SendCause, Sender, Server,
};
use netchan::proto::LineConfig;
use netchan::{Blob, Message, Text};
use serde::{Deserialize, Serialize};

pub use queue::Queue;

/// A value that is sampled.
#[derive(Serialize, Deserialize, Message, Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Milliseconds since the start.
    pub uptime_ms: u32,
    /// The level that the last command has set.
    pub level: u8,
}

/// Two numbers to be added.
#[derive(Serialize, Deserialize, Message, Debug, Clone, Copy)]
pub struct Pair(pub u32, pub u32);

/// What a board can be told.
#[derive(Serialize, Deserialize, Message, Debug, Clone, Copy)]
pub enum Command {
    /// Another level.
    Level(u8),
    /// So many blocks by `dump`.
    Dump(u32),
}

/// How whoever gave orders was lost. They cannot be told; whoever comes next can.
#[derive(Serialize, Deserialize, Message, Debug, Clone, Copy)]
pub struct Lost {
    /// When the board was told, in milliseconds since its start.
    pub at_ms: u32,
    /// Why.
    pub why: Text<48>,
}

/// What the board has made of those who loaded blocks, since its start.
#[derive(Serialize, Deserialize, Message, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loads {
    /// Blocks that were not the next one: who loads numbers them on from a multiple of [`LOAD`].
    pub stale: u32,
    /// How often it was told that who loaded was lost.
    pub ends: u32,
    /// How often it was told that the session of its import was over.
    pub interruptions: u32,
}

/// Each load begins with a multiple of this number, another one than the last.
pub const LOAD: u32 = 1000;

/// A part of a bulk transfer, longer than a packet.
pub type Block = Blob<128>;

/// What the node holds.
pub const CONFIG: Config = Config::new(LineConfig::uart(115_200, 2, 96, 4))
    .export::<Latest<Reading>>(1)
    .export::<Server<Pair, u32>>(2)
    .export::<Duplex<u32, u32>>(4)
    .export::<Sender<Block>>(2)
    .export::<Receiver<Block>>(2)
    .export::<Receiver<Command>>(2)
    .export::<Latest<Lost>>(1)
    .export::<Latest<Loads>>(1)
    .import::<Receiver<Command>>(2)
    .log(LOG_DEPTH);

/// Records that wait for the line.
const LOG_DEPTH: u16 = 4;

/// The node of this program.
pub static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);

/// What it says goes to whoever imports it.
static LOGGER: Logger = Logger::new();

/// Its program.
#[derive(Debug)]
pub struct App {
    reading: Latest<Reading>,
    sum: Server<Pair, u32>,
    echo: Duplex<u32, u32>,
    dump: Sender<Block>,
    load: Receiver<Block>,
    orders: Receiver<Command>,
    lost: Latest<Lost>,
    loads: Latest<Loads>,
    command: Receiver<Command>,
    level: u8,
    sampled_ms: u32,
    /// What could not be sent back yet.
    echoed: Option<u32>,
    to_dump: u32,
    /// The block that is to come next, unless it is the first one of a load.
    next_load: Option<u32>,
    seen: Loads,
    /// What is published of it.
    shown: Option<Loads>,
}

/// A reading so often, in milliseconds.
const SAMPLE_MS: u32 = 50;

impl App {
    /// Exports and imports its channels.
    ///
    /// # Errors
    ///
    /// None, when it is made once.
    pub fn new() -> Result<Self, ExportError> {
        LOGGER.start(&NODE, LOG_DEPTH)?;
        // Where there is a logger already, records go there.
        if log::set_logger(&LOGGER).is_ok() {
            log::set_max_level(log::LevelFilter::Info);
        }
        log::info!("started");
        Ok(Self {
            reading: NODE.export("reading")?,
            sum: NODE.export("sum")?,
            echo: NODE.export_with("echo", 4)?,
            dump: NODE.export("dump")?,
            load: NODE.export("load")?,
            // What it imports comes from its neighbour; what it exports is there for whoever is in the neighbour's tree.
            orders: NODE.export("orders")?,
            lost: NODE.export("lost")?,
            loads: NODE.export("loads")?,
            command: NODE.import("command")?,
            level: 0,
            sampled_ms: 0,
            echoed: None,
            to_dump: 0,
            next_load: None,
            seen: Loads::default(),
            shown: None,
        })
    }

    /// Does what there is to do, and does not wait.
    pub fn poll(&mut self, now_ms: u32) {
        if now_ms.wrapping_sub(self.sampled_ms) >= SAMPLE_MS {
            self.sampled_ms = now_ms;
            let reading = Reading { uptime_ms: now_ms, level: self.level };
            // A struct of two numbers always encodes.
            let _ = self.reading.set(&reading);
        }
        while let Ok(request) = self.sum.try_recv() {
            let sum = request.0.wrapping_add(request.1);
            // A caller that is gone needs no answer.
            let _ = request.reply(sum);
        }
        self.poll_command();
        self.poll_orders(now_ms);
        self.poll_echo();
        self.poll_dump();
        self.poll_load();
        if self.shown.replace(self.seen) != Some(self.seen) {
            // A struct of numbers always encodes.
            let _ = self.loads.set(&self.seen);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Level(level) => {
                log::info!("level {level}, after {}", self.level);
                self.level = level;
            }
            Command::Dump(blocks) => {
                log::info!("{blocks} blocks to send");
                self.to_dump = blocks;
            }
        }
    }

    fn poll_command(&mut self) {
        loop {
            match self.command.try_recv() {
                Ok(command) => self.obey(command),
                Err(RecvError::Interrupted { .. }) => self.seen.interruptions += 1,
                Err(_) => return,
            }
        }
    }

    fn poll_orders(&mut self, now_ms: u32) {
        loop {
            match self.orders.try_recv() {
                Ok(command) => self.obey(command),
                Err(RecvError::Left { dead: Some(dead) }) => {
                    let mut lost = Lost { at_ms: now_ms, why: Text::new() };
                    // No reason is as long as that.
                    let _ = write!(lost.why, "{}", dead.reason);
                    let _ = self.lost.set(&lost);
                }
                Err(RecvError::Left { dead: None }) => {}
                Err(_) => return,
            }
        }
    }

    fn poll_echo(&mut self) {
        loop {
            let Some(value) = self.echoed.take().or_else(|| self.echo.try_recv().ok()) else { return };
            let Err(error) = self.echo.try_send(value) else { continue };
            match error.cause {
                // Sending tells of the last partner before it takes anything for this one.
                SendCause::Left { .. } => self.echoed = Some(error.value),
                SendCause::Full => {
                    self.echoed = Some(error.value);
                    return;
                }
                // Whoever this was for is gone.
                _ => return,
            }
        }
    }

    fn poll_dump(&mut self) {
        while self.to_dump > 0 && self.dump.try_send(block(self.to_dump)).is_ok() {
            self.to_dump -= 1;
        }
    }

    /// What is loaded is only looked at: a block that is not as it was sent sets the level to 255.
    fn poll_load(&mut self) {
        loop {
            match self.load.try_recv() {
                Ok(loaded) => self.look_at(&loaded),
                Err(RecvError::Left { dead }) => {
                    self.next_load = None;
                    self.seen.ends += u32::from(dead.is_some());
                }
                Err(_) => return,
            }
        }
    }

    fn look_at(&mut self, loaded: &Block) {
        let number = loaded.first_chunk().map(|&number| u32::from_le_bytes(number));
        let Some(number) = number.filter(|&number| loaded[..] == block(number)[..]) else {
            log::error!("block {number:?} is not as it was sent");
            self.level = 255;
            return;
        };
        let is_next = self.next_load.map_or(number.is_multiple_of(LOAD), |next| number == next);
        self.seen.stale += u32::from(!is_next);
        self.next_load = Some(number.wrapping_add(1));
    }
}

/// The block of a number.
pub fn block(number: u32) -> Block {
    let mut bytes = [0; 128];
    for (at, bytes) in (0..).zip(bytes.chunks_exact_mut(4)) {
        bytes.copy_from_slice(&(number.wrapping_add(at * 0x0101)).to_le_bytes());
    }
    Block::try_from(&bytes[..]).unwrap_or_default()
}
