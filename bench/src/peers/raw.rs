//! Standard library sockets: what the machine gives, the row that all ratios refer to.
//!
//! `TCP_NODELAY`; small messages as length-prefixed postcard through one buffered writer, flushed when an answer is
//! wanted; bulk by vectored write of header and the caller's block, read into place. One thread per stream.

use std::io::{BufRead as _, BufReader, BufWriter, IoSlice, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};

use super::Peer;
use crate::bulk::{BlockTally, Blocks};
use crate::child::Door;
use crate::job::{BLOCK_LEN, BULK_STREAMS, Figures, Job, PER_CHANNEL, Workload};
use crate::machine;
use crate::many::{self, Many};
use crate::message::{Flow, Msg, Source, Tally, Trips};

/// What the buffered reader and writer of a busy connection hold.
const BUFFER: usize = 64 * 1024;
/// Buffer of a splice: as much as netchan reads at a time.
const SPLICE: usize = 256 * 1024;
/// Buffer of one connection among thousands.
const SMALL_BUFFER: usize = 256;
/// Connections made before the server must have accepted them: below the usual backlog.
const CONNECT_BATCH: u32 = 64;
/// Longest encoded small message.
const MAX_MSG: usize = 20;

#[derive(Debug)]
pub(crate) struct Raw;

impl Peer for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn about(&self) -> &'static str {
        "standard library sockets, TCP_NODELAY, buffered postcard"
    }

    fn not_applicable(&self, job: &Job) -> Option<&'static str> {
        let sockets = u64::from(job.channels) + 64;
        (job.workload == Workload::Channels && machine::allow_many_descriptors() < sockets)
            .then_some("one socket per channel, and the limit of open files is lower")
    }

    fn note(&self, job: &Job) -> Option<&'static str> {
        match job.workload {
            Workload::Channels => Some("one socket per channel; memory in the kernel not counted"),
            Workload::Beside => Some("one socket per stream"),
            _ => None,
        }
    }

    fn bridges(&self) -> bool {
        true
    }

    /// A splice by hand: a thread and a buffer for each direction.
    fn bridge(&self, server: SocketAddr, door: Door) -> Result<Figures> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("binding")?;
        door.open(listener.local_addr()?.port())?;
        let (client, _) = listener.accept().context("accepting")?;
        let server = TcpStream::connect(server).context("connecting")?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let back = (server.try_clone()?, client.try_clone()?);
        thread::spawn(move || splice(back.0, back.1));
        splice(client, server);
        loop {
            thread::park();
        }
    }

    fn serve(&self, job: &Job, door: Door) -> Result<Figures> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("binding")?;
        door.open(listener.local_addr()?.port())?;
        match job.workload {
            Workload::Rtt => echo(&mut accept(&listener, BUFFER)?),
            Workload::Oneway => swallow(job, &mut accept(&listener, BUFFER)?),
            Workload::Bulk => {
                let mut wire = accept(&listener, BUFFER)?;
                let tally = swallow_blocks(&mut wire)?;
                Ok(tally.finish())
            }
            Workload::Channels => serve_channels(job, &listener),
            Workload::Beside => serve_beside(&listener),
            Workload::Wire | Workload::Hop => unreachable!("peers see it as another one"),
        }
    }

    fn connect(&self, job: &Job, server: SocketAddr) -> Result<Figures> {
        match job.workload {
            Workload::Rtt => {
                let mut wire = Wire::connect(server, BUFFER)?;
                let figures = ping(job, &mut wire)?;
                wire.round_trip(Msg::end(0))?;
                Ok(figures)
            }
            Workload::Oneway => flood(job, &mut Wire::connect(server, BUFFER)?),
            Workload::Bulk => {
                let mut wire = Wire::connect(server, BUFFER)?;
                let blocks = Blocks::start(job);
                send_blocks(blocks, &mut wire)
            }
            Workload::Channels => open_channels(job, server),
            Workload::Beside => ping_beside(job, server),
            Workload::Wire | Workload::Hop => unreachable!("peers see it as another one"),
        }
    }
}

/// Passes on what comes until there is no more.
fn splice(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; SPLICE];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..len]).is_err() {
            return;
        }
    }
}

