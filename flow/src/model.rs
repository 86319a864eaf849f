//! A flow as its author wrote it, with the places of what later checks may complain about.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use rfx_schemas::gate::{Allowance, Gate};
use rfx_schemas::name::{Function, Local, Queue, Version};
use rfx_schemas::plan::{About, Phase};
use rfx_schemas::rules::{ExpectFailure, Retry};
use serde_json::Value;

use crate::diagnostic::Source;
pub use crate::place::{Place, PlaceError};
pub use rfx_schemas::input::InputKind;

/// A value and where it stands.
pub type At<T> = (Range<usize>, T);

/// A flow.
#[derive(Debug, Clone, Default)]
pub struct Flow {
    /// Its name.
    pub name: String,
    /// Where that stands.
    pub at: Range<usize>,
    /// What it says about itself.
    pub description: String,
    /// Its version, as a function.
    pub version: Option<Version>,
    /// Who answers for it, its tags and labels.
    pub about: About,
    /// The function or flow that it takes over with other defaults.
    pub extends: Option<Use>,
    /// Its inputs.
    pub inputs: Vec<(Local, Input)>,
    /// Its data files.
    pub data: Vec<(Local, DataFile)>,
    /// The system under test, unless the run says otherwise.
    pub target: Vec<(Local, String)>,
    /// What steps take unless they say otherwise.
    pub defaults: Defaults,
    /// Its steps, setup first and teardown last, in the order of the file.
    pub steps: Vec<Step>,
    /// Templates of its outputs.
    pub outputs: Vec<(Local, At<Value>)>,
    /// Template of its output as a whole, when it extends a function.
    pub whole: Option<Value>,
    /// Whether what it takes is not known: it extends a function that nobody has announced.
    pub open: bool,
    /// What its run's verdict asks for.
    pub gate: Option<Gate>,
    /// Where that stands.
    pub gate_at: Range<usize>,
    /// When the whole run must have ended.
    pub deadline: Option<Duration>,
}

/// An input of a flow.
#[derive(Debug, Clone)]
pub struct Input {
    /// Where its name stands.
    pub at: Range<usize>,
    /// The file that it stands in, when that is not the flow's own: it extends another.
    pub source: Option<Source>,
    /// Its type; none when it was left to what the flow extends, or is anything.
    pub kind: Option<InputKind>,
    /// Whether a run must give it; none when that follows from the default.
    pub required: Option<bool>,
    /// What it is otherwise; a template.
    pub default: Option<At<Value>>,
    /// What it is for.
    pub description: Option<String>,
}

impl Input {
    /// Its type.
    pub fn kind(&self) -> InputKind {
        self.kind.unwrap_or(InputKind::Any)
    }

    /// Whether a run must give it.
    pub fn is_required(&self) -> bool {
        self.required.unwrap_or(true) && self.default.is_none()
    }
}

/// A data file that a flow names.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Where the flow names it.
    pub at: Range<usize>,
    /// Its path, relative to the flow's file.
    pub path: String,
}

/// What steps take unless they say otherwise.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// See [`Step::timeout`].
    pub timeout: Option<Duration>,
    /// See [`Step::queue_timeout`].
    pub queue_timeout: Option<Duration>,
    /// See [`Step::retry`].
    pub retry: Option<Retry>,
    /// See [`Step::place`].
    pub place: Place,
}

/// A step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Where its name stands.
    pub at: Range<usize>,
    /// Where each of its keys stands.
    pub keys: BTreeMap<&'static str, Range<usize>>,
    /// Its name.
    pub name: Local,
    /// Its phase.
    pub phase: Phase,
    /// The function that it uses.
    pub uses: Use,
    /// Template of its input.
    pub with: At<Value>,
    /// Where each parameter of the input stands.
    pub parameters: BTreeMap<String, Range<usize>>,
    /// What gives it more than one job.
    pub over: Over,
    /// How many items share a job.
    pub batch: Option<u32>,
    /// Steps that must have passed before it.
    pub needs: Vec<At<String>>,
    /// Expression that decides whether it runs.
    pub condition: Option<At<String>>,
    /// Expressions over its output that must be true.
    pub expect: Vec<At<String>>,
    /// What to poll for.
    pub until: Option<Until>,
    /// How it is meant to fail.
    pub expect_failure: Option<ExpectFailure>,
    /// How many of its jobs may fail.
    pub allow_failure: Option<Allowance>,
    /// Longest time that an attempt may run.
    pub timeout: Option<Duration>,
    /// How long a job waits while nobody serves its function.
    pub queue_timeout: Option<Duration>,
    /// When to try again.
    pub retry: Option<Retry>,
    /// Most jobs of it at once.
    pub max_parallel: Option<u32>,
    /// Where it runs.
    pub place: Place,
    /// In which lane it runs.
    pub queue: Option<Queue>,
    /// Secrets that its function is given.
    pub secrets: Vec<At<String>>,
    /// Keys of shared state that it reads or writes.
    pub state: Vec<At<String>>,
    /// Who answers for it, its tags and labels.
    pub about: About,
}

impl Step {
    /// `steps.device`
    pub fn path(&self) -> String {
        format!("{}.{}", self.phase.key(), self.name)
    }

    /// Where a key stands, or else the step.
    pub fn key(&self, name: &str) -> Range<usize> {
        self.keys.get(name).unwrap_or(&self.at).clone()
    }
}

/// What gives a step more than one job.
#[derive(Debug, Clone)]
pub enum Over {
    /// Nothing.
    Once,
    /// Template of a list.
    Each(At<Value>),
    /// All combinations of some lists.
    Matrix(At<Matrix>),
    /// The same job so often.
    Times(u32),
    /// The same job for so long.
    For(Duration),
}

impl Over {
    /// Whether each job has an item.
    pub fn has_items(&self) -> bool {
        !matches!(self, Self::Once)
    }

    /// Its templates.
    pub fn templates(&self) -> Vec<At<&Value>> {
        match self {
            Self::Once | Self::Times(_) | Self::For(_) => Vec::new(),
            Self::Each((at, list)) => vec![(at.clone(), list)],
            Self::Matrix((at, matrix)) => {
                let axes = matrix.axes.iter().map(|(_, list)| list);
                let all = axes.chain(&matrix.include).chain(&matrix.exclude);
                all.map(|value| (at.clone(), value)).collect()
            }
        }
    }
}

/// See [`rfx_schemas::plan::Matrix`].
pub type Matrix = rfx_schemas::plan::Matrix;

/// Polling.
#[derive(Debug, Clone)]
pub struct Until {
    /// Expressions over the output; all must be true.
    pub expect: Vec<At<String>>,
    /// Wait between calls.
    pub every: Duration,
    /// How long in all.
    pub within: Duration,
}

/// The function that a step uses.
#[derive(Debug, Clone)]
pub struct Use {
    /// Its name.
    pub name: Function,
    /// The version that is wanted.
    pub version: Option<Version>,
    /// Where the flow names it.
    pub at: Range<usize>,
}
