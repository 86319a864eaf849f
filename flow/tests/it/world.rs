//! A world without a server: a stream and a queue that keep the broker's promises and no more, and
//! workers that may die at any point.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rfx_flow::ReleasedJob;
use rfx_schemas::fact::{Called, Caller, Cancelled, Cause, Ended, Fact, Returned};
use rfx_schemas::id::{Attempt, JobId};
use rfx_schemas::outcome::{Failure, Outcome, kind};
use rfx_schemas::payload::{Json, Payload};
use rfx_schemas::plan::Plan;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::trace::TraceContext;
use rfx_schemas::verdict::OutcomeKind;
use serde_json::Value;

use crate::answer::{Ask, Ending};
use crate::common::{at, run};

/// Deliveries above this are poison.
const DELIVERIES: u32 = 5;

/// A published attempt.
#[derive(Debug, Clone)]
pub struct Message {
    pub job: ReleasedJob,
    /// What people call its step, or the call that it is.
    pub path: String,
    /// Whether it undoes something.
    pub undo: bool,
    /// The step of the plan that it belongs to; none when it undoes something, or is called by that.
    pub root: Option<u32>,
    pub scope: Option<Value>,
    /// Whether it may have been published before.
    pub again: bool,
    pub deliveries: u32,
}

impl Message {
    pub fn id(&self) -> (JobId, Attempt) {
        (self.job.job, self.job.attempt)
    }
}

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Executed, recorded, acknowledged.
    Done,
    /// The worker dies before it records.
    DiesBefore,
    /// The worker dies after it recorded, before it acknowledges.
    DiesAfter,
    /// It takes its time.
    Slow,
    /// It takes its time, and the broker hands it over again meanwhile.
    Lapsed,
}

/// What happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A worker began to execute an attempt.
    Started {
        job: JobId,
        attempt: Attempt,
        key: Option<String>,
        recorded: bool,
        root: Option<u32>,
        undo: bool,
    },
    /// Something was recorded that is to be undone.
    Noted { job: JobId, attempt: Attempt, number: u32 },
    /// The first outcome of an attempt was stored.
    Recorded { job: JobId, attempt: Attempt, kind: OutcomeKind },
}

type Answer = Arc<dyn Fn(&Plan, &Message) -> Ending>;

/// The broker and the workers.
pub struct World {
    pub plan: Arc<Plan>,
    answer: Answer,
    pub now: Stamp,
    /// Whether the server lets a second outcome slip in now and then.
    hides: bool,
    pub facts: Vec<(Fact, Stamp)>,
    recorded: BTreeSet<(JobId, Attempt)>,
    /// Calls and undos that are recorded, and what calls came to.
    asked: BTreeSet<(bool, Caller)>,
    returned: BTreeSet<Caller>,
    /// What people call the jobs that were published.
    pub paths: BTreeMap<u32, String>,
    about_run: BTreeSet<String>,
    /// Subjects of the job stream that hold a message.
    stored: BTreeSet<(JobId, Attempt)>,
    pub queue: Vec<Message>,
    /// Executions under way.
    pub held: Vec<Message>,
    pub events: Vec<Event>,
    /// Most deliveries that a worker may die at.
    pub deaths: u32,
}

impl World {
    pub fn new(plan: &Arc<Plan>, hides: bool, answer: impl Fn(&Plan, &Message) -> Ending + 'static) -> Self {
        Self {
            plan: Arc::clone(plan),
            answer: Arc::new(answer),
            now: at(0),
            hides,
            facts: Vec::new(),
            recorded: BTreeSet::new(),
            asked: BTreeSet::new(),
            returned: BTreeSet::new(),
            paths: BTreeMap::new(),
            about_run: BTreeSet::new(),
            stored: BTreeSet::new(),
            queue: Vec::new(),
            held: Vec::new(),
            events: Vec::new(),
            deaths: DELIVERIES + 1,
        }
    }

    /// Time passes.
    pub fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    /// Guarded: an attempt that waits already is as good.
    pub fn publish(&mut self, message: Message) {
        self.paths.insert(message.job.job.step, message.path.clone());
        if self.stored.insert(message.id()) {
            self.queue.push(message);
        }
    }

    /// Takes all jobs out of the stream; those with workers go on there.
    pub fn purge(&mut self) {
        self.queue.clear();
        self.stored.clear();
    }

    /// Hands over a message.
    pub fn deliver(&mut self, which: usize, fate: Fate) {
        let mut message = self.queue.remove(which);
        message.deliveries += 1;
        let looks = message.again || message.deliveries > 1;
        let over = self.about_run.contains("finished");
        if looks && (over || self.recorded.contains(&message.id())) {
            self.acknowledge(&message);
            return;
        }
        if message.deliveries > DELIVERIES {
            self.record(message.id(), message.job.key.clone(), Ending::lost(kind::POISON));
            self.acknowledge(&message);
            return;
        }
        self.events.push(Event::Started {
            job: message.job.job,
            attempt: message.job.attempt,
            key: message.job.key.clone(),
            recorded: self.recorded.contains(&message.id()),
            root: message.root,
            undo: message.undo,
        });
        let fate = if message.deliveries >= self.deaths { Fate::Done } else { fate };
        match fate {
            Fate::Done => self.finish(message),
            Fate::DiesBefore => {
                // It may have called by then.
                let ending = (self.answer)(&self.plan, &message);
                self.ask(&message, &ending.asks);
                self.queue.push(message);
            }
            Fate::DiesAfter => match self.execute(&message) {
                true => self.queue.push(message),
                false => self.held.push(message),
            },
            Fate::Slow => self.held.push(message),
            Fate::Lapsed => {
                self.queue.push(message.clone());
                self.held.push(message);
            }
        }
    }

