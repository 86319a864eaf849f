//! Submitting a run: check, plan, store big data, record `submitted`; nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rfx_flow::diagnostic::{Problem, Problems, Source};
use rfx_flow::model::{DataFile, Place};
use rfx_flow::{Catalogue, Checked, Choice, Request, check, data, data_key, plan};
use rfx_schemas::encoding::encode;
use rfx_schemas::fact::Submitted;
use rfx_schemas::id::RunId;
use rfx_schemas::name::Local;
use rfx_schemas::payload::{Json, Payload};
use rfx_schemas::plan::{DataSet, Plan};
use rfx_schemas::rules::Isolation;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::subject::{FactSubject, RunFact};
use rfx_schemas::trace::TraceContext;
use rfx_transport::run::Loaded;
use rfx_transport::{Guarded, Published, Transport, TransportError};
use serde_json::Value;

use crate::shelf;

/// Why a flow cannot be submitted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Something in the flow, its data or the command line is wrong.
    #[error("{0}")]
    Problems(Problems),
    /// A file cannot be read.
    #[error("cannot read {path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// NATS is not as needed.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl From<Problems> for SubmitError {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

/// What the command line says about a run.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// `--input NAME=VALUE`
    pub inputs: BTreeMap<String, String>,
    /// `--target NAME=URL`
    pub target: BTreeMap<String, String>,
    /// `--data NAME=FILE`
    pub data: BTreeMap<String, PathBuf>,
    /// `--where [STEP:]LABELS`
    pub places: Vec<(Option<String>, Place)>,
    /// `--each-group [LABELS]`
    pub each_group: Option<Place>,
    /// `--isolation`
    pub isolation: Option<Isolation>,
    /// `--only` and `--skip`
    pub choice: Choice,
    /// `--pool DIR`: folders with flows that may be used.
    pub pools: Vec<PathBuf>,
}

/// A flow that is ready to be submitted.
pub struct Prepared {
    /// The run's id to be.
    pub run: RunId,
    /// The plan.
    pub plan: Plan,
    /// The data sets' values.
    pub data: BTreeMap<String, Value>,
    /// Data sets too big for a message, to be stored first.
    blobs: Vec<bytes::Bytes>,
}

/// Reads and checks a flow's file.
pub fn read_flow(path: &Path) -> Result<Checked, SubmitError> {
    let text = read(path)?;
    Ok(check(Source::new(&path.display().to_string(), &text))?)
}

/// Reads the data and plans the run, without a server's doing.
pub fn prepare(
    checked: &Checked,
    path: &Path,
    choices: &Choices,
    catalogue: &Catalogue,
) -> Result<Prepared, SubmitError> {
    let run = RunId::new();
    let library = shelf::library(path, &choices.pools, catalogue);
    let mut given = Given::default();
    // A flow that extends another one has that one's data.
    match library.base(checked).map(|base| (base.checked(), base.folder())) {
        Some((Ok(base), folder)) => {
            let folder = folder.map(PathBuf::as_path);
            given.read(&base.flow.data, Local::to_string, &base.source, folder, &choices.data);
        }
        _ => given.read(&checked.flow.data, Local::to_string, &checked.source, path.parent(), &choices.data),
    }
    for used in library.used_by(checked) {
        // What is wrong with it is said by the plan.
        let Ok(flow) = used.checked().map(|used| &used.flow) else { continue };
        let owner = used.checked().ok().and_then(|used| library.base(used)).unwrap_or(used);
        let (Ok(owner), Some(folder)) = (owner.checked(), owner.folder()) else { continue };
        let key = |set: &Local| data_key(flow, set);
        given.read(&owner.flow.data, key, &owner.source, Some(folder), &BTreeMap::new());
    }
    let Given { mut sets, blobs, problems } = given;
    let data_is_wrong = !problems.is_empty();
    for (name, file) in &choices.data {
        // Unknown names are the plan's to refuse.
        sets.entry(name.clone()).or_insert_with(|| {
            let value = Payload::null();
            (DataSet { file: file.display().to_string(), rows: None, value }, Value::Null)
        });
    }
    let request = Request {
        inputs: choices.inputs.clone(),
        target: choices.target.clone(),
        places: choices.places.clone(),
        each_group: choices.each_group.clone(),
        isolation: choices.isolation,
        choice: choices.choice.clone(),
        data: sets,
    };
    let plan = match (data_is_wrong, plan(checked, &library, run, &request, catalogue)) {
        (false, planned) => planned?,
        // What follows from data that could not be read would only be noise.
        (true, _) => return Err(Problems::from_list(problems).expect_err("there are some").into()),
    };
    let data = request.data.into_iter().map(|(name, (_, value))| (name, value)).collect();
    Ok(Prepared { run, plan, data, blobs })
}

