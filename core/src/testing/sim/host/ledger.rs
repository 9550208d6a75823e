//! What the programs did and were told, and the laws that this has to agree with.
//!
//! - What was sent arrives in order, each value once, none that was not sent.
//! - What was confirmed has been taken; what was taken was confirmed or is in doubt; an account adds up to what was sent.
//! - Of what ended in order all is taken.
//! - A request that has a reply was heard once, one that was refused never, any other at most once.
//! - Nothing fails that no fault was near.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::time::Duration;
use std::time::Instant;

use super::HostReport;
use crate::host::{Account, sync};

/// After so long a node that has joined is known everywhere.
pub(super) const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// Something was wrong at the link of a node to its parent, and so for all below.
struct Trouble {
    link: usize,
    /// A bit for each node that is cut off by it.
    nodes: u32,
    until: Option<Instant>,
}

/// Values from one program to another.
struct Stream {
    nodes: u32,
    began: Instant,
    /// That may arrive: one that is being sent may already.
    begun: u32,
    sent: u32,
    taken: u32,
    account: Option<Account>,
    failed: Option<String>,
    ended: bool,
    is_given_up: bool,
}

/// A message or a request.
struct Shot {
    times: u32,
    verdict: Option<Verdict>,
}

/// What the sender of a message was told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken,
    Refused,
    InDoubt,
}

/// All that has happened.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) report: HostReport,
    troubles: Vec<Trouble>,
    streams: Vec<Stream>,
    shots: Vec<Shot>,
    is_traced: bool,
    began: Option<Instant>,
}

fn bits(nodes: &[usize]) -> u32 {
    nodes.iter().fold(0, |bits, node| bits | 1 << node)
}

impl Ledger {
    pub(super) fn new(is_traced: bool) -> Self {
        Self { is_traced, began: Some(sync::now()), ..Self::default() }
    }

