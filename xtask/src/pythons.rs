//! The Pythons of this machine, each with a virtual environment of its own for tests and checks.
//!
//! Environments lie under `target/tools`. They are made once, and again when the pinned requirements or the
//! interpreter have changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{Error, Result, at_root, io, root, run, target};

/// The minor versions of Python 3 that are supported: `python/requirements-dev.txt` has wheels for each of them.
const MINORS: std::ops::RangeInclusive<u32> = 10..=14;
/// What an interpreter is asked: its version, and whether it can make environments.
const QUESTION: &str = "import sys\n\
    from importlib.util import find_spec\n\
    whole = find_spec('venv') and find_spec('ensurepip') and sys.implementation.name == 'cpython'\n\
    print('.'.join(map(str, sys.version_info[:3])), 'whole' if whole else 'bare')";

/// An interpreter of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// The program.
    pub program: PathBuf,
    /// `3.12.1`.
    pub version: String,
    /// Whether it has venv and ensurepip. Without them it runs code, and makes no environment.
    whole: bool,
    /// Whether it is the one that is taken where one is enough.
    is_default: bool,
}

impl Python {
    /// Asks a program what it is; none if it is no Python, or a shim for one that is switched off.
    fn ask(program: &Path) -> Option<Self> {
        let mut command = Command::new(program);
        command.args(["-I", "-c", QUESTION]).stdin(Stdio::null()).stderr(Stdio::null());
        let said = command.output().ok().filter(|output| output.status.success())?.stdout;
        let said = String::from_utf8(said).ok()?;
        let (version, kind) = said.trim().split_once(' ')?;
        let (program, version) = (program.to_owned(), version.to_owned());
        Some(Self { program, version, whole: kind == "whole", is_default: false })
    }

    /// The 12 of Python 3.12.1.
    fn minor(&self) -> Option<u32> {
        self.version.strip_prefix("3.")?.split('.').next()?.parse().ok()
    }

    /// Its environment with pytest, ruff and mypy, which is made when it is not there; its folder of programs.
    pub fn venv(&self) -> Result<PathBuf> {
        let pins = root().join("python/requirements-dev.txt");
        let text = std::fs::read_to_string(&pins).map_err(io("python/requirements-dev.txt"))?;
        // The whole text and not a digest of it: then it also tells what is installed.
        let wanted = format!("# Python {} of {}\n{text}", self.version, self.program.display());
        let name = match self.minor() {
            Some(minor) if !self.is_default => format!("venv-3.{minor}"),
            _ => "venv".to_owned(),
        };
        let dir = target().join("tools").join(&name);
        let (bin, stamp) = (dir.join("bin"), dir.join("requirements-dev.txt"));
        if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(bin);
        }
        if !self.whole {
            return Err(Error::Missing(format!(
                "{} has no venv; install the package python3-venv",
                self.program.display()
            )));
        }
        eprintln!("setting up the test tools of Python {} in {} …", self.version, dir.display());
        run(at_root(&self.program, ["-m", "venv", "--clear"]).arg(&dir))?;
        let mut install =
            at_root(bin.join("python"), ["-m", "pip", "install", "--quiet", "--require-hashes", "-r"]);
        run(install.arg(&pins))?;
        std::fs::write(stamp, wanted).map_err(io(name))?;
        Ok(bin)
    }
}

/// The Python to use where one is enough: `PYTHON`, else python3.
pub fn default() -> Result<Python> {
    let program = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    match Python::ask(Path::new(&program)) {
        Some(python) if python.minor().is_some_and(|minor| minor >= *MINORS.start()) => {
            Ok(Python { is_default: true, ..python })
        }
        Some(_) => Err(Error::Missing(format!("{program} is older than 3.10; set PYTHON to a newer one"))),
        None => Err(Error::Missing(format!("{program} is missing; install the package python3"))),
    }
}

/// All that tests run with, the oldest first: the default one, and one of each other version.
pub fn all() -> Result<Vec<Python>> {
    let default = default()?;
    let mut found: BTreeMap<u32, Python> =
        default.minor().map(|minor| (minor, default)).into_iter().collect();
    for minor in MINORS {
        if found.contains_key(&minor) {
            continue;
        }
        let here = candidates(minor).iter().filter_map(|path| Python::ask(path)).collect::<Vec<_>>();
        let fits = |python: &&Python| python.minor() == Some(minor);
        if let Some(python) = here.iter().filter(fits).find(|python| python.whole) {
            found.insert(minor, python.clone());
        } else if let Some(bare) = here.iter().find(fits) {
            let program = bare.program.display();
            eprintln!("Python {}: not tested, since {program} has no venv", bare.version);
        }
    }
    Ok(found.into_values().collect())
}

/// The one of a version such as 3.12, or of a path.
pub fn named(wish: &str) -> Result<Python> {
    if wish.contains('/') {
        let python = Python::ask(Path::new(wish)).filter(|p| p.minor() >= Some(*MINORS.start()));
        return python.ok_or_else(|| Error::Missing(format!("{wish} is no Python of 3.10 or later")));
    }
    let all = all()?;
    let fits = |python: &&Python| {
        python.version.strip_prefix(wish).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    all.iter().find(fits).cloned().ok_or_else(|| {
        let there = all.iter().map(|python| python.version.as_str()).collect::<Vec<_>>().join(", ");
        Error::Missing(format!("there is no Python {wish} on PATH or in pyenv; there are {there}"))
    })
}

/// Where a version may be: on `PATH`, and in the folder of pyenv, whose shims only serve what is switched on.
fn candidates(minor: u32) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let name = format!("python3.{minor}");
    let mut all: Vec<_> = std::env::split_paths(&path).map(|dir| dir.join(&name)).collect();
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    if let Some(pyenv) = pyenv.or_else(|| std::env::home_dir().map(|home| home.join(".pyenv"))) {
        let entries = std::fs::read_dir(pyenv.join("versions")).into_iter().flatten().flatten();
        let mut versions: Vec<_> = entries.filter_map(|entry| patch(minor, &entry.path())).collect();
        versions.sort_unstable();
        all.extend(versions.into_iter().rev().map(|(_, path)| path.join("bin/python")));
    }
    all.retain(|path| path.is_file());
    all
}

/// The 1 of the folder 3.12.1, if it is of that minor version.
fn patch(minor: u32, folder: &Path) -> Option<(u32, PathBuf)> {
    let name = folder.file_name()?.to_str()?;
    let patch = name.strip_prefix(&format!("3.{minor}."))?.parse().ok()?;
    Some((patch, folder.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_pyenv_are_told_apart() {
        for (minor, folder, expected) in [
            (12, "3.12.1", Some(1)),
            (1, "3.12.1", None),
            (13, "3.13.0t", None),
            (12, "mambaforge", None),
            (12, "3.12", None),
        ] {
            let found = patch(minor, &Path::new("/versions").join(folder)).map(|(patch, _)| patch);
            assert_eq!(found, expected, "{folder} as 3.{minor}");
        }
    }

    #[test]
    fn a_program_that_is_no_python_is_none() {
        assert_eq!(Python::ask(Path::new("/bin/sh")), None);
        assert_eq!(Python::ask(Path::new("/nowhere/python3.12")), None);
    }
}