/// Data sets as they are read.
#[derive(Default)]
struct Given {
    sets: BTreeMap<String, (DataSet, Value)>,
    blobs: Vec<bytes::Bytes>,
    problems: Vec<Problem>,
}

impl Given {
    /// Reads the data files of a flow, or those that were chosen instead.
    fn read(
        &mut self,
        declared: &[(Local, DataFile)],
        key: impl Fn(&Local) -> String,
        source: &Source,
        folder: Option<&Path>,
        chosen: &BTreeMap<String, PathBuf>,
    ) {
        for (name, file) in declared {
            let chosen = chosen.get(name.as_str());
            let beside = folder.unwrap_or(Path::new("")).join(&file.path);
            let place = chosen.is_none().then(|| (source, file.at.clone()));
            match data_set(chosen.unwrap_or(&beside), place) {
                Ok((set, value, big)) => {
                    self.blobs.extend(big);
                    self.sets.insert(key(name), (set, value));
                }
                Err(problem) => self.problems.push(problem),
            }
        }
    }
}

/// Reads a data file; what is wrong is shown in it, or where the flow names it.
fn data_set(
    path: &Path,
    place: Option<(&Source, std::ops::Range<usize>)>,
) -> Result<(DataSet, Value, Option<bytes::Bytes>), Problem> {
    let shown = path.display().to_string();
    if !data::is_known(path) {
        // Said without reading it: it need not be text.
        return Err(data::parse(&Source::new(&shown, "")).expect_err("its ending is none that is read"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot read the data file {shown}: {error}");
        let problem = match place {
            Some((source, at)) => Problem::new(source, at, message),
            None => Problem::new(&Source::new("--data", &shown), 0..shown.len(), message),
        };
        problem.help("paths in a flow are relative to the flow's file; --data NAME=FILE gives another")
    })?;
    let value = data::parse(&Source::new(&shown, &text))?;
    let (payload, big) = Payload::of(Json::of(&value));
    let rows = value.as_array().map(|rows| rows.len() as u64);
    Ok((DataSet { file: shown, rows, value: payload }, value, big))
}

fn read(path: &Path) -> Result<String, SubmitError> {
    std::fs::read_to_string(path)
        .map_err(|error| SubmitError::File { path: path.to_owned(), reason: error.to_string() })
}

/// Records the submission. The run exists from here on, whatever becomes of this process.
pub async fn submit(
    transport: &Transport,
    prepared: Prepared,
    ci: Option<TraceContext>,
) -> Result<Loaded, TransportError> {
    let Prepared { run, plan, data, blobs } = prepared;
    for bytes in &blobs {
        transport.put_blob(run, bytes).await?;
    }
    let text = serde_json::to_vec(&plan).expect("plans have string keys");
    let payload = transport.store(run, Json::from_text(text.into())).await?;
    let submitted = Submitted {
        run,
        flow: plan.flow.clone(),
        plan: payload,
        submitted: Stamp::now(),
        by: who(),
        trace: TraceContext::of_run(run, ci),
        ci,
    };
    let subject = transport.subjects().fact(&FactSubject::Run { run, fact: RunFact::Submitted });
    let published = transport.publish(Guarded::new(subject, encode(&submitted))).await?;
    // The stream's own time counts, for every reader alike.
    let (sequence, at) = match (transport.submission(run).await?, published) {
        (Some((_, sequence, at)), _) => (sequence, at),
        // A replica that lags: a fold from the start finds it.
        (None, Published::Stored(sequence)) => (sequence, submitted.submitted),
        (None, _) => (0, submitted.submitted),
    };
    Ok(Loaded { at, submitted, sequence, plan, data })
}

/// `user@host`, for people who read reports.
pub fn who() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    format!("{}@{}", user.as_deref().unwrap_or("unknown"), rfx_config::process::host())
}

/// CI's span, if it gave one and it can be read.
pub fn ci_trace() -> Option<TraceContext> {
    let text = std::env::var("TRACEPARENT").ok()?;
    text.parse().map_err(|error| tracing::warn!(%error, "TRACEPARENT is left out")).ok()
}
