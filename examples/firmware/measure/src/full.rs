//! Two nodes with a channel of every kind, on a line with packets of 240 bytes, and messages as long as the program says: for the
//! longest critical section there is. Everything happens: bring-up, values of both directions, calls, a loss, and a second session.

use netchan::Blob;
use netchan::board::{
    Client, Config, Driver, Duplex, Identity, Latest, Memory, Node, Receiver, Sender, Server, Watch,
};
use netchan::proto::{CounterNonce, Instant, LineConfig, Name};

use crate::{LEN, Outcome};

type Long = Blob<LEN>;

const LINE: LineConfig = LineConfig::uart(115_200, 2, 240, 4);
const CONFIG: Config = Config::new(LINE)
    .export::<Duplex<Long, Long>>(2)
    .export::<Server<Long, Long>>(2)
    .export::<Latest<Long>>(1)
    .export::<Sender<Long>>(2)
    .export::<Receiver<Long>>(2);
const PARTNER: Config = Config::new(LINE)
    .import::<Duplex<Long, Long>>(2)
    .import::<Client<Long, Long>>(2)
    .import::<Watch<Long>>(1)
    .import::<Receiver<Long>>(2)
    .import::<Sender<Long>>(2);

static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
static PARTNER_NODE: Node<{ PARTNER.channels() }, { PARTNER.bytes() }> = Node::new(&PARTNER);

const NAME: Name = Name::literal("full");
const PARTNER_NAME: Name = Name::literal("partner");

const ROUNDS: u64 = 400;
const STEP_MS: u64 = 25;
/// In these rounds nothing passes, until both sides give the session up.
const DEAF: core::ops::Range<u64> = 200..320;

/// Of one side, as far as they have arrived: of the conversation, calls, newest values, values.
type Counts = [u32; 4];

pub(crate) fn run() -> Outcome {
    let mut nonces = CounterNonce::new(1, 1);
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let identity = Identity { name: &NAME, uid: 1, boot: 1, nonces: &mut nonces };
    let mut line = NODE.line(&mut memory, identity);
    let mut ours = Ours::new()?;

    let mut nonces = CounterNonce::new(2, 1);
    let mut memory = Memory::<{ PARTNER.line_bytes() }>::new(&PARTNER);
    let identity = Identity { name: &PARTNER_NAME, uid: 2, boot: 1, nonces: &mut nonces };
    let mut partner = PARTNER_NODE.line(&mut memory, identity);
    let mut theirs = Theirs::new()?;

    let value = Long::try_from(&[0x5a; LEN][..]).map_err(|_| "no value")?;
    let mut before = [Counts::default(); 2];
    for round in 0..ROUNDS {
        let now = Instant::from_millis(round * STEP_MS);
        ours.act(value);
        theirs.act(value);
        pass(&mut line, &mut partner, now, DEAF.contains(&round));
        pass(&mut partner, &mut line, now, DEAF.contains(&round));
        if round == DEAF.end {
            before = [ours.came, theirs.came];
        }
    }
    // Without a second session the loss would not have been one.
    if line.ended().is_none() || partner.ended().is_none() {
        return Err("no session was lost");
    }
    for (before, after) in before.into_iter().zip([ours.came, theirs.came]) {
        let expected = |(before, after): (u32, u32)| before == 0 && after == 0 || after > before;
        if !before.into_iter().zip(after).all(expected) || before == [0; 4] {
            return Err("a channel was silent");
        }
    }
    Ok(())
}

fn pass(from: &mut Driver<'_>, to: &mut Driver<'_>, now: Instant, lost: bool) {
    let mut bytes = [0; 300];
    let n = from.drain(&mut bytes, now);
    to.feed(if lost { &[] } else { &bytes[..n] }, now);
}

struct Ours {
    duplex: Duplex<Long, Long>,
    server: Server<Long, Long>,
    latest: Latest<Long>,
    sender: Sender<Long>,
    receiver: Receiver<Long>,
    came: Counts,
}

impl Ours {
    fn new() -> Outcome<Self> {
        let export = || -> Result<Self, netchan::board::ExportError> {
            Ok(Self {
                duplex: NODE.export("duplex")?,
                server: NODE.export("method")?,
                latest: NODE.export_with("latest", 1)?,
                sender: NODE.export("out")?,
                receiver: NODE.export("in")?,
                came: Counts::default(),
            })
        };
        export().map_err(|_| "no export")
    }

    fn act(&mut self, value: Long) {
        if let Ok(value) = self.duplex.try_recv() {
            self.came[0] += 1;
            let _ = self.duplex.try_send(value);
        }
        if let Ok(request) = self.server.try_recv() {
            self.came[1] += 1;
            let _ = request.reply(value);
        }
        let _ = self.latest.set(&value);
        let _ = self.sender.try_send(value);
        if self.receiver.try_recv().is_ok() {
            self.came[3] += 1;
        }
    }
}

struct Theirs {
    duplex: Duplex<Long, Long>,
    client: Client<Long, Long>,
    watch: Watch<Long>,
    receiver: Receiver<Long>,
    sender: Sender<Long>,
    came: Counts,
}

impl Theirs {
    fn new() -> Outcome<Self> {
        let import = || -> Result<Self, netchan::board::ExportError> {
            Ok(Self {
                duplex: PARTNER_NODE.import("duplex")?,
                client: PARTNER_NODE.import("method")?,
                watch: PARTNER_NODE.import_with("latest", 1)?,
                receiver: PARTNER_NODE.import("out")?,
                sender: PARTNER_NODE.import("in")?,
                came: Counts::default(),
            })
        };
        import().map_err(|_| "no import")
    }

    fn act(&mut self, value: Long) {
        let _ = self.duplex.try_send(value);
        let _ = self.client.try_call(value);
        let _ = self.sender.try_send(value);
        self.came[0] += u32::from(self.duplex.try_recv().is_ok());
        self.came[1] += u32::from(self.client.try_reply().is_ok());
        self.came[2] += u32::from(self.watch.try_changed().is_ok());
        self.came[3] += u32::from(self.receiver.try_recv().is_ok());
    }
}
