//! One runner: sends it calls, hears what becomes of them, stops those that take too long, and ends
//! it when it is worn or broken.
//!
//! Invariant: each call that was taken is answered, or given back to the crew if it never began. A
//! process that executes one call at a time has begun only the first of those that it was sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rfx_schemas::rules::Isolation;
use rfx_schemas::stamp::Stamp;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep_until, timeout};

use super::crew::{Crew, Request};
use super::ending::{self, Stopped};
use super::frames::{self, Ask, End, Said, put, put_call};
use super::line::Line;
use super::memory;
use super::process::Process;
use crate::attempt::{Ending, seconds};
use crate::desk::over;

/// How long a function has for its finalizers after it was asked to stop.
pub(super) const GRACE: Duration = Duration::from_secs(3);
/// How long a call may keep others waiting that were sent behind it.
pub(super) const STUCK: Duration = Duration::from_millis(20);
/// How often calls of a shared process are looked at: there nobody waits for each of them.
const LOOK: Duration = Duration::from_millis(100);
/// How long a shared process that moves may take to say so.
pub(super) const PULSE: Duration = Duration::from_secs(1);
/// How long a process that is not used any more may take for what its fixtures tear down.
const LEAVE: Duration = Duration::from_secs(10);

/// A runner with the calls that it has.
pub struct Runner {
    pub(super) crew: Arc<Crew>,
    pub(super) process: Process,
    pub(super) line: Line,
    pub(super) calls: VecDeque<Call>,
    asks: FuturesUnordered<BoxFuture<'static, (Value, Bytes)>>,
    /// What the process has not taken yet. Nothing here waits for it to do so: it may wait for us to read.
    out: BytesMut,
    /// When the calls were looked at last.
    looked: Instant,
    last_id: u64,
    done: u64,
    /// The most memory that it had after its first call, in KiB.
    base: u64,
    /// Whether it takes calls.
    fit: bool,
    /// Whether a shared process is alive, as far as it was asked.
    pub(super) pulse: Pulse,
    /// Whether the crew counts it as one with a call.
    busy: bool,
}

/// A call that a runner has.
pub(super) struct Call {
    pub(super) id: u64,
    pub(super) request: Request,
    /// When it began, as far as can be told: when the one before it ended.
    pub(super) begun: Instant,
    /// When it is to be stopped.
    pub(super) deadline: Instant,
    pub(super) stopped: Option<(Stopped, Instant)>,
    /// Whether those behind it were asked for.
    pub(super) recalled: bool,
}

/// Whether a process is alive, as far as it was asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pulse {
    /// It was not asked.
    Unknown,
    /// It was asked then, and has not answered.
    Asked(Instant),
    /// It answered then.
    Felt(Instant),
}

enum Event {
    Said(Said, Bytes),
    Gone,
    /// What it sent is no frame.
    Broke(String),
    Answer(Value, Bytes),
    Room,
    Arrived,
    Look,
    Closing,
}

impl Runner {
    /// A runner that is ready for calls.
    pub fn new(crew: Arc<Crew>, process: Process, line: Line) -> Self {
        let asks = FuturesUnordered::new();
        let calls = VecDeque::new();
        Self {
            crew,
            process,
            line,
            calls,
            asks,
            out: BytesMut::new(),
            looked: Instant::now(),
            last_id: 0,
            done: 0,
            base: 0,
            fit: true,
            busy: false,
            pulse: Pulse::Unknown,
        }
    }

    /// Executes calls until it is worn, broken, or the pool is closed.
    pub async fn run(mut self) {
        while self.fit || !self.calls.is_empty() {
            if self.fit {
                self.take_calls();
            }
            let mut due = false;
            match self.next().await {
                // Frames come first, and a function that never stops talking must be stopped, too.
                Event::Said(said, body) => {
                    self.said(said, body);
                    due = self.looked.elapsed() >= LOOK;
                }
                Event::Answer(header, body) => self.write(&header, &body),
                Event::Broke(what) => {
                    self.broke(&what).await;
                    return;
                }
                Event::Gone => {
                    self.died().await;
                    return;
                }
                Event::Room => self.push(),
                Event::Arrived => {}
                Event::Look => due = true,
                Event::Closing => self.leave(),
            }
            if due {
                self.looked = Instant::now();
                if self.look().await.is_break() {
                    return;
                }
            }
        }
        self.retire().await;
    }

