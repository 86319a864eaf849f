//! The steps of a plan: those of the flow, and inside those that use a flow, that flow's steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use rfx_schemas::id::RunId;
use rfx_schemas::name::Queue;
use rfx_schemas::plan::{Call, Does, PlannedStep};
use rfx_schemas::record::FunctionRecord;
use rfx_schemas::rules::{Retry, Until};
use serde_json::{Value, json};

use super::edges::Facing;
use super::place::Overlay;
use super::planned::{about, bare, planned, sub_flow};
use super::{Planner, QUEUE_TIMEOUT, TIMEOUT, data_key};
use crate::check::Checked;
use crate::diagnostic::Problem;
use crate::extend::extended;
use crate::model::{Flow, Over, Place, Step};
use crate::parse::keys;

/// Most steps that a plan may have, all flows laid out.
const MOST_STEPS: usize = 20_000;

/// A flow that is being laid out.
pub(super) struct Layer {
    pub checked: Arc<Checked>,
    /// The composite that it is the inside of.
    pub parent: Option<u32>,
    /// What the command line may call that, the widest first.
    names: Vec<String>,
    overlay: Overlay,
    /// Inputs that are known before the run.
    pub known: BTreeMap<String, Value>,
    /// Data sets: under which name the plan has them.
    pub data: BTreeMap<String, String>,
    /// How often it is executed, when that is known before the run.
    times: Option<u64>,
    /// The flows that it is inside of, and itself.
    chain: Vec<String>,
    pub run: RunId,
}

/// A flow that a step uses, with what it extends taken over.
struct Inner {
    checked: Arc<Checked>,
    extends: Vec<String>,
    /// Whether it came with its folder, so that its data files are there.
    has_folder: bool,
}

