//! What all attempts of a worker share.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use rfx_config::telemetry::Spans;
use rfx_schemas::id::RunId;
use rfx_schemas::name::{Function, Group, Member, Queue, Version};
use rfx_transport::Transport;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::served::{Functions, Served};

/// A worker's surroundings.
pub struct Site {
    /// The connection.
    pub transport: Transport,
    /// The group that it pulls for.
    pub group: Group,
    /// What it calls itself.
    pub member: Member,
    /// What it serves. Held to look something up only, so that it can be replaced at any time.
    pub functions: RwLock<Functions>,
    /// Where attempts' spans go.
    pub spans: Spans,
    /// How long a delivery is its own without a heartbeat.
    pub ack_wait: Duration,
    /// Above this many deliveries an attempt is poison.
    pub max_deliveries: u64,
    /// While draining, acks are checked: the connection closes right after.
    pub draining: AtomicBool,
    /// Runs with attempts here, to be stopped when they are cancelled.
    pub running: Running,
    /// How many lanes it has. Their slots are apart, but its runners serve them all.
    pub lanes: usize,
    /// Which of its lanes admit few jobs at once, as far as known.
    pub limits: Limits,
}

/// What was last seen of a lane's limit, and when: an operator may change it.
pub type Limits = Mutex<HashMap<Queue, (Instant, bool)>>;

/// How long that holds.
const LIMIT_SEEN: Duration = Duration::from_secs(60);

impl Site {
    /// A function that is served now: of the version that is wanted, else the newest.
    pub fn find(&self, name: &Function, version: Option<&Version>) -> Option<Arc<Served>> {
        self.functions.read().expect("no panic holds it").find(name, version)
    }

    /// Whether attempts of a function may be begun beyond the slots of their lane, since something else
    /// bounds how many are executed at once.
    pub fn bounds(&self, name: &Function) -> bool {
        self.lanes == 1 && self.functions.read().expect("no panic holds it").is_bounded(name)
    }

    /// Why there is no such function here.
    pub fn why_not(&self, name: &Function, version: Option<&Version>) -> String {
        self.functions.read().expect("no panic holds it").why_not(name, version)
    }

    /// Serves other functions from now on. What an attempt has found already stays as it was.
    pub fn serve(&self, functions: Functions) {
        let before = std::mem::replace(&mut *self.functions.write().expect("no panic holds it"), functions);
        // Not under the lock: there may be many.
        drop(before);
    }

    /// Whether a lane admits few jobs at once. One that cannot be asked for counts as one that does not.
    pub async fn is_limited(&self, queue: &Queue) -> bool {
        let seen = self.limits.lock().expect("no panic holds it").get(queue).copied();
        if let Some((_, limited)) = seen.filter(|(at, _)| at.elapsed() < LIMIT_SEEN) {
            return limited;
        }
        let limited = match self.transport.lane_is_limited(&self.group, queue).await {
            Ok(limited) => limited,
            Err(error) => {
                tracing::debug!(%error, %queue, "could not ask for the limit of a lane");
                return false;
            }
        };
        self.limits.lock().expect("no panic holds it").insert(queue.clone(), (Instant::now(), limited));
        limited
    }
}

/// Runs with attempts under way, each with the token that stops them.
#[derive(Default)]
pub struct Running {
    runs: Mutex<HashMap<RunId, (CancellationToken, usize)>>,
    /// Runs cancelled of late: what was held for them starts after the word of it came.
    cancelled: Mutex<VecDeque<RunId>>,
}

/// Cancelled runs remembered. What is held starts within moments.
const REMEMBERED: usize = 64;

/// An attempt's place among the running; leaves it when dropped.
pub struct Place<'a> {
    running: &'a Running,
    run: RunId,
    /// Cancelled when the run is.
    pub token: CancellationToken,
}

impl Running {
    /// Enters an attempt of a run.
    pub fn enter(&self, run: RunId) -> Place<'_> {
        let cancelled = self.cancelled.lock().expect("no panic holds it").contains(&run);
        let mut runs = self.runs.lock().expect("no panic holds it");
        let (token, count) = runs.entry(run).or_default();
        *count += 1;
        if cancelled {
            token.cancel();
        }
        Place { running: self, run, token: token.clone() }
    }

    /// Stops what runs for a run, except its teardown, which takes no token.
    pub fn cancel(&self, run: RunId) {
        let mut cancelled = self.cancelled.lock().expect("no panic holds it");
        cancelled.push_back(run);
        let over = cancelled.len().saturating_sub(REMEMBERED);
        cancelled.drain(..over);
        drop(cancelled);
        if let Some((token, _)) = self.runs.lock().expect("no panic holds it").get(&run) {
            token.cancel();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut runs = self.running.runs.lock().expect("no panic holds it");
        if let Some((_, count)) = runs.get_mut(&self.run) {
            *count -= 1;
            if *count == 0 {
                runs.remove(&self.run);
            }
        }
    }
}
