//! Functions of a pool's folder, without a server: `rfx-worker describe` imports it and says.

use std::path::{Path, PathBuf};
use std::process::Command;

use rfx_config::process::Failure;
use rfx_flow::Catalogue;
use rfx_schemas::name::Group;
use rfx_schemas::record::{BrokenModule, FunctionRecord};
use serde::Deserialize;

/// What a worker says of pools.
#[derive(Deserialize)]
pub struct Described {
    /// Their functions and flows, and those that every worker has.
    pub functions: Vec<FunctionRecord>,
    /// What could not be imported.
    pub broken: Vec<BrokenModule>,
}

/// Asks a worker what these pools have.
pub fn describe(pools: &[PathBuf]) -> Result<Described, Failure> {
    let mut command = Command::new(worker());
    command.arg("describe");
    for pool in pools {
        command.arg("--pool").arg(pool);
    }
    let said = command.output().map_err(|error| {
        Failure::usage(format!("--pool needs rfx-worker beside rfx-publish or on PATH: {error}"))
    })?;
    if !said.status.success() {
        return Err(Failure::usage(String::from_utf8_lossy(&said.stderr).trim().to_owned()));
    }
    serde_json::from_slice(&said.stdout)
        .map_err(|error| Failure::usage(format!("rfx-worker is of another version: {error}")))
}

/// All that these pools have, as if workers served them.
pub fn catalogue(pools: &[PathBuf], fallback: &Group) -> Result<Catalogue, Failure> {
    let described = describe(pools)?;
    let broken = described.broken.iter().map(|b| format!("{} of pool {}: {}", b.module, b.pool, b.error));
    let here = |function| FunctionRecord { group: fallback.clone(), ..function };
    Ok(Catalogue {
        broken: broken.collect(),
        functions: described.functions.into_iter().map(here).collect(),
        groups: Vec::new(),
        fallback: fallback.clone(),
        complete: true,
    })
}

/// The worker that came with this program, else the one on PATH.
pub fn worker() -> PathBuf {
    let name = format!("rfx-worker{}", std::env::consts::EXE_SUFFIX);
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(|folder| folder.join(&name));
    beside.filter(|path| path.exists()).unwrap_or_else(|| name.into())
}
