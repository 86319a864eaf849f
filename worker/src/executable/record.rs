//! What the catalogue says of an executable.

use rfx_schemas::name::Group;
use rfx_schemas::record::FunctionRecord;
use rfx_schemas::stamp::Stamp;

use crate::manifest::Declared;

/// The record of a declared function that was found.
pub fn record(
    group: &Group,
    pool: &str,
    declared: &Declared,
    source: String,
    digest: &str,
) -> FunctionRecord {
    FunctionRecord {
        name: declared.name.clone(),
        version: declared.version.clone(),
        group: group.clone(),
        queue: declared.queue.clone(),
        pool: pool.to_owned(),
        doc: declared.doc.clone(),
        tags: declared.tags.clone(),
        owner: declared.owner.clone(),
        timeout: declared.timeout.map(|timeout| timeout.as_secs_f64()),
        // Each attempt is a process of its own in any case.
        isolation: None,
        retry: declared.retry.clone(),
        secrets: declared.secrets.clone(),
        examples: declared.examples.clone(),
        input: declared.input.clone(),
        output: declared.output.clone(),
        state: Vec::new(),
        flow: None,
        source: Some(source),
        digest: Some(digest.to_owned()),
        seen: Stamp::now(),
    }
}
