//! Core on boards: finds or installs a toolchain and QEMU, builds, and runs the firmware of
//! `core/tests-no-std`; then that of `examples/firmware`, which is talked to over its UART, and to which the conformance suite is put.

use std::path::Path;
use std::time::Duration;

use super::Runner;
use crate::command::{Cmd, Result, root};
use crate::demo;

const FIRMWARE: &str = "core/tests-no-std";
const FIRMWARE_NAME: &str = "netchan-tests-no-std";
/// A bridge board, for the first target, behind which the others stand.
const BRIDGE: &str = "netchan-firmware-bridge";
/// The example's boards, the same program as a process, and the other end of their line.
const EXAMPLES: &str = "examples/firmware";
const DESK: &str = "netchan-firmware-desk";
const PROCESS: &str = "netchan-firmware-process";
/// The programs of the README, for each target.
const PROGRAMS: &str = "netchan-firmware-programs";
/// Shared by everything for boards, apart from the host's builds.
pub(crate) const TARGET_DIR: &str = "target/boards";

/// A target, and the machine that runs its firmware.
struct Board {
    target: &'static str,
    qemu: &'static str,
    machine: &'static str,
    /// The package of `examples/firmware` that is for it.
    example: &'static str,
    /// Its program that the conformance suite is put to.
    specimen: &'static str,
    /// Where the example has its memory, and how many bytes.
    ram: (&'static str, u32),
}

/// Bytes of stack that an example may use, with its line, its application, its interrupts, and the formatting of its log.
const STACK_MAX: u32 = 3072;
/// Of the faults and of the bytes at which boards are reset: any other one does as well.
const SEED: u32 = 3;
/// Each board is reset so often, and stopped so often for so many seconds; and where time does not matter.
const ENDURANCE: &str = "--resets 20 --stops 2 3";
const LONG_ENDURANCE: &str = "--resets 1000 --stops 100 10";

const BOARDS: [Board; 2] = [
    Board {
        target: "thumbv7m-none-eabi",
        qemu: "qemu-system-arm",
        machine: "-M lm3s6965evb",
        example: "netchan-firmware-cortex-m3",
        specimen: "cortex-m3-specimen",
        ram: ("0x20000000", 64 * 1024),
    },
    Board {
        target: "riscv32imac-unknown-none-elf",
        qemu: "qemu-system-riscv32",
        machine: "-M virt -bios none",
        example: "netchan-firmware-riscv32",
        specimen: "riscv32-specimen",
        ram: ("0x80040000", 64 * 1024),
    },
];

/// A compiler for boards whose library comes as source, and the linker.
const COMPILER_PACKAGES: &str = "rustc-web cargo-web rust-web-src lld";
const QEMU_PACKAGES: &str = "qemu-system-arm qemu-system-misc";

/// Where the compiler for boards comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Toolchain {
    /// The one that runs this task has the targets.
    Active,
    /// Debian's, which builds `core` and `alloc` from source.
    Debian,
}

pub(super) fn no_std(runner: &mut Runner) -> Result {
    let toolchain = Toolchain::find(runner)?;
    find_qemu(runner)?;
    for board in &BOARDS {
        for features in ["", " --features alloc"] {
            let line = format!("check --package netchan --no-default-features{features}");
            runner.run(&toolchain.cargo(&line, board.target))?;
        }
        build_and_run(runner, toolchain, board)?;
    }
    // A check that cannot fail would prove nothing, so one is made to.
    let board = &BOARDS[0];
    let build = toolchain.cargo("build --release --features planted-failure", board.target);
    runner.run(&build.dir(FIRMWARE))?;
    println!("      (this one has to fail)");
    if runner.run(&board.emulate()).is_ok() {
        return Err("a failed check on the board was not noticed".into());
    }
    if !runner.output().contains("FAILED  a_planted_failure") && !runner.verbose {
        return Err("the board failed, but not by the check that was planted".into());
    }
    talk(runner, toolchain)?;
    let targets = BOARDS.map(|board| board.target).join(", ");
    runner.remark(format!("{targets}, run in QEMU"));
    Ok(())
}

