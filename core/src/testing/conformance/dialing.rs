//! A host's node that makes a link again whenever one has ended.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::thread::{self, JoinHandle};

use super::HostSpecimen;
use crate::{Node, Peer};

/// A session that the specimen waits for no longer is looked for again after this time.
const LOOK: Duration = Duration::from_millis(20);

/// A [`HostSpecimen`], and a thread that makes its links, until it is dropped.
pub struct DialingHost {
    specimen: Option<HostSpecimen>,
    is_over: Arc<AtomicBool>,
    links: Option<JoinHandle<()>>,
}

impl fmt::Debug for DialingHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialingHost").field("specimen", &self.specimen).finish_non_exhaustive()
    }
}

impl DialingHost {
    /// Starts one. `dial` makes a link and waits for that; where it yields none it is called again at once. It has to yield within
    /// bounds, and when the node is shut down.
    ///
    /// # Errors
    ///
    /// Where there is no thread for it, or its exports fail.
    pub fn start(
        dead_time: Duration,
        mut dial: impl FnMut(&Node) -> Option<Peer> + Send + 'static,
    ) -> Result<Self, String> {
        let specimen = HostSpecimen::new(dead_time)?;
        let node = specimen.node().clone();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let run = move || {
            while !over.load(Ordering::Acquire) {
                let Some(peer) = dial(&node) else { continue };
                HostSpecimen::meet(peer.clone());
                while peer.is_up() && !over.load(Ordering::Acquire) {
                    let _ = peer.down().timeout(LOOK).wait();
                }
            }
        };
        let links = thread::Builder::new().name("specimen-links".into()).spawn(run);
        let links = links.map_err(|error| alloc::format!("no thread for links: {error}"))?;
        Ok(Self { specimen: Some(specimen), is_over, links: Some(links) })
    }
}

impl Drop for DialingHost {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        self.specimen = None;
        if let Some(links) = self.links.take() {
            // Had it panicked a check would have found no link.
            let _ = links.join();
        }
    }
}
