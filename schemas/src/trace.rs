//! W3C trace context, and the ids of a run's trace, which follow from the run id alone.
//!
//! A driver that takes a run over, a worker and the collector thus name the same spans without
//! telling each other.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::id::{Attempt, JobId, RunId};

/// Which span caused what follows: `traceparent` of W3C Trace Context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceContext {
    /// The trace.
    pub trace: [u8; 16],
    /// The parent span.
    pub span: [u8; 8],
    /// Whether the trace is kept.
    pub sampled: bool,
}

/// Why a text is not a `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a W3C traceparent, such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
pub struct TraceError(String);

impl TraceContext {
    /// The context that a run's spans live in: CI's own trace when it gave a `traceparent`, else a
    /// trace whose id is the run id. The run's span id follows from the run id in both cases.
    pub fn of_run(run: RunId, ci: Option<Self>) -> Self {
        Self {
            trace: ci.map_or(*run.as_bytes(), |c| c.trace),
            span: span_id(run, "run"),
            sampled: ci.is_none_or(|c| c.sampled),
        }
    }

    /// The same trace with the span of a step as parent: what a job message carries.
    #[must_use]
    pub fn step(self, run: RunId, step: u32) -> Self {
        Self { span: span_id(run, &format!("step {step}")), ..self }
    }

    /// The same trace with the span of an attempt as parent: what a function gets.
    #[must_use]
    pub fn attempt(self, run: RunId, job: JobId, attempt: Attempt, delivery: u64) -> Self {
        Self { span: span_id(run, &format!("attempt {job} {attempt} {delivery}")), ..self }
    }
}

/// A span id as people and headers write it; none for another text, and for the invalid zero.
pub fn span_of_hex(text: &str) -> Option<[u8; 8]> {
    let valid = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let id = u64::from_str_radix(text, 16).ok().filter(|id| valid && *id != 0)?;
    Some(id.to_be_bytes())
}

/// A span id that follows from the run id and what the span stands for; never the invalid zero.
pub fn span_id(run: RunId, what: &str) -> [u8; 8] {
    let digest = Sha256::new().chain_update(run.as_bytes()).chain_update(what).finalize();
    let mut id = [0; 8];
    id.copy_from_slice(&digest[..8]);
    if id == [0; 8] { [1; 8] } else { id }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        f.write_str("-")?;
        self.span.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        write!(f, "-0{}", u8::from(self.sampled))
    }
}

impl FromStr for TraceContext {
    type Err = TraceError;
    fn from_str(text: &str) -> Result<Self, TraceError> {
        parse(text).ok_or_else(|| TraceError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<TraceContext> {
    let mut parts = text.split('-');
    let version = unhex::<1>(parts.next()?)?;
    let trace = unhex::<16>(parts.next()?)?;
    let span = unhex::<8>(parts.next()?)?;
    let flags = unhex::<1>(parts.next()?)?;
    // Later versions may append fields; version 00 has exactly four; ff is never valid.
    let valid = version != [0xff] && (version != [0] || parts.next().is_none());
    (valid && trace != [0; 16] && span != [0; 8]).then_some(TraceContext {
        trace,
        span,
        sampled: flags[0] & 1 == 1,
    })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

impl TryFrom<String> for TraceContext {
    type Error = TraceError;
    fn try_from(text: String) -> Result<Self, TraceError> {
        text.parse()
    }
}

impl From<TraceContext> for String {
    fn from(context: TraceContext) -> String {
        context.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents_round_trip_and_wrong_ones_are_refused() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(text.parse::<TraceContext>().expect("valid").to_string(), text);
        for wrong in ["", "00-0-0-0", &text[1..], &text.to_uppercase(), &format!("{text}-x")] {
            assert!(wrong.parse::<TraceContext>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_ids_of_a_run_follow_from_its_id() {
        let run = RunId::new();
        let own = TraceContext::of_run(run, None);
        assert_eq!(&own.trace, run.as_bytes());
        assert_eq!(own, TraceContext::of_run(run, None));
        assert_ne!(own.step(run, 0).span, own.step(run, 1).span);
        let ci: TraceContext =
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00".parse().expect("valid");
        let joined = TraceContext::of_run(run, Some(ci));
        assert_eq!((joined.trace, joined.sampled), (ci.trace, false));
        assert_eq!(joined.span, own.span);
    }
}
