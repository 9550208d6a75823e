//! Tasks on one thread, polled in the order that the seed says.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Waker};
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use crate::host::transport::Alarm;
use crate::testing::Rng;

type Job = Pin<Box<dyn Future<Output = ()>>>;

/// Tasks that nobody stops poll no oftener than this without time passing.
const POLLS_MAX: u32 = 1_000_000;

/// Whose a task is: all of a group are ended together.
pub(super) type Group = u32;

#[derive(Default)]
struct Asked {
    spawned: Vec<(Group, &'static str, Job)>,
    ended: Vec<Group>,
}

/// Starts and ends tasks; clones do it at the same place.
#[derive(Clone, Default)]
pub(super) struct Spawner(Rc<RefCell<Asked>>);

impl Spawner {
    /// Starts a task, as soon as the one that does so rests.
    pub(super) fn spawn(&self, group: Group, what: &'static str, job: impl Future<Output = ()> + 'static) {
        self.0.borrow_mut().spawned.push((group, what, Box::pin(job)));
    }

    /// Ends all tasks of a group where they stand, as the end of a process does.
    pub(super) fn end(&self, group: Group) {
        self.0.borrow_mut().ended.push(group);
    }
}

/// Those that can go on.
type Woken = Arc<Mutex<Vec<usize>>>;

struct Bell {
    task: usize,
    woken: Woken,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        if !woken.contains(&self.task) {
            woken.push(self.task);
        }
    }
}

struct Task {
    group: Group,
    what: &'static str,
    job: Job,
    waker: Waker,
}

/// All tasks.
pub(super) struct Tasks {
    rng: Rng,
    spawner: Spawner,
    tasks: Vec<Option<Task>>,
    woken: Woken,
}

impl Tasks {
    pub(super) fn new(rng: Rng) -> Self {
        Self { rng, spawner: Spawner::default(), tasks: Vec::new(), woken: Woken::default() }
    }

    pub(super) fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// What those are that have not ended.
    pub(super) fn left(&self) -> Vec<&'static str> {
        self.tasks.iter().flatten().map(|task| task.what).collect()
    }

    /// Polls until all rest.
    pub(super) fn run(&mut self) {
        for polls in 0.. {
            assert!(polls < POLLS_MAX, "the tasks never come to rest: {:?}", self.left());
            self.do_as_asked();
            let Some(index) = self.next() else { return };
            let Some(Some(task)) = self.tasks.get_mut(index) else { continue };
            let mut cx = Context::from_waker(&task.waker);
            if task.job.as_mut().poll(&mut cx).is_ready() {
                let task = self.tasks[index].take();
                // What it owns may wake and end others.
                drop(task);
            }
        }
    }

    fn next(&mut self) -> Option<usize> {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        if woken.is_empty() {
            return None;
        }
        let which = self.rng.below(woken.len());
        Some(woken.swap_remove(which))
    }

    fn do_as_asked(&mut self) {
        loop {
            let Asked { spawned, ended } = core::mem::take(&mut *self.spawner.0.borrow_mut());
            if spawned.is_empty() && ended.is_empty() {
                return;
            }
            // In this order: what is to end may have been started just now.
            for (group, what, job) in spawned {
                let task = self.tasks.iter().position(Option::is_none).unwrap_or(self.tasks.len());
                let waker = Waker::from(Arc::new(Bell { task, woken: Arc::clone(&self.woken) }));
                waker.wake_by_ref();
                let new = Some(Task { group, what, job, waker });
                match self.tasks.get_mut(task) {
                    Some(place) => *place = new,
                    None => self.tasks.push(new),
                }
            }
            for group in ended {
                for index in 0..self.tasks.len() {
                    if self.tasks[index].as_ref().is_some_and(|task| task.group == group) {
                        let task = self.tasks[index].take();
                        drop(task);
                    }
                }
            }
        }
    }
}

/// Lets so much time pass.
pub(super) async fn pass(time: Duration) {
    Alarm::after(time).await;
}

/// Does it for so long, and then no more.
pub(super) async fn within<F: Future>(limit: Duration, job: F) -> Option<F::Output> {
    let mut job = core::pin::pin!(job);
    let mut alarm = core::pin::pin!(Alarm::after(limit));
    core::future::poll_fn(|cx| {
        if let core::task::Poll::Ready(output) = job.as_mut().poll(cx) {
            return core::task::Poll::Ready(Some(output));
        }
        alarm.as_mut().poll(cx).map(|()| None)
    })
    .await
}
