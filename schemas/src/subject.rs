//! Every subject of rfx. No other file spells one: build them here, parse them here.
//!
//! Invariant: `Subject::parse` undoes `Display`-like building exactly; a subject that rfx did not
//! build does not parse.

mod attempt;

use std::fmt::Write as _;

use crate::id::{Attempt, JobId, RunId};
use crate::name::{Function, Group, Namespace, Queue};
pub use attempt::AttemptFact;

/// Why a text is not a subject of rfx.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject:?} is not a subject of rfx: {reason}")]
pub struct SubjectError {
    subject: String,
    reason: String,
}

/// Where one attempt of one job waits: `rfx.job.<group>.<queue>.<function>.<run>.<job>.<attempt>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JobSubject {
    /// Which workers may take it.
    pub group: Group,
    /// The lane of the group.
    pub queue: Queue,
    /// The function that it calls.
    pub function: Function,
    /// The run that it belongs to.
    pub run: RunId,
    /// The first job of the message.
    pub job: JobId,
    /// Which attempt.
    pub attempt: Attempt,
}

/// A fact about a whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunFact {
    /// The run exists, with its plan.
    Submitted,
    /// Somebody asked to end it early; the number counts the asks from 1.
    Cancelled(u32),
    /// Every job before teardown of a run that is ended early has its end.
    Settled,
    /// Every job has a verdict.
    Finished,
}

/// What a subject of `rfx.event.…` says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FactSubject {
    /// `rfx.event.<run>.run.<fact>`
    Run {
        /// The run.
        run: RunId,
        /// What happened to it.
        fact: RunFact,
    },
    /// `rfx.event.<run>.<group>.<job>.<attempt>.<fact>`
    Attempt {
        /// The run.
        run: RunId,
        /// The group whose workers may record it.
        group: Group,
        /// The first job of the message.
        job: JobId,
        /// Which attempt.
        attempt: Attempt,
        /// What happened to it.
        fact: AttemptFact,
    },
}

impl FactSubject {
    /// The run that the fact is about.
    pub fn run(&self) -> RunId {
        match self {
            Self::Run { run, .. } | Self::Attempt { run, .. } => *run,
        }
    }
}

/// Builds and parses the subjects of one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subjects {
    namespace: Namespace,
}

impl Subjects {
    /// The subjects of `namespace`.
    pub fn new(namespace: Namespace) -> Self {
        Self { namespace }
    }

    /// The subject of one attempt.
    pub fn job(&self, s: &JobSubject) -> String {
        let mut text = String::with_capacity(128);
        let function = s.function.token();
        let JobSubject { group, queue, run, job, attempt, .. } = s;
        let ns = &self.namespace;
        let _infallible = write!(text, "{ns}.job.{group}.{queue}.{function}.{run}.{job}.{attempt}");
        text
    }

    /// All jobs: what the job stream stores.
    pub fn all_jobs(&self) -> String {
        format!("{}.job.>", self.namespace)
    }

    /// The jobs of one lane: what its consumer delivers.
    pub fn lane(&self, group: &Group, queue: &Queue) -> String {
        format!("{}.job.{group}.{queue}.>", self.namespace)
    }

    /// The jobs of a run that wait in one lane. Inside the lane's own filter, so that purging it
    /// frees the lane's pending acks.
    pub fn lane_of_run(&self, group: &Group, queue: &Queue, run: RunId) -> String {
        format!("{}.job.{group}.{queue}.*.{run}.>", self.namespace)
    }

    /// The subject of one fact.
    pub fn fact(&self, s: &FactSubject) -> String {
        let ns = &self.namespace;
        let mut text = String::with_capacity(112);
        let _infallible = match s {
            FactSubject::Run { run, fact } => match fact {
                RunFact::Submitted => write!(text, "{ns}.event.{run}.run.submitted"),
                RunFact::Cancelled(n) => write!(text, "{ns}.event.{run}.run.cancelled-{n}"),
                RunFact::Settled => write!(text, "{ns}.event.{run}.run.settled"),
                RunFact::Finished => write!(text, "{ns}.event.{run}.run.finished"),
            },
            FactSubject::Attempt { run, group, job, attempt, fact } => {
                write!(text, "{ns}.event.{run}.{group}.{job}.{attempt}.{fact}")
            }
        };
        text
    }

    /// All facts: what the event stream stores.
    pub fn all_facts(&self) -> String {
        format!("{}.event.>", self.namespace)
    }

    /// All facts of one run.
    pub fn facts_of_run(&self, run: RunId) -> String {
        format!("{}.event.{run}.>", self.namespace)
    }

