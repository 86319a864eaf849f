//! `step`: step inside a recorded attempt. It is executed here, by a worker's program with this terminal, as it
//! was: function, input, target, and a copy of the state that it saw. The server is only read.

mod look;
mod pick;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use rfx_config::process::{Failure, print};
use rfx_publisher::find::{self, find};
use rfx_schemas::exit;
use rfx_schemas::id::Attempt;
use rfx_schemas::replay::{Debug, Replay};
use serde_json::Value;

use super::{Desk, find_failure, pool, runs, scaffold};
use crate::args::StepArgs;

/// Executes an attempt once more.
pub async fn step(desk: Desk, args: StepArgs) -> Result<u8, Failure> {
    let given = args.input.as_ref().map(read_input).transpose()?;
    let transport = desk.connect().await?;
    let run = find(&transport, &args.run).await.map_err(find_failure)?;
    let load = || async { find::load(&transport, run).await.map_err(find_failure) };
    let report = runs::fold(&transport, load().await?).await?.report(rfx_schemas::stamp::Stamp::now());
    let job = pick::job(&report, &args.job).map_err(Failure::usage)?;
    let attempt = pick::attempt(&report, job, args.attempt).map_err(Failure::usage)?;
    let (mut replay, refused) = look::replay(&transport, load().await?, job, attempt).await?;
    transport.close().await;
    if let Some(given) = given {
        replay.input = given;
    } else if let Some(why) = refused {
        let help = "--input FILE gives it another one";
        return Err(Failure::usage(format!("job {job} had no input: {why}; {help}")));
    }
    if args.print_input {
        print(&format!("{:#}\n", replay.input))?;
        return Ok(exit::PASSED);
    }
    replay.artifacts = std::path::absolute(&args.artifacts).unwrap_or(args.artifacts.clone());
    replay.debug = args.debugpy.map(Debug::Debugpy).or(args.pdb.then_some(Debug::Pdb));
    announce(&replay, attempt);
    execute(&desk, &args, &replay)
}

fn read_input(path: &PathBuf) -> Result<Value, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read the input from {shown}: {error}")))?;
    let input: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("{shown} is not JSON: {error}")))?;
    if input.is_object() {
        return Ok(input);
    }
    Err(Failure::usage(format!("{shown}: an input is a JSON object; --print-input shows the recorded one")))
}

/// Says what is executed, to the user of the terminal.
fn announce(replay: &Replay, attempt: Attempt) {
    let key = replay.key.as_deref().map(|key| format!("[{key}]")).unwrap_or_default();
    let version = replay.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    let (step, job, function) = (&replay.step, replay.job, &replay.function);
    let text =
        format!("{step}{key} (job {job}, attempt {attempt}) of run {}: {function}{version}", replay.run);
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// Runs a worker's program over the attempt. Its exit code is ours.
fn execute(desk: &Desk, args: &StepArgs, replay: &Replay) -> Result<u8, Failure> {
    let text = serde_json::to_vec_pretty(replay).expect("a replay has string keys");
    // The input may be nobody else's business: such a file is the user's own, and goes with this process.
    let file = tempfile::Builder::new().prefix("rfx-step-").suffix(".json").tempfile();
    let written = file.and_then(|mut file| file.write_all(&text).map(|()| file));
    let file = written.map_err(|error| Failure::usage(format!("cannot write a temporary file: {error}")))?;
    let mut command = Command::new(pool::worker());
    command.arg("execute").arg(file.path());
    let pools = match (args.pool.is_empty(), desk.settings.worker.pools.is_empty()) {
        (false, _) => args.pool.clone(),
        (true, false) => desk.settings.worker.pools.clone(),
        (true, true) => scaffold::nearest_pool().into_iter().collect(),
    };
    for pool in pools {
        command.arg("--pool").arg(pool);
    }
    command.arg("--python").arg(args.python.as_ref().unwrap_or(&desk.settings.worker.python));
    // Ctrl-C goes to both of us, and is the other's: this process only waits.
    let ended = command.status().map_err(|error| {
        Failure::usage(format!("step needs rfx-worker beside rfx-publish or on PATH: {error}"))
    })?;
    Ok(code(ended))
}

fn code(ended: ExitStatus) -> u8 {
    ended.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::INTERRUPTED)
}
