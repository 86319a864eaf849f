//! `rfx-worker execute`: a recorded attempt once more, with the terminal as the function's own. Nothing is read
//! from a server, and nothing recorded there.
//!
//! The function runs as it does for a job: Python in the interpreter of its pool, native functions in this
//! process, executables as they are declared. What differs is on purpose: no timeout ends it, its state is a
//! copy, and what it prints is not kept.

mod compare;
mod find;
mod program;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use rfx_config::process::{Failure, print};
use rfx_config::settings;
use rfx_schemas::exit;
use rfx_schemas::outcome::{self, Assertion};
use rfx_schemas::replay::Replay;
use rfx_schemas::verdict::{OutcomeKind, Verdict};
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::Instant;

use crate::attempt::Ending;
use crate::expect::{self, Given};
use crate::native::{Context, Native, Registry};
use crate::runner::sdk;
use crate::secrets::Secrets;
use crate::text::text_of;
use crate::{WorkerError, builtin};
use find::Found;

/// Longer than anybody looks at one attempt.
const FOREVER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Executes an attempt, says how it ended, and compares that with the recorded end.
pub async fn execute(
    settings: &settings::Worker,
    mut registry: Registry,
    file: &Path,
) -> Result<u8, Failure> {
    let replay = read(file)?;
    // A secret that is missing is said now, and not by an outcome that differs.
    let secrets = Secrets::resolve(&replay.secrets, |name| std::env::var(name).ok());
    let secrets = secrets.map_err(|missing| {
        let why = missing.error.map(|error| error.message).unwrap_or_default();
        Failure::usage(why.replace("the worker has", "this environment has").replace("where it runs", "here"))
    })?;
    let ending = match native(&mut registry, &replay) {
        Some(native) => in_process(&native, &replay, &secrets).await,
        None => {
            let found = find::find(settings, &replay).await?;
            compare::say_digest(&replay, &found.record);
            match found.declared() {
                Some(declared) => program::run(&found, declared, &replay, &secrets).await?,
                None if found.ready.manifest.runner.exec.is_some() => {
                    let why = format!("{} is executed by a runner of its pool's own", replay.function);
                    return Err(Failure::usage(format!(
                        "{why}, which only a worker speaks to: use rfx-publish call"
                    )));
                }
                None => match in_python(&found, file).await? {
                    Some(ending) => ending,
                    None => return Ok(exit::INTERRUPTED),
                },
            }
        }
    };
    let ending = secrets.redact(judged(&replay, ending));
    print(&compare::told(&replay, &ending))?;
    Ok(exit::of_verdict(Verdict::of_job(ending.kind, 1)))
}

fn read(file: &Path) -> Result<Replay, Failure> {
    let shown = file.display();
    let text = std::fs::read(file)
        .map_err(|error| Failure::usage(format!("cannot read the attempt from {shown}: {error}")))?;
    serde_json::from_slice(&text)
        .map_err(|error| Failure::usage(format!("{shown} is no attempt that this rfx-worker knows: {error}")))
}

/// The function, if it is in this process.
fn native(registry: &mut Registry, replay: &Replay) -> Option<Native> {
    builtin::add(registry).expect("the names are valid");
    let named = registry.iter().filter(|native| native.about.name == replay.function);
    let fits =
        named.filter(|native| replay.version.as_ref().is_none_or(|wanted| *wanted == native.about.version));
    fits.max_by_key(|native| native.about.version.numbers()).cloned()
}

async fn in_process(native: &Native, replay: &Replay, secrets: &Secrets) -> Ending {
    let mut context = Context::detached();
    context.run = replay.run;
    context.flow.clone_from(&replay.flow);
    context.step.clone_from(&replay.step);
    (context.job, context.attempt) = (replay.job, replay.attempt);
    context.key.clone_from(&replay.key);
    context.target.clone_from(&replay.target);
    context.secrets = secrets.clone();
    // It has all the time that it wants: nothing ends it but itself.
    context.deadline = Instant::now() + FOREVER;
    native.run(context, Bytes::from(replay.input.to_string())).await
}

/// What `rfx.step` writes when the function has ended.
#[derive(Deserialize)]
struct Written {
    /// None when the user has left the debugger.
    kind: Option<OutcomeKind>,
    error: Option<outcome::Failure>,
    assertions: Vec<WrittenAssertion>,
    output: Option<Value>,
}

#[derive(Deserialize)]
struct WrittenAssertion {
    label: String,
    passed: bool,
    expected: Value,
    seen: Value,
    message: Option<String>,
}

/// Runs `rfx.step` with this terminal. None when the user left before the function had ended.
async fn in_python(found: &Found, file: &Path) -> Result<Option<Ending>, Failure> {
    let sdk = sdk::lay_out().map_err(|error| Failure::usage(WorkerError::Sdk(error)))?;
    let result = sdk.path().join("result.json");
    let python = found.python();
    let mut command = Command::new(python);
    command.args(["-m", "rfx.step", "--pool"]).arg(&found.ready.folder);
    command.arg("--version").arg(found.record.version.as_str());
    command.arg("--result").arg(&result).arg(file);
    let before = std::env::var_os("PYTHONPATH").filter(|path| !path.is_empty());
    let path = std::env::join_paths(
        std::iter::once(sdk.path().to_owned()).chain(before.iter().flat_map(std::env::split_paths)),
    );
    command.env("PYTHONPATH", path.unwrap_or_else(|_| sdk.path().into())).env("PYTHONUNBUFFERED", "1");
    let ended = command.status().await.map_err(|error| {
        Failure::usage(format!("cannot start {python}: {error}; --python PATH names another one"))
    })?;
    let Ok(text) = std::fs::read(&result) else {
        // It has said itself what is missing.
        if ended.code() == Some(i32::from(exit::USAGE)) {
            return Err(Failure::rendered(exit::USAGE, ""));
        }
        let message = format!("the process that ran the function ended without an answer: {ended}");
        let failure = outcome::Failure::new(outcome::kind::CRASHED, message);
        return Ok(Some(Ending::failed(OutcomeKind::Error, failure)));
    };
    let written: Written = serde_json::from_slice(&text).map_err(Failure::bug)?;
    let Some(kind) = written.kind else { return Ok(None) };
    let assertion = |a: WrittenAssertion| Assertion {
        label: a.label,
        passed: a.passed,
        expected: text_of(a.expected),
        seen: text_of(a.seen),
        message: a.message.filter(|message| !message.is_empty()),
    };
    Ok(Some(Ending {
        error: written.error,
        output: written.output.map(|output| Bytes::from(output.to_string())),
        assertions: written.assertions.into_iter().map(assertion).collect(),
        ..Ending::of(kind)
    }))
}

/// The ending as the step judges it: what it polls for and expects, and how it is meant to fail.
fn judged(replay: &Replay, ending: Ending) -> Ending {
    let given = Given { scope: replay.scope.as_ref(), item: replay.item.as_ref(), index: replay.index };
    let ending = expect::by_step(&replay.until, &replay.expect, &given, ending);
    match replay.expect_failure {
        Some(rule) => expect::failure(rule, ending),
        None => ending,
    }
}
