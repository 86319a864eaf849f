//! The pools that a worker is given, made ready to be opened: manifests read, environments built.

use std::path::{Path, PathBuf};

use futures_util::future::try_join_all;
use rfx_flow::diagnostic::Problems;

use crate::environment::{self, Environment, EnvironmentError, Environments};
use crate::manifest::{self, Manifest};
use crate::runner::StartError;

/// Why a pool cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// Its manifest is wrong.
    #[error("{}", manifests(.0))]
    Manifest(Vec<Problems>),
    /// Its environment cannot be had.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// Its runner cannot be started.
    #[error(transparent)]
    Runner(#[from] StartError),
}

fn manifests(problems: &[Problems]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A pool that can be opened.
pub struct Ready {
    /// Its folder, absolute.
    pub folder: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// What its runners start with; None where nothing of it is Python.
    pub environment: Option<Environment>,
}

/// Reads all manifests, then finds or builds all environments, side by side.
pub async fn ready(folders: &[PathBuf], environments: &Environments) -> Result<Vec<Ready>, PoolError> {
    let (mut read, mut wrong) = (Vec::new(), Vec::new());
    for folder in folders {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
        match manifest::read(&folder) {
            Ok(manifest) => read.push((folder, manifest)),
            Err(problems) => wrong.push(problems),
        }
    }
    if !wrong.is_empty() {
        return Err(PoolError::Manifest(wrong));
    }
    let pools = read.into_iter().map(async |(folder, manifest)| {
        let python = needs_python(&manifest, &folder);
        let environment = match python {
            true => Some(environment::ensure(&manifest, &folder, environments).await?),
            false => None,
        };
        Ok(Ready { folder, manifest, environment })
    });
    try_join_all(pools).await
}

/// A pool of executables alone needs no Python; one that may hold modules does, or asks for it.
fn needs_python(manifest: &Manifest, folder: &Path) -> bool {
    let asks = manifest.python.is_some() || manifest.requirements.is_some();
    if manifest.runner.exec.is_some() {
        return asks;
    }
    match &manifest.modules {
        Some(modules) => asks || !modules.is_empty() || manifest.functions.is_empty(),
        None => asks || manifest.functions.is_empty() || has_modules(folder),
    }
}

/// Whether there is a file that the Python side would import, by its rules for names.
fn has_modules(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.to_owned(), entry.path()))).any(
        |(name, path)| {
            let hidden = name.starts_with(['_', '.']);
            match path.is_dir() {
                true => !hidden && name != "tests" && has_modules(&path),
                false => {
                    name.ends_with(".py") && !hidden && !name.starts_with("test_") && name != "conftest.py"
                }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_hold_modules_needs_a_python() {
        let dir = tempfile::tempdir().expect("a folder");
        let needs = |text: &str| {
            let manifest = manifest::parse("pool.toml", text, dir.path()).expect("it is right");
            needs_python(&manifest, dir.path())
        };
        let function = "name = \"t\"\n[[function]]\nname = \"a.b\"\nexec = [\"true\"]\n";
        assert!(needs("name = \"t\""), "else it would be nothing at all");
        assert!(!needs(function));
        assert!(needs(&format!("requirements = [\"a\"]\n{function}")));
        assert!(!needs("name = \"t\"\nrunner = [\"run\"]"));
        let write = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("in it")).expect("a folder");
            std::fs::write(path, "").expect("written");
        };
        for other in ["tests/x.py", "_helpers.py", "test_x.py", "conftest.py", "x.sh", ".venv/x.py"] {
            write(other);
            assert!(!needs(function), "{other}");
        }
        write("more/x.py");
        assert!(needs(function));
        assert!(!needs(&format!("modules = []\n{function}")));
    }

    #[tokio::test]
    async fn the_manifests_of_all_pools_are_read_before_anything_is_built() {
        let environments = Environments {
            root: "/nonexistent".into(),
            timeout: std::time::Duration::ZERO,
            python: "x".into(),
        };
        let error = ready(&["/gone-1".into(), "/gone-2".into()], &environments).await.err().expect("none");
        let said = error.to_string();
        assert!(said.contains("/gone-1 is not a pool") && said.contains("/gone-2 is not a pool"), "{said}");
    }
}
