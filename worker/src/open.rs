//! Opening a pool: its programs are found, its flows read, its first runner started.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rfx_config::settings;
use rfx_flow::diagnostic::{Problem, Problems};
use rfx_schemas::name::{Function, Group, Queue};
use rfx_schemas::record::{BrokenModule, FunctionRecord};
use rfx_schemas::stamp::Stamp;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::environment::{Environment, Environments, Held};
use crate::executable::{self, Executable};
use crate::manifest::{Declared, FILE, Manifest};
use crate::pools::{self, PoolError, Ready};
use crate::runner::hello::{FunctionInfo, Hello, RetryInfo, place};
use crate::runner::{Limits, PATIENCE, Pool, Program, Recipe};
use crate::served::{Kind, Served};
use crate::sweep::Mark;

/// The part of the worker's mark that programs have. Pools are counted from 0.
const PROGRAMS: u64 = u64::MAX;

/// What some part of a worker offers: a pool, or the worker's own binary.
#[derive(Default)]
pub struct Part {
    /// To call.
    pub functions: Vec<(Function, Arc<Served>)>,
    /// To announce.
    pub records: Vec<FunctionRecord>,
    /// What cannot be used.
    pub broken: Vec<BrokenModule>,
}

/// The processes of a pool, with the environment that they need.
struct Processes {
    pool: Pool,
    /// Keeps others from removing it.
    _held: Option<Held>,
}

/// The right to call a pool. It is not closed before the last one has gone.
pub struct Lent {
    processes: Arc<Processes>,
    _over: DropGuard,
}

impl Lent {
    /// The pool.
    pub fn pool(&self) -> &Pool {
        &self.processes.pool
    }
}

/// A pool that is served.
pub struct Opened {
    /// What it offers.
    pub part: Part,
    /// Its processes, if it has any, and what tells that nothing calls them any more.
    processes: Option<(Arc<Processes>, CancellationToken)>,
}

impl Opened {
    /// Has a runner ready before the first call.
    pub fn warm_up(&self) {
        if let Some((processes, _)) = &self.processes {
            processes.pool.warm_up();
        }
    }

    /// Ends its processes, whoever calls them.
    pub async fn close(&self) {
        if let Some((processes, _)) = &self.processes {
            processes.pool.close().await;
        }
    }

    /// Ends its processes once nothing calls them any more. To be called when no table holds its functions.
    pub async fn retire(self) {
        let Self { part, processes } = self;
        drop(part);
        if let Some((processes, over)) = processes {
            over.cancelled().await;
            processes.pool.close().await;
        }
    }
}

/// Opens the pools of one worker.
pub struct Opener {
    group: Group,
    slots: usize,
    environments: Environments,
    sdk: PathBuf,
    mark: Mark,
    opened: AtomicU64,
}

impl Opener {
    /// As the settings say; the Python package lies in `sdk`, and what is started carries the mark.
    pub fn new(settings: &settings::Worker, sdk: &Path, mark: &Mark) -> Self {
        Self {
            group: settings.group.clone(),
            slots: settings.slots.values().map(|slots| *slots as usize).sum(),
            environments: Environments::of(settings),
            sdk: sdk.to_owned(),
            mark: mark.clone(),
            opened: AtomicU64::new(0),
        }
    }

    /// Makes pools ready, then opens one after the other.
    pub async fn all(&self, folders: &[PathBuf]) -> Result<Vec<Opened>, PoolError> {
        let mut opened = Vec::new();
        for ready in pools::ready(folders, &self.environments).await? {
            opened.push(self.open(ready).await?);
        }
        Ok(opened)
    }

    /// Opens a pool that was open before, in processes of their own.
    pub async fn again(&self, folder: &Path) -> Result<Opened, PoolError> {
        self.forget_compiled(folder);
        let mut opened = self.all(&[folder.to_owned()]).await?;
        Ok(opened.pop().expect("one for each folder"))
    }

