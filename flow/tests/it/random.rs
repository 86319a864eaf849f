//! Random flows: a flow, one that it may use, and one that either may use.

use proptest::prelude::*;
use proptest::sample::Index;

/// What a step runs over.
#[derive(Debug, Clone, Copy)]
pub enum Over {
    Once,
    Each(u8),
    /// Each over the output of an earlier step, if that has one job.
    EachOutput,
    Matrix,
    Repeat(u8),
    /// For some seconds: how many jobs that makes depends on time.
    For,
    Batch,
}

/// What a step is tied to.
#[derive(Debug, Clone, Copy)]
pub enum Tie {
    None,
    Needs,
    Reads,
    /// Reads what is not there.
    ReadsNothing,
    IfFailed,
    IfPassed,
}

/// A step.
#[derive(Debug, Clone)]
pub struct Step {
    over: Over,
    tie: Tie,
    other: Index,
    /// Of 8: the flow below, the flow below that, else a function.
    uses: u8,
    attempts: u8,
    polls: bool,
    allows: u8,
    parallel: u8,
}

/// The steps of a flow, by phase.
#[derive(Debug, Clone)]
pub struct Body {
    setup: Vec<Step>,
    steps: Vec<Step>,
    on_failure: Vec<Step>,
    teardown: Vec<Step>,
}

/// A flow with those that it may use.
#[derive(Debug, Clone)]
pub struct Flows(pub [Body; 3]);

fn step() -> impl Strategy<Value = Step> {
    let over = prop_oneof![
        6 => Just(Over::Once),
        3 => (1u8..4).prop_map(Over::Each),
        2 => Just(Over::EachOutput),
        1 => Just(Over::Matrix),
        1 => (1u8..4).prop_map(Over::Repeat),
        1 => Just(Over::For),
        1 => Just(Over::Batch),
    ];
    let tie = prop_oneof![
        4 => Just(Tie::None),
        2 => Just(Tie::Needs),
        3 => Just(Tie::Reads),
        1 => Just(Tie::ReadsNothing),
        1 => Just(Tie::IfFailed),
        1 => Just(Tie::IfPassed),
    ];
    let more = (0u8..8, 1u8..4, prop::bool::weighted(0.2), 0u8..8, 0u8..4);
    (over, tie, any::<Index>(), more).prop_map(|(over, tie, other, more)| {
        let (uses, attempts, polls, allows, parallel) = more;
        Step { over, tie, other, uses, attempts, polls, allows, parallel }
    })
}

fn body(steps: usize) -> impl Strategy<Value = Body> {
    let few = |most| prop::collection::vec(step(), 0..=most);
    (few(2), prop::collection::vec(step(), 1..=steps), few(1), few(2))
        .prop_map(|(setup, steps, on_failure, teardown)| Body { setup, steps, on_failure, teardown })
}

/// Random flows.
pub fn flows() -> impl Strategy<Value = Flows> {
    (body(4), body(2), body(2)).prop_map(|(root, mid, leaf)| Flows([root, mid, leaf]))
}

const NAMES: [&str; 3] = ["root", "r.mid", "r.leaf"];

impl Flows {
    /// Their texts, the run's own first. `timed` for those whose number of jobs depends on time, too.
    pub fn texts(&self, timed: bool) -> [String; 3] {
        [0, 1, 2].map(|level| self.0[level].text(level, timed))
    }
}

impl Body {
    fn text(&self, level: usize, timed: bool) -> String {
        let mut text = format!("flow: {}\n", NAMES[level]);
        if level > 0 {
            text += "inputs: { v: { default: 1 } }\n";
        }
        let phases = [
            ("setup", "up", &self.setup),
            ("steps", "s", &self.steps),
            ("on_failure", "f", &self.on_failure),
            ("teardown", "down", &self.teardown),
        ];
        for (phase, name, steps) in phases.into_iter().filter(|(_, _, steps)| !steps.is_empty()) {
            text += &format!("{phase}:\n");
            for (at, step) in steps.iter().enumerate() {
                // What steps of this phase may read: what comes before, in it or in the one before it.
                let mut before: Vec<_> = match phase {
                    "setup" => Vec::new(),
                    _ => self.setup.iter().enumerate().map(|(n, s)| (format!("setup.up{n}"), s)).collect(),
                };
                let readable = matches!(phase, "setup" | "steps");
                let same = steps[..at].iter().enumerate().filter(|_| readable);
                before.extend(same.map(|(n, s)| (format!("{phase}.{name}{n}"), s)));
                text += &step.text(&format!("{name}{at}"), phase, level, timed, &before);
            }
        }
        let last = self.steps.len() - 1;
        text + &format!("outputs: {{ r: \"${{{{ steps.s{last}.output }}}}\" }}\n")
    }
}

impl Step {
    fn flow(&self, level: usize) -> Option<usize> {
        let flow = match self.uses {
            0 => level + 1,
            1 => level + 2,
            _ => return None,
        };
        (flow < NAMES.len()).then_some(flow)
    }

    fn text(&self, name: &str, phase: &str, level: usize, timed: bool, before: &[(String, &Self)]) -> String {
        let flow = self.flow(level);
        let mut keys = vec![format!("uses: {}", flow.map_or("f.any", |flow| NAMES[flow]))];
        let other = (!before.is_empty()).then(|| &before[self.other.index(before.len())]);
        keys.push(match (self.over, other) {
            (Over::EachOutput, Some((path, step)))
                if matches!(step.over, Over::Once) && step.flow(level).is_none() =>
            {
                format!("each: \"${{{{ {path}.output }}}}\"")
            }
            (Over::Matrix, _) => "matrix: { a: [1, 2], b: [x, y], exclude: [{ a: 2, b: y }] }".to_owned(),
            (Over::Repeat(n), _) => format!("repeat: {{ count: {n} }}"),
            (Over::For, _) if timed && flow.is_none() => "repeat: { for: 2s }".to_owned(),
            (Over::Batch, _) if flow.is_none() => "each: [0, 1, 2], batch: 2".to_owned(),
            (Over::Each(n), _) => format!("each: {:?}", (0..n).collect::<Vec<_>>()),
            _ => String::new(),
        });
        if let Some((path, _)) = other {
            let same = path.split_once('.').filter(|(of, _)| *of == phase).map(|(_, name)| name);
            keys.push(match (self.tie, same) {
                (Tie::Needs, Some(name)) => format!("needs: [{name}]"),
                (Tie::Reads, _) => format!("with: {{ v: \"${{{{ {path}.output }}}}\" }}"),
                (Tie::ReadsNothing, _) => format!("with: {{ v: \"${{{{ [{path}.output][7] }}}}\" }}"),
                (Tie::IfFailed, _) => format!("if: {path}.verdict == \"failed\""),
                (Tie::IfPassed, _) => format!("if: {path}.verdict == \"passed\""),
                _ => String::new(),
            });
        }
        if flow.is_none() {
            keys.push(format!("retry: {{ max_attempts: {}, backoff: 1s }}", self.attempts));
            if self.polls {
                keys.push("until: { expect: size(output) > 0, every: 1s, within: 1h }".to_owned());
            }
        }
        keys.extend(match self.allows {
            0 => Some("allow_failure: true".to_owned()),
            1 => Some("allow_failure: 50%".to_owned()),
            _ => None,
        });
        if self.parallel > 0 && !matches!(self.over, Over::For) {
            keys.push(format!("max_parallel: {}", self.parallel));
        }
        keys.retain(|key| !key.is_empty());
        format!("  {name}: {{ {} }}\n", keys.join(", "))
    }
}
