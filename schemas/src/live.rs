//! Best-effort messages over core NATS. Nothing depends on them arriving.

use serde::{Deserialize, Serialize};

/// What is said on a run's control subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "control")]
pub enum Control {
    /// The run was cancelled: stop what runs for it.
    Cancel,
}