    /// Every run's submission, for listing runs.
    pub fn all_submissions(&self) -> String {
        format!("{}.event.*.run.submitted", self.namespace)
    }

    /// Every run's end, for listing runs.
    pub fn all_finishes(&self) -> String {
        format!("{}.event.*.run.finished", self.namespace)
    }

    /// One chunk of a big value.
    pub fn blob(&self, run: RunId, digest: &str, chunk: u32) -> String {
        format!("{}.blob.{run}.{digest}.{chunk}", self.namespace)
    }

    /// All chunks of one big value.
    pub fn blob_chunks(&self, run: RunId, digest: &str) -> String {
        format!("{}.blob.{run}.{digest}.*", self.namespace)
    }

    /// All chunks there are: what the blob stream stores.
    pub fn all_blobs(&self) -> String {
        format!("{}.blob.>", self.namespace)
    }

    /// Where workers hear of a cancelled run at once. Best effort: nothing depends on it.
    pub fn control(&self, run: RunId) -> String {
        format!("{}.live.{run}.control", self.namespace)
    }

    /// Where a job says how far it is: best effort, nothing depends on it.
    pub fn progress(&self, run: RunId, job: JobId) -> String {
        format!("{}.live.{run}.{job}", self.namespace)
    }

    /// The control subjects of all runs.
    pub fn all_controls(&self) -> String {
        format!("{}.live.*.control", self.namespace)
    }

    /// Reads a fact's subject.
    pub fn parse_fact(&self, subject: &str) -> Result<FactSubject, SubjectError> {
        let tokens = self.tokens(subject, "event")?;
        let bad = |reason: &dyn std::fmt::Display| refuse(subject, reason);
        let run = parse::<RunId>(subject, tokens.first())?;
        if tokens.get(1) == Some(&"run") {
            let fact = match tokens.get(2..) {
                Some(["submitted"]) => RunFact::Submitted,
                Some(["settled"]) => RunFact::Settled,
                Some(["finished"]) => RunFact::Finished,
                Some([other]) => RunFact::Cancelled(
                    numbered(other, "cancelled-").ok_or_else(|| bad(&"no such fact about a run"))?,
                ),
                _ => return Err(bad(&"a fact about a run is one token")),
            };
            return Ok(FactSubject::Run { run, fact });
        }
        let [_, group, job, attempt, fact] = tokens[..] else {
            return Err(bad(&"expected <run>.<group>.<job>.<attempt>.<fact>"));
        };
        let fact = AttemptFact::parse(fact).ok_or_else(|| bad(&"no such fact about an attempt"))?;
        Ok(FactSubject::Attempt {
            run,
            group: parse(subject, Some(&group))?,
            job: parse(subject, Some(&job))?,
            attempt: parse(subject, Some(&attempt))?,
            fact,
        })
    }

    /// Reads a job's subject.
    pub fn parse_job(&self, subject: &str) -> Result<JobSubject, SubjectError> {
        let tokens = self.tokens(subject, "job")?;
        let [group, queue, function, run, job, attempt] = tokens[..] else {
            return Err(refuse(subject, &"expected <group>.<queue>.<function>.<run>.<job>.<attempt>"));
        };
        Ok(JobSubject {
            group: parse(subject, Some(&group))?,
            queue: parse(subject, Some(&queue))?,
            function: Function::from_token(function).map_err(|e| refuse(subject, &e))?,
            run: parse(subject, Some(&run))?,
            job: parse(subject, Some(&job))?,
            attempt: parse(subject, Some(&attempt))?,
        })
    }

    /// Reads the run of a control subject.
    pub fn parse_control(&self, subject: &str) -> Result<RunId, SubjectError> {
        let tokens = self.tokens(subject, "live")?;
        match tokens[..] {
            [run, "control"] => parse(subject, Some(&run)),
            _ => Err(refuse(subject, &"expected <run>.control")),
        }
    }

    /// Reads the chunk number of a blob's subject.
    pub fn parse_chunk(&self, subject: &str) -> Result<u32, SubjectError> {
        let tokens = self.tokens(subject, "blob")?;
        let last = tokens.get(2).and_then(|n| n.parse().ok());
        last.ok_or_else(|| refuse(subject, &"expected <run>.<sha256>.<n>"))
    }

    /// The tokens behind `<namespace>.<kind>.`.
    fn tokens<'a>(&self, subject: &'a str, kind: &str) -> Result<Vec<&'a str>, SubjectError> {
        let rest = subject.strip_prefix(self.namespace.as_str()).and_then(|r| r.strip_prefix('.'));
        let rest = rest.and_then(|r| r.strip_prefix(kind)).and_then(|r| r.strip_prefix('.'));
        let rest = rest.ok_or_else(|| {
            refuse(subject, &format_args!("it does not start with {}.{kind}.", self.namespace))
        })?;
        Ok(rest.split('.').collect())
    }
}

