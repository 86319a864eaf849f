//! rfx's binaries as processes: started, signalled, killed, and gone with the test.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::{PATIENCE, eventually};

/// A running binary. Dropping it kills it.
pub struct Process {
    child: Child,
    log: PathBuf,
}

/// The folder of the built binaries: beside the test's own. `cargo xtask test` builds them first.
pub fn bin(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a test has a path");
    let dir = exe.parent().and_then(Path::parent).expect("target/<profile>/deps/it");
    let path = dir.join(name);
    assert!(path.is_file(), "{} is not built: run `cargo build --workspace --bins`", path.display());
    path
}

/// The project's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The Python that pools run with.
pub fn python() -> String {
    std::env::var("RFX_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// A Python that has pytest: the one that the tools were installed for, if they were.
pub fn python_with_pytest() -> String {
    let tools = root().join("target/tools/venv/bin/python");
    match std::env::var("RFX_TEST_PYTHON") {
        Err(_) if tools.exists() => tools.display().to_string(),
        _ => python(),
    }
}

/// A command of rfx in a clean environment.
pub fn command(name: &str) -> Command {
    clean(Command::new(bin(name)))
}

/// Cleans a command's environment: no `RFX_…`, no CI trace.
pub fn clean(mut command: Command) -> Command {
    for (key, _) in std::env::vars_os() {
        let text = key.to_string_lossy().into_owned();
        let setting = text.starts_with("RFX_") && text != "RFX_NATS_SERVER";
        if setting || text.starts_with("OTEL_") || text == "TRACEPARENT" {
            command.env_remove(key);
        }
    }
    command.env("CI", "true").env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

impl Process {
    /// Starts a command, its output going to a file.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = std::fs::File::options().create(true).append(true).open(log).expect("a log file");
        command.stdout(Stdio::from(file.try_clone().expect("cloned"))).stderr(Stdio::from(file));
        let child = command.spawn().expect("the binary starts");
        Self { child, log: log.to_owned() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("the process is there");
    }

    /// Kills it at once, as a crash would.
    pub fn crash(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("it was ours");
    }

    /// Asks it to end, and gives it a while for that: for what would leave processes of its own behind.
    pub fn interrupt(&mut self) {
        let until = Instant::now() + PATIENCE;
        self.signal(Signal::INT);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the process ends", async || self.child.try_wait().expect("it is ours")).await
    }

    /// Waits until it has printed a text.
    pub async fn printed(&self, text: &str) {
        eventually(&format!("{text:?} is printed; got:\n{}", self.output()), async || {
            self.output().contains(text).then_some(())
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// What a finished command left, as texts.
pub struct Ran {
    /// The exit code; -1 for a signal.
    pub code: i32,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a command to its end.
pub async fn run(mut command: Command) -> Ran {
    tokio::task::spawn_blocking(move || command.output().expect("the binary starts").into())
        .await
        .expect("no panic in it")
}

/// Adds arguments to a command.
pub fn with<S: AsRef<OsStr>>(mut command: Command, args: impl IntoIterator<Item = S>) -> Command {
    command.args(args);
    command
}