fn build_and_run(runner: &mut Runner, toolchain: Toolchain, board: &Board) -> Result {
    let build = toolchain.cargo("build --release", board.target);
    runner.run(&build.dir(FIRMWARE))?;
    runner.run(&board.emulate())
}

/// Boots each board with its UART on a pipe, and asks it everything that it exports: over a faulty line too, and after
/// resets and stops.
fn talk(runner: &mut Runner, toolchain: Toolchain) -> Result {
    for package in [DESK, PROCESS] {
        let build = Cmd::cargo(&format!("build --package {package}")).dir(EXAMPLES);
        runner.run(&build.env("CARGO_TARGET_DIR", &root().join(TARGET_DIR).to_string_lossy()))?;
    }
    let limit = Duration::from_secs(if runner.long { 60 * 60 } else { 3 * 60 });
    let (desk, process) = (format!("{TARGET_DIR}/debug/{DESK}"), format!("{TARGET_DIR}/debug/{PROCESS}"));
    let line = format!("{desk} --faulty {SEED} --resets 20 --seed {SEED} {process}");
    runner.run(&Cmd::new(&line).limit(limit))?;
    for board in &BOARDS {
        let build = toolchain.cargo(&format!("build --release --package {}", board.example), board.target);
        runner.run(&build.dir(EXAMPLES))?;
        runner.run(&board.conform().limit(limit))?;
        let endurance = if runner.long { LONG_ENDURANCE } else { ENDURANCE };
        runner.run(&board.talk(endurance).limit(limit))?;
    }
    for board in &BOARDS {
        let build = toolchain.cargo(&format!("build --release --package {PROGRAMS}"), board.target);
        runner.run(&build.dir(EXAMPLES))?;
        runner.run(&board.programs().limit(Duration::from_secs(120)))?;
    }
    let [first, ..] = &BOARDS;
    let build = toolchain.cargo(&format!("build --release --package {BRIDGE}"), first.target);
    runner.run(&build.dir(EXAMPLES))?;
    for board in &BOARDS {
        runner.run(&first.bridge_to(board).limit(Duration::from_secs(120)))?;
    }
    demo::emulated_step(runner, toolchain)
}

/// A board that can be shown: how it is built, and what the demo is told.
pub(crate) struct Example {
    pub(crate) build: Cmd,
    pub(crate) option: &'static str,
    pub(crate) path: String,
}

/// The firmware that the demo boots in QEMU.
pub(crate) fn emulated_example(toolchain: Toolchain) -> Example {
    let Board { target, example, .. } = &BOARDS[0];
    let build = toolchain.cargo(&format!("build --quiet --release --package {example}"), target);
    let path = format!("{TARGET_DIR}/{target}/release/{example}");
    Example { build: build.dir(EXAMPLES), option: "--firmware", path }
}

/// The same firmware as a process.
pub(crate) fn example_process() -> Example {
    let build = Cmd::cargo(&format!("build --quiet --package {PROCESS}")).dir(EXAMPLES);
    let build = build.env("CARGO_TARGET_DIR", &root().join(TARGET_DIR).to_string_lossy());
    Example { build, option: "--process", path: format!("{TARGET_DIR}/debug/{PROCESS}") }
}

/// Whether QEMU is there for the demo's board.
pub(crate) fn has_qemu() -> bool {
    Cmd::new(&format!("{} --version", BOARDS[0].qemu)).succeeds()
}

impl Board {
    /// Runs the example's firmware, with its UART and its monitor in the hands of the desk.
    fn talk(&self, endurance: &str) -> Cmd {
        let Self { qemu, machine, target, example, ram: (at, len), .. } = self;
        let socket = format!("{TARGET_DIR}/{example}.qmp");
        let quiet = "-display none -monitor none -serial stdio";
        let kernel = format!("{TARGET_DIR}/{target}/release/{example}");
        let qemu = format!("{qemu} {machine} {quiet} -qmp unix:{socket},server=on,wait=off -kernel {kernel}");
        let ram = format!("--ram {at} {len} {STACK_MAX}");
        let desk =
            format!("{TARGET_DIR}/debug/{DESK} --faulty {SEED} {endurance} --pair --seed {SEED} {ram}");
        Cmd::new(&format!("{desk} --qmp {socket} {qemu}"))
    }

