//! The flow language, from text to verdicts, without I/O: parse, check, plan, and the fold of
//! facts into the state of a run.

mod check;
pub mod data;
pub mod diagnostic;
mod extend;
pub mod files;
pub mod input;
pub mod library;
pub mod model;
mod over;
mod parse;
mod place;
mod plan;
pub mod schema;
pub mod show;
mod state;
pub mod types;
mod yaml;

pub use check::{Checked, check};
pub use library::Library;
pub use plan::{
    Catalogue, Choice, Chosen, DEADLINE, LiveGroup, QUEUE_TIMEOUT, Request, TIMEOUT, data_key, input_schema,
    plan,
};
pub use state::{
    Child, JobState, PlanError, Refusal, Release, ReleasedCall, ReleasedJob, RunState, Standing, StepState,
};
