//! A driver without a server: what `publisher/src/drive` does, on a world of the tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use rfx_flow::{Release, ReleasedJob, RunState};
use rfx_schemas::fact::{Cause, Fact, Finished, Settled};
use rfx_schemas::payload::Payload;
use rfx_schemas::plan::Plan;
use rfx_schemas::verdict::OutcomeKind;
use serde_json::Value;

use crate::answer::Ending;
use crate::common::{at, run};
use crate::world::{Message, World};

/// Whoever drives.
pub struct Driver {
    pub state: RunState,
    pub read: usize,
    /// Whether another may have published before it, or does so now.
    pub again: bool,
    window: usize,
}

/// The state of a run of a plan that was just submitted.
pub fn fresh(plan: &Arc<Plan>) -> RunState {
    RunState::new(run(), Arc::clone(plan), BTreeMap::new(), at(0)).expect("a plan of ours")
}

impl Driver {
    pub fn new(plan: &Arc<Plan>, window: usize, again: bool) -> Self {
        Self { state: fresh(plan), read: 0, again, window }
    }

    /// A driver that takes over from a dead one: before it does anything, it reads to the end.
    pub fn takes_over(world: &World, window: usize) -> Self {
        let mut driver = Self::new(&world.plan, window, true);
        driver.read_all(world);
        driver
    }

    /// Reads up to so many facts.
    pub fn read(&mut self, world: &World, most: usize) {
        for (fact, when) in world.facts.iter().skip(self.read).take(most) {
            self.state.apply(fact, *when);
            self.read += 1;
        }
    }

    pub fn read_all(&mut self, world: &World) {
        self.read(world, usize::MAX);
    }

    /// One turn of the loop. `lives` says for each step of an ending whether the driver survives it;
    /// false when it did not.
    pub fn act(&mut self, world: &mut World, lives: &mut dyn FnMut(&mut World) -> bool) -> bool {
        if self.state.is_finished() {
            return true;
        }
        self.release(world);
        if let Some(cause) = self.state.ending() {
            return self.end_early(world, cause, lives);
        }
        if self.state.asks() > 1 && !self.abandon_teardown(world, lives) {
            return false;
        }
        if let Some(verdict) = self.state.complete() {
            let counts = self.state.counts();
            let finished = Finished {
                verdict,
                counts,
                breaches: self.state.breaches(),
                unmade: Vec::new(),
                outputs: None,
            };
            world.about_run("finished", Fact::Finished(finished));
        }
        true
    }

    fn release(&mut self, world: &mut World) {
        self.release_calls(world);
        for (caller, returned) in self.state.returns() {
            world.answered(caller, returned);
        }
        let room = self.window.saturating_sub(self.state.outstanding());
        for release in self.state.release(world.now, room) {
            match release {
                Release::Publish(job) => {
                    let scope = self.state.expect_scope(job.job.step as usize, job.frame);
                    let path = self.state.path(job.job.step as usize);
                    let root = Some(job.job.step);
                    let again = self.again;
                    world.publish(Message { job, path, undo: false, root, scope, again, deliveries: 0 });
                }
                Release::Refuse(refusal) => {
                    let ending = Ending::of(OutcomeKind::Error, Value::Null);
                    let ending = Ending { error: Some(refusal.failure), ..ending };
                    world.record((refusal.job, refusal.attempt), refusal.key, ending);
                }
            }
        }
    }

    fn release_calls(&mut self, world: &mut World) {
        for call in self.state.release_calls(world.now, usize::MAX) {
            let Payload::Inline(input) = call.input else { panic!("only big inputs are blobs") };
            let job = ReleasedJob {
                job: call.job,
                attempt: call.attempt,
                frame: 0,
                key: call.key,
                item: None,
                index: 0,
                input,
            };
            let child = self.state.child(job.job).expect("it was released");
            let path = self.state.path(job.job.step as usize);
            let root = u32::try_from(child.root()).ok().filter(|_| !path.contains("/undo-"));
            let (undo, again) = (child.is_undo(), self.again);
            world.publish(Message { job, path, undo, root, scope: None, again, deliveries: 0 });
        }
    }

    fn open(&self, teardown: bool) -> Vec<(rfx_schemas::id::JobId, rfx_schemas::id::Attempt)> {
        let mut open = self.state.unsettled(teardown);
        open.retain(|(job, _)| self.again || self.state.is_released(*job));
        open
    }

    fn end_early(
        &mut self,
        world: &mut World,
        cause: Cause,
        lives: &mut dyn FnMut(&mut World) -> bool,
    ) -> bool {
        world.purge();
        if !lives(world) {
            return false;
        }
        self.read_all(world);
        world.purge();
        if !self.record_ends(world, cause, false, lives) {
            return false;
        }
        self.again = true;
        let settled = Settled { by: "driver".parse().expect("a member") };
        world.about_run("settled", Fact::Settled(settled));
        self.read_all(world);
        assert_eq!(self.state.ending(), None, "it is settled");
        true
    }

    fn abandon_teardown(&mut self, world: &mut World, lives: &mut dyn FnMut(&mut World) -> bool) -> bool {
        if !self.open(true).is_empty() {
            world.purge();
            if !self.record_ends(world, Cause::Asked, true, lives) {
                return false;
            }
        }
        self.state.abandon_teardown();
        true
    }

    fn record_ends(
        &mut self,
        world: &mut World,
        cause: Cause,
        teardown: bool,
        lives: &mut dyn FnMut(&mut World) -> bool,
    ) -> bool {
        // Once more for what the last of them have called.
        for _ in 0..100 {
            let open = self.open(teardown);
            if open.is_empty() {
                return true;
            }
            for id in open {
                if !lives(world) {
                    return false;
                }
                world.end(id, cause);
            }
            self.read_all(world);
        }
        panic!("all that is open was given an end");
    }
}
