//! Finding a Python: as the pool's version, or as its path.

use std::ffi::OsStr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rfx_flow::diagnostic::{Problem, Source};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use crate::child::{Child, how};
use crate::manifest::{Manifest, Placed};

/// How long an interpreter may take to say what it is. Shims and network disks are slow at first.
const ANSWER: Duration = Duration::from_secs(20);

/// The oldest Python that the SDK runs with.
const OLDEST: [u32; 2] = [3, 10];

/// Isolated from the user's own modules; the real path, since links are moved to other versions.
const QUESTION: &str = "import json, os, sys; print(json.dumps({\
    'version': '.'.join(map(str, sys.version_info[:3])), 'build': sys.version, \
    'machine': sys.platform + ' ' + os.uname().machine, 'real': os.path.realpath(sys.executable)}))";

/// An interpreter that has said what it is.
#[derive(Debug, Clone)]
pub struct Interpreter {
    /// How it is started.
    pub program: PathBuf,
    /// `3.12.1`.
    pub version: String,
    /// Its version and how it was built, in its own words.
    pub build: String,
    /// What it runs on.
    pub machine: String,
    /// Its file, links followed.
    pub real: PathBuf,
}

#[derive(Deserialize)]
struct Answer {
    version: String,
    build: String,
    machine: String,
    real: PathBuf,
}

/// The interpreter of the settings, for a pool that names none.
pub async fn default(python: &str, manifest: &Manifest, at: Range<usize>) -> Result<Interpreter, Problem> {
    ask(python.as_ref()).await.map_err(|error| {
        let message = format!("the environment needs a Python, and {python} is none: {error}");
        let help = "set worker.python to a Python of 3.10 or later, or write python = \"3.12\" in pool.toml";
        Problem::new(&manifest.source, at, message).help(help)
    })
}

/// The interpreter that a pool names.
pub async fn find(
    wish: &Placed<String>,
    default: &str,
    folder: &Path,
    source: &Source,
) -> Result<Interpreter, Problem> {
    let Some(version) = version(&wish.value) else { return by_path(wish, folder, source).await };
    let problem = |message: String| Problem::new(source, wish.at.clone(), message);
    if version.len() >= 2 && version[..2] < OLDEST[..] {
        return Err(problem(format!("Python {} is too old", wish.value)).help("use 3.10 or later"));
    }
    let mut seen = Vec::new();
    for candidate in candidates(&wish.value, default).await {
        if let Ok(found) = ask(candidate.as_os_str()).await {
            if fits(&found.version, &version) {
                return Ok(found);
            }
            seen.push(found);
        }
    }
    for candidate in others() {
        if !seen.iter().any(|found| found.program == candidate)
            && let Ok(found) = ask(candidate.as_os_str()).await
        {
            seen.push(found);
        }
    }
    seen.sort_by(|a, b| a.real.cmp(&b.real));
    seen.dedup_by(|a, b| a.real == b.real);
    let found: Vec<_> = seen.iter().map(|i| format!("{} ({})", i.version, i.real.display())).collect();
    let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    let help = format!(
        "found: {found}; install it (uv python install {0}), or name one of these: python = \"/path/to/python\"",
        wish.value
    );
    Err(problem(format!("there is no Python {} here", wish.value)).help(help))
}

async fn by_path(wish: &Placed<String>, folder: &Path, source: &Source) -> Result<Interpreter, Problem> {
    let path = match (wish.value.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        // Relative to the pool; a mere name is looked up on PATH.
        _ if wish.value.contains('/') => folder.join(&wish.value),
        _ => PathBuf::from(&wish.value),
    };
    ask(path.as_os_str()).await.map_err(|error| {
        let message = format!("{} is not a Python: {error}", path.display());
        let help = "write a version such as \"3.12\", or the path of an interpreter";
        Problem::new(source, wish.at.clone(), message).help(help)
    })
}

/// `3.12` as numbers; None where it is no version.
fn version(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}

/// Whether 3.12.1 is a 3.12.
fn fits(found: &str, wish: &[u32]) -> bool {
    version(found).is_some_and(|found| found.starts_with(wish))
}

