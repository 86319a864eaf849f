//! Why a process ends without an answer, and how that is said.

use std::error::Error;
use std::fmt;

use rfx_schemas::exit;

use super::plea;

/// What can be turned into a reported error: an error type, or a text.
type Cause = Box<dyn Error + Send + Sync>;

/// Why a process ends without an answer: an exit code and what to print.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    report: Report,
}

#[derive(Debug)]
enum Report {
    /// An error and what caused it.
    Chain(Cause),
    /// Printed as it is.
    Text(String),
}

/// An error with a text of ours above it.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Caused {
    text: String,
    source: Cause,
}

impl Failure {
    /// What was asked for is not valid: [`exit::USAGE`].
    pub fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::other(exit::USAGE, error)
    }

    /// The broker cannot be reached or used: [`exit::UNAVAILABLE`].
    pub fn unavailable(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::other(exit::UNAVAILABLE, error)
    }

    /// A bug in rfx: [`exit::BUG`]. The text asks for a report.
    pub fn bug(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::other(exit::BUG, error)
    }

    /// An error with a code of [`rfx_schemas::exit`].
    pub fn other(code: u8, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { code, report: Report::Chain(error.into()) }
    }

    /// What we tried to do, above the error that stopped it.
    pub fn caused(code: u8, text: impl Into<String>, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::other(code, Caused { text: text.into(), source: error.into() })
    }

    /// A text that is printed as it is, such as a diagnostic with source lines; empty prints nothing.
    pub fn rendered(code: u8, text: impl Into<String>) -> Self {
        Self { code, report: Report::Text(text.into()) }
    }

    /// The exit code, one of [`rfx_schemas::exit`].
    pub fn code(&self) -> u8 {
        self.code
    }

    /// What is printed on behalf of `service`.
    pub(super) fn text(&self, service: &str) -> String {
        let text = match &self.report {
            Report::Text(text) => text.clone(),
            Report::Chain(error) => format!("{service}: {}", chain(error.as_ref())),
        };
        if self.code == exit::BUG { format!("{text}\n{}", plea()) } else { text }
    }
}

/// A panicked task is a bug, and so is one that was aborted while somebody waited for its answer.
impl From<tokio::task::JoinError> for Failure {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::bug(error)
    }
}

impl From<crate::SettingsError> for Failure {
    fn from(error: crate::SettingsError) -> Self {
        Self::usage(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.report {
            Report::Text(text) => f.write_str(text),
            Report::Chain(error) => f.write_str(&chain(error.as_ref())),
        }
    }
}

/// An error, and each cause below it on a line of its own. A library that repeats its cause in its
/// own text is not allowed to say it twice.
fn chain(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut text = said.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !said.contains(&next) {
            text.push_str(&format!("\n  caused by: {}", next.replace('\n', "\n    ")));
        }
        said = next;
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read data/hosts.csv")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("reading failed: {0}")]
    struct Inner(#[source] std::io::Error);

    #[test]
    fn causes_are_said_once_each() {
        let error = Outer(Inner(std::io::Error::other("disk on fire")));
        let failure = Failure::usage(error);
        assert_eq!(failure.code(), exit::USAGE);
        assert_eq!(
            failure.text("rfx-publish"),
            "rfx-publish: cannot read data/hosts.csv\n  caused by: reading failed: disk on fire"
        );
    }

    #[test]
    fn a_rendered_text_is_printed_as_it_is() {
        let text = "flow.yaml:3:5\n  │ uses: nothing";
        assert_eq!(Failure::rendered(exit::USAGE, text).text("rfx-publish"), text);
    }

    #[test]
    fn a_bug_asks_for_a_report() {
        let text = Failure::bug("the plan has no step 4").text("rfx-publish");
        assert!(text.starts_with("rfx-publish: the plan has no step 4\nThis is a bug in rfx "), "{text}");
    }

    #[test]
    fn every_kind_has_its_code() {
        assert_eq!(Failure::unavailable("no server").code(), exit::UNAVAILABLE);
        assert_eq!(Failure::other(exit::NOTHING, "no steps").code(), exit::NOTHING);
        let caused = Failure::caused(exit::LOST, "the run is lost", std::io::Error::other("no disk"));
        assert_eq!(caused.to_string(), "the run is lost\n  caused by: no disk");
    }
}
