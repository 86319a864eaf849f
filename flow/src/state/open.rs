//! Executions of composites: how many go on at once, what they are given, what people call them.

use std::collections::BTreeMap;

use rfx_expr::{Scope, Template};
use rfx_schemas::plan::{Over, SubFlow};
use rfx_schemas::verdict::Verdict;
use serde_json::{Value, json};

use super::frame::{Frame, Status};
use super::job::Standing;
use super::{RunState, number};
use crate::data::item_key;
use crate::over::{batch_key, combination_key, short};

/// Most executions of one composite at once, unless its step says fewer: enough to keep a window of
/// jobs full, and few enough to be kept in memory.
const FRAMES: usize = 512;
/// Most executions in all, but for the first of each composite: flows inside of flows multiply.
const ALL_FRAMES: usize = 4_096;

impl RunState {
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
        let body = &self.bodies[self.body_of(of)];
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