    /// Removes what Python has compiled of a pool. It tells sources apart by their size and the second in
    /// which they were saved, which is too coarse for whoever saves twice in a row.
    fn forget_compiled(&self, folder: &Path) {
        let Ok(folder) = folder.canonicalize() else { return };
        let compiled =
            crate::runner::sdk::compiled(&self.sdk).join(folder.strip_prefix("/").unwrap_or(&folder));
        match std::fs::remove_dir_all(&compiled) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::debug!(%error, "what Python has compiled of a pool cannot be removed");
            }
            _ => {}
        }
    }

    /// Takes in all that a pool holds: executables, flows, and what its runners offer.
    async fn open(&self, ready: Ready) -> Result<Opened, PoolError> {
        let Ready { folder, manifest, environment } = ready;
        let name = manifest.name.as_str();
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let bin = environment.as_ref().and_then(|environment| environment.bin.clone());
        let mut part = Part::default();
        let (flows, wrong) = crate::flows::of_pool(&folder, name, &self.group);
        part.records.extend(flows);
        part.broken.extend(wrong);
        let executables = manifest.functions.len();
        let (mut lent, mut processes) = (None, None);
        let (python, held) = environment.map(|Environment { python, held, .. }| (python, held)).unzip();
        let mark = self.mark.part(number);
        if let Some((pool, hello)) = self.start(&manifest, &folder, python, bin.as_deref(), mark).await? {
            let Hello { python, functions, broken, .. } = &hello;
            let (count, broken) = (functions.len(), broken.len());
            tracing::info!(pool = name, python, functions = count, executables, broken, "opened a pool");
            let held = held.flatten();
            let (all, over) = (Arc::new(Processes { pool, _held: held }), CancellationToken::new());
            let lending = Lent { processes: Arc::clone(&all), _over: over.clone().drop_guard() };
            part.add_runner(&self.group, &manifest, &hello, lent.insert(Arc::new(lending)));
            processes = Some((all, over));
        } else {
            tracing::info!(pool = name, executables, "opened a pool");
        }
        // Each program has a mark that is no part of another's, nor of the pool's runners: what is left of
        // one attempt is ended by its mark, while others go on.
        let programs = self.mark.part(PROGRAMS).part(number);
        for (nth, declared) in (0..).zip(&manifest.functions) {
            match Executable::find(declared, &folder, bin.as_deref(), &programs.part(nth)) {
                Ok(program) => part.add_executable(&self.group, name, declared, program, lent.clone()),
                Err(error) => part.broken.push(BrokenModule {
                    pool: name.to_owned(),
                    module: declared.name.to_string(),
                    source: Some(declared_at(declared)),
                    error,
                    traceback: String::new(),
                }),
            }
        }
        Ok(Opened { part, processes })
    }

    /// Starts the runner of a pool: the pool's own, else that for Python; none where there is neither.
    async fn start(
        &self,
        manifest: &Manifest,
        folder: &Path,
        python: Option<String>,
        bin: Option<&Path>,
        mark: Mark,
    ) -> Result<Option<(Pool, Hello)>, PoolError> {
        let mut digest = None;
        let program = match (&manifest.runner.exec, python) {
            (Some(exec), _) => {
                let found = executable::program(&exec.value, folder, bin).map_err(|error| {
                    PoolError::Manifest(vec![Problems::one(Problem::new(
                        &manifest.source,
                        exec.at.clone(),
                        error,
                    ))])
                })?;
                digest = Some(found.digest);
                Program::Own { program: found.path, args: found.args }
            }
            (None, Some(python)) => Program::Python { python, sdk: self.sdk.clone() },
            (None, None) => return Ok(None),
        };
        let patience = manifest.runner.start_timeout.unwrap_or(PATIENCE);
        let recipe = Recipe { program, pool: folder.to_owned(), bin: bin.map(Path::to_owned), patience };
        let limits = Limits::of(&manifest.runner.limits);
        let (pool, mut hello) = Pool::open(recipe, mark, self.slots, limits).await?;
        // One that does not tell its functions' code apart is all of their code.
        for function in hello.functions.iter_mut().filter(|function| function.digest.is_none()) {
            function.digest.clone_from(&digest);
        }
        Ok(Some((pool, hello)))
    }
}

fn declared_at(declared: &Declared) -> String {
    format!("{FILE}:{}", declared.line)
}

impl Part {
    /// Takes a function in, with what is announced of it.
    pub fn add(&mut self, record: FunctionRecord, kind: Kind) {
        let (version, queue, digest) = (record.version.clone(), record.queue.clone(), record.digest.clone());
        let served = Served { version, digest, queue, kind };
        self.functions.push((record.name.clone(), Arc::new(served)));
        self.records.push(record);
    }

    fn add_executable(
        &mut self,
        group: &Group,
        pool: &str,
        declared: &Declared,
        program: Executable,
        lent: Option<Arc<Lent>>,
    ) {
        let record = executable::record(group, pool, declared, declared_at(declared), &program.digest);
        self.add(record, Kind::Executable { program, _pool: lent });
    }

    fn add_runner(&mut self, group: &Group, manifest: &Manifest, hello: &Hello, pool: &Arc<Lent>) {
        let name = &manifest.name;
        let isolation = manifest.isolation.unwrap_or_default();
        for info in &hello.functions {
            match record(group, name, info) {
                Ok(record) => {
                    let isolation = record.isolation.unwrap_or(isolation);
                    self.add(record, Kind::Pool { pool: Arc::clone(pool), isolation });
                }
                Err(error) => self.broken.push(BrokenModule {
                    pool: name.clone(),
                    module: info.file.clone().unwrap_or_else(|| info.name.clone()),
                    source: place(info.file.as_deref(), info.line),
                    error: error.to_string(),
                    traceback: String::new(),
                }),
            }
        }
        self.broken.extend(hello.broken.iter().map(|b| BrokenModule {
            pool: name.clone(),
            module: b.module.clone(),
            source: place(b.file.as_deref(), b.line),
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
        // A program of the pool's own may say anything.
        timeout: info.timeout.filter(|seconds| *seconds > 0.0),
        isolation: info.isolation,
        retry: info.retry.as_ref().map(RetryInfo::rule),
        secrets: info.secrets.clone(),
        examples: info.examples.clone(),
        input: info.input_schema.clone(),
        output: info.output_schema.clone(),
        state: info.state.clone(),
        flow: None,
        source: place(info.file.as_deref(), info.line),
        digest: info.digest.clone(),
        seen: Stamp::now(),
    })
}
