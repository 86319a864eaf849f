//! What the tests of the whole share: a nats-server of their own, the binaries as processes, and
//! waits for a state rather than for time.

pub mod process;
pub mod world;

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longest wait for anything in a test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` gives something; panics with `what` after [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
