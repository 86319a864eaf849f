//! The flow language, from text to verdicts, without I/O: parse, check, plan, and the fold of
//! facts into the state of a run.

mod check;
pub mod data;
pub mod diagnostic;
pub mod model;
mod parse;
mod plan;
mod state;
mod yaml;

pub use check::{Checked, check};
pub use plan::{Catalogue, DEADLINE, LiveGroup, QUEUE_TIMEOUT, Request, TIMEOUT, plan};
pub use state::{PlanError, Refusal, Release, ReleasedJob, RunState, Status, StepState};
