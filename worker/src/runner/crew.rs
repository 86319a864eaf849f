//! The runners of one isolation of a pool, and the calls that wait for one of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use rfx_schemas::outcome::{Failure, kind};
use rfx_schemas::rules::Isolation;
use rfx_schemas::verdict::OutcomeKind;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Limits;
use super::memory::Memory;
use super::runner::Runner;
use super::source::Source;
use crate::attempt::Ending;
use crate::desk::Desk;

/// Calls that take less than this are sent ahead of the answer to the one before.
const SHORT: Duration = Duration::from_micros(500);
/// Most calls with a runner at once that executes one at a time.
const AHEAD: usize = 64;
/// How long runners have to end when the worker does.
const CLOSE: Duration = Duration::from_secs(15);
/// Bytes of input beyond which a call is not sent ahead: the socket must take what is sent at once.
const SMALL: usize = 8 * 1024;

/// A call that is to be executed.
pub struct Request {
    /// Its header, without an id.
    pub header: Vec<u8>,
    /// Its input.
    pub input: Bytes,
    /// How long it may take from its begin.
    pub timeout: Duration,
    /// When it must have ended in any case: its run's deadline.
    pub last: Instant,
    /// Cancelled when its run is.
    pub cancel: CancellationToken,
    /// What the function asks for goes there.
    pub desk: Arc<Desk>,
    /// Where its ending goes.
    pub answer: oneshot::Sender<Ending>,
}

impl Request {
    /// Ends it without a start, if its time is over already.
    pub fn if_due(self) -> Option<Self> {
        if self.cancel.is_cancelled() || self.answer.is_closed() {
            self.end(OutcomeKind::Cancelled, Failure::new(kind::CANCELLED, "the run was cancelled"));
            return None;
        }
        if Instant::now() >= self.last {
            // The function never began: that is ours, not the test's.
            let message = "the run's deadline passed before a runner was free";
            self.end(OutcomeKind::Lost, Failure::new(kind::DEADLINE, message));
            return None;
        }
        Some(self)
    }

    /// Ends it with a failure.
    pub fn end(self, kind: OutcomeKind, failure: Failure) {
        self.finish(Ending::failed(kind, failure));
    }

    /// Ends it.
    pub fn finish(self, ending: Ending) {
        if self.answer.send(ending).is_err() {
            tracing::debug!("nobody waits for the outcome of a call any more");
        }
    }
}

/// Runners that execute in the same way.
pub struct Crew {
    /// The way.
    pub isolation: Isolation,
    /// What a runner may use, and when it is worn.
    pub limits: Limits,
    /// Where runners come from.
    pub source: Arc<Source>,
    /// What runners use.
    pub memory: Arc<Memory>,
    /// Cancelled when the pool is closed.
    pub closing: CancellationToken,
    /// Where calls go whose shared process ended under them: to be executed alone.
    pub alone: Option<Arc<Crew>>,
    /// Tells a waiting runner that a call has come.
    pub arrived: Notify,
    /// Runners and what they leave to be done.
    pub tasks: TaskTracker,
    /// Calls that come at once, but for those of attempts that wait for what they have called.
    slots: usize,
    most: usize,
    queue: Mutex<Queue>,
    /// Mean duration of a call, in nanoseconds; 0 while unknown.
    mean: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Request>,
    /// Runners that are up or coming up, and take calls.
    members: usize,
    /// Those of them without a call.
    idle: usize,
    /// Runners to be kept ready.
    spares: usize,
    /// Calls of other functions that are waited for: who waits has no slot, and needs no room here.
    away: usize,
}

impl Crew {
    /// A crew of at most so many runners.
    pub fn new(
        isolation: Isolation,
        most: usize,
        limits: Limits,
        source: &Arc<Source>,
        alone: Option<Arc<Crew>>,
    ) -> Self {
        Self {
            isolation,
            limits,
            source: Arc::clone(source),
            memory: Arc::default(),
            closing: CancellationToken::new(),
            alone,
            arrived: Notify::new(),
            tasks: TaskTracker::new(),
            slots: most,
            most: if isolation == Isolation::Shared { 1 } else { most },
            queue: Mutex::default(),
            mean: AtomicU64::new(0),
        }
    }

    /// Takes a call in.
    pub fn submit(self: &Arc<Self>, request: Request) {
        {
            let mut queue = self.lock();
            queue.waiting.push_back(request);
            if self.isolation == Isolation::Fresh {
                queue.spares = self.most.div_ceil(2);
            }
        }
        self.staff();
        self.arrived.notify_one();
    }

    /// Takes calls in again that were with a runner and did not begin, before all others.
    pub fn submit_again(self: &Arc<Self>, requests: impl DoubleEndedIterator<Item = Request>) {
        {
            let mut queue = self.lock();
            requests.rev().for_each(|request| queue.waiting.push_front(request));
        }
        self.staff();
        self.arrived.notify_one();
    }

