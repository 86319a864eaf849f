//! What a worker would say: the function `t.answer` of the table of cases, and how an attempt is judged.

use rfx_expr::{Expression, Scope};
use rfx_schemas::outcome::{Failure, kind};
use rfx_schemas::plan::Plan;
use rfx_schemas::rules::ExpectFailure;
use rfx_schemas::verdict::OutcomeKind;
use serde_json::{Value, json};

use crate::world::Message;

/// How an attempt ends.
#[derive(Debug, Clone)]
pub struct Ending {
    pub kind: OutcomeKind,
    pub output: Value,
    pub error: Option<Failure>,
    /// What it calls on the way, in turn, and what it says is to be undone.
    pub asks: Vec<Ask>,
}

/// A call, or something that is to be undone.
#[derive(Debug, Clone)]
pub struct Ask {
    pub undo: bool,
    pub input: Value,
}

impl Ending {
    pub fn of(kind: OutcomeKind, output: Value) -> Self {
        Self { kind, output, error: None, asks: Vec::new() }
    }

    pub fn lost(what: &str) -> Self {
        let error = Some(Failure::new(what, "not here"));
        Self { error, ..Self::of(OutcomeKind::Lost, Value::Null) }
    }
}

/// The function `t.answer`, judged by what its step polls for, expects, and how it is meant to fail.
pub fn t_answer(plan: &Plan, message: &Message) -> Ending {
    let input = message.job.input.parse().expect("JSON");
    let nth = |list: &Value| {
        let list = list.as_array()?;
        let at = message.job.attempt.get() as usize - 1;
        list.get(at).or(list.last()).cloned()
    };
    let said = nth(&input["kinds"]).unwrap_or_else(|| "passed".into());
    let kind = match said.as_str() {
        Some("passed") => OutcomeKind::Passed,
        Some("failed") => OutcomeKind::Failed,
        Some("error") => OutcomeKind::Error,
        Some("skipped") => OutcomeKind::Skipped,
        _ => panic!("{said} is no kind of t.answer"),
    };
    let output = nth(&input["outputs"]).unwrap_or_else(|| input["output"].clone());
    let asks = asks(&input);
    let Some(step) = plan.steps.get(message.job.job.step as usize) else {
        return Ending { asks, ..Ending::of(kind, output) };
    };
    let call = step.call().expect("only calls are published");
    let mut ended = kind;
    if kind == OutcomeKind::Passed {
        let until = call.until.as_ref().map(|until| until.expect.as_slice()).unwrap_or_default();
        if !holds(until, &output, message) {
            ended = OutcomeKind::Unmet;
        } else if !holds(&step.expect, &output, message) {
            ended = OutcomeKind::Failed;
        }
    }
    if let Some(rule) = call.expect_failure {
        ended = turned_round(rule, ended);
    }
    Ending { asks, ..Ending::of(ended, output) }
}

/// `calls` and `undos` of `t.answer`: lists of inputs, for `t.answer` again.
fn asks(input: &Value) -> Vec<Ask> {
    let of = |undo: bool| {
        let list = input[if undo { "undos" } else { "calls" }].as_array().cloned().unwrap_or_default();
        list.into_iter().map(move |input| Ask { undo, input })
    };
    of(true).chain(of(false)).collect()
}

fn holds(expect: &[String], output: &Value, message: &Message) -> bool {
    let mut scope = Scope::default();
    for (name, value) in message.scope.iter().filter_map(Value::as_object).flatten() {
        scope.set(name, value);
    }
    if let Some(item) = &message.job.item {
        let list = expect.iter().any(|text| text.contains("items"));
        scope.set(if list { "items" } else { "item" }, &item.parse().expect("JSON"));
    }
    scope.set("index", &Value::from(message.job.index));
    scope.set("output", output);
    let check = |text: &String| Expression::parse(text).expect("checked").check(&scope);
    expect.iter().all(|text| check(text).is_ok_and(|check| check.passed))
}

fn turned_round(rule: ExpectFailure, ended: OutcomeKind) -> OutcomeKind {
    match (ended, rule) {
        (OutcomeKind::Failed, ExpectFailure::Any | ExpectFailure::Failed)
        | (OutcomeKind::Error, ExpectFailure::Any | ExpectFailure::Error) => OutcomeKind::Passed,
        (OutcomeKind::Passed, _) => OutcomeKind::Failed,
        (other, _) => other,
    }
}

/// A random world's answer: by seed, step, item and attempt alone.
pub fn by_seed(seed: u64, plan: &Plan, message: &Message) -> Ending {
    let attempt = message.job.attempt.get();
    let path = &message.path;
    let dice = hash(seed, &format!("{path} {:?} {attempt}", message.job.key));
    let asks = random_asks(hash(seed, &format!("asks {path} {:?} {attempt}", message.job.key)), path);
    Ending { asks, ..by_dice(dice, plan, message) }
}

/// Now and then some calls and undos, of which some call again.
fn random_asks(dice: u64, path: &str) -> Vec<Ask> {
    let depth = path.matches("/call-").count() + path.matches("/undo-").count();
    let often = [40, 25, 10].get(depth).copied().unwrap_or(0);
    if dice % 100 >= often {
        return Vec::new();
    }
    let ask = |n: u64| Ask { undo: (dice >> (8 + n)).is_multiple_of(2), input: json!(n) };
    (0..=(dice / 100 % 3)).map(ask).collect()
}

fn by_dice(dice: u64, plan: &Plan, message: &Message) -> Ending {
    let attempt = message.job.attempt.get();
    let output = Value::from((0..dice / 100 % 3).collect::<Vec<_>>());
    let step = plan.steps.get(message.job.job.step as usize);
    let polls = step.and_then(|step| step.call()).is_some_and(|call| call.until.is_some());
    match dice % 100 {
        _ if polls && attempt <= 3 && dice.is_multiple_of(2) => Ending::of(OutcomeKind::Unmet, output),
        0..=7 => Ending::of(OutcomeKind::Failed, Value::Null),
        8..=15 => Ending::of(OutcomeKind::Error, Value::Null),
        16..=18 => Ending::of(OutcomeKind::Skipped, Value::Null),
        19..=21 => Ending::lost(kind::BROKER),
        22..=24 => Ending::lost(kind::UNSERVED),
        25 => Ending::lost(kind::POISON),
        _ => Ending::of(OutcomeKind::Passed, output),
    }
}

/// FNV-1a, with its bits mixed at the end.
pub fn hash(seed: u64, text: &str) -> u64 {
    let start = seed ^ 0xcbf2_9ce4_8422_2325;
    let mixed = text.bytes().fold(start, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    (mixed ^ (mixed >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}
