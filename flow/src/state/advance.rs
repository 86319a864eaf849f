//! What follows from what has ended: whose turn it is, what begins, and what is skipped.

use rfx_schemas::plan::{Over, Phase};
use rfx_schemas::verdict::Verdict;
use serde_json::Value;

use super::frame::{Items, Status};
use super::job::JobState;
use super::{Note, ROOT, RunState, number};
use crate::over::{MOST_JOBS, short};

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
            } else if !self.next_undo() {
                return;
            }
        }
    }

    /// Whether anything changed.
    fn advance_once(&mut self, id: u32) -> bool {
        let frame = &self.frames[&id];
        let calls = frame.calls > 0;
        let Some(phase) = frame.phase() else {
            return !calls && self.close(id);
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
        // Teardown comes last: behind what was called and runs on, and what is undone before it.
        if phase == Phase::Teardown && (calls || id == ROOT && self.undoes_first()) {
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
        let phases = &self.bodies[self.body_of(self.frames[&id].of)].phases;
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
        let body = self.body_of(self.frames[&id].of);
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
        if self.steps[step].jobs.len() + count > MOST_JOBS as usize {
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
}
