//! `check` and `test`: what CI runs.

use std::path::Path;

use crate::command::{Result, at_root, cargo, io, root, run};
use crate::{pythons, tools};

const PYTHON_DIRS: [&str; 2] = ["python", "examples"];

/// Formatting, lints, documentation, Python's lint and types.
pub fn check() -> Result<u8> {
    run(&mut cargo(["fmt", "--all", "--check"]))?;
    run(&mut cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let mut doc = cargo(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    run(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    let bin = pythons::default()?.venv()?;
    run(at_root(bin.join("ruff"), ["check", "docs/pool"]).args(PYTHON_DIRS))?;
    run(at_root(bin.join("ruff"), ["format", "--check", "docs/pool"]).args(PYTHON_DIRS))?;
    run(at_root(bin.join("mypy"), ["--strict", "src", "tests"]).current_dir(root().join("python")))?;
    Ok(0)
}

/// All tests, of Rust and of Python; or those whose name holds the filter. Those of Python with every Python of this
/// machine, or with the one that is wished for.
pub fn test(filter: Option<&str>, python: Option<&str>) -> Result<u8> {
    let pythons = match python {
        Some(wish) => vec![pythons::named(wish)?],
        None => pythons::all()?,
    };
    let server = tools::nats_server()?;
    // Before what takes long: the tests of the whole use the default one, and what is missing is said now.
    pythons::default()?.venv()?;
    let pythons = pythons.iter().map(|python| Ok((python, python.venv()?))).collect::<Result<Vec<_>>>()?;
    // The tests of the whole start the binaries: they must be there, and of this build.
    run(&mut cargo(["build", "--workspace", "--bins"]))?;
    let mut rust = cargo(["test", "--workspace"].into_iter().chain(filter));
    run(rust.env("RFX_NATS_SERVER", &server))?;
    let mut passed = true;
    for (python, bin) in pythons {
        passed &= test_python(&python.version, &bin, filter)?;
    }
    Ok(u8::from(!passed))
}

/// The tests of Python with one Python: a line when they pass, all that they say when they don't.
fn test_python(version: &str, bin: &Path, filter: Option<&str>) -> Result<bool> {
    let mut passed = true;
    for dir in PYTHON_DIRS {
        let mut pytest = at_root(bin.join("python"), ["-m", "pytest", "-q", "tests"]);
        pytest.args(filter.iter().flat_map(|f| ["-k", *f])).current_dir(root().join(dir));
        let done = pytest.output().map_err(io("pytest"))?;
        let said = String::from_utf8_lossy(&done.stdout);
        let nothing_fits = filter.is_some() && done.status.code() == Some(5);
        if !done.status.success() && !nothing_fits {
            eprint!("{said}{}", String::from_utf8_lossy(&done.stderr));
            passed = false;
        }
        eprintln!("Python {version}, {dir}: {}", said.lines().last().unwrap_or("pytest said nothing"));
    }
    Ok(passed)
}
