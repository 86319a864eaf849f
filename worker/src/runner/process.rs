//! One runner: a Python process that keeps a pool imported and takes one call at a time.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use rfx_schemas::rules::Isolation;
use rustix::process::{Pid, Signal};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::capture::Capture;
use super::frames::{self, Call, End, Hello, PROTOCOL, Said};
use crate::manifest::Limits;

/// How long a pool may take to import.
const START: Duration = Duration::from_secs(60);

/// How a pool's runners are started.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The interpreter.
    pub python: String,
    /// Where the SDK lies.
    pub sdk: PathBuf,
    /// The pool's folder.
    pub pool: PathBuf,
    /// When a runner is given up, as the pool says.
    #[expect(dead_code, reason = "runners have no limits yet")]
    pub limits: Limits,
    /// In what process the pool wants its functions executed.
    #[expect(dead_code, reason = "runners are all warm yet")]
    pub isolation: Isolation,
    /// The folder of its own environment's programs, first in `PATH`.
    pub bin: Option<PathBuf>,
}

/// Why there is no runner.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The interpreter cannot be started.
    #[error("cannot start {python}: {source}; set worker.python to a Python of 3.10 or later")]
    Python {
        /// The interpreter.
        python: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// The runner says that the pool cannot be served.
    #[error("pool {}: {error}", .pool.display())]
    Pool {
        /// The pool's folder.
        pool: PathBuf,
        /// The runner's words.
        error: String,
    },
    /// It ended, or went silent, before it was ready.
    #[error("pool {}: the runner {what}{}", .pool.display(), printed(.output))]
    Died {
        /// The pool's folder.
        pool: PathBuf,
        /// What it did.
        what: String,
        /// What it printed.
        output: String,
    },
}

fn printed(output: &str) -> String {
    if output.trim().is_empty() { String::new() } else { format!("; it printed:\n{}", output.trim_end()) }
}

/// A runner that is up.
pub struct Runner {
    child: Child,
    group: Option<Pid>,
    to: OwnedWriteHalf,
    said: mpsc::Receiver<std::io::Result<(Said, Bytes)>>,
    output: pipe::Receiver,
    capture: Capture,
    calls: u64,
    /// What its pool holds.
    pub hello: Hello,
}

/// How a call went, from the worker's side.
pub enum Answer {
    /// The runner answered.
    Ended(Box<End>, Bytes),
    /// The process ended under the call.
    Crashed(String),
}

impl Runner {
    /// Starts a runner and waits until its pool is imported.
    pub async fn start(recipe: &Recipe) -> Result<Self, StartError> {
        let python = |source| StartError::Python { python: recipe.python.clone(), source };
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(python)?;
        ours.set_nonblocking(true).map_err(python)?;
        let (reader, writer) = std::io::pipe().map_err(python)?;
        let mut command = Command::new(&recipe.python);
        command
            .args(["-m", "rfx.runner", "--pool"])
            .arg(&recipe.pool)
            .env("PYTHONPATH", python_path(&recipe.sdk))
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(writer.try_clone().map_err(python)?))
            .stderr(Stdio::from(writer))
            // A group of its own: what a function forks ends with its runner, and Ctrl-C is ours.
            .process_group(0)
            .kill_on_drop(true);
        // Settings may hold passwords; functions have no use for them.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RFX_")) {
            command.env_remove(name);
        }
        if let Some(bin) = &recipe.bin {
            command.env("PATH", crate::child::path_with(bin));
        }
        let child = command.spawn().map_err(python)?;
        // The command holds our copies of the child's ends; with them open, its death stays unseen.
        drop(command);
        let stream = UnixStream::from_std(ours).map_err(python)?;
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(python)?;
        let (mut from, to) = stream.into_split();
        // Bounded: a runner says little besides its one answer a call.
        let (sender, said) = mpsc::channel(64);
        // Ends when the runner closes its socket, or when the runner's handle is dropped.
        tokio::spawn(async move {
            loop {
                let frame = frames::read(&mut from).await;
                let failed = frame.is_err();
                if sender.send(frame).await.is_err() || failed {
                    return;
                }
            }
        });
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let starting = Starting { child, group, to, said, output, capture: Capture::default() };
        starting.ready(&recipe.pool).await
    }

    /// Whether the process is still there, as far as can be told without waiting.
    pub fn is_up(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None)) && !self.said.is_closed()
    }

    /// Sends a call; its answer is waited for with [`Runner::answer`].
    pub async fn send(&mut self, call: &Call<'_>, input: &[u8]) -> std::io::Result<()> {
        self.calls += 1;
        let call = Call { id: self.calls, ..call.clone() };
        frames::write(&mut self.to, &call, input).await
    }

    /// Waits for the answer to the last call, keeping what is printed meanwhile. Safe to cancel.
    pub async fn answer(&mut self) -> Answer {
        loop {
            tokio::select! {
                biased;
                frame = self.said.recv() => match frame {
                    Some(Ok((Said::End(end), body))) if end.id == self.calls => {
                        self.drain_output();
                        return Answer::Ended(end, body);
                    }
                    // Not what it says: that may hold a secret of the step.
                    Some(Ok((Said::Progress { .. }, _))) => tracing::debug!("progress"),
                    Some(Ok(_)) => tracing::debug!("the runner said something out of turn"),
                    Some(Err(_)) | None => return Answer::Crashed(self.end().await),
                },
                ready = self.output.ready(Interest::READABLE) => match ready {
                    Ok(_) if self.drain_output() => {}
                    // Closed on the other side: only the socket matters from here on.
                    _ => return self.answer_silently().await,
                },
            }
        }
    }

    async fn answer_silently(&mut self) -> Answer {
        loop {
            match self.said.recv().await {
                Some(Ok((Said::End(end), body))) if end.id == self.calls => return Answer::Ended(end, body),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Answer::Crashed(self.end().await),
            }
        }
    }

    /// What was printed since the last time.
    pub fn take_output(&mut self) -> String {
        self.drain_output();
        self.capture.take()
    }

    /// Asks the running function to stop: it sees an exception, its finalizers run.
    pub fn interrupt(&self) {
        let Some(pid) = self.group else { return };
        if let Err(error) = rustix::process::kill_process(pid, Signal::USR1) {
            tracing::debug!(%error, "the runner is gone already");
        }
    }

    /// Ends the process and all that it started, at once.
    pub async fn kill(mut self) -> String {
        self.kill_group();
        self.end().await
    }

    /// Kills the whole group and says how the process ended.
    async fn end(&mut self) -> String {
        let status = match timeout(Duration::from_millis(200), self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                self.kill_group();
                self.child.wait().await
            }
        };
        self.kill_group();
        self.drain_output();
        match status {
            Ok(status) => ended_how(status),
            Err(error) => format!("ended: {error}"),
        }
    }

    fn kill_group(&self) {
        let Some(pid) = self.group else { return };
        if let Err(error) = rustix::process::kill_process_group(pid, Signal::KILL) {
            tracing::trace!(%error, "nothing is left of the runner");
        }
    }

    /// Reads what has been printed; false when nothing can come any more.
    fn drain_output(&mut self) -> bool {
        drain(&self.output, &mut self.capture)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // A process that was reaped has given its group's id back.
        if self.child.id().is_some() {
            self.kill_group();
        }
    }
}

