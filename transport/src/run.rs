//! What is stored about runs as wholes: submissions, plans, what waits.

use std::collections::BTreeMap;

use rfx_schemas::encoding::decode;
use rfx_schemas::fact::{Finished, Submitted};
use rfx_schemas::id::RunId;
use rfx_schemas::name::{Group, Queue};
use rfx_schemas::plan::Plan;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::subject::{AttemptFact, FactSubject, JobSubject, RunFact};
use rfx_schemas::topology::is_limited;
use serde_json::Value;
use tokio::time::timeout;

use crate::error::TransportError;
use crate::pull::{Puller, Target};
use crate::{ANSWER, Transport};

/// A run as its submission and end tell of it.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Its submission.
    pub submitted: Submitted,
    /// When the stream stored that.
    pub at: Stamp,
    /// Its end, and when.
    pub finished: Option<(Finished, Stamp)>,
}

/// A submission with all that it refers to.
pub struct Loaded {
    /// The submission.
    pub submitted: Submitted,
    /// Its place in the stream: where a fold starts.
    pub sequence: u64,
    /// When the stream stored it.
    pub at: Stamp,
    /// The plan.
    pub plan: Plan,
    /// Data sets by name.
    pub data: BTreeMap<String, Value>,
}

impl Transport {
    /// All runs that the stream still knows, oldest first.
    pub async fn runs(&self) -> Result<Vec<Summary>, TransportError> {
        let stream = self.topology().events();
        let (starts, ends) = (self.subjects().all_submissions(), self.subjects().all_finishes());
        let (submitted, finished) = tokio::try_join!(self.scan(&stream, &starts), self.scan(&stream, &ends))?;
        let mut ends = BTreeMap::new();
        for stored in finished {
            if let (Ok(subject), Ok(body)) =
                (self.subjects().parse_fact(&stored.subject), decode::<Finished>(&stored.payload))
            {
                ends.insert(subject.run(), (body, stored.time));
            }
        }
        let summary = |stored: crate::scan::Stored| {
            let submitted = decode::<Submitted>(&stored.payload);
            let submitted =
                submitted.map_err(|error| tracing::warn!(%error, subject = stored.subject, "left out a run"));
            let submitted = submitted.ok()?;
            let finished = ends.remove(&submitted.run);
            Some(Summary { submitted, at: stored.time, finished })
        };
        Ok(submitted.into_iter().filter_map(summary).collect())
    }

    /// How many attempts of a run have a recorded end.
    pub async fn ended_of_run(&self, run: RunId) -> Result<usize, TransportError> {
        let facts = self.scan(&self.topology().events(), &self.subjects().facts_of_run(run)).await?;
        let ended = |subject: &str| {
            let parsed = self.subjects().parse_fact(subject);
            matches!(parsed, Ok(FactSubject::Attempt { fact: AttemptFact::Ended, .. }))
        };
        Ok(facts.iter().filter(|fact| ended(&fact.subject)).count())
    }

    /// A run's submission; none when the stream does not know it.
    pub async fn submission(&self, run: RunId) -> Result<Option<(Submitted, u64, Stamp)>, TransportError> {
        let subject = self.subjects().fact(&FactSubject::Run { run, fact: RunFact::Submitted });
        let Some(stored) = self.last_of(&self.topology().events(), &subject).await? else { return Ok(None) };
        let submitted = decode(&stored.payload);
        let submitted =
            submitted.map_err(|e| TransportError::unreadable(format!("the submission of run {run}"), e))?;
        Ok(Some((submitted, stored.sequence, stored.time)))
    }

    /// A run's submission with plan and data.
    pub async fn load_run(
        &self,
        submitted: Submitted,
        sequence: u64,
        at: Stamp,
    ) -> Result<Loaded, TransportError> {
        let run = submitted.run;
        let unreadable =
            |e: serde_json::Error| TransportError::unreadable(format!("the plan of run {run}"), e);
        let text = self.load(run, &submitted.plan).await?;
        let plan: Plan = serde_json::from_slice(text.text()).map_err(unreadable)?;
        let mut data = BTreeMap::new();
        for (name, set) in &plan.data {
            data.insert(name.clone(), self.load(run, &set.value).await?.parse().map_err(unreadable)?);
        }
        Ok(Loaded { submitted, sequence, at, plan, data })
    }

