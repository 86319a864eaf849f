//! `check` and `test`: what CI runs.

use std::process::Command;

use crate::command::{Result, at_root, cargo, run};
use crate::tools;

const PYTHON_DIRS: [&str; 2] = ["python", "examples"];

/// Formatting, lints, documentation, Python's lint and types.
pub fn check() -> Result<u8> {
    run(&mut cargo(["fmt", "--all", "--check"]))?;
    run(&mut cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let mut doc = cargo(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    run(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    let bin = tools::venv()?;
    run(at_root(bin.join("ruff"), ["check", "docs/pool"]).args(PYTHON_DIRS))?;
    run(at_root(bin.join("ruff"), ["format", "--check", "docs/pool"]).args(PYTHON_DIRS))?;
    run(at_root(bin.join("mypy"), ["--strict", "src", "tests"])
        .current_dir(crate::command::root().join("python")))?;
    Ok(0)
}

/// All tests, of Rust and of Python; or those whose name holds the filter.
pub fn test(filter: Option<&str>) -> Result<u8> {
    let server = tools::nats_server()?;
    let bin = tools::venv()?;
    let set_up = |mut command: Command| {
        command.env("RFX_NATS_SERVER", &server);
        command
    };
    // The tests of the whole start the binaries: they must be there, and of this build.
    run(&mut cargo(["build", "--workspace", "--bins"]))?;
    run(&mut set_up(cargo(["test", "--workspace"].into_iter().chain(filter))))?;
    for dir in PYTHON_DIRS {
        let mut pytest = at_root(bin.join("python"), ["-m", "pytest", "-q", "tests"]);
        pytest.args(filter.iter().flat_map(|f| ["-k", *f]));
        let mut pytest = set_up(pytest);
        let status = pytest.current_dir(crate::command::root().join(dir)).status();
        let status = status.map_err(crate::command::io("pytest"))?;
        let nothing_fits = filter.is_some() && status.code() == Some(5);
        if !status.success() && !nothing_fits {
            return Ok(1);
        }
    }
    Ok(0)
}
