//! A flow as its author wrote it, with the places of what later checks may complain about.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use rfx_schemas::name::{Function, Group, Local, NameError, Queue, Version};
use rfx_schemas::plan::{Phase, Retry};
use serde_json::Value;

/// A value and where it stands.
pub type At<T> = (Range<usize>, T);

/// A flow.
#[derive(Debug, Clone, Default)]
pub struct Flow {
    /// Its name.
    pub name: String,
    /// What it says about itself.
    pub description: String,
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
    /// When the whole run must have ended.
    pub deadline: Option<Duration>,
}

/// An input of a flow.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its type.
    pub kind: InputKind,
    /// Whether a run must give it.
    pub required: bool,
    /// What it is otherwise; a template.
    pub default: Option<At<Value>>,
}

/// Types of inputs: those of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// Anything.
    Any,
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// A map.
    Object,
}

impl InputKind {
    /// Every type.
    pub const ALL: [Self; 7] =
        [Self::Any, Self::String, Self::Integer, Self::Number, Self::Boolean, Self::Array, Self::Object];

    /// As flows spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
        }
    }

    /// The type with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether a value is of this type.
    pub fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::String => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
        }
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
    /// How long a job waits while nobody serves its function.
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
    /// Its name.
    pub name: Local,
    /// Its phase.
    pub phase: Phase,
    /// The function that it uses.
    pub uses: Use,
    /// Template of its input.
    pub with: At<Value>,
    /// Template of the list that it runs over.
    pub each: Option<At<Value>>,
    /// Steps that must have passed before it.
    pub needs: Vec<At<String>>,
    /// Expression that decides whether it runs.
    pub condition: Option<At<String>>,
    /// Expressions over its output that must be true.
    pub expect: Vec<At<String>>,
    /// Longest time that an attempt may run.
    pub timeout: Option<Duration>,
    /// When to try again.
    pub retry: Option<Retry>,
    /// Most jobs of it at once.
    pub max_parallel: Option<u32>,
    /// Where it runs.
    pub place: Place,
    /// In which lane it runs.
    pub queue: Option<Queue>,
}

impl Step {
    /// `steps.device`
    pub fn path(&self) -> String {
        format!("{}.{}", self.phase.key(), self.name)
    }
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

/// Where a step may run: a group by name, or labels that a group must have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The group.
    pub group: Option<Group>,
    /// Labels that the group must have.
    pub labels: BTreeMap<String, String>,
}

impl Place {
    /// Sets a label; the label `group` names the group itself.
    pub fn set(&mut self, label: &str, value: &str) -> Result<(), NameError> {
        if label == "group" {
            self.group = Some(value.parse()?);
        } else {
            self.labels.insert(label.to_owned(), value.to_owned());
        }
        Ok(())
    }

    /// This place with what `over` says about it: `over` wins key by key.
    #[must_use]
    pub fn overlaid(&self, over: &Self) -> Self {
        let mut labels = self.labels.clone();
        labels.extend(over.labels.clone());
        Self { group: over.group.clone().or_else(|| self.group.clone()), labels }
    }
}

/// Why a text is not a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// It has no `=`.
    #[error("{0:?} is not label=value; write provider=aws or group=aws-eu1")]
    Shape(String),
    /// The group's name is wrong.
    #[error(transparent)]
    Group(#[from] NameError),
}

impl FromStr for Place {
    type Err = PlaceError;

    /// Reads `provider=aws,cluster=eu1`.
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let mut place = Self::default();
        for pair in text.split(',') {
            let (label, value) = pair.split_once('=').ok_or_else(|| PlaceError::Shape(pair.to_owned()))?;
            place.set(label.trim(), value.trim())?;
        }
        Ok(place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = self.group.iter().map(|g| format!("group={g}"));
        let labels = self.labels.iter().map(|(k, v)| format!("{k}={v}"));
        f.write_str(&group.chain(labels).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_wins_over_the_step_key_by_key() {
        let step: Place = "provider=aws,cluster=eu1".parse().expect("a place");
        let run: Place = "cluster=us1".parse().expect("a place");
        assert_eq!(step.overlaid(&run).to_string(), "cluster=us1,provider=aws");
        let error = "aws".parse::<Place>().expect_err("no label");
        assert_eq!(error.to_string(), "\"aws\" is not label=value; write provider=aws or group=aws-eu1");
    }
}
