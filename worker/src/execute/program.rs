//! An attempt of an executable. What it prints is shown when it has ended: its output goes through a pipe, as it
//! does for a job.

use std::time::Duration;

use bytes::Bytes;
use rfx_config::process::{Failure, print};
use rfx_schemas::replay::Replay;
use rfx_schemas::rules::Isolation;
use rfx_schemas::trace::TraceContext;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::FOREVER;
use super::find::Found;
use crate::attempt::Ending;
use crate::executable::{Executable, Ran};
use crate::manifest::Declared;
use crate::runner::frames::Call;
use crate::secrets::Secrets;
use crate::sweep::Mark;

/// Runs it to its end; its artifacts are copied into the folder for them.
pub async fn run(
    found: &Found,
    declared: &Declared,
    replay: &Replay,
    secrets: &Secrets,
) -> Result<Ending, Failure> {
    if replay.debug.is_some() {
        let why = format!("{} is an executable, which Python's debuggers cannot stop in", replay.function);
        return Err(Failure::usage(format!("{why}; leave --pdb and --debugpy out")));
    }
    let bin = found.ready.environment.as_ref().and_then(|environment| environment.bin.as_deref());
    let program =
        Executable::find(declared, &found.ready.folder, bin, &Mark::default()).map_err(Failure::usage)?;
    let call = Call {
        kind: "call",
        function: replay.function.as_str(),
        version: Some(found.record.version.as_str()),
        run: replay.run.to_string(),
        flow: &replay.flow,
        step: &replay.step,
        job: replay.job.to_string(),
        attempt: replay.attempt.get(),
        group: replay.group.as_str(),
        queue: replay.queue.as_str(),
        isolation: Isolation::default(),
        deadline: since_epoch() + replay.timeout.as_secs_f64(),
        target: &replay.target,
        secrets: secrets.reveal(),
        traceparent: TraceContext::of_run(replay.run, None).to_string(),
        key: replay.key.as_deref(),
    };
    let input = Bytes::from(replay.input.to_string());
    let (end, never) = (Instant::now() + FOREVER, CancellationToken::new());
    let Ran { ending, artifacts, folder } = program.call(&call, &input, end, &never).await;
    print(&ending.tail)?;
    for artifact in artifacts {
        let to = replay.artifacts.join(artifact.file_name().unwrap_or_default());
        let copied = std::fs::create_dir_all(&replay.artifacts).and_then(|()| std::fs::copy(&artifact, &to));
        copied.map_err(|error| Failure::usage(format!("cannot write {}: {error}", to.display())))?;
        print(&format!("artifact: {}\n", to.display()))?;
    }
    drop(folder);
    Ok(ending)
}

fn since_epoch() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or(Duration::ZERO).as_secs_f64()
}
