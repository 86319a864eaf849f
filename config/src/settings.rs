//! The settings of every rfx process: what they are, and how they come about.
//!
//! `default.toml` < a context of the NATS CLI < a file < `RFX_…` variables < flags. Everything is
//! checked here, once, before any socket opens; what comes out needs no further checks.

mod context;
mod environment;
mod keys;
mod merge;
mod nats;
mod parse;
mod problem;
mod reader;
mod sections;
mod server;
#[cfg(test)]
mod tests;
mod toml_layer;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rfx_schemas::name::{Group, Namespace, Queue};

use crate::secret::Secret;
use environment::Environment;
use reader::Reader;

pub use problem::SettingsError;
pub(crate) use server::without_secrets;

/// Everything that can be set, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The connection to NATS and what rfx keeps there.
    pub nats: Nats,
    /// What `rfx-worker` does.
    pub worker: Worker,
    /// What `rfx-publish` does.
    pub publisher: Publisher,
    /// What `rfx-collector` does.
    pub collector: Collector,
    /// Where spans go.
    pub telemetry: Telemetry,
    /// What is logged, and how.
    pub log: Log,
}

/// The connection to NATS and what rfx keeps there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nats {
    /// Server URLs, comma-separated, without user and password.
    pub url: String,
    /// User name.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// Token, instead of a user.
    pub token: Option<Secret>,
    /// File with a JWT and its seed.
    pub credentials: Option<PathBuf>,
    /// File with an nkey seed.
    pub nkey: Option<PathBuf>,
    /// Context of the NATS CLI that gave what is not set otherwise.
    pub context: Option<String>,
    /// PEM file of certificate authorities to trust besides the system's (`nats.tls.ca`).
    pub tls_ca: Option<PathBuf>,
    /// PEM file of the client's certificate (`nats.tls.cert`).
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the client's key (`nats.tls.key`).
    pub tls_key: Option<PathBuf>,
    /// Whether a server without TLS is refused (`nats.tls.required`).
    pub tls_required: bool,
    /// First tokens of reply subjects, for accounts that give each user its own.
    pub inbox_prefix: Option<String>,
    /// JetStream domain, to reach a hub through a leaf node.
    pub domain: Option<String>,
    /// First token of every subject; keeps teams that share an account apart.
    pub namespace: Namespace,
    /// Copies of every stream in the cluster: 1, 3 or 5.
    pub replicas: usize,
    /// How long a delivery is a worker's own before the server gives the job to another.
    pub ack_wait: Duration,
    /// Longest wait for the first connection.
    pub connect_timeout: Duration,
}

/// What `rfx-worker` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// The group whose jobs it pulls.
    pub group: Group,
    /// What placement by `where` can ask for: `provider=aws`.
    pub labels: BTreeMap<String, String>,
    /// Attempts at once for each queue it serves; at least one queue, each at least 1.
    pub slots: BTreeMap<Queue, u32>,
    /// Folders of function pools.
    pub pools: Vec<PathBuf>,
    /// The Python to run pools with unless a pool names its own.
    pub python: String,
    /// Folder that keeps the Python environments of pools.
    pub environments: PathBuf,
    /// Longest time to build such an environment.
    pub environment_timeout: Duration,
    /// Whether a pool is opened again when its files change.
    pub reload: bool,
    /// How long SIGTERM waits for running jobs.
    pub drain: Duration,
    /// Deliveries after which a job is given up as poison.
    pub max_deliveries: u64,
}

/// What `rfx-publish` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    /// Where a step runs that says nothing else.
    pub group: Group,
    /// Jobs of one run that may be outstanding at once.
    pub window: u32,
    /// Folder that reports are written to.
    pub report: Option<PathBuf>,
}

/// What `rfx-collector` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// Folder that keeps history, reports and archives.
    pub reports: PathBuf,
}

/// Where spans go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Telemetry {
    /// OTLP/HTTP base, `http://127.0.0.1:4318`; spans go to `/v1/traces` below it. None: no spans.
    pub endpoint: Option<String>,
    /// Where spans go instead, as it is.
    pub traces_endpoint: Option<String>,
    /// `service.name`, if it is not the binary's name.
    pub service_name: Option<String>,
    /// More resource attributes of every span.
    pub attributes: BTreeMap<String, String>,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Directives of `tracing_subscriber::EnvFilter`: `info`, `warn,rfx_worker=debug`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What settings are made of. [`Sources::of_process`] is what a binary has; tests give their own.
#[derive(Debug, Clone, Default)]
pub struct Sources<'a> {
    /// The file that `--config` named.
    pub file: Option<&'a Path>,
    /// What flags said, as pairs of a key and a value: `("nats.url", "nats://broker:4222")`. The
    /// tables `worker.labels`, `worker.slots` and `telemetry.attributes` take `key=value,…`.
    pub flags: &'a [(&'a str, &'a str)],
    /// The environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where `rfx.toml` is looked for when nothing names a file; none looks nowhere.
    pub directory: Option<PathBuf>,
}

impl<'a> Sources<'a> {
    /// The environment and working directory of this process.
    pub fn of_process(file: Option<&'a Path>, flags: &'a [(&'a str, &'a str)]) -> Self {
        Self { file, flags, env: std::env::vars_os().collect(), directory: Some(PathBuf::from(".")) }
    }
}

/// The settings that are built in, with a comment on every key: what `--config FILE` can hold.
pub fn default_toml() -> &'static str {
    include_str!("../default.toml")
}

impl Settings {
    /// The settings of this process. `file` is what `--config` said, `flags` are pairs of a key and
    /// a value.
    pub fn load(file: Option<&Path>, flags: &[(&str, &str)]) -> Result<Self, SettingsError> {
        Self::read(&Sources::of_process(file, flags))
    }

    /// The settings that `sources` give, or all that is wrong with them.
    pub fn read(sources: &Sources<'_>) -> Result<Self, SettingsError> {
        let environment = Environment::new(&sources.env);
        let mut problems = Vec::new();
        let (values, defaults) = merge::merge(sources, &environment, &mut problems);
        let mut reader = Reader::new(values, defaults, &environment, problems);
        let settings = Self {
            nats: nats::read(&mut reader),
            worker: sections::worker(&mut reader),
            publisher: sections::publisher(&mut reader),
            collector: sections::collector(&mut reader),
            telemetry: sections::telemetry(&mut reader),
            log: sections::log(&mut reader),
        };
        SettingsError::none_of(reader.into_problems()).map(|()| settings)
    }
}

/// The settings of `default.toml`, for tests that need any.
impl Default for Settings {
    fn default() -> Self {
        Self::read(&Sources::default()).expect("default.toml is valid: a test reads it")
    }
}
