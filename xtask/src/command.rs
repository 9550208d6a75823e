//! Running other programs: where, with what, for how long, and how to say what failed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The errors of tasks are sentences for a reader, never for a program.
pub(crate) type Result<T = ()> = std::result::Result<T, String>;

/// No single command of ours comes near this; one that does hangs.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// The directory that holds the workspace.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        // Asked at run time, so that a moved checkout is not haunted by its old place.
        let manifest =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        Path::new(&manifest).parent().expect("xtask is a directory of the workspace").to_owned()
    })
}

/// A program with its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Cmd {
    program: OsString,
    shown: String,
    args: Vec<OsString>,
    envs: Vec<(String, String)>,
    dir: PathBuf,
    limit: Duration,
}

impl Cmd {
    /// `line` is split at spaces: the program, then its arguments.
    pub(crate) fn new(line: &str) -> Self {
        let mut words = line.split_whitespace();
        let program = words.next().expect("a command has a program");
        Self {
            program: program.into(),
            shown: program.into(),
            args: words.map(OsString::from).collect(),
            envs: Vec::new(),
            dir: root().to_owned(),
            limit: LIMIT,
        }
    }

    /// The cargo that runs this task, so that all of it uses one toolchain.
    pub(crate) fn cargo(line: &str) -> Self {
        let mut cmd = Self::new(&format!("cargo {line}"));
        if let Some(cargo) = std::env::var_os("CARGO") {
            cmd.program = cargo;
        }
        cmd
    }

    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn args(mut self, args: &[String]) -> Self {
        self.args.extend(args.iter().map(OsString::from));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.envs.push((name.into(), value.into()));
        self
    }

    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = root().join(dir);
        self
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs with the caller's terminal.
    pub(crate) fn run(&self) -> Result {
        let status = self.build().status().map_err(|error| self.cannot_start(&error))?;
        self.judge(status)
    }

    /// Runs without input, with both outputs in `log`, and not for ever.
    pub(crate) fn run_into(&self, log: &File) -> Result {
        let share = || log.try_clone().map_err(|error| format!("log: {error}"));
        let mut child = self
            .build()
            .stdin(Stdio::null())
            .stdout(share()?)
            .stderr(share()?)
            .spawn()
            .map_err(|error| self.cannot_start(&error))?;
        let status = self.wait(&mut child)?;
        self.judge(status)
    }

    /// What the program printed.
    pub(crate) fn read(&self) -> Result<String> {
        let mut child = self
            .build()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.cannot_start(&error))?;
        let (output, errors) = (collect(child.stdout.take()), collect(child.stderr.take()));
        let status = self.wait(&mut child)?;
        let text =
            |it: JoinHandle<Vec<u8>>| String::from_utf8_lossy(&it.join().unwrap_or_default()).into_owned();
        let (output, errors) = (text(output), text(errors));
        self.judge(status).map_err(|error| format!("{error}\n{output}{errors}"))?;
        Ok(output)
    }

    /// Whether the program is there and answers 0; what it prints does not matter.
    pub(crate) fn succeeds(&self) -> bool {
        self.read().is_ok()
    }

    /// The command as one would type it in the root of the workspace.
    pub(crate) fn show(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.envs.iter().map(|(name, value)| {
            let quote = if value.contains(' ') { "'" } else { "" };
            format!("{name}={quote}{value}{quote}")
        }));
        words.push(self.shown.clone());
        words.extend(self.args.iter().map(|arg| arg.to_string_lossy().into()));
        let line = words.join(" ").replace(&format!("{}/", root().display()), "");
        match self.dir.strip_prefix(root()) {
            Ok(dir) if dir.as_os_str().is_empty() => line,
            Ok(dir) => format!("(cd {} && {line})", dir.display()),
            Err(_) => format!("(cd {} && {line})", self.dir.display()),
        }
    }

    fn build(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(&self.dir);
        // `cargo run` points this at its own toolchain, which is wrong for another one.
        command.env_remove("LD_LIBRARY_PATH");
        command.envs(self.envs.iter().map(|(name, value)| (name, value)));
        command
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                return Ok(status);
            }
            if start.elapsed() > self.limit {
                kill_tree(child);
                let seconds = self.limit.as_secs();
                return Err(format!("`{}` was stopped after {seconds} s", self.show()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn judge(&self, status: ExitStatus) -> Result {
        if status.success() {
            return Ok(());
        }
        Err(format!("`{}` failed ({status})", self.show()))
    }

    fn cannot_start(&self, error: &std::io::Error) -> String {
        format!("`{}` cannot be started: {error}", self.show())
    }
}

/// Reads all of a pipe beside whatever else happens, so that nobody waits for room in it.
fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read until an error is what there is to show.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        bytes
    })
}

/// Ends a child and what it started: killing only cargo would leave the hung test running.
fn kill_tree(child: &mut Child) {
    let mut doomed = vec![child.id()];
    let mut next = 0;
    while next < doomed.len() {
        doomed.extend(children_of(doomed[next]));
        next += 1;
    }
    let list: Vec<String> = doomed.iter().map(u32::to_string).collect();
    let script = format!("kill -KILL {}", list.join(" "));
    let _ = Command::new("sh").args(["-c", &script]).status();
    let _ = child.kill();
    let _ = child.wait();
}

fn children_of(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // "pid (name) state parent ..."; the name may hold spaces and brackets.
            let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            fields.split_whitespace().nth(1) == Some(&parent.to_string())
        })
        .collect()
}