impl Planner<'_> {
    /// Lays out the run's own flow.
    pub(super) fn lay_out(&mut self, inputs: &BTreeMap<String, Value>, run: RunId) {
        let layer = self.root_layer(inputs, run);
        self.lay(&layer);
    }

    fn root_layer(&self, inputs: &BTreeMap<String, Value>, run: RunId) -> Layer {
        let flow = &self.root.flow;
        Layer {
            checked: Arc::clone(self.root),
            parent: None,
            names: Vec::new(),
            overlay: Overlay::default(),
            known: inputs.clone(),
            data: flow.data.iter().map(|(name, _)| (name.to_string(), name.to_string())).collect(),
            times: Some(1),
            chain: vec![flow.name.clone()],
            run,
        }
    }

    /// Lays out the run's own flow once for every group that fits, each as a composite named by its
    /// group. Gives the run's outputs, by group.
    pub(super) fn lay_out_by_group(
        &mut self,
        wanted: &Place,
        extends: &[String],
        inputs: &BTreeMap<String, Value>,
        run: RunId,
    ) -> BTreeMap<String, Value> {
        let groups = self.groups(wanted);
        if groups.is_empty() {
            let (text, help) = (wanted.to_string(), self.live_groups());
            let message = "no live group fits --each-group".to_owned();
            self.option("--each-group", &text, message, help);
        }
        let mut outputs = BTreeMap::new();
        for group in groups {
            let name = group.to_string().replace('-', "_");
            let name =
                if name.starts_with(|c: char| c.is_ascii_digit()) { format!("g_{name}") } else { name };
            let local = match name.parse() {
                Ok(local) if !outputs.contains_key(&name) => local,
                _ => {
                    let message = format!("the group {group} cannot give a step its name, {name}");
                    let help = "name the groups with labels: --each-group provider=aws".to_owned();
                    self.option("--each-group", group.as_str(), message, help);
                    continue;
                }
            };
            let with = inputs.keys().map(|name| (name.clone(), json!(format!("${{{{ inputs.{name} }}}}"))));
            let base = self.root_layer(inputs, run);
            let does = Does::Flow(sub_flow(&base.checked, extends.to_vec(), base.data.clone()));
            let keep_output = !self.root.flow.outputs.is_empty();
            let step = bare(local, does);
            let step = PlannedStep { with: Value::Object(with.collect()), keep_output, ..step };
            let parent = self.push(step);
            let overlay = Overlay { each: Some(group), ..Overlay::default() };
            self.lay(&Layer { parent: Some(parent), names: vec![name.clone()], overlay, ..base });
            outputs.insert(name.clone(), json!(format!("${{{{ steps.{name}.output }}}}")));
        }
        if self.root.flow.outputs.is_empty() {
            outputs.clear();
        }
        outputs
    }

    fn push(&mut self, step: PlannedStep) -> u32 {
        let at = u32::try_from(self.steps.len()).expect("plans stay below 2^32 steps");
        self.steps.push(step);
        at
    }

    fn lay(&mut self, layer: &Layer) {
        let flow = &layer.checked.flow;
        if self.steps.len() + flow.steps.len() > MOST_STEPS {
            let message = format!("the plan has more than {MOST_STEPS} steps");
            let problem = Problem::new(&layer.checked.source, flow.at.clone(), message);
            self.problems
                .push(problem.help("a step with each stands for many jobs; flows inside flows multiply"));
            return;
        }
        let mut positions = Vec::with_capacity(flow.steps.len());
        let mut facing = Vec::with_capacity(flow.steps.len());
        for at in 0..flow.steps.len() {
            let (position, faces) = self.step(layer, at);
            positions.push(position);
            facing.push(faces);
        }
        for (at, position) in positions.iter().enumerate() {
            let Some(position) = position else { continue };
            let needs = layer.checked.edges[at].iter().filter_map(|needed| positions[*needed]);
            self.steps[*position as usize].needs = needs.collect();
        }
        self.edges(layer, &facing);
    }

    /// Lays out a step. Where it stands in the plan, and what it takes and gives.
    fn step(&mut self, layer: &Layer, at: usize) -> (Option<u32>, Facing) {
        let step = &layer.checked.flow.steps[at];
        let names = names(&layer.names, step, layer.overlay.each.is_some());
        for name in &names {
            self.places.insert(name.clone());
        }
        let count = self.count(layer, step);
        if let (Over::Matrix((place, _)), Some(0)) = (&step.over, count) {
            let problem =
                Problem::new(&layer.checked.source, place.clone(), "the matrix has no combinations");
            self.problems.push(problem.label("nothing is left").help("exclude less, or take the step out"));
        }
        let times = layer.times.zip(count).map(|(times, count)| times.saturating_mul(count));
        if let Some(round) = self.round(layer, step) {
            self.problems.push(round);
            return (None, Facing::default());
        }
        if let Some((one, other)) = self.library.double(&step.uses) {
            let message = format!("two files have the flow {}: {one} and {other}", step.uses.name);
            let problem = Problem::new(&layer.checked.source, step.uses.at.clone(), message);
            self.problems
                .push(problem.help("give one of them another name or version, or take it out of the folder"));
        }
        match self.library.find(&step.uses) {
            Some(found) => {
                let checked = found.checked();
                match checked.and_then(|c| extended(c, self.library, &self.catalogue.functions)) {
                    Ok((checked, extends)) => {
                        let inner = Inner { checked, extends, has_folder: found.folder().is_some() };
                        self.composite(layer, at, names, times, inner)
                    }
                    Err(problems) => {
                        self.problems.extend(problems.iter().cloned());
                        (None, Facing::default())
                    }
                }
            }
            None => match self.library.versions(step.uses.name.as_str()) {
                versions if versions.is_empty() => self.call(layer, at, &names, times),
                versions => {
                    let wanted = step.uses.version.as_ref().map_or("", |version| version.as_str());
                    let message = format!("the flow {} has no version {wanted}", step.uses.name);
                    let problem = Problem::new(&layer.checked.source, step.uses.at.clone(), message);
                    self.problems.push(problem.help(format!("it has {}", versions.join(", "))));
                    (None, Facing::default())
                }
            },
        }
    }

    /// A flow that is used inside of itself.
    fn round(&self, layer: &Layer, step: &Step) -> Option<Problem> {
        let name = step.uses.name.as_str();
        layer.chain.iter().find(|outer| *outer == name)?;
        let message = format!("a flow uses itself: {} → {name}", layer.chain.join(" → "));
        let problem = Problem::new(&layer.checked.source, step.uses.at.clone(), message);
        Some(problem.label("used again").help("give it an end: take this step out"))
    }

    fn call(
        &mut self,
        layer: &Layer,
        at: usize,
        names: &[String],
        times: Option<u64>,
    ) -> (Option<u32>, Facing) {
        let (flow, step) = (&layer.checked.flow, &layer.checked.flow.steps[at]);
        let wanted = self.wanted(&layer.checked, step, &layer.overlay, names);
        let Some(placed) = self.place(&layer.checked, step, wanted) else { return (None, Facing::default()) };
        let all = self.catalogue.functions.iter().filter(|r| r.name == step.uses.name);
        let record = all
            .clone()
            .find(|r| r.group == placed.group && Some(&r.version) == placed.version.as_ref())
            .or_else(|| all.clone().next());
        let timeout =
            record.and_then(|r| r.timeout).and_then(|s| std::time::Duration::try_from_secs_f64(s).ok());
        let call = Call {
            uses: step.uses.name.clone(),
            version: placed.version,
            group: placed.group,
            queue: step.queue.clone().or_else(|| record.map(|r| r.queue.clone())).unwrap_or_else(Queue::main),
            timeout: step.timeout.or(timeout).or(flow.defaults.timeout).unwrap_or(TIMEOUT),
            queue_timeout: step.queue_timeout.or(flow.defaults.queue_timeout).unwrap_or(QUEUE_TIMEOUT),
            retry: retry(step, flow, record),
            until: step.until.as_ref().map(|until| Until {
                expect: until.expect.iter().map(|(_, text)| text.clone()).collect(),
                every: until.every,
                within: until.within,
            }),
            expect_failure: step.expect_failure,
            secrets: secrets(step, record),
        };
        let about = about(step, flow, record);
        let planned = planned(layer, at, Does::Call(call), times, about);
        (Some(self.push(planned)), Facing::of_function(record))
    }

    fn composite(
        &mut self,
        layer: &Layer,
        at: usize,
        names: Vec<String>,
        times: Option<u64>,
        inner: Inner,
    ) -> (Option<u32>, Facing) {
        let Inner { checked: inner, extends, has_folder } = inner;
        let (outer, step) = (&layer.checked, &layer.checked.flow.steps[at]);
        let problem = |at, message: String| Problem::new(&outer.source, at, message);
        for key in keys::CALL_ONLY.into_iter().filter(|key| step.keys.contains_key(key)) {
            let message = format!("{} is a flow, and takes no {key}", step.uses.name);
            let problem = problem(step.key(key), message).label("only for a function");
            let help = format!("say {key} on the steps inside it");
            self.problems.push(problem.and(step.uses.at.clone(), "a flow").help(help));
        }
        if let Over::For(_) = step.over {
            let message = format!("{} is a flow, and is not repeated for a time", step.uses.name);
            let problem = problem(step.key("repeat"), message).label("only for a function");
            self.problems
                .push(problem.help("say repeat: { count: 10 }, or repeat the steps inside for a time"));
        }
        if !inner.flow.data.is_empty() && !has_folder {
            let message = format!("{} has data files, which did not come with it", inner.flow.name);
            let problem = problem(step.uses.at.clone(), message);
            self.problems.push(problem.help("let it take them as inputs"));
        }
        let keys = inner.flow.data.iter().map(|(name, _)| (name.to_string(), data_key(&inner.flow, name)));
        let data: BTreeMap<_, _> = keys.collect();
        let does = Does::Flow(sub_flow(&inner, extends, data.clone()));
        let about = about(step, &inner.flow, None);
        let parent = self.push(planned(layer, at, does, times, about));
        let overlay = Overlay {
            defaults: outer.flow.defaults.place.overlaid(&layer.overlay.defaults),
            callers: step.place.overlaid(&layer.overlay.callers),
            each: layer.overlay.each.clone(),
        };
        let facing = Facing::of_flow(&inner.flow);
        let mut chain = layer.chain.clone();
        chain.push(inner.flow.name.clone());
        let mut inside = Layer {
            checked: inner,
            parent: Some(parent),
            names,
            overlay,
            known: BTreeMap::new(),
            data,
            times,
            chain,
            run: layer.run,
        };
        inside.known = self.known_inputs(layer, step, &inside);
        self.lay(&inside);
        (Some(parent), facing)
    }
}

