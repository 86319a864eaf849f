//! `extends`: a flow or function taken over with other defaults.

use std::sync::Arc;

use rfx_schemas::plan::Phase;
use rfx_schemas::record::FunctionRecord;
use serde_json::{Value, json};

use crate::check::{Checked, check_flow};
use crate::diagnostic::{Problem, Problems, did_you_mean};
use crate::library::Library;
use crate::model::{Flow, Input, InputKind, Over, Place, Step, Use};

/// Longest chain of flows that extend each other.
const CHAIN: usize = 16;

/// A flow with what it extends taken over, and the names of that, the nearest first.
pub(crate) fn extended(
    checked: &Arc<Checked>,
    library: &Library,
    functions: &[FunctionRecord],
) -> Result<(Arc<Checked>, Vec<String>), Problems> {
    let mut names = Vec::new();
    let whole = extend(checked, &checked.flow.name, library, functions, &mut names)?;
    Ok((whole, names))
}

fn extend(
    checked: &Arc<Checked>,
    root: &str,
    library: &Library,
    functions: &[FunctionRecord],
    names: &mut Vec<String>,
) -> Result<Arc<Checked>, Problems> {
    let Some(base) = &checked.flow.extends else { return Ok(Arc::clone(checked)) };
    names.push(base.name.to_string());
    let problem = |message: String| Problem::new(&checked.source, base.at.clone(), message);
    let again = names[..names.len() - 1].contains(&base.name.to_string());
    if names.len() > CHAIN || again || base.name.as_str() == checked.flow.name || base.name.as_str() == root {
        let message = format!("flows extend each other: {root} → {}", names.join(" → "));
        return Err(Problems::one(problem(message).help("let one of them stand by itself")));
    }
    match library.find(base) {
        Some(found) => {
            let base = extend(found.checked()?, root, library, functions, names)?;
            over_flow(checked, &base).map(Arc::new)
        }
        None => {
            let fits = |r: &&FunctionRecord| {
                r.name == base.name && base.version.as_ref().is_none_or(|version| *version == r.version)
            };
            let record = functions.iter().filter(fits).max_by_key(|r| r.version.numbers());
            over_function(checked, base, record).map(Arc::new)
        }
    }
}

/// The base flow with the changes of the one that extends it.
fn over_flow(checked: &Checked, base: &Checked) -> Result<Checked, Problems> {
    let (own, mut flow) = (&checked.flow, base.flow.clone());
    let mut problems = Vec::new();
    for (name, input) in &own.inputs {
        match flow.inputs.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => override_input(known, input, checked),
            None => {
                let known = flow.inputs.iter().map(|(n, _)| n.as_str());
                let help = did_you_mean(name.as_str(), known)
                    .unwrap_or_else(|| format!("change inputs that {} has", base.flow.name));
                let message = format!("{} has no input {name}", base.flow.name);
                problems.push(Problem::new(&checked.source, input.at.clone(), message).help(help));
            }
        }
    }
    Problems::from_list(problems)?;
    take_over(own, &mut flow);
    Ok(Checked { flow, ..base.clone() })
}

fn override_input(known: &mut Input, input: &Input, checked: &Checked) {
    if input.default.is_some() {
        known.default.clone_from(&input.default);
        known.source = Some(checked.source.clone());
    }
    known.kind = input.kind.or(known.kind);
    known.required = input.required.or(known.required);
    if input.description.is_some() {
        known.description.clone_from(&input.description);
    }
}

/// What a flow says about itself, over what its base says.
fn take_over(own: &Flow, flow: &mut Flow) {
    flow.name.clone_from(&own.name);
    flow.version.clone_from(&own.version);
    if !own.description.is_empty() {
        flow.description.clone_from(&own.description);
    }
    if own.about.owner.is_some() {
        flow.about.owner.clone_from(&own.about.owner);
    }
    flow.about.tags.extend(own.about.tags.iter().cloned());
    flow.about.labels.extend(own.about.labels.clone());
    for (name, value) in &own.target {
        flow.target.retain(|(known, _)| known != name);
        flow.target.push((name.clone(), value.clone()));
    }
    let (defaults, base) = (&own.defaults, &mut flow.defaults);
    base.timeout = defaults.timeout.or(base.timeout);
    base.queue_timeout = defaults.queue_timeout.or(base.queue_timeout);
    base.retry = defaults.retry.clone().or(base.retry.take());
    base.place = base.place.overlaid(&defaults.place);
    flow.gate = own.gate.clone().or(flow.gate.take());
    flow.deadline = own.deadline.or(flow.deadline);
    flow.extends = None;
}

/// A flow of one step that calls the function: with the defaults of the flow, and with the function's
/// other parameters as further inputs, as far as its schema is known.
fn over_function(
    checked: &Checked,
    base: &Use,
    record: Option<&FunctionRecord>,
) -> Result<Checked, Problems> {
    let mut flow = checked.flow.clone();
    flow.extends = None;
    let properties = record.and_then(|r| r.input.get("properties")).and_then(Value::as_object);
    let required: Vec<_> = record
        .and_then(|r| r.input.get("required"))
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    // What the caller gives is handed on as it is; what the function has defaults for is left to it.
    flow.open = record.is_none_or(|record| properties.is_none() && !record.input.is_object());
    let own: Vec<_> = checked.flow.inputs.iter().map(|(name, _)| name.to_string()).collect();
    for (name, schema) in properties.into_iter().flatten().filter(|(name, _)| !own.contains(name)) {
        let Ok(local) = name.parse() else { continue };
        let input = Input {
            at: base.at.clone(),
            source: None,
            kind: schema.get("type").and_then(Value::as_str).and_then(InputKind::parse),
            required: Some(required.contains(&name.as_str())),
            default: None,
            description: schema.get("description").and_then(Value::as_str).map(str::to_owned),
        };
        flow.inputs.push((local, input));
    }
    flow.steps = vec![step(base)];
    // Used as a function it gives what the function gives; run by itself, under a name.
    let output = json!("${{ steps.call.output }}");
    flow.outputs = vec![("output".parse().expect("a name"), (base.at.clone(), output.clone()))];
    flow.whole = Some(output);
    check_flow(checked.source.clone(), flow, Vec::new())
}

fn step(base: &Use) -> Step {
    Step {
        at: base.at.clone(),
        keys: std::collections::BTreeMap::new(),
        name: "call".parse().expect("a name"),
        phase: Phase::Main,
        uses: base.clone(),
        with: (base.at.clone(), json!("${{ inputs }}")),
        parameters: std::collections::BTreeMap::new(),
        over: Over::Once,
        batch: None,
        needs: Vec::new(),
        condition: None,
        expect: Vec::new(),
        until: None,
        expect_failure: None,
        allow_failure: None,
        timeout: None,
        queue_timeout: None,
        retry: None,
        max_parallel: None,
        place: Place::default(),
        queue: None,
        secrets: Vec::new(),
        state: Vec::new(),
        about: rfx_schemas::plan::About::default(),
    }
}
