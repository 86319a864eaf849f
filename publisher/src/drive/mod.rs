//! Driving a run: publish what the recorded facts release, until every job has its verdict.
//!
//! Whoever holds the run's lease drives; all others follow and stand by. The lease only saves work:
//! two drivers at once publish under the same guards and fold the same facts. What to do is decided
//! by `RunState`; here is only when it is asked, and what is done about the answer.

mod calls;
mod ending;
mod publish;
mod service;
mod source;

use std::collections::VecDeque;
use std::time::Duration;

use rfx_flow::Release;
use rfx_report::Recorder;
use rfx_schemas::encoding::encode;
use rfx_schemas::fact::{Cancelled, Cause, Finished};
use rfx_schemas::id::RunId;
use rfx_schemas::payload::Json;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::subject::{FactSubject, RunFact};
use rfx_schemas::verdict::Verdict;
use rfx_transport::facts::Entry;
use rfx_transport::lease::{LeaseKeeper, RENEW};
use rfx_transport::run::Loaded;
use rfx_transport::{Guarded, Transport, TransportError};
use tokio::time::{Instant, interval, sleep, timeout};

use publish::Outbox;
use service::Service;
pub use service::Unserved;
pub use source::{Source, load_outputs};

/// How long teardown may take after a run's deadline.
const TEARDOWN_TIME: Duration = Duration::from_secs(60 * 60);
/// Jobs released at once while many are out.
const BATCH: usize = 64;
/// How long trouble with the server is waited out: an election takes up to 9 s, a restart longer.
const PATIENCE: Duration = Duration::from_secs(90);
/// Silence after which a reader that has been at the end of the stream is there again.
const QUIET: Duration = Duration::from_millis(500);
/// A driver without anything to wait for looks around this often.
const IDLE: Duration = Duration::from_secs(60);

/// Why a run cannot be driven any further from here. Its facts stay: another driver goes on.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// NATS is not as needed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The plan is of another rfx.
    #[error(transparent)]
    Plan(#[from] rfx_flow::PlanError),
    /// The shared reader of facts has ended.
    #[error("the reader of facts has ended")]
    NoFacts,
}

/// What a driver tells whoever watches it.
#[derive(Debug, Clone)]
pub enum Notice {
    /// Facts were folded.
    Progress,
    /// Nobody serves these steps now.
    Waiting(Vec<Unserved>),
    /// This process drives from here on.
    Leading,
    /// Another process drives.
    Following,
    /// Another process drives, or did until a moment ago: its lease is not free yet.
    StandingBy,
}

/// One run, driven or followed.
pub struct Driver {
    transport: Transport,
    recorder: Recorder,
    source: Source,
    lease: LeaseKeeper,
    outbox: Outbox,
    service: Service,
    window: usize,
    leading: bool,
    /// Whether what is published may have been published before, by another driver.
    again: bool,
    /// The sequence of the last fact that was folded.
    read: u64,
    /// Facts that were read and not folded yet, and releases not published yet: kept here, so that
    /// driving can be interrupted at any await without losing one.
    buffer: VecDeque<Entry>,
    released: VecDeque<Release>,
    /// Whether the reader has come to the end of the stream once.
    caught_up: bool,
    /// Why this driver has begun to clear the lanes, until it is recorded that all is settled: what was
    /// taken out is not published again before.
    clearing: Option<Cause>,
    said_standing_by: bool,
}

impl Driver {
    /// A driver of a run. `first` when this process has just submitted it: nobody drove it before.
    pub fn new(
        transport: &Transport,
        loaded: Loaded,
        source: Source,
        window: usize,
        first: bool,
    ) -> Result<Self, DriveError> {
        let Loaded { submitted, sequence, at, plan, data } = loaded;
        let run = submitted.run;
        let recorder = Recorder::new(submitted, at, plan, data)?;
        Ok(Self {
            transport: transport.clone(),
            lease: LeaseKeeper::new(transport.clone(), run.to_string(), transport.member().clone()),
            outbox: Outbox::new(transport.clone()),
            service: Service::new(transport.clone()),
            recorder,
            source,
            window,
            leading: false,
            again: !first,
            read: sequence,
            buffer: VecDeque::new(),
            released: VecDeque::new(),
            caught_up: false,
            clearing: None,
            // A resident publisher may be faster than whoever submitted the run, which is nobody's concern.
            said_standing_by: first,
        })
    }