    /// The next calls for a runner that has `busy` of them, and may execute `left` more.
    pub fn next(self: &Arc<Self>, busy: usize, left: u64) -> Vec<Request> {
        let mut taken = Vec::new();
        let mut queue = self.lock();
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let most = self.room(&queue, busy).min(left);
        while taken.len() < most
            && let Some(request) = queue.waiting.pop_front()
        {
            if !taken.is_empty() && request.input.len() > SMALL {
                queue.waiting.push_front(request);
                break;
            }
            let alone = request.input.len() > SMALL;
            taken.extend(request.if_due());
            if alone && self.isolation != Isolation::Shared {
                break;
            }
        }
        if !taken.is_empty() && busy == 0 {
            queue.idle -= 1;
        }
        // One was told; what it left is for the next.
        if !queue.waiting.is_empty() {
            self.arrived.notify_one();
        }
        drop(queue);
        if !taken.is_empty() {
            self.staff();
        }
        taken
    }

    fn room(&self, queue: &Queue, busy: usize) -> usize {
        match self.isolation {
            Isolation::Shared => (self.slots + queue.away).saturating_sub(busy),
            Isolation::Fresh => usize::from(busy == 0),
            Isolation::Warm if busy > 0 => 0,
            Isolation::Warm if self.limits.own => 1,
            Isolation::Warm => {
                let mean = Duration::from_nanos(self.mean.load(Ordering::Relaxed));
                let share = queue.waiting.len().div_ceil(queue.members.max(1));
                if mean.is_zero() || mean > SHORT { 1 } else { share.clamp(1, AHEAD) }
            }
        }
    }

    /// Takes note of how long a call took.
    pub fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let mean = self.mean.load(Ordering::Relaxed);
        // A long one counts at once: calls that may be long are not sent ahead.
        let mean = if mean == 0 || time > 4 * mean { time } else { mean - mean / 8 + time / 8 };
        self.mean.store(mean, Ordering::Relaxed);
    }

    /// A runner has no call any more; whether there are more of them than calls can come at once.
    pub fn idles(&self) -> bool {
        let mut queue = self.lock();
        queue.idle += 1;
        queue.waiting.is_empty() && queue.members > self.most + queue.away
    }

    /// A function waits for what it has called, until this is dropped: others may be executed meanwhile,
    /// and what it has called must be.
    pub fn away(self: &Arc<Self>) -> Away {
        self.lock().away += 1;
        self.staff();
        Away(Arc::clone(self))
    }

    /// A runner takes no more calls; whether it had none.
    pub fn leaves(self: &Arc<Self>, idle: bool) {
        {
            let mut queue = self.lock();
            queue.members -= 1;
            queue.idle -= usize::from(idle);
        }
        self.staff();
    }

    /// Has runners ready before there are calls.
    pub fn warm_up(self: &Arc<Self>) {
        self.lock().spares = 1;
        self.staff();
        self.lock().spares = 0;
    }

    /// Starts runners as long as calls wait for more than there are.
    fn staff(self: &Arc<Self>) {
        let mut queue = self.lock();
        while !self.closing.is_cancelled() && self.lacks(&queue) {
            queue.members += 1;
            queue.idle += 1;
            self.tasks.spawn(start(Arc::clone(self)));
        }
    }

    fn lacks(&self, queue: &Queue) -> bool {
        let wanted = queue.waiting.len() + queue.spares;
        match self.isolation {
            Isolation::Shared => wanted > 0 && queue.members == 0,
            // What is ready beforehand is beyond those that have calls.
            _ => queue.idle < wanted && queue.members < self.most + queue.spares + queue.away,
        }
    }

    /// Ends the runner that could not be started, and the call that waits the longest.
    fn cannot_start(self: &Arc<Self>, why: &str) {
        let refused = {
            let mut queue = self.lock();
            // Without a call that wants one, nothing is tried again.
            queue.spares = 0;
            queue.waiting.pop_front()
        };
        self.leaves(true);
        // The function never began: that is ours, not the test's.
        if let Some(request) = refused {
            request.end(OutcomeKind::Lost, Failure::new(kind::CRASHED, why));
        }
    }

    /// Ends all runners: those without a call at once, the others with it.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        if timeout(CLOSE, self.tasks.wait()).await.is_err() {
            tracing::warn!("runners that do not end are killed");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no panic holds it")
    }
}

/// A function that waits for what it has called.
pub struct Away(Arc<Crew>);

impl Drop for Away {
    fn drop(&mut self) {
        self.0.lock().away -= 1;
    }
}

async fn start(crew: Arc<Crew>) {
    match crew.source.runner(crew.isolation).await {
        Ok((process, line)) => Runner::new(crew, process, line).run().await,
        Err(error) => {
            tracing::warn!(%error, "cannot start a runner");
            crew.cannot_start(&error.to_string());
        }
    }
}
