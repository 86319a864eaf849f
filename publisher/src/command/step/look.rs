//! What an attempt was called with: from its outcome, else by folding the run's facts up to where it ended, and
//! making its input once more.

use std::path::PathBuf;
use std::sync::Arc;

use rfx_config::process::Failure;
use rfx_flow::{Release, ReleasedJob, RunState};
use rfx_publisher::drive::load_outputs;
use rfx_schemas::fact::Fact;
use rfx_schemas::id::{Attempt, JobId, RunId};
use rfx_schemas::outcome::{Outcome, StateRead};
use rfx_schemas::payload::Payload;
use rfx_schemas::replay::{Recorded, Replay, Seen};
use rfx_transport::Transport;
use rfx_transport::facts::Scope;
use rfx_transport::run::Loaded;
use serde_json::Value;

/// An attempt at the moment before its end was recorded.
struct Moment {
    state: RunState,
    outcome: Option<Outcome>,
}

/// The attempt, ready to be executed again. With it why it had no input, if it had none.
pub async fn replay(
    transport: &Transport,
    loaded: Loaded,
    job: JobId,
    attempt: Attempt,
) -> Result<(Replay, Option<String>), Failure> {
    let mut moment = fold(transport, loaded, job, attempt).await?;
    let (made, refused) = match moment.state.remake(job) {
        Some(Release::Publish(made)) => (Some(made), None),
        Some(Release::Refuse(refusal)) => (None, Some(refusal.failure.message)),
        None => (None, Some("its turn has not come, or its input cannot be made any more".to_owned())),
    };
    let run = moment.state.run();
    let (recorded, state) = match moment.outcome.take() {
        Some(outcome) => {
            let input = value(transport, run, outcome.input.as_ref()).await?;
            let state = seen(transport, run, &outcome.state).await?;
            let output = value(transport, run, outcome.output.as_ref()).await?;
            let Outcome { kind, error, digest, .. } = outcome;
            (Some((Recorded { kind, error, output, digest }, input)), state)
        }
        None => (None, Vec::new()),
    };
    let (recorded, input) = recorded.unzip();
    let input = input.flatten().or_else(|| made.as_ref().and_then(|made| made.input.parse().ok()));
    let refused = refused.filter(|_| input.is_none());
    let replay = of_plan(&moment.state, job, attempt, made)?;
    Ok((Replay { input: input.unwrap_or_default(), state, recorded, ..replay }, refused))
}

/// What the plan and the moment say of it.
fn of_plan(
    state: &RunState,
    job: JobId,
    attempt: Attempt,
    made: Option<ReleasedJob>,
) -> Result<Replay, Failure> {
    let (plan, step) = (state.plan(), job.step as usize);
    let call = plan.steps.get(step).and_then(|planned| planned.call()).ok_or_else(|| {
        Failure::usage(format!("job {job} is none of a step of the flow; step into the job that called it"))
    })?;
    let key = made.as_ref().and_then(|made| made.key.clone());
    let (item, index) = match &made {
        Some(made) => (made.item.as_ref().and_then(|item| item.parse().ok()), made.index),
        None => (None, job.item),
    };
    Ok(Replay {
        run: state.run(),
        flow: plan.flow.clone(),
        step: plan.path(step),
        job,
        attempt,
        key,
        function: call.uses.clone(),
        version: call.version.clone(),
        group: call.group.clone(),
        queue: call.queue.clone(),
        target: plan.target.clone(),
        secrets: call.secrets.clone(),
        timeout: call.timeout,
        input: Value::Null,
        expect: plan.steps[step].expect.clone(),
        until: call.until.as_ref().map(|until| until.expect.clone()).unwrap_or_default(),
        expect_failure: call.expect_failure,
        scope: made.and_then(|made| state.expect_scope(step, made.frame)),
        item,
        index,
        state: Vec::new(),
        artifacts: PathBuf::new(),
        debug: None,
        recorded: None,
    })
}

async fn value(
    transport: &Transport,
    run: RunId,
    payload: Option<&Payload>,
) -> Result<Option<Value>, Failure> {
    let Some(payload) = payload else { return Ok(None) };
    let json = transport.load(run, payload).await.map_err(Failure::unavailable)?;
    json.parse().map(Some).map_err(Failure::usage)
}

async fn seen(transport: &Transport, run: RunId, reads: &[StateRead]) -> Result<Vec<Seen>, Failure> {
    let mut all = Vec::new();
    for read in reads {
        let value = value(transport, run, read.value.as_ref()).await?;
        all.push(Seen { key: read.key.clone(), scope: read.scope, revision: read.revision, value });
    }
    Ok(all)
}

/// Folds facts as drivers do, until the attempt's end comes, or what is recorded so far is folded.
async fn fold(
    transport: &Transport,
    loaded: Loaded,
    job: JobId,
    attempt: Attempt,
) -> Result<Moment, Failure> {
    let Loaded { submitted, sequence, at, plan, data } = loaded;
    let mut state = RunState::new(submitted.run, Arc::new(plan), data, at).map_err(Failure::usage)?;
    let mut reader = transport.facts(Scope::Run(submitted.run), transport.member(), sequence);
    let mut entries = Vec::new();
    loop {
        reader.read(&mut entries).await.map_err(Failure::unavailable)?;
        let caught_up = entries.last().is_some_and(|entry| entry.pending == 0);
        for entry in entries.drain(..) {
            let Ok(mut fact) = entry.fact else { continue };
            if let Fact::Ended(ended) = &fact
                && let Some(outcome) = ended.outcomes.iter().find(|o| o.job == job && o.attempt == attempt)
            {
                return Ok(Moment { state, outcome: Some(outcome.clone()) });
            }
            load_outputs(transport, &state, &mut fact).await.map_err(Failure::unavailable)?;
            state.apply(&fact, entry.at);
        }
        if caught_up {
            return Ok(Moment { state, outcome: None });
        }
    }
}
