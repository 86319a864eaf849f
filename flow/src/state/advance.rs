//! What follows from what has ended: steps begin, are skipped, or end; executions of flows open and close.

use std::collections::BTreeMap;

use rfx_expr::{Scope, Template};
use rfx_schemas::plan::{Over, Phase, SubFlow};
use rfx_schemas::verdict::Verdict;
use serde_json::{Value, json};

use super::frame::{Frame, Items, Status};
use super::job::{JobState, Standing};
use super::{Note, RunState, number};
use crate::data::item_key;
use crate::over::{MOST_JOBS, batch_key, combination_key, short};

/// Most executions of one composite at once, unless its step says fewer: enough to keep a window of
/// jobs full, and few enough to be kept in memory.
const FRAMES: usize = 512;
/// Most executions in all, but for the first of each composite: flows inside of flows multiply.
const ALL_FRAMES: usize = 4_096;

impl RunState {
    /// Starts, skips and ends steps until nothing follows any more.
    pub(super) fn advance(&mut self) {
        loop {
            if let Some(frame) = self.dirty.pop_first() {
                while self.frames.contains_key(&frame) && self.advance_once(frame) {}
            } else if let Some((frame, local)) = self.opening.pop_first() {
                if self.frames.contains_key(&frame) {
                    self.open_frames(frame, local);
                }
            } else {
                return;
            }
        }
    }

    /// Whether anything changed.
    fn advance_once(&mut self, id: u32) -> bool {
        let frame = &self.frames[&id];
        let Some(phase) = frame.phase() else {
            return self.close(id);
        };
        let undo = frame.undo || phase == Phase::Teardown;
        let (setup_failed, wrong) = (frame.setup_failed, frame.wrong);
        if undo && self.asks > 1 {
            return self.skip_pending(
                id,
                None,
                Verdict::Cancelled,
                "teardown was skipped by a second cancel",
            );
        }
        if self.ending.is_some() && !undo {
            return false;
        }
        if phase == Phase::Main
            && let Some(local) = setup_failed
        {
            let path = self.plan.steps[self.step_of(id, local)].path();
            if self.skip_pending(id, Some(phase), Verdict::Skipped, &format!("{path} did not pass")) {
                return true;
            }
        }
        if phase == Phase::OnFailure && !wrong {
            return self.skip_pending(id, Some(phase), Verdict::Skipped, "nothing failed");
        }
        let turns = self.take_free(id, phase);
        for local in &turns {
            self.begin(id, *local);
        }
        !turns.is_empty()
    }

    /// The steps of a phase whose turn has come, in their order.
    fn take_free(&mut self, id: u32, phase: Phase) -> Vec<usize> {
        let phases = &self.bodies[self.body_of(id)].phases;
        let frame = self.frames.get_mut(&id).expect("it is being advanced");
        let free = std::mem::take(&mut frame.free);
        let pending = free.into_iter().filter(|local| frame.steps[*local].status == Status::Pending);
        let (mut turns, later): (Vec<_>, Vec<_>) = pending.partition(|local| phases[*local] == phase);
        frame.free = later;
        turns.sort_unstable();
        turns
    }

    /// Skips what has not begun, of one phase or all. Whether there was anything.
    pub(super) fn skip_pending(
        &mut self,
        id: u32,
        phase: Option<Phase>,
        verdict: Verdict,
        reason: &str,
    ) -> bool {
        let mut changed = false;
        for local in 0..self.frames[&id].steps.len() {
            let fits = phase.is_none_or(|phase| self.plan.steps[self.step_of(id, local)].phase == phase);
            if fits && self.instance(id, local).status == Status::Pending {
                self.skip(id, local, verdict, reason);
                changed = true;
            }
        }
        changed
    }

    /// Ends a step that has not begun.
    pub(super) fn skip(&mut self, id: u32, local: usize, verdict: Verdict, reason: &str) {
        let step = self.step_of(id, local);
        let state = &mut self.steps[step];
        state.counts.add(verdict);
        state.lone.add(verdict);
        state.reason.get_or_insert_with(|| reason.to_owned());
        let failed = matches!(verdict, Verdict::Failed | Verdict::Error);
        self.frames.get_mut(&id).expect("it holds the step").failures += u32::from(failed);
        self.instance_mut(id, local).status = Status::Ended(verdict, false);
        self.note_end(id, local);
    }

    /// A step has its verdict: something may follow.
    pub(super) fn note_end(&mut self, id: u32, local: usize) {
        let body = self.body_of(id);
        self.frames.get_mut(&id).expect("it holds the step").note_end(&self.bodies[body], local);
        self.dirty.insert(id);
    }

