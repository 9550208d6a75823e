//! A bad serial line as a program: two ptys, or a pty and a real port, and between them whatever a line can
//! do to bytes, by a seed. Ctrl-C ends it, and it tells what it has done.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

#[cfg(unix)]
mod cable;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    unix::main()
}

#[cfg(not(unix))]
fn main() {
    eprintln!("faulty-line needs ptys, which this system has not");
    std::process::exit(2);
}

#[cfg(unix)]
mod unix {
    use std::fmt;
    use std::io::{self, Read, Write};
    use std::path::PathBuf;
    use std::process::ExitCode;

    use netchan::testing::{Faults, Happened};
    use signal_hook::consts::{SIGINT, SIGTERM};

    use crate::cable::Cable;

    const HELP: &str = "\
faulty-line: a bad serial line between two ptys

    --seed N          what happens when; by default another one each time, which is told
    --port PATH       a port of this machine in the place of the second pty
    --baud N          how fast the line is, in bits a second (115200; 0: it takes no time)
    --latency MS      how much later a byte arrives (0)

How often, once in so many bytes of each direction (0: never, the default):

    --flip N          a bit flips
    --burst N         up to 40 bytes become noise
    --lose N          up to 20 bytes are lost
    --insert N        up to 60 bytes of noise come in between
    --duplicate N     up to 300 bytes come once more
    --truncate N      the rest of what was written at a time is lost
    --stall N         the line stops, and loses nothing, for up to --stall-ms (1000)
    --one-way N       all in one direction is lost, for up to --one-way-ms (1000)
    --disconnect N    the plug of an end is pulled, for up to --disconnect-ms (1000)

It prints the ports, and goes on until Ctrl-C. Then it tells what it has done.
";

    /// What the command line asks for.
    struct Args {
        seed: u64,
        port: Option<PathBuf>,
        baud: u32,
        latency_ms: u32,
        faults: Faults,
    }

    /// What is wrong with the command line; nothing where it asks for help.
    struct Wrong(Option<String>);

    pub(super) fn main() -> ExitCode {
        let args = match parse(std::env::args().skip(1)) {
            Ok(args) => args,
            Err(Wrong(None)) => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            Err(Wrong(Some(text))) => {
                eprintln!("faulty-line: {text} (--help tells what there is)");
                return ExitCode::from(2);
            }
        };
        match run(args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("faulty-line: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, Wrong> {
        // Odd microseconds of this moment are dice enough.
        let moment = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let mut args = Args {
            seed: moment.map_or(1, |since| u64::from(since.subsec_micros())),
            port: None,
            baud: 115_200,
            latency_ms: 0,
            faults: Faults {
                stall_us: 1_000_000,
                deaf_us: 1_000_000,
                unplug_us: 1_000_000,
                ..Faults::default()
            },
        };
        while let Some(word) = words.next() {
            if matches!(word.as_str(), "--help" | "-h") {
                return Err(Wrong(None));
            }
            let value = words.next().ok_or_else(|| Wrong(Some(format!("{word} wants a value"))))?;
            if word == "--port" {
                args.port = Some(value.into());
                continue;
            }
            let number: u64 = value.parse().map_err(|_| Wrong(Some(format!("{word} {value}: no number"))))?;
            let small =
                || u32::try_from(number).map_err(|_| Wrong(Some(format!("{word} {value}: too large"))));
            let micros = || {
                let micros = small()?.checked_mul(1000);
                micros.ok_or_else(|| Wrong(Some(format!("{word} {value}: more than an hour"))))
            };
            let faults = &mut args.faults;
            match word.as_str() {
                "--seed" => args.seed = number,
                "--baud" => args.baud = small()?,
                "--latency" => args.latency_ms = micros()? / 1000,
                "--flip" => faults.flip = small()?,
                "--burst" => faults.burst = small()?,
                "--lose" => faults.lose = small()?,
                "--insert" => faults.insert = small()?,
                "--duplicate" => faults.duplicate = small()?,
                "--truncate" => faults.truncate = small()?,
                "--stall" => faults.stall = small()?,
                "--stall-ms" => faults.stall_us = micros()?,
                "--one-way" => faults.deaf = small()?,
                "--one-way-ms" => faults.deaf_us = micros()?,
                "--disconnect" => faults.unplug = small()?,
                "--disconnect-ms" => faults.unplug_us = micros()?,
                _ => return Err(Wrong(Some(format!("{word} is not known")))),
            }
        }
        Ok(args)
    }

    fn run(args: Args) -> io::Result<()> {
        // Before the ports are told: whoever reads them may end this at once.
        let (mut ended, end) = io::pipe()?;
        for signal in [SIGINT, SIGTERM] {
            signal_hook::low_level::pipe::register(signal, std::os::fd::OwnedFd::from(end.try_clone()?))?;
        }
        let port = args.port.map(|path| (path, args.baud.max(1)));
        let cable = Cable::between(args.faults, args.seed, port)?;
        for wire in &mut cable.line().wires {
            wire.byte_ns = 10_000_000_000_u64.checked_div(args.baud.into()).unwrap_or(0);
            wire.latency_us = u64::from(args.latency_ms) * 1000;
        }
        let mut out = io::stdout();
        writeln!(out, "seed {}", args.seed)?;
        for end in 0..2 {
            writeln!(out, "port {end}: {}", cable.port(end).display())?;
        }
        out.flush()?;
        ended.read_exact(&mut [0])?;
        let wires = cable.line().wires.clone();
        for (from, wire) in wires.iter().enumerate() {
            writeln!(out, "from port {from}: {}", Told(wire.happened))?;
        }
        Ok(())
    }

    /// A summary of one direction.
    struct Told(Happened);

    impl fmt::Display for Told {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let it = self.0;
            write!(f, "{} bytes, {} faults", it.bytes, it.faults())?;
            let kinds = [
                (it.flips, "flips"),
                (it.bursts, "bursts"),
                (it.losses, "losses"),
                (it.insertions, "insertions"),
                (it.duplicates, "duplicates"),
                (it.truncations, "truncations"),
                (it.stalls, "stalls"),
                (it.deaf, "one-way"),
                (it.unplugged, "disconnects"),
            ];
            kinds.iter().filter(|(n, _)| *n > 0).try_for_each(|(n, what)| write!(f, ", {n} {what}"))
        }
    }
}
