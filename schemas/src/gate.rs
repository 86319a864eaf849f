//! What may go wrong without failing a step or a run, and what must have happened.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::stamp::micros;
use crate::verdict::Counts;

/// A part of something: so many, or so many in a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Allowance {
    /// All.
    Any,
    /// At most so many.
    Count(u32),
    /// At most so many in a hundred.
    Percent(f64),
}

impl Allowance {
    /// Whether `part` of `whole` is within it.
    pub fn admits(self, part: u32, whole: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Count(most) => part <= most,
            Self::Percent(most) => f64::from(part) * 100.0 <= most * f64::from(whole),
        }
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Count(most) => write!(f, "{most}"),
            Self::Percent(most) => write!(f, "{most}%"),
        }
    }
}

/// What a run's verdict asks for besides its jobs' verdicts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Gate {
    /// Least jobs that must have been executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_jobs: Option<u32>,
    /// Most jobs that may have failed or ended in an error; without it, none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_failed: Option<Allowance>,
    /// Most jobs that may have passed only after another attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_flaky: Option<Allowance>,
    /// Most jobs that may have been skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_skipped: Option<Allowance>,
    /// Longest time from the submission to the end of the last job.
    #[serde(skip_serializing_if = "Option::is_none", with = "optional_micros")]
    pub max_duration: Option<Duration>,
}

impl Gate {
    /// What the run did not keep to, in words; nothing when it did.
    pub fn breaches(&self, counts: &Counts, duration: Duration) -> Vec<String> {
        let all = counts.total();
        let executed = all - counts.skipped - counts.cancelled;
        let mut breaches = Vec::new();
        if let Some(least) = self.min_jobs.filter(|least| executed < *least) {
            breaches.push(format!("min_jobs: {executed} jobs were executed, {least} are asked for"));
        }
        let failed = counts.failed + counts.error - counts.allowed;
        let most = [
            ("max_failed", "failed", self.max_failed, failed),
            ("max_flaky", "were flaky", self.max_flaky, counts.flaky),
            ("max_skipped", "were skipped", self.max_skipped, counts.skipped),
        ];
        for (key, what, allowed, part) in most {
            if let Some(allowed) = allowed.filter(|a| !a.admits(part, all)) {
                breaches.push(format!("{key}: {part} of {all} jobs {what}, {allowed} are allowed"));
            }
        }
        if let Some(longest) = self.max_duration.filter(|longest| duration > *longest) {
            breaches.push(format!("max_duration: it took {duration:.1?}, {longest:?} are allowed"));
        }
        breaches
    }
}

/// A duration that may be left out, in microseconds.
mod optional_micros {
    use super::{Duration, micros};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Micros(#[serde(with = "micros")] Duration);

    pub fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(Micros).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Micros>::deserialize(deserializer)?.map(|micros| micros.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_a_count_or_a_share() {
        assert!(Allowance::Count(2).admits(2, 3) && !Allowance::Count(2).admits(3, 300));
        assert!(Allowance::Percent(5.0).admits(5, 100) && !Allowance::Percent(5.0).admits(1, 19));
        assert!(Allowance::Any.admits(7, 7));
    }

    #[test]
    fn a_gate_says_what_was_not_kept() {
        let gate = Gate {
            min_jobs: Some(10),
            max_failed: Some(Allowance::Count(0)),
            max_flaky: Some(Allowance::Percent(5.0)),
            max_duration: Some(Duration::from_secs(60)),
            ..Gate::default()
        };
        let counts = Counts { passed: 3, flaky: 1, failed: 2, allowed: 1, skipped: 4, ..Counts::default() };
        let breaches = gate.breaches(&counts, Duration::from_secs(61));
        let keys: Vec<_> = breaches.iter().filter_map(|b| b.split(':').next()).collect();
        assert_eq!(keys, ["min_jobs", "max_failed", "max_flaky", "max_duration"], "{breaches:?}");
        let fine = Counts { passed: 20, flaky: 1, ..Counts::default() };
        assert!(gate.breaches(&fine, Duration::from_secs(60)).is_empty());
    }
}
