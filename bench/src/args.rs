//! The command line.

use anyhow::{Context as _, Result, bail};

use crate::job::Workload;
use crate::peers::{self, Peer};

/// What `--help` says before the lists.
const HELP: &str = "\
Measures netchan beside raw sockets and other libraries: two processes over loopback TCP.
Every peer takes its turn in every round; medians are shown, and ratios to raw of the same round.

usage: cargo xtask bench [OPTIONS]

  --only PEER,..       measure these peers only (raw is always measured: ratios refer to it)
  --workload NAME,..   measure these workloads only
  --rounds N           rounds (5)
  --millis N           measuring time of one case and peer in one round (400)
  --quick              one round of 120 ms
  --core N             the core for pinned cases (the last one allowed)
  --json               one JSON document on stdout instead of the tables
  --help               this text

A whole run takes a few minutes; progress goes to stderr. The processes end with this one.";

/// What to measure.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) peers: Vec<&'static dyn Peer>,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) rounds: usize,
    pub(crate) millis: u64,
    pub(crate) core: Option<usize>,
    pub(crate) json: bool,
}

impl std::fmt::Debug for dyn Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Wish {
    Help,
    Measure(Args),
}

pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Wish> {
    let mut args = Args {
        peers: peers::ALL.to_vec(),
        workloads: Workload::ALL.to_vec(),
        rounds: 5,
        millis: 400,
        core: None,
        json: false,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--help" | "-h" => return Ok(Wish::Help),
            "--json" => args.json = true,
            "--quick" => (args.rounds, args.millis) = (1, 120),
            "--rounds" => args.rounds = number(&value()?)?,
            "--millis" => args.millis = number(&value()?)?,
            "--core" => args.core = Some(number(&value()?)?),
            "--only" => args.peers = chosen_peers(&value()?)?,
            "--workload" => {
                args.workloads = value()?.split(',').map(str::parse).collect::<Result<_>>()?;
            }
            _ => bail!("{word:?} is not understood; see --help"),
        }
    }
    if args.rounds == 0 || args.millis < 10 {
        bail!("at least one round of 10 ms is needed");
    }
    Ok(Wish::Measure(args))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    let Ok(number) = text.parse() else {
        bail!("{text:?} is not a number");
    };
    Ok(number)
}

fn chosen_peers(list: &str) -> Result<Vec<&'static dyn Peer>> {
    let names: Vec<&str> = list.split(',').collect();
    for name in &names {
        peers::find(name)?;
    }
    let wanted = |peer: &&dyn Peer| peer.name() == peers::BASELINE || names.contains(&peer.name());
    Ok(peers::ALL.iter().copied().filter(wanted).collect())
}

pub(crate) fn help() -> String {
    let mut text = HELP.to_owned();
    text.push_str("\n\npeers:\n");
    for peer in peers::ALL {
        text.push_str(&format!("  {:<20} {}\n", peer.name(), peer.about()));
    }
    text.push_str("\nworkloads:\n");
    for workload in Workload::ALL {
        let about = match workload {
            Workload::Rtt => "a 16-byte message to and fro, on one core and not pinned",
            Workload::Oneway => "16-byte messages one way, on one core and not pinned",
            Workload::Bulk => "64 KiB messages one way, on one core and not pinned",
            Workload::Channels => "opening 1 000 and 10 000 channels, 10 messages on each",
            Workload::Beside => "the round trip while four bulk channels run, on one core",
            Workload::Wire => "bytes on the connection per 16-byte message",
            Workload::Hop => {
                "what one bridge more costs, for round trips, small messages one way and bulk, on one core"
            }
        };
        text.push_str(&format!("  {:<20} {about}\n", workload.name()));
    }
    text
}
