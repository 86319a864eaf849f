//! The Python package, carried in the worker's binary and laid out for its runners: a pool needs
//! nothing installed.

use std::io;
use std::path::Path;

use include_dir::{Dir, include_dir};
use tempfile::TempDir;

/// What the name of its folder begins with.
pub const PREFIX: &str = "rfx-sdk-";

static PACKAGE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../python/src/rfx");

/// Lays the package out in a folder of its own, which goes with the returned guard.
pub fn lay_out() -> io::Result<TempDir> {
    let dir = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
    let package = dir.path().join("rfx");
    std::fs::create_dir(&package)?;
    write(&PACKAGE, &package)?;
    Ok(dir)
}

/// Where Python keeps what it compiles: with the package, and not in the author's folders.
pub fn compiled(sdk: &Path) -> std::path::PathBuf {
    sdk.join("compiled")
}

fn write(from: &Dir<'_>, to: &Path) -> io::Result<()> {
    let sources = from.files().filter(|f| f.path().extension().is_some_and(|e| e == "py" || e == "typed"));
    for file in sources {
        let name = file.path().file_name().unwrap_or_default();
        std::fs::write(to.join(name), file.contents())?;
    }
    Ok(())
}
