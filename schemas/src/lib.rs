//! What rfx's processes agree on: ids, names, subjects, the topology as values, and every message.
//!
//! Publisher, worker and collector never call each other; this crate is their only contract.
//! It does no I/O and knows neither NATS nor the clock.

pub mod encoding;
pub mod exit;
pub mod fact;
pub mod gate;
pub mod id;
pub mod input;
pub mod job;
pub mod live;
pub mod name;
pub mod outcome;
pub mod payload;
pub mod plan;
pub mod record;
pub mod replay;
pub mod report;
pub mod rules;
pub mod stamp;
pub mod subject;
pub mod topology;
pub mod trace;
pub mod verdict;