/// One connection with both its buffers.
#[derive(Debug)]
struct Wire {
    reader: BufReader<TcpStream>,
    writer: BufWriter<TcpStream>,
}

impl Wire {
    fn new(stream: TcpStream, buffer: usize) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            reader: BufReader::with_capacity(buffer, stream.try_clone()?),
            writer: BufWriter::with_capacity(buffer, stream),
        })
    }

    fn connect(server: SocketAddr, buffer: usize) -> Result<Self> {
        Self::new(TcpStream::connect(server).context("connecting")?, buffer)
    }

    #[inline]
    fn send(&mut self, msg: &Msg) -> Result<()> {
        put(&mut self.writer, msg)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(self.writer.flush()?)
    }

    #[inline]
    fn recv(&mut self) -> Result<Msg> {
        take(&mut self.reader)
    }

    fn round_trip(&mut self, msg: Msg) -> Result<Msg> {
        self.send(&msg)?;
        self.flush()?;
        self.recv()
    }

    fn send_block(&mut self, block: &[u8]) -> Result<()> {
        let header = u32::try_from(block.len())?.to_le_bytes();
        let socket = self.writer.get_mut();
        let sent = socket.write_vectored(&[IoSlice::new(&header), IoSlice::new(block)])?;
        if sent < header.len() {
            socket.write_all(&header[sent..])?;
        }
        Ok(socket.write_all(&block[sent.saturating_sub(header.len())..])?)
    }

    fn recv_block<'a>(&mut self, block: &'a mut [u8]) -> Result<&'a [u8]> {
        // Straight from the socket: a buffered reader would only add a copy.
        let socket = self.reader.get_mut();
        let mut header = [0; 4];
        socket.read_exact(&mut header)?;
        let len = usize::try_from(u32::from_le_bytes(header))?;
        let room = block.get_mut(..len).context("a block is too long")?;
        socket.read_exact(room)?;
        Ok(room)
    }
}

#[inline]
fn put(writer: &mut BufWriter<TcpStream>, msg: &Msg) -> Result<()> {
    let mut frame = [0; 1 + MAX_MSG];
    let len = postcard::to_slice(msg, &mut frame[1..])?.len();
    frame[0] = len as u8;
    Ok(writer.write_all(&frame[..=len])?)
}

#[inline]
fn take(reader: &mut BufReader<TcpStream>) -> Result<Msg> {
    // Decoded in place where the whole frame is in the buffer, which is nearly always.
    let buffered = reader.buffer();
    if let Some((&len, rest)) = buffered.split_first()
        && let Some(body) = rest.get(..usize::from(len))
    {
        let msg = postcard::from_bytes(body)?;
        reader.consume(1 + usize::from(len));
        return Ok(msg);
    }
    take_split(reader)
}

#[cold]
fn take_split(reader: &mut BufReader<TcpStream>) -> Result<Msg> {
    let mut frame = [0; 1 + MAX_MSG];
    reader.read_exact(&mut frame[..1])?;
    let len = usize::from(frame[0]);
    ensure!(len <= MAX_MSG, "a message of {len} bytes");
    reader.read_exact(&mut frame[1..=len])?;
    Ok(postcard::from_bytes(&frame[1..=len])?)
}

fn accept(listener: &TcpListener, buffer: usize) -> Result<Wire> {
    Wire::new(listener.accept().context("accepting")?.0, buffer)
}

fn ping(job: &Job, wire: &mut Wire) -> Result<Figures> {
    let mut trips = Trips::start(job);
    while let Some(msg) = trips.next() {
        trips.back(wire.round_trip(msg)?)?;
    }
    trips.finish()
}

fn echo(wire: &mut Wire) -> Result<Figures> {
    loop {
        let msg = wire.recv()?;
        wire.send(&msg)?;
        wire.flush()?;
        if msg.is_end() {
            return Ok(Figures::default());
        }
    }
}

fn flood(job: &Job, wire: &mut Wire) -> Result<Figures> {
    let mut source = Source::start(job);
    while let Some(msg) = source.next() {
        wire.send(&msg)?;
    }
    let receipt = wire.round_trip(source.end())?;
    source.finish(receipt)
}

fn swallow(job: &Job, wire: &mut Wire) -> Result<Figures> {
    let mut tally = Tally::start(job);
    while tally.take(wire.recv()?)? == Flow::More {}
    wire.send(&tally.receipt())?;
    wire.flush()?;
    Ok(tally.finish())
}

