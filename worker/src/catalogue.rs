//! What this worker serves: the functions of its pools and those in its own binary.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rfx_config::settings;
use rfx_schemas::name::{Function, Group, Queue, Version};
use rfx_schemas::record::{BrokenModule, FunctionRecord};
use rfx_schemas::rules::Isolation;
use rfx_schemas::stamp::Stamp;

use crate::doubles;
use crate::environment::{Environment, Environments, Held};
use crate::executable::{self, Executable};
use crate::manifest::{Declared, FILE};
use crate::native::{About, Native, Registry};
use crate::pools::{self, PoolError, Ready};
use crate::runner::hello::{BrokenInfo, FunctionInfo, Hello, RetryInfo};
use crate::runner::{Limits, Pool, Recipe};
use crate::sweep::Mark;

/// The part of the worker's mark that programs have. Pools are counted from 0.
const PROGRAMS: u64 = u64::MAX;

/// A function that this worker serves.
#[derive(Clone)]
pub struct Served {
    /// Its version.
    pub version: Version,
    /// Digest of its code.
    pub digest: Option<String>,
    /// The lane that its jobs take unless somebody says otherwise.
    pub queue: Queue,
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
    /// A program of its own.
    Executable(Arc<Executable>),
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

    fn remove(&mut self, name: &Function, version: &Version) {
        if let Some(all) = self.by_name.get_mut(name) {
            all.retain(|served| served.version != *version);
        }
        self.by_name.retain(|_, all| !all.is_empty());
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
    /// Keeps their environments from being removed.
    pub held: Vec<Held>,
}

impl Catalogue {
    /// Makes the pools ready, starts a runner of each, and takes in what they hold.
    pub async fn open(
        settings: &settings::Worker,
        registry: &Registry,
        environments: &Environments,
        sdk: &Path,
        mark: &Mark,
    ) -> Result<Self, PoolError> {
        let mut catalogue = Self::default();
        catalogue.add_native(&settings.group, registry);
        for (number, ready) in (0..).zip(pools::ready(&settings.pools, environments).await?) {
            catalogue.add(settings, ready, sdk, mark, number).await?;
        }
        catalogue.drop_doubles();
        Ok(catalogue)
    }

    /// Takes in all that a pool holds: executables, flows, and functions in Python.
    async fn add(
        &mut self,
        settings: &settings::Worker,
        ready: Ready,
        sdk: &Path,
        mark: &Mark,
        number: u64,
    ) -> Result<(), PoolError> {
        let Ready { folder, manifest, environment } = ready;
        let group = &settings.group;
        let name = manifest.name.as_str();
        let bin = environment.as_ref().and_then(|environment| environment.bin.clone());
        // Each program has a mark that is no part of another's, nor of the pool's runners: what is left of
        // one attempt is ended by its mark, while others go on.
        let programs = mark.part(PROGRAMS).part(number);
        for (nth, declared) in (0..).zip(&manifest.functions) {
            self.add_executable(group, name, declared, &folder, bin.as_deref(), &programs.part(nth));
        }
        let (flows, wrong) = crate::flows::of_pool(&folder, name, group);
        self.records.extend(flows);
        self.broken.extend(wrong);
        let executables = manifest.functions.len();
        let Some(environment) = environment else {
            tracing::info!(pool = name, executables, "opened a pool");
            return Ok(());
        };
        let Environment { python, bin, held } = environment;
        self.held.extend(held);
        let limits = Limits::of(&manifest.limits);
        let slots = settings.slots.values().map(|slots| *slots as usize).sum();
        let recipe = Recipe { python, sdk: sdk.to_owned(), pool: folder, bin };
        let (pool, hello) = Pool::open(recipe, mark.part(number), slots, limits).await?;
        let Hello { python, functions, broken, .. } = &hello;
        let (count, broken) = (functions.len(), broken.len());
        tracing::info!(pool = name, python, functions = count, executables, broken, "opened a pool");
        self.add_pool(group, &hello, manifest.isolation.unwrap_or_default());
        self.pools.push(pool);
        Ok(())
    }

    fn add_executable(
        &mut self,
        group: &Group,
        pool: &str,
        declared: &Declared,
        folder: &Path,
        bin: Option<&Path>,
        mark: &Mark,
    ) {
        let source = format!("{FILE}:{}", declared.line);
        match Executable::find(declared, folder, bin, mark) {
            Ok(executable) => {
                let record = executable::record(group, pool, declared, source, &executable.digest);
                let served = Served {
                    version: record.version.clone(),
                    digest: record.digest.clone(),
                    queue: record.queue.clone(),
                    kind: Kind::Executable(Arc::new(executable)),
                };
                self.functions.add(record.name.clone(), served);
                self.records.push(record);
            }
            Err(error) => self.broken.push(BrokenModule {
                pool: pool.to_owned(),
                module: declared.name.to_string(),
                source: Some(source),
                error,
                traceback: String::new(),
            }),
        }
    }

    /// Gives up what shares its name and version with something else.
    fn drop_doubles(&mut self) {
        let doubles = doubles::find(&self.records);
        self.records.retain(|record| !doubles.is(record));
        for (name, version) in &doubles.names {
            self.functions.remove(name, version);
        }
        self.broken.extend(doubles.broken);
    }

    fn add_native(&mut self, group: &Group, registry: &Registry) {
        for native in registry.iter() {
            let about = About::clone(&native.about);
            let kind = Kind::Native(native.clone());
            let (version, queue) = (about.version.clone(), about.queue.clone());
            let served = Served { version, digest: None, queue, kind };
            self.functions.add(about.name.clone(), served);
            self.records.push(FunctionRecord {
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
            });
        }
    }

    fn add_pool(&mut self, group: &Group, hello: &Hello, isolation: Isolation) {
        let pool = self.pools.len();
        for info in &hello.functions {
            match record(group, &hello.pool.name, info) {
                Ok(record) => {
                    let served = Served {
                        version: record.version.clone(),
                        digest: record.digest.clone(),
                        queue: record.queue.clone(),
                        kind: Kind::Python { pool, isolation: record.isolation.unwrap_or(isolation) },
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
