//! ZeroMQ through the zmq crate, with libzmq built in.
//!
//! `PAIR` sockets with postcard messages; libzmq sets `TCP_NODELAY` and batches in its I/O thread by itself.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use zmq::{Context, Message, Socket, SocketType};

use super::Peer;
use crate::bulk::{BlockTally, Blocks};
use crate::child::Door;
use crate::job::{BULK_STREAMS, Figures, Job, PER_CHANNEL, Workload};
use crate::many::{self, Many};
use crate::message::{Flow, Msg, Source, Tally, Trips};

/// libzmq's default limit of sockets in a context is 1023.
const MAX_SOCKETS: u32 = 1000;

#[derive(Debug)]
pub(crate) struct Zeromq;

impl Peer for Zeromq {
    fn name(&self) -> &'static str {
        "zeromq"
    }

    fn about(&self) -> &'static str {
        "libzmq 4.3 through the zmq crate, PAIR sockets, postcard"
    }

    fn not_applicable(&self, job: &Job) -> Option<&'static str> {
        (job.workload == Workload::Channels && job.channels > MAX_SOCKETS)
            .then_some("a context holds 1023 sockets by default")
    }

    fn note(&self, job: &Job) -> Option<&'static str> {
        match job.workload {
            Workload::Channels => {
                Some("one DEALER socket and connection per channel, one ROUTER at the server")
            }
            Workload::Beside => Some("one PAIR of sockets per stream"),
            _ => None,
        }
    }

    fn serve(&self, job: &Job, door: Door) -> Result<Figures> {
        let context = Context::new();
        if job.workload == Workload::Channels {
            return serve_channels(job, &context, door);
        }
        let (wire, port) = Wire::bind(&context)?;
        door.open(port)?;
        match job.workload {
            Workload::Rtt => wire.echo(),
            Workload::Oneway => wire.swallow(job),
            Workload::Bulk => Ok(wire.swallow_blocks()?.finish()),
            Workload::Beside => serve_beside(&context, &wire),
            Workload::Channels | Workload::Wire | Workload::Hop => unreachable!("served above, or not asked"),
        }
    }

    fn connect(&self, job: &Job, server: SocketAddr) -> Result<Figures> {
        let context = Context::new();
        if job.workload == Workload::Channels {
            return open_channels(job, &context, server);
        }
        let wire = Wire::connect(&context, server.port())?;
        match job.workload {
            Workload::Rtt => {
                let figures = wire.ping(job)?;
                wire.round_trip(&Msg::end(0))?;
                Ok(figures)
            }
            Workload::Oneway => wire.flood(job),
            Workload::Bulk => wire.send_blocks(Blocks::start(job)),
            Workload::Beside => ping_beside(job, &context, &wire),
            Workload::Channels | Workload::Wire | Workload::Hop => unreachable!("done above, or not asked"),
        }
    }
}

/// A PAIR socket.
struct Wire(Socket);

impl Wire {
    fn bind(context: &Context) -> Result<(Self, u16)> {
        let socket = context.socket(SocketType::PAIR)?;
        let port = bind(&socket)?;
        Ok((Self(socket), port))
    }

    fn connect(context: &Context, port: u16) -> Result<Self> {
        let socket = context.socket(SocketType::PAIR)?;
        socket.connect(&format!("tcp://127.0.0.1:{port}"))?;
        Ok(Self(socket))
    }

    fn send(&self, msg: &Msg) -> Result<()> {
        let mut room = [0; 20];
        let body: &[u8] = postcard::to_slice(msg, &mut room)?;
        Ok(self.0.send(body, 0)?)
    }

    fn recv(&self) -> Result<Msg> {
        let mut room = [0; 20];
        let len = self.0.recv_into(&mut room, 0)?;
        let body = room.get(..len).context("a message is too long")?;
        Ok(postcard::from_bytes(body)?)
    }

    fn round_trip(&self, msg: &Msg) -> Result<Msg> {
        self.send(msg)?;
        self.recv()
    }

    fn ping(&self, job: &Job) -> Result<Figures> {
        let mut trips = Trips::start(job);
        while let Some(msg) = trips.next() {
            trips.back(self.round_trip(&msg)?)?;
        }
        trips.finish()
    }

    fn echo(&self) -> Result<Figures> {
        loop {
            let msg = self.recv()?;
            self.send(&msg)?;
            if msg.is_end() {
                return Ok(Figures::default());
            }
        }
    }

    fn flood(&self, job: &Job) -> Result<Figures> {
        let mut source = Source::start(job);
        while let Some(msg) = source.next() {
            self.send(&msg)?;
        }
        let receipt = self.round_trip(&source.end())?;
        source.finish(receipt)
    }

