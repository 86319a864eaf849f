//! Records in key-value buckets. They are JSON, so that people can read them with the NATS CLI.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::name::{Function, Group, Member, NameError, Queue, Version};
use crate::rules::{Isolation, Retry};
use crate::stamp::Stamp;

/// A function in the catalogue, as its workers announce it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionRecord {
    /// Its dotted name.
    pub name: Function,
    /// Its version.
    pub version: Version,
    /// The group that serves it.
    pub group: Group,
    /// The lane that its jobs take unless the run says otherwise.
    pub queue: Queue,
    /// The pool that it comes from; `native` for functions in the worker's own binary.
    pub pool: String,
    /// Its documentation, in the author's words.
    #[serde(default)]
    pub doc: String,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Who answers for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// Longest time that an attempt may run, in seconds, unless the flow says otherwise.
    #[serde(default)]
    pub timeout: Option<f64>,
    /// In what process it is executed, unless the run says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// When it is tried again, unless the flow says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Names of secrets that it needs, whatever the step names besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Inputs that its author shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Value>,
    /// JSON Schema of its input.
    #[serde(default)]
    pub input: Value,
    /// JSON Schema of its output.
    #[serde(default)]
    pub output: Value,
    /// Keys of shared state that it reads or writes, as its author declares them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<String>,
    /// The text of the flow that it is, rather than code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// Where it is defined, relative to the pool.
    #[serde(default)]
    pub source: Option<String>,
    /// Digest of its code.
    #[serde(default)]
    pub digest: Option<String>,
    /// When a worker last announced it.
    pub seen: Stamp,
}

impl FunctionRecord {
    /// A function of which nothing is known but what it is called and where it is served, seen now.
    pub fn new(name: Function, version: Version, group: Group, pool: &str) -> Self {
        Self {
            name,
            version,
            group,
            queue: Queue::main(),
            pool: pool.to_owned(),
            doc: String::new(),
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
        }
    }
}

/// A module of a pool that could not be imported: its functions are missing from the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenModule {
    /// The pool.
    pub pool: String,
    /// The module.
    pub module: String,
    /// `file:line` where the import stopped, when known.
    #[serde(default)]
    pub source: Option<String>,
    /// One line.
    pub error: String,
    /// The whole story.
    #[serde(default)]
    pub traceback: String,
}

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Executes functions.
    Worker,
    /// Drives runs.
    Publisher,
    /// Folds reports.
    Collector,
}

/// A process that is up. Put again every few seconds; gone soon after it is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    /// What it is.
    pub role: Role,
    /// What it calls itself.
    pub member: Member,
    /// Its version of rfx.
    pub version: String,
    /// Since when.
    pub since: Stamp,
    /// The group that a worker pulls for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// Labels of the place, such as provider=aws.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Slots of a worker, by queue.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slots: BTreeMap<Queue, u32>,
    /// How many functions a worker serves.
    #[serde(default)]
    pub functions: u32,
    /// A digest of the functions of each of its pools, by name and version: workers with the same one serve
    /// the same. Empty when an rfx before this said it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pools: BTreeMap<String, String>,
    /// Modules of its pools that could not be imported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<BrokenModule>,
    /// A publisher that takes any run over, rather than its own only.
    #[serde(default)]
    pub resident: bool,
}

impl Presence {
    /// A process that came up now, with nothing but its role.
    pub fn new(role: Role, member: Member, since: Stamp) -> Self {
        Self {
            role,
            member,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since,
            group: None,
            labels: BTreeMap::new(),
            slots: BTreeMap::new(),
            functions: 0,
            pools: BTreeMap::new(),
            broken: Vec::new(),
            resident: false,
        }
    }
}

/// Who holds a lease. Correctness never rests on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who.
    pub holder: Member,
    /// Counts renewals, so that a renewal changes the value.
    pub renewed: u64,
}

/// Key of a function in the catalogue.
pub fn function_key(group: &Group, name: &Function, version: &Version) -> String {
    format!("{group}.{}.{}", name.token(), version.token())
}

/// Key of a process in the presence bucket.
pub fn presence_key(presence: &Presence) -> String {
    let member = &presence.member;
    match (presence.role, &presence.group) {
        (Role::Worker, Some(group)) => format!("worker.{group}.{member}"),
        (Role::Worker, None) => format!("worker.{member}"),
        (Role::Publisher, _) => format!("publisher.{member}"),
        (Role::Collector, _) => format!("collector.{member}"),
    }
}

/// Key of a value in the shared state: whose it is, then the key as functions name it. None where that
/// is no key.
pub fn state_key(owner: &str, key: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-=/".contains(c);
    let tokens = key.split('.').all(|token| !token.is_empty() && token.chars().all(allowed));
    (tokens && key.len() <= 200).then(|| format!("{owner}.{key}"))
}

/// What a run can be asked to use: a name, and a version when one is wanted (`tenants.create@2`).
pub fn parse_use(text: &str) -> Result<(Function, Option<Version>), NameError> {
    match text.split_once('@') {
        Some((name, version)) => Ok((name.parse()?, Some(version.parse()?))),
        None => Ok((text.parse()?, None)),
    }
}
