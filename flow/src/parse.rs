//! From the positioned tree to a flow: which keys there are and which types they take.
//!
//! Nothing here looks across steps; that is `check`'s part. Everything wrong is collected.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use rfx_schemas::name::{Local, Queue};
use rfx_schemas::plan::{Phase, Retry};
use serde_json::Value;

use crate::diagnostic::{Problem, Source, did_you_mean};
use crate::model::{DataFile, Defaults, Flow, Input, InputKind, Place, Step, Use};
use crate::yaml::{Key, Kind, Node};

const FLOW_KEYS: [&str; 11] = [
    "flow",
    "description",
    "inputs",
    "data",
    "target",
    "defaults",
    "setup",
    "steps",
    "teardown",
    "outputs",
    "deadline",
];
const STEP_KEYS: [&str; 11] =
    ["uses", "with", "needs", "if", "each", "expect", "timeout", "retry", "max_parallel", "where", "queue"];
const RETRY_KEYS: [&str; 2] = ["max_attempts", "backoff"];
const DEFAULT_KEYS: [&str; 4] = ["timeout", "queue_timeout", "retry", "where"];
const INPUT_KEYS: [&str; 4] = ["type", "default", "description", "required"];

/// Reads a flow's tree; what could not be read is in `problems`.
pub fn flow(source: &Source, root: &Node, problems: &mut Vec<Problem>) -> Flow {
    let mut reader = Reader { source, problems };
    let mut fields = reader.map(root, &FLOW_KEYS, "a flow");
    let mut flow = Flow::default();
    match fields.remove("flow") {
        Some((_, node)) => {
            flow.name = reader.text(node).filter(|n| reader.flow_name(node, n)).unwrap_or_default()
        }
        None => reader.problem(
            root.at.start..root.at.start + 1,
            "the flow has no name",
            "start with flow: my_flow",
        ),
    }
    if let Some((_, node)) = fields.remove("description") {
        flow.description = reader.text(node).unwrap_or_default();
    }
    if let Some((_, node)) = fields.remove("inputs") {
        flow.inputs = reader.named(node, Reader::input);
    }
    if let Some((_, node)) = fields.remove("data") {
        flow.data = reader
            .named(node, |reader, node| Some(DataFile { at: node.at.clone(), path: reader.text(node)? }));
    }
    if let Some((_, node)) = fields.remove("target") {
        flow.target = reader.named(node, Reader::text);
    }
    if let Some((_, node)) = fields.remove("defaults") {
        flow.defaults = reader.defaults(node);
    }
    if let Some((_, node)) = fields.remove("deadline") {
        flow.deadline = reader.duration(node);
    }
    if let Some((_, node)) = fields.remove("outputs") {
        flow.outputs = reader.named(node, |_, node| Some((node.at.clone(), node.to_json())));
    }
    for phase in [Phase::Setup, Phase::Main, Phase::Teardown] {
        if let Some((_, node)) = fields.remove(phase.key()) {
            reader.steps(node, phase, &mut flow.steps);
        }
    }
    if !flow.steps.iter().any(|s| s.phase == Phase::Main) {
        reader.problem(
            root.at.start..root.at.start + 1,
            "the flow has no steps",
            "add steps: with at least one step",
        );
    }
    flow
}

type Fields<'n> = BTreeMap<String, (&'n Key, &'n Node)>;