    pub(super) fn is_shared(&self) -> bool {
        self.crew.isolation == Isolation::Shared
    }

    fn take_calls(&mut self) {
        let taken = self.crew.next(self.calls.len(), self.crew.limits.max_jobs.saturating_sub(self.done));
        if taken.is_empty() {
            return;
        }
        self.busy = true;
        let now = Instant::now();
        let mut out = Vec::new();
        for request in taken {
            self.last_id += 1;
            let deadline = (now + request.timeout).min(request.last);
            let stamp = seconds(Stamp::now().after(deadline - now));
            put_call(&mut out, self.last_id, stamp, &request.header, &request.input);
            self.calls.push_back(Call {
                id: self.last_id,
                request,
                begun: now,
                deadline,
                stopped: None,
                recalled: false,
            });
        }
        self.out.extend_from_slice(&out);
        self.push();
    }

    async fn next(&mut self) -> Event {
        let (hungry, idle) = (self.fit && (self.is_shared() || self.calls.is_empty()), self.calls.is_empty());
        let wake = self.wake();
        let front = self.calls.front().filter(|call| call.stopped.is_none() && !self.is_shared());
        let cancelled = async {
            match front {
                Some(call) => call.request.cancel.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let (to, output) = (&self.line.to, &mut self.line.output);
        let printing = async {
            loop {
                output.printed().await;
            }
        };
        tokio::select! {
            biased;
            // When the process is gone, the silence of its frames says so.
            Ok(()) = to.writable(), if !self.out.is_empty() => Event::Room,
            frame = self.line.from.next() => match frame {
                Ok(Some((said, body))) => Event::Said(said, body),
                Ok(None) => Event::Gone,
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Event::Broke(error.to_string()),
                Err(error) => {
                    tracing::debug!(%error, "the socket of a runner cannot be read");
                    Event::Gone
                }
            },
            Some((header, body)) = self.asks.next(), if !self.asks.is_empty() => Event::Answer(header, body),
            () = self.crew.arrived.notified(), if hungry => Event::Arrived,
            () = self.crew.closing.cancelled(), if self.fit && idle => Event::Closing,
            () = cancelled => Event::Look,
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => Event::Look,
            () = printing => Event::Arrived,
        }
    }

    /// When the calls are to be looked at.
    fn wake(&self) -> Option<Instant> {
        let front = self.calls.front()?;
        let mut wake = match &front.stopped {
            Some((_, since)) => *since + GRACE,
            None => front.deadline,
        };
        if self.calls.len() > 1 && !front.recalled && !self.is_shared() {
            wake = wake.min(front.begun + STUCK);
        }
        match self.pulse {
            Pulse::Asked(at) => wake = (at + PULSE).min(self.looked + LOOK),
            _ if self.is_shared() => wake = wake.min(self.looked + LOOK),
            // Whoever waits for a call may give up, which nobody tells.
            _ => wake = wake.min(self.looked + 10 * LOOK),
        }
        if self.crew.limits.memory.is_some() {
            wake = wake.min(self.looked + memory::FRESH);
        }
        Some(wake)
    }

    pub(super) fn said(&mut self, said: Said, body: Bytes) {
        match said {
            Said::End(end) => self.ended(*end, body),
            Said::Ask(ask) => self.asked(*ask, body),
            Said::Printed { ask } => {
                self.line.output.drain();
                self.write(&json!({"type": "reply", "ask": ask}), b"");
            }
            Said::Progress { id, message } => self.with(id, |call| call.request.desk.progress(Some(message))),
            Said::Pong {} => self.pulse = Pulse::Felt(Instant::now()),
            Said::Beat { id } => self.with(id, |call| call.request.desk.progress(None)),
            Said::Span(span) => self.with(span.id, |call| call.request.desk.span(&span)),
            Said::Returned { ids } => {
                let (back, kept): (VecDeque<_>, _) =
                    self.calls.drain(..).partition(|call| ids.contains(&call.id));
                self.calls = kept;
                self.crew.submit_again(back.into_iter().map(|call| call.request));
                self.rests();
            }
            Said::Hello(_) if self.last_id == self.done => {}
            Said::Hello(_) | Said::Fatal { .. } | Said::Forked { .. } | Said::Exited { .. } => {
                tracing::debug!("a runner said something out of turn");
            }
        }
    }

    fn with(&mut self, id: u64, act: impl FnOnce(&mut Call)) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.id == id) {
            act(call);
        }
    }

