//! What this worker serves: the functions of its pools and those in its own binary.

use std::collections::HashMap;
use std::path::Path;

use rfx_config::settings;
use rfx_schemas::name::{Function, Group, Queue, Version};
use rfx_schemas::record::{BrokenModule, FunctionRecord};
use rfx_schemas::rules::Isolation;
use rfx_schemas::stamp::Stamp;
use serde_json::Value;

use crate::native::{Native, Registry};
use crate::runner::hello::{BrokenInfo, FunctionInfo, Hello, RetryInfo};
use crate::runner::{Limits, Pool, Recipe, StartError};
use crate::sweep::Mark;

/// A function that this worker serves.
#[derive(Clone)]
pub struct Served {
    /// Its version.
    pub version: Version,
    /// Digest of its code.
    pub digest: Option<String>,
    /// Who executes it.
    pub kind: Kind,
}

/// Who executes a function.
#[derive(Clone)]
pub enum Kind {
    /// This process.
    Native(Native),
    /// A runner of a pool.
    Python {
        /// The pool, by position.
        pool: usize,
        /// In what process, unless the run says otherwise.
        isolation: Isolation,
    },
}

/// Functions by name and version.
#[derive(Default)]
pub struct Functions {
    by_name: HashMap<Function, Vec<Served>>,
}

impl Functions {
    /// A function: of the version that is wanted, else the newest.
    pub fn find(&self, name: &Function, version: Option<&Version>) -> Option<&Served> {
        let all = self.by_name.get(name)?;
        match version {
            Some(version) => all.iter().find(|s| s.version == *version),
            None => all.last(),
        }
    }

    /// Why there is no such function here.
    pub fn why_not(&self, name: &Function, version: Option<&Version>) -> String {
        match (self.by_name.get(name), version) {
            (Some(all), Some(version)) => {
                let all: Vec<_> = all.iter().map(|s| s.version.as_str()).collect();
                format!("this worker serves {name} in version {}, not {version}", all.join(", "))
            }
            _ => format!("this worker does not serve {name}"),
        }
    }

    fn add(&mut self, name: Function, served: Served) {
        let all = self.by_name.entry(name).or_default();
        all.push(served);
        all.sort_by_key(|s| s.version.numbers());
    }
}

/// All that a worker serves, and how it says so.
#[derive(Default)]
pub struct Catalogue {
    /// To call.
    pub functions: Functions,
    /// To announce.
    pub records: Vec<FunctionRecord>,
    /// What could not be imported.
    pub broken: Vec<BrokenModule>,
    /// The pools, by position.
    pub pools: Vec<Pool>,
}

impl Catalogue {
    /// Starts a runner of each pool and takes in what it holds.
    pub async fn open(
        settings: &settings::Worker,
        registry: &Registry,
        sdk: &Path,
        mark: &Mark,
    ) -> Result<Self, StartError> {
        let settings::Worker { group, pools, python, slots, .. } = settings;
        let slots = slots.values().map(|slots| *slots as usize).sum();
        let mut catalogue = Self::default();
        catalogue.add_native(group, registry);
        for (number, pool) in (0..).zip(pools) {
            let pool = std::path::absolute(pool).unwrap_or_else(|_| pool.clone());
            let recipe = Recipe { python: python.clone(), sdk: sdk.to_owned(), pool };
            let folder = recipe.pool.clone();
            let (pool, hello) = Pool::open(recipe, mark.part(number), slots, Limits::default()).await?;
            let Hello { python, pool: info, functions, broken, .. } = &hello;
            let (count, broken) = (functions.len(), broken.len());
            tracing::info!(pool = info.name, python, functions = count, broken, "opened a pool");
            catalogue.add_pool(group, &hello);
            let (flows, wrong) = crate::flows::of_pool(&folder, &info.name, group);
            catalogue.records.extend(flows);
            catalogue.broken.extend(wrong);
            catalogue.pools.push(pool);
        }
        Ok(catalogue)
    }

    fn add_native(&mut self, group: &Group, registry: &Registry) {
        for ((name, version), native) in registry.iter() {
            let record = FunctionRecord {
                name: name.clone(),
                version: version.clone(),
                group: group.clone(),
                queue: Queue::main(),
                pool: "native".to_owned(),
                doc: native.doc.to_owned(),
                tags: Vec::new(),
                owner: None,
                timeout: None,
                isolation: None,
                retry: None,
                secrets: Vec::new(),
                examples: Vec::new(),
                input: Value::Null,
                output: Value::Null,
                state: Vec::new(),
                flow: None,
                source: None,
                digest: None,
                seen: Stamp::now(),
            };
            self.records.push(record);
            let kind = Kind::Native(native.clone());
            let served = Served { version: version.clone(), digest: None, kind };
            self.functions.add(name.clone(), served);
        }
    }

    fn add_pool(&mut self, group: &Group, hello: &Hello) {
        let pool = self.pools.len();
        for info in &hello.functions {
            match record(group, &hello.pool.name, info) {
                Ok(record) => {
                    let served = Served {
                        version: record.version.clone(),
                        digest: record.digest.clone(),
                        kind: Kind::Python { pool, isolation: record.isolation.unwrap_or_default() },
                    };
                    self.functions.add(record.name.clone(), served);
                    self.records.push(record);
                }
                Err(error) => self.broken.push(BrokenModule {
                    pool: hello.pool.name.clone(),
                    module: info.file.clone(),
                    source: Some(format!("{}:{}", info.file, info.line)),
                    error: error.to_string(),
                    traceback: String::new(),
                }),
            }
        }
        let place = |b: &BrokenInfo| match (&b.file, b.line) {
            (Some(file), Some(line)) => Some(format!("{file}:{line}")),
            (file, _) => file.clone(),
        };
        self.broken.extend(hello.broken.iter().map(|b| BrokenModule {
            pool: hello.pool.name.clone(),
            module: b.module.clone(),
            source: place(b),
            error: b.error.clone(),
            traceback: b.traceback.clone(),
        }));
    }
}

fn record(
    group: &Group,
    pool: &str,
    info: &FunctionInfo,
) -> Result<FunctionRecord, rfx_schemas::name::NameError> {
    Ok(FunctionRecord {
        name: info.name.parse()?,
        version: info.version.parse()?,
        group: group.clone(),
        queue: info.queue.as_deref().map_or_else(|| Ok(Queue::main()), str::parse)?,
        pool: pool.to_owned(),
        doc: info.doc.clone().unwrap_or_default(),
        tags: info.tags.clone(),
        owner: info.owner.clone(),
        timeout: info.timeout,
        isolation: info.isolation,
        retry: info.retry.as_ref().map(RetryInfo::rule),
        secrets: info.secrets.clone(),
        examples: info.examples.clone(),
        input: info.input_schema.clone(),
        output: info.output_schema.clone(),
        state: info.state.clone(),
        flow: None,
        source: Some(format!("{}:{}", info.file, info.line)),
        digest: Some(info.digest.clone()),
        seen: Stamp::now(),
    })
}
