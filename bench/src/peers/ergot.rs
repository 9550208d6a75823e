//! ergot: a message bus; an edge (the client) at a router (the server), on tokio's current-thread runtime.
//!
//! Round trips are requests to an endpoint at its known port. ergot drops what its receiver has no room for, so one-way
//! streams are unicast topics under a window of this bench: the receiver reports what it took on a topic of its own.
//! A frame's length is 16 bits, so bulk goes in messages of half the usual length.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use ergot::Address;
use ergot::interface_manager::{InterfaceSendError, InterfaceState, Profile as _};
use ergot::net_stack::NetStackSendError;
use ergot::toolkits::tokio_tcp::{
    EdgeStack, RouterStack, new_std_queue, new_target_stack, register_edge_interface,
    register_router_interface,
};
use ergot::well_known::ErgotPingEndpoint;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use self::contract::{Begin, Block, Credit, Echo, Large, Pair, Ports, Small, Taken};
use super::Peer;
use super::framed::block_on;
use crate::bulk::{BlockTally, Blocks};
use crate::child::Door;
use crate::job::{BLOCK_LEN, BULK_STREAMS, Figures, Job, Workload};
use crate::message::{Flow, Msg, Source, Tally, Trips};

/// What waits to be sent.
const QUEUE: usize = 1 << 20;
/// Small messages on their way at most.
const SMALL_WINDOW: u64 = 8192;
/// Bulk messages on their way at most, in one stream.
const LARGE_WINDOW: u64 = 8;
/// Length of a bulk message.
const LARGE: usize = BLOCK_LEN / 2;
/// Longest packet where only small messages go.
const SMALL_MTU: u16 = 256;
/// Longest packet where bulk goes.
const LARGE_MTU: u16 = LARGE as u16 + 256;

/// Node numbers at the two ends of a link, by ergot's rules.
const ROUTER_NODE: u8 = 1;
const EDGE_NODE: u8 = 2;

#[derive(Debug)]
pub(crate) struct Ergot;

impl Peer for Ergot {
    fn name(&self) -> &'static str {
        "ergot"
    }

    fn about(&self) -> &'static str {
        "ergot 0.12 over tokio TCP: endpoints, and topics under a window"
    }

    fn not_applicable(&self, job: &Job) -> Option<&'static str> {
        (job.workload == Workload::Channels).then_some("sockets without channels, at most 254 on a node")
    }

    fn note(&self, job: &Job) -> Option<&'static str> {
        match job.workload {
            Workload::Oneway | Workload::Wire | Workload::Hop => {
                Some("unicast topic, with a window of the bench; without one it loses messages")
            }
            Workload::Bulk | Workload::Beside => {
                Some("32 KiB messages (a frame's length is 16 bits), with a window of the bench")
            }
            _ => None,
        }
    }

    fn serve(&self, job: &Job, door: Door) -> Result<Figures> {
        let job = job.clone();
        block_on(async move { serve(&job, door).await })
    }

    fn connect(&self, job: &Job, server: SocketAddr) -> Result<Figures> {
        let job = job.clone();
        block_on(async move { connect(&job, server).await })
    }
}

fn mtu(job: &Job) -> u16 {
    match job.workload {
        Workload::Bulk | Workload::Beside => LARGE_MTU,
        _ => SMALL_MTU,
    }
}

/// Messages and sockets of this peer. The macros make public items without docs.
#[expect(unreachable_pub, reason = "ergot's macros make them public")]
mod contract {
    use ergot::traits::Schema;
    use ergot::{endpoint, topic};
    use serde::{Deserialize, Serialize};

    use crate::message::Msg;

    #[derive(Debug, Clone, Copy, Serialize, Deserialize, postcard_schema::Schema)]
    pub struct Pair {
        seq: u64,
        value: u64,
    }

    impl From<Msg> for Pair {
        fn from(Msg { seq, value }: Msg) -> Self {
            Self { seq, value }
        }
    }

    impl From<Pair> for Msg {
        fn from(Pair { seq, value }: Pair) -> Self {
            Self { seq, value }
        }
    }

