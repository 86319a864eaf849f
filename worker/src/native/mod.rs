//! Functions written in Rust, in the worker's own process.
//!
//! ```
//! use rfx_worker::native::{Context, NotPassed, Registry, fail};
//! use rfx_worker::schemars::{self, JsonSchema};
//! use serde::{Deserialize, Serialize};
//!
//! /// A page to read.
//! #[derive(Deserialize, JsonSchema)]
//! struct Page {
//!     /// Where it is.
//!     url: String,
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Checked {
//!     bytes: usize,
//! }
//!
//! async fn check(context: Context, page: Page) -> Result<Checked, NotPassed> {
//!     context.log(format!("checking {}", page.url));
//!     if page.url.is_empty() {
//!         return Err(fail("there is no url"));
//!     }
//!     context.expect("it is encrypted", page.url.starts_with("https"));
//!     Ok(Checked { bytes: page.url.len() })
//! }
//!
//! let mut registry = Registry::default();
//! registry.function("pages.check@2").doc("Reads a page.").tags(["web"]).serve(check)?;
//! # Ok::<(), rfx_schemas::name::NameError>(())
//! ```

mod builder;
mod calls;
mod context;
mod input;
mod not_passed;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use rfx_config::process::expecting_panics;
use rfx_schemas::name::NameError;
use rfx_schemas::outcome::{Failure, kind};
use rfx_schemas::verdict::OutcomeKind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout_at;

pub use builder::{About, Builder};
pub use calls::Calls;
pub use context::Context;
pub use not_passed::{Failed, NotPassed, error, fail, skip};

use crate::attempt::Ending;

type Answer = Pin<Box<dyn Future<Output = Ending> + Send>>;
type Call = Arc<dyn Fn(Context, Bytes) -> Answer + Send + Sync>;

/// A registered function.
#[derive(Clone)]
pub struct Native {
    /// What the catalogue says of it.
    pub about: Arc<About>,
    call: Call,
}

impl Native {
    /// Runs an attempt to its end: at most until its deadline, and less when the run is cancelled.
    pub async fn run(&self, context: Context, input: Bytes) -> Ending {
        let (notes, cancel, deadline) = (context.notes.clone(), context.cancel.clone(), context.deadline);
        let ending = tokio::select! {
            biased;
            ending = timeout_at(deadline, self.call(context, input)) => ending.unwrap_or_else(|_| {
                let failure = Failure::new(kind::TIMED_OUT, "the attempt ran longer than its timeout");
                Ending::failed(OutcomeKind::Error, failure)
            }),
            () = cancel.cancelled() => {
                Ending::failed(OutcomeKind::Cancelled, Failure::new(kind::CANCELLED, "the run was cancelled"))
            }
        };
        notes.complete(ending)
    }

    /// Calls it; a panic is an outcome.
    async fn call(&self, context: Context, input: Bytes) -> Ending {
        let call = &self.call;
        // Making the future runs code of the author too, so it is made inside.
        let mut running =
            Box::pin(AssertUnwindSafe(async move { call(context, input).await }).catch_unwind());
        let ended = std::future::poll_fn(|cx| expecting_panics(|| running.as_mut().poll(cx))).await;
        ended.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            let message = text.unwrap_or_else(|| "it panicked".to_owned());
            Ending::failed(OutcomeKind::Error, Failure::new("Panicked", message))
        })
    }
}

/// The native functions of a worker.
#[derive(Clone, Default)]
pub struct Registry {
    functions: Vec<Native>,
}

impl Registry {
    /// Adds a function: `name` or `name@version` (version 1 otherwise). Its input is read from the
    /// job's JSON object, its output written as JSON; an `Err` is a failed test. The catalogue knows no
    /// schema of it: for that, and for all else that can be said, there is [`Registry::function`].
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
        let about = self.function(name).doc(doc).about()?;
        self.insert(about, function);
        Ok(self)
    }

    /// Describes a function, `name` or `name@version`; [`Builder::serve`] adds it.
    pub fn function(&mut self, name: &str) -> Builder<'_> {
        Builder::new(self, name)
    }

    /// Every function.
    pub fn iter(&self) -> impl Iterator<Item = &Native> {
        self.functions.iter()
    }

    fn insert<I, O, E, F, Fut>(&mut self, about: About, function: F)
    where
        I: DeserializeOwned + Send,
        O: Serialize,
        E: Into<NotPassed>,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
    {
        let call: Call = Arc::new(move |context, text| {
            let running = input::read::<I>(&text).map(|input| function(context, input));
            Box::pin(async move {
                match running {
                    Ok(running) => settle(running.await.map_err(Into::into)),
                    Err(message) => Ending::failed(OutcomeKind::Error, Failure::new("InputError", message)),
                }
            })
        });
        self.functions.push(Native { about: Arc::new(about), call });
    }
}

fn settle<O: Serialize>(result: Result<O, NotPassed>) -> Ending {
    match result {
        Ok(output) => match serde_json::to_vec(&output) {
            Ok(text) => Ending { output: Some(text.into()), ..Ending::of(OutcomeKind::Passed) },
            Err(error) => {
                let failure = Failure::new("OutputError", format!("the output is not JSON: {error}"));
                Ending::failed(OutcomeKind::Error, failure)
            }
        },
        Err(NotPassed::Failed(failure)) => Ending::failed(OutcomeKind::Failed, failure),
        Err(NotPassed::Skipped(why)) => Ending::failed(OutcomeKind::Skipped, Failure::new("Skipped", why)),
        Err(NotPassed::Error(failure)) => Ending::failed(OutcomeKind::Error, failure),
    }
}

#[cfg(test)]
mod tests;
