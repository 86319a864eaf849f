//! How a runner comes to take no more calls, and ends.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::runner::Runner;

/// How long a process that is not used any more may take for what its fixtures tear down.
const LEAVE: Duration = Duration::from_secs(10);

impl Runner {
    /// Takes note that it may have no call any more.
    pub(super) fn rests(&mut self) {
        if self.calls.is_empty() && self.fit && self.busy {
            self.busy = false;
            if self.crew.idles() {
                self.wane();
            }
        }
    }

    /// Takes no more calls. Those that the process has it may have begun, so only it can give them back.
    pub(super) fn wane(&mut self) {
        if std::mem::replace(&mut self.fit, false) {
            self.crew.leaves(!self.busy);
        }
        if !self.calls.is_empty() && !self.is_shared() && !self.crew.limits.own {
            self.write(&json!({"type": "recall"}), b"");
            self.process.signal(Signal::USR1);
        }
    }

    /// Takes no more calls, since the process begins none: those that it has are given back.
    pub(super) fn leave(&mut self) {
        if std::mem::replace(&mut self.fit, false) {
            self.crew.leaves(!self.busy);
        }
        if !self.is_shared() {
            let back: Vec<_> = self.calls.drain(..).map(|call| call.request).collect();
            self.crew.submit_again(back.into_iter());
        }
    }

    /// Closes the socket, so that the process tears down what its fixtures made, and ends.
    pub(super) async fn retire(mut self) {
        if let Err(error) = self.line.to.shutdown().await {
            tracing::trace!(%error, "it has closed its end already");
        }
        let ending = async {
            tokio::select! {
                exit = self.process.ended() => exit,
                () = async { loop { self.line.output.printed().await } } => unreachable!("the loop has no end"),
            }
        };
        if timeout(LEAVE, ending).await.is_err() {
            tracing::debug!("a runner that is not used any more did not end by itself");
            self.process.kill().await;
            self.crew.source.sweep().await;
        }
    }
}
