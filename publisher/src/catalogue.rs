//! What is known about functions and places: the catalogue that workers announce, and who is up.

use std::collections::BTreeMap;

use rfx_flow::{Catalogue, LiveGroup};
use rfx_schemas::name::{Group, Queue};
use rfx_schemas::record::{FunctionRecord, Presence, Role};
use rfx_schemas::topology::Bucket;
use rfx_transport::{Transport, TransportError};

/// Workers that are up.
pub async fn workers(transport: &Transport) -> Result<Vec<Presence>, TransportError> {
    transport.kv_list(Bucket::Presence, "worker.>").await
}

/// Whether a resident publisher is up, which goes on with runs that their client leaves.
pub async fn resident(transport: &Transport) -> Result<bool, TransportError> {
    let up: Vec<Presence> = transport.kv_list(Bucket::Presence, "publisher.>").await?;
    Ok(up.iter().any(|p| p.role == Role::Publisher && p.resident))
}

/// Every function that workers have announced.
pub async fn functions(transport: &Transport) -> Result<Vec<FunctionRecord>, TransportError> {
    let mut functions: Vec<FunctionRecord> = transport.kv_list(Bucket::Functions, ">").await?;
    functions.sort_by(|a, b| (&a.name, &a.group, &a.version).cmp(&(&b.name, &b.group, &b.version)));
    Ok(functions)
}

/// All that a plan needs to know.
pub async fn load(transport: &Transport, fallback: &Group) -> Result<Catalogue, TransportError> {
    let (functions, workers) = tokio::try_join!(functions(transport), workers(transport))?;
    let broken = workers.iter().flat_map(|worker| &worker.broken);
    let mut broken: Vec<_> =
        broken.map(|b| format!("{} of pool {}: {}", b.module, b.pool, b.error)).collect();
    broken.sort();
    broken.dedup();
    let mut groups: BTreeMap<Group, BTreeMap<String, String>> = BTreeMap::new();
    for worker in workers {
        if let Some(group) = worker.group {
            groups.entry(group).or_default().extend(worker.labels);
        }
    }
    let mut live = Vec::new();
    for (group, labels) in groups {
        let pending = transport.lane_depth(&group, &Queue::main()).await?.unwrap_or(0);
        live.push(LiveGroup { group, labels, pending });
    }
    // On a fresh cluster the workers may be about to come: then nothing is known to be missing.
    // The functions that every worker has do not count: they say nothing about pools.
    let complete = functions.iter().any(|f| f.pool != "native");
    Ok(Catalogue { functions, groups: live, fallback: fallback.clone(), complete, broken })
}
