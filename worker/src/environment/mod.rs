//! A pool's Python environment: the interpreter that it asks for, with what it needs installed.
//!
//! Environments lie in a cache folder, keyed by all that decides what is in them, so that pools,
//! workers and restarts share them, and a change makes a new one. Nothing of rfx is installed there.

mod build;
mod cache;
mod interpreter;
mod requirements;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rfx_flow::diagnostic::{Problem, Problems};

pub use cache::{Cached, Held, Marker, list, prune};
use interpreter::Interpreter;
use requirements::Wanted;

use crate::manifest::Manifest;

/// Where environments are kept, and how long one may take to be built.
#[derive(Debug, Clone)]
pub struct Environments {
    /// The cache folder.
    pub root: PathBuf,
    /// Longest time to build one, and to wait for another worker that does.
    pub timeout: Duration,
    /// The interpreter of pools that name none.
    pub python: String,
}

/// What a pool's runners start with.
#[derive(Debug)]
pub struct Environment {
    /// The interpreter.
    pub python: String,
    /// The folder of the environment's programs, if it is one of its own.
    pub bin: Option<PathBuf>,
    /// Keeps others from removing it.
    pub held: Option<Held>,
}

/// Why a pool has no environment.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// What the pool asks for cannot be had.
    #[error("{0}")]
    Wish(Problems),
    /// What builds it failed.
    #[error("{problem}\n{}", .output.trim_end())]
    Build {
        /// What, and where it stands.
        problem: Problems,
        /// What was printed.
        output: String,
    },
    /// The cache folder cannot be used.
    #[error("{}: {what}: {source}; set worker.environments to a folder that can be written", .path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's words.
        source: std::io::Error,
    },
    /// Another worker has been building it for too long.
    #[error(
        "{}: another process has held this environment for {} s; see what holds it, or raise worker.environment_timeout",
        .path.display(), .timeout.as_secs()
    )]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        timeout: Duration,
    },
}

impl Environments {
    /// As the settings say.
    pub fn of(settings: &rfx_config::settings::Worker) -> Self {
        Self {
            // Builds run in their pool's folder, where a relative path would mean another place.
            root: std::path::absolute(&settings.environments)
                .unwrap_or_else(|_| settings.environments.clone()),
            timeout: settings.environment_timeout,
            python: settings.python.clone(),
        }
    }
}

impl From<Problem> for EnvironmentError {
    fn from(problem: Problem) -> Self {
        Self::Wish(Problems::one(problem))
    }
}

/// Finds or builds what a pool asks for.
pub async fn ensure(
    manifest: &Manifest,
    folder: &Path,
    environments: &Environments,
) -> Result<Environment, EnvironmentError> {
    let Some(requirements) = &manifest.requirements else {
        let python = match &manifest.python {
            None => environments.python.clone(),
            Some(wish) => {
                let found = interpreter::find(wish, &environments.python, folder, &manifest.source).await?;
                found.program.display().to_string()
            }
        };
        return Ok(Environment { python, bin: None, held: None });
    };
    let wanted = requirements::load(requirements, folder, &manifest.source)?;
    let interpreter = match &manifest.python {
        Some(wish) => interpreter::find(wish, &environments.python, folder, &manifest.source).await?,
        None => interpreter::default(&environments.python, manifest, wanted.at.clone()).await?,
    };
    let key = key(&interpreter, &wanted);
    let order = build::Order { pool: &manifest.name, folder, source: &manifest.source, interpreter, wanted };
    let held = cache::ensure(environments, &key, order).await?;
    let bin = held.folder.join("bin");
    Ok(Environment { python: bin.join("python").display().to_string(), bin: Some(bin), held: Some(held) })
}

/// Names an environment by all that decides what is in it.
fn key(interpreter: &Interpreter, wanted: &Wanted) -> String {
    use sha2::{Digest as _, Sha256};
    /// Raised when environments are built in another way.
    const SCHEME: &str = "rfx-environment-1";
    let mut hash = Sha256::new();
    let identity = [SCHEME, &interpreter.build, &interpreter.machine, &interpreter.real.to_string_lossy()];
    for part in identity.map(str::as_bytes).into_iter().chain(wanted.content.iter().map(Vec::as_slice)) {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    // Short enough for the `#!` lines of installed programs, long enough for no two to meet.
    rfx_schemas::payload::hex(&hash.finalize())[..32].to_owned()
}
