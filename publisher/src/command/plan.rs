//! `check` and `plan`: what a flow comes to, without running it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use comfy_table::Table;
use rfx_config::process::{Failure, print};
use rfx_flow::model::Place;
use rfx_flow::{Catalogue, Choice, Chosen};
use rfx_publisher::catalogue;
use rfx_publisher::submit::{Choices, Prepared, prepare, read_flow};
use rfx_schemas::exit;
use rfx_schemas::plan::Plan;
use rfx_transport::Transport;

use super::{Desk, submit_failure};
use crate::args::{LookArgs, PlanArgs};

/// Checks a flow.
pub async fn check(desk: Desk, args: LookArgs) -> Result<u8, Failure> {
    let prepared = plan(&desk, &args).await?;
    let plan = &prepared.plan;
    print(&format!("{}: {} steps, {}, all right\n", args.plan.flow.display(), plan.steps.len(), jobs(plan)))?;
    Ok(exit::PASSED)
}

/// Shows a flow's jobs.
pub async fn show(desk: Desk, args: LookArgs) -> Result<u8, Failure> {
    let prepared = plan(&desk, &args).await?;
    let plan = &prepared.plan;
    let mut text = format!("{}: {}\n", plan.flow, jobs(plan));
    if !plan.description.is_empty() {
        text.push_str(&format!("{}\n", plan.description));
    }
    text.push_str(&format!("{}\n", table(plan)));
    print(&text)?;
    Ok(exit::PASSED)
}

async fn plan(desk: &Desk, args: &LookArgs) -> Result<Prepared, Failure> {
    // What is wrong in the file itself is said without a server.
    let checked = read_flow(&args.plan.flow).map_err(submit_failure)?;
    let choices = choices(&args.plan)?;
    let fallback = desk.settings.publisher.group.clone();
    let catalogue = if !args.plan.pool.is_empty() {
        super::pool::catalogue(&args.plan.pool, &fallback)?
    } else if args.offline {
        Catalogue { functions: Vec::new(), groups: Vec::new(), fallback, complete: false, broken: Vec::new() }
    } else {
        let transport = desk.connect().await?;
        load_catalogue(desk, &transport).await?
    };
    prepare(&checked, &args.plan.flow, &choices, &catalogue).map_err(submit_failure)
}

/// The catalogue of a server that may never have seen rfx before.
pub async fn load_catalogue(desk: &Desk, transport: &Transport) -> Result<Catalogue, Failure> {
    transport.ensure().await.map_err(Failure::unavailable)?;
    catalogue::load(transport, &desk.settings.publisher.group).await.map_err(Failure::unavailable)
}

/// What the flags say about a run.
pub fn choices(args: &PlanArgs) -> Result<Choices, Failure> {
    let mut places = Vec::new();
    for text in &args.places {
        // A label has no colon before its first `=`, a step's name has one behind it.
        let before = text.split_once('=').map_or(text.as_str(), |(before, _)| before);
        let (step, labels) = match before.split_once(':') {
            Some((step, _)) => (Some(step.to_owned()), &text[step.len() + 1..]),
            None => (None, text.as_str()),
        };
        let place = labels.parse().map_err(|error| Failure::usage(format!("--where {text}: {error}")))?;
        places.push((step, place));
    }
    Ok(Choices {
        inputs: pairs("--input", &args.input)?,
        target: pairs("--target", &args.target)?,
        data: pairs("--data", &args.data)?
            .into_iter()
            .map(|(name, file)| (name, PathBuf::from(file)))
            .collect(),
        places,
        each_group: match args.each_group.as_deref() {
            None => None,
            Some("") => Some(Place::default()),
            Some(text) => {
                Some(text.parse().map_err(|error| Failure::usage(format!("--each-group {text}: {error}")))?)
            }
        },
        choice: Choice { only: chosen(&args.only), skip: chosen(&args.skip) },
        pools: args.pool.clone(),
    })
}

fn chosen(texts: &[String]) -> Vec<Chosen> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn pairs(option: &str, texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Failure::usage(format!("{option} {text}: write it as {option} NAME=VALUE"))),
    };
    texts.iter().map(pair).collect()
}

fn jobs(plan: &Plan) -> String {
    let calls = || plan.steps.iter().filter(|step| step.call().is_some());
    let known: u64 = calls().filter_map(|step| step.jobs).sum();
    let open = calls().filter(|step| step.jobs.is_none()).count();
    match open {
        0 => format!("{known} jobs"),
        _ => format!("{known} jobs, and those of {open} steps whose lists come at run time"),
    }
}

fn table(plan: &Plan) -> Table {
    let mut table = super::table(["step", "uses", "jobs", "after", "group", "queue", "timeout", "attempts"]);
    for at in 0..plan.steps.len() {
        table.add_row(row(plan, at));
    }
    table
}

fn row(plan: &Plan, at: usize) -> [String; 8] {
    let step = &plan.steps[at];
    let needs: Vec<_> = step.needs.iter().map(|n| plan.steps[*n as usize].path()).collect();
    let call = step.call();
    let of_call = |show: &dyn Fn(&rfx_schemas::plan::Call) -> String| call.map(show).unwrap_or_default();
    [
        format!("{:indent$}{}", "", step.path(), indent = 2 * plan.depth(at)),
        step.uses(),
        step.jobs.map_or_else(|| "?".to_owned(), |n| n.to_string()),
        needs.join(", "),
        of_call(&|call| call.group.to_string()),
        of_call(&|call| call.queue.to_string()),
        of_call(&|call| format!("{:?}", call.timeout)),
        of_call(&|call| call.retry.max_attempts.to_string()),
    ]
}
