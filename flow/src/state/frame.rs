//! One execution of a flow inside a run: the run's own, or one of a composite.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rfx_expr::Scope;
use rfx_schemas::id::Attempt;
use rfx_schemas::plan::{Phase, Plan};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::{Counts, Verdict};
use serde_json::Value;

/// The steps of a flow, as the plan lays them out.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// By their number in the flow: their position in the plan.
    pub steps: Vec<u32>,
    /// By their number: their phase.
    pub phases: Vec<Phase>,
    /// By their number: how many steps they wait for, and which wait for them.
    needs: Vec<u32>,
    pub dependents: Vec<Vec<usize>>,
    names: BTreeMap<(Phase, String), usize>,
}

/// The flows of a plan: the run's own last, those of composites by position of the composite.
pub(super) fn bodies(plan: &Plan) -> Vec<Body> {
    let mut bodies = Vec::new();
    bodies.resize_with(plan.steps.len() + 1, Body::default);
    for (at, step) in plan.steps.iter().enumerate() {
        let body = &mut bodies[step.parent.map_or(plan.steps.len(), |parent| parent as usize)];
        body.names.insert((step.phase, step.name.to_string()), body.steps.len());
        body.steps.push(u32::try_from(at).expect("plans stay below 2^32 steps"));
        body.phases.push(step.phase);
        body.needs.push(u32::try_from(step.needs.len()).expect("few needs"));
    }
    for body in &mut bodies {
        let local: BTreeMap<_, _> =
            body.steps.iter().enumerate().map(|(local, step)| (*step, local)).collect();
        body.dependents = vec![Vec::new(); body.steps.len()];
        for (waiting, step) in body.steps.iter().enumerate() {
            for needed in &plan.steps[*step as usize].needs {
                body.dependents[local[needed]].push(waiting);
            }
        }
    }
    bodies
}

impl Body {
    /// The number of a step.
    pub fn find(&self, phase: Phase, name: &str) -> Option<usize> {
        self.names.get(&(phase, name.to_owned())).copied()
    }
}

/// An execution of a flow.
pub(super) struct Frame {
    /// The job that it is: of which step, and which of its jobs; none for the run itself.
    pub of: Option<(u32, u32)>,
    /// Its inputs.
    pub inputs: BTreeMap<String, Value>,
    /// What people call it.
    pub key: Option<Box<str>>,
    /// Whether it undoes something: it runs on when the run is ended early.
    pub undo: bool,
    /// Its steps, by number in the flow.
    pub steps: Vec<Instance>,
    /// Jobs inside that failed, and that nobody allows to.
    pub failures: u32,
    /// Calls of its jobs, and of what those call, that have no verdict.
    pub calls: u32,
    /// Steps without a verdict, by phase.
    open: [usize; Phase::ALL.len()],
    /// Steps that wait for no other one, and for their phase only.
    pub free: Vec<usize>,
    /// The first setup step that did not pass.
    pub setup_failed: Option<usize>,
    /// Whether a step ended with something that should not be, and may not.
    pub wrong: bool,
}

impl Frame {
    /// An execution of a flow with these steps, of which none has begun.
    pub fn new(body: &Body, of: Option<(u32, u32)>, inputs: BTreeMap<String, Value>) -> Self {
        let mut open = [0; Phase::ALL.len()];
        body.phases.iter().for_each(|phase| open[*phase as usize] += 1);
        let instance = |waits: &u32| Instance { waits: *waits, ..Instance::default() };
        Self {
            of,
            inputs,
            key: None,
            undo: false,
            steps: body.needs.iter().map(instance).collect(),
            failures: 0,
            calls: 0,
            open,
            free: (0..body.needs.len()).filter(|local| body.needs[*local] == 0).collect(),
            setup_failed: None,
            wrong: false,
        }
    }

