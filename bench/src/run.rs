//! The rounds: every case, every peer, interleaved.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::args::Args;
use crate::case::{self, Case, Scale};
use crate::job::Workload;
use crate::machine;
use crate::report::{Report, Row, Section};

/// Load per core from which other work disturbs the run.
const BUSY: f64 = 0.3;

/// Measures what the command line asks for.
pub(crate) fn run(args: &Args) -> Result<Report> {
    let started = Instant::now();
    let cores = machine::cores()?;
    let last = *cores.last().context("this process may run on no core")?;
    let core = args.core.unwrap_or(last);
    ensure!(cores.contains(&core), "core {core} is not among the allowed ones: {cores:?}");
    let scale = Scale { millis: args.millis, core };
    let load = machine::load();
    let mut sections: Vec<Section> = case::ALL
        .iter()
        .filter(|case| args.workloads.contains(&case.workload))
        .map(|case| section(case, args, scale))
        .collect();
    let mut progress = Progress::default();
    for round in 0..args.rounds {
        for section in &mut sections {
            if round >= section.case.max_rounds {
                continue;
            }
            for row in &mut section.rows {
                if row.not_applicable.is_some() {
                    continue;
                }
                let peer = row.peer.name();
                let what = format!("round {} of {}: {}", round + 1, args.rounds, section.case.id);
                progress.show(&what, peer);
                match section.case.run(row.peer, scale) {
                    Ok(figures) => row.rounds.push(Some(figures)),
                    Err(error) => {
                        progress.warn(&format!("{what}: {peer} failed: {error:#}"));
                        row.rounds.push(None);
                        row.failures.push(format!("{error:#}"));
                    }
                }
            }
        }
    }
    progress.end();
    let seconds = started.elapsed().as_secs();
    let busy = load.is_some_and(|load| load > BUSY * cores.len() as f64);
    let head: Vec<(&'static str, Value)> = vec![
        ("processor", json!(machine::processor())),
        ("cores", json!(cores.len())),
        ("load before", json!(load)),
        ("noise", json!(if busy { "other work was running" } else { "the machine was idle" })),
        ("rounds", json!(args.rounds)),
        ("millis", json!(args.millis)),
        ("seconds taken", json!(seconds)),
    ];
    Ok(Report { head, sections })
}

fn section(case: &'static Case, args: &Args, scale: Scale) -> Section {
    let rows = args.peers.iter().map(|&peer| {
        let job = case.job(peer, scale);
        Row {
            peer,
            rounds: Vec::new(),
            not_applicable: if case.workload == Workload::Hop && !peer.bridges() {
                Some("has no bridge".to_owned())
            } else {
                peer.not_applicable(&job).map(str::to_owned)
            },
            note: peer.note(&job),
            failures: Vec::new(),
        }
    });
    Section { case, rows: rows.collect() }
}

/// What is being done, on stderr: one line that changes on a terminal, one per case elsewhere.
#[derive(Debug, Default)]
struct Progress {
    last: String,
}

impl Progress {
    fn show(&mut self, what: &str, peer: &str) {
        let mut err = io::stderr().lock();
        // Progress is a courtesy: if nobody reads it, so be it.
        let _ = if err.is_terminal() {
            write!(err, "\r\x1b[K{what}: {peer}").and_then(|()| err.flush())
        } else if self.last != what {
            writeln!(err, "{what}")
        } else {
            Ok(())
        };
        what.clone_into(&mut self.last);
    }

    fn warn(&mut self, what: &str) {
        self.end();
        let _ = writeln!(io::stderr().lock(), "{what}");
    }

    fn end(&mut self) {
        let mut err = io::stderr().lock();
        if err.is_terminal() {
            let _ = write!(err, "\r\x1b[K");
        }
        self.last.clear();
    }
}