fn refuse(subject: &str, reason: &dyn std::fmt::Display) -> SubjectError {
    SubjectError { subject: subject.to_owned(), reason: reason.to_string() }
}

fn parse<T>(subject: &str, token: Option<&&str>) -> Result<T, SubjectError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let token = token.ok_or_else(|| refuse(subject, &"a token is missing"))?;
    token.parse().map_err(|e| refuse(subject, &e))
}

/// The number of a token such as `start-2`; one spelling a number.
fn numbered<N: std::str::FromStr + std::fmt::Display>(token: &str, prefix: &str) -> Option<N> {
    let digits = token.strip_prefix(prefix)?;
    let number: N = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn any_run()(low in 0u64..1 << 40, high in any::<u64>()) -> RunId {
            let millis = format!("{low:012x}");
            let tail = format!("{:012x}", high & 0xffff_ffff_ffff);
            let text = format!("{}-{}-7abc-8def-{tail}", &millis[..8], &millis[8..]);
            text.parse().expect("a UUID of version 7")
        }
    }

    prop_compose! {
        fn any_job()(step in any::<u32>(), item in any::<u32>()) -> JobId {
            JobId { step, item }
        }
    }

    prop_compose! {
        fn any_attempt()(n in 1u32..) -> Attempt {
            Attempt::new(n).expect("from 1")
        }
    }

    fn any_group() -> impl Strategy<Value = Group> {
        "[a-z0-9]{1,8}(-[a-z0-9]{1,8})?".prop_filter_map("the word run is taken", |s| s.parse().ok())
    }

    proptest! {
        #[test]
        fn job_subjects_round_trip(
            group in any_group(), queue in "[a-z0-9]{1,12}", run in any_run(), job in any_job(),
            attempt in any_attempt(),
            function in r"[a-zA-Z_][a-zA-Z0-9_]{0,9}(\.[a-zA-Z_][a-zA-Z0-9_]{0,9}){0,3}",
        ) {
            let subjects = Subjects::default();
            let subject = JobSubject {
                group, queue: queue.parse().expect("a queue"), run, job, attempt,
                function: function.parse().expect("a function"),
            };
            let text = subjects.job(&subject);
            prop_assert_eq!(text.split('.').count(), 8, "one token each");
            prop_assert_eq!(subjects.parse_job(&text), Ok(subject));
        }

        #[test]
        fn fact_subjects_round_trip(
            group in any_group(), run in any_run(), job in any_job(), attempt in any_attempt(),
            n in any::<u64>(), kind in 0..9,
        ) {
            let subjects = Subjects::new("team-a".parse().expect("a namespace"));
            let attempt = |fact| FactSubject::Attempt { run, group: group.clone(), job, attempt, fact };
            let fact = match kind {
                0 => FactSubject::Run { run, fact: RunFact::Submitted },
                1 => FactSubject::Run { run, fact: RunFact::Cancelled(n as u32) },
                2 => FactSubject::Run { run, fact: RunFact::Finished },
                5 => FactSubject::Run { run, fact: RunFact::Settled },
                3 => attempt(AttemptFact::Ended),
                6 => attempt(AttemptFact::Call(n as u32)),
                7 => attempt(AttemptFact::Undo(n as u32)),
                8 => attempt(AttemptFact::Return(n as u32)),
                _ => attempt(AttemptFact::Started(n)),
            };
            prop_assert_eq!(subjects.parse_fact(&subjects.fact(&fact)), Ok(fact));
        }

        #[test]
        fn what_rfx_did_not_build_never_panics_and_never_parses_twofold(text in r"rfx\.(event|job|live|blob)\.[a-z0-9./*>-]{0,60}") {
            let subjects = Subjects::default();
            if let Ok(fact) = subjects.parse_fact(&text) {
                prop_assert_eq!(subjects.fact(&fact), text.clone());
            }
            if let Ok(job) = subjects.parse_job(&text) {
                prop_assert_eq!(subjects.job(&job), text);
            }
        }
    }

    #[test]
    fn a_foreign_subject_is_refused_with_the_reason() {
        let error = Subjects::default().parse_fact("other.event.x").expect_err("foreign");
        assert_eq!(
            error.to_string(),
            "\"other.event.x\" is not a subject of rfx: it does not start with rfx.event."
        );
    }
}
