//! Building an environment: `uv` where it is, else `python -m venv` and pip.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rfx_flow::diagnostic::{Problem, Problems, Source};
use tokio::process::Command;
use tokio::time::{Instant, interval_at, timeout_at};

use super::EnvironmentError;
use super::interpreter::{Interpreter, on_path};
use super::requirements::{Wanted, in_full};
use crate::child::{Child, how};

/// How often a long build says that it is going on.
const NEWS: Duration = Duration::from_secs(15);

/// What to build.
pub struct Order<'a> {
    /// The pool's name.
    pub pool: &'a str,
    /// Its folder: relative paths in requirements start there.
    pub folder: &'a Path,
    /// Its manifest, where problems are shown.
    pub source: &'a Source,
    /// The interpreter.
    pub interpreter: Interpreter,
    /// What to install.
    pub wanted: Wanted,
}

/// Builds an environment in a folder that is not there. The lock becomes the stdin of what is
/// started, so that it stays taken as long as anything builds, even when this process is killed.
pub async fn build(
    order: &Order<'_>,
    folder: &Path,
    lock: &File,
    limit: Duration,
) -> Result<(), EnvironmentError> {
    let (started, deadline) = (Instant::now(), Instant::now() + limit);
    let uv = on_path(|name| name == "uv").into_iter().next();
    let installer = if uv.is_some() { "uv" } else { "venv and pip" };
    let Order { pool, interpreter, .. } = order;
    tracing::info!(pool, python = interpreter.version, installer, "building the environment of a pool");
    let steps = match &uv {
        Some(uv) => with_uv(uv, order, folder),
        None => with_pip(order, folder),
    };
    for step in steps {
        run(step, order, lock, deadline, limit).await?;
    }
    let seconds = started.elapsed().as_secs();
    tracing::info!(pool, seconds, folder = %folder.display(), "the environment is built");
    Ok(())
}

/// One program of a build.
struct Step {
    command: Command,
    /// The requirements to write first, if it reads those.
    write: Option<PathBuf>,
    installs: bool,
}

fn step(program: &Path, args: &[&str], paths: &[&Path]) -> Step {
    let mut command = Command::new(program);
    command.args(args).args(paths);
    Step { command, write: None, installs: false }
}

fn with_uv(uv: &Path, order: &Order<'_>, folder: &Path) -> Vec<Step> {
    let mut venv = step(uv, &["venv", "--no-project", "--python"], &[&order.interpreter.program]);
    venv.command.arg(folder);
    let install = step(uv, &["pip", "install", "--python"], &[&folder.join("bin/python")]);
    vec![venv, installing(install, order, folder)]
}

fn with_pip(order: &Order<'_>, folder: &Path) -> Vec<Step> {
    let venv = step(&order.interpreter.program, &["-m", "venv"], &[folder]);
    let install = step(&folder.join("bin/python"), &["-m", "pip", "install"], &[]);
    vec![venv, installing(install, order, folder)]
}

fn installing(mut step: Step, order: &Order<'_>, folder: &Path) -> Step {
    let (file, write) = match &order.wanted.file {
        Some(file) => (file.clone(), None),
        None => (folder.join("requirements.txt"), Some(folder.join("requirements.txt"))),
    };
    step.command.arg("-r").arg(file);
    Step { write, installs: true, ..step }
}

async fn run(
    step: Step,
    order: &Order<'_>,
    lock: &File,
    deadline: Instant,
    limit: Duration,
) -> Result<(), EnvironmentError> {
    let Step { mut command, write, installs } = step;
    let shown = shown(&command);
    let started = prepare(&mut command, order, lock, write.as_deref()).and_then(|()| Child::start(command));
    let mut child = started.map_err(|error| {
        let message = format!("the environment of pool {} cannot be built: {shown}: {error}", order.pool);
        Problem::new(order.source, order.wanted.at.clone(), message)
    })?;
    let mut news = interval_at(Instant::now() + NEWS, NEWS);
    let ended = loop {
        tokio::select! {
            ended = timeout_at(deadline, child.wait()) => break ended,
            _ = news.tick() => tracing::info!(pool = order.pool, "still building the environment"),
        }
    };
    let what = match ended {
        Ok(Ok(status)) if status.success() => return Ok(()),
        Ok(Ok(status)) => how(status),
        Ok(Err(error)) => format!("cannot be waited for: {error}"),
        Err(_) => {
            let seconds = limit.as_secs();
            format!("took longer than {seconds} s and was ended; raise worker.environment_timeout")
        }
    };
    drop(child.take_last_error());
    let output = child.take_output();
    let problem = Problems::one(problem(order, &shown, &what, &output, installs));
    Err(EnvironmentError::Build { problem, output })
}

