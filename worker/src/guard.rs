//! The guard: a small process beside the worker that outlives it by a moment. When the worker is
//! gone, however it ended, the guard ends what it had started for functions.
//!
//! It is the worker's own program once more, told by an environment variable.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sweep::{Mark, sweep};

const GUARD: &str = "RFX_GUARD";

/// Whether this program knows how to be a guard: another one would just run a second time.
static ABLE: AtomicBool = AtomicBool::new(false);

/// Makes this process a guard if it was started as one; it does not return then. To be called first
/// thing by every program that runs a worker.
#[expect(clippy::disallowed_methods, reason = "a guard must not go on as the program that it stands in for")]
pub fn stand_in() {
    ABLE.store(true, Ordering::Release);
    let Ok(mark) = std::env::var(GUARD) else { return };
    // The other end is held by the worker alone: its end is the worker's.
    let mut nothing = Vec::new();
    let _read_or_broken = std::io::stdin().read_to_end(&mut nothing);
    sweep(&Mark::given(mark));
    std::process::exit(0);
}

/// A guard that is up; it ends by itself once this is dropped.
#[derive(Debug)]
pub struct Guard {
    child: Child,
}

impl Guard {
    /// Starts a guard over all that carries the mark; none where this program cannot be one.
    pub fn start(mark: &Mark) -> Option<Self> {
        if !ABLE.load(Ordering::Acquire) {
            return None;
        }
        let mut command = Command::new(std::env::current_exe().ok()?);
        command.env(GUARD, mark.as_str()).stdin(Stdio::piped()).stdout(Stdio::null());
        // Ctrl-C is for the worker, which may take a while to drain.
        match command.process_group(0).spawn() {
            Ok(child) => Some(Self { child }),
            Err(error) => {
                tracing::warn!(%error, "no guard: processes of functions outlive a worker that is killed");
                None
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if let Err(error) = self.child.wait() {
            tracing::debug!(%error, "the guard was gone");
        }
    }
}
