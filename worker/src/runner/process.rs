//! Processes of a pool: how one is started, what connects it with the worker, and how it ends.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::sync::watch;
use tokio::time::timeout;

use super::frames::{self, PROTOCOL, Said};
use super::hello::Hello;
use super::line::Line;
use super::recipe::{Mode, Recipe};
use crate::child::{by_code, by_signal};
use crate::sweep::{Mark, sweep};

/// How long a process whose socket is closed has to end by itself.
const END: Duration = Duration::from_millis(200);

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
    /// The pool's own program cannot be started.
    #[error("pool {}: its runner {} cannot be started: {source}", .pool.display(), .program.display())]
    Program {
        /// The pool's folder.
        pool: PathBuf,
        /// The program.
        program: PathBuf,
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

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// With its zygote, which was ended by something else than us.
    Orphaned,
    /// Nobody could tell.
    Unknown(String),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => f.write_str(&by_code(*code)),
            Self::Signal(signal) => f.write_str(&by_signal(*signal)),
            Self::Orphaned => f.write_str("ended with its zygote, which something else has ended"),
            Self::Unknown(why) => write!(f, "ended: {why}"),
        }
    }
}

impl From<std::io::Result<ExitStatus>> for Exit {
    fn from(status: std::io::Result<ExitStatus>) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        match status.map(|status| (status.code(), status.signal())) {
            Ok((Some(code), _)) => Self::Code(code),
            Ok((None, Some(signal))) => Self::Signal(signal),
            Ok((None, None)) => Self::Unknown("without a status".to_owned()),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}

/// A process with a group of its own, ours or a zygote's child. Dropping it ends the group.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    exit: watch::Receiver<Option<Exit>>,
    /// What its descendants are found by, when they are not inherited by a zygote.
    mark: Option<Mark>,
}

impl Process {
    /// A process whose end will be told.
    pub fn new(pid: Pid, exit: watch::Receiver<Option<Exit>>, mark: Option<Mark>) -> Self {
        Self { pid, exit, mark }
    }

    /// Its id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it is still there, as far as is known.
    pub fn is_up(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Sends a signal to the process itself.
    pub fn signal(&self, signal: Signal) {
        if self.is_up()
            && let Err(error) = rustix::process::kill_process(self.pid, signal)
        {
            tracing::debug!(%error, "the runner is gone already");
        }
    }

    /// Where its end will be told.
    pub fn exit(&self) -> watch::Receiver<Option<Exit>> {
        self.exit.clone()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> Exit {
        match self.exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().expect("it was waited for"),
            Err(_) => Exit::Orphaned,
        }
    }

    /// Kills the group and says how the process ended, which it may have done before.
    pub async fn kill(&mut self) -> Exit {
        self.kill_group();
        let exit = match timeout(Duration::from_secs(5), self.ended()).await {
            Ok(exit) => exit,
            Err(_) => Exit::Unknown("it cannot be killed".to_owned()),
        };
        if let Some(mark) = self.mark.take() {
            sweep_aside(mark);
        }
        exit
    }

    fn kill_group(&self) {
        // A process that was reaped has given its group's id back.
        if self.is_up()
            && let Err(error) = rustix::process::kill_process_group(self.pid, Signal::KILL)
        {
            tracing::trace!(%error, "nothing is left of the runner");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_group();
        if let Some(mark) = self.mark.take() {
            sweep_aside(mark);
        }
    }
}

/// Ends what carries the mark. Reading `/proc` takes milliseconds: not on a thread that serves others.
pub fn sweep_aside(mark: Mark) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || sweep(&mark))),
        Err(_) => drop(sweep(&mark)),
    }
}

/// A process that is up and has said what its pool holds.
pub struct Started {
    /// The process.
    pub process: Process,
    /// What connects it with us.
    pub line: Line,
    /// What its pool holds.
    pub hello: Hello,
}

/// Starts a process of a pool and waits until it says what it offers.
pub async fn start(recipe: &Recipe, mode: Mode, mark: &Mark) -> Result<Started, StartError> {
    let failed = |source| recipe.cannot_start(source);
    let (line, other) = Line::pair().map_err(failed)?;
    let mut command = recipe.command(mode, mark);
    command
        .stdin(Stdio::from(other.socket))
        .stdout(Stdio::from(other.output.try_clone().map_err(failed)?))
        .stderr(Stdio::from(other.output))
        // A group of its own: what a function forks ends with its runner, and Ctrl-C is ours.
        .process_group(0);
    let mut child = command.spawn().map_err(failed)?;
    // The command holds our copies of the child's ends; with them open, its death stays unseen.
    drop(command);
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let pid = pid.expect("a process that nobody has waited for has an id");
    let (tell, exit) = watch::channel(None);
    // Ends when the process does; whoever holds the process sees to that.
    tokio::spawn(async move {
        tell.send_replace(Some(child.wait().await.into()));
    });
    ready(Process::new(pid, exit, Some(mark.clone())), line, recipe).await
}

async fn ready(mut process: Process, mut line: Line, recipe: &Recipe) -> Result<Started, StartError> {
    let pool = &recipe.pool;
    // What is printed while importing must not fill the pipe meanwhile.
    let first_word = async {
        loop {
            tokio::select! {
                biased;
                frame = line.from.next() => break frame,
                () = line.output.printed() => {}
            }
        }
    };
    let what = match timeout(recipe.patience, first_word).await {
        Ok(Ok(Some((Said::Hello(hello), _)))) if hello.forks && recipe.is_own() => {
            drop(hello);
            "says that it forks, which only the runner for Python can".to_owned()
        }
        Ok(Ok(Some((Said::Hello(hello), _)))) if hello.protocol == PROTOCOL => {
            line.output.take();
            return Ok(Started { process, line, hello: *hello });
        }
        Ok(Ok(Some((Said::Hello(hello), _)))) => {
            format!("speaks protocol {}, this worker {PROTOCOL}", hello.protocol)
        }
        Ok(Ok(Some((Said::Fatal { error }, _)))) => {
            process.kill().await;
            return Err(StartError::Pool { pool: pool.clone(), error });
        }
        Ok(Ok(Some(_))) => "spoke out of turn".to_owned(),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            line.output.last_words(&process).await;
            format!("{}{error}", frames::BROKE)
        }
        Ok(Ok(None) | Err(_)) => {
            let by_itself = timeout(END, process.ended()).await;
            by_itself.map_or_else(|_| "closed its socket".to_owned(), |exit| exit.to_string())
        }
        Err(_) => {
            line.output.last_words(&process).await;
            format!(
                "did not say what the pool offers within {:?} (start_timeout of [runner] in pool.toml)",
                recipe.patience
            )
        }
    };
    process.kill().await;
    Err(StartError::Died { pool: pool.clone(), what, output: line.output.take() })
}
