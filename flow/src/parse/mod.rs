//! From the positioned tree to a flow: which keys there are and which types they take.
//!
//! Nothing here looks across steps; that is `check`'s part. Everything wrong is collected.

pub mod keys;
mod step;
mod values;

use std::collections::BTreeMap;

use rfx_schemas::gate::Gate;
use rfx_schemas::plan::{About, Phase};
use rfx_schemas::rules::Retry;
use rfx_schemas::verdict::OutcomeKind;

use crate::diagnostic::{Problem, Source};
use crate::model::{DataFile, Defaults, Flow, Input, InputKind};
use crate::yaml::{Key, Kind, Node};

/// Reads a flow's tree; what could not be read is in `problems`.
pub fn flow(source: &Source, root: &Node, problems: &mut Vec<Problem>) -> Flow {
    let mut reader = Reader { source, problems };
    let mut fields = reader.map(root, &keys::FLOW, "a flow");
    let mut flow = Flow { at: root.at.start..root.at.start + 1, ..Flow::default() };
    reader.head(&mut flow, &fields);
    if let Some((_, node)) = fields.remove("inputs") {
        flow.inputs = reader.named(node, Reader::input);
    }
    if let Some((_, node)) = fields.remove("data") {
        flow.data = reader
            .named(node, |reader, _, node| Some(DataFile { at: node.at.clone(), path: reader.text(node)? }));
    }
    if let Some((_, node)) = fields.remove("target") {
        flow.target = reader.named(node, |reader, _, node| reader.text(node));
    }
    if let Some((_, node)) = fields.remove("defaults") {
        flow.defaults = reader.defaults(node);
    }
    if let Some((_, node)) = fields.remove("deadline") {
        flow.deadline = reader.duration(node);
    }
    if let Some((key, node)) = fields.remove("gate") {
        flow.gate_at = key.at.clone();
        flow.gate = Some(reader.gate(node));
    }
    if let Some((_, node)) = fields.remove("outputs") {
        flow.outputs = reader.named(node, |_, _, node| Some((node.at.clone(), node.to_json())));
    }
    for phase in Phase::ALL {
        if let Some((_, node)) = fields.remove(phase.key()) {
            reader.steps(node, phase, &mut flow.steps);
        }
    }
    let main = flow.steps.iter().any(|s| s.phase == Phase::Main);
    // Steps that could not be read, or stand under another key, have their own message.
    if !main && flow.extends.is_none() && reader.problems.is_empty() {
        let at = flow.at.clone();
        reader.problem(at, "the flow has no steps", "add steps: with at least one step");
    }
    flow
}

type Fields<'n> = BTreeMap<&'static str, (&'n Key, &'n Node)>;

