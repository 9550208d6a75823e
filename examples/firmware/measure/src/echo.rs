//! The smallest node, with one channel that echoes, and its partner: what an echo takes of the first.

use netchan::board::{Config, Driver, Duplex, Identity, Memory, Node};
use netchan::proto::{CounterNonce, Instant, LineConfig, Name};

use crate::{Outcome, Sample, clock, stack};

const LINE: LineConfig = LineConfig::uart(115_200, 2, 64, 2);
const CONFIG: Config = Config::new(LINE).export::<Duplex<Sample, Sample>>(2);
const PARTNER: Config = Config::new(LINE).import::<Duplex<Sample, Sample>>(2);

static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
static PARTNER_NODE: Node<{ PARTNER.channels() }, { PARTNER.bytes() }> = Node::new(&PARTNER);

const NAME: Name = Name::literal("echo");
const PARTNER_NAME: Name = Name::literal("partner");

const ROUNDS: u32 = 100;
/// Before the first of them: the session, and what it opens.
const PATIENCE: u32 = 1000;
/// A round, in milliseconds.
const STEP_MS: u64 = 5;

/// What a node takes that echoes.
pub(crate) struct Figures {
    /// Instructions of an echo, with its share of what the session needs.
    pub(crate) instructions: u32,
    /// Bytes of stack below whoever calls the line and the channel, at most.
    pub(crate) stack: usize,
    /// Bytes of its line: the driver, and the memory that it works in.
    pub(crate) line: usize,
}

pub(crate) fn measure() -> Outcome<Figures> {
    let mut nonces = CounterNonce::new(1, 1);
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let identity = Identity { name: &NAME, uid: 1, boot: 1, nonces: &mut nonces };
    let mut line = NODE.line(&mut memory, identity);
    let size = size_of_val(&line) + size_of::<Memory<{ CONFIG.line_bytes() }>>();
    let mut echo = NODE.export::<Duplex<Sample, Sample>>("echo").map_err(|_| "no export")?;

    let mut nonces = CounterNonce::new(2, 1);
    let mut memory = Memory::<{ PARTNER.line_bytes() }>::new(&PARTNER);
    let identity = Identity { name: &PARTNER_NAME, uid: 2, boot: 1, nonces: &mut nonces };
    let mut partner = PARTNER_NODE.line(&mut memory, identity);
    let mut end = PARTNER_NODE.import::<Duplex<Sample, Sample>>("echo").map_err(|_| "no import")?;

    let (overhead, ()) = clock::count(|| ());
    let (mut to_node, mut deepest, mut total, mut done, mut asked) = ([0; 256], 0, 0, 0, false);
    for round in 0..PATIENCE {
        let now = Instant::from_millis(u64::from(round) * STEP_MS);
        if !asked {
            asked = end.try_send(Sample::numbered(done)).is_ok();
        }
        let len = partner.drain(&mut to_node, now);
        let mut to_partner = [0; 256];
        let mut work = || turn(&mut line, &mut echo, &to_node[..len], &mut to_partner, now);
        // Painting would be counted, so the stack is measured in the rounds before those that are counted.
        let (took, len) = if done < ROUNDS {
            let (depth, len) = stack::used(&mut work);
            deepest = deepest.max(depth);
            (0, len)
        } else {
            clock::count(&mut work)
        };
        partner.feed(&to_partner[..len], now);
        if done >= ROUNDS {
            total += took - overhead;
        }
        if let Ok(sample) = end.try_recv() {
            if sample != Sample::numbered(done) {
                return Err("an echo is another one");
            }
            (done, asked) = (done + 1, false);
        }
        if done == 2 * ROUNDS {
            return Ok(Figures { instructions: total / ROUNDS, stack: deepest, line: size });
        }
    }
    Err("the echoes do not come")
}

/// What a main loop does with what has come in: how many bytes there are to be sent.
#[inline(never)]
fn turn(
    line: &mut Driver<'_>,
    echo: &mut Duplex<Sample, Sample>,
    input: &[u8],
    out: &mut [u8],
    now: Instant,
) -> usize {
    line.feed(input, now);
    if let Ok(sample) = echo.try_recv() {
        let _ = echo.try_send(sample);
    }
    line.drain(out, now)
}
