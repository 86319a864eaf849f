//! Reading a step.

use std::collections::BTreeMap;
use std::time::Duration;

use rfx_schemas::gate::Allowance;
use rfx_schemas::name::{Local, Queue};
use rfx_schemas::plan::Phase;
use rfx_schemas::rules::ExpectFailure;
use serde_json::Value;

use super::{Fields, Reader, keys};
use crate::model::{At, Matrix, Over, Step, Until};
use crate::yaml::{Key, Kind, Node};

/// How long polling goes on unless it says so.
const WITHIN: Duration = Duration::from_secs(60);
/// How often it polls unless it says so.
const EVERY: Duration = Duration::from_secs(1);

impl Reader<'_> {
    pub(super) fn steps(&mut self, node: &Node, phase: Phase, steps: &mut Vec<Step>) {
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
        let fields = self.map(node, &keys::STEP, "a step");
        let uses = match fields.get("uses") {
            Some((_, uses)) => self.uses(uses),
            None => {
                if matches!(node.kind, Kind::Map(_)) {
                    let message = format!("step {name} does not say which function it uses");
                    self.problem(key.at.clone(), message, "add uses: my.function");
                }
                None
            }
        };
        let (with, parameters) = self.with(&fields, key);
        let (over, parallel) = self.over(&fields);
        let duration = |reader: &mut Self, name| fields.get(name).and_then(|(_, node)| reader.duration(node));
        let texts = |reader: &mut Self, name: &str| {
            fields.get(name).map(|(_, node)| reader.texts(node)).unwrap_or_default()
        };
        let step = Step {
            with,
            parameters,
            over,
            batch: fields.get("batch").and_then(|(_, node)| self.count(node)),
            needs: texts(self, "needs"),
            condition: fields.get("if").and_then(|(_, node)| Some((node.at.clone(), self.condition(node)?))),
            expect: texts(self, "expect"),
            until: fields.get("until").and_then(|(_, node)| self.until(node)),
            expect_failure: fields.get("expect_failure").and_then(|(_, node)| self.expect_failure(node)),
            allow_failure: fields.get("allow_failure").and_then(|(_, node)| self.allow_failure(node)),
            timeout: duration(self, "timeout"),
            queue_timeout: duration(self, "queue_timeout"),
            retry: fields.get("retry").and_then(|(_, node)| self.retry(node)),
            max_parallel: fields.get("max_parallel").and_then(|(_, node)| self.count(node)).or(parallel),
            place: fields.get("where").map(|(_, node)| self.place(node)).unwrap_or_default(),
            queue: fields.get("queue").and_then(|(_, node)| self.queue(node)),
            secrets: texts(self, "secrets"),
            state: texts(self, "state"),
            about: self.about(&fields),
            keys: fields.iter().map(|(name, (key, _))| (*name, key.at.clone())).collect(),
            at: key.at.clone(),
            name,
            phase,
            // Last: without a function there is no step, but all else that is wrong in it is said by now.
            uses: uses?,
        };
        self.together(&step);
        Some(step)
    }

    fn with(
        &mut self,
        fields: &Fields<'_>,
        key: &Key,
    ) -> (At<Value>, BTreeMap<String, std::ops::Range<usize>>) {
        let Some((_, node)) = fields.get("with") else {
            return ((key.at.clone(), Value::Object(serde_json::Map::new())), BTreeMap::new());
        };
        let Kind::Map(entries) = &node.kind else {
            self.expected(node, "a map of the function's parameters", "{ name: value }");
            return ((node.at.clone(), Value::Object(serde_json::Map::new())), BTreeMap::new());
        };
        let places = entries.iter().map(|(key, _)| (key.name.clone(), key.at.clone())).collect();
        ((node.at.clone(), node.to_json()), places)
    }

    /// What gives the step more than one job, and how many of them at once `repeat` says.
    fn over(&mut self, fields: &Fields<'_>) -> (Over, Option<u32>) {
        let given: Vec<_> =
            ["each", "matrix", "repeat"].into_iter().filter(|k| fields.contains_key(k)).collect();
        if let [first, second, ..] = given[..] {
            let message = format!("a step has {first} or {second}, not both");
            self.problem(
                fields[second].0.at.clone(),
                message,
                "a matrix of two lists gives all combinations",
            );
        }
        match given.first() {
            Some(&"each") => {
                let node = fields["each"].1;
                (Over::Each((node.at.clone(), node.to_json())), None)
            }
            Some(&"matrix") => (self.matrix(fields["matrix"].1), None),
            Some(_) => self.repeat(fields["repeat"].1),
            None => (Over::Once, None),
        }
    }

    fn matrix(&mut self, node: &Node) -> Over {
        let Kind::Map(entries) = &node.kind else {
            self.expected(node, "a map of lists", "{ os: [linux, windows], size: [1, 2] }");
            return Over::Once;
        };
        let mut matrix = Matrix::default();
        for (key, value) in entries {
            if keys::MATRIX.contains(&key.name.as_str()) {
                let Kind::List(items) = &value.kind else {
                    self.expected(value, "a list of combinations", "[ { os: linux, size: 1 } ]");
                    continue;
                };
                for item in items.iter().filter(|item| !matches!(item.kind, Kind::Map(_) | Kind::Text(_))) {
                    self.expected(item, "a combination", "{ os: linux, size: 1 }");
                }
                let list = if key.name == "include" { &mut matrix.include } else { &mut matrix.exclude };
                list.extend(items.iter().map(Node::to_json));
            } else if let Some(name) = self.local(key) {
                if !matches!(value.kind, Kind::List(_) | Kind::Text(_)) {
                    self.expected(value, "a list", "[linux, windows], or \"${{ inputs.systems }}\"");
                }
                matrix.axes.push((name.to_string(), value.to_json()));
            }
        }
        self.excluded(node, &matrix);
        if matrix.axes.is_empty() && matrix.include.is_empty() {
            self.problem(node.at.clone(), "the matrix has no lists", "add one: { os: [linux, windows] }");
        }
        Over::Matrix((node.at.clone(), matrix))
    }

    /// What is excluded must be told by the matrix's own lists.
    fn excluded(&mut self, node: &Node, matrix: &Matrix) {
        for exclude in matrix.exclude.iter().filter_map(Value::as_object) {
            for name in exclude.keys().filter(|name| !matrix.axes.iter().any(|(axis, _)| axis == *name)) {
                let known = matrix.axes.iter().map(|(axis, _)| axis.as_str());
                let help = crate::diagnostic::did_you_mean(name, known)
                    .unwrap_or_else(|| "exclude by names of the matrix's lists".to_owned());
                self.problem(node.at.clone(), format!("the matrix has no list {name} to exclude by"), help);
            }
        }
    }

    fn repeat(&mut self, node: &Node) -> (Over, Option<u32>) {
        let fields = self.map(node, &keys::REPEAT, "repeat");
        let parallel = fields.get("parallel").and_then(|(_, node)| self.count(node));
        let over = match (fields.get("count"), fields.get("for")) {
            (Some((_, count)), None) => self.count(count).map(Over::Times),
            (None, Some((_, time))) => self.duration(time).map(Over::For),
            (Some(_), Some((key, _))) => {
                let at = key.at.clone();
                self.problem(at, "repeat has count or for, not both", "take one of them out");
                None
            }
            (None, None) if matches!(node.kind, Kind::Map(_)) => {
                self.problem(node.at.clone(), "repeat does not say how often", "add count: 10, or for: 5m");
                None
            }
            (None, None) => None,
        };
        let parallel = parallel.or(matches!(over, Some(Over::For(_))).then_some(1));
        (over.unwrap_or(Over::Once), parallel)
    }

    fn until(&mut self, node: &Node) -> Option<Until> {
        if matches!(node.kind, Kind::Text(_) | Kind::List(_)) {
            return Some(Until { expect: self.texts(node), every: EVERY, within: WITHIN });
        }
        let fields = self.map(node, &keys::UNTIL, "until");
        let Some((_, expect)) = fields.get("expect") else {
            if matches!(node.kind, Kind::Map(_)) {
                let help = "add expect: output.done";
                self.problem(node.at.clone(), "until does not say what to wait for", help);
            }
            return None;
        };
        Some(Until {
            expect: self.texts(expect),
            every: fields.get("every").and_then(|(_, node)| self.duration(node)).unwrap_or(EVERY),
            within: fields.get("within").and_then(|(_, node)| self.duration(node)).unwrap_or(WITHIN),
        })
    }

    fn expect_failure(&mut self, node: &Node) -> Option<ExpectFailure> {
        match &node.kind {
            Kind::Bool(true) => Some(ExpectFailure::Any),
            Kind::Bool(false) => None,
            Kind::Text(text) if text == "failed" => Some(ExpectFailure::Failed),
            Kind::Text(text) if text == "error" => Some(ExpectFailure::Error),
            _ => {
                self.expected(node, "true, failed or error", "expect_failure: true");
                None
            }
        }
    }

    fn allow_failure(&mut self, node: &Node) -> Option<Allowance> {
        match &node.kind {
            Kind::Bool(true) => Some(Allowance::Any),
            Kind::Bool(false) => None,
            _ => self.share(node),
        }
    }

    fn condition(&mut self, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Bool(value) => Some(value.to_string()),
            _ => self.text(node),
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

    /// Keys that say nothing together.
    fn together(&mut self, step: &Step) {
        if step.batch.is_some() && !matches!(step.over, Over::Each(_) | Over::Matrix(_)) {
            let message = "batch without a list to take items from";
            self.problem(step.key("batch"), message, "add each, or take batch out");
        }
        if step.until.is_some() && step.expect_failure.is_some() {
            let message = "a step that polls until something is there cannot be expected to fail";
            self.problem(step.key("expect_failure"), message, "take until or expect_failure out");
        }
        if let Some(until) = step.until.as_ref().filter(|until| until.every > until.within) {
            let message = format!("it polls every {:?}, but only within {:?}", until.every, until.within);
            self.problem(step.key("until"), message, "make within longer than every");
        }
        for (at, name) in &step.secrets {
            let wrong = name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if wrong || name.starts_with(|c: char| c.is_ascii_digit()) {
                let message = format!("{name:?} is not the name of a secret");
                self.problem(at.clone(), message, "use letters, digits and underscores: API_TOKEN");
            }
        }
    }
}