    /// A step's turn has come: it starts, or is skipped with a reason.
    fn begin(&mut self, id: u32, local: usize) {
        let step = self.step_of(id, local);
        let begun = self
            .may_start(id, step)
            .and_then(|()| self.items(id, step).map_err(|reason| (Verdict::Error, reason)));
        match begun {
            Ok(items) => self.start(id, local, step, items),
            Err((verdict, reason)) => self.skip(id, local, verdict, &reason),
        }
    }

    fn may_start(&self, id: u32, step: usize) -> Result<(), (Verdict, String)> {
        let planned = &self.plan.steps[step];
        if let Some(reason) = &planned.left_out {
            return Err((Verdict::Skipped, reason.clone()));
        }
        let failed = |n: &&u32| !self.instance(id, self.local[**n as usize]).is_fine();
        if let Some(condition) = &self.compiled[step].condition {
            return match condition.eval(&self.start_scope(id, step)) {
                Ok(Value::Bool(true)) => Ok(()),
                Ok(Value::Bool(false)) => {
                    Err((Verdict::Skipped, format!("its condition is false: {}", condition.text())))
                }
                Ok(other) => {
                    let text = condition.text();
                    Err((
                        Verdict::Error,
                        format!("{text}: if must be true or false, this is {}", short(&other)),
                    ))
                }
                Err(error) => Err((Verdict::Error, error.to_string())),
            };
        }
        if planned.phase == Phase::Teardown {
            let setup = |n: &&u32| self.plan.steps[**n as usize].phase == Phase::Setup;
            if let Some(n) = planned.needs.iter().filter(setup).find(failed) {
                let path = self.plan.steps[*n as usize].path();
                return Err((Verdict::Skipped, format!("nothing to undo: {path} did not pass")));
            }
        }
        // What comes after the test runs because something failed, not in spite of it.
        if planned.phase < Phase::OnFailure
            && let Some(n) = planned.needs.iter().find(failed)
        {
            return Err((Verdict::Skipped, format!("{} did not pass", self.plan.steps[*n as usize].path())));
        }
        Ok(())
    }

    /// Unfolds a step into jobs.
    fn start(&mut self, id: u32, local: usize, step: usize, items: Items) {
        let planned = &self.plan.steps[step];
        let (keep, parallel) = (planned.keep_output, planned.max_parallel.unwrap_or(1));
        let (count, repeats_until) = match (&items, &planned.over) {
            (Items::None, _) => (1, None),
            (Items::List(list), _) => (list.as_array().map_or(0, Vec::len), None),
            (Items::Numbers, Over::Times(times)) => (*times as usize, None),
            (Items::Numbers, Over::For(time)) => (parallel as usize, Some(self.clock.after(*time))),
            (Items::Numbers, _) => (0, None),
        };
        if count == 0 {
            return self.skip(id, local, Verdict::Skipped, "its list is empty");
        }
        if self.steps[step].jobs.len() + count > MOST_JOBS {
            let reason = format!("the step has more than {MOST_JOBS} jobs");
            return self.skip(id, local, Verdict::Error, &reason);
        }
        let instance = self.instance_mut(id, local);
        instance.items = items;
        instance.repeats_until = repeats_until;
        instance.status = Status::Active;
        instance.outputs = vec![Value::Null; if keep { count } else { 0 }];
        for _ in 0..count {
            self.add_job(id, local, step);
        }
        if self.compiled[step].inner.is_some() {
            self.opening.insert((id, local));
        } else {
            self.stand_in_line(id, local);
        }
    }

    pub(super) fn add_job(&mut self, id: u32, local: usize, step: usize) {
        let ordinal = number(self.instance(id, local).jobs.len());
        let item = number(self.steps[step].jobs.len());
        self.steps[step].jobs.push(JobState::new(id, ordinal));
        if self.compiled[step].inner.is_some() {
            self.steps[step].notes.push(Note::default());
        }
        self.instance_mut(id, local).jobs.push(item);
    }

    /// Puts a step in the line of those that release jobs, if it has some to release.
    pub(super) fn stand_in_line(&mut self, id: u32, local: usize) {
        let instance = self.instance(id, local);
        if !instance.queued && self.has_work(id, local) {
            self.instance_mut(id, local).queued = true;
            self.ready.push_back((id, local));
        }
    }

