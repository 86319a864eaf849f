//! From a checked flow to the plan of one run: inputs, data, functions and places resolved.
//!
//! Pure: what is on the command line, in files and in the catalogue comes in as values.

use std::collections::BTreeMap;
use std::time::Duration;

use rfx_expr::{Scope, Template};
use rfx_schemas::id::RunId;
use rfx_schemas::name::{Group, Queue, Version};
use rfx_schemas::plan::{DataSet, Plan, PlannedStep};
use rfx_schemas::record::FunctionRecord;
use serde_json::{Map, Value, json};

use crate::check::Checked;
use crate::diagnostic::{Problem, Problems, Source, did_you_mean};
use crate::model::{Input, InputKind, Place, Step};

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
    /// Data sets, the flow's own and `--data NAME=FILE`, already read.
    pub data: BTreeMap<String, (DataSet, Value)>,
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
}

/// Plans a run; all that is wrong is found at once.
pub fn plan(
    checked: &Checked,
    run: RunId,
    request: &Request,
    catalogue: &Catalogue,
) -> Result<Plan, Problems> {
    let mut planner = Planner { checked, request, catalogue, problems: Vec::new() };
    let target = planner.target();
    let inputs = planner.inputs(run, &target);
    planner.data();
    planner.places();
    let flow = &checked.flow;
    let mut steps: Vec<_> =
        flow.steps.iter().enumerate().filter_map(|(at, step)| planner.step(at, step)).collect();
    Problems::from_list(planner.problems)?;
    let data: BTreeMap<_, _> =
        request.data.iter().map(|(name, (set, _))| (name.clone(), set.clone())).collect();
    for step in &mut steps {
        step.items = known_items(step.each.as_ref(), &inputs, &request.data);
    }
    Ok(Plan {
        flow: flow.name.clone(),
        description: flow.description.clone(),
        inputs,
        target,
        data,
        steps,
        outputs: flow.outputs.iter().map(|(name, (_, value))| (name.to_string(), value.clone())).collect(),
        deadline: flow.deadline.unwrap_or(DEADLINE),
    })
}

/// How many items a step has, when its list is an input or a data set as a whole.
fn known_items(
    each: Option<&Value>,
    inputs: &BTreeMap<String, Value>,
    data: &BTreeMap<String, (DataSet, Value)>,
) -> Option<u64> {
    let Some(each) = each else { return Some(1) };
    if let Some(list) = each.as_array() {
        return Some(list.len() as u64);
    }
    let template = Template::parse(each).ok()?;
    let Template::Whole(expression) = &template else { return None };
    let [path] = expression.paths() else { return None };
    if expression.text() != path.to_string() {
        return None;
    }
    let value = match path.names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["inputs", name] => inputs.get(name)?,
        ["data", name] => &data.get(name)?.1,
        _ => return None,
    };
    value.as_array().map(|list| list.len() as u64)
}

