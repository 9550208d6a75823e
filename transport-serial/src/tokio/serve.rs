//! The side that waits for whoever opens the other end.

use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use netchan::host::WeakNode;
use netchan::host::transport::{Alarm, Attempts, on_shutdown, start_line_task};
use netchan::{LinkError, Node, Reason};

use super::port::Port;
use crate::serve::{PATIENCE, PAUSE_MAX, PAUSE_MIN};
use crate::{OpenError, Options, Serving};

/// Serves a port, as [`serve`](crate::serve()) of threads does, in a task that is spawned on the runtime that
/// awaits this.
///
/// # Errors
///
/// [`OpenError`] when the port cannot be opened now.
pub async fn serve(node: &Node, path: impl AsRef<Path>, options: Options) -> Result<Serving, OpenError> {
    let path = path.as_ref().to_owned();
    let first = Port::open(&path, options, true).await?;
    let bell = Arc::new(Bell::default());
    let own = Arc::clone(&bell);
    let stop: Arc<dyn Fn() + Send + Sync> = Arc::new(move || own.ring());
    let shut = || OpenError::Link(path.clone(), LinkError::Local(Reason::Shutdown));
    let stop = on_shutdown(node, stop).ok_or_else(shut)?;
    let serving = Serving::new(path.clone(), &stop);
    let node = node.downgrade();
    ::tokio::spawn(async move {
        // Kept so that the node can reach it.
        let _stop = stop;
        run(&node, &path, options, first, &bell).await;
    });
    Ok(serving)
}

async fn run(node: &WeakNode, path: &Path, options: Options, first: Port, bell: &Bell) {
    let mut port = Some(first);
    let mut pause = PAUSE_MIN;
    let mut attempts = Attempts::new(path.display().to_string());
    while !bell.is_rung() {
        let began = Instant::now();
        let opened = match port.take() {
            Some(port) => Ok(port),
            None => Port::open(path, options, false).await,
        };
        match opened {
            Ok(port) => match session(node, port, options, bell).await {
                Some(true) => attempts.succeeded(),
                Some(false) => {}
                None => return,
            },
            Err(error) => {
                let Some(node) = node.upgrade() else { return };
                attempts.failed(&node, &error);
            }
        }
        pause = if began.elapsed() > PAUSE_MAX { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        bell.wait(pause).await;
    }
}

/// One link, from its bring-up to its end: whether it was up; `None` where the node is no more. When the bell rings
/// before the bring-up is complete, there is no link.
async fn session(node: &WeakNode, port: Port, options: Options, bell: &Bell) -> Option<bool> {
    let started = {
        // The node ends with its last handle, and the link with it.
        let node = node.upgrade()?;
        start_line_task(&node, port, options.link().hello(PATIENCE))
    };
    let (mut driver, mut up) = started.ok()?;
    let mut is_up = false;
    // Why it ended is an event of the node.
    poll_fn(|cx| {
        let end = Pin::new(&mut driver).poll(cx);
        if !is_up {
            is_up = matches!(Pin::new(&mut up).poll(cx), Poll::Ready(Ok(_)));
        }
        if end.is_ready() || !is_up && bell.poll(cx).is_ready() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    Some(is_up)
}

/// Ends pauses, and the wait for a hello.
#[derive(Default)]
struct Bell {
    state: Mutex<(bool, Option<Waker>)>,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, (bool, Option<Waker>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        let waker = {
            let mut state = self.lock();
            state.0 = true;
            state.1.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    fn is_rung(&self) -> bool {
        self.lock().0
    }

    /// Ready when it has rung.
    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let is_rung = state.0;
        let old = if is_rung { None } else { state.1.replace(cx.waker().clone()) };
        drop(state);
        // The drop of a waker is foreign code: not under the lock.
        drop(old);
        if is_rung { Poll::Ready(()) } else { Poll::Pending }
    }

    /// For so long, or until it rings.
    async fn wait(&self, time: Duration) {
        let mut alarm = Alarm::after(time);
        poll_fn(|cx| if self.poll(cx).is_ready() { Poll::Ready(()) } else { Pin::new(&mut alarm).poll(cx) })
            .await;
    }
}
