//! What a native function is told besides its input, and what it tells on its way.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard};

use rfx_schemas::id::{Attempt, JobId, RunId};
use rfx_schemas::job::{Job, JobMessage};
use rfx_schemas::outcome::Assertion;
use rfx_schemas::trace::TraceContext;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::NotPassed;
use super::calls::Calls;
use super::not_passed::error;
use crate::attempt::Ending;
use crate::expect::judge;
use crate::runner::capture::Capture;
use crate::secrets::Secrets;

/// Most assertions that are kept of one attempt.
const ASSERTIONS: usize = 10_000;

/// What a native function is told besides its input.
#[derive(Debug, Clone)]
pub struct Context {
    /// The run.
    pub run: RunId,
    /// The flow.
    pub flow: String,
    /// The step, as `steps.device`.
    pub step: String,
    /// The job.
    pub job: JobId,
    /// Which attempt of it, from 1.
    pub attempt: Attempt,
    /// What people call the item; not unique.
    pub key: Option<String>,
    /// The system under test, by name.
    pub target: BTreeMap<String, String>,
    /// The attempt's span: give it to what the function calls.
    pub trace: TraceContext,
    /// When the attempt must have ended. Its future is dropped then.
    pub deadline: Instant,
    /// Cancelled when the run is.
    pub cancel: CancellationToken,
    /// The secrets that the step names.
    pub secrets: Secrets,
    /// What [`Context::call`] and [`Context::undo`] go through.
    pub(super) calls: Calls,
    pub(super) notes: Notes,
}

impl Context {
    /// The context of an attempt.
    pub(crate) fn new(
        message: &JobMessage,
        job: &Job,
        trace: TraceContext,
        secrets: Secrets,
        deadline: Instant,
        cancel: CancellationToken,
        calls: Calls,
    ) -> Self {
        Self {
            run: message.run,
            flow: message.flow.clone(),
            step: message.step.clone(),
            job: job.job,
            attempt: job.attempt,
            key: job.key.clone(),
            target: message.target.clone(),
            trace,
            deadline,
            cancel,
            secrets,
            calls,
            notes: Notes::default(),
        }
    }

    /// A context of no run, to test functions with.
    pub fn detached() -> Self {
        let run = RunId::new();
        Self {
            run,
            flow: "detached".to_owned(),
            step: "steps.detached".to_owned(),
            job: JobId { step: 0, item: 0 },
            attempt: Attempt::FIRST,
            key: None,
            target: BTreeMap::new(),
            trace: TraceContext::of_run(run, None),
            deadline: Instant::now() + std::time::Duration::from_secs(60 * 60),
            cancel: CancellationToken::new(),
            secrets: Secrets::default(),
            calls: Calls::default(),
            notes: Notes::default(),
        }
    }

    /// An address of the system under test.
    pub fn address(&self, name: &str) -> Result<&str, NotPassed> {
        self.target.get(name).map(String::as_str).ok_or_else(|| {
            let names: Vec<_> = self.target.keys().map(String::as_str).collect();
            let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            error("TargetError", format!("the target has no {name:?}; it has: {names}"))
        })
    }

    /// A secret that the step, or the function's registration, names.
    pub fn secret(&self, name: &str) -> Result<&str, NotPassed> {
        self.secrets.get(name).ok_or_else(|| {
            let message = format!(
                "the step was given no secret {name}; add it there: secrets: [{name}], or to the function"
            );
            error("SecretError", message)
        })
    }

    /// Keeps a line with the attempt, as what other functions print is kept.
    pub fn log(&self, line: impl Display) {
        self.notes.lock().printed.push(format!("{line}\n").as_bytes());
    }

    /// Records whether something holds, and goes on. At the end the function has failed if any did
    /// not. Gives back what it was told.
    pub fn expect(&self, label: impl Into<String>, passed: bool) -> bool {
        self.record(Assertion { label: label.into(), passed, expected: None, seen: None, message: None })
    }

    /// Records a comparison, and goes on; gives whether both are the same.
    pub fn expect_eq<S, E>(&self, label: impl Into<String>, seen: &S, expected: &E) -> bool
    where
        S: Serialize + ?Sized,
        E: Serialize + ?Sized,
    {
        let (seen, expected) = (json(seen), json(expected));
        let passed = seen == expected;
        let shown = |value: Value| Some(value.to_string());
        self.record(Assertion {
            label: label.into(),
            passed,
            expected: shown(expected),
            seen: shown(seen),
            message: None,
        })
    }

    fn record(&self, assertion: Assertion) -> bool {
        let passed = assertion.passed;
        let mut notes = self.notes.lock();
        // A loop that records for ever would take the worker's memory.
        if notes.assertions.len() < ASSERTIONS {
            notes.assertions.push(assertion);
        }
        passed
    }
}

/// What cannot be written as JSON is shown by its error, which equals nothing that can.
fn json<T: Serialize + ?Sized>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_else(|error| Value::String(format!("<{error}>")))
}

/// What a function told on its way; kept also when it is cut off.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    assertions: Vec<Assertion>,
    printed: Capture,
}

impl Notes {
    fn lock(&self) -> MutexGuard<'_, Told> {
        // A panic inside of a push leaves at worst one line less.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// An ending with what was told; it has failed if something did not hold.
    pub(super) fn complete(&self, mut ending: Ending) -> Ending {
        let mut told = self.lock();
        ending.tail = told.printed.take();
        ending.assertions = std::mem::take(&mut told.assertions);
        judge(ending)
    }
}
