//! What can go wrong between us and the server, in words that say what to do.

use std::fmt;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// An operation on NATS failed.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The server gave no answer in time.
    #[error("{what}: no answer from {server} within {} s{}", .seconds, Why(.complaint))]
    NoAnswer {
        /// What was tried.
        what: String,
        /// Where.
        server: String,
        /// How long it was waited for.
        seconds: u64,
        /// What the server complained about meanwhile.
        complaint: Option<String>,
    },
    /// The server said no.
    #[error("{what}: the server says: {reason}")]
    Refused {
        /// What was tried.
        what: String,
        /// The server's words.
        reason: String,
    },
    /// JetStream is off, for the server or the account.
    #[error(
        "JetStream is not enabled on {server}; start nats-server with -js, or give the account jetstream: enabled"
    )]
    NoJetStream {
        /// Where.
        server: String,
    },
    /// The server lacks what rfx relies on.
    #[error("nats-server {found} at {server} is too old: rfx needs {needed} or later")]
    TooOld {
        /// Where.
        server: String,
        /// Its version.
        found: String,
        /// The oldest that will do.
        needed: String,
    },
    /// A stream is there, but not as rfx needs it.
    #[error(
        "stream {stream} is not as rfx needs it: {setting} is {found}, needed is {needed}; mend it with the nats CLI, or use another namespace"
    )]
    Mismatch {
        /// The stream.
        stream: String,
        /// The setting.
        setting: &'static str,
        /// What the server has.
        found: String,
        /// What rfx needs.
        needed: String,
    },
    /// A stored value is not what its digest or size says.
    #[error(
        "the value {digest} is not in the blob stream any more, or not whole; its run is older than the stream keeps"
    )]
    MissingBlob {
        /// Its digest.
        digest: String,
    },
    /// Something stored cannot be read.
    #[error("{what} cannot be read")]
    Unreadable {
        /// What.
        what: String,
        /// Why.
        source: Source,
    },
    /// The client library failed.
    #[error("{what} failed")]
    Failed {
        /// What was tried.
        what: String,
        /// Why.
        source: Source,
    },
}

struct Why<'a>(&'a Option<String>);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(complaint) => write!(f, "; it complained: {complaint}"),
            None => Ok(()),
        }
    }
}

impl TransportError {
    pub(crate) fn failed(what: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Failed { what: what.into(), source: source.into() }
    }

    pub(crate) fn unreadable(what: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Unreadable { what: what.into(), source: source.into() }
    }
}

impl crate::Transport {
    pub(crate) fn no_answer(&self, what: impl Into<String>, waited: std::time::Duration) -> TransportError {
        TransportError::NoAnswer {
            what: what.into(),
            server: self.server().to_owned(),
            seconds: waited.as_secs(),
            complaint: self.complaint(),
        }
    }
}