    #[derive(Debug, Clone, Serialize, Deserialize)]
    pub struct Block(pub(super) serde_bytes::ByteBuf);

    impl Schema for Block {
        const SCHEMA: &'static postcard_schema::schema::NamedType = <Vec<u8> as Schema>::SCHEMA;
    }

    impl From<&[u8]> for Block {
        fn from(bytes: &[u8]) -> Self {
            Self(serde_bytes::ByteBuf::from(bytes))
        }
    }

    /// How many messages were taken; at the end also the receipt.
    #[derive(Debug, Clone, Serialize, Deserialize, postcard_schema::Schema)]
    pub struct Taken {
        pub total: u64,
        pub receipt: Option<Pair>,
    }

    /// Ports of the server's sockets.
    #[derive(Debug, Clone, Serialize, Deserialize, postcard_schema::Schema)]
    pub struct Ports {
        pub echo: u8,
        pub stream: u8,
    }

    endpoint!(Echo, Pair, Pair, "bench/echo");
    // The client's port for credit, or 0 if it wants no stream.
    endpoint!(Begin, u8, Ports, "bench/begin");
    topic!(Small, Pair, "bench/small");
    topic!(Large, Block, "bench/large");
    topic!(Credit, Taken, "bench/credit");
}

async fn serve(job: &Job, door: Door) -> Result<Figures> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    door.open(listener.local_addr()?.port())?;
    let (socket, _) = listener.accept().await?;
    socket.set_nodelay(true)?;
    let stack = RouterStack::new();
    let link = register_router_interface(&stack, socket, mtu(job), QUEUE)
        .await
        .map_err(|error| anyhow!("registering the link: {error:?}"))?;
    let network = match stack.manage_profile(|profile| profile.interface_state(link)) {
        Some(InterfaceState::Active { net_id, .. }) => net_id,
        other => bail!("the link is {other:?}"),
    };
    // An edge learns its network from the first frame it gets, and says nothing before.
    let ping = || {
        let edge = address(network, EDGE_NODE, 0);
        stack.endpoints().request::<ErgotPingEndpoint>(edge, &1, None)
    };
    while timeout(Duration::from_millis(20), ping()).await.is_err() {}

    let (done, mut finished) = mpsc::unbounded_channel();
    tokio::spawn(introduce(stack.clone(), network, job.clone(), done));
    // What was sent last is sent by tasks of this runtime: keep it until the client has gone.
    let up = || stack.manage_profile(|profile| profile.interface_state(link));
    while up().is_some() {
        sleep(Duration::from_millis(20)).await;
    }
    // The workload that measures at this side has one stream.
    finished.try_recv().unwrap_or_else(|_| Ok(Figures::default()))
}

type Done = mpsc::UnboundedSender<Result<Figures>>;

/// Starts the echo, and a stream for every client that asks; tells the ports.
async fn introduce(stack: RouterStack, network: u16, job: Job, done: Done) -> Result<()> {
    let (announce, echo) = oneshot::channel();
    tokio::spawn(run_echo(stack.clone(), announce));
    let echo = echo.await?;
    let begin = pin!(stack.endpoints().bounded_server::<Begin, 8>(None));
    let mut begin = begin.attach();
    loop {
        let serving = begin.serve(async |&credit| {
            let stream = match credit {
                0 => 0,
                port => start_stream(&stack, address(network, EDGE_NODE, port), &job, &done).await,
            };
            Ports { echo, stream }
        });
        serving.await.map_err(|error| anyhow!("answering: {error:?}"))?;
    }
}

async fn start_stream(stack: &RouterStack, credit: Address, job: &Job, done: &Done) -> u8 {
    let (announce, port) = oneshot::channel();
    let (stack, job, done) = (stack.clone(), job.clone(), done.clone());
    tokio::spawn(async move {
        let figures = match job.workload {
            Workload::Oneway => take_small(&stack, &job, credit, announce).await,
            _ => take_large(&stack, credit, announce).await,
        };
        // Nobody waits for it once the client has gone.
        let _ = done.send(figures);
    });
    port.await.unwrap_or(0)
}