fn drain(output: &pipe::Receiver, capture: &mut Capture) -> bool {
    let mut chunk = [0; 16 * 1024];
    loop {
        match output.try_read(&mut chunk) {
            Ok(0) => return false,
            Ok(n) => capture.push(&chunk[..n]),
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

fn ended_how(status: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

fn python_path(sdk: &Path) -> std::ffi::OsString {
    let mut path = sdk.as_os_str().to_owned();
    if let Some(old) = std::env::var_os("PYTHONPATH").filter(|p| !p.is_empty()) {
        path.push(":");
        path.push(old);
    }
    path
}

struct Starting {
    child: Child,
    group: Option<Pid>,
    to: OwnedWriteHalf,
    said: mpsc::Receiver<std::io::Result<(Said, Bytes)>>,
    output: pipe::Receiver,
    capture: Capture,
}

impl Starting {
    async fn ready(mut self, pool: &Path) -> Result<Runner, StartError> {
        let first = timeout(START, self.first_word()).await;
        let died = |this: &mut Self, what: String| {
            drain(&this.output, &mut this.capture);
            StartError::Died { pool: pool.to_owned(), what, output: this.capture.take() }
        };
        let hello = match first {
            Ok(Some(Ok((Said::Hello(hello), _)))) => *hello,
            Ok(Some(Ok((Said::Fatal { error }, _)))) => {
                return Err(StartError::Pool { pool: pool.to_owned(), error });
            }
            Ok(Some(Ok(_))) => return Err(died(&mut self, "spoke out of turn".to_owned())),
            Ok(Some(Err(_)) | None) => {
                let status = self.child.wait().await;
                return Err(died(&mut self, status.map_or_else(|e| e.to_string(), ended_how)));
            }
            Err(_) => {
                let seconds = START.as_secs();
                return Err(died(&mut self, format!("did not import the pool within {seconds} s")));
            }
        };
        if hello.protocol != PROTOCOL {
            let what = format!("speaks protocol {}, this worker {PROTOCOL}", hello.protocol);
            return Err(died(&mut self, what));
        }
        let Self { child, group, to, said, output, capture } = self;
        Ok(Runner { child, group, to, said, output, capture, calls: 0, hello })
    }

    /// The first frame; what is printed while importing must not fill the pipe meanwhile.
    async fn first_word(&mut self) -> Option<std::io::Result<(Said, Bytes)>> {
        let mut open = true;
        loop {
            tokio::select! {
                biased;
                frame = self.said.recv() => return frame,
                ready = self.output.ready(Interest::READABLE), if open => {
                    open = ready.is_ok() && drain(&self.output, &mut self.capture);
                }
            }
        }
    }
}
