//! Functions of one worker that share name and version, whatever pools they come from. Pure.

use std::collections::{BTreeMap, BTreeSet};

use rfx_schemas::name::{Function, Version};
use rfx_schemas::record::{BrokenModule, FunctionRecord};

/// What cannot be served, since it is there more than once.
#[derive(Debug, Default)]
pub struct Doubles {
    /// Names and versions.
    pub names: BTreeSet<(Function, Version)>,
    /// What to tell about each of them.
    pub broken: Vec<BrokenModule>,
}

impl Doubles {
    /// Whether a record is one of them.
    pub fn is(&self, record: &FunctionRecord) -> bool {
        self.names.contains(&(record.name.clone(), record.version.clone()))
    }
}

/// Finds them. All are given up: to choose one would be to guess which code a flow means. A pool does
/// the same with its own.
pub fn find(records: &[FunctionRecord]) -> Doubles {
    let mut all: BTreeMap<(&Function, &Version), Vec<&FunctionRecord>> = BTreeMap::new();
    for record in records {
        all.entry((&record.name, &record.version)).or_default().push(record);
    }
    let mut doubles = Doubles::default();
    for ((name, version), records) in all.into_iter().filter(|(_, records)| records.len() > 1) {
        let places: Vec<_> = records.iter().map(|record| place(record)).collect();
        let error = format!(
            "DuplicateFunction: {name} version {version} is there more than once, in {}; none is served: give \
             one another name or version, or give it to another worker",
            places.join(" and in ")
        );
        doubles.broken.extend(records.iter().map(|record| BrokenModule {
            pool: record.pool.clone(),
            module: name.to_string(),
            source: record.source.clone(),
            error: error.clone(),
            traceback: String::new(),
        }));
        doubles.names.insert((name.clone(), version.clone()));
    }
    doubles
}

fn place(record: &FunctionRecord) -> String {
    match &record.source {
        Some(source) => format!("pool {} ({source})", record.pool),
        None => format!("pool {}", record.pool),
    }
}
