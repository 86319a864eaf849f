//! From a checked flow to the plan of one run: inputs, data, functions and places resolved, flows
//! that are used as functions laid out.
//!
//! Pure: what is on the command line, in files and in the catalogue comes in as values.

mod edges;
mod given;
mod kinds;
mod known;
mod layout;
mod place;
mod planned;
mod select;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rfx_schemas::id::RunId;
use rfx_schemas::name::{Group, Local};
use rfx_schemas::plan::{DataSet, Plan, PlannedStep};
use rfx_schemas::record::FunctionRecord;
use rfx_schemas::rules::Isolation;
use serde_json::Value;

use crate::check::Checked;
use crate::diagnostic::{Problem, Problems, Source, did_you_mean};
use crate::extend::extended;
use crate::library::Library;
use crate::model::{At, Flow, Place};
pub use edges::input_schema;
pub use select::{Choice, Chosen};

/// Longest time that an attempt may run unless someone says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// How long a job waits while nobody serves its function.
pub const QUEUE_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// When a whole run must have ended.
pub const DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// What the command line says about a run.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `--input NAME=VALUE`
    pub inputs: BTreeMap<String, String>,
    /// `--target NAME=URL`
    pub target: BTreeMap<String, String>,
    /// `--where [STEP:]LABELS`, in order; later ones win.
    pub places: Vec<(Option<String>, Place)>,
    /// `--each-group [LABELS]`: once in every group that fits.
    pub each_group: Option<Place>,
    /// `--isolation`: whatever functions and pools say.
    pub isolation: Option<Isolation>,
    /// `--only` and `--skip`.
    pub choice: Choice,
    /// Data sets, already read: the flow's own and `--data NAME=FILE` by their names, those of other
    /// flows by [`data_key`].
    pub data: BTreeMap<String, (DataSet, Value)>,
}

/// Under which name a plan has a data set of a flow that is used as a function.
pub fn data_key(flow: &Flow, set: &Local) -> String {
    let version = flow.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    format!("{}{version}:{set}", flow.name)
}

/// A group that has live workers.
#[derive(Debug, Clone)]
pub struct LiveGroup {
    /// Its name.
    pub group: Group,
    /// What its workers say about the place.
    pub labels: BTreeMap<String, String>,
    /// Jobs that wait there.
    pub pending: u64,
}

/// What is known about functions and places when a run is planned.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// Functions that workers have announced, or that a pool folder holds.
    pub functions: Vec<FunctionRecord>,
    /// Groups that have live workers.
    pub groups: Vec<LiveGroup>,
    /// Where jobs go when nothing else is known.
    pub fallback: Group,
    /// Whether a function that is not in it does not exist. Not so on a fresh cluster, where the
    /// workers may be about to come.
    pub complete: bool,
    /// Modules that could not be imported, in words: what a missing function may be in.
    pub broken: Vec<String>,
}

/// Plans a run; all that is wrong is found at once.
pub fn plan(
    checked: &Checked,
    library: &Library,
    run: RunId,
    request: &Request,
    catalogue: &Catalogue,
) -> Result<Plan, Problems> {
    let (checked, extends) = extended(&Arc::new(checked.clone()), library, &catalogue.functions)?;
    let mut planner = Planner {
        root: &checked,
        library,
        request,
        catalogue,
        problems: Vec::new(),
        steps: Vec::new(),
        target: BTreeMap::new(),
        places: BTreeSet::new(),
    };
    planner.target();
    let inputs = planner.inputs(run);
    planner.data();
    let flow = &checked.flow;
    let values = |outputs: &[(Local, At<Value>)]| {
        outputs.iter().map(|(name, (_, value))| (name.to_string(), value.clone())).collect()
    };
    let mut outputs: BTreeMap<_, _> = values(&flow.outputs);
    match &request.each_group {
        None => planner.lay_out(&inputs, run),
        Some(wanted) => outputs = planner.lay_out_by_group(wanted, &extends, &inputs, run),
    }
    planner.choose();
    planner.unknown_places();
    planner.gate();
    Problems::from_list(planner.problems)?;
    Ok(Plan {
        flow: flow.name.clone(),
        description: flow.description.clone(),
        about: flow.about.clone(),
        inputs,
        target: planner.target,
        data: request.data.iter().map(|(name, (set, _))| (name.clone(), set.clone())).collect(),
        steps: planner.steps,
        outputs,
        gate: flow.gate.clone(),
        isolation: request.isolation,
        deadline: flow.deadline.unwrap_or(DEADLINE),
    })
}

struct Planner<'a> {
    root: &'a Arc<Checked>,
    library: &'a Library,
    request: &'a Request,
    catalogue: &'a Catalogue,
    problems: Vec<Problem>,
    steps: Vec<PlannedStep>,
    target: BTreeMap<String, String>,
    /// Names of steps that `--where` may be said of: `device`, `host/device`.
    places: BTreeSet<String>,
}

impl Planner<'_> {
    /// A problem with something on the command line: shown as if the option were a file.
    fn option(&mut self, option: &str, text: &str, message: String, help: String) {
        let source = Source::new(option, text);
        self.problems.push(Problem::new(&source, 0..text.len(), message).help(help));
    }

    fn unknown_option(&mut self, option: &str, name: &str, known: &[&str]) {
        let help = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| match known.is_empty() {
            true => "the flow declares none".to_owned(),
            false => format!("the flow declares {}", known.join(", ")),
        });
        self.option(option, name, format!("the flow has no {name} for {option}"), help);
    }

    /// A gate that no run of this plan can pass.
    fn gate(&mut self) {
        let flow = &self.root.flow;
        let Some(least) = flow.gate.as_ref().and_then(|gate| gate.min_jobs) else { return };
        let calls = self.steps.iter().filter(|step| step.call().is_some() && step.left_out.is_none());
        let all = calls.map(|step| step.jobs).try_fold(0u64, |all, jobs| Some(all.saturating_add(jobs?)));
        if let Some(all) = all.filter(|all| *all < u64::from(least)) {
            let message = format!("min_jobs asks for {least} jobs, and there are {all} at most");
            let problem =
                Problem::new(&self.root.source, flow.gate_at.clone(), message).label("cannot be kept");
            self.problems.push(problem.help("ask for fewer, or run more of the flow"));
        }
    }

    fn unknown_places(&mut self) {
        let places = std::mem::take(&mut self.places);
        let known: Vec<_> = places.iter().map(String::as_str).collect();
        for (step, _) in &self.request.places {
            if let Some(step) = step.as_deref().filter(|step| !places.contains(*step)) {
                self.unknown_option("--where", step, &known);
            }
        }
    }
}
