//! How the calls of a runner are stopped, and what becomes of them when its process ends under them.

use std::ops::ControlFlow;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::ending::{self, Stopped};
use super::process::Exit;
use super::runner::{Call, GRACE, PULSE, Pulse, Runner, STUCK};

/// How long is waited for what a killed process has said before.
const HEAR: Duration = Duration::from_millis(200);

impl Call {
    /// Whether nobody wants it any more.
    fn is_unwanted(&self) -> bool {
        self.request.cancel.is_cancelled() || self.request.answer.is_closed()
    }

    /// Whether something has to be done about it.
    fn is_due(&self, now: Instant) -> bool {
        match self.stopped {
            None => now >= self.deadline || self.is_unwanted(),
            Some((_, since)) => now >= since + GRACE,
        }
    }
}

impl Runner {
    /// Stops what has to be stopped.
    pub(super) async fn look(&mut self) -> ControlFlow<()> {
        let now = Instant::now();
        if self.is_shared() && self.calls.iter().any(|call| call.is_due(now)) {
            match self.pulse {
                Pulse::Felt(at) if now - at < PULSE => {}
                Pulse::Asked(at) if now - at < PULSE => return ControlFlow::Continue(()),
                Pulse::Asked(_) => {
                    self.froze().await;
                    return ControlFlow::Break(());
                }
                Pulse::Unknown | Pulse::Felt(_) => {
                    self.pulse = Pulse::Asked(now);
                    self.write(&json!({"type": "ping"}), b"");
                    return ControlFlow::Continue(());
                }
            }
        }
        let running = if self.is_shared() { self.calls.len() } else { self.calls.len().min(1) };
        for at in 0..running {
            let Some(call) = self.calls.get_mut(at) else { break };
            match &call.stopped {
                None if call.is_unwanted() => self.stop(at, Stopped::Cancelled),
                None if now >= call.deadline => self.stop(at, Stopped::TimedOut),
                Some((_, since)) if now >= *since + GRACE => {
                    if self.is_shared() {
                        self.abandon(at);
                        return ControlFlow::Continue(());
                    }
                    self.kill_call().await;
                    return ControlFlow::Break(());
                }
                _ => {}
            }
        }
        if let Some(limit) = self.crew.limits.memory {
            let used = self.crew.memory.of(self.process.pid()).await;
            if used > limit {
                self.out_of_memory(used, limit).await;
                return ControlFlow::Break(());
            }
        }
        let others_wait = !self.is_shared() && self.calls.len() > 1;
        if let Some(front) = self.calls.front_mut()
            && others_wait
            && !front.recalled
            && now >= front.begun + STUCK
        {
            front.recalled = true;
            self.write(&json!({"type": "recall"}), b"");
            self.process.signal(Signal::USR1);
        }
        ControlFlow::Continue(())
    }

    /// Asks a call to stop: its function sees an exception, its finalizers run.
    fn stop(&mut self, at: usize, why: Stopped) {
        let shared = self.is_shared();
        let Some(call) = self.calls.get_mut(at) else { return };
        call.stopped = Some((why, Instant::now()));
        let id = call.id;
        self.write(&json!({"type": "stop", "id": id}), b"");
        if !shared {
            self.process.signal(Signal::USR1);
        }
    }

    /// Kills the process, since its call did not stop when asked to.
    async fn kill_call(&mut self) {
        self.line.output.last_words(&self.process).await;
        self.process.kill().await;
        self.hear_out().await;
        let tail = self.line.output.take();
        if let Some(call) = self.calls.pop_front()
            && let Some((why, _)) = call.stopped
        {
            let ending = ending::killed(why, tail, &call.request);
            call.request.finish(ending);
        }
        self.leave();
        self.crew.source.sweep().await;
    }

    /// Ends a call of a shared process without its answer. The process goes when its other calls have
    /// ended: they have not deserved to be killed.
    fn abandon(&mut self, at: usize) {
        let Some(call) = self.calls.remove(at) else { return };
        if let Some((why, _)) = call.stopped {
            let ending = ending::killed(why, String::new(), &call.request);
            call.request.finish(ending);
        }
        self.leave();
    }

    /// Nothing moves in a shared process any more: one of its calls keeps the interpreter to itself. Which
    /// one shows when each is executed alone, with all of its time.
    async fn froze(&mut self) {
        self.process.kill().await;
        self.hear_out().await;
        self.hand_over();
        self.crew.source.sweep().await;
    }

    /// Takes in what a process has said before it was killed: what it has ended must not be done again.
    async fn hear_out(&mut self) {
        while let Ok(Ok(Some((said, body)))) = timeout(HEAR, self.line.from.next()).await {
            self.said(said, body);
        }
    }

    async fn out_of_memory(&mut self, used: u64, limit: u64) {
        self.process.kill().await;
        self.hear_out().await;
        let tail = self.line.output.take();
        let alone = self.calls.len() == 1 || !self.is_shared();
        if alone && let Some(call) = self.calls.pop_front() {
            let ending = ending::out_of_memory(used, limit, tail);
            call.request.finish(ending);
        }
        self.hand_over();
        self.crew.source.sweep().await;
    }

    /// The process has ended, or closed its socket, on its own.
    pub(super) async fn died(&mut self) {
        let by_itself = timeout(Duration::from_millis(200), self.process.ended()).await;
        let exit = match by_itself {
            Ok(exit) => {
                self.process.kill().await;
                exit
            }
            Err(_) => self.process.kill().await,
        };
        let tail = self.line.output.take();
        let alone = self.calls.len() == 1 || !self.is_shared();
        if alone && let Some(call) = self.calls.pop_front() {
            let ending = match (&exit, call.stopped) {
                (_, Some((why, _))) => ending::killed(why, tail, &call.request),
                (Exit::Orphaned, None) => ending::orphaned(&exit, tail),
                (_, None) => ending::crashed(&exit, tail, &call.request),
            };
            call.request.finish(ending);
        }
        self.hand_over();
        self.crew.source.sweep().await;
    }

    /// The process has sent what is no frame: nothing that follows can be understood.
    pub(super) async fn broke(&mut self, what: &str) {
        self.line.output.last_words(&self.process).await;
        self.process.kill().await;
        let tail = self.line.output.take();
        tracing::warn!("a runner broke the protocol, and was killed");
        let alone = self.calls.len() == 1 || !self.is_shared();
        if alone && let Some(call) = self.calls.pop_front() {
            call.request.finish(ending::broke(what, tail));
        }
        self.hand_over();
        self.crew.source.sweep().await;
    }

    /// Has the calls executed elsewhere that a process had when it ended.
    fn hand_over(&mut self) {
        let calls = std::mem::take(&mut self.calls);
        if let Some(alone) = &self.crew.alone {
            // Which of them ended it is not known: each shows alone.
            alone.submit_again(calls.into_iter().map(|call| call.request));
        } else {
            self.calls = calls;
        }
        self.leave();
    }
}