fn prepare(
    command: &mut Command,
    order: &Order<'_>,
    lock: &File,
    write: Option<&Path>,
) -> std::io::Result<()> {
    if let Some(path) = write {
        let lines: Vec<_> =
            order.wanted.lines.iter().map(|line| in_full(&line.value, order.folder)).collect();
        std::fs::write(path, lines.join("\n") + "\n")?;
    }
    // Settings may hold passwords, and another environment's variables would lead it astray.
    let strange = |name: &str| {
        name.starts_with("RFX_")
            || matches!(name, "PYTHONPATH" | "PYTHONHOME" | "VIRTUAL_ENV" | "CONDA_PREFIX")
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| strange(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    for (name, value) in [
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
        ("PIP_NO_INPUT", "1"),
        ("PIP_PROGRESS_BAR", "off"),
        ("UV_NO_PROGRESS", "1"),
        ("NO_COLOR", "1"),
        // Nobody is there to type a password.
        ("GIT_TERMINAL_PROMPT", "0"),
    ] {
        command.env(name, value);
    }
    command.current_dir(order.folder).stdin(Stdio::from(lock.try_clone()?));
    Ok(())
}

/// What failed, at the requirement that it is about if that can be told.
fn problem(order: &Order<'_>, shown: &str, what: &str, output: &str, installs: bool) -> Problem {
    let blamed = if installs { blamed(&order.wanted, output) } else { None };
    let at = blamed.map_or_else(|| order.wanted.at.clone(), |line| line.at.clone());
    let about = blamed.map(|line| format!(" at {:?}", line.value.trim())).unwrap_or_default();
    let help = if installs {
        "mend the requirement; an index that cannot be reached is set by PIP_INDEX_URL or UV_INDEX_URL"
    } else {
        "install Python's venv module (on Debian: apt install python3-venv), or uv"
    };
    let message = format!("the environment of pool {} cannot be built{about}: {shown} {what}", order.pool);
    Problem::new(order.source, at, message).help(help)
}

/// The requirement that the installer's errors name.
fn blamed<'a>(wanted: &'a Wanted, output: &str) -> Option<&'a crate::manifest::Placed<String>> {
    // From the first error on: what was collected before names all of them.
    let before = |line: &&str| {
        let lower = line.trim_start().to_lowercase();
        !["error", "×", "failed"].iter().any(|mark| lower.starts_with(mark))
    };
    let text: String = output.lines().skip_while(before).map(|line| normal(line) + "\n").collect();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let named = |name: &str| {
        text.match_indices(name).any(|(at, _)| {
            let (before, after) = (&text[..at], &text[at + name.len()..]);
            !before.ends_with(is_word) && !after.starts_with(is_word)
        })
    };
    let name = |line: &str| {
        let line = line.rsplit('/').next().unwrap_or(line).trim();
        let end =
            line.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(line.len());
        normal(&line[..end])
    };
    let mut found: Vec<_> = wanted.lines.iter().map(|line| (name(&line.value), line)).collect();
    found.retain(|(name, _)| !name.is_empty() && named(name));
    found.into_iter().max_by_key(|(name, _)| name.len()).map(|(_, line)| line)
}

/// Names of packages are the same in small letters and with `-` for `_` and `.`.
fn normal(text: &str) -> String {
    text.to_lowercase().replace(['_', '.'], "-")
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Placed;

    #[test]
    fn the_requirement_that_failed_is_found_in_what_was_printed() {
        let line = |value: &str| Placed { value: value.to_owned(), at: 0..1 };
        let lines =
            vec![line("requests>=2"), line("requests_toolbelt==99"), line("./wheels/my_tool-1.0.whl")];
        let wanted = Wanted { lines, file: None, content: Vec::new(), at: 0..1 };
        let blamed = |output: &str| blamed(&wanted, output).map(|line| line.value.as_str());
        let pip = "Collecting requests>=2\nERROR: No matching distribution found for requests-toolbelt==99\n";
        assert_eq!(blamed(pip), Some("requests_toolbelt==99"));
        let uv = "  × No solution found when resolving dependencies:\n  ╰─▶ Because there is no version of requests-toolbelt==99 and you require";
        assert_eq!(blamed(uv), Some("requests_toolbelt==99"));
        assert_eq!(blamed("ERROR: my_tool-1.0.whl is not a zip file"), Some("./wheels/my_tool-1.0.whl"));
        assert_eq!(blamed("ERROR: cannot connect"), None);
    }
}
