//! Samples this machine and exports what it sees: gauges as latest values, events as a
//! channel, and a method that changes how often it looks.
//!
//! `station [ADDRESS] [--child]`; a child ends when its standard input does.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to its terminal")]

use std::collections::HashSet;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use netchan::host::Fanout;
use netchan::{Config, ExportOptions, Latest, Node, RecvError, Sender, Server};
use netchan_examples::process;
use netchan_examples::station::{self, Cpu, Disk, Disks, Event, Interval, Load, Memory, SetInterval};
use netchan_tcp as tcp;
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

const FASTEST_MS: u32 = 20;
const SLOWEST_MS: u32 = 5_000;
/// Crossing this, in percent, is an event; so that noise is none, back only with a margin.
const MARK: u8 = 80;
const MARGIN: f32 = 10.0;
/// What is dear to look at is not looked at more often.
const SLOWLY: Duration = Duration::from_secs(1);
const DISKS_MAX: usize = 4;
/// Programs that start in one look: more are not told.
const STARTS_MAX: usize = 3;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("station: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let (flags, words): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    if let Some(flag) = flags.iter().find(|flag| *flag != "--child") {
        return Err(format!("unknown option {flag}; usage: station [ADDRESS] [--child]").into());
    }
    let mut config = Config::default();
    config.dead_time = Duration::from_secs(1);
    let node = Node::with_config("station", config)?;
    let mut station = Station::new(&node)?;
    let address = words.first().map_or("127.0.0.1:7001", String::as_str);
    let listener = tcp::listen(&node, address).map_err(|error| format!("{address}: {error}"))?;
    println!("{}{}", process::READY, listener.address());
    if !flags.is_empty() {
        process::end_with_stdin();
    }
    station.serve()
}

/// The exported ends, and what was seen last.
struct Station {
    cpu: Latest<Cpu>,
    memory: Latest<Memory>,
    load: Latest<Load>,
    disks: Latest<Disks>,
    events: Sender<Event>,
    interval: Server<SetInterval, Interval>,
    system: System,
    every: Duration,
    /// When the processors were looked at, and the slow things.
    cpu_at: Instant,
    slow_at: Option<Instant>,
    highest: f32,
    above: bool,
    known: HashSet<sysinfo::Pid>,
}

impl Station {
    fn new(node: &Node) -> Result<Self, Box<dyn Error>> {
        let mut system = System::new();
        system.refresh_cpu_usage();
        Ok(Self {
            cpu: node.export(station::CPU)?,
            memory: node.export(station::MEMORY)?,
            load: node.export(station::LOAD)?,
            disks: node.export(station::DISKS)?,
            events: node.export_with(station::EVENTS, ExportOptions::fanout(Fanout::Broadcast))?,
            interval: node.export(station::INTERVAL)?,
            system,
            every: Duration::from_millis(u64::from(station::INTERVAL_MS)),
            cpu_at: Instant::now(),
            slow_at: None,
            highest: 0.0,
            above: false,
            known: HashSet::new(),
        })
    }

    /// Samples on time; between two samples it waits for calls.
    fn serve(&mut self) -> Result<(), Box<dyn Error>> {
        let mut next = Instant::now();
        loop {
            let now = Instant::now();
            if now >= next {
                self.sample(now)?;
                next = now + self.every;
            }
            match self.interval.recv().timeout(next.saturating_duration_since(Instant::now())).wait() {
                Ok(request) => {
                    let ms = request.ms.clamp(FASTEST_MS, SLOWEST_MS);
                    self.every = Duration::from_millis(u64::from(ms));
                    next = Instant::now();
                    // A caller that is gone by now does not matter.
                    let _ = request.reply(Interval { ms }).wait();
                    self.tell(Event::Interval { ms });
                }
                Err(RecvError::Deadline) => {}
                Err(RecvError::Decode(error)) => eprintln!("station: a request did not decode: {error}"),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// To whoever listens now; without room at one of them, it is counted as dropped.
    fn tell(&self, event: Event) {
        let _ = self.events.try_send(event);
    }

    fn sample(&mut self, now: Instant) -> Result<(), Box<dyn Error>> {
        // Looked at more often, they show nothing.
        if now - self.cpu_at >= sysinfo::MINIMUM_CPU_UPDATE_INTERVAL {
            self.cpu_at = now;
            self.sample_cpu()?;
        }
        self.system.refresh_memory();
        self.memory.set(Memory { used: self.system.used_memory(), total: self.system.total_memory() })?;
        let load = System::load_average();
        self.load.set(Load { one: load.one, five: load.five })?;
        if self.slow_at.is_none_or(|at| now - at >= SLOWLY) {
            self.slow_at = Some(now);
            self.sample_disks()?;
            self.look_for_programs();
        }
        Ok(())
    }

    fn sample_cpu(&mut self) -> Result<(), Box<dyn Error>> {
        self.system.refresh_cpu_usage();
        let total = self.system.global_cpu_usage();
        let cores = self.system.cpus().iter().map(sysinfo::Cpu::cpu_usage).collect();
        self.cpu.set(Cpu { total, cores })?;
        if total > self.highest + MARGIN / 2.0 {
            self.highest = total;
            self.tell(Event::Maximum { gauge: "cpu".into(), percent: total });
        }
        let margin = if self.above { MARGIN } else { 0.0 };
        let above = total > f32::from(MARK) - margin;
        if above != self.above {
            self.above = above;
            self.tell(Event::Crossed { mark: MARK, above });
        }
        Ok(())
    }

    fn sample_disks(&self) -> Result<(), Box<dyn Error>> {
        let list = sysinfo::Disks::new_with_refreshed_list();
        let mut disks: Vec<Disk> = list
            .iter()
            .filter(|disk| disk.total_space() > 0)
            .map(|disk| Disk {
                name: disk.mount_point().display().to_string(),
                used: disk.total_space().saturating_sub(disk.available_space()),
                total: disk.total_space(),
            })
            .collect();
        disks.sort_by_key(|disk| std::cmp::Reverse(disk.used.saturating_mul(1000) / disk.total));
        // The same file system may be mounted in many places.
        disks.dedup_by(|a, b| (a.used, a.total) == (b.used, b.total));
        disks.truncate(DISKS_MAX);
        self.disks.set(Disks { disks })?;
        Ok(())
    }

    fn look_for_programs(&mut self) {
        let what = ProcessRefreshKind::nothing().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
        let first_look = self.known.is_empty();
        let mut starts = Vec::new();
        for (pid, process) in self.system.processes() {
            if self.known.insert(*pid) && !first_look && starts.len() < STARTS_MAX {
                starts.push((pid.as_u32(), process.name().to_string_lossy().into_owned()));
            }
        }
        let system = &self.system;
        self.known.retain(|pid| system.process(*pid).is_some());
        for (pid, name) in starts {
            self.tell(Event::Started { pid, name });
        }
    }
}
