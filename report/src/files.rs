//! Writes the renderings that CI keeps. The one place of this crate that touches the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rfx_schemas::report::Report;

use crate::{html::html, json::json, junit::junit};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// `report.json`.
    pub json: PathBuf,
    /// `junit.xml`.
    pub junit: PathBuf,
    /// `report.html`.
    pub html: PathBuf,
}

/// What could not be written, and why.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The folder is not there and cannot be made.
    #[error("cannot create the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// The file, under its final name.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Writes `report.json`, `junit.xml` and `report.html` into `dir`, which is created.
///
/// Each file appears whole or not at all: a CI system may collect them while we write.
///
/// # Errors
/// The first thing that could not be written; files before it are in place.
pub fn write(dir: &Path, report: &Report) -> Result<Written, WriteError> {
    prepare(dir)?;
    Ok(Written {
        json: put(dir, "report.json", &json(report))?,
        junit: put(dir, "junit.xml", junit(report).as_bytes())?,
        html: put(dir, "report.html", html(report).as_bytes())?,
    })
}

/// Makes the folder that reports go to.
///
/// # Errors
/// It cannot be made.
pub fn prepare(dir: &Path) -> Result<(), WriteError> {
    fs::create_dir_all(dir).map_err(|source| WriteError::Folder { path: dir.to_owned(), source })
}

fn put(dir: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, WriteError> {
    let path = dir.join(name);
    // The process id keeps two writers of one folder apart; the last to rename wins, whole.
    let temporary = dir.join(format!(".{name}.{}", std::process::id()));
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, &path));
    written.map_err(|source| {
        // It may not even exist, and the first error is the one to tell.
        fs::remove_file(&temporary).ok();
        WriteError::File { path: path.clone(), source }
    })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use std::error::Error;

    #[test]
    fn three_files_appear_and_nothing_else() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("a/b");
        let written = write(&dir, &fixtures::failed()).unwrap();
        assert_eq!(crate::json::read(&fs::read(written.json).unwrap()).unwrap(), fixtures::failed());
        assert!(fs::read_to_string(written.junit).unwrap().starts_with("<?xml"));
        assert!(fs::read_to_string(written.html).unwrap().starts_with("<!doctype html>"));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 3);
        write(&dir, &fixtures::failed()).expect("a second report replaces the first");
    }

    #[test]
    fn errors_name_the_path_and_keep_the_cause_apart() {
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("file");
        fs::write(&file, "").unwrap();
        let error = write(&file, &fixtures::failed()).unwrap_err();
        assert!(error.to_string().contains("file") && error.source().is_some());

        let dir = top.path().join("dir");
        fs::create_dir_all(dir.join("junit.xml")).unwrap();
        let error = write(&dir, &fixtures::failed()).unwrap_err();
        assert!(error.to_string().ends_with("junit.xml"), "{error}");
        let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with('.')), "{left:?}");
    }
}