    /// Runs the programs of the README, each on machines of its own, all at a time.
    fn programs(&self) -> Cmd {
        let Self { qemu, machine, target, .. } = self;
        Cmd::new(&format!(
            "{TARGET_DIR}/debug/{DESK} --seed {SEED} --programs {TARGET_DIR}/{target}/release \
             {qemu} {machine} -display none -monitor none -serial stdio"
        ))
    }

    /// Puts the conformance suite to it, directly and over a faulty line.
    fn conform(&self) -> Cmd {
        let Self { qemu, machine, target, specimen, .. } = self;
        let socket = format!("{TARGET_DIR}/{specimen}.qmp");
        let kernel = format!("{TARGET_DIR}/{target}/release/{specimen}");
        let qemu = format!("{qemu} {machine} -display none -monitor none -serial stdio -kernel {kernel}");
        Cmd::new(&format!("{TARGET_DIR}/debug/{DESK} --conform --seed {SEED} --qmp {socket} {qemu}"))
    }

    /// Runs the bridge board, with its upper UART in the hands of the desk and the lower one joined to that of another board.
    fn bridge_to(&self, behind: &Self) -> Cmd {
        let Self { qemu, machine, target, .. } = self;
        let (socket, line) = (format!("{TARGET_DIR}/behind.qmp"), format!("{TARGET_DIR}/behind.line"));
        let leaf = format!(
            "{} {} -display none -monitor none -serial unix:{line},server=on,wait=off \
             -qmp unix:{socket},server=on,wait=off -kernel {TARGET_DIR}/{}/release/{}",
            behind.qemu, behind.machine, behind.target, behind.example
        );
        let bridge = format!(
            "{qemu} {machine} -display none -monitor none -serial stdio -serial unix:{line} \
             -kernel {TARGET_DIR}/{target}/release/{BRIDGE}"
        );
        Cmd::new(&format!("{TARGET_DIR}/debug/{DESK} --qmp {socket} --behind {leaf} --bridge {bridge}"))
    }

    /// Runs firmware of core's tests; its exit code, by semihosting, becomes QEMU's.
    fn emulate(&self) -> Cmd {
        emulate(self.target, FIRMWARE_NAME, "")
    }
}

/// Runs firmware that needs no line, with more options; its exit code, by semihosting, becomes QEMU's.
pub(crate) fn emulate(target: &str, firmware: &str, options: &str) -> Cmd {
    let board = BOARDS.iter().find(|board| board.target == target).expect("one of our targets");
    let quiet = "-display none -monitor none -serial none";
    let semihosting = "-semihosting-config enable=on,target=native";
    let (qemu, machine) = (board.qemu, board.machine);
    let kernel = format!("{TARGET_DIR}/{target}/release/{firmware}");
    Cmd::new(&format!("{qemu} {machine} {quiet} {options} {semihosting} -kernel {kernel}"))
        .limit(Duration::from_secs(120))
}

impl Toolchain {
    /// What is there already; else Debian's packages; else the targets by rustup.
    pub(crate) fn find(runner: &mut Runner) -> Result<Self> {
        if BOARDS.iter().all(|board| is_in_active(board.target)) {
            return Ok(Self::Active);
        }
        if is_installed(COMPILER_PACKAGES) || can_install() && install(runner, COMPILER_PACKAGES).is_ok() {
            return Ok(Self::Debian);
        }
        let targets = BOARDS.map(|board| board.target).join(" ");
        let rustup = format!("rustup target add {targets}");
        if runner.run(&Cmd::new(&rustup)).is_ok() {
            return Ok(Self::Active);
        }
        Err(format!(
            "no compiler for boards. Either of these gives one:\n    {rustup}\n    \
             apt-get install {COMPILER_PACKAGES}     (Debian 12, as root)\n\
             or leave the boards out: cargo xtask test --no-boards"
        ))
    }