    /// The phase whose turn it is; none when all steps have ended.
    pub fn phase(&self) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| self.open[*phase as usize] > 0)
    }

    /// Takes note that a step has ended: what waited for it may be free now.
    pub fn note_end(&mut self, body: &Body, local: usize) {
        let phase = body.phases[local];
        self.open[phase as usize] -= 1;
        self.wrong |= self.steps[local].is_wrong();
        if phase == Phase::Setup && !self.steps[local].is_fine() {
            self.setup_failed.get_or_insert(local);
        }
        for waiting in &body.dependents[local] {
            self.steps[*waiting].waits -= 1;
            if self.steps[*waiting].waits == 0 {
                self.free.push(*waiting);
            }
        }
    }
}

/// Where a step of an execution stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Status {
    /// Waits for its phase or for what it needs.
    #[default]
    Pending,
    /// Its jobs are known and run.
    Active,
    /// Every job has a verdict, or it was skipped. Whether it may have failed.
    Ended(Verdict, bool),
}

/// What the jobs of a step have as their item.
#[derive(Debug, Clone, Default)]
pub(super) enum Items {
    /// None: there is one job.
    #[default]
    None,
    /// One of a list each.
    List(Arc<Value>),
    /// Their number.
    Numbers,
}

/// A step of an execution.
#[derive(Default)]
pub(super) struct Instance {
    pub status: Status,
    /// Steps that it waits for.
    waits: u32,
    pub items: Items,
    /// Its jobs: their numbers in the plan's step.
    pub jobs: Vec<u32>,
    /// Outputs, when an expression reads them.
    pub outputs: Vec<Value>,
    /// Verdicts so far.
    pub counts: Counts,
    /// Jobs that are released and have no outcome.
    pub outstanding: u32,
    /// The next job that was never released.
    pub cursor: usize,
    /// Jobs whose wait for another attempt is over, and that attempt.
    pub due: VecDeque<(u32, Attempt)>,
    /// Whether it stands in line to release jobs.
    pub queued: bool,
    /// Until when it gets another job for each that ends.
    pub repeats_until: Option<Stamp>,
    /// Jobs inside that failed, and that nobody allows to.
    pub failures: u32,
    /// What all of its inputs read: made once for many jobs.
    pub scope: Option<Box<Scope<'static>>>,
}

impl Instance {
    /// The verdict, once every job has one.
    pub fn verdict(&self) -> Option<Verdict> {
        match self.status {
            Status::Ended(verdict, _) => Some(verdict),
            Status::Pending | Status::Active => None,
        }
    }

    /// Whether what needs it may go on.
    pub fn is_fine(&self) -> bool {
        matches!(self.status, Status::Ended(verdict, allowed) if allowed || verdict.is_pass())
    }

    /// Whether it ended with something that should not be, and may not.
    pub fn is_wrong(&self) -> bool {
        let wrong = |v| matches!(v, Verdict::Failed | Verdict::Error | Verdict::Lost);
        matches!(self.status, Status::Ended(verdict, false) if wrong(verdict))
    }

    /// Whether all of its jobs have a verdict, and no more will come.
    pub fn is_whole(&self) -> bool {
        self.counts.total() as usize == self.jobs.len()
    }

    /// The item of a job.
    pub fn item(&self, ordinal: usize) -> Option<Cow<'_, Value>> {
        match &self.items {
            Items::None => None,
            Items::List(list) => list.get(ordinal).map(Cow::Borrowed),
            Items::Numbers => Some(Cow::Owned(Value::from(ordinal))),
        }
    }

    /// What expressions read as its output: the one value, or the list of them.
    pub fn output(&self) -> Value {
        match self.items {
            Items::None => self.outputs.first().cloned().unwrap_or(Value::Null),
            Items::List(_) | Items::Numbers => Value::Array(self.outputs.clone()),
        }
    }

    /// Forgets what is not needed once it has ended.
    pub fn shrink(&mut self) {
        self.due = VecDeque::new();
        self.scope = None;
        self.jobs = Vec::new();
        if let Items::List(_) = self.items {
            self.items = Items::Numbers;
        }
    }
}
