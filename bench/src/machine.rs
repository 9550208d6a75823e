//! What the bench asks the operating system: one core, CPU time, memory, descriptors.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// The cores this process may run on.
pub(crate) fn cores() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("asking for the allowed cores")?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
}

/// Ties the calling thread, and every thread it starts later, to one core.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("pinning to core {core}"))
}

/// User and system time of all threads of this process so far.
pub(crate) fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(now.tv_sec).expect("CPU time is not negative");
    Duration::new(seconds, u32::try_from(now.tv_nsec).expect("nanoseconds are below a second"))
}

/// Resident memory of this process, in bytes.
pub(crate) fn resident() -> Result<u64> {
    // statm's counters are kept per core and lag by up to 64 pages; smaps_rollup counts.
    let text = fs::read_to_string("/proc/self/smaps_rollup").context("reading own memory use")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Rss:"))
        .ok_or_else(|| anyhow!("no Rss line in smaps_rollup"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// Raises the limit of open descriptors to what is allowed, and says what that is.
pub(crate) fn allow_many_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(_) => limit.current.unwrap_or(u64::MAX),
    }
}

/// Model name of the processor, for the report's head.
pub(crate) fn processor() -> String {
    fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| "unknown processor".to_owned())
}

/// Load of the last minute, for the report's notes.
pub(crate) fn load() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}