    /// What is there already, without installing anything.
    pub(crate) fn ready() -> Result<Self> {
        if BOARDS.iter().all(|board| is_in_active(board.target)) {
            return Ok(Self::Active);
        }
        if is_installed(COMPILER_PACKAGES) {
            return Ok(Self::Debian);
        }
        Err("no compiler for boards; `cargo xtask test --only no-std` finds or installs one".into())
    }

    /// Which compiler it is, for figures that are true of this one only.
    pub(crate) fn compiler(self) -> Result<String> {
        let rustc = match self {
            Self::Active => "rustc",
            Self::Debian => "/usr/bin/rustc",
        };
        Ok(Cmd::new(&format!("{rustc} --version")).read()?.trim().to_owned())
    }

    pub(crate) fn cargo(self, line: &str, target: &str) -> Cmd {
        let cmd = match self {
            Self::Active => Cmd::cargo(&format!("{line} --target {target}")),
            Self::Debian => {
                let line = format!("/usr/bin/cargo {line} -Z build-std=core,alloc --target {target}");
                // Debian's compiler is a stable one without rust-lld, so both are said here.
                let linker = target.replace('-', "_").to_uppercase();
                Cmd::new(&line)
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("RUSTC", "/usr/bin/rustc")
                    .env(&format!("CARGO_TARGET_{linker}_LINKER"), "ld.lld")
            }
        };
        let dir = root().join(TARGET_DIR);
        // What a caller wishes for hosts must not change the code that is measured.
        cmd.env("CARGO_INCREMENTAL", "0").env("CARGO_TARGET_DIR", &dir.to_string_lossy())
    }
}

/// The targets of all boards.
pub(crate) fn targets() -> impl Iterator<Item = &'static str> {
    BOARDS.iter().map(|board| board.target)
}

/// Whether the active toolchain has the library for a target.
fn is_in_active(target: &str) -> bool {
    let rustc = format!("rustc --print target-libdir --target {target}");
    let Ok(dir) = Cmd::new(&rustc).read() else {
        return false;
    };
    let entries = Path::new(dir.trim()).read_dir();
    entries.is_ok_and(|mut entries| {
        entries
            .any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libcore")))
    })
}

fn find_qemu(runner: &mut Runner) -> Result {
    let is_there = || BOARDS.iter().all(|board| Cmd::new(&format!("{} --version", board.qemu)).succeeds());
    if is_there() {
        return Ok(());
    }
    if can_install() {
        install(runner, QEMU_PACKAGES)?;
    }
    if is_there() {
        return Ok(());
    }
    let programs = BOARDS.map(|board| board.qemu).join(" and ");
    Err(format!(
        "{programs} are not installed. On Debian and Ubuntu, as root:\n    \
         apt-get install {QEMU_PACKAGES}\n\
         or leave the boards out: cargo xtask test --no-boards"
    ))
}

/// Installing is for machines like CI's: Debian, as root.
fn can_install() -> bool {
    let user = Cmd::new("id -u").read();
    Path::new("/etc/debian_version").exists() && user.is_ok_and(|user| user.trim() == "0")
}

fn is_installed(packages: &str) -> bool {
    packages.split(' ').all(|package| {
        let query = Cmd::new("dpkg-query --show --showformat=${Status}").arg(package);
        query.read().is_ok_and(|status| status == "install ok installed")
    })
}

fn install(runner: &mut Runner, packages: &str) -> Result {
    const TRIES: u32 = 3;
    let apt = |line: &str| {
        let options = "-o Acquire::Retries=3 -o DPkg::Lock::Timeout=600";
        Cmd::new(&format!("apt-get {options} {line}"))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .limit(Duration::from_secs(20 * 60))
    };
    let mut last = Ok(());
    for _ in 0..TRIES {
        last = runner
            .run(&apt("update"))
            .and_then(|()| runner.run(&apt(&format!("install --yes --no-install-recommends {packages}"))));
        if last.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_secs(5));
    }
    last
}