fn send_blocks(mut blocks: Blocks<'_>, wire: &mut Wire) -> Result<Figures> {
    while let Some(block) = blocks.next() {
        wire.send_block(block)?;
    }
    wire.send_block(&blocks.end())?;
    let receipt = wire.recv()?;
    blocks.finish(receipt)
}

fn swallow_blocks(wire: &mut Wire) -> Result<BlockTally> {
    let mut tally = BlockTally::start();
    let mut block = vec![0; BLOCK_LEN];
    while tally.take(wire.recv_block(&mut block)?)? == Flow::More {}
    wire.send(&tally.receipt())?;
    wire.flush()?;
    Ok(tally)
}

fn open_channels(job: &Job, server: SocketAddr) -> Result<Figures> {
    let mut control = Wire::connect(server, SMALL_BUFFER)?;
    let mut wires = Vec::with_capacity(job.channels as usize);
    let mut watch = Many::start(job)?;
    while (wires.len() as u32) < job.channels {
        let batch = CONNECT_BATCH.min(job.channels - wires.len() as u32);
        for _ in 0..batch {
            let stream = TcpStream::connect(server).context("connecting")?;
            stream.set_nodelay(true)?;
            wires.push(BufWriter::with_capacity(SMALL_BUFFER, stream));
        }
        control.round_trip(Msg::nth(u64::from(batch), 0))?;
    }
    watch.opened();
    for (n, wire) in (0..).zip(&mut wires) {
        for msg in many::messages(n) {
            put(wire, &msg)?;
        }
        wire.flush()?;
    }
    let receipt = control.recv()?;
    ensure!(receipt == many::expected(job), "the server found {receipt:?}");
    let figures = watch.passed()?;
    control.round_trip(Msg::end(0))?;
    Ok(figures)
}

fn serve_channels(job: &Job, listener: &TcpListener) -> Result<Figures> {
    let mut control = accept(listener, SMALL_BUFFER)?;
    let mut wires = Vec::with_capacity(job.channels as usize);
    let mut watch = Many::start(job)?;
    while (wires.len() as u32) < job.channels {
        let batch = control.recv()?;
        for _ in 0..batch.seq {
            let (stream, _) = listener.accept().context("accepting")?;
            wires.push(BufReader::with_capacity(SMALL_BUFFER, stream));
        }
        control.send(&batch)?;
        control.flush()?;
    }
    watch.opened();
    let mut sum = 0_u64;
    for wire in &mut wires {
        for _ in 0..PER_CHANNEL {
            sum = sum.wrapping_add(take(wire)?.value);
        }
    }
    let figures = watch.passed()?;
    control.send(&Msg { seq: u64::from(job.channels) * PER_CHANNEL, value: sum })?;
    control.flush()?;
    // The sockets stay until the client has measured.
    echo(&mut control)?;
    Ok(figures)
}

fn ping_beside(job: &Job, server: SocketAddr) -> Result<Figures> {
    let mut control = Wire::connect(server, BUFFER)?;
    let mut streams = Vec::new();
    for _ in 0..BULK_STREAMS {
        streams.push(Wire::connect(server, BUFFER)?);
    }
    let idle = ping(job, &mut control)?;
    let stop = AtomicBool::new(false);
    let busy = thread::scope(|scope| {
        let senders: Vec<_> =
            streams.iter_mut().map(|wire| scope.spawn(|| send_blocks(Blocks::until(&stop), wire))).collect();
        let busy = ping(job, &mut control);
        stop.store(true, Ordering::Relaxed);
        crate::beside::figures(
            &idle,
            &busy?,
            senders.into_iter().map(|sender| sender.join().map_err(|_| anyhow!("a sender panicked"))?),
        )
    })?;
    control.round_trip(Msg::end(0))?;
    Ok(busy)
}

fn serve_beside(listener: &TcpListener) -> Result<Figures> {
    let mut control = accept(listener, BUFFER)?;
    for _ in 0..BULK_STREAMS {
        let mut wire = accept(listener, BUFFER)?;
        thread::spawn(move || swallow_blocks(&mut wire).map(|_| ()));
    }
    echo(&mut control)
}