async fn run_echo(stack: RouterStack, announce: oneshot::Sender<u8>) {
    let server = pin!(stack.endpoints().bounded_server::<Echo, 8>(None));
    let mut server = server.attach();
    // If nobody wants to know the port, nobody will ask.
    let _ = announce.send(server.port());
    while server.serve_blocking(|&pair| pair).await.is_ok() {}
}

async fn take_small(
    stack: &RouterStack,
    job: &Job,
    credit: Address,
    announce: oneshot::Sender<u8>,
) -> Result<Figures> {
    let bound = SMALL_WINDOW as usize;
    let receiver = pin!(stack.topics().heap_bounded_receiver::<Small>(bound, None));
    let mut receiver = receiver.subscribe_unicast();
    let _ = announce.send(receiver.port());
    let mut tally = Tally::start(job);
    let mut total = 0;
    loop {
        let flow = tally.take(receiver.recv().await.t.into())?;
        total += 1;
        let receipt = (flow == Flow::End).then(|| tally.receipt());
        report(stack, credit, total, SMALL_WINDOW, receipt).await?;
        if flow == Flow::End {
            return Ok(tally.finish());
        }
    }
}

async fn take_large(stack: &RouterStack, credit: Address, announce: oneshot::Sender<u8>) -> Result<Figures> {
    let bound = LARGE_WINDOW as usize;
    let receiver = pin!(stack.topics().heap_bounded_receiver::<Large>(bound, None));
    let mut receiver = receiver.subscribe_unicast();
    let _ = announce.send(receiver.port());
    let mut tally = BlockTally::start().with_len(LARGE);
    let mut total = 0;
    loop {
        let flow = tally.take(&receiver.recv().await.t.0)?;
        total += 1;
        let receipt = (flow == Flow::End).then(|| tally.receipt());
        report(stack, credit, total, LARGE_WINDOW, receipt).await?;
        if flow == Flow::End {
            return Ok(tally.finish());
        }
    }
}

/// Returns credit four times in a window, and at the end.
async fn report(
    stack: &RouterStack,
    to: Address,
    total: u64,
    window: u64,
    receipt: Option<Msg>,
) -> Result<()> {
    if !total.is_multiple_of(window / 4) && receipt.is_none() {
        return Ok(());
    }
    let taken = Taken { total, receipt: receipt.map(Pair::from) };
    insist(|| stack.topics().unicast::<Credit>(to, &taken)).await
}

/// Tries until the queue to the network has room.
async fn insist(send: impl Fn() -> Result<(), NetStackSendError>) -> Result<()> {
    loop {
        match send() {
            Ok(()) => return Ok(()),
            Err(NetStackSendError::InterfaceSend(InterfaceSendError::InterfaceFull)) => {
                yield_now().await;
            }
            Err(error) => bail!("sending: {error:?}"),
        }
    }
}

fn address(network_id: u16, node_id: u8, port_id: u8) -> Address {
    Address { network_id, node_id, port_id }
}

async fn connect(job: &Job, server: SocketAddr) -> Result<Figures> {
    let socket = TcpStream::connect(server).await.context("connecting")?;
    socket.set_nodelay(true)?;
    let queue = new_std_queue(QUEUE);
    let stack = new_target_stack(&queue, mtu(job));
    let pinged = stack.clone();
    tokio::spawn(async move { pinged.services().ping_handler::<4>().await });
    yield_now().await;
    register_edge_interface(&stack, socket, &queue)
        .await
        .map_err(|error| anyhow!("registering the link: {error:?}"))?;
    let network = loop {
        match stack.manage_profile(|profile| profile.interface_state(())) {
            Some(InterfaceState::Active { net_id, .. }) => break net_id,
            _ => sleep(Duration::from_millis(1)).await,
        }
    };
    let client = Client { stack, network };
    match job.workload {
        Workload::Rtt => {
            let ports = client.begin(0).await?;
            client.ping(job, ports.echo).await
        }
        Workload::Oneway => client.flood(job).await,
        Workload::Bulk => client.send_blocks(Blocks::start(job)).await,
        Workload::Beside => client.ping_beside(job).await,
        Workload::Channels | Workload::Wire | Workload::Hop => unreachable!("not asked of this peer"),
    }
}