    /// A pull loop over a lane's jobs.
    pub async fn pull_lane(&self, group: &Group, queue: &Queue) -> Result<Puller, TransportError> {
        let consumer = self.topology().consumer(group, queue).name;
        Puller::new(self, &Target { stream: self.topology().jobs(), consumer }).await
    }

    /// Jobs that wait in a lane or are with its workers; none when it has no consumer yet.
    pub async fn lane_depth(&self, group: &Group, queue: &Queue) -> Result<Option<u64>, TransportError> {
        let state = self.lane_state(group, queue).await?;
        Ok(state.map(|(waiting, delivered)| waiting + delivered))
    }

    /// Jobs of a lane that are with its workers.
    pub async fn lane_delivered(&self, group: &Group, queue: &Queue) -> Result<u64, TransportError> {
        Ok(self.lane_state(group, queue).await?.map_or(0, |(_, delivered)| delivered))
    }

    /// Whether a lane admits few jobs at once, over all of its workers: somebody has limited it.
    pub async fn lane_is_limited(&self, group: &Group, queue: &Queue) -> Result<bool, TransportError> {
        let name = self.topology().consumer(group, queue).name;
        let what = format!("asking for the limit of {name}");
        let jobs = self.topology().jobs();
        let asking = self
            .js()
            .get_consumer_from_stream::<async_nats::jetstream::consumer::pull::Config, _, _>(name, jobs);
        match timeout(ANSWER, asking).await {
            Ok(Ok(consumer)) => Ok(is_limited(consumer.cached_info().config.max_ack_pending)),
            Ok(Err(error)) => Err(TransportError::failed(what, error)),
            Err(_) => Err(self.no_answer(what, ANSWER)),
        }
    }

    async fn lane_state(&self, group: &Group, queue: &Queue) -> Result<Option<(u64, u64)>, TransportError> {
        let name = self.topology().consumer(group, queue).name;
        let jobs = self.topology().jobs();
        let asking = self
            .js()
            .get_consumer_from_stream::<async_nats::jetstream::consumer::pull::Config, _, _>(name, jobs);
        match timeout(ANSWER, asking).await {
            Ok(Ok(consumer)) => {
                let info = consumer.cached_info();
                Ok(Some((info.num_pending, info.num_ack_pending as u64)))
            }
            Ok(Err(_)) => Ok(None),
            Err(_) => Err(self.no_answer("asking for the depth of a lane", ANSWER)),
        }
    }

    /// Jobs that wait anywhere or are with workers.
    pub async fn waiting_jobs(&self) -> Result<u64, TransportError> {
        let what = "asking how many jobs wait";
        match timeout(ANSWER, self.js().get_stream(self.topology().jobs())).await {
            Ok(Ok(stream)) => Ok(stream.cached_info().state.messages),
            Ok(Err(error)) => Err(TransportError::failed(what, error)),
            Err(_) => Err(self.no_answer(what, ANSWER)),
        }
    }

    /// Takes all jobs of a run out of one lane; how many there were.
    pub async fn purge_lane(&self, group: &Group, queue: &Queue, run: RunId) -> Result<u64, TransportError> {
        self.purge(self.subjects().lane_of_run(group, queue, run)).await
    }

    /// Takes one attempt out of its lane.
    pub async fn purge_job(&self, job: &JobSubject) -> Result<u64, TransportError> {
        self.purge(self.subjects().job(job)).await
    }

    async fn purge(&self, filter: String) -> Result<u64, TransportError> {
        let what = format!("purging {filter}");
        let stream = self.js().get_stream_no_info(self.topology().jobs()).await;
        let stream = stream.map_err(|e| TransportError::failed(what.clone(), e))?;
        match timeout(ANSWER, std::future::IntoFuture::into_future(stream.purge().filter(filter))).await {
            Ok(Ok(done)) => Ok(done.purged),
            Ok(Err(error)) => Err(TransportError::failed(what, error)),
            Err(_) => Err(self.no_answer(what, ANSWER)),
        }
    }
}
