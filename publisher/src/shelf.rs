//! The flows that a flow may use: those in its folder, in pool folders, and in the catalogue.

use std::path::{Path, PathBuf};

use rfx_flow::diagnostic::Source;
use rfx_flow::{Catalogue, Library, files};

/// All flows that may be meant, the nearest first: the first of several with the same name is taken.
pub fn library(flow: &Path, pools: &[PathBuf], catalogue: &Catalogue) -> Library {
    let mut library = Library::default();
    let own = flow.canonicalize().ok();
    let beside = match flow.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    for path in files::yaml(beside, 0) {
        if path.canonicalize().ok() != own {
            add(&mut library, &path);
        }
    }
    for pool in pools {
        files::yaml(pool, files::DEPTH).iter().for_each(|path| add(&mut library, path));
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
