//! Python runners: started from a pool's folder, kept warm, taken for one call at a time.

pub mod capture;
pub mod frames;
mod process;
pub mod sdk;

use std::sync::Mutex;

use process::Answer;
pub use process::{Recipe, Runner, StartError};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::attempt::Ending;
use frames::Call;
use rfx_schemas::outcome::{Assertion, Failure, kind};
use rfx_schemas::verdict::OutcomeKind;

/// How long a function has for its finalizers after it was asked to stop.
const GRACE: std::time::Duration = std::time::Duration::from_secs(3);

/// A pool with its warm runners. There are never more of them than slots that call it at once.
pub struct Pool {
    recipe: Recipe,
    idle: Mutex<Vec<Runner>>,
}

impl Pool {
    /// A pool whose first runner is up.
    pub fn new(recipe: Recipe, first: Runner) -> Self {
        Self { recipe, idle: Mutex::new(vec![first]) }
    }

    /// Runs one call to its end, whatever that is.
    pub async fn call(
        &self,
        call: Call<'_>,
        input: &[u8],
        deadline: Instant,
        cancel: &CancellationToken,
    ) -> Ending {
        let beginning = self.begin(call, input);
        let begun = tokio::select! {
            biased;
            begun = timeout_at(deadline, beginning) => begun,
            () = cancel.cancelled() => {
                let failure = Failure::new(kind::CANCELLED, "the run was cancelled");
                return Ending::failed(OutcomeKind::Cancelled, failure);
            }
        };
        let mut runner = match begun {
            Ok(Ok(runner)) => runner,
            // The function never began: that is ours, not the test's.
            Ok(Err(why)) => return Ending::failed(OutcomeKind::Lost, Failure::new(kind::CRASHED, why)),
            Err(_) => {
                let failure = Failure::new(kind::TIMED_OUT, "no runner took the call within the timeout");
                return Ending::failed(OutcomeKind::Error, failure);
            }
        };
        let (mut ending, reusable) = wait(&mut runner, deadline, cancel).await;
        ending.tail = runner.take_output();
        // A runner is as clean as its last call: any outcome but passed ends it.
        if reusable && ending.kind == OutcomeKind::Passed {
            self.idle.lock().expect("no panic holds it").push(runner);
        } else {
            drop(runner.kill().await);
        }
        ending
    }

    /// A runner that has taken the call. One that dies over it is replaced once: it may have been
    /// dying before.
    async fn begin(&self, call: Call<'_>, input: &[u8]) -> Result<Runner, String> {
        let mut tried_before = false;
        loop {
            let mut runner = self.take().await.map_err(|error| error.to_string())?;
            drop(runner.take_output());
            match runner.send(&call, input).await {
                Ok(()) => return Ok(runner),
                Err(error) if tried_before => {
                    let status = runner.kill().await;
                    return Err(format!("the runner could not take the call: {error}; it {status}"));
                }
                Err(_) => drop(runner.kill().await),
            }
            tried_before = true;
        }
    }

    /// Ends all idle runners.
    pub async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().expect("no panic holds it"));
        for runner in idle {
            drop(runner.kill().await);
        }
    }

    async fn take(&self) -> Result<Runner, StartError> {
        loop {
            let next = self.idle.lock().expect("no panic holds it").pop();
            let Some(mut runner) = next else { return Runner::start(&self.recipe).await };
            if runner.is_up() {
                return Ok(runner);
            }
            drop(runner.kill().await);
        }
    }
}

/// Waits for the answer, at most until the deadline, and less when the run is cancelled. Whether
/// the runner can be used again comes with it.
async fn wait(runner: &mut Runner, deadline: Instant, cancel: &CancellationToken) -> (Ending, bool) {
    let stopped = tokio::select! {
        biased;
        answer = timeout_at(deadline, runner.answer()) => match answer {
            Ok(answer) => return (said(answer), true),
            Err(_) => Stopped::TimedOut,
        },
        () = cancel.cancelled() => Stopped::Cancelled,
    };
    runner.interrupt();
    let answer = timeout_at(Instant::now() + GRACE, runner.answer()).await;
    let mut ending = match answer {
        Ok(answer) => said(answer),
        Err(_) => {
            let message = "it did not stop when asked to, and was killed";
            Ending::failed(OutcomeKind::Error, Failure::new(kind::TIMED_OUT, message))
        }
    };
    match stopped {
        Stopped::TimedOut => {
            ending.kind = OutcomeKind::Error;
            let traceback = ending.error.take().and_then(|e| e.traceback);
            let failure = Failure::new(kind::TIMED_OUT, "the attempt ran longer than its timeout");
            ending.error = Some(Failure { traceback, ..failure });
        }
        Stopped::Cancelled => {
            ending.kind = OutcomeKind::Cancelled;
            ending.error = Some(Failure::new(kind::CANCELLED, "the run was cancelled"));
        }
    }
    ending.output = None;
    (ending, false)
}

enum Stopped {
    TimedOut,
    Cancelled,
}

fn said(answer: Answer) -> Ending {
    let (end, body) = match answer {
        Answer::Ended(end, body) => (end, body),
        Answer::Crashed(how) => {
            let message = format!("the process that ran the function {how}");
            return Ending::failed(OutcomeKind::Error, Failure::new(kind::CRASHED, message));
        }
    };
    let text = |value: serde_json::Value| match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    let assertion = |a: frames::SaidAssertion| Assertion {
        label: a.label,
        passed: a.passed,
        // A comparison with None is one too, where a value stands on the other side.
        expected: text(a.expected),
        seen: text(a.seen),
        message: a.message,
    };
    Ending {
        kind: end.kind,
        output: (!body.is_empty()).then_some(body),
        error: end.error,
        assertions: end.assertions.into_iter().map(assertion).collect(),
        tail: String::new(),
    }
}
