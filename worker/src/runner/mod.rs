//! The pools of functions that are executed in child processes: their runners, and the calls to them.

pub mod capture;
mod crew;
mod ending;
pub mod frames;
pub mod hello;
mod line;
mod memory;
mod process;
mod recipe;
#[expect(clippy::module_inception, reason = "a pool has runners; this is one of them")]
mod runner;
pub mod sdk;
mod source;
mod stop;
mod zygote;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rfx_schemas::outcome::{Failure, kind};
use rfx_schemas::rules::Isolation;
use rfx_schemas::verdict::OutcomeKind;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::attempt::Ending;
use crate::desk::Desk;
use crate::manifest;
use crate::sweep::Mark;
use crew::{Crew, Request};
use frames::Call;
use hello::Hello;
pub use process::{StartError, sweep_aside};
pub use recipe::{Program, Recipe};
use source::Source;

/// Calls after which a runner is replaced, unless its pool says otherwise.
const MAX_JOBS: u64 = 10_000;
/// Bytes by which the memory of a runner may grow before it is replaced.
const GROWTH: u64 = 256 << 20;

/// How long one may take to say what its pool offers, unless its pool says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long after its last moment a call is waited for.
const GIVEN_UP: Duration = Duration::from_secs(10);

/// What a runner may use, and when it is worn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls after which it is replaced.
    pub max_jobs: u64,
    /// Bytes of memory that it may use with all that it started; none does not look.
    pub memory: Option<u64>,
    /// Bytes by which its memory may grow before it is replaced.
    pub growth: u64,
    /// Whether it is a program of the pool's own. Those get one call at a time, since they need not give any
    /// back, and what they answer is looked at.
    pub own: bool,
}

impl Limits {
    /// Those that a pool's manifest asks for.
    pub fn of(manifest: &manifest::Limits) -> Self {
        let manifest::Limits { max_jobs, memory } = *manifest;
        Self { max_jobs: max_jobs.unwrap_or(MAX_JOBS), memory, growth: GROWTH, own: false }
    }
}

/// A pool with its runners. In each isolation there are never more of them than slots, but for those whose
/// functions wait for what they have called.
pub struct Pool {
    source: Arc<Source>,
    warm: Arc<Crew>,
    fresh: Arc<Crew>,
    shared: Arc<Crew>,
    /// Whether its runners take many calls at once.
    shares: bool,
}

impl Pool {
    /// Starts a pool; what it holds comes with it.
    pub async fn open(
        recipe: Recipe,
        mark: Mark,
        most: usize,
        limits: Limits,
    ) -> Result<(Self, Hello), StartError> {
        let limits = Limits { own: recipe.is_own(), ..limits };
        let (source, hello) = Source::open(recipe, mark).await?;
        let shares = !limits.own || hello.shared;
        let source = Arc::new(source);
        let crew = |isolation, alone| Arc::new(Crew::new(isolation, most.max(1), limits, &source, alone));
        let fresh = crew(Isolation::Fresh, None);
        let shared = crew(Isolation::Shared, Some(Arc::clone(&fresh)));
        let warm = crew(Isolation::Warm, None);
        Ok((Self { source, warm, fresh, shared, shares }, hello))
    }

    /// Has a runner ready before the first call.
    pub fn warm_up(&self) {
        self.warm.warm_up();
    }

    /// How a call is executed that wants this isolation: one that no runner has is nothing to fail for.
    pub fn isolation(&self, wanted: Isolation) -> Isolation {
        match wanted {
            Isolation::Shared if !self.shares => Isolation::Warm,
            wanted => wanted,
        }
    }

    /// Runs one call to its end, whatever that is: at most for as long as its timeout says, from its
    /// begin, and in any case until the run's deadline.
    pub async fn call(
        &self,
        call: &Call<'_>,
        input: Bytes,
        (timeout, last): (Duration, Instant),
        cancel: CancellationToken,
        desk: Arc<Desk>,
    ) -> Ending {
        let header = call.header();
        if let Err(why) = frames::check_size(&header, &input) {
            return Ending::failed(OutcomeKind::Error, Failure::new("InputError", why));
        }
        let crew = match call.isolation {
            Isolation::Warm => &self.warm,
            Isolation::Fresh => &self.fresh,
            Isolation::Shared => &self.shared,
        };
        let (answer, ending) = oneshot::channel();
        crew.submit(Request { header, input, timeout, last, cancel: cancel.clone(), desk, answer });
        let lost = |what: &str, message: &str| Ending::failed(OutcomeKind::Lost, Failure::new(what, message));
        // Who has the call stops it in time; these are for a call that nobody takes.
        let given_up = async {
            cancel.cancelled().await;
            sleep(GIVEN_UP).await;
        };
        tokio::select! {
            biased;
            ending = ending => ending
                .unwrap_or_else(|_| lost(kind::CRASHED, "the worker ended before the function did")),
            () = sleep_until(last + GIVEN_UP) => lost(kind::DEADLINE, "the run's deadline passed"),
            () = given_up => {
                let failure = Failure::new(kind::CANCELLED, "the run was cancelled");
                Ending::failed(OutcomeKind::Cancelled, failure)
            }
        }
    }

    /// Ends all runners.
    pub async fn close(&self) {
        tokio::join!(self.warm.close(), self.fresh.close(), self.shared.close());
        self.source.close().await;
    }
}