#[derive(Clone)]
struct Client {
    stack: EdgeStack,
    network: u16,
}

impl Client {
    fn router(&self, port: u8) -> Address {
        address(self.network, ROUTER_NODE, port)
    }

    async fn begin(&self, credit: u8) -> Result<Ports> {
        loop {
            let endpoints = self.stack.endpoints();
            let asking = endpoints.request::<Begin>(self.router(0), &credit, None);
            // The server may not have attached yet, and then nobody answers.
            if let Ok(ports) = timeout(Duration::from_millis(50), asking).await {
                return ports.map_err(|error| anyhow!("asking for ports: {error:?}"));
            }
        }
    }

    async fn ping(&self, job: &Job, port: u8) -> Result<Figures> {
        let echo = self.stack.endpoints().client::<Echo>(self.router(port), None);
        let mut trips = Trips::start(job);
        while let Some(msg) = trips.next() {
            let back = echo.request(&msg.into()).await;
            let back = back.map_err(|error| anyhow!("asking: {error:?}"))?;
            trips.back(back.into())?;
        }
        trips.finish()
    }

    async fn flood(&self, job: &Job) -> Result<Figures> {
        let credits = pin!(self.stack.topics().heap_bounded_receiver::<Credit>(64, None));
        let mut credits = credits.subscribe_unicast();
        let ports = self.begin(credits.port()).await?;
        let to = self.router(ports.stream);
        let mut source = Source::start(job);
        let (mut sent, mut taken) = (0, 0);
        let mut ended = false;
        while !ended {
            let msg = source.next().unwrap_or_else(|| {
                ended = true;
                source.end()
            });
            while sent - taken >= SMALL_WINDOW {
                taken = credits.recv().await.t.total;
            }
            let pair = msg.into();
            insist(|| self.stack.topics().unicast::<Small>(to, &pair)).await?;
            sent += 1;
        }
        loop {
            if let Some(receipt) = credits.recv().await.t.receipt {
                return source.finish(receipt.into());
            }
        }
    }

    async fn send_blocks(&self, blocks: Blocks<'_>) -> Result<Figures> {
        let mut blocks = blocks.with_len(LARGE);
        let credits = pin!(self.stack.topics().heap_bounded_receiver::<Credit>(64, None));
        let mut credits = credits.subscribe_unicast();
        let ports = self.begin(credits.port()).await?;
        let to = self.router(ports.stream);
        let (mut sent, mut taken) = (0, 0);
        let mut ended = false;
        while !ended {
            let block = match blocks.next() {
                Some(block) => Block::from(block),
                None => {
                    ended = true;
                    Block::from(blocks.end().as_slice())
                }
            };
            while sent - taken >= LARGE_WINDOW {
                taken = credits.recv().await.t.total;
            }
            insist(|| self.stack.topics().unicast::<Large>(to, &block)).await?;
            sent += 1;
        }
        loop {
            if let Some(receipt) = credits.recv().await.t.receipt {
                return blocks.finish(receipt.into());
            }
        }
    }

    async fn ping_beside(&self, job: &Job) -> Result<Figures> {
        let ports = self.begin(0).await?;
        let idle = self.ping(job, ports.echo).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut senders = Vec::new();
        for _ in 0..BULK_STREAMS {
            let (client, stop) = (self.clone(), Arc::clone(&stop));
            let sender = async move { client.send_blocks(Blocks::until(&stop)).await };
            senders.push(tokio::spawn(sender));
        }
        let busy = self.ping(job, ports.echo).await?;
        stop.store(true, Ordering::Relaxed);
        let mut rates = Vec::new();
        for sender in senders {
            rates.push(sender.await?);
        }
        crate::beside::figures(&idle, &busy, rates)
    }
}