struct Planner<'a> {
    checked: &'a Checked,
    request: &'a Request,
    catalogue: &'a Catalogue,
    problems: Vec<Problem>,
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

    fn target(&mut self) -> BTreeMap<String, String> {
        let declared = &self.checked.flow.target;
        let mut target: BTreeMap<_, _> = declared.iter().map(|(n, v)| (n.to_string(), v.clone())).collect();
        for (name, value) in &self.request.target {
            if target.insert(name.clone(), value.clone()).is_none() {
                let known: Vec<_> = declared.iter().map(|(n, _)| n.as_str()).collect();
                self.unknown_option("--target", name, &known);
            }
        }
        target
    }

    fn data(&mut self) {
        let declared: Vec<_> = self.checked.flow.data.iter().map(|(n, _)| n.as_str()).collect();
        for name in self.request.data.keys() {
            if !declared.contains(&name.as_str()) {
                self.unknown_option("--data", name, &declared);
            }
        }
    }

    fn places(&mut self) {
        let steps: Vec<_> = self.checked.flow.steps.iter().map(|s| s.name.as_str()).collect();
        for (step, _) in &self.request.places {
            if let Some(step) = step.as_deref().filter(|s| !steps.contains(s)) {
                self.unknown_option("--where", step, &steps);
            }
        }
    }

    fn inputs(&mut self, run: RunId, target: &BTreeMap<String, String>) -> BTreeMap<String, Value> {
        let declared = &self.checked.flow.inputs;
        for name in self.request.inputs.keys() {
            if !declared.iter().any(|(known, _)| known.as_str() == name) {
                let known: Vec<_> = declared.iter().map(|(n, _)| n.as_str()).collect();
                self.unknown_option("--input", name, &known);
            }
        }
        let mut scope = Scope::default();
        let data: Map<_, _> =
            self.request.data.iter().map(|(n, (_, value))| (n.clone(), value.clone())).collect();
        scope.set("data", &Value::Object(data));
        scope.set("target", &json!(target));
        scope.set("run", &json!({"id": run}));
        let mut inputs = BTreeMap::new();
        for (name, input) in declared {
            let value = self.input(name.as_str(), input, &scope);
            inputs.insert(name.to_string(), value.unwrap_or(Value::Null));
        }
        inputs
    }

    fn input(&mut self, name: &str, input: &Input, scope: &Scope<'_>) -> Option<Value> {
        if let Some(text) = self.request.inputs.get(name) {
            let value = match input.kind {
                InputKind::String => Value::String(text.clone()),
                _ => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())),
            };
            if !input.kind.accepts(&value) {
                let expected = input.kind.as_str();
                let message = format!("input {name}: expected {expected}, got {text}");
                self.option(
                    &format!("--input {name}"),
                    text,
                    message,
                    format!("write it as JSON of type {expected}"),
                );
            }
            return Some(value);
        }
        if let Some((at, template)) = &input.default {
            let source = &self.checked.source;
            let value = Template::parse(template).expect("the flow is checked").eval(scope);
            match value {
                Ok(value) if input.kind.accepts(&value) => return Some(value),
                Ok(value) => {
                    let text: String = value.to_string().chars().take(60).collect();
                    let message =
                        format!("input {name}: the default {text} is not of type {}", input.kind.as_str());
                    self.problems.push(
                        Problem::new(source, at.clone(), message).help("change the type or the default"),
                    );
                }
                Err(error) => {
                    let message = format!("input {name}: the default has no value: {error}");
                    self.problems
                        .push(Problem::new(source, at.clone(), message).help("give the input with --input"));
                }
            }
        } else if input.required {
            let message = format!("input {name} is required and has no value");
            self.option("--input", name, message, format!("add --input {name}=…"));
        }
        None
    }

    fn step(&mut self, at: usize, step: &Step) -> Option<PlannedStep> {
        let flow = &self.checked.flow;
        let placed = self.place(step)?;
        let record = self.catalogue.functions.iter().find(|r| {
            r.name == step.uses.name && r.group == placed.group && Some(&r.version) == placed.version.as_ref()
        });
        let own_timeout = record.and_then(|r| r.timeout).and_then(|s| Duration::try_from_secs_f64(s).ok());
        Some(PlannedStep {
            name: step.name.clone(),
            phase: step.phase,
            uses: step.uses.name.clone(),
            queue: step.queue.clone().or_else(|| record.map(|r| r.queue.clone())).unwrap_or_else(Queue::main),
            group: placed.group,
            version: placed.version,
            needs: self.checked.edges[at].iter().map(|n| u32::try_from(*n).expect("few steps")).collect(),
            condition: step.condition.as_ref().map(|(_, text)| text.clone()),
            each: step.each.as_ref().map(|(_, value)| value.clone()),
            items: None,
            with: step.with.1.clone(),
            expect: step.expect.iter().map(|(_, text)| text.clone()).collect(),
            timeout: step.timeout.or(own_timeout).or(flow.defaults.timeout).unwrap_or(TIMEOUT),
            queue_timeout: flow.defaults.queue_timeout.unwrap_or(QUEUE_TIMEOUT),
            retry: step.retry.clone().or_else(|| flow.defaults.retry.clone()).unwrap_or_default(),
            max_parallel: step.max_parallel,
            keep_output: self.checked.read.contains(&at),
        })
    }

    /// What applies to a step: defaults, its own `where`, then the command line, key by key.
    fn wanted(&self, step: &Step) -> Place {
        let own = self.checked.flow.defaults.place.overlaid(&step.place);
        let all = |named: bool| self.request.places.iter().filter(move |(s, _)| s.is_some() == named);
        let general = all(false).fold(own, |place, (_, over)| place.overlaid(over));
        let mine = all(true).filter(|(s, _)| s.as_deref() == Some(step.name.as_str()));
        mine.fold(general, |place, (_, over)| place.overlaid(over))
    }

    /// Group and version of a step. Of several matching groups, the one with the least pending.
    fn place(&mut self, step: &Step) -> Option<Placed> {
        let wanted = self.wanted(step);
        let serving: Vec<_> = self.catalogue.functions.iter().filter(|r| r.name == step.uses.name).collect();
        if serving.is_empty() && self.catalogue.complete {
            return self.unknown_function(step);
        }
        let fits = |g: &&LiveGroup| {
            wanted.group.as_ref().is_none_or(|group| *group == g.group)
                && wanted.labels.iter().all(|(k, v)| g.labels.get(k) == Some(v))
        };
        let fitting: Vec<_> = self.catalogue.groups.iter().filter(fits).collect();
        if fitting.is_empty() && !wanted.labels.is_empty() && wanted.group.is_none() {
            return self.no_such_place(step, &wanted);
        }
        let serves = |g: &&&LiveGroup| serving.iter().any(|r| r.group == g.group);
        let best = fitting.iter().filter(serves).min_by_key(|g| (g.pending, g.group.clone()));
        // Nobody serves it now: it waits in a place that was asked for, else where it was served last.
        let asked = !wanted.labels.is_empty() || wanted.group.is_some();
        let waits = fitting.first().filter(|_| asked).map(|g| g.group.clone());
        let served = serving.first().map(|r| r.group.clone());
        let group = best.map(|g| g.group.clone()).or(wanted.group).or(waits).or(served);
        let group = group.unwrap_or_else(|| self.catalogue.fallback.clone());
        let mut versions: Vec<_> =
            serving.iter().filter(|r| r.group == group).map(|r| r.version.clone()).collect();
        versions.sort_by_key(numeric);
        match &step.uses.version {
            Some(version) if versions.is_empty() || versions.contains(version) => {
                Some(Placed { group, version: Some(version.clone()) })
            }
            Some(version) => {
                let all = versions.iter().map(Version::as_str).collect::<Vec<_>>().join(", ");
                let message = format!("{}@{version} is not served in group {group}", step.uses.name);
                let problem = Problem::new(&self.checked.source, step.uses.at.clone(), message);
                self.problems.push(problem.help(format!("versions served there: {all}")));
                None
            }
            None => Some(Placed { group, version: versions.pop() }),
        }
    }

    fn unknown_function(&mut self, step: &Step) -> Option<Placed> {
        let known = self.catalogue.functions.iter().map(|r| r.name.as_str());
        let help = did_you_mean(step.uses.name.as_str(), known)
            .unwrap_or_else(|| "rfx-publish functions lists what there is".to_owned());
        let message = format!("no pool has a function {}", step.uses.name);
        let problem =
            Problem::new(&self.checked.source, step.uses.at.clone(), message).label("unknown function");
        self.problems.push(problem.help(help));
        None
    }

    fn no_such_place(&mut self, step: &Step, wanted: &Place) -> Option<Placed> {
        let live = self.catalogue.groups.iter().map(|g| {
            let labels: Vec<_> = g.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("{} ({})", g.group, labels.join(","))
        });
        let live: Vec<_> = live.collect();
        let help = match live.is_empty() {
            true => "no worker is up; start one, or name a group: --where group=NAME".to_owned(),
            false => format!("live groups: {}; or name a group: --where group=NAME", live.join(", ")),
        };
        let message = format!("step {}: no live group has {wanted}", step.name);
        let problem = Problem::new(&self.checked.source, step.at.clone(), message).label("this step");
        self.problems.push(problem.help(help));
        None
    }
}

struct Placed {
    group: Group,
    version: Option<Version>,
}

/// Orders versions by number, not by text: 10 comes after 9.
fn numeric(version: &Version) -> Vec<u64> {
    version.as_str().split('.').map(|part| part.parse().unwrap_or(u64::MAX)).collect()
}
