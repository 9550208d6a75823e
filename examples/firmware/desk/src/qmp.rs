//! QEMU's monitor on a Unix socket: a greeting, then an answer to each command.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// QEMU answers at once; this is for a machine under load.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection, with the capabilities that it begins with.
pub(crate) struct Qmp {
    socket: String,
    stream: UnixStream,
    answers: Lines<BufReader<UnixStream>>,
}

impl Qmp {
    pub(crate) fn connect(socket: &str) -> Result<Self, String> {
        let open = || -> std::io::Result<Self> {
            let stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut answers = BufReader::new(stream.try_clone()?).lines();
            answers.next().transpose()?;
            Ok(Self { socket: socket.to_owned(), stream, answers })
        };
        let mut qmp = open().map_err(|error| format!("{socket}: {error}"))?;
        qmp.execute("{\"execute\":\"qmp_capabilities\"}")?;
        Ok(qmp)
    }

    /// Resets the board, whose memory outlives it.
    pub(crate) fn reset(&mut self) -> Result<(), String> {
        self.execute("{\"execute\":\"system_reset\"}")
    }

    /// Stops the board and its clock.
    pub(crate) fn stop(&mut self) -> Result<(), String> {
        self.execute("{\"execute\":\"stop\"}")
    }

    /// Lets it go on.
    pub(crate) fn cont(&mut self) -> Result<(), String> {
        self.execute("{\"execute\":\"cont\"}")
    }

    /// What the board's memory holds.
    pub(crate) fn memory(&mut self, at: u32, len: u32) -> Result<Vec<u8>, String> {
        // QEMU writes it into a file.
        let path = format!("{}.memory", self.socket);
        self.execute(&format!(
            "{{\"execute\":\"pmemsave\",\"arguments\":{{\"val\":{at},\"size\":{len},\"filename\":\"{path}\"}}}}"
        ))?;
        let bytes = fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
        let _ = fs::remove_file(&path);
        Ok(bytes)
    }

    fn execute(&mut self, command: &str) -> Result<(), String> {
        let fail = |what: &str| Err(format!("{}: {command}: {what}", self.socket));
        if let Err(error) = writeln!(self.stream, "{command}") {
            return fail(&error.to_string());
        }
        loop {
            match self.answers.next() {
                Some(Ok(line)) if line.contains("\"return\"") => return Ok(()),
                Some(Ok(line)) if line.contains("\"error\"") => return fail(&line),
                // Events come in between.
                Some(Ok(_)) => {}
                Some(Err(error)) => return fail(&error.to_string()),
                None => return fail("QEMU has ended"),
            }
        }
    }
}
