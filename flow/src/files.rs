//! Finding the files that may be flows: the one place of this crate that looks at the disk.

use std::path::{Path, PathBuf};

/// Most folders deep that flows of a pool are looked for.
pub const DEPTH: usize = 8;

/// YAML files in a folder and so many folders below it, in order of their names. What begins with a
/// dot or an underscore is left out.
pub fn yaml(folder: &Path, below: usize) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let hidden =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']));
    let mut files = Vec::new();
    for path in paths.into_iter().filter(|path| !hidden(path)) {
        if path.is_dir() && below > 0 {
            files.extend(yaml(&path, below - 1));
        } else if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
            files.push(path);
        }
    }
    files
}