    fn swallow(&self, job: &Job) -> Result<Figures> {
        let mut tally = Tally::start(job);
        while tally.take(self.recv()?)? == Flow::More {}
        self.send(&tally.receipt())?;
        Ok(tally.finish())
    }

    fn send_blocks(&self, mut blocks: Blocks<'_>) -> Result<Figures> {
        while let Some(block) = blocks.next() {
            self.0.send(block, 0)?;
        }
        self.0.send(blocks.end().as_slice(), 0)?;
        let receipt = self.recv()?;
        blocks.finish(receipt)
    }

    fn swallow_blocks(&self) -> Result<BlockTally> {
        let mut tally = BlockTally::start();
        let mut block = Message::new();
        loop {
            self.0.recv(&mut block, 0)?;
            if tally.take(&block)? == Flow::End {
                self.send(&tally.receipt())?;
                return Ok(tally);
            }
        }
    }
}

fn bind(socket: &Socket) -> Result<u16> {
    socket.bind("tcp://127.0.0.1:*")?;
    let endpoint = socket.get_last_endpoint()?.map_err(|_| anyhow!("the endpoint is no text"))?;
    let (_, port) = endpoint.rsplit_once(':').context("the endpoint has no port")?;
    Ok(port.parse()?)
}

fn serve_beside(context: &Context, control: &Wire) -> Result<Figures> {
    for _ in 0..BULK_STREAMS {
        let (wire, port) = Wire::bind(context)?;
        control.send(&Msg::nth(u64::from(port), 0))?;
        thread::spawn(move || wire.swallow_blocks().map(|_| ()));
    }
    control.echo()
}

fn ping_beside(job: &Job, context: &Context, control: &Wire) -> Result<Figures> {
    let mut streams = Vec::new();
    for _ in 0..BULK_STREAMS {
        let port = u16::try_from(control.recv()?.seq)?;
        streams.push(Wire::connect(context, port)?);
    }
    let idle = control.ping(job)?;
    let stop = AtomicBool::new(false);
    let figures = thread::scope(|scope| {
        let stop = &stop;
        let senders: Vec<_> = streams
            .into_iter()
            .map(|wire| scope.spawn(move || wire.send_blocks(Blocks::until(stop))))
            .collect();
        let busy = control.ping(job);
        stop.store(true, Ordering::Relaxed);
        let rates =
            senders.into_iter().map(|sender| sender.join().map_err(|_| anyhow!("a sender panicked"))?);
        crate::beside::figures(&idle, &busy?, rates)
    })?;
    control.round_trip(&Msg::end(0))?;
    Ok(figures)
}

fn open_channels(job: &Job, context: &Context, server: SocketAddr) -> Result<Figures> {
    let dealer = || -> Result<Wire> {
        let socket = context.socket(SocketType::DEALER)?;
        socket.connect(&format!("tcp://{server}"))?;
        Ok(Wire(socket))
    };
    let control = dealer()?;
    control.round_trip(&Msg::nth(0, 0))?;
    let mut wires = Vec::with_capacity(job.channels as usize);
    let mut watch = Many::start(job)?;
    for _ in 0..job.channels {
        let wire = dealer()?;
        wire.send(&Msg::nth(0, 0))?;
        wires.push(wire);
    }
    control.recv()?;
    watch.opened();
    for (n, wire) in (0..).zip(&wires) {
        for msg in many::messages(n) {
            wire.send(&msg)?;
        }
    }
    let receipt = control.recv()?;
    ensure!(receipt == many::expected(job), "the server found {receipt:?}");
    let figures = watch.passed()?;
    control.round_trip(&Msg::end(0))?;
    Ok(figures)
}

fn serve_channels(job: &Job, context: &Context, door: Door) -> Result<Figures> {
    let router = context.socket(SocketType::ROUTER)?;
    door.open(bind(&router)?)?;
    let recv = || -> Result<(Vec<u8>, Msg)> {
        let mut parts = router.recv_multipart(0)?;
        let body = parts.pop().context("an empty message")?;
        let from = parts.pop().context("a message without sender")?;
        Ok((from, postcard::from_bytes(&body)?))
    };
    let send = |to: &Vec<u8>, msg: Msg| -> Result<()> {
        let body = postcard::to_stdvec(&msg)?;
        Ok(router.send_multipart([to, &body], 0)?)
    };
    let (control, hello) = recv()?;
    send(&control, hello)?;
    let mut watch = Many::start(job)?;
    for _ in 0..job.channels {
        recv()?;
    }
    watch.opened();
    send(&control, hello)?;
    let seq = u64::from(job.channels) * PER_CHANNEL;
    let mut sum = 0_u64;
    for _ in 0..seq {
        sum = sum.wrapping_add(recv()?.1.value);
    }
    let figures = watch.passed()?;
    send(&control, Msg { seq, value: sum })?;
    let (_, end) = recv()?;
    send(&control, end)?;
    Ok(figures)
}
