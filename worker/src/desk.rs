//! What a running function asks for and tells of: shared state, artifacts, spans, progress. One desk an
//! attempt; it keeps what goes into the outcome.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rfx_config::telemetry::AttemptSpan;
use rfx_schemas::id::{JobId, RunId};
use rfx_schemas::job::JobMessage;
use rfx_schemas::name::NameError;
use rfx_schemas::outcome::{Artifact, StateRead, StateScope, kind};
use rfx_schemas::payload::Json;
use rfx_schemas::record::state_key;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::topology::Bucket;
use rfx_schemas::trace::{TraceContext, span_of_hex};
use rfx_transport::TransportError;
use serde_json::{Value, json};

use crate::calls::{CallError, Caller, Request};
use crate::file::{self, Links};
use crate::runner::frames::{Ask, SaidSpan};
use crate::secrets::Secrets;
use crate::site::Site;

/// Most bytes of a value of the shared state: what a message carries, with room for its headers.
const STATE_VALUE: usize = 512 * 1024;
/// What a value holds that only says that somebody makes the real one, as the SDK writes it.
const CLAIM: &str = "$rfx.claim";
/// Most keys of the shared state that an outcome tells of.
const READS: usize = 100;
/// Most artifacts of an attempt, and most bytes of all of them.
const ARTIFACTS: usize = 100;
const ARTIFACT_BYTES: u64 = 256 << 20;
/// The media type of what nobody says more about.
const BYTES: &str = "application/octet-stream";
/// Most spans of an attempt.
const SPANS: u32 = 1_000;
/// Shortest time between two messages of progress that are passed on.
const PROGRESS: Duration = Duration::from_millis(200);

/// An attempt's dealings with everything but its function.
pub struct Desk {
    site: Arc<Site>,
    run: RunId,
    flow: String,
    job: JobId,
    trace: TraceContext,
    secrets: Secrets,
    caller: Caller,
    kept: Mutex<Kept>,
}

/// What goes into the outcome, or into words about it.
#[derive(Default)]
struct Kept {
    artifacts: Vec<Artifact>,
    reads: BTreeMap<(StateScope, String), StateRead>,
    progress: Option<(Option<String>, Instant)>,
    passed_on: Option<Instant>,
    spans: u32,
}

/// What an attempt left besides its ending.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Leavings {
    /// Files.
    pub artifacts: Vec<Artifact>,
    /// What it read of the shared state.
    pub state: Vec<StateRead>,
}

/// Why something that was asked for cannot be had.
struct Refusal {
    kind: &'static str,
    message: String,
}

impl Refusal {
    fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl From<TransportError> for Refusal {
    fn from(error: TransportError) -> Self {
        Self::new("BrokerError", error.to_string())
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        let mut message = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            message = format!("{message}: {source}");
        }
        Self { kind: error.kind(), message }
    }
}

/// What a function wants to be called, and the how many-th it is.
fn request(ask: &Ask, input: Bytes) -> Result<(u32, Request), Refusal> {
    let refused = |why: String| Refusal::new("CallError", why);
    let text = |name: &str| ask.fields.get(name).and_then(Value::as_str);
    fn name<T: FromStr<Err = NameError>>(text: Option<&str>) -> Result<Option<T>, Refusal> {
        text.map(str::parse::<T>).transpose().map_err(|e: NameError| Refusal::new("CallError", e.to_string()))
    }
    let n = ask.fields.get("n").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let timeout = ask.fields.get("timeout").and_then(Value::as_f64).map(Duration::try_from_secs_f64);
    let request = Request {
        function: name(text("function"))?.ok_or_else(|| refused("it names no function".to_owned()))?,
        version: name(text("version"))?,
        group: name(text("group"))?,
        queue: name(text("queue"))?,
        timeout: timeout.transpose().map_err(|e| refused(format!("the timeout: {e}")))?,
        input,
    };
    Ok((n.ok_or_else(|| refused("it has no number".to_owned()))?, request))
}

/// The answer to what is asked behind the end of its attempt.
pub fn over(ask: &Ask) -> Value {
    let message = format!("the attempt has ended before {} was asked for", ask.what);
    let error = json!({"type": kind::ENDED, "message": message});
    json!({"type": "reply", "id": ask.id, "ask": ask.ask, "error": error})
}

impl Desk {
    /// A desk for an attempt, whose span is `trace`.
    pub fn new(
        site: &Arc<Site>,
        message: &JobMessage,
        job: JobId,
        trace: TraceContext,
        secrets: Secrets,
        caller: &Caller,
    ) -> Self {
        let (site, flow, caller) = (Arc::clone(site), message.flow.clone(), caller.clone());
        Self { site, run: message.run, flow, job, trace, secrets, caller, kept: Mutex::default() }
    }

