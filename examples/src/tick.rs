//! What the first two programs agree on.

use netchan::Message;
use serde::{Deserialize, Serialize};

/// One step of a counter.
#[derive(Serialize, Deserialize, Message, Debug)]
pub struct Tick {
    /// Its number, from 1.
    pub n: u64,
}
