//! What a person or a CI log sees while a run goes on.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rfx_report::Recorder;
use rfx_schemas::verdict::{Counts, Verdict};
use tokio::time::Instant;

use crate::drive::{Notice, Unserved};

/// Plain output says where a run stands this often.
const EVERY: Duration = Duration::from_secs(10);
/// Steps that get a bar of their own.
const BARS: usize = 12;

/// Shows a run's progress on stderr: bars on a terminal, lines elsewhere.
pub struct Progress {
    bars: Option<Bars>,
    said: BTreeSet<usize>,
    waiting: Vec<Unserved>,
    last: Instant,
    quiet: bool,
}

struct Bars {
    all: MultiProgress,
    steps: Vec<ProgressBar>,
    total: ProgressBar,
}

impl Progress {
    /// Progress of a run with these steps.
    pub fn new(recorder: &Recorder, quiet: bool) -> Self {
        let terminal =
            std::io::stderr().is_terminal() && std::env::var_os("CI").is_none_or(|ci| ci.is_empty());
        let bars = (terminal && !quiet).then(|| Bars::new(recorder));
        Self { bars, said: BTreeSet::new(), waiting: Vec::new(), last: Instant::now(), quiet }
    }

    /// Shows what has happened.
    pub fn notice(&mut self, recorder: &Recorder, notice: Notice) {
        match notice {
            Notice::Progress => self.progress(recorder),
            Notice::Waiting(unserved) => self.waiting(unserved),
            Notice::Leading => tracing::debug!("driving"),
            Notice::StandingBy => self.line("another publisher drives this run, or did until just now: following it; if it is gone, this one goes on within 15 s"),
            Notice::Following => self.line("another publisher drives this run; following it"),
        }
    }

    /// Ends the bars.
    pub fn finish(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.steps.iter().for_each(ProgressBar::finish_and_clear);
            bars.total.finish_and_clear();
            drop(bars.all.clear());
        }
    }

    /// Shows a line among the bars.
    pub fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => drop(bars.all.println(text)),
            None => drop(writeln!(std::io::stderr(), "{text}")),
        }
    }

    /// Runs something that talks to the user, with the bars out of its way.
    pub fn suspend<T>(&self, talk: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.all.suspend(talk),
            None => talk(),
        }
    }

    fn waiting(&mut self, unserved: Vec<Unserved>) {
        for step in unserved.iter().filter(|u| !self.waiting.iter().any(|w| w.step == u.step)) {
            let group = &step.group;
            let hint = format!("start one with: rfx-worker --group {group} --pool DIR");
            self.line(&format!(
                "{step}; {hint} (it waits until queue_timeout; --require-workers fails at once)"
            ));
        }
        for step in self.waiting.iter().filter(|w| !unserved.iter().any(|u| u.step == w.step)) {
            self.line(&format!("{}: a worker is up", step.path));
        }
        self.waiting = unserved;
    }

    fn progress(&mut self, recorder: &Recorder) {
        if self.quiet {
            return;
        }
        for (at, step) in recorder.state().steps().iter().enumerate() {
            if self.bars.is_none()
                && !self.said.contains(&at)
                && let Some(verdict) = recorder.state().verdict(at)
                && self.said.insert(at)
            {
                let path = recorder.state().plan().path(at);
                let detail = step.reason.clone().unwrap_or_else(|| counts(&step.counts));
                self.line(&format!("{path}: {verdict} ({detail})"));
            }
        }
        match &self.bars {
            Some(bars) => bars.update(recorder),
            None if self.last.elapsed() >= EVERY => {
                self.last = Instant::now();
                let state = recorder.state();
                let text = counts(&state.counts());
                self.line(&format!("… {text}, {} running", state.outstanding()));
            }
            None => {}
        }
    }
}

impl Bars {
    fn new(recorder: &Recorder) -> Self {
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:24} {bar:32} {pos}/{len} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let plan = recorder.state().plan();
        let bar = |name: String, len: u64| {
            all.add(ProgressBar::new(len).with_style(style.clone()).with_prefix(name))
        };
        let steps = plan.steps.iter().enumerate().take(BARS);
        let steps = steps.map(|(at, step)| bar(plan.path(at), step.jobs.unwrap_or(0))).collect();
        let calls = plan.steps.iter().filter(|step| step.call().is_some());
        let total = bar("all jobs".to_owned(), calls.filter_map(|step| step.jobs).sum());
        Self { all, steps, total }
    }

    fn update(&self, recorder: &Recorder) {
        let state = recorder.state();
        for (at, (bar, step)) in self.steps.iter().zip(state.steps()).enumerate() {
            if !step.jobs.is_empty() {
                bar.set_length(step.jobs.len() as u64);
            }
            bar.set_position(u64::from(step.counts.total()));
            match (state.verdict(at), &step.reason) {
                (Some(verdict), Some(_)) => bar.set_message(verdict.to_string()),
                _ => bar.set_message(not_passed(&step.counts)),
            }
        }
        let counts = state.counts();
        self.total.set_position(u64::from(counts.total()));
        self.total.set_message(not_passed(&counts));
    }
}

/// `3 passed, 1 failed`
pub fn counts(counts: &Counts) -> String {
    let parts = Verdict::ALL.iter().filter(|v| counts.get(**v) > 0);
    let parts: Vec<_> = parts.map(|v| format!("{} {v}", counts.get(*v))).collect();
    if parts.is_empty() { "nothing yet".to_owned() } else { parts.join(", ") }
}

fn not_passed(all: &Counts) -> String {
    let rest = Counts { passed: 0, ..*all };
    if rest.total() == 0 { String::new() } else { counts(&rest) }
}
