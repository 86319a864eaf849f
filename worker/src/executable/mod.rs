//! Executables as functions: any program that reads JSON and writes JSON. The contract stands in
//! `docs/executables.md`.
//!
//! Each attempt has a process group of its own and a folder of its own, which are gone when it has
//! ended.

mod answer;
mod record;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rfx_schemas::outcome::{Failure, kind};
use rfx_schemas::payload::hex;
use rfx_schemas::verdict::OutcomeKind;
use rustix::process::Signal;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::attempt::Ending;
use crate::child::{Child, how, path_with};
use crate::manifest::Declared;
use crate::runner::frames::Call;
use crate::runner::sweep_aside;
use crate::sweep::{MARK, Mark};

pub use record::record;

/// How long a program has to clean up after it was asked to stop.
const GRACE: Duration = Duration::from_secs(3);

/// A function that is a program.
#[derive(Debug, Clone)]
pub struct Executable {
    program: PathBuf,
    args: Vec<String>,
    /// Where it runs: arguments that are files of the pool are found there.
    folder: PathBuf,
    /// A folder that comes first in its `PATH`: that of the pool's own Python.
    path: Option<PathBuf>,
    /// What its processes are found by.
    mark: Mark,
    started: Arc<AtomicU64>,
    /// SHA-256 of the program and of the files of the pool among its arguments.
    pub digest: String,
}

/// How an attempt of a program ended.
pub struct Ran {
    /// How.
    pub ending: Ending,
    /// The files that it left as artifacts, by name.
    pub artifacts: Vec<PathBuf>,
    /// The attempt's folder, in which those files are as long as this is kept.
    pub folder: Option<TempDir>,
}

impl Executable {
    /// Finds a declared program, or says why it cannot be one.
    pub fn find(
        declared: &Declared,
        folder: &Path,
        path: Option<&Path>,
        mark: &Mark,
    ) -> Result<Self, String> {
        let Program { path: program, args, digest } = self::program(&declared.exec, folder, path)?;
        Ok(Self {
            program,
            args,
            folder: folder.to_owned(),
            path: path.map(Path::to_owned),
            mark: mark.clone(),
            started: Arc::default(),
            digest,
        })
    }

    /// Runs one attempt to its end, whatever that is.
    pub async fn call(
        &self,
        call: &Call<'_>,
        input: &Bytes,
        deadline: Instant,
        cancel: &CancellationToken,
    ) -> Ran {
        // Of the attempt's own: what it leaves behind is found by it, in whatever group or session.
        let mark = self.mark.part(self.started.fetch_add(1, Ordering::Relaxed));
        let input = input.clone();
        let files = aside(move || Files::new(&input)).await;
        let begun = files.and_then(|files| Ok((self.start(call, &files, &mark)?, files)));
        let (mut child, files) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                let message = format!("{} cannot be started: {error}", self.program.display());
                let ending = Ending::failed(OutcomeKind::Error, Failure::new(kind::CRASHED, message));
                return Ran { ending, artifacts: Vec::new(), folder: None };
            }
        };
        let mut ending = match wait(&mut child, deadline, cancel).await {
            Ok(status) => {
                // Nothing of its group writes any more.
                let folder = files.dir.path().to_owned();
                let last = child.take_last_error();
                aside(move || answer::read(&folder, status, last)).await
            }
            Err(stopped) => stopped,
        };
        ending.tail = child.take_output();
        drop(child);
        sweep_aside(mark);
        Ran { ending, artifacts: answer::artifacts(files.dir.path()), folder: Some(files.dir) }
    }

    fn start(&self, call: &Call<'_>, files: &Files, mark: &Mark) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(&self.folder);
        // Settings may hold passwords, and secrets of other steps are none of its business.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RFX_")) {
            command.env_remove(name);
        }
        command.envs(variables(call)).envs(files.variables()).env("RFX_POOL", &self.folder);
        command.env(MARK, mark.as_str());
        if let Some(path) = &self.path {
            command.env("PATH", path_with(path));
        }
        command.stdin(Stdio::from(std::fs::File::open(files.dir.path().join(answer::INPUT))?));
        Child::start(command)
    }
}

/// Does what waits for a disk where it holds up nothing else.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// A program that was found, and its arguments.
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// SHA-256 of the program and of the files of the pool among its arguments.
    pub digest: String,
}

/// Finds the program of a command, which a manifest has checked, or says why it cannot be one.
pub fn program(exec: &[String], folder: &Path, path: Option<&Path>) -> Result<Program, String> {
    let (program, args) = exec.split_first().expect("a manifest refuses what is empty");
    let program = locate(program, folder, path)?;
    let mut hash = Sha256::new();
    let mut take = |bytes: &[u8]| {
        hash.update(bytes.len().to_be_bytes());
        hash.update(bytes);
    };
    take(&std::fs::read(&program).map_err(|e| format!("{} cannot be read: {e}", program.display()))?);
    for arg in args {
        take(arg.as_bytes());
        let file = folder.join(arg);
        if file.is_file() {
            take(&std::fs::read(&file).map_err(|e| format!("{} cannot be read: {e}", file.display()))?);
        }
    }
    Ok(Program { path: program, args: args.to_vec(), digest: hex(&hash.finalize()) })
}