    fn asked(&mut self, ask: Ask, body: Bytes) {
        let Some(call) = self.calls.iter().find(|call| call.id == ask.id) else {
            // Without an answer a thread would wait for ever that an attempt has left behind.
            return self.write(&over(&ask), b"");
        };
        let desk = Arc::clone(&call.request.desk);
        let away = (ask.what == "call").then(|| self.crew.away());
        self.asks.push(Box::pin(async move {
            let (header, body) = desk.answer(ask, body).await;
            drop(away);
            frames::bounded(header, body)
        }));
    }

    fn ended(&mut self, end: End, body: Bytes) {
        let Some(at) = self.calls.iter().position(|call| call.id == end.id) else { return };
        let call = self.calls.remove(at).expect("it was found");
        let now = Instant::now();
        self.done += 1;
        // Its own time, where it says that: ours has the ways there and back in it.
        let own = end.took.and_then(|took| Duration::try_from_secs_f64(took).ok());
        let took = own.unwrap_or(now - call.begun);
        self.crew.took(took);
        if let Some(next) = self.calls.front_mut().filter(|_| self.crew.isolation != Isolation::Shared) {
            next.begun = now;
            next.deadline = (now + next.request.timeout).min(next.request.last);
        }
        self.base = if self.base == 0 { end.memory } else { self.base };
        let grown = end.memory.saturating_sub(self.base) > self.crew.limits.growth / 1024;
        let worn = self.done >= self.crew.limits.max_jobs || grown;
        let over = end.retire || self.crew.isolation == Isolation::Fresh;
        let mut tail = self.line.output.take();
        tail.push_str(&end.tail);
        if end.left {
            tail.push_str("\nrfx: it left processes behind, which were ended\n");
        }
        let mut ending = match self.crew.limits.own {
            true => ending::checked(end, body, tail),
            false => ending::said(end, body, tail),
        };
        if let Some((why, _)) = call.stopped {
            ending = ending::stopped(why, ending, &call.request);
        }
        call.request.finish(Ending { took: Some(took), ..ending });
        if over {
            self.leave();
        } else if worn {
            self.wane();
        } else {
            self.rests();
        }
    }

    /// Takes note that it may have no call any more.
    fn rests(&mut self) {
        if self.calls.is_empty() && self.fit && self.busy {
            self.busy = false;
            if self.crew.idles() {
                self.wane();
            }
        }
    }

    /// Takes no more calls. Those that the process has it may have begun, so only it can give them back.
    fn wane(&mut self) {
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
    async fn retire(mut self) {
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

    pub(super) fn write(&mut self, header: &Value, body: &[u8]) {
        let mut out = Vec::new();
        put(&mut out, header, body);
        self.out.extend_from_slice(&out);
        self.push();
    }

    /// Writes as much as the process takes.
    fn push(&mut self) {
        while !self.out.is_empty() {
            match self.line.to.try_write(&self.out) {
                Ok(written) => self.out.advance(written),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // It has ended, which is noticed by its silence.
                    tracing::debug!(%error, "a runner is gone");
                    self.out.clear();
                }
            }
        }
    }
}
