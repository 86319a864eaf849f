//! All open runs, folded side by side; a report for each.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rfx_report::{Recorder, files, json};
use rfx_schemas::fact::Fact;
use rfx_schemas::id::RunId;
use rfx_schemas::payload::BlobRef;
use rfx_schemas::report::Report;
use rfx_schemas::stamp::Stamp;
use rfx_transport::Transport;
use rfx_transport::facts::Entry;

/// Runs of more jobs have no report before their end: of 100,000 jobs it takes half a second to
/// write, which is missing for folding.
const SMALL_RUN: usize = 5_000;

/// Open runs and where their reports go: `<folder>/<run>/report.json`, `junit.xml`, `report.html`.
pub(crate) struct Folder {
    transport: Transport,
    reports: PathBuf,
    open: HashMap<RunId, Open>,
}

/// A run that goes on.
struct Open {
    recorder: Recorder,
    /// Facts since its report was last written.
    changed: bool,
}

impl Open {
    fn is_small(&self) -> bool {
        self.recorder.state().steps().iter().map(|step| step.jobs.len()).sum::<usize>() <= SMALL_RUN
    }
}

impl Folder {
    pub(crate) fn new(transport: Transport, reports: PathBuf) -> Self {
        Self { transport, reports, open: HashMap::new() }
    }

    /// Folds facts in order. Facts of runs that are unknown, or whose report is final, are dropped.
    pub(crate) async fn fold(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            let run = entry.subject.run();
            if let Ok(Fact::Submitted(_)) = &entry.fact {
                self.begin(run, &entry).await;
            }
            let Some(open) = self.open.get_mut(&run) else { continue };
            let finished = matches!(entry.fact, Ok(Fact::Finished(_)));
            match entry.fact {
                Ok(fact) => {
                    let fact = inline(&self.transport, &open.recorder, fact).await;
                    open.recorder.apply(&fact, entry.at);
                    open.changed = true;
                }
                Err(error) => {
                    tracing::warn!(%run, %error, sequence = entry.sequence, "left out a fact that cannot be read");
                    open.recorder.unreadable();
                }
            }
            if finished {
                self.finish(run).await;
            }
        }
    }

    /// Writes the reports of runs that go on and have changed; big ones have theirs at the end.
    pub(crate) fn write_live(&mut self, now: Stamp) {
        for (run, open) in self.open.iter_mut().filter(|(_, open)| open.changed && open.is_small()) {
            open.changed = !write(&self.reports.join(run.to_string()), &open.recorder.report(now));
        }
    }

    async fn begin(&mut self, run: RunId, entry: &Entry) {
        let Ok(Fact::Submitted(submitted)) = &entry.fact else { return };
        if self.is_final(run) || self.open.contains_key(&run) {
            return;
        }
        let loaded = self.transport.load_run((**submitted).clone(), entry.sequence, entry.at).await;
        let recorder = match loaded {
            Ok(run) => Recorder::new(run.submitted, run.at, run.plan, run.data).map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match recorder {
            Ok(recorder) => drop(self.open.insert(run, Open { recorder, changed: true })),
            Err(error) => tracing::error!(%run, error, "no report can be made of this run"),
        }
    }

    async fn finish(&mut self, run: RunId) {
        if let Some(open) = self.open.remove(&run) {
            let report = open.recorder.report(Stamp::now());
            let dir = self.reports.join(run.to_string());
            // Before the report, since that links to them, and is what says that this one is done.
            let load = |blob: BlobRef| {
                let from = self.transport.clone();
                async move { from.get_blob(run, &blob).await }
            };
            match files::write_artifacts(&dir, &report, load).await {
                Ok(files) if files.left_out + files.gone > 0 => {
                    tracing::warn!(%run, left_out = files.left_out, gone = files.gone, "not all artifacts are beside the report");
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%run, %error, "artifacts could not be written"),
            }
            if !write(&dir, &report) {
                return;
            }
            let verdict = report.verdict.map(|v| v.as_str());
            tracing::info!(%run, flow = report.flow, verdict, report = %dir.display(), "the run has ended");
        }
    }

    /// Whether the run's report has its verdict already, from before this collector came up.
    fn is_final(&self, run: RunId) -> bool {
        let path = self.reports.join(run.to_string()).join("report.json");
        let Ok(bytes) = std::fs::read(path) else { return false };
        json::read(&bytes).is_ok_and(|report| report.finished.is_some())
    }
}

/// Writes a report. One that cannot be written costs nothing but itself: the facts are kept, and
/// `rfx-publish show --report` makes it again. Whether it is there.
fn write(dir: &Path, report: &Report) -> bool {
    // The files of a big run take a while; other tasks go on meanwhile.
    match tokio::task::block_in_place(|| files::write(dir, report)) {
        Ok(_) => true,
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, source, run = %report.run, "a report could not be written");
            false
        }
    }
}

/// The fact with those outputs inline that expressions read. What cannot be loaded is left out: the
/// driver, which decides, has loaded it or has failed.
async fn inline(transport: &Transport, recorder: &Recorder, mut fact: Fact) -> Fact {
    if let Fact::Ended(ended) = &mut fact {
        for outcome in ended.outcomes.iter_mut().filter(|o| recorder.state().reads_output(o.job)) {
            let Some(output) = &outcome.output else { continue };
            match transport.load(recorder.state().run(), output).await {
                Ok(json) => outcome.output = Some(rfx_schemas::payload::Payload::Inline(json)),
                Err(error) => tracing::warn!(%error, "an output cannot be read"),
            }
        }
    }
    fact
}
