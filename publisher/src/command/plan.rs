//! `check` and `plan`: what a flow comes to, without running it.

mod history;

use std::collections::BTreeMap;
use std::path::PathBuf;

use comfy_table::Table;
use rfx_config::process::{Failure, print};
use rfx_flow::model::Place;
use rfx_flow::{Catalogue, Choice, Chosen, show};
use rfx_publisher::catalogue;
use rfx_publisher::submit::{Choices, Prepared, prepare, read_flow};
use rfx_schemas::exit;
use rfx_schemas::plan::Plan;
use rfx_transport::Transport;

use self::history::History;
use super::{Desk, submit_failure};
use crate::args::{LookArgs, PlanArgs, PlanFormat, ShowPlanArgs};

/// Checks a flow.
pub async fn check(desk: Desk, args: LookArgs) -> Result<u8, Failure> {
    let (prepared, _) = plan(&desk, &args).await?;
    let plan = &prepared.plan;
    let steps = show::several(plan.steps.len() as u64, "step");
    print(&format!("{}: {steps}, {}, all right\n", args.plan.flow.display(), show::jobs(plan)))?;
    Ok(exit::PASSED)
}

/// Shows a flow's jobs.
pub async fn show(desk: Desk, args: ShowPlanArgs) -> Result<u8, Failure> {
    let (prepared, transport) = plan(&desk, &args.look).await?;
    let plan = &prepared.plan;
    let text = match args.format {
        PlanFormat::Table => {
            let lines = lines(plan, transport.as_ref()).await;
            format!("{}\n{}\n\n{lines}", show::about(plan), table(plan).trim_fmt())
        }
        PlanFormat::Tree => format!("{}\n{}", show::tree(plan), lines(plan, transport.as_ref()).await),
        PlanFormat::Json => format!("{}\n", show::json(plan)),
        PlanFormat::Mermaid => show::mermaid(plan),
    };
    print(&text)?;
    Ok(exit::PASSED)
}

/// The longest path, and what it may be expected to take.
async fn lines(plan: &Plan, transport: Option<&Transport>) -> String {
    let history = match transport {
        Some(transport) => History::find(transport, &plan.flow).await,
        None => None,
    };
    let duration_of = |at| history.as_ref().and_then(|history| history.of_step(plan, at));
    let path = show::longest_path(plan, duration_of);
    let mut lines = format!("{}\n", show::path_line(plan, &path));
    if let Some(history) = history.as_ref().filter(|_| !path.total.is_zero()) {
        let unknown = show::counting(plan).filter(|at| duration_of(*at).is_none()).count();
        lines.push_str(&format!("{}\n", history.line(path.total, unknown as u64)));
    }
    lines
}

/// The plan, and the connection if there was need for one.
async fn plan(desk: &Desk, args: &LookArgs) -> Result<(Prepared, Option<Transport>), Failure> {
    // What is wrong in the file itself is said without a server.
    let checked = read_flow(&args.plan.flow).map_err(submit_failure)?;
    let choices = choices(&args.plan)?;
    let fallback = desk.settings.publisher.group.clone();
    // A folder without pool.toml has flows only: their functions are looked for where they are served.
    let pools: Vec<_> =
        args.plan.pool.iter().filter(|pool| pool.join("pool.toml").exists()).cloned().collect();
    let (catalogue, transport) = if !pools.is_empty() {
        (super::pool::catalogue(&pools, &fallback)?, None)
    } else if args.offline {
        let (functions, groups, broken) = (Vec::new(), Vec::new(), Vec::new());
        (Catalogue { functions, groups, fallback, complete: false, broken }, None)
    } else {
        let transport = desk.connect().await?;
        (load_catalogue(desk, &transport).await?, Some(transport))
    };
    let prepared = prepare(&checked, &args.plan.flow, &choices, &catalogue).map_err(submit_failure)?;
    Ok((prepared, transport))
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
        isolation: args.isolation,
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

pub(super) fn pairs(option: &str, texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Failure::usage(format!("{option} {text}: write it as {option} NAME=VALUE"))),
    };
    texts.iter().map(pair).collect()
}

fn table(plan: &Plan) -> Table {
    let mut table = super::table(show::HEADER);
    table.add_rows(show::rows(plan));
    table
}