    /// Tells what happens, where that was asked for.
    #[expect(clippy::print_stdout, reason = "asked for")]
    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.is_traced {
            std::println!(
                "{:>10.6} {}",
                self.began.map_or(0.0, |began| (sync::now() - began).as_secs_f64()),
                what()
            );
        }
    }

    /// The link of this node to its parent is in trouble from now on, and so are all that are below.
    pub(super) fn trouble(&mut self, link: usize, nodes: u32) {
        if !self.troubles.iter().any(|trouble| trouble.link == link && trouble.until.is_none()) {
            self.troubles.push(Trouble { link, nodes, until: None });
        }
    }

    /// The link of this node to its parent is slow, for so long: it may be lost by that.
    pub(super) fn slow(&mut self, link: usize, nodes: u32, time: Duration) {
        let until = Some(sync::now() + time + SETTLED_AFTER);
        self.troubles.push(Trouble { link, nodes, until });
    }

    /// The link is up again.
    pub(super) fn mended(&mut self, link: usize) {
        let until = sync::now() + SETTLED_AFTER;
        for trouble in self.troubles.iter_mut().filter(|trouble| trouble.link == link) {
            trouble.until.get_or_insert(until);
        }
    }

    /// Whether there is trouble anywhere.
    pub(super) fn is_troubled(&self) -> bool {
        let now = sync::now();
        self.troubles.iter().any(|trouble| trouble.until.is_none_or(|until| until > now))
    }

    /// Whether something between these nodes was wrong since then.
    fn is_excused(&self, nodes: u32, since: Instant) -> bool {
        let is_near =
            |trouble: &Trouble| trouble.nodes & nodes != 0 && trouble.until.is_none_or(|until| until > since);
        self.troubles.iter().any(is_near)
    }

    /// A loss is told long before anybody gives up by himself.
    fn is_in_time(&self, error: &str) {
        assert!(!error.contains("deadline"), "told by its own deadline alone: {error}");
    }

    /// Something has failed between these nodes that was begun then.
    pub(super) fn excuse(&mut self, nodes: &[usize], since: Instant, what: &str, error: &dyn Debug) {
        self.report.failed += 1;
        self.tell(|| format!("{what} between {nodes:?}: {error:?}"));
        self.is_in_time(&format!("{error:?}"));
        assert!(
            self.is_excused(bits(nodes), since),
            "{what} between {nodes:?} has failed without a cause: {error:?}"
        );
    }

    /// Values are to be sent between these nodes.
    pub(super) fn stream(&mut self, nodes: &[usize]) -> u32 {
        self.streams.push(Stream {
            nodes: bits(nodes),
            began: sync::now(),
            begun: 0,
            sent: 0,
            taken: 0,
            account: None,
            failed: None,
            ended: false,
            is_given_up: false,
        });
        let number = self.streams.len() as u32 - 1;
        self.tell(|| format!("stream {number} begins between {nodes:?}"));
        number
    }

    fn of(&mut self, stream: u32) -> &mut Stream {
        &mut self.streams[stream as usize]
    }

    /// One more is being sent: its number.
    pub(super) fn begins(&mut self, stream: u32) -> u32 {
        self.tell(|| format!("stream {stream}: one more begins"));
        let own = self.of(stream);
        own.begun += 1;
        own.begun - 1
    }

    /// It was sent, or was not.
    pub(super) fn was_sent(&mut self, stream: u32, was_sent: bool) {
        let own = self.of(stream);
        if was_sent {
            own.sent += 1;
        } else {
            own.begun -= 1;
        }
        let (taken, begun) = (own.taken, own.begun);
        assert!(taken <= begun, "stream {stream}: {taken} were taken, of {begun} that were sent");
        self.report.sent += u32::from(was_sent);
    }

    /// Nothing more comes: because of an error, or in order.
    pub(super) fn ends(&mut self, stream: u32, account: Account, error: Option<&dyn Debug>) {
        let own = self.of(stream);
        let (sent, nodes, began, is_given_up) = (own.sent, own.nodes, own.began, own.is_given_up);
        own.ended = error.is_none();
        own.failed = error.map(|error| format!("{error:?}"));
        own.account = Some(account);
        let failed = own.failed.clone();
        self.tell(|| format!("stream {stream} ends: {account:?}"));
        assert_eq!(account.sent(), u64::from(sent), "stream {stream} was told {account:?}");
        if let Some(error) = failed {
            self.report.failed += 1;
            self.is_in_time(&error);
            self.tell(|| format!("stream {stream}: {error}"));
            let is_excused = is_given_up || self.is_excused(nodes, began);
            assert!(is_excused, "stream {stream} has failed without a cause: {error}");
        }
    }

    /// All that was sent was taken, somebody was told.
    pub(super) fn is_drained(&mut self, stream: u32) {
        let own = self.of(stream);
        let (sent, taken) = (own.sent, own.taken);
        assert_eq!(sent, taken, "stream {stream} was drained");
    }

    /// A value was taken.
    pub(super) fn takes(&mut self, stream: u32, number: u32) {
        self.tell(|| format!("stream {stream}: {number} is taken"));
        self.report.taken += 1;
        let own = self.of(stream);
        let (taken, begun) = (own.taken, own.begun);
        own.taken += 1;
        assert!(number == taken && number < begun, "stream {stream}: {number} after {taken} of {begun}");
    }

    /// Whoever takes has hung up: its sender is told so, and that is no fault.
    pub(super) fn gives_up(&mut self, stream: u32) {
        self.of(stream).is_given_up = true;
    }

    /// Whoever takes has heard the orderly end.
    pub(super) fn hears_end(&mut self, stream: u32) {
        let own = self.of(stream);
        let (sent, taken, failed) = (own.sent, own.taken, own.failed.clone());
        assert!(taken == sent, "stream {stream} ended in order: {taken} of {sent} were taken, {failed:?}");
    }

    /// A message or a request is to be sent.
    pub(super) fn shot(&mut self) -> u32 {
        self.shots.push(Shot { times: 0, verdict: None });
        self.shots.len() as u32 - 1
    }

    /// It was taken.
    pub(super) fn is_hit(&mut self, shot: u32) {
        let own = &mut self.shots[shot as usize];
        own.times += 1;
        let (times, verdict) = (own.times, own.verdict);
        self.report.taken += 1;
        assert!(times == 1, "message {shot} was taken {times} times");
        assert!(verdict != Some(Verdict::Refused), "message {shot} was refused, and is taken now");
    }

    /// Its sender was told this of it.
    pub(super) fn is_told(&mut self, shot: u32, verdict: Verdict) {
        self.report.shots += 1;
        let own = &mut self.shots[shot as usize];
        own.verdict = Some(verdict);
        let times = own.times;
        match verdict {
            Verdict::Taken => assert_eq!(times, 1, "message {shot} was taken, its sender was told"),
            Verdict::Refused => assert_eq!(times, 0, "message {shot} was refused, its sender was told"),
            Verdict::InDoubt => {}
        }
    }

    /// All has come to rest.
    pub(super) fn check_accounts(&self) {
        for (number, stream) in self.streams.iter().enumerate() {
            let Stream { sent, taken, ref account, ref failed, ended, .. } = *stream;
            let Some(account) = account else { continue };
            let (taken, confirmed) = (u64::from(taken), account.confirmed);
            assert!(taken >= confirmed, "stream {number}: {taken} were taken, it was told {account:?}");
            if failed.is_some() {
                let most = confirmed + account.in_doubt;
                assert!(taken <= most, "stream {number}: {taken} were taken, it was told {account:?}");
            }
            if ended && taken < u64::from(sent) {
                let is_excused = stream.is_given_up || self.is_excused(stream.nodes, stream.began);
                assert!(is_excused, "stream {number} ended in order, and of {sent} only {taken} were taken");
            }
        }
    }
}