    /// Executions under way go on, until one of them has ended or has called; false when all wait.
    pub fn go_on(&mut self) -> bool {
        for _ in 0..self.held.len() {
            let before = (self.held.len(), self.facts.len());
            self.end_held(0, false);
            if before != (self.held.len(), self.facts.len()) {
                return true;
            }
        }
        false
    }

    /// An execution under way comes to its end, or its worker dies.
    pub fn end_held(&mut self, which: usize, dies: bool) {
        let message = self.held.remove(which);
        let dies = dies && message.deliveries < self.deaths;
        let waits = self.queue.iter().any(|m| m.id() == message.id());
        if !dies {
            if !self.execute(&message) {
                self.held.push(message);
            } else if !waits {
                self.acknowledge(&message);
            }
        } else if !waits && self.stored.contains(&message.id()) {
            self.queue.push(message);
        }
    }

    fn finish(&mut self, message: Message) {
        match self.execute(&message) {
            true => self.acknowledge(&message),
            false => self.held.push(message),
        }
    }

    /// Executes until it waits for a call; true when it has ended.
    fn execute(&mut self, message: &Message) -> bool {
        let ending = (self.answer)(&self.plan, message);
        if self.ask(message, &ending.asks) {
            self.record(message.id(), message.job.key.clone(), ending);
            return true;
        }
        // Whoever waits looks whether its attempt has been ended, or the run.
        self.recorded.contains(&message.id()) || self.about_run.contains("finished")
    }

    /// Calls, in turn, until one has not come back; true when all have.
    fn ask(&mut self, message: &Message, asks: &[Ask]) -> bool {
        let (job, attempt) = message.id();
        let mut numbers = [0, 0];
        for ask in asks {
            let number = &mut numbers[usize::from(ask.undo)];
            *number += 1;
            let group = "local".parse().expect("a group");
            let caller = Caller { group, job, attempt, number: *number };
            if self.asked.insert((ask.undo, caller.clone())) {
                let called = Box::new(called(&ask.input));
                if ask.undo {
                    self.events.push(Event::Noted { job, attempt, number: caller.number });
                    self.store(Fact::Undo(caller.clone(), called));
                } else {
                    self.store(Fact::Call(caller.clone(), called));
                }
            }
            if !ask.undo && !self.returned.contains(&caller) {
                return false;
            }
        }
        true
    }

    /// Guarded: what a call came to is stored once.
    pub fn answered(&mut self, caller: Caller, returned: Returned) {
        if self.returned.insert(caller.clone()) {
            self.store(Fact::Returned(caller, returned));
        }
    }

    fn acknowledge(&mut self, message: &Message) {
        self.stored.remove(&message.id());
    }

    /// Guarded: the first outcome of an attempt is stored.
    pub fn record(&mut self, (job, attempt): (JobId, Attempt), key: Option<String>, ending: Ending) {
        let first = self.recorded.insert((job, attempt));
        if !first && !self.hides {
            return;
        }
        if first {
            self.events.push(Event::Recorded { job, attempt, kind: ending.kind });
        }
        let outcome = Outcome {
            job,
            attempt,
            kind: ending.kind,
            key,
            output: Some(Payload::Inline(Json::of(&ending.output))),
            input: None,
            assertions: Vec::new(),
            error: ending.error,
            tail: String::new(),
            released: self.now,
            started: self.now,
            ended: self.now,
            worker: "w".parse().expect("a member"),
            group: "local".parse().expect("a group"),
            deliveries: 1,
            digest: None,
            artifacts: Vec::new(),
            state: Vec::new(),
        };
        self.store(Fact::Ended(Ended { outcomes: vec![outcome] }));
    }

    /// Records that the driver ended an attempt.
    pub fn end(&mut self, id: (JobId, Attempt), cause: Cause) {
        let (kind, what) = match cause {
            Cause::Asked => (OutcomeKind::Cancelled, kind::CANCELLED),
            Cause::Deadline => (OutcomeKind::Lost, kind::DEADLINE),
        };
        let error = Some(Failure::new(what, "the run is ended"));
        self.record(id, None, Ending { error, ..Ending::of(kind, Value::Null) });
    }

    /// Somebody asks for the run's end; the third ask is none.
    pub fn cancel(&mut self, cause: Cause) {
        let asks = (1..=2).filter(|n| self.about_run.contains(&format!("cancelled-{n}"))).count();
        let ask = u32::try_from(asks).expect("two") + 1;
        if ask <= 2 && (cause == Cause::Asked || ask == 1) {
            let cancelled = Cancelled { by: "a@b".to_owned(), reason: "test".to_owned(), cause };
            self.about_run(&format!("cancelled-{ask}"), Fact::Cancelled(ask, cancelled));
        }
    }

    /// Guarded: each fact about the run is stored once.
    pub fn about_run(&mut self, name: &str, fact: Fact) {
        if self.about_run.insert(name.to_owned()) {
            self.store(fact);
        }
    }

    /// What people call a job's step, or the call that it is.
    pub fn path(&self, step: u32) -> &str {
        self.paths.get(&step).map_or("", String::as_str)
    }

    fn store(&mut self, fact: Fact) {
        self.now = self.now.after(Duration::from_millis(1));
        self.facts.push((fact, self.now));
    }
}

/// A call of `t.answer`.
fn called(input: &Value) -> Called {
    Called {
        function: "t.answer".parse().expect("a function"),
        version: None,
        group: "local".parse().expect("a group"),
        queue: "main".parse().expect("a queue"),
        timeout: Duration::from_secs(60),
        input: Payload::Inline(Json::of(input)),
        digest: input.to_string(),
        limited: false,
        trace: TraceContext::of_run(run(), None),
    }
}
