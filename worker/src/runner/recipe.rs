//! How the processes of a pool are started: Python with the package, or a program of the pool's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rfx_schemas::rules::Isolation;
use tokio::process::Command;

use super::process::StartError;
use crate::sweep::{MARK, Mark};

/// How a pool's processes are started.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// What is started.
    pub program: Program,
    /// The pool's folder.
    pub pool: PathBuf,
    /// The folder of its own environment's programs, first in `PATH`.
    pub bin: Option<PathBuf>,
    /// How long it may take to say what it offers.
    pub patience: Duration,
}

/// What is started.
#[derive(Debug, Clone)]
pub enum Program {
    /// The runner for Python.
    Python {
        /// The interpreter.
        python: String,
        /// Where the package lies.
        sdk: PathBuf,
    },
    /// A program of the pool's own, which speaks the protocol.
    Own {
        /// Its file.
        program: PathBuf,
        /// Its arguments.
        args: Vec<String>,
    },
}

/// What a process is started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The first of a pool: it may fork all others.
    First,
    /// A runner for this isolation.
    One(Isolation),
}

impl Recipe {
    /// Whether the runner is a program of the pool's own.
    pub fn is_own(&self) -> bool {
        matches!(self.program, Program::Own { .. })
    }

    /// Whether the first process can be used as a runner for this isolation.
    pub fn first_serves(&self, isolation: Isolation) -> bool {
        match self.program {
            Program::Python { .. } => isolation != Isolation::Shared,
            // It was told that it is a warm one.
            Program::Own { .. } => isolation == Isolation::Warm,
        }
    }

    /// The command, whose streams are the caller's.
    pub fn command(&self, mode: Mode, mark: &Mark) -> Command {
        let mut command = match &self.program {
            Program::Python { python, .. } => Command::new(python),
            Program::Own { program, .. } => Command::new(program),
        };
        // Settings may hold passwords; functions have no use for them.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RFX_")) {
            command.env_remove(name);
        }
        match &self.program {
            Program::Python { sdk, .. } => {
                let mode = match mode {
                    Mode::First => "--zygote",
                    Mode::One(Isolation::Shared) => "--shared",
                    Mode::One(_) => "--runner",
                };
                command
                    .args(["-m", "rfx.runner", "--pool"])
                    .arg(&self.pool)
                    .arg(mode)
                    .env("PYTHONPATH", python_path(sdk))
                    .env("PYTHONUNBUFFERED", "1")
                    // What is compiled is kept for the next process, but not in the author's folders.
                    .env("PYTHONPYCACHEPREFIX", super::sdk::compiled(sdk));
            }
            Program::Own { args, .. } => {
                let isolation = match mode {
                    Mode::First => Isolation::Warm,
                    Mode::One(isolation) => isolation,
                };
                command
                    .args(args)
                    .current_dir(&self.pool)
                    .env("RFX_POOL", &self.pool)
                    .env("RFX_ISOLATION", isolation.to_string());
            }
        }
        if let Some(bin) = &self.bin {
            command.env("PATH", crate::child::path_with(bin));
        }
        command.env(MARK, mark.as_str());
        command
    }

    /// Why the program cannot be started.
    pub fn cannot_start(&self, source: std::io::Error) -> StartError {
        match &self.program {
            Program::Python { python, .. } => StartError::Python { python: python.clone(), source },
            Program::Own { program, .. } => {
                StartError::Program { pool: self.pool.clone(), program: program.clone(), source }
            }
        }
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
