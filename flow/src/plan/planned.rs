//! From a step as it is written to a step of the plan.

use std::collections::BTreeMap;

use rfx_schemas::input::InputRule;
use rfx_schemas::plan::{About, Does, Over, Phase, PlannedStep, SubFlow};
use rfx_schemas::record::FunctionRecord;
use serde_json::{Map, Value};

use super::layout::Layer;
use crate::check::Checked;
use crate::model::{self, Flow, Step};

/// A flow as a plan keeps it where it is used.
pub(super) fn sub_flow(checked: &Checked, extends: Vec<String>, data: BTreeMap<String, String>) -> SubFlow {
    let flow = &checked.flow;
    let inputs = flow.inputs.iter().map(|(name, input)| {
        let default = input.default.as_ref().map(|(_, value)| value.clone());
        (name.to_string(), InputRule { kind: input.kind(), required: input.is_required(), default })
    });
    let outputs = flow.outputs.iter().map(|(name, (_, value))| (name.to_string(), value.clone()));
    SubFlow {
        uses: flow.name.parse().expect("the flow is checked"),
        version: flow.version.clone(),
        extends,
        inputs: inputs.collect(),
        hands_on: flow.whole.is_some(),
        data,
        output: flow.whole.clone().unwrap_or_else(|| Value::Object(outputs.collect())),
    }
}

/// A step of the plan: what its author wrote, and what it does.
pub(super) fn planned(layer: &Layer, at: usize, does: Does, times: Option<u64>, about: About) -> PlannedStep {
    let step = &layer.checked.flow.steps[at];
    let texts =
        |texts: &[(std::ops::Range<usize>, String)]| texts.iter().map(|(_, text)| text.clone()).collect();
    let composite = matches!(does, Does::Flow(_));
    PlannedStep {
        phase: step.phase,
        parent: layer.parent,
        condition: step.condition.as_ref().map(|(_, text)| text.clone()),
        over: match &step.over {
            model::Over::Once => Over::Once,
            model::Over::Each((_, list)) => Over::Each(list.clone()),
            model::Over::Matrix((_, matrix)) => Over::Matrix(matrix.clone()),
            model::Over::Times(times) => Over::Times(*times),
            model::Over::For(time) => Over::For(*time),
        },
        batch: step.batch,
        jobs: times,
        with: step.with.1.clone(),
        expect: texts(&step.expect),
        max_parallel: step.max_parallel,
        allow_failure: step.allow_failure,
        about,
        keep_output: layer.checked.read.contains(&at) || (composite && !step.expect.is_empty()),
        ..bare(step.name.clone(), does)
    }
}

/// A step with nothing but its name and what it does.
pub(super) fn bare(name: rfx_schemas::name::Local, does: Does) -> PlannedStep {
    PlannedStep {
        name,
        phase: Phase::Main,
        parent: None,
        needs: Vec::new(),
        condition: None,
        left_out: None,
        over: Over::Once,
        batch: None,
        jobs: Some(1),
        with: Value::Object(Map::new()),
        expect: Vec::new(),
        max_parallel: None,
        allow_failure: None,
        about: About::default(),
        keep_output: false,
        does,
    }
}

/// What a step says about itself; what it leaves open, its function or flow says.
pub(super) fn about(step: &Step, flow: &Flow, record: Option<&FunctionRecord>) -> About {
    let mut about = step.about.clone();
    about.owner =
        about.owner.or_else(|| record.and_then(|r| r.owner.clone())).or_else(|| flow.about.owner.clone());
    for tag in record.into_iter().flat_map(|r| &r.tags) {
        if !about.tags.contains(tag) {
            about.tags.push(tag.clone());
        }
    }
    about
}
