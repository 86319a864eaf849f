//! The plan of a run: what its flow, inputs, data and placement come to. Recorded once, with the
//! submission, so that any driver can go on from it; nothing in it changes afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gate::{Allowance, Gate};
use crate::input::InputRule;
use crate::name::{Function, Group, Local, Queue, Version};
use crate::payload::Payload;
use crate::rules::{ExpectFailure, Isolation, Retry, Until};
use crate::stamp::micros;

/// The jobs that a flow gives for one run, written down as steps that unfold into jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The flow's name.
    pub flow: String,
    /// What the flow says about itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Who answers for it, and words to find it by.
    #[serde(flatten)]
    pub about: About,
    /// Inputs, after defaults and the command line.
    #[serde(default)]
    pub inputs: BTreeMap<String, Value>,
    /// The system under test, by name of its parts.
    #[serde(default)]
    pub target: BTreeMap<String, String>,
    /// Data sets by name.
    #[serde(default)]
    pub data: BTreeMap<String, DataSet>,
    /// Steps, as a tree laid out flat: the steps of a composite stand right behind it and name it as
    /// their parent. Jobs name steps by position.
    pub steps: Vec<PlannedStep>,
    /// Templates of the flow's outputs.
    #[serde(default)]
    pub outputs: BTreeMap<String, Value>,
    /// What the verdict asks for besides its jobs' verdicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// In what process its functions are executed, whatever they and their pools say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// When the whole run must have ended, counted from its submission.
    #[serde(with = "micros")]
    pub deadline: Duration,
}

impl Plan {
    /// The step as people name it: `steps.device`, `setup.tenant`; inside a composite
    /// `steps.host/device`.
    pub fn path(&self, step: usize) -> String {
        let planned = &self.steps[step];
        match planned.parent {
            None => planned.path(),
            Some(parent) => {
                let prefix = if planned.phase == Phase::Main { "" } else { planned.phase.key() };
                let dot = if prefix.is_empty() { "" } else { "." };
                format!("{}/{prefix}{dot}{}", self.path(parent as usize), planned.name)
            }
        }
    }

    /// Whether a step is inside of a composite, at any depth.
    pub fn is_inside(&self, step: usize, composite: usize) -> bool {
        let parent = self.steps[step].parent.map(|parent| parent as usize);
        parent.is_some_and(|parent| parent == composite || self.is_inside(parent, composite))
    }

    /// How many composites a step is inside of.
    pub fn depth(&self, step: usize) -> usize {
        self.steps[step].parent.map_or(0, |parent| self.depth(parent as usize) + 1)
    }
}

/// What a flow or a step says for people and searches only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Words to find and choose it by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Properties for reports.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A data set, kept by what it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataSet {
    /// Where it came from, as the user named it.
    pub file: String,
    /// How many rows, when it is a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The rows.
    pub value: Payload,
}

/// When a step's turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before all else.
    Setup,
    /// The test itself; skipped when a setup step did not pass.
    Main,
    /// Only when a step before it did not pass.
    OnFailure,
    /// After all else, however that ended.
    Teardown,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 4] = [Self::Setup, Self::Main, Self::OnFailure, Self::Teardown];

    /// The key under which a flow lists the steps of this phase, and expressions read them.
    pub fn key(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Main => "steps",
            Self::OnFailure => "on_failure",
            Self::Teardown => "teardown",
        }
    }
}

/// One step with everything resolved: a retry or a takeover never moves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its name, unique in its phase and its flow.
    pub name: Local,
    /// Its phase.
    pub phase: Phase,
    /// The composite that it is a step of, by position in the plan; none for the run's own flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// Steps of the same flow that must have ended before it starts, by position in the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<u32>,
    /// Expression that must be true, else the step is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Why it is skipped whatever its condition says: `--only` and `--skip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
    /// What gives it more than one job.
    #[serde(default, skip_serializing_if = "Over::is_once")]
    pub over: Over,
    /// How many of its items share a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
    /// How many jobs, when known before the run: in all of it, wherever composites multiply it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u64>,
    /// Template of a job's input.
    pub with: Value,
    /// Expressions over the output that must be true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<String>,
    /// Most jobs of the step released at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// How many of its jobs may fail without failing the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_failure: Option<Allowance>,
    /// For people.
    #[serde(flatten)]
    pub about: About,
    /// Whether an expression reads its output, so that the fold must keep it.
    #[serde(default)]
    pub keep_output: bool,
    /// What each of its jobs is.
    pub does: Does,
}

impl PlannedStep {
    /// The step as its own flow names it: `steps.device`, `setup.tenant`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.phase.key(), self.name)
    }

    /// What it uses, with the version.
    pub fn uses(&self) -> String {
        let (name, version) = match &self.does {
            Does::Call(call) => (&call.uses, &call.version),
            Does::Flow(flow) => (&flow.uses, &flow.version),
        };
        version.as_ref().map_or_else(|| name.to_string(), |version| format!("{name}@{version}"))
    }

    /// The call, unless it is a composite.
    pub fn call(&self) -> Option<&Call> {
        match &self.does {
            Does::Call(call) => Some(call),
            Does::Flow(_) => None,
        }
    }

    /// The flow, if it is a composite.
    pub fn flow(&self) -> Option<&SubFlow> {
        match &self.does {
            Does::Call(_) => None,
            Does::Flow(flow) => Some(flow),
        }
    }
}

/// What gives a step more than one job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// Nothing: it has one.
    #[default]
    Once,
    /// Template of a list: one job an item.
    Each(Value),
    /// All combinations of some lists.
    Matrix(Matrix),
    /// The same job so often.
    Times(u32),
    /// The same job again and again, for so long.
    #[serde(with = "micros")]
    For(Duration),
}

impl Over {
    /// Whether the step has one job and no items.
    pub fn is_once(&self) -> bool {
        matches!(self, Self::Once)
    }
}

/// Combinations of values.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Matrix {
    /// Template of a list for each name, in the order in which they vary, the last fastest.
    pub axes: Vec<(String, Value)>,
    /// Templates of further combinations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<Value>,
    /// Templates of what is taken out: every combination that has all of the values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Value>,
}

/// What a job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Does {
    /// A call of a function, by a worker.
    Call(Call),
    /// An execution of a flow (composite), by its steps.
    Flow(SubFlow),
}

/// A call of a function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The function.
    pub uses: Function,
    /// Which version of it; none was known when nobody served it at submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Where it runs.
    pub group: Group,
    /// In which lane.
    pub queue: Queue,
    /// Longest time that an attempt may run.
    #[serde(with = "micros")]
    pub timeout: Duration,
    /// How long a job may wait while nobody serves its function.
    #[serde(with = "micros")]
    pub queue_timeout: Duration,
    /// When to try again.
    #[serde(default)]
    pub retry: Retry,
    /// What to poll for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Until>,
    /// How it is meant to fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_failure: Option<ExpectFailure>,
    /// Names of the secrets that the worker gives to the function.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

/// A flow used as a function. Its steps name the step that holds this as their parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubFlow {
    /// Its name.
    pub uses: Function,
    /// Its version, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// What it extends, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extends: Vec<String>,
    /// What it takes.
    #[serde(default)]
    pub inputs: BTreeMap<String, InputRule>,
    /// Whether it hands on what it is given, and nothing else: it extends a function.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hands_on: bool,
    /// Its data sets, by the name under which the plan has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
    /// Template of its output: a map of its outputs, or what the function gives that it extends.
    #[serde(default)]
    pub output: Value,
}