/// Where a version is likely to be, the likeliest first.
async fn candidates(wish: &str, default: &str) -> Vec<PathBuf> {
    let mut all = vec![PathBuf::from(default)];
    let minor: Vec<_> = wish.split('.').take(2).collect();
    all.extend(on_path(|name| name == format!("python{}", minor.join("."))));
    all.extend(pyenv(|name| name == wish || name.starts_with(&format!("{wish}."))));
    if let Some(uv) = on_path(|name| name == "uv").into_iter().next() {
        let mut command = Command::new(uv);
        command.args(["python", "find", "--no-project", wish]).stdin(Stdio::null());
        if let Ok(printed) = said(command).await {
            all.push(PathBuf::from(printed.trim()));
        }
    }
    all
}

/// What else is there, to tell about it.
fn others() -> Vec<PathBuf> {
    let python = |name: &str| {
        name.strip_prefix("python3").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
    };
    let mut all = on_path(python);
    all.extend(pyenv(|name| version(name).is_some_and(|version| version[..] >= OLDEST[..])));
    all
}

/// Programs on `PATH` whose names are wished for.
pub(super) fn on_path(wish: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut found = Vec::new();
    for folder in std::env::split_paths(&folders) {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let names = entries.filter(|entry| entry.file_name().to_str().is_some_and(&wish));
        let mut paths: Vec<_> = names.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        paths.sort();
        found.extend(paths);
    }
    found
}

/// Interpreters of pyenv, the newest first: its shims only serve the versions that are switched on.
fn pyenv(wish: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let Some(root) = root.or_else(|| std::env::home_dir().map(|home| home.join(".pyenv"))) else {
        return Vec::new();
    };
    let entries = std::fs::read_dir(root.join("versions")).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some((version(entry.file_name().to_str()?)?, entry)))
        .filter(|(_, entry)| entry.file_name().to_str().is_some_and(&wish))
        .map(|(version, entry)| (version, entry.path().join("bin/python")))
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// Asks a program what it is.
pub(super) async fn ask(program: &OsStr) -> Result<Interpreter, String> {
    let mut command = Command::new(program);
    command.args(["-I", "-c", QUESTION]).stdin(Stdio::null());
    let printed = said(command).await?;
    // A wrapper may print words of its own before.
    let answer = printed.lines().rev().find_map(|line| serde_json::from_str::<Answer>(line).ok());
    let Answer { version, build, machine, real } =
        answer.ok_or("it did not answer as a Python of 3.10 or later does")?;
    Ok(Interpreter { program: program.into(), version, build, machine, real })
}

async fn said(command: Command) -> Result<String, String> {
    let mut child = Child::start(command).map_err(|error| error.to_string())?;
    match timeout(ANSWER, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(child.take_output()),
        Ok(Ok(status)) => {
            let last = child.take_last_error().map(|last| format!(": {last}")).unwrap_or_default();
            Err(format!("it {}{last}", how(status)))
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it said nothing for {} s", ANSWER.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wish(text: &str) -> Result<Interpreter, Problem> {
        let source = Source::new("pool.toml", text);
        let wish = Placed { value: text.to_owned(), at: 0..text.len() };
        find(&wish, "python3", Path::new("/"), &source).await
    }

    #[tokio::test]
    async fn a_version_is_found_and_a_path_is_taken() {
        let current = ask("python3".as_ref()).await.expect("tests need a python3");
        let minor: Vec<_> = current.version.split('.').take(2).collect();
        let found = wish(&minor.join(".")).await.expect("python3 is one");
        assert!(found.version.starts_with(&minor.join(".")));
        let path = wish(&current.real.display().to_string()).await.expect("it is one");
        assert_eq!(path.version, current.version);
    }

    #[tokio::test]
    async fn what_is_not_there_tells_what_is() {
        let error = wish("3.99").await.expect_err("there is none");
        assert_eq!(error.to_string(), "there is no Python 3.99 here");
        let problems = rfx_flow::diagnostic::Problems::one(error).to_string();
        assert!(problems.contains("(found: ") && problems.contains("uv python install 3.99"), "{problems}");
        assert!(wish("3.9").await.expect_err("too old").to_string().contains("too old"));
        let none = wish("/bin/sh").await.expect_err("no Python").to_string();
        assert!(none.starts_with("/bin/sh is not a Python"), "{none}");
    }
}
