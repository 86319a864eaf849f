//! The catalogue as people look at it: each function once in each version, with the places that serve it; how it
//! is searched, what its schemas say, and the page that shows all of it.
//!
//! Pure: records and presence come in as values.

pub mod page;
pub mod schema;
pub mod search;
pub mod terminal;

use std::collections::BTreeMap;

use rfx_schemas::name::{Group, Queue};
use rfx_schemas::record::{FunctionRecord, Presence};
use rfx_schemas::stamp::Stamp;
use serde_json::{Value, json};

/// A function in one version.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What its workers say of it; the groups are in `places`.
    pub record: FunctionRecord,
    /// The groups that announced it, by name. None for one that is read from a pool's folder.
    pub places: Vec<Place>,
}

/// A group that announced a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The group.
    pub group: Group,
    /// The lane that its jobs take there.
    pub queue: Queue,
    /// Labels of the group's workers.
    pub labels: BTreeMap<String, String>,
    /// Workers that are up and have announced it. None: those that did have stopped.
    pub workers: Vec<String>,
    /// When it was last announced.
    pub seen: Stamp,
}

impl Entry {
    /// A function that is read from a pool's folder, and served nowhere as far as is known.
    pub fn of_folder(record: FunctionRecord) -> Self {
        Self { record, places: Vec::new() }
    }

    /// Whether it is a flow rather than code.
    pub fn is_flow(&self) -> bool {
        self.record.flow.is_some()
    }

    /// Whether all workers that announced it have stopped.
    pub fn is_stopped(&self) -> bool {
        !self.places.is_empty() && self.places.iter().all(|place| place.workers.is_empty())
    }

    /// `name@version`
    pub fn id(&self) -> String {
        format!("{}@{}", self.record.name, self.record.version)
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let record = &self.record;
        let place = |place: &Place| {
            json!({"group": place.group, "queue": place.queue, "labels": place.labels,
                "workers": place.workers, "seen": place.seen.to_string()})
        };
        json!({
            "name": record.name, "version": record.version, "kind": if self.is_flow() { "flow" } else { "function" },
            "pool": record.pool, "doc": record.doc, "tags": record.tags, "owner": record.owner,
            "source": record.source, "digest": record.digest, "timeout": record.timeout,
            "isolation": record.isolation, "retry": record.retry, "secrets": record.secrets,
            "state": record.state, "input": record.input, "output": record.output,
            "examples": examples(record),
            "stopped": self.is_stopped(), "groups": self.places.iter().map(place).collect::<Vec<_>>(),
        })
    }
}

/// The inputs that its author shows, else the smallest that its schema takes.
pub fn examples(record: &FunctionRecord) -> Vec<Value> {
    match record.examples.is_empty() {
        true => vec![schema::example(&record.input)],
        false => record.examples.clone(),
    }
}

/// All functions by name and version, each once where several groups announce the same code.
pub fn entries(records: Vec<FunctionRecord>, workers: &[Presence]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for record in records {
        let place = place(&record, workers);
        let same = |known: &&mut Entry| {
            let known = &known.record;
            (&known.name, &known.version, &known.pool, &known.digest)
                == (&record.name, &record.version, &record.pool, &record.digest)
        };
        match entries.iter_mut().find(same) {
            Some(known) => {
                if record.seen > known.record.seen {
                    known.record = record;
                }
                known.places.push(place);
            }
            None => entries.push(Entry { record, places: vec![place] }),
        }
    }
    for entry in &mut entries {
        entry.places.sort_by(|a, b| a.group.cmp(&b.group));
    }
    let key = |e: &Entry| (e.record.name.clone(), e.record.version.numbers(), e.record.digest.clone());
    entries.sort_by_key(key);
    entries
}