/// When a step is tried again: as with its timeout, what its function says goes before what the flow says
/// for all of its steps, since whoever wrote the function knows what of it may be repeated.
fn retry(step: &Step, flow: &Flow, record: Option<&FunctionRecord>) -> Retry {
    let of_function = || record.and_then(|record| record.retry.clone());
    step.retry.clone().or_else(of_function).or_else(|| flow.defaults.retry.clone()).unwrap_or_default()
}

/// The secrets of a step: those that it names, and those that its function needs wherever it is used.
fn secrets(step: &Step, record: Option<&FunctionRecord>) -> Vec<String> {
    let mut names: Vec<String> = step.secrets.iter().map(|(_, name)| name.clone()).collect();
    let of_function = record.iter().flat_map(|record| &record.secrets);
    let more: Vec<_> = of_function.filter(|name| !names.contains(name)).cloned().collect();
    names.extend(more);
    names
}

/// What the command line may call a step: the composites that it is in, then itself.
fn names(outer: &[String], step: &Step, by_group: bool) -> Vec<String> {
    let mut names = outer.to_vec();
    let own = outer.last().map_or_else(|| step.name.to_string(), |last| format!("{last}/{}", step.name));
    // Laid out by group, a step is meant in each of them, too.
    if let Some((_, inside)) = own.split_once('/').filter(|_| by_group) {
        names.push(inside.to_owned());
    }
    names.push(own);
    names
}
