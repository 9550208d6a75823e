//! Two nodes with 32 channels each, as many as there may be: for the longest critical section there is. Names are as long as they may be,
//! and differ in their last bytes only. A session is lost with all of them, and everything happens once more.

use netchan::board::{Config, Driver, Duplex, ExportError, Identity, Memory, Node};
use netchan::proto::{CounterNonce, Instant, LineConfig, Name};

use crate::Outcome;

const CHANNELS: usize = 32;
const LINE: LineConfig = LineConfig::uart(115_200, 2, 240, 4);
const CONFIG: Config = {
    let (mut config, mut at) = (Config::new(LINE), 0);
    while at < CHANNELS {
        config = config.export::<Duplex<u32, u32>>(1);
        at += 1;
    }
    config
};
const PARTNER: Config = {
    let (mut config, mut at) = (Config::new(LINE), 0);
    while at < CHANNELS {
        config = config.import::<Duplex<u32, u32>>(1);
        at += 1;
    }
    config
};

static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
static PARTNER_NODE: Node<{ PARTNER.channels() }, { PARTNER.bytes() }> = Node::new(&PARTNER);

const NAME: Name = Name::literal("a-board-whose-name-is-thirty-two");
const PARTNER_NAME: Name = Name::literal("partner");

const NAME_LEN: usize = 64;
/// Behind what all have in common stand two digits.
static NAMES: [[u8; NAME_LEN]; CHANNELS] = {
    let (mut names, mut at) =
        ([*b"a-channel/of-which-there-are-as-many/as-a-node-may-have/nr----00"; CHANNELS], 0);
    while at < CHANNELS {
        names[at][NAME_LEN - 2] += (at / 10) as u8;
        names[at][NAME_LEN - 1] += (at % 10) as u8;
        at += 1;
    }
    names
};

const ROUNDS: u64 = 600;
const STEP_MS: u64 = 25;
/// In these rounds nothing passes, until both sides give the session up.
const DEAF: core::ops::Range<u64> = 300..420;

type Ends = [Option<Duplex<u32, u32>>; CHANNELS];

pub(crate) fn run() -> Outcome {
    let mut nonces = CounterNonce::new(1, 1);
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let identity = Identity { name: &NAME, uid: 1, boot: 1, nonces: &mut nonces };
    let mut line = NODE.line(&mut memory, identity);
    let mut exports = bind(|name| NODE.export_with(name, 1))?;

    let mut nonces = CounterNonce::new(2, 1);
    let mut memory = Memory::<{ PARTNER.line_bytes() }>::new(&PARTNER);
    let identity = Identity { name: &PARTNER_NAME, uid: 2, boot: 1, nonces: &mut nonces };
    let mut partner = PARTNER_NODE.line(&mut memory, identity);
    let mut imports = bind(|name| PARTNER_NODE.import_with(name, 1))?;

    // All places are looked at for it, and none is found.
    if NODE.export::<Duplex<u32, u32>>("one-more").err() != Some(ExportError::Full) {
        return Err("there is a place more");
    }
    let (mut came, mut before) = ([0_u32; CHANNELS], [0; CHANNELS]);
    for round in 0..ROUNDS {
        let now = Instant::from_millis(round * STEP_MS);
        for (export, (import, came)) in
            exports.iter_mut().flatten().zip(imports.iter_mut().flatten().zip(&mut came))
        {
            if let Ok(value) = export.try_recv() {
                let _ = export.try_send(value);
            }
            let _ = import.try_send(round as u32);
            *came += u32::from(import.try_recv().is_ok());
        }
        pass(&mut line, &mut partner, now, DEAF.contains(&round));
        pass(&mut partner, &mut line, now, DEAF.contains(&round));
        if round == DEAF.end {
            before = came;
        }
    }
    if line.ended().is_none() || partner.ended().is_none() {
        return Err("no session was lost");
    }
    if before.contains(&0) || before.iter().zip(&came).any(|(before, after)| before == after) {
        return Err("a channel was silent");
    }
    Ok(())
}

/// An end for each of the names.
fn bind(mut add: impl FnMut(&'static str) -> Result<Duplex<u32, u32>, ExportError>) -> Outcome<Ends> {
    let mut ends = [const { None }; CHANNELS];
    for (end, name) in ends.iter_mut().zip(&NAMES) {
        let name = core::str::from_utf8(name).map_err(|_| "no name")?;
        *end = Some(add(name).map_err(|_| "no channel")?);
    }
    Ok(ends)
}

fn pass(from: &mut Driver<'_>, to: &mut Driver<'_>, now: Instant, lost: bool) {
    let mut bytes = [0; 300];
    let n = from.drain(&mut bytes, now);
    to.feed(if lost { &[] } else { &bytes[..n] }, now);
}