fn place(record: &FunctionRecord, workers: &[Presence]) -> Place {
    let here: Vec<_> = workers.iter().filter(|worker| worker.group.as_ref() == Some(&record.group)).collect();
    // A worker announces what it serves when it starts. What was announced last before that, it does not serve.
    let serving = here.iter().filter(|worker| worker.since <= record.seen);
    Place {
        group: record.group.clone(),
        queue: record.queue.clone(),
        labels: here.iter().flat_map(|worker| worker.labels.clone()).collect(),
        workers: serving.map(|worker| worker.member.to_string()).collect(),
        seen: record.seen,
    }
}

/// Entries for tests, here and in the modules beside.
#[cfg(test)]
pub(crate) mod fixtures {
    use rfx_schemas::record::Role;
    use std::time::Duration;

    use super::*;

    /// A moment, so many seconds after the first one.
    pub fn at(seconds: u64) -> Stamp {
        Stamp::from_micros(1_750_000_000_000_000).after(Duration::from_secs(seconds))
    }

    /// A function.
    pub fn record(name: &str, version: &str, group: &str, doc: &str) -> FunctionRecord {
        let host = json!({"type": "object", "title": "Host", "properties": {"name": {"type": "string"}}});
        let properties = json!({
            "tenant": {"type": "string", "description": "Whose it is"},
            "host": {"$ref": "#/$defs/Host"},
            "count": {"type": "integer", "default": 1},
        });
        FunctionRecord {
            name: name.parse().expect("a name"),
            version: version.parse().expect("a version"),
            group: group.parse().expect("a group"),
            queue: Queue::main(),
            pool: "example".to_owned(),
            doc: doc.to_owned(),
            tags: vec!["devices".to_owned()],
            owner: Some("device-team".to_owned()),
            timeout: Some(30.0),
            isolation: None,
            retry: None,
            secrets: vec!["API_TOKEN".to_owned()],
            examples: Vec::new(),
            input: json!({"type": "object", "properties": properties, "required": ["tenant", "host"],
                "additionalProperties": false, "$defs": {"Host": host}}),
            output: json!({"type": "array", "items": {"type": "string"}}),
            state: Vec::new(),
            flow: None,
            source: Some("devices.py:7".to_owned()),
            digest: Some("9f86d081884c7d65".to_owned()),
            seen: at(0),
        }
    }

    /// A worker that is up since a moment.
    pub fn worker(group: &str, name: &str, since: Stamp) -> Presence {
        let presence = Presence::new(Role::Worker, name.parse().expect("a member"), since);
        Presence { group: Some(group.parse().expect("a group")), ..presence }
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::{at, record, worker};
    use super::*;

    #[test]
    fn one_function_of_several_groups_is_one_entry() {
        let records = vec![
            record("t.b", "10", "aws", ""),
            record("t.b", "9", "aws", ""),
            record("t.b", "9", "azure", ""),
            FunctionRecord { digest: Some("else".to_owned()), ..record("t.b", "9", "own", "") },
        ];
        let told: Vec<_> = entries(records, &[])
            .iter()
            .map(|e| (e.id(), e.places.iter().map(|p| p.group.to_string()).collect::<Vec<_>>().join(" ")))
            .collect();
        let told: Vec<_> = told.iter().map(|(id, groups)| (id.as_str(), groups.as_str())).collect();
        assert_eq!(told, [("t.b@9", "aws azure"), ("t.b@9", "own"), ("t.b@10", "aws")]);
    }

    #[test]
    fn what_no_worker_has_announced_since_it_started_is_stopped() {
        let records = vec![record("t.a", "1", "aws", "")];
        let stopped = |workers: &[Presence]| entries(records.clone(), workers)[0].is_stopped();
        assert!(stopped(&[]));
        assert!(stopped(&[worker("azure", "w-1", at(0))]), "of another group");
        assert!(stopped(&[worker("aws", "w-1", at(60))]), "it started later, and did not announce it");
        assert!(!stopped(&[worker("aws", "w-1", at(60)), worker("aws", "w-2", at(0))]));
        assert!(!Entry::of_folder(records[0].clone()).is_stopped(), "of a folder nothing is known");
    }
}