    /// The run as folded so far.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The run's id.
    pub fn run(&self) -> RunId {
        self.recorder.state().run()
    }

    /// Drives, or follows, until the run's end is recorded. What happens is told to `watch`.
    /// Safe to cancel: another driver, or this one again, goes on from where it was. Trouble with
    /// the server is waited out for a while; what was done before is safe to do again.
    pub async fn drive(&mut self, mut watch: impl FnMut(&Recorder, Notice)) -> Result<Verdict, DriveError> {
        let mut trouble: Option<Instant> = None;
        loop {
            let read = self.read;
            match self.drive_on(&mut watch).await {
                Err(DriveError::Transport(error)) => {
                    if self.read > read {
                        trouble = None;
                    }
                    if trouble.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                        return Err(error.into());
                    }
                    tracing::warn!(run = %self.run(), %error, "trouble with the server, trying again");
                    sleep(Duration::from_secs(1)).await;
                }
                ended => return ended,
            }
        }
    }

    async fn drive_on(&mut self, watch: &mut impl FnMut(&Recorder, Notice)) -> Result<Verdict, DriveError> {
        let mut tend = interval(RENEW);
        loop {
            self.fold().await?;
            self.release().await?;
            if let Some(verdict) = self.recorder.verdict() {
                self.lease.release().await;
                return Ok(verdict);
            }
            if self.leading {
                if let Some(cause) = self.recorder.state().ending().or(self.clearing) {
                    self.end_early(cause).await?;
                    continue;
                }
                if self.recorder.state().asks() > 1 {
                    self.abandon_teardown().await?;
                }
                if Stamp::now() >= self.deadline() {
                    self.pass_deadline().await?;
                }
                if let Some(verdict) = self.recorder.state().complete() {
                    self.finish(verdict).await?;
                    continue;
                }
            }
            let timer = self.timer();
            tokio::select! {
                biased;
                _ = tend.tick() => self.tend(watch).await?,
                read = self.source.read(&mut self.buffer) => {
                    if !read? {
                        return Err(DriveError::NoFacts);
                    }
                    self.fold().await?;
                    watch(&self.recorder, Notice::Progress);
                }
                Some(done) = self.outbox.next(), if !self.outbox.is_empty() => done?,
                () = sleep(timer) => {}
                unserved = self.service.watch(&self.recorder), if self.leading => {
                    self.give_up_unserved(&unserved).await?;
                    watch(&self.recorder, Notice::Waiting(unserved));
                }
            }
        }
    }

    /// Publishes what the facts release, as far as the window allows.
    async fn release(&mut self) -> Result<(), DriveError> {
        if !self.leading {
            return Ok(());
        }
        self.release_calls();
        if self.released.is_empty() {
            let outstanding = self.recorder.state().outstanding();
            let room = self.window.saturating_sub(outstanding).min(self.outbox.room());
            // With plenty out, a few more are not worth a turn: what a release shares is made each time.
            if room < BATCH && outstanding > 2 * BATCH {
                return Ok(());
            }
            self.released.extend(self.recorder.state_mut().release(Stamp::now(), room));
        }
        while let Some(release) = self.released.front() {
            self.outbox.prepare(&self.recorder, release).await?;
            if let Some(release) = self.released.pop_front() {
                self.outbox.add(&self.recorder, release, self.again);
            }
        }
        Ok(())
    }

    /// Folds what was read.
    async fn fold(&mut self) -> Result<(), DriveError> {
        while let Some(entry) = self.buffer.front_mut() {
            if entry.sequence > self.read {
                match &mut entry.fact {
                    Ok(fact) => {
                        load_outputs(&self.transport, self.recorder.state(), fact).await?;
                        self.recorder.apply(fact, entry.at);
                    }
                    Err(error) => {
                        tracing::warn!(%error, sequence = entry.sequence, "left out a fact that cannot be read");
                        self.recorder.unreadable();
                    }
                }
                self.read = entry.sequence;
            }
            self.caught_up |= entry.pending == 0;
            self.buffer.pop_front();
        }
        Ok(())
    }

    /// Takes or renews the lease.
    async fn tend(&mut self, watch: &mut impl FnMut(&Recorder, Notice)) -> Result<(), DriveError> {
        let held = match self.lease.tend().await {
            Ok(held) => held,
            // Without an answer nothing changes; the other holder, if any, sees it run out.
            Err(error) => {
                tracing::debug!(%error, "could not tend the lease");
                return Ok(());
            }
        };
        // Whoever holds it instead may publish: from then on, what we publish may be a repeat.
        self.again |= !held;
        if !held && !self.leading && !std::mem::replace(&mut self.said_standing_by, true) {
            watch(&self.recorder, Notice::StandingBy);
        }
        if held == self.leading {
            return Ok(());
        }
        if held && self.again {
            self.catch_up().await?;
            // What this process had published, the other one may have purged.
            self.recorder.state_mut().release_again();
        }
        self.leading = held;
        if !held {
            self.released.clear();
        }
        watch(&self.recorder, if held { Notice::Leading } else { Notice::Following });
        Ok(())
    }

    /// Reads facts to the end of the stream, as it is now.
    async fn catch_up(&mut self) -> Result<(), DriveError> {
        let last = self.transport.last_fact().await?;
        while self.read < last {
            // The last fact may be another run's. So once the reader has been at the end, silence is
            // the end too; before that, it may only be slow to open.
            let patience = if self.caught_up { QUIET } else { PATIENCE };
            match timeout(patience, self.source.read(&mut self.buffer)).await {
                Ok(read) => {
                    if !read? {
                        return Err(DriveError::NoFacts);
                    }
                    self.fold().await?;
                }
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// How long until time alone changes something.
    fn timer(&self) -> Duration {
        let now = Stamp::now();
        let deadline = self.deadline();
        let retry = self.recorder.state().next_timer();
        let open = deadline > now || self.recorder.state().asks() == 0;
        let next = retry.into_iter().chain(Some(deadline).filter(|_| open)).min();
        next.map_or(IDLE, |at| at.since(now)).clamp(Duration::from_millis(1), IDLE)
    }

    fn deadline(&self) -> Stamp {
        self.recorder.at().after(self.recorder.state().plan().deadline)
    }

    /// Ends the run when its deadline has passed.
    async fn pass_deadline(&mut self) -> Result<(), DriveError> {
        let state = self.recorder.state();
        if !self.leading || state.asks() > 0 || Stamp::now() < self.deadline() {
            return Ok(());
        }
        // Before a decision by time: is the lease still ours, and is every fact read?
        if !self.lease.tend().await? {
            return Ok(());
        }
        self.catch_up().await?;
        let state = self.recorder.state();
        if state.complete().is_some() || state.asks() > 0 {
            return Ok(());
        }
        let reason = format!("the run's deadline of {:?} passed", state.plan().deadline);
        request_end(&self.transport, self.run(), 1, &reason, Cause::Deadline).await?;
        Ok(())
    }

    /// Records the end.
    async fn finish(&mut self, verdict: Verdict) -> Result<(), DriveError> {
        while let Some(done) = self.outbox.next().await {
            done?;
        }
        let state = self.recorder.state();
        let (outputs, unmade) = state.outputs();
        let outputs = match outputs {
            Some(outputs) => Some(self.transport.store(self.run(), Json::of(&outputs)).await?),
            None => None,
        };
        let finished =
            Finished { verdict, counts: state.counts(), breaches: state.breaches(), unmade, outputs };
        let subject = FactSubject::Run { run: self.run(), fact: RunFact::Finished };
        let subject = self.transport.subjects().fact(&subject);
        self.transport.publish(Guarded::new(subject, encode(&finished))).await?;
        while self.recorder.finished().is_none() {
            if !self.source.read(&mut self.buffer).await? {
                return Err(DriveError::NoFacts);
            }
            self.fold().await?;
        }
        Ok(())
    }
}

/// Records that somebody asks to end a run. Asks are counted from 1; one that is recorded already is
/// as good.
pub async fn request_end(
    transport: &Transport,
    run: RunId,
    ask: u32,
    reason: &str,
    cause: Cause,
) -> Result<(), TransportError> {
    let cancelled = Cancelled { by: crate::submit::who(), reason: reason.to_owned(), cause };
    let subject = transport.subjects().fact(&FactSubject::Run { run, fact: RunFact::Cancelled(ask) });
    transport.publish(Guarded::new(subject, encode(&cancelled))).await.map(drop)
}
