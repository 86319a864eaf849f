//! How native functions call others, and say what undoes what they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rfx_schemas::record::parse_use;
use rfx_schemas::verdict::Verdict;
use serde_json::Value;

use super::not_passed::{NotPassed, error, fail};
use crate::calls::{CallError, Caller, Request};
use crate::native::Context;

/// The calls of one attempt. A context that was made for a test has none to make.
#[derive(Debug, Clone, Default)]
pub struct Calls(Option<Arc<Numbered>>);

#[derive(Debug)]
struct Numbered {
    caller: Caller,
    calls: AtomicU32,
    undos: AtomicU32,
}

impl Calls {
    pub(crate) fn of(caller: &Caller) -> Self {
        let (calls, undos) = (AtomicU32::new(1), AtomicU32::new(1));
        Self(Some(Arc::new(Numbered { caller: caller.clone(), calls, undos })))
    }

    fn numbered(&self) -> Result<&Numbered, NotPassed> {
        self.0
            .as_deref()
            .ok_or_else(|| error("CallError", "this context belongs to no run, so it calls nothing"))
    }
}

impl Context {
    /// Calls `name` or `name@version` as a job of its own, in this worker's group, and waits for what it
    /// gives back. One that failed is a failure here, too, and any other that did not pass an error.
    pub async fn call(&self, name: &str, input: &Value) -> Result<Value, NotPassed> {
        let numbered = self.calls.numbered()?;
        let request = request(name, input)?;
        let n = numbered.calls.fetch_add(1, Ordering::Relaxed);
        let answer = numbered.caller.call(n, request, &self.secrets).await.map_err(|e| refused(&e))?;
        if !answer.verdict.is_pass() {
            let why = answer.error.map(|error| format!(": {}: {}", error.kind, error.message));
            let message = format!("{name}: {}{}", answer.verdict, why.unwrap_or_default());
            return Err(match answer.verdict {
                Verdict::Failed => fail(message),
                _ => error("CallFailed", message),
            });
        }
        let output = answer.output.as_deref().unwrap_or(b"null");
        serde_json::from_slice(output)
            .map_err(|why| error("CallFailed", format!("what {name} gave back is not JSON: {why}")))
    }

    /// Says that `name` or `name@version`, called with this input, undoes what the function is about to
    /// do. It is called at the run's teardown, even if this attempt does not end or the worker dies.
    pub async fn undo(&self, name: &str, input: &Value) -> Result<(), NotPassed> {
        let numbered = self.calls.numbered()?;
        let request = request(name, input)?;
        let n = numbered.undos.fetch_add(1, Ordering::Relaxed);
        numbered.caller.undo(n, request, &self.secrets).await.map_err(|e| refused(&e))
    }
}

fn request(name: &str, input: &Value) -> Result<Request, NotPassed> {
    let (function, version) = parse_use(name).map_err(|why| error("CallError", why.to_string()))?;
    let input = input.to_string().into();
    Ok(Request { function, version, group: None, queue: None, timeout: None, input })
}

fn refused(why: &CallError) -> NotPassed {
    error(why.kind(), why.to_string())
}
