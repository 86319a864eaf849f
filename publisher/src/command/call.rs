//! `call`: one function as a run of one job. Its output, and nothing else, goes to stdout.

use std::io::{Read as _, Write as _};

use rfx_config::process::{Failure, print};
use rfx_flow::diagnostic::{Problem, Problems, Source};
use rfx_flow::input::Input;
use rfx_flow::model::Place;
use rfx_publisher::call::{Call, OUTPUT};
use rfx_publisher::submit::{Choices, SubmitError, ci_trace, submit};
use rfx_schemas::exit;
use rfx_schemas::fact::Finished;
use rfx_schemas::id::RunId;
use rfx_schemas::record::parse_use;
use rfx_transport::Transport;
use serde_json::Value;

use super::plan::{load_catalogue, pairs};
use super::run::{Watch, follow, prepare_report, require_workers};
use super::{Desk, submit_failure};
use crate::args::CallArgs;

/// Calls a function, waits for it, and prints what it gave back.
pub async fn call(desk: Desk, args: CallArgs) -> Result<u8, Failure> {
    let (name, version) = parse_use(&args.function).map_err(Failure::usage)?;
    let target = pairs("--target", &args.target)?;
    let (secrets, timeout) = (args.secret.clone(), args.timeout.clone());
    let call = Call { name, version, secrets, timeout, target };
    let given = args.input.as_deref().map(read_input).transpose()?;
    let choices = Choices { places: places(&args)?, pools: args.pool.clone(), ..Choices::default() };
    let transport = desk.connect().await?;
    let catalogue = load_catalogue(&desk, &transport).await?;
    let schema = call.schema(&catalogue, &args.pool).map_err(Failure::usage)?;
    let input = bind(&args, given, schema.as_ref()).map_err(|p| submit_failure(SubmitError::Problems(p)))?;
    let prepared = call.prepare(input, choices, &catalogue).map_err(submit_failure)?;
    if args.require_workers {
        require_workers(&prepared.plan, &catalogue)?;
    }
    let report = prepare_report(&desk, args.report)?;
    let loaded = submit(&transport, prepared, ci_trace()).await.map_err(Failure::unavailable)?;
    let run = loaded.submitted.run;
    if !args.quiet {
        drop(writeln!(std::io::stderr(), "run {run}"));
    }
    let watch = Watch { report, quiet: args.quiet, first: true, aside: true };
    let (code, finished) = follow(desk, &transport, loaded, watch).await?;
    if let Some(finished) = finished.filter(|_| code == exit::PASSED) {
        print(&format!("{}\n", output(&transport, run, finished).await?))?;
    }
    transport.close().await;
    Ok(code)
}

/// The text of `--input`, with the name that problems in it are shown under.
fn read_input(given: &str) -> Result<Source, Failure> {
    match (given, given.strip_prefix('@')) {
        ("-", _) => {
            let mut text = String::new();
            let read = std::io::stdin().lock().read_to_string(&mut text);
            read.map_err(|error| Failure::usage(format!("cannot read the input from stdin: {error}")))?;
            Ok(Source::new("stdin", &text))
        }
        (_, Some(path)) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("cannot read the input from {path}: {error}")))?;
            Ok(Source::new(path, &text))
        }
        (text, None) => Ok(Source::new("--input", text)),
    }
}

/// The input, checked as far as the function's schema is known.
fn bind(args: &CallArgs, given: Option<Source>, schema: Option<&Value>) -> Result<Input, Problems> {
    let mut input = match given {
        Some(source) => Input::parse(&source).map_err(Problems::one)?,
        None => Input::empty(&format!("rfx-publish call {}", args.function)),
    };
    let any = Value::Null;
    let schema = schema.unwrap_or(&any);
    let set = |text: &String| input.set(text, schema).err();
    let wrong: Vec<Problem> = args.set.iter().filter_map(set).collect();
    Problems::from_list(wrong)?;
    input.check(&args.function, schema)?;
    Ok(input)
}

fn places(args: &CallArgs) -> Result<Vec<(Option<String>, Place)>, Failure> {
    let parse = |option: &str, text: &str, labels: String| {
        let place: Result<Place, _> = labels.parse();
        place.map_err(|error| Failure::usage(format!("{option} {text}: {error}")))
    };
    let labels = args.places.iter().map(|text| parse("--where", text, text.clone()));
    let group = args.group.iter().map(|name| parse("--group", name, format!("group={name}")));
    labels.chain(group).map(|place| Ok((None, place?))).collect()
}

/// What the function gave back, as JSON text.
async fn output(transport: &Transport, run: RunId, finished: Finished) -> Result<String, Failure> {
    let Some(outputs) = finished.outputs else { return Ok(Value::Null.to_string()) };
    let outputs = transport.load(run, &outputs).await.map_err(Failure::unavailable)?;
    let outputs: Value = outputs.parse().map_err(Failure::usage)?;
    Ok(outputs.get(OUTPUT).unwrap_or(&Value::Null).to_string())
}
