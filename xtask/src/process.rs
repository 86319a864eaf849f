//! Child processes of a task: asked to stop in the end, killed if they don't.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{Error, Result, io};

/// Longest wait for a process to be ready or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running process with its log. Dropping it stops it.
pub struct Process {
    child: Child,
    log: PathBuf,
    name: &'static str,
}

impl Process {
    /// Starts a process whose output goes to `<dir>/<name>.log`.
    pub fn start(name: &'static str, command: &mut Command, dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = std::fs::File::create(&log).map_err(io(log.display().to_string()))?;
        let copy = file.try_clone().map_err(io(name))?;
        let child = command.stdin(Stdio::null()).stdout(file).stderr(copy).spawn().map_err(io(name))?;
        Ok(Self { child, log, name })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until its log holds a text.
    pub fn ready(&mut self, text: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            if log.contains(text) {
                return Ok(());
            }
            let ended = !matches!(self.child.try_wait(), Ok(None));
            if ended || Instant::now() > deadline {
                return Err(Error::Missing(format!("{} is not ready; its log says:\n{log}", self.name)));
            }
            pause();
        }
    }

    /// Whether it has not ended yet.
    pub fn is_up(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Fails if it has ended.
    pub fn still_up(&mut self) -> Result<()> {
        if self.is_up() { Ok(()) } else { Err(Error::Failed(format!("{} (it ended early)", self.name))) }
    }

    /// Waits until it has ended by itself, which must be well.
    pub fn ended(&mut self) -> Result<()> {
        let status = self.child.wait().map_err(io(self.name))?;
        if status.success() { Ok(()) } else { Err(Error::Failed(format!("{} ({status})", self.name))) }
    }

    fn stop(&mut self) {
        let pid = self.child.id().to_string();
        drop(Command::new("kill").args(["-TERM", &pid]).status());
        let deadline = Instant::now() + PATIENCE;
        while self.is_up() {
            if Instant::now() > deadline {
                drop(self.child.kill());
            }
            pause();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_up() {
            self.stop();
        }
    }
}

/// Starts a process that says one line of JSON on stdout when it is ready, and ends with us.
pub fn announced(command: &mut Command, name: &str) -> Result<(Child, serde_json::Value)> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(io(name))?;
    let stdout = child.stdout.take().expect("it is piped");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).map_err(io(name))?;
    match serde_json::from_str(&line) {
        Ok(value) => Ok((child, value)),
        Err(_) => Err(Error::Missing(format!("{name} said {line:?} instead of where it listens"))),
    }
}

/// A short pause while polling something that tells nobody when it changes.
pub fn pause() {
    std::thread::park_timeout(Duration::from_millis(20));
}
