//! The streams, buckets and consumers that rfx needs, as values. `transport` applies them.

use std::time::Duration;

use crate::name::{Group, Namespace, Queue};
use crate::subject::Subjects;

/// Oldest server that has every feature rfx relies on.
pub const SERVER_FLOOR: (u64, u64, u64) = (2, 11, 0);

/// How long a delivery is a worker's own before the server hands the job to another.
pub const ACK_WAIT: Duration = Duration::from_secs(30);

/// Jobs that may be with the workers of a queue at once unless the queue limits it.
/// Below 1,000 the server's window, not the workers, sets the pace (measured).
pub const MAX_ACK_PENDING: i64 = 4_000;

/// Below this many a lane is limited: jobs of it that wait for jobs of it could fill it.
const LIMITED: i64 = 1_000;

/// Whether a lane whose consumer admits so many jobs at once is a limited one.
pub fn is_limited(max_ack_pending: i64) -> bool {
    (1..LIMITED).contains(&max_ack_pending)
}

/// How often a member says that it is there, and how long that holds.
pub const PRESENCE_EVERY: Duration = Duration::from_secs(5);
/// See [`PRESENCE_EVERY`].
pub const PRESENCE_TTL: Duration = Duration::from_secs(15);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// When a stream lets go of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// When a consumer has acknowledged it.
    WorkQueue,
    /// When it is older than the stream's limit.
    Limits,
}

/// A stream to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpec {
    /// Its name, `RFX_JOBS`.
    pub name: String,
    /// What it is for, shown by NATS tools.
    pub description: &'static str,
    /// The subjects that it stores.
    pub subjects: Vec<String>,
    /// When it lets go of a message.
    pub retention: Retention,
    /// Oldest message kept; none keeps all.
    pub max_age: Option<Duration>,
    /// Most consumers at once; none leaves the server's limit. One is needed per process.
    pub max_consumers: Option<i32>,
    /// Keeps only the last message of a subject (buckets).
    pub last_only: bool,
    /// Copies in the cluster.
    pub replicas: usize,
}

/// What a bucket's name ends in, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// Who drives a run, who folds.
    Lease,
    /// Which processes are up.
    Presence,
    /// The catalogue of functions.
    Functions,
    /// State that functions share.
    State,
}

impl Bucket {
    /// Every bucket.
    pub const ALL: [Self; 4] = [Self::Lease, Self::Presence, Self::Functions, Self::State];

    fn suffix(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Presence => "presence",
            Self::Functions => "functions",
            Self::State => "state",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Lease => "rfx: who drives a run",
            Self::Presence => "rfx: which processes are up",
            Self::Functions => "rfx: the catalogue of functions",
            Self::State => "rfx: state that functions share",
        }
    }

    fn max_age(self) -> Duration {
        match self {
            Self::Presence => PRESENCE_TTL,
            Self::Lease => DAY,
            Self::Functions | Self::State => 30 * DAY,
        }
    }
}

/// A durable pull consumer to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// `<group>__<queue>`.
    pub name: String,
    /// The lane's subjects.
    pub filter: String,
    /// How long a delivery is the worker's own.
    pub ack_wait: Duration,
    /// Jobs that may be with workers at once.
    pub max_ack_pending: i64,
}

/// Everything that rfx needs on a server, for one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    namespace: Namespace,
    replicas: usize,
    ack_wait: Duration,
}

impl Topology {
    /// The topology of a namespace with `replicas` copies of everything.
    pub fn new(namespace: Namespace, replicas: usize) -> Self {
        Self { namespace, replicas, ack_wait: ACK_WAIT }
    }

    /// The same with another lease time of a delivery: how fast a killed worker's jobs move on.
    #[must_use]
    pub fn with_ack_wait(self, ack_wait: Duration) -> Self {
        Self { ack_wait, ..self }
    }

    /// How long a delivery is a worker's own without a heartbeat.
    pub fn ack_wait(&self) -> Duration {
        self.ack_wait
    }

    /// The subjects of the namespace.
    pub fn subjects(&self) -> Subjects {
        Subjects::new(self.namespace.clone())
    }

    fn stream_name(&self, suffix: &str) -> String {
        format!("{}_{suffix}", self.namespace.as_str().to_uppercase())
    }

    /// The job stream's name.
    pub fn jobs(&self) -> String {
        self.stream_name("JOBS")
    }

    /// The event stream's name.
    pub fn events(&self) -> String {
        self.stream_name("EVENTS")
    }

    /// The blob stream's name.
    pub fn blobs(&self) -> String {
        self.stream_name("BLOBS")
    }

    /// A bucket's name.
    pub fn bucket(&self, bucket: Bucket) -> String {
        format!("{}-{}", self.namespace, bucket.suffix())
    }

    /// The stream behind a bucket.
    pub fn bucket_stream(&self, bucket: Bucket) -> String {
        format!("KV_{}", self.bucket(bucket))
    }

    /// The subject of a key in a bucket.
    pub fn key(&self, bucket: Bucket, key: &str) -> String {
        format!("$KV.{}.{key}", self.bucket(bucket))
    }

    /// All streams, buckets among them.
    pub fn streams(&self) -> Vec<StreamSpec> {
        let subjects = self.subjects();
        let base = |name, description, subject| StreamSpec {
            name,
            description,
            subjects: vec![subject],
            retention: Retention::Limits,
            max_age: None,
            max_consumers: None,
            last_only: false,
            replicas: self.replicas,
        };
        let mut all = vec![
            // No max_msgs or max_bytes on jobs: the server would drop unacked ones without a word.
            StreamSpec {
                retention: Retention::WorkQueue,
                ..base(self.jobs(), "rfx: attempts that wait for a worker", subjects.all_jobs())
            },
            StreamSpec {
                max_age: Some(30 * DAY),
                max_consumers: Some(1_000),
                ..base(self.events(), "rfx: recorded facts about runs", subjects.all_facts())
            },
            StreamSpec {
                max_age: Some(30 * DAY),
                ..base(self.blobs(), "rfx: values too big for a message", subjects.all_blobs())
            },
        ];
        all.extend(Bucket::ALL.map(|bucket| StreamSpec {
            max_age: Some(bucket.max_age()),
            last_only: true,
            ..base(self.bucket_stream(bucket), bucket.description(), self.key(bucket, ">"))
        }));
        all
    }

    /// The consumer of one lane.
    pub fn consumer(&self, group: &Group, queue: &Queue) -> ConsumerSpec {
        ConsumerSpec {
            name: format!("{group}__{queue}"),
            filter: self.subjects().lane(group, queue),
            ack_wait: self.ack_wait,
            max_ack_pending: MAX_ACK_PENDING,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topology_of_design_stands_in_its_names() {
        let topology = Topology::new(Namespace::default(), 1);
        let names: Vec<_> = topology.streams().into_iter().map(|s| s.name).collect();
        let expected = ["RFX_JOBS", "RFX_EVENTS", "RFX_BLOBS", "KV_rfx-lease", "KV_rfx-presence"];
        assert_eq!(names[..5], expected);
        let group: Group = "aws".parse().expect("a group");
        let consumer = topology.consumer(&group, &Queue::main());
        assert_eq!(consumer.name, "aws__main");
        assert_eq!(consumer.filter, "rfx.job.aws.main.>");
        assert_eq!(topology.key(Bucket::Lease, "x"), "$KV.rfx-lease.x");
    }
}
