//! The flows that a flow may use: those in its folder, in pool folders, and in the catalogue.

use std::path::{Path, PathBuf};

use rfx_flow::diagnostic::Source;
use rfx_flow::{Catalogue, Library};

/// Most folders deep that flows of a pool are looked for.
const DEPTH: usize = 8;

/// All flows that may be meant, the nearest first: the first of several with the same name is taken.
pub fn library(flow: &Path, pools: &[PathBuf], catalogue: &Catalogue) -> Library {
    let mut library = Library::default();
    let own = flow.canonicalize().ok();
    let beside = match flow.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    for path in yaml_files(beside, 0) {
        if path.canonicalize().ok() != own {
            add(&mut library, &path);
        }
    }
    for pool in pools {
        yaml_files(pool, DEPTH).iter().for_each(|path| add(&mut library, path));
    }
    for record in &catalogue.functions {
        if let Some(text) = &record.flow {
            let source = record.source.as_deref().unwrap_or(record.name.as_str());
            library.add(Source::new(&format!("{} (pool {})", source, record.pool), text), None);
        }
    }
    library
}

fn add(library: &mut Library, path: &Path) {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let shown = path.display().to_string();
            let shown = shown.strip_prefix("./").unwrap_or(&shown);
            library.add(Source::new(shown, &text), path.parent().map(Path::to_owned));
        }
        Err(error) => tracing::debug!(path = %path.display(), %error, "left out a file"),
    }
}

/// YAML files in a folder and so many folders below it, in order of their names.
fn yaml_files(folder: &Path, below: usize) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let hidden =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']));
    let mut files = Vec::new();
    for path in paths.into_iter().filter(|path| !hidden(path)) {
        if path.is_dir() && below > 0 {
            files.extend(yaml_files(&path, below - 1));
        } else if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
            files.push(path);
        }
    }
    files
}