struct Reader<'a> {
    source: &'a Source,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, at: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::new(self.source, at, message).help(help));
    }

    fn expected(&mut self, node: &Node, what: &str, example: &str) {
        let problem =
            Problem::new(self.source, node.at.clone(), format!("expected {what}, got {}", node.what()));
        self.problems.push(problem.label(format!("expected {what}")).help(format!("write it as {example}")));
    }

    /// The fields of a map whose keys are fixed.
    fn map<'n>(&mut self, node: &'n Node, known: &[&str], what: &str) -> Fields<'n> {
        let Kind::Map(entries) = &node.kind else {
            self.expected(node, "a map", &format!("{}: …", known[0]));
            return Fields::new();
        };
        let mut fields = Fields::new();
        for (key, value) in entries {
            if known.contains(&key.name.as_str()) {
                fields.insert(key.name.clone(), (key, value));
            } else {
                let help = did_you_mean(&key.name, known.iter().copied())
                    .unwrap_or_else(|| format!("{what} takes {}", known.join(", ")));
                let problem = Problem::new(
                    self.source,
                    key.at.clone(),
                    format!("unknown key {:?} in {what}", key.name),
                );
                self.problems.push(problem.label("not a key of rfx").help(help));
            }
        }
        fields
    }

    /// The entries of a map whose keys are names that the author gives.
    fn named<T>(
        &mut self,
        node: &Node,
        mut read: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Vec<(Local, T)> {
        let Kind::Map(entries) = &node.kind else {
            self.expected(node, "a map of names", "name: value");
            return Vec::new();
        };
        let mut all = Vec::new();
        for (key, value) in entries {
            if let Some(name) = self.local(key)
                && let Some(value) = read(self, value)
            {
                all.push((name, value));
            }
        }
        all
    }

    fn local(&mut self, key: &Key) -> Option<Local> {
        match key.name.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                let suggestion = key.name.to_lowercase().replace(['-', '.', ' '], "_");
                self.problem(key.at.clone(), error.to_string(), format!("write {suggestion}"));
                None
            }
        }
    }

    fn flow_name(&mut self, node: &Node, name: &str) -> bool {
        match name.parse::<rfx_schemas::name::Function>() {
            Ok(_) => true,
            Err(error) => {
                self.problem(node.at.clone(), error.to_string(), "flows share the names of functions");
                false
            }
        }
    }

    fn text(&mut self, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Text(text) => Some(text.clone()),
            _ => {
                self.expected(node, "a text", "\"…\", in quotes if it looks like something else");
                None
            }
        }
    }

    fn duration(&mut self, node: &Node) -> Option<Duration> {
        let example = "30s, 1m 30s or 2h";
        let Kind::Text(text) = &node.kind else {
            self.expected(node, "a duration with its unit", example);
            return None;
        };
        let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok());
        if parsed.is_none_or(|d| d.is_zero()) {
            self.problem(
                node.at.clone(),
                format!("{text:?} is not a duration above zero"),
                format!("write it as {example}"),
            );
            return None;
        }
        parsed
    }

    fn count(&mut self, node: &Node) -> Option<u32> {
        let number = match &node.kind {
            Kind::Number(n) => n.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0),
            _ => None,
        };
        if number.is_none() {
            self.expected(node, "a whole number from 1", "3");
        }
        number
    }

    fn input(&mut self, node: &Node) -> Option<Input> {
        let fields = self.map(node, &INPUT_KEYS, "an input");
        let kind = match fields.get("type") {
            Some((_, node)) => {
                let text = self.text(node)?;
                let kind = InputKind::parse(&text);
                if kind.is_none() {
                    let help = format!("use one of {}", InputKind::ALL.map(InputKind::as_str).join(", "));
                    self.problem(node.at.clone(), format!("{text:?} is not a type of input"), help);
                }
                kind?
            }
            None => InputKind::Any,
        };
        let required = match fields.get("required").map(|(_, node)| &node.kind) {
            Some(Kind::Bool(required)) => *required,
            Some(_) => {
                self.expected(fields["required"].1, "true or false", "true");
                false
            }
            None => !fields.contains_key("default"),
        };
        let default = fields.get("default").map(|(_, node)| (node.at.clone(), node.to_json()));
        Some(Input { kind, required, default })
    }

    fn defaults(&mut self, node: &Node) -> Defaults {
        let fields = self.map(node, &DEFAULT_KEYS, "defaults");
        Defaults {
            timeout: fields.get("timeout").and_then(|(_, node)| self.duration(node)),
            queue_timeout: fields.get("queue_timeout").and_then(|(_, node)| self.duration(node)),
            retry: fields.get("retry").and_then(|(_, node)| self.retry(node)),
            place: fields.get("where").map(|(_, node)| self.place(node)).unwrap_or_default(),
        }
    }

    fn retry(&mut self, node: &Node) -> Option<Retry> {
        let fields = self.map(node, &RETRY_KEYS, "retry");
        let mut retry = Retry::default();
        if let Some((_, node)) = fields.get("max_attempts") {
            retry.max_attempts = self.count(node)?;
        }
        if let Some((_, node)) = fields.get("backoff") {
            retry.backoff = self.duration(node)?;
        }
        Some(retry)
    }

    fn place(&mut self, node: &Node) -> Place {
        let Kind::Map(entries) = &node.kind else {
            self.expected(node, "a map of labels", "{ provider: aws } or { group: aws-eu1 }");
            return Place::default();
        };
        let mut place = Place::default();
        for (key, value) in entries {
            let Some(text) = self.text(value) else { continue };
            if let Err(error) = place.set(&key.name, &text) {
                self.problem(value.at.clone(), error.to_string(), "name a group that workers pull for");
            }
        }
        place
    }

    fn steps(&mut self, node: &Node, phase: Phase, steps: &mut Vec<Step>) {
        let Kind::Map(entries) = &node.kind else {
            self.expected(node, "a map of steps", "my_step: { uses: … }");
            return;
        };
        for (key, value) in entries {
            if let Some(name) = self.local(key)
                && let Some(step) = self.step(name, phase, key, value)
            {
                steps.push(step);
            }
        }
    }

    fn step(&mut self, name: Local, phase: Phase, key: &Key, node: &Node) -> Option<Step> {
        let fields = self.map(node, &STEP_KEYS, "a step");
        let Some((_, uses)) = fields.get("uses") else {
            if matches!(node.kind, Kind::Map(_)) {
                let message = format!("step {name} does not say which function it uses");
                self.problem(key.at.clone(), message, "add uses: my.function");
            }
            return None;
        };
        let value = |name: &str| fields.get(name).map(|(_, node)| (node.at.clone(), node.to_json()));
        let with = value("with").unwrap_or((key.at.clone(), Value::Object(serde_json::Map::new())));
        if !with.1.is_object() {
            self.expected(fields["with"].1, "a map of the function's parameters", "{ name: value }");
        }
        Some(Step {
            uses: self.uses(uses)?,
            with,
            each: value("each"),
            needs: fields.get("needs").map(|(_, node)| self.texts(node)).unwrap_or_default(),
            condition: fields.get("if").and_then(|(_, node)| Some((node.at.clone(), self.condition(node)?))),
            expect: fields.get("expect").map(|(_, node)| self.texts(node)).unwrap_or_default(),
            timeout: fields.get("timeout").and_then(|(_, node)| self.duration(node)),
            retry: fields.get("retry").and_then(|(_, node)| self.retry(node)),
            max_parallel: fields.get("max_parallel").and_then(|(_, node)| self.count(node)),
            place: fields.get("where").map(|(_, node)| self.place(node)).unwrap_or_default(),
            queue: fields.get("queue").and_then(|(_, node)| self.queue(node)),
            at: key.at.clone(),
            name,
            phase,
        })
    }

    fn condition(&mut self, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Bool(value) => Some(value.to_string()),
            _ => self.text(node),
        }
    }

    fn uses(&mut self, node: &Node) -> Option<Use> {
        let text = self.text(node)?;
        match rfx_schemas::record::parse_use(&text) {
            Ok((name, version)) => Some(Use { name, version, at: node.at.clone() }),
            Err(error) => {
                self.problem(node.at.clone(), error.to_string(), "write name or name@version");
                None
            }
        }
    }

    fn queue(&mut self, node: &Node) -> Option<Queue> {
        let text = self.text(node)?;
        text.parse()
            .map_err(|e: rfx_schemas::name::NameError| {
                self.problem(node.at.clone(), e.to_string(), "name a queue that workers of the group serve");
            })
            .ok()
    }

    /// One text or a list of them.
    fn texts(&mut self, node: &Node) -> Vec<(Range<usize>, String)> {
        match &node.kind {
            Kind::List(items) => {
                items.iter().filter_map(|item| Some((item.at.clone(), self.text(item)?))).collect()
            }
            _ => self.text(node).map(|text| (node.at.clone(), text)).into_iter().collect(),
        }
    }
}
