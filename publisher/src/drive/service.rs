//! Who serves a run's steps: steps whose jobs wait for a worker that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use rfx_flow::Standing;
use rfx_report::Recorder;
use rfx_schemas::id::JobId;
use rfx_schemas::name::{Function, Group, Queue};
use rfx_schemas::outcome::{Failure, kind};
use rfx_schemas::plan::Call;
use rfx_schemas::record::{FunctionRecord, Presence, Role};
use rfx_schemas::subject::JobSubject;
use rfx_schemas::topology::Bucket;
use rfx_schemas::verdict::OutcomeKind;
use rfx_transport::{Transport, TransportError};
use tokio::time::{Instant, sleep_until};

use super::publish::outcome;
use super::{DriveError, Driver};

/// When a step that has jobs out is first looked at: a user is told within 2 s.
const SOON: Duration = Duration::from_secs(1);
/// How often afterwards.
const OFTEN: Duration = Duration::from_secs(5);

/// A step that nobody serves now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unserved {
    /// Its position in the plan; of calls, that of the first behind it.
    pub step: usize,
    /// Its path, `steps.device`.
    pub path: String,
    /// What it needs.
    pub function: Function,
    /// Where.
    pub group: Group,
    /// In which lane.
    pub queue: Queue,
    /// Whether the group has live workers, which do not serve the function or the lane.
    pub group_is_up: bool,
    /// Whether its queue timeout has passed.
    pub expired: bool,
}

impl std::fmt::Display for Unserved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, function, group, queue, .. } = self;
        match self.group_is_up {
            true => write!(f, "{path} waits: no worker of group {group} serves {function} on queue {queue}"),
            false => write!(f, "{path} waits: no worker of group {group} is up (it needs {function})"),
        }
    }
}

type Looking = Pin<Box<dyn Future<Output = Result<Vec<Unserved>, TransportError>> + Send>>;

/// Watches who serves the steps of one run.
pub(super) struct Service {
    transport: Transport,
    next: Instant,
    /// The look that is under way; kept, since the driver's loop turns many times meanwhile.
    look: Option<Looking>,
    /// Steps nobody serves, and since when.
    since: BTreeMap<usize, Instant>,
}

impl Service {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, next: Instant::now() + SOON, look: None, since: BTreeMap::new() }
    }

    /// Waits for the time to look, looks, and gives the steps that nobody serves. Safe to cancel.
    pub(super) async fn watch(&mut self, recorder: &Recorder) -> Vec<Unserved> {
        loop {
            if self.look.is_none() {
                sleep_until(self.next).await;
                self.look = Some(Box::pin(look(self.transport.clone(), waiting(recorder))));
            }
            let Some(looking) = &mut self.look else { continue };
            let found = looking.await;
            self.look = None;
            self.next = Instant::now() + OFTEN;
            match found {
                Ok(unserved) if unserved.is_empty() && self.since.is_empty() => {}
                Ok(mut unserved) => {
                    self.mark(recorder, &mut unserved);
                    return unserved;
                }
                Err(error) => tracing::debug!(%error, "could not look who is up"),
            }
        }
    }

    fn mark(&mut self, recorder: &Recorder, unserved: &mut [Unserved]) {
        let steps: BTreeSet<_> = unserved.iter().map(|u| u.step).collect();
        self.since.retain(|step, _| steps.contains(step));
        for step in unserved {
            let since = *self.since.entry(step.step).or_insert_with(Instant::now);
            let call = recorder.state().call_of(JobId { step: number(step.step), item: 0 });
            step.expired = since.elapsed() >= call.map_or(Duration::MAX, |call| call.queue_timeout);
        }
    }
}

/// The steps that have jobs out.
fn waiting(recorder: &Recorder) -> Vec<Unserved> {
    let state = recorder.state();
    let out =
        state.steps().iter().zip(&state.plan().steps).enumerate().filter(|(_, (s, _))| s.outstanding > 0);
    let unserved = |step: usize, call: &Call| Unserved {
        step,
        path: state.path(step),
        function: call.uses.clone(),
        group: call.group.clone(),
        queue: call.queue.clone(),
        group_is_up: false,
        expired: false,
    };
    let steps = out.filter_map(|(step, (_, planned))| Some(unserved(step, planned.call()?)));
    // Calls of the same function in the same lane wait for the same worker: the first tells of all.
    let mut calls: BTreeMap<_, usize> = BTreeMap::new();
    for (at, child) in state.children().iter().enumerate() {
        if child.job().standing == Standing::Released {
            calls.entry(same(child.call())).or_insert(at);
        }
    }
    let of_calls = calls.into_values().map(|at| {
        let step = state.child_id(at).step as usize;
        unserved(step, state.children()[at].call())
    });
    steps.chain(of_calls).collect()
}

/// What calls have in common that wait for the same worker.
fn same(call: &Call) -> (&Function, &Group, &Queue) {
    (&call.uses, &call.group, &call.queue)
}

fn number(step: usize) -> u32 {
    u32::try_from(step).expect("plans stay below 2^32 steps and calls")
}

/// Those of the steps that nobody serves.
async fn look(transport: Transport, waiting: Vec<Unserved>) -> Result<Vec<Unserved>, TransportError> {
    if waiting.is_empty() {
        return Ok(waiting);
    }
    let up: Vec<Presence> = transport.kv_list(Bucket::Presence, "worker.>").await?;
    let functions: Vec<FunctionRecord> = transport.kv_list(Bucket::Functions, ">").await?;
    let unserved = waiting.into_iter().filter_map(|step| {
        let of_group = |p: &&Presence| p.role == Role::Worker && p.group.as_ref() == Some(&step.group);
        let group_is_up = up.iter().any(|p| of_group(&p));
        let lane = up.iter().filter(of_group).any(|p| p.slots.contains_key(&step.queue));
        let known = functions.iter().any(|f| f.name == step.function && f.group == step.group);
        (!lane || !known).then_some(Unserved { group_is_up, ..step })
    });
    Ok(unserved.collect())
}

impl Driver {
    /// Records that what nobody serves is lost, once its queue timeout has passed.
    pub(super) async fn give_up_unserved(&mut self, unserved: &[Unserved]) -> Result<(), DriveError> {
        for step in unserved.iter().filter(|u| u.expired) {
            let open = self
                .recorder
                .state()
                .unsettled(false)
                .into_iter()
                .chain(self.recorder.state().unsettled(true));
            let state = self.recorder.state();
            let waits = |job: JobId| {
                let alike = || {
                    let child = state.child(job)?;
                    Some(same(child.call()) == (&step.function, &step.group, &step.queue))
                };
                let call = step.step >= state.plan().steps.len();
                if call { alike().unwrap_or(false) } else { job.step as usize == step.step }
            };
            let mine: Vec<_> = open.filter(|(job, _)| waits(*job)).collect();
            for (job, attempt) in mine.into_iter().filter(|(job, _)| self.recorder.state().is_released(*job))
            {
                let Unserved { group, queue, function, .. } = step.clone();
                let waiting = JobSubject { group, queue, function, run: self.run(), job, attempt };
                self.transport.purge_job(&waiting).await?;
                let failure = Failure::new(kind::NO_WORKER, step.to_string());
                let lost = outcome(
                    &self.recorder,
                    &self.transport,
                    (job, attempt),
                    None,
                    OutcomeKind::Lost,
                    failure,
                );
                self.outbox.record(&self.recorder, lost);
            }
        }
        Ok(())
    }
}