    /// Answers what a function asks for: the header and the body of the reply.
    pub async fn answer(&self, ask: Ask, body: Bytes) -> (Value, Bytes) {
        let answered = match ask.what.as_str() {
            "state.get" => self.state_get(&ask).await,
            "state.put" | "state.cas" | "state.delete" => self.state_write(&ask, body).await,
            "artifact" => self.artifact(&ask, body).await,
            "call" => self.call(&ask, body).await,
            "undo" => self.undo(&ask, body).await,
            other => {
                let message = format!(
                    "this worker does not know how to answer {other:?}; it may be older than the SDK"
                );
                Err(Refusal::new("UnknownAsk", message))
            }
        };
        let (mut header, body) = answered.unwrap_or_else(|refusal| {
            let error = json!({"type": refusal.kind, "message": self.secrets.clean(&refusal.message)});
            (json!({"error": error}), Bytes::new())
        });
        if header.get("error").is_none() {
            header["error"] = Value::Null;
        }
        header["type"] = json!("reply");
        header["id"] = json!(ask.id);
        header["ask"] = json!(ask.ask);
        (header, body)
    }

    async fn state_get(&self, ask: &Ask) -> Result<(Value, Bytes), Refusal> {
        let (scope, key, full) = self.state_key(ask)?;
        let entry = self.site.transport.kv_get::<Value>(Bucket::State, &full).await?;
        let revision = entry.as_ref().map_or(0, |entry| entry.revision);
        // A claim only says that somebody makes the value: the function has not seen any yet.
        let claimed = entry.as_ref().is_some_and(|entry| entry.value.get(CLAIM).is_some());
        let text = entry.map(|entry| Bytes::from(entry.value.to_string()));
        if !claimed && self.is_new((scope, &key)) {
            let value = match &text {
                Some(text) => Some(self.site.transport.store(self.run, Json::from_text(text.clone())).await?),
                None => None,
            };
            let mut kept = self.lock();
            if kept.reads.len() < READS {
                let read = StateRead { key: key.clone(), scope, revision, value };
                kept.reads.entry((scope, key)).or_insert(read);
            }
        }
        Ok((json!({"revision": revision}), text.unwrap_or_default()))
    }

    /// Whether a key was not read before, and the outcome has room for it.
    fn is_new(&self, (scope, key): (StateScope, &str)) -> bool {
        let kept = self.lock();
        kept.reads.len() < READS && !kept.reads.contains_key(&(scope, key.to_owned()))
    }

    async fn state_write(&self, ask: &Ask, body: Bytes) -> Result<(Value, Bytes), Refusal> {
        let (_, key, full) = self.state_key(ask)?;
        let transport = &self.site.transport;
        if ask.what == "state.delete" {
            transport.kv_delete(Bucket::State, &full).await?;
            return Ok((json!({}), Bytes::new()));
        }
        if body.len() > STATE_VALUE {
            let message = format!(
                "the value of {key} has {} bytes, at most {STATE_VALUE} are kept: leave it as an artifact or return it",
                body.len()
            );
            return Err(Refusal::new("StateError", message));
        }
        if let Some(secret) = self.secrets.found_in(&body) {
            let message = format!("the value of {key} holds the secret {secret}, and secrets are not stored");
            return Err(Refusal::new("StateError", message));
        }
        let value: Value = serde_json::from_slice(&body).map_err(|error| {
            Refusal::new("StateError", format!("the value of {key} is not JSON: {error}"))
        })?;
        let revision = match ask.what.as_str() {
            "state.cas" => {
                let expected = ask.fields.get("revision").and_then(Value::as_u64).unwrap_or(0);
                transport.kv_cas(Bucket::State, &full, &value, expected).await?
            }
            _ => Some(transport.kv_put(Bucket::State, &full, &value).await?),
        };
        Ok((json!({"revision": revision}), Bytes::new()))
    }

    /// Whose state is meant, the key as the function named it, and as the bucket has it.
    fn state_key(&self, ask: &Ask) -> Result<(StateScope, String, String), Refusal> {
        let text = |name: &str| ask.fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let (key, scope) = (text("key"), text("scope"));
        let (scope, owner) = match scope {
            "flow" => (StateScope::Flow, format!("flow.{}", self.flow.replace('.', "/"))),
            _ => (StateScope::Run, self.run.to_string()),
        };
        let full = state_key(&owner, key).ok_or_else(|| {
            let message = format!(
                "{key:?} is no key of the shared state: use letters, digits and _ - = / with inner dots, at most 200 characters"
            );
            Refusal::new("StateError", message)
        })?;
        Ok((scope, key.to_owned(), full))
    }

    async fn call(&self, ask: &Ask, body: Bytes) -> Result<(Value, Bytes), Refusal> {
        let (n, request) = request(ask, body)?;
        let answer = self.caller.call(n, request, &self.secrets).await?;
        let header = json!({"verdict": answer.verdict, "error": answer.error});
        Ok((header, answer.output.unwrap_or_default()))
    }

