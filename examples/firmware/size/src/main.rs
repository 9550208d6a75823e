//! The smallest firmware with a channel, and with each kind of channel more: what `cargo xtask size`
//! measures. It is linked whole and never run.
#![no_std]
#![no_main]

#[cfg(any(feature = "quiet", feature = "leave", feature = "sleep"))]
use core::time::Duration;

// What a critical section is here.
#[cfg(target_arch = "arm")]
use cortex_m as _;
use netchan::Message;
use netchan::board::{Config, Duplex, Identity, Latest, Memory, Node, Receiver, Server};
use netchan::proto::{CounterNonce, LineConfig, Name};
#[cfg(target_arch = "riscv32")]
use riscv as _;
use serde::{Deserialize, Serialize};

#[cfg(not(feature = "poll"))]
use self::uart::write;
use self::uart::{now, read};

#[cfg(feature = "defmt")]
mod print;
#[cfg(feature = "poll")]
mod serial;
mod uart;

#[derive(Serialize, Deserialize, Message, Clone, Copy)]
struct Ping {
    id: u16,
    value: u32,
}

#[derive(Serialize, Deserialize, Message, Clone, Copy)]
struct Other {
    flag: bool,
    level: i16,
    time: u32,
}

const CONFIG: Config = {
    let config = Config::new(LineConfig::uart(115_200, 2, 64, 2)).export::<Duplex<Ping, Ping>>(2);
    let config = if cfg!(feature = "second") { config.export::<Duplex<Ping, Ping>>(2) } else { config };
    let config = if cfg!(feature = "third") { config.export::<Duplex<Ping, Ping>>(2) } else { config };
    let config = if cfg!(feature = "other") { config.export::<Duplex<Other, Other>>(2) } else { config };
    let config = if cfg!(feature = "method") { config.export::<Server<Ping, Ping>>(2) } else { config };
    let config =
        if cfg!(feature = "second-method") { config.export::<Server<Ping, Ping>>(2) } else { config };
    let config = if cfg!(feature = "latest") { config.export::<Latest<Ping>>(1) } else { config };
    let config = if cfg!(feature = "import") { config.import::<Receiver<Ping>>(2) } else { config };
    #[cfg(feature = "log")]
    let config = config.log(2);
    config
};

#[cfg(feature = "log")]
static LOGGER: netchan::board::Logger = netchan::board::Logger::new();

static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);

const NAME: Name = Name::literal("size");

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let mut nonces = CounterNonce::new(1, read(0x20));
    let identity = Identity { name: &NAME, uid: 1, boot: u64::from(read(0x20)), nonces: &mut nonces };
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut line = NODE.line(&mut memory, identity);

    let Ok(mut echo) = NODE.export::<Duplex<Ping, Ping>>("echo") else { loop {} };
    #[cfg(feature = "second")]
    let Ok(mut second) = NODE.export::<Duplex<Ping, Ping>>("second") else { loop {} };
    #[cfg(feature = "third")]
    let Ok(mut third) = NODE.export::<Duplex<Ping, Ping>>("third") else { loop {} };
    #[cfg(feature = "other")]
    let Ok(mut other) = NODE.export::<Duplex<Other, Other>>("other") else { loop {} };
    #[cfg(feature = "method")]
    let Ok(mut method) = NODE.export::<Server<Ping, Ping>>("method") else { loop {} };
    #[cfg(feature = "second-method")]
    let Ok(mut second_method) = NODE.export::<Server<Ping, Ping>>("second-method") else { loop {} };
    #[cfg(feature = "latest")]
    let Ok(latest) = NODE.export_with::<Latest<Ping>>("latest", 1) else { loop {} };
    #[cfg(feature = "import")]
    let Ok(mut import) = NODE.import::<Receiver<Ping>>("import") else { loop {} };

    #[cfg(feature = "log")]
    if LOGGER.start(&NODE, 2).is_ok() && log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }

    loop {
        #[cfg(feature = "log")]
        if read(0x24) & 4 != 0 {
            log::info!("level {}", read(0x28));
        }
        #[cfg(feature = "quiet")]
        if read(0x24) & 1 != 0 {
            let mut quiet = line.quiet(Duration::from_secs(20));
            while !quiet.is_heard() {
                quiet.feed(&[read(0) as u8], now());
                let mut byte = [0];
                if quiet.drain(&mut byte, now()) == 1 {
                    write(byte[0]);
                }
            }
            quiet.back(now());
        }
        #[cfg(feature = "leave")]
        if read(0x24) & 2 != 0 {
            let mut leaving = line.leave(now() + Duration::from_secs(1));
            while !leaving.is_done() {
                leaving.feed(&[read(0) as u8], now());
                let mut byte = [0];
                if leaving.drain(&mut byte, now()) == 1 {
                    write(byte[0]);
                }
            }
        }
        #[cfg(feature = "sleep")]
        if !line.has_unsent() && line.silence(now()).is_none_or(|silence| silence > Duration::from_secs(1)) {
            write(line.deadline(now()).as_micros() as u8);
        }
        #[cfg(not(feature = "poll"))]
        {
            if read(0x18) & 1 != 0 {
                line.feed(&[read(0) as u8], now());
            }
            let mut byte = [0];
            if read(0x18) & 2 != 0 && line.drain(&mut byte, now()) == 1 {
                write(byte[0]);
            }
        }
        #[cfg(feature = "poll")]
        let Ok(()) = line.poll(&mut serial::Uart, now());
        match echo.try_recv() {
            Ok(ping) => {
                let _ = echo.try_send(ping);
            }
            #[cfg(feature = "defmt")]
            Err(error) => defmt::error!("nothing to echo: {}", error),
            #[cfg(not(feature = "defmt"))]
            Err(_) => {}
        }
        #[cfg(feature = "second")]
        if let Ok(ping) = second.try_recv() {
            let _ = second.try_send(ping);
        }
        #[cfg(feature = "third")]
        if let Ok(ping) = third.try_recv() {
            let _ = third.try_send(ping);
        }
        #[cfg(feature = "other")]
        if let Ok(value) = other.try_recv() {
            let _ = other.try_send(value);
        }
        #[cfg(feature = "method")]
        if let Ok(request) = method.try_recv() {
            let ping = *request;
            let _ = request.reply(ping);
        }
        #[cfg(feature = "second-method")]
        if let Ok(request) = second_method.try_recv() {
            let ping = *request;
            let _ = request.reply(ping);
        }
        #[cfg(feature = "latest")]
        let _ = latest.set(&Ping { id: 1, value: read(0x10) });
        #[cfg(feature = "import")]
        while let Ok(ping) = import.try_recv() {
            write(ping.id as u8);
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