struct Reader<'a> {
    source: &'a Source,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    /// What a flow says about itself.
    fn head(&mut self, flow: &mut Flow, fields: &Fields<'_>) {
        match fields.get("flow") {
            Some((_, node)) => {
                flow.at = node.at.clone();
                flow.name = self.text(node).filter(|n| self.flow_name(node, n)).unwrap_or_default();
            }
            None => self.problem(flow.at.clone(), "the flow has no name", "start with flow: my_flow"),
        }
        if let Some((_, node)) = fields.get("description") {
            flow.description = self.text(node).unwrap_or_default();
        }
        if let Some((_, node)) = fields.get("version") {
            flow.version = match &node.kind {
                Kind::Number(number) if number.is_u64() => number.to_string().parse().ok(),
                Kind::Number(number) => {
                    let message = format!("{number} is not a version: 1.10 would be read as 1.1");
                    self.problem(node.at.clone(), message, "write it in quotes: version: \"1.10\"");
                    None
                }
                _ => self.text(node).and_then(|text| {
                    let parsed = text.parse();
                    parsed
                        .map_err(|error: rfx_schemas::name::NameError| {
                            self.problem(node.at.clone(), error.to_string(), "write version: 2, or \"2.1\"");
                        })
                        .ok()
                }),
            };
        }
        flow.about = self.about(fields);
        if let Some((_, node)) = fields.get("extends") {
            flow.extends = self.uses(node);
            for (name, (key, _)) in fields.iter().filter(|(name, _)| keys::TAKEN_OVER.contains(name)) {
                let message = format!("a flow that extends another one takes no {name}");
                let help =
                    "it takes the steps over; it may change defaults of inputs, target, defaults, gate";
                self.problem(key.at.clone(), message, help);
            }
        }
    }

    fn about(&mut self, fields: &Fields<'_>) -> About {
        About {
            owner: fields.get("owner").and_then(|(_, node)| self.text(node)),
            tags: match fields.get("tags") {
                Some((_, node)) => self.texts(node).into_iter().map(|(_, text)| text).collect(),
                None => Vec::new(),
            },
            labels: fields.get("labels").map(|(_, node)| self.labels(node)).unwrap_or_default(),
        }
    }

    fn flow_name(&mut self, node: &Node, name: &str) -> bool {
        if crate::library::is_reserved(name) {
            let message = format!("{name} is a name of rfx itself");
            self.problem(
                node.at.clone(),
                message,
                "names that begin with rfx. are built in; take another one",
            );
            return false;
        }
        match name.parse::<rfx_schemas::name::Function>() {
            Ok(_) => true,
            Err(error) => {
                self.problem(node.at.clone(), error.to_string(), "flows share the names of functions");
                false
            }
        }
    }

    fn input(&mut self, key: &Key, node: &Node) -> Option<Input> {
        let fields = self.map(node, &keys::INPUT, "an input");
        let kind = match fields.get("type") {
            Some((_, node)) => {
                let text = self.text(node)?;
                let kind = InputKind::parse(&text);
                if kind.is_none() {
                    let help = format!("use one of {}", InputKind::ALL.map(InputKind::as_str).join(", "));
                    self.problem(node.at.clone(), format!("{text:?} is not a type of input"), help);
                }
                Some(kind?)
            }
            None => None,
        };
        Some(Input {
            at: key.at.clone(),
            source: None,
            kind,
            required: fields.get("required").and_then(|(_, node)| self.boolean(node)),
            default: fields.get("default").map(|(_, node)| (node.at.clone(), node.to_json())),
            description: fields.get("description").and_then(|(_, node)| self.text(node)),
        })
    }

    fn defaults(&mut self, node: &Node) -> Defaults {
        let fields = self.map(node, &keys::DEFAULTS, "defaults");
        Defaults {
            timeout: fields.get("timeout").and_then(|(_, node)| self.duration(node)),
            queue_timeout: fields.get("queue_timeout").and_then(|(_, node)| self.duration(node)),
            retry: fields.get("retry").and_then(|(_, node)| self.retry(node)),
            place: fields.get("where").map(|(_, node)| self.place(node)).unwrap_or_default(),
        }
    }

    fn gate(&mut self, node: &Node) -> Gate {
        let fields = self.map(node, &keys::GATE, "gate");
        Gate {
            min_jobs: fields.get("min_jobs").and_then(|(_, node)| self.whole(node, 0)),
            max_failed: fields.get("max_failed").and_then(|(_, node)| self.share(node)),
            max_flaky: fields.get("max_flaky").and_then(|(_, node)| self.share(node)),
            max_skipped: fields.get("max_skipped").and_then(|(_, node)| self.share(node)),
            max_duration: fields.get("max_duration").and_then(|(_, node)| self.duration(node)),
        }
    }

    fn retry(&mut self, node: &Node) -> Option<Retry> {
        let fields = self.map(node, &keys::RETRY, "retry");
        let mut retry = Retry::default();
        if let Some((_, node)) = fields.get("max_attempts") {
            retry.max_attempts = self.count(node)?;
        }
        if let Some((_, node)) = fields.get("backoff") {
            retry.backoff = self.duration(node)?;
        }
        if let Some((_, node)) = fields.get("max_backoff") {
            retry.max_backoff = self.duration(node)?;
        }
        if let Some((_, node)) = fields.get("lost") {
            retry.lost = self.whole(node, 0)?;
        }
        if let Some((_, node)) = fields.get("on") {
            retry.on = self.outcomes(node);
        }
        Some(retry)
    }

    fn outcomes(&mut self, node: &Node) -> Vec<OutcomeKind> {
        let mut kinds = Vec::new();
        for (at, text) in self.texts(node) {
            match text.as_str() {
                "failed" => kinds.push(OutcomeKind::Failed),
                "error" => kinds.push(OutcomeKind::Error),
                "lost" => self.problem(
                    at,
                    "what was lost has a budget of its own",
                    "say how often with lost: 3, in retry",
                ),
                _ => self.problem(at, format!("{text:?} is not tried again"), "use failed, error or both"),
            }
        }
        kinds
    }
}