    async fn undo(&self, ask: &Ask, body: Bytes) -> Result<(Value, Bytes), Refusal> {
        let (n, request) = request(ask, body)?;
        self.caller.undo(n, request, &self.secrets).await?;
        Ok((json!({}), Bytes::new()))
    }

    async fn artifact(&self, ask: &Ask, body: Bytes) -> Result<(Value, Bytes), Refusal> {
        let text = |name: &str| ask.fields.get(name).and_then(Value::as_str);
        let media_type = text("media_type").unwrap_or(BYTES).to_owned();
        self.keep(text("name").unwrap_or_default(), media_type, body).await?;
        Ok((json!({}), Bytes::new()))
    }

    /// Keeps a file that an executable has left; why not, otherwise.
    pub async fn keep_file(&self, path: &Path) -> Result<(), String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let file = path.to_owned();
        let read = move || file::whole(&file, Links::Refuse, ARTIFACT_BYTES);
        let read = tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other).flatten();
        let body = read.map_err(|error| format!("the artifact {name} is left out: {error}"))?;
        self.keep(&name, BYTES.to_owned(), body.into()).await.map_err(|refusal| refusal.message)
    }

    async fn keep(&self, name: &str, media_type: String, body: Bytes) -> Result<(), Refusal> {
        if name.is_empty() || name.len() > 200 || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            let message =
                format!("{name:?} is no name of an artifact: no path, no dot in front, at most 200 bytes");
            return Err(Refusal::new("ArtifactError", message));
        }
        {
            let kept = self.lock();
            // One of the same name goes.
            let (mut count, mut bytes) = (0, 0);
            for artifact in kept.artifacts.iter().filter(|artifact| artifact.name != name) {
                count += 1;
                bytes += artifact.size;
            }
            if count >= ARTIFACTS || bytes + body.len() as u64 > ARTIFACT_BYTES {
                let message = format!(
                    "{name} is beyond what an attempt may leave: {ARTIFACTS} artifacts, {} MiB in all",
                    ARTIFACT_BYTES >> 20
                );
                return Err(Refusal::new("ArtifactError", message));
            }
        }
        let body = self.secrets.clean_bytes(body);
        let content = self.site.transport.put_blob(self.run, &body).await?;
        let artifact = Artifact { name: name.to_owned(), media_type, size: body.len() as u64, content };
        let mut kept = self.lock();
        // A second one of the same name replaces the first, as a file would.
        kept.artifacts.retain(|other| other.name != artifact.name);
        kept.artifacts.push(artifact);
        Ok(())
    }

    /// The function says how far it is, or only that it lives.
    pub fn progress(&self, message: Option<String>) {
        let message = message.map(|message| self.secrets.clean(&message));
        let mut kept = self.lock();
        let now = Instant::now();
        let due = kept.passed_on.is_none_or(|last| now - last >= PROGRESS);
        if let Some(message) = message.clone().filter(|_| due) {
            kept.passed_on = Some(now);
            let (transport, run, job) = (self.site.transport.clone(), self.run, self.job);
            // Best effort, and not at the cost of the runner's frames: it ends within its own deadline.
            tokio::spawn(async move { transport.announce_progress(run, job, message).await });
        }
        // A beat keeps the words of the progress before it.
        let words = message.or_else(|| kept.progress.take().and_then(|(words, _)| words));
        kept.progress = Some((words, now));
    }

    /// What the function said last of its progress, and how long ago.
    pub fn last_progress(&self) -> Option<(Option<String>, Duration)> {
        self.lock().progress.as_ref().map(|(message, at)| (message.clone(), at.elapsed()))
    }

    /// The function has finished a span.
    pub fn span(&self, said: &SaidSpan) {
        let mut kept = self.lock();
        kept.spans += 1;
        if kept.spans > SPANS || !self.site.spans.is_enabled() {
            return;
        }
        let (Some(span), Some(parent)) = (span_of_hex(&said.span), span_of_hex(&said.parent)) else { return };
        let stamp = |seconds: f64| Stamp::from_micros((seconds * 1e6) as i64);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let clean = |text: &str| self.secrets.clean(text);
        let attributes =
            said.attributes.iter().map(|(name, value)| (name.clone().into(), clean(&text(value)))).collect();
        self.site.spans.record(AttemptSpan {
            trace: TraceContext { span, ..self.trace },
            parent,
            name: clean(&said.name),
            started: stamp(said.start),
            ended: stamp(said.end),
            ok: said.ok,
            message: said.error.as_deref().map(clean),
            attributes,
            links: Vec::new(),
        });
    }

    /// What goes into the outcome.
    pub fn leave(&self) -> Leavings {
        let mut kept = self.lock();
        Leavings {
            artifacts: std::mem::take(&mut kept.artifacts),
            state: std::mem::take(&mut kept.reads).into_values().collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no panic holds it")
    }
}
