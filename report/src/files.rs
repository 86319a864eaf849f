//! Writes the renderings that CI keeps, and the files that attempts left. The one place of this crate that touches the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rfx_schemas::payload::BlobRef;
use rfx_schemas::report::Report;

use crate::artifacts::{self, Wanted};
use crate::{html::html, json::json, junit::junit};

/// Files whose bytes cannot be had, after which no more are looked for.
const GONE: usize = 3;

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

/// What became of the files that attempts left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Artifacts {
    /// In place.
    pub written: usize,
    /// Beyond what is written beside a report: 1,000 files, 256 MiB.
    pub left_out: usize,
    /// Their bytes cannot be had any more.
    pub gone: usize,
}

/// Writes the files that attempts left into `dir/artifacts`, as far as they fit; `load` gives their
/// bytes. Those that are there already are left as they are: what is in one never changes.
///
/// # Errors
/// The first file that could not be written.
pub async fn write_artifacts<E, L: Future<Output = Result<Bytes, E>>>(
    dir: &Path,
    report: &Report,
    mut load: impl FnMut(BlobRef) -> L,
) -> Result<Artifacts, WriteError> {
    let (wanted, left_out) = artifacts::wanted(report);
    let mut done = Artifacts { left_out, ..Artifacts::default() };
    for Wanted { path, artifact } in wanted {
        let place = dir.join(&path);
        if fs::metadata(&place).is_ok_and(|found| found.len() == artifact.size) {
            done.written += 1;
            continue;
        }
        // Looking for what is gone takes its time: after a few of them the rest is, too.
        let bytes = if done.gone < GONE { load(artifact.content.clone()).await.ok() } else { None };
        let Some(bytes) = bytes else {
            done.gone += 1;
            continue;
        };
        let (Some(folder), Some(name)) = (place.parent(), place.file_name()) else { continue };
        prepare(folder)?;
        put(folder, &name.to_string_lossy(), &bytes)?;
        done.written += 1;
    }
    Ok(done)
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
    use rfx_schemas::outcome::Artifact;
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

    #[test]
    fn files_that_attempts_left_stand_beside_the_report() {
        let mut report = fixtures::failed();
        let bytes = Bytes::from_static(b"<p>page</p>");
        let artifact = |name: &str, size| Artifact {
            name: name.to_owned(),
            media_type: "text/html".to_owned(),
            size,
            content: BlobRef::of(&bytes),
        };
        let detail = report.steps[0].jobs[1].attempts[0].detail.as_mut().expect("it failed");
        detail.artifacts = vec![
            artifact("page.html", bytes.len() as u64),
            artifact("../evil", 3),
            artifact("huge", 1 << 40),
        ];
        let top = tempfile::tempdir().unwrap();
        let mut loads = 0;
        let load = |_: BlobRef| {
            loads += 1;
            std::future::ready(if loads == 2 { Err("gone") } else { Ok(bytes.clone()) })
        };
        let writing = Box::pin(write_artifacts(top.path(), &report, load));
        let done = futures_util::FutureExt::now_or_never(writing).expect("nothing waits").expect("written");
        assert_eq!(done, Artifacts { written: 1, left_out: 1, gone: 1 });
        assert_eq!(fs::read(top.path().join("artifacts/0-1-1/page.html")).unwrap(), bytes);
        write(top.path(), &report).unwrap();
        let page = fs::read_to_string(top.path().join("report.html")).unwrap();
        assert!(page.contains("<a href=\"artifacts/0-1-1/page.html\">page.html (11 bytes, text/html)</a>"));
        assert!(page.contains("href=\"artifacts/0-1-1/1-_evil\""), "{page}");
    }
}
