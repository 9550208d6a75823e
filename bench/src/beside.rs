//! Puts together what the ping and the bulk streams beside it measured.

use anyhow::Result;

use crate::job::Figures;

/// Figures of the idle ping, of the busy one, and of each bulk stream.
pub(crate) fn figures(
    idle: &Figures,
    busy: &Figures,
    streams: impl IntoIterator<Item = Result<Figures>>,
) -> Result<Figures> {
    let mut rate = 0.0;
    for stream in streams {
        let stream = stream?;
        rate += stream.need("bytes")? / stream.need("seconds")?;
    }
    Ok(Figures::default()
        .with("idle_p50_us", idle.need("p50_us")?)
        .with("idle_p99_us", idle.need("p99_us")?)
        .with("p50_us", busy.need("p50_us")?)
        .with("p99_us", busy.need("p99_us")?)
        .with("p50_over_idle", busy.need("p50_us")? / idle.need("p50_us")?)
        .with("gbytes_s", rate / 1e9))
}
