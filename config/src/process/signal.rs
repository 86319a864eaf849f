//! SIGINT and SIGTERM as events.

use std::io;

use rfx_schemas::exit;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Failure;

/// What someone wants of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: a person pressed Ctrl-C.
    Interrupt,
    /// SIGTERM: whoever runs this process wants it to end in order.
    Terminate,
}

/// The signals that this process gets, in order. While it lives, none ends the process by itself.
#[derive(Debug)]
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Starts listening. Only inside a tokio runtime.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next signal; waits for ever if there is none. Safe in a `select!`: dropping the future
    /// loses no signal.
    pub async fn next(&mut self) -> Signal {
        let received = tokio::select! {
            received = self.interrupt.recv() => received.map(|()| Signal::Interrupt),
            received = self.terminate.recv() => received.map(|()| Signal::Terminate),
        };
        match received {
            Some(signal) => signal,
            // The runtime is going down, and with it whoever waits here.
            None => std::future::pending().await,
        }
    }
}

/// For commands that have nothing to end in order: the first signal ends them, with
/// [`exit::INTERRUPTED`].
pub async fn until_signal(work: impl Future<Output = Result<u8, Failure>>) -> Result<u8, Failure> {
    // Where nobody can listen, the signal ends the process by itself.
    let Ok(mut signals) = Signals::listen() else { return work.await };
    tokio::select! {
        biased;
        done = work => done,
        _ = signals.next() => Ok(exit::INTERRUPTED),
    }
}

/// For services: the first signal cancels the token, the second ends the process at once with
/// [`exit::INTERRUPTED`].
///
/// The task that listens is the one that may outlive its starter: it has to hear the second signal
/// while everything else is being shut down.
pub fn shutdown_token(mut signals: Signals) -> CancellationToken {
    let token = CancellationToken::new();
    let shared = token.clone();
    tokio::spawn(async move {
        let first = signals.next().await;
        tracing::info!(signal = ?first, "shutting down; a second signal ends the process at once");
        shared.cancel();
        let second = signals.next().await;
        tracing::warn!(signal = ?second, "ended before the shutdown was done");
        abandon();
    });
    token
}

#[expect(clippy::disallowed_methods, reason = "the second signal asks to end now, whatever still runs")]
fn abandon() -> ! {
    std::process::exit(i32::from(exit::INTERRUPTED))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::Command;
    use std::time::Duration;

    use super::*;
    use crate::{process, testing};

    /// Sends a process a signal, as a shell would.
    fn send(name: &str, pid: u32) {
        let sent = Command::new("kill").args([name, &pid.to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }

    // One test, since signals reach every listener in the process.
    #[tokio::test]
    async fn signals_are_events_and_the_first_cancels() {
        let mut signals = Signals::listen().expect("a runtime");
        let token = shutdown_token(Signals::listen().expect("a runtime"));
        assert!(!token.is_cancelled());
        send("-INT", std::process::id());
        let patience = Duration::from_secs(10);
        let next = tokio::time::timeout(patience, signals.next()).await;
        assert_eq!(next, Ok(Signal::Interrupt));
        let cancelled = tokio::time::timeout(patience, token.cancelled()).await;
        assert_eq!(cancelled, Ok(()));
    }

    /// A service that takes its time to shut down.
    fn serve_without_end() {
        process::main("rfx-worker", async |signals| {
            let token = shutdown_token(signals);
            process::print("listening\n")?;
            token.cancelled().await;
            process::print("cancelled\n")?;
            std::future::pending().await
        });
    }

    #[test]
    fn the_second_signal_ends_the_process() {
        if testing::role().is_some() {
            return serve_without_end();
        }
        let name = "process::signal::tests::the_second_signal_ends_the_process";
        let mut child = testing::child(name, "service");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.ends_with("listening")), "it starts");
        send("-TERM", child.id());
        assert!(lines.any(|line| line.ends_with("cancelled")), "the first signal cancels");
        send("-TERM", child.id());
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(i32::from(exit::INTERRUPTED)));
    }
}
