//! Where each step lies on the run's time axis. Parallel steps show as bars above each other.

use std::collections::BTreeSet;
use std::time::Duration;

use rfx_schemas::report::{Report, StepReport};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::Verdict;

use crate::pick::{self, Mark};
use crate::text;
use crate::tree::Tree;

/// A bar is never narrower than this, in percent: it must be seen.
const NARROWEST: f64 = 0.4;
/// Ends of jobs that are nearer than one such part of the width share a mark, so a bar has few of
/// them however many jobs it stands for.
const PLACES: f64 = 200.0;

/// Bars under an axis.
pub(super) struct Timeline {
    pub(super) axis: Vec<AxisMark>,
    pub(super) rows: Vec<Bar>,
}

/// A moment named on the axis; places are percent of the width.
pub(super) struct AxisMark {
    pub(super) x: String,
    pub(super) label: String,
}

/// A step's bar.
pub(super) struct Bar {
    pub(super) mark: Mark,
    pub(super) allowed: bool,
    pub(super) number: usize,
    pub(super) name: String,
    /// From its first release, while nothing of it ran yet.
    pub(super) wait: (String, String),
    /// From the first start to the last end.
    pub(super) run: (String, String),
    /// Where jobs ended that somebody should look at.
    pub(super) ticks: Vec<String>,
    pub(super) duration: String,
    /// When it began, for those who point at it.
    pub(super) label: String,
}

/// The run's time, from which places are reckoned.
struct Axis {
    from: Stamp,
    length: Duration,
}

impl Timeline {
    /// None if no step ever started anything. Composites have no bar: those of their steps are theirs.
    pub(super) fn of(report: &Report, tree: &Tree) -> Option<Self> {
        let last = report.steps.iter().filter_map(pick::span).map(|(_, to)| to).max()?;
        let end = report.finished.unwrap_or(last).max(last);
        let axis = Axis { from: report.submitted, length: end.since(report.submitted) };
        let numbered = report.steps.iter().enumerate();
        let rows = numbered
            .filter_map(|(at, step)| axis.bar(at + 1, step, |verdict| tree.allows(at, verdict)))
            .collect();
        Some(Self { axis: axis.marks(), rows })
    }
}

impl Axis {
    fn bar(&self, number: usize, step: &StepReport, allows: impl Fn(Option<Verdict>) -> bool) -> Option<Bar> {
        let (released, ended) = pick::span(step)?;
        let started = step.jobs.iter().flat_map(|job| &job.attempts).map(|attempt| attempt.started).min()?;
        let (released, started, ended) = (self.place(released), self.place(started), self.place(ended));
        // Near the right edge the least width must grow to the left.
        let from = started.min(100.0 - NARROWEST);
        let concerns = step.jobs.iter().filter(|job| pick::is_concern(job.verdict) && !allows(job.verdict));
        let last = concerns.filter_map(|job| job.attempts.last());
        let ends: BTreeSet<u32> = last.map(|last| self.slot(last.ended)).collect();
        let after = pick::span(step)?.0.since(self.from);
        Some(Bar {
            mark: Mark::of(step.verdict),
            allowed: allows(step.verdict),
            number,
            name: pick::step_name(step),
            wait: (percent(released), percent((from - released).max(0.0))),
            run: (percent(from), percent((ended - from).max(NARROWEST))),
            ticks: ends.into_iter().map(|slot| percent(f64::from(slot) * 100.0 / PLACES)).collect(),
            duration: text::human(step.duration),
            label: format!("{}, from {} into the run", text::human(step.duration), text::human(after)),
        })
    }

    /// Where a moment lies, in percent; clocks that differ may put it outside, which is cut.
    fn place(&self, at: Stamp) -> f64 {
        let whole = self.length.as_secs_f64();
        if whole == 0.0 { 0.0 } else { (100.0 * at.since(self.from).as_secs_f64() / whole).clamp(0.0, 100.0) }
    }

    /// The last of the places that a moment has reached, short of the right edge.
    fn slot(&self, at: Stamp) -> u32 {
        (self.place(at) / 100.0 * PLACES).min(PLACES - 1.0) as u32
    }

    /// Round moments, three to seven of them.
    fn marks(&self) -> Vec<AxisMark> {
        let step = stride(self.length);
        let moments = (0..).map(|n| step * n).take_while(|moment| *moment <= self.length);
        let mark =
            |moment| AxisMark { x: percent(self.place(self.from.after(moment))), label: text::human(moment) };
        moments.map(mark).collect()
    }
}

/// The distance between marks: 1, 2 or 5 of a power of ten below a minute, round parts of an hour
/// above.
fn stride(length: Duration) -> Duration {
    let millis = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000];
    let seconds = [30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400];
    let known = millis.map(Duration::from_millis).into_iter().chain(seconds.map(Duration::from_secs));
    let fits = |step: &Duration| *step * 6 > length;
    known.into_iter().find(fits).unwrap_or(length.max(Duration::from_secs(1)) / 4)
}

fn percent(place: f64) -> String {
    format!("{place:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn of(report: &Report) -> Option<Timeline> {
        Timeline::of(report, &Tree::of(report))
    }

    #[test]
    fn every_step_that_ran_has_a_bar_within_the_axis() {
        let report = fixtures::every_verdict();
        let timeline = of(&report).unwrap();
        let names: Vec<_> = timeline.rows.iter().map(|bar| bar.name.as_str()).collect();
        assert_eq!(names, ["setup.tenant", "device", "apps", "teardown.drop"]);
        for bar in &timeline.rows {
            let [x, width] = [&bar.run.0, &bar.run.1].map(|text| text.parse::<f64>().unwrap());
            assert!(x >= 0.0 && width > 0.0 && x + width <= 100.01, "{} {x} {width}", bar.name);
        }
    }

    #[test]
    fn composites_have_no_bar_and_allowed_failures_no_mark() {
        let timeline = of(&fixtures::composites()).unwrap();
        let shown: Vec<_> = timeline.rows.iter().map(|bar| (bar.name.as_str(), bar.ticks.len())).collect();
        let rows = [
            ("setup.tenant", 0),
            ("host/setup.agent", 0),
            ("host/device/push", 0),
            ("host/device/found", 1),
            ("host/check", 1),
        ];
        assert_eq!(shown, rows);
    }

    #[test]
    fn marks_of_many_jobs_are_merged() {
        let timeline = of(&fixtures::many(3_000, 2_000)).unwrap();
        let ticks = &timeline.rows[0].ticks;
        assert!((50..=200).contains(&ticks.len()), "{}", ticks.len());
    }

    #[test]
    fn the_axis_has_a_few_round_marks() {
        for (millis, step) in [(0, 1), (5, 1), (950, 200), (2_700, 500), (61_000, 20_000), (400_000, 120_000)]
        {
            assert_eq!(stride(Duration::from_millis(millis)), Duration::from_millis(step), "{millis}");
        }
        assert_eq!(stride(Duration::from_secs(86_400 * 30)), Duration::from_secs(86_400 * 30) / 4);
    }

    #[test]
    fn a_run_without_attempts_has_no_timeline() {
        let table = fixtures::table();
        let (_, empty) = table.iter().find(|(name, _)| *name == "empty").unwrap();
        assert!(of(empty).is_none());
    }
}
