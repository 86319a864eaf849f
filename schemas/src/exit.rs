//! Exit codes of every rfx command. Scripts and CI rely on them: they never change meaning.

use crate::verdict::Verdict;

/// Everything passed.
pub const PASSED: u8 = 0;
/// A test failed, or a function gave no answer.
pub const FAILED: u8 = 1;
/// Wrong usage, or a flow, data file or setting that is not valid.
pub const USAGE: u8 = 2;
/// A job was lost by us, not by the test.
pub const LOST: u8 = 3;
/// There was nothing to run.
pub const NOTHING: u8 = 4;
/// The run was cancelled.
pub const CANCELLED: u8 = 5;
/// Waiting took longer than allowed.
pub const TIMED_OUT: u8 = 6;
/// The broker could not be reached or used.
pub const UNAVAILABLE: u8 = 69;
/// A bug in rfx.
pub const BUG: u8 = 70;
/// Interrupted before the run had an answer.
pub const INTERRUPTED: u8 = 130;

/// The exit code for a run's verdict.
pub fn of_verdict(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Passed | Verdict::Flaky => PASSED,
        Verdict::Failed | Verdict::Error => FAILED,
        Verdict::Lost => LOST,
        Verdict::Skipped => NOTHING,
        Verdict::Cancelled => CANCELLED,
    }
}