/// Where a program is: in the pool when it has a slash, else on `PATH`.
fn locate(program: &str, folder: &Path, path: Option<&Path>) -> Result<PathBuf, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let executable = |path: &Path| {
        path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    if !program.contains('/') {
        let all = path.map(path_with).or_else(|| std::env::var_os("PATH")).unwrap_or_default();
        let found = std::env::split_paths(&all).map(|dir| dir.join(program)).find(|path| executable(path));
        let in_pool = if folder.join(program).is_file() { "./" } else { "" };
        return found.ok_or_else(|| match in_pool {
            "" => format!("{program} is not on PATH: install it, or write the path of a file in the pool"),
            _ => format!("{program} is not on PATH; the one in the pool is \"./{program}\""),
        });
    }
    // Without the dot of "./check.sh", since people read this path in messages.
    let found = folder.join(Path::new(program).strip_prefix(".").unwrap_or(program.as_ref()));
    match found.metadata() {
        Err(error) => Err(format!("{} cannot be found: {error}", found.display())),
        Ok(file) if file.is_dir() => Err(format!("{} is a folder", found.display())),
        Ok(_) if !executable(&found) => {
            Err(format!("{} is not executable: chmod +x {}", found.display(), found.display()))
        }
        Ok(_) => Ok(found),
    }
}

/// The files of one attempt.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new(input: &[u8]) -> std::io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("rfx-attempt-").tempdir()?;
        std::fs::write(dir.path().join(answer::INPUT), input)?;
        for folder in [answer::ARTIFACTS, answer::SCRATCH] {
            std::fs::create_dir(dir.path().join(folder))?;
        }
        Ok(Self { dir })
    }

    fn variables(&self) -> [(&'static str, PathBuf); 6] {
        let at = |name: &str| self.dir.path().join(name);
        [
            ("RFX_INPUT", at(answer::INPUT)),
            ("RFX_OUTPUT", at(answer::OUTPUT)),
            ("RFX_ERROR", at(answer::ERROR)),
            ("RFX_ASSERTIONS", at(answer::ASSERTIONS)),
            ("RFX_ARTIFACTS", at(answer::ARTIFACTS)),
            ("TMPDIR", at(answer::SCRATCH)),
        ]
    }
}

/// What a program is told by its environment.
fn variables(call: &Call<'_>) -> Vec<(String, String)> {
    let name = |name: &str| {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        name.chars().map(letter).collect::<String>()
    };
    let mut all = vec![
        ("RFX_RUN".to_owned(), call.run.clone()),
        ("RFX_FLOW".to_owned(), call.flow.to_owned()),
        ("RFX_STEP".to_owned(), call.step.to_owned()),
        ("RFX_JOB".to_owned(), call.job.clone()),
        ("RFX_ATTEMPT".to_owned(), call.attempt.to_string()),
        ("RFX_FUNCTION".to_owned(), call.function.to_owned()),
        ("RFX_DEADLINE".to_owned(), format!("{:.3}", call.deadline)),
        ("RFX_TARGET".to_owned(), serde_json::json!(call.target).to_string()),
        ("TRACEPARENT".to_owned(), call.traceparent.clone()),
    ];
    all.extend(call.key.map(|key| ("RFX_KEY".to_owned(), key.to_owned())));
    all.extend(call.target.iter().map(|(k, v)| (format!("RFX_TARGET_{}", name(k)), v.clone())));
    all.extend(call.secrets.iter().map(|(k, v)| (format!("RFX_SECRET_{}", name(k)), (*v).to_owned())));
    // No variable can hold a NUL; one in a key would keep the program from being started.
    all.retain(|(_, value)| !value.contains('\0'));
    all
}

/// Waits for the end, at most until the deadline, and less when the run is cancelled.
async fn wait(
    child: &mut Child,
    deadline: Instant,
    cancel: &CancellationToken,
) -> Result<std::process::ExitStatus, Ending> {
    let (outcome, what, message) = tokio::select! {
        biased;
        ended = timeout_at(deadline, child.wait()) => match ended {
            Ok(Ok(status)) => return Ok(status),
            Ok(Err(error)) => {
                let message = format!("it cannot be waited for: {error}");
                return Err(Ending::failed(OutcomeKind::Error, Failure::new(kind::CRASHED, message)));
            }
            Err(_) => (OutcomeKind::Error, kind::TIMED_OUT, "the attempt ran longer than its timeout"),
        },
        () = cancel.cancelled() => (OutcomeKind::Cancelled, kind::CANCELLED, "the run was cancelled"),
    };
    child.signal(Signal::TERM);
    let stopped = match timeout(GRACE, child.wait()).await {
        Ok(Ok(status)) => format!("asked to stop, it {}", how(status)),
        _ => "it did not stop when asked to, and was killed".to_owned(),
    };
    child.signal(Signal::KILL);
    // A reaped child leaves no zombie; after SIGKILL this takes moments, unless the kernel holds it.
    if timeout(GRACE, child.wait()).await.is_err() {
        tracing::warn!("a killed program is still there: the kernel holds it");
    }
    Err(Ending::failed(outcome, Failure::new(what, format!("{message}; {stopped}"))))
}

#[cfg(test)]
mod tests;
