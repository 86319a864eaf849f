//! The flows that a pool ships: announced beside its functions, so that any flow may use them. A
//! worker does not execute them: the publisher lays them out into their steps.

use std::path::Path;

use rfx_flow::diagnostic::{Problem, Source};
use rfx_flow::{Checked, check, files, input_schema, library};
use rfx_schemas::name::Group;
use rfx_schemas::payload::hex;
use rfx_schemas::record::{BrokenModule, FunctionRecord};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// The flows in a pool's folder, and those that cannot be read.
pub fn of_pool(folder: &Path, pool: &str, group: &Group) -> (Vec<FunctionRecord>, Vec<BrokenModule>) {
    let (mut records, mut broken) = (Vec::new(), Vec::new());
    for path in files::yaml(folder, files::DEPTH) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if library::flow_name(&text).is_none() {
            continue;
        }
        let shown = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        match check(Source::new(&shown, &text)) {
            Ok(checked) => records.push(record(&checked, text, shown, pool, group)),
            Err(problems) => broken.push(BrokenModule {
                pool: pool.to_owned(),
                module: shown,
                source: problems.iter().next().map(Problem::place),
                error: problems.iter().next().map(ToString::to_string).unwrap_or_default(),
                traceback: problems.to_string(),
            }),
        }
    }
    (records, broken)
}

fn record(checked: &Checked, text: String, source: String, pool: &str, group: &Group) -> FunctionRecord {
    let flow = &checked.flow;
    let outputs: Map<_, _> = flow.outputs.iter().map(|(name, _)| (name.to_string(), json!({}))).collect();
    let name = flow.name.parse().expect("the flow is checked");
    let version = flow.version.clone().unwrap_or_else(|| "1".parse().expect("a version"));
    FunctionRecord {
        doc: flow.description.clone(),
        tags: flow.about.tags.clone(),
        owner: flow.about.owner.clone(),
        // What it extends says the rest, which may be elsewhere.
        input: if flow.extends.is_some() { Value::Null } else { input_schema(flow) },
        output: json!({"type": "object", "properties": outputs}),
        digest: Some(hex(&Sha256::digest(text.as_bytes()))),
        flow: Some(text),
        source: Some(source),
        ..FunctionRecord::new(name, version, group.clone(), pool)
    }
}
