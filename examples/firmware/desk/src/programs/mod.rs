//! The programs of the project's README on emulated boards, side by side, directly and over a bad line: what their host
//! gets and gives, that they notice its end, and come back after a reset.

mod interrupt;
mod tasks;
mod thermostat;
mod update;

use std::fmt::Display;
use std::thread;
use std::time::Duration;

use netchan::testing::Faults;
use netchan::{Message, Node, RecvError, Watch};

use crate::cable::Cable;
use crate::story;

/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a program is asked.
type Story = fn(&mut Cable, &mut Said) -> Result<(), String>;

/// A program's story, and how many times as bad as others its line is, for some say little.
const STORIES: [(&str, Story, u32); 4] = [
    ("thermostat", thermostat::tell, 4),
    ("tasks", tasks::tell, 1),
    ("interrupt", interrupt::tell, 1),
    ("update", update::tell, 1),
];

/// What a story has to say when it is over.
#[derive(Default)]
struct Said(Vec<String>);

impl Said {
    fn ok(&mut self, line: impl Into<String>) {
        self.0.push(line.into());
    }
}

/// Boots each program of a directory twice with this machine.
pub(crate) fn run(dir: &str, machine: &[String], seed: u64) -> Result<(), String> {
    let told: Vec<_> = thread::scope(|scope| {
        let stories: Vec<_> = STORIES
            .iter()
            .flat_map(|&(name, story, times)| {
                [None, Some((faults(times), seed))].map(|bad| (name, story, bad))
            })
            .map(|(name, story, bad)| scope.spawn(move || perform(name, story, dir, machine, bad)))
            .collect();
        stories.into_iter().map(|story| story.join().map_err(|_| "a story panicked")).collect()
    });
    let mut failed = Vec::new();
    for story in told {
        let (title, said, result) = story?;
        println!("ok      {title}:");
        said.0.iter().for_each(|line| println!("ok        {line}"));
        failed.extend(result.err().map(|error| format!("{title}: {error}")));
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

type Told = (String, Said, Result<(), String>);

fn perform(name: &str, story: Story, dir: &str, machine: &[String], bad: Option<(Faults, u64)>) -> Told {
    let (title, socket) = match bad {
        None => (format!("program {name}"), format!("{dir}/{name}.qmp")),
        Some((_, seed)) => {
            (format!("program {name} over a faulty line, seed {seed}"), format!("{dir}/{name}-faulty.qmp"))
        }
    };
    let more = format!("-qmp unix:{socket},server=on,wait=off -kernel {dir}/{name}");
    let program: Vec<_> = machine.iter().cloned().chain(more.split(' ').map(str::to_owned)).collect();
    let mut said = Said::default();
    let result = Cable::boot(&program, &socket, bad).and_then(|mut cable| {
        story(&mut cable, &mut said)?;
        match (bad, cable.faults()) {
            (None, _) => {}
            (Some(_), 0) => return Err("the line had no faults".into()),
            (Some(_), count) => said.ok(format!("{count} faults were of no consequence")),
        }
        Ok(())
    });
    (title, said, result)
}

/// Of a line that is so many times as bad as that of others.
fn faults(times: u32) -> Faults {
    let Faults { flip, burst, lose, insert, duplicate, truncate, .. } = story::faults();
    Faults {
        flip: flip / times,
        burst: burst / times,
        lose: lose / times,
        insert: insert / times,
        duplicate: duplicate / times,
        truncate: truncate / times,
        ..story::faults()
    }
}

/// An error in words.
fn word<T, E: Display>(what: &str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

/// The next value of a watch.
fn next<T: Message + Send>(watch: &mut Watch<T>, what: &str) -> Result<T, String> {
    word(what, watch.changed().timeout(PATIENCE).wait())
}

/// The host ends in order: the board hears so at once.
fn leave(node: &Node) {
    node.shutdown(PATIENCE);
}

/// What a channel of a session says when that is over.
fn is_over<T>(told: Result<T, RecvError>, reason: netchan::proto::Reason) -> Result<(), String> {
    match told {
        Err(RecvError::Dead(dead)) if dead.reason == reason => Ok(()),
        Err(error) => Err(format!("the end of the session was told as: {error}")),
        Ok(_) => Err("a value after the end of the session".into()),
    }
}