    /// Begins executions of a composite, as many as may go on at once.
    pub(super) fn open_frames(&mut self, id: u32, local: usize) {
        let step = self.step_of(id, local);
        let most = self.plan.steps[step].max_parallel.map_or(FRAMES, |n| n as usize);
        while self.frames.contains_key(&id) && !self.is_held(id, step) {
            let instance = self.instance(id, local);
            let (ordinal, open) = (instance.cursor, instance.outstanding as usize);
            if instance.status != Status::Active || ordinal >= instance.jobs.len() || open >= most {
                return;
            }
            // Each may have one, so that all go on.
            if open > 0 && self.frames.len() >= ALL_FRAMES {
                return;
            }
            let item = instance.jobs[ordinal] as usize;
            self.instance_mut(id, local).cursor += 1;
            let key = self.job_key(id, local, step, ordinal);
            self.steps[step].notes[item].key.clone_from(&key);
            match self.frame_inputs(id, local, step, ordinal) {
                Ok(inputs) => {
                    self.steps[step].jobs[item].standing = Standing::Released;
                    self.steps[step].outstanding += 1;
                    self.instance_mut(id, local).outstanding += 1;
                    let undo = self.is_undo(id, step);
                    self.open(Some((number(step), number(item))), inputs, key, undo);
                }
                Err(reason) => {
                    self.steps[step].notes[item].reason = Some(reason.into());
                    self.steps[step].lone.add(Verdict::Error);
                    self.instance_mut(id, local).failures += 1;
                    self.settle_job(id, local, item, Verdict::Error, false);
                }
            }
        }
    }

    /// Begins an execution of a flow.
    pub(super) fn open(
        &mut self,
        of: Option<(u32, u32)>,
        inputs: BTreeMap<String, Value>,
        key: Option<Box<str>>,
        undo: bool,
    ) {
        let id = self.next_frame;
        self.next_frame += 1;
        let body = &self.bodies[of.map_or(self.plan.steps.len(), |(step, _)| step as usize)];
        let mut frame = Frame::new(body, of, inputs);
        (frame.key, frame.undo) = (key, undo);
        self.frames.insert(id, frame);
        self.dirty.insert(id);
    }

    /// The inputs of an execution of a composite, or why it has none.
    fn frame_inputs(
        &mut self,
        id: u32,
        local: usize,
        step: usize,
        ordinal: usize,
    ) -> Result<BTreeMap<String, Value>, String> {
        let given =
            self.input(id, local, step, ordinal).map_err(|e| format!("the input cannot be made: {e}"))?;
        let planned = &self.plan.steps[step];
        let (Some(flow), Some(inner)) = (planned.flow(), &self.compiled[step].inner) else {
            return Ok(BTreeMap::new());
        };
        let mut inputs = BTreeMap::new();
        for (name, rule) in &flow.inputs {
            let value = match (given.get(name), inner.defaults.get(name)) {
                (Some(value), _) => value.clone(),
                (None, Some(default)) => {
                    let scope = self.default_scope(flow, default);
                    default.eval(&scope).map_err(|e| format!("input {name}: {e}"))?
                }
                (None, None) if rule.required => {
                    return Err(format!("input {name} is required and was not given"));
                }
                (None, None) if flow.hands_on => continue,
                (None, None) => Value::Null,
            };
            if !rule.accepts(&value) {
                return Err(format!("input {name}: expected {}, got {}", rule.kind.as_str(), short(&value)));
            }
            inputs.insert(name.clone(), value);
        }
        if let (true, Value::Object(given)) = (flow.hands_on, given) {
            for (name, value) in given {
                inputs.entry(name).or_insert(value);
            }
        }
        Ok(inputs)
    }

    /// What the default of a composite's input reads: only that, since data sets may be big.
    fn default_scope(&self, flow: &SubFlow, default: &Template) -> Scope<'static> {
        let mut scope = Scope::default();
        scope.set("target", &json!(self.plan.target));
        scope.set("run", &json!({"id": self.run}));
        let read = default.paths().into_iter().filter(|path| path.names[0] == "data");
        let sets = read.filter_map(|path| {
            let name = path.names.get(1)?;
            Some((name.clone(), Value::clone(self.data.get(flow.data.get(name)?)?)))
        });
        scope.set("data", &Value::Object(sets.collect()));
        scope
    }

    /// What people call a job: its item, behind that of the composite that it is inside of.
    pub(super) fn job_key(&self, id: u32, local: usize, step: usize, ordinal: usize) -> Option<Box<str>> {
        let planned = &self.plan.steps[step];
        let item = self.instance(id, local).item(ordinal);
        let own = item.and_then(|item| match (&planned.over, planned.batch) {
            (_, Some(_)) => batch_key(&item),
            (Over::Matrix(matrix), None) => combination_key(matrix, &item),
            _ => item_key(&item),
        });
        match (self.frames[&id].key.as_deref(), own) {
            (Some(outer), Some(own)) => Some(format!("{outer} / {own}").into()),
            (Some(outer), None) => Some(outer.into()),
            (None, own) => own.map(Into::into),
        }
    }
}
