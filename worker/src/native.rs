//! Functions written in Rust, in the worker's own process.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use rfx_config::process::expecting_panics;
use rfx_schemas::name::{Function, NameError, Version};
use rfx_schemas::outcome::Failure;
use rfx_schemas::trace::TraceContext;
use rfx_schemas::verdict::OutcomeKind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::secrets::Secrets;

use crate::attempt::Ending;
pub use crate::native_calls::Calls;

/// What a native function is told besides its input.
#[derive(Debug, Clone)]
pub struct Context {
    /// The run, step, job and attempt, for messages: `0190… steps.device 1-3 attempt 1`.
    pub place: String,
    /// The system under test.
    pub target: BTreeMap<String, String>,
    /// The attempt's span: give it to what the function calls.
    pub trace: TraceContext,
    /// Cancelled when the run is.
    pub cancel: CancellationToken,
    /// The secrets that the step names.
    pub secrets: Secrets,
    /// What [`Context::call`] and [`Context::undo`] go through.
    pub calls: Calls,
}

/// A native function's "no": the test failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed(pub String);

impl<T: Into<String>> From<T> for Failed {
    fn from(message: T) -> Self {
        Self(message.into())
    }
}

type Answer = Pin<Box<dyn Future<Output = Ending> + Send>>;
type Call = Arc<dyn Fn(Context, Bytes) -> Answer + Send + Sync>;

/// A registered function.
#[derive(Clone)]
pub struct Native {
    /// Its documentation.
    pub doc: &'static str,
    call: Call,
}

impl Native {
    /// Runs it; a panic is an outcome.
    pub async fn call(&self, context: Context, input: Bytes) -> Ending {
        let call = &self.call;
        // Making the future runs code of the author too, so it is made inside.
        let mut running =
            Box::pin(AssertUnwindSafe(async move { call(context, input).await }).catch_unwind());
        let ended = std::future::poll_fn(|cx| expecting_panics(|| running.as_mut().poll(cx))).await;
        match ended {
            Ok(ending) => ending,
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                let message = text.unwrap_or_else(|| "it panicked".to_owned());
                Ending::failed(OutcomeKind::Error, Failure::new("Panicked", message))
            }
        }
    }
}

/// The native functions of a worker.
#[derive(Clone, Default)]
pub struct Registry {
    functions: BTreeMap<(Function, Version), Native>,
}

impl Registry {
    /// Adds a function: `name` or `name@version` (version 1 otherwise). Its input is read from the
    /// job's JSON object, its output written as JSON; an `Err` is a failed test.
    pub fn add<I, O, F, Fut>(
        &mut self,
        name: &str,
        doc: &'static str,
        function: F,
    ) -> Result<&mut Self, NameError>
    where
        I: DeserializeOwned + Send,
        O: Serialize,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Failed>> + Send + 'static,
    {
        let (name, version) = rfx_schemas::record::parse_use(name)?;
        let version = version.map_or_else(|| "1".parse(), Ok)?;
        let call: Call = Arc::new(move |context, input| {
            let running = serde_json::from_slice::<I>(&input).map(|input| function(context, input));
            Box::pin(async move {
                match running {
                    Ok(running) => settle(running.await),
                    Err(error) => {
                        let failure = Failure::new("InputError", format!("the input does not fit: {error}"));
                        Ending::failed(OutcomeKind::Error, failure)
                    }
                }
            })
        });
        self.functions.insert((name, version), Native { doc, call });
        Ok(self)
    }

    /// Every function.
    pub fn iter(&self) -> impl Iterator<Item = (&(Function, Version), &Native)> {
        self.functions.iter()
    }
}

fn settle<O: Serialize>(result: Result<O, Failed>) -> Ending {
    match result {
        Ok(output) => match serde_json::to_vec(&output) {
            Ok(text) => Ending { output: Some(text.into()), ..Ending::of(OutcomeKind::Passed) },
            Err(error) => {
                let failure = Failure::new("OutputError", format!("the output is not JSON: {error}"));
                Ending::failed(OutcomeKind::Error, failure)
            }
        },
        Err(Failed(message)) => Ending::failed(OutcomeKind::Failed, Failure::new("Failed", message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn call(input: &str) -> Ending {
        let mut registry = Registry::default();
        registry
            .add("t.check", "", |_, n: u32| async move {
                assert!(n != 7, "seven is out");
                if n > 7 { Err(Failed::from("too much")) } else { Ok(n * 2) }
            })
            .expect("a name");
        let run = rfx_schemas::id::RunId::new();
        let context = Context {
            place: String::new(),
            target: BTreeMap::new(),
            trace: TraceContext::of_run(run, None),
            cancel: CancellationToken::new(),
            secrets: Secrets::default(),
            calls: Calls::default(),
        };
        let (_, native) = registry.iter().next().expect("one");
        native.call(context, Bytes::from(input.to_owned())).await
    }

    #[tokio::test]
    async fn every_way_to_end_is_an_outcome() {
        assert_eq!(call("3").await.output.as_deref(), Some(b"6".as_slice()));
        let failed = call("9").await;
        assert_eq!(
            (failed.kind, failed.error.expect("why").message.as_str()),
            (OutcomeKind::Failed, "too much")
        );
        let panicked = call("7").await.error.expect("why");
        assert_eq!((panicked.kind.as_str(), panicked.message.as_str()), ("Panicked", "seven is out"));
        let unfit = call("\"x\"").await.error.expect("why");
        assert!(unfit.message.contains("expected u32"), "{unfit:?}");
    }
}
