//! What a worker serves as a whole: the functions of its pools and those in its own binary.

use std::collections::BTreeMap;

use rfx_schemas::name::Group;
use rfx_schemas::payload::hex;
use rfx_schemas::record::{BrokenModule, FunctionRecord};
use rfx_schemas::stamp::Stamp;
use sha2::{Digest as _, Sha256};

use crate::doubles;
use crate::native::{About, Registry};
use crate::open::{Opened, Part};
use crate::served::{Functions, Kind};

/// All that a worker serves, and how it says so.
#[derive(Default)]
pub struct Catalogue {
    /// To call.
    pub functions: Functions,
    /// To announce.
    pub shown: Shown,
}

/// What a worker says that it serves.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// Its functions and flows.
    pub records: Vec<FunctionRecord>,
    /// What cannot be used.
    pub broken: Vec<BrokenModule>,
}

impl Shown {
    /// What there is of each pool, as digests: two workers whose digests of a pool are the same serve the
    /// same functions of it, in the same versions.
    pub fn pools(&self) -> BTreeMap<String, String> {
        let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for record in &self.records {
            names.entry(&record.pool).or_default().push(format!("{}@{}", record.name, record.version));
        }
        let digest = |mut names: Vec<String>| {
            names.sort();
            hex(&Sha256::digest(names.join("\n")))[..16].to_owned()
        };
        names.into_iter().map(|(pool, names)| (pool.to_owned(), digest(names))).collect()
    }
}

impl Catalogue {
    /// Puts together what its parts offer. What shares its name and version with something else is given up.
    pub fn of(native: &Part, pools: &[Opened]) -> Self {
        let parts = || std::iter::once(native).chain(pools.iter().map(|pool| &pool.part));
        let all: Vec<_> = parts().flat_map(|part| part.records.iter().cloned()).collect();
        let doubles = doubles::find(&all);
        let mut catalogue = Self::default();
        for (name, served) in parts().flat_map(|part| &part.functions) {
            if !doubles.names.contains(&(name.clone(), served.version.clone())) {
                catalogue.functions.add(name.clone(), std::sync::Arc::clone(served));
            }
        }
        let Shown { records, broken } = &mut catalogue.shown;
        records.extend(all.into_iter().filter(|record| !doubles.is(record)));
        broken.extend(parts().flat_map(|part| part.broken.iter().cloned()));
        broken.extend(doubles.broken);
        catalogue
    }
}

/// The functions in the worker's own binary.
pub fn native(group: &Group, registry: &Registry) -> Part {
    let mut part = Part::default();
    for native in registry.iter() {
        let about = About::clone(&native.about);
        let record = FunctionRecord {
            name: about.name,
            version: about.version,
            group: group.clone(),
            queue: about.queue,
            pool: "native".to_owned(),
            doc: about.doc,
            tags: about.tags,
            owner: about.owner,
            timeout: about.timeout.map(|timeout| timeout.as_secs_f64()),
            isolation: None,
            retry: about.retry,
            secrets: about.secrets,
            examples: about.examples,
            input: about.input,
            output: about.output,
            state: about.state,
            flow: None,
            source: None,
            digest: None,
            seen: Stamp::now(),
        };
        part.add(record, Kind::Native(native.clone()));
    }
    part
}
