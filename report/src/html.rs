//! `report.html`: one self-contained page for people. It asks the network for nothing, works
//! without script, and stays usable when the run has a hundred thousand jobs.

mod calls;
mod evidence;
mod steps;
mod timeline;

use askama::Template;
use rfx_schemas::report::Report;
use rfx_schemas::verdict::Verdict;

use crate::pick::{self, Mark};
use crate::text;
use crate::tree::Tree;
use calls::CallsView;
use evidence::Budget;
use steps::StepView;
use timeline::Timeline;

/// Most characters of a value in the block about what the run was given.
const VALUE_LIMIT: usize = 8 * 1024;

/// The report as a page.
pub fn html(report: &Report) -> String {
    Page::of(report).render().expect("rendering to memory fails only if a field's Display does")
}

/// What the template shows. All texts are plain, and escaped by the template engine.
#[derive(Template)]
#[template(path = "report.html", whitespace = "minimize")]
struct Page {
    mark: Mark,
    flow: String,
    description: String,
    run: String,
    trace: String,
    cancelled: Option<String>,
    breaches: Vec<String>,
    unmade: Vec<String>,
    notes: Vec<String>,
    facts: Vec<(&'static str, String)>,
    about: Vec<(&'static str, String)>,
    anomalies: Option<String>,
    given: Vec<Given>,
    total: String,
    bar: Vec<Share>,
    timeline: Option<Timeline>,
    columns: Vec<Mark>,
    steps: Vec<StepView>,
    undos: Option<CallsView>,
}

/// Something that the run was given or gave back.
struct Given {
    title: &'static str,
    entries: Vec<(String, String)>,
}

/// How many jobs had a verdict, as a piece of a bar.
struct Share {
    mark: Mark,
    count: String,
    /// Where the piece begins and how wide it is, in percent.
    x: String,
    width: String,
}

impl Page {
    fn of(report: &Report) -> Self {
        let mut budget = Budget::of_page();
        let columns = pick::columns(report);
        let tree = Tree::of(report);
        Self {
            mark: Mark::of(report.verdict),
            flow: text::one_line(&report.flow, pick::MESSAGE_LIMIT),
            description: text::shorten(&report.description, VALUE_LIMIT),
            run: report.run.to_string(),
            trace: text::one_line(&report.trace, pick::MESSAGE_LIMIT),
            cancelled: report.cancelled.as_deref().map(|why| text::one_line(why, pick::MESSAGE_LIMIT)),
            breaches: pick::breaches(report).collect(),
            unmade: pick::unmade(report).collect(),
            notes: allowed(report).into_iter().chain(no_jobs(report)).chain(leaks(report)).collect(),
            facts: facts(report),
            about: pick::about(&report.about),
            anomalies: anomalies(report),
            given: given(report),
            total: pick::counted(pick::total(report), "job"),
            bar: bar(report),
            timeline: Timeline::of(report, &tree),
            undos: calls::view(&report.undos, "undo"),
            steps: steps::views(report, &tree, &columns, &mut budget),
            columns: columns.into_iter().map(|verdict| Mark::of(Some(verdict))).collect(),
        }
    }
}

/// What of the failures below the bar does not fail the run.
fn allowed(report: &Report) -> Option<String> {
    let counts = &report.counts;
    let which = match (counts.allowed, counts.failed + counts.error) {
        (0, _) => return None,
        (1, 1) => "The failure is allowed: it does not fail the run.".to_owned(),
        (allowed, all) if allowed >= all => "All failures are allowed: they do not fail the run.".to_owned(),
        (1, _) => "1 of the failures is allowed: it does not fail the run.".to_owned(),
        (some, _) => format!("{some} of the failures are allowed: they do not fail the run."),
    };
    Some(which)
}

/// Why the counts may make more than there are jobs.
fn no_jobs(report: &Report) -> Option<String> {
    let counted = report.counts.total() as usize + pick::open(report);
    let more = counted.saturating_sub(pick::total(report));
    let verb = if more == 1 { "is no job" } else { "are no jobs" };
    let why = "a step that was skipped as a whole counts once, and so does an execution of a flow that did \
               not pass by itself";
    (more > 0).then(|| format!("{} of these {verb}: {why}.", text::count(more)))
}

/// What should be gone, and is still there.
fn leaks(report: &Report) -> Option<String> {
    let leaks = crate::calls::leaked(report)?;
    Some(format!("{leaks}: what a job did could not be undone, and is still there (see below)."))
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Submitted", report.submitted.to_string()),
        ("Finished", report.finished.map_or("not yet".into(), |at| at.to_string())),
        ("Duration", text::human(report.duration)),
        ("By", text::one_line(&report.by, pick::MESSAGE_LIMIT)),
    ];
    facts.extend(report.exit_code.map(|code| ("Exit code", code.to_string())));
    facts
}

fn anomalies(report: &Report) -> Option<String> {
    let counted = report.anomalies;
    let kinds = [
        ("attempts handed over more than once", counted.redelivered),
        ("repeated outcomes ignored", counted.duplicate_outcomes),
        ("unreadable facts", counted.unreadable),
    ];
    let some: Vec<_> = kinds.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{what} {n}")).collect();
    (!some.is_empty()).then(|| some.join(", "))
}

fn given(report: &Report) -> Vec<Given> {
    let short = |text: &str| text::shorten(text, VALUE_LIMIT);
    let name = |text: &str| text::one_line(text, pick::MESSAGE_LIMIT);
    let outputs = report.outputs.iter().map(|value| (String::new(), short(&text::value(value))));
    let all = [
        ("Target", report.target.iter().map(|(key, url)| (name(key), short(url))).collect::<Vec<_>>()),
        (
            "Inputs",
            report.inputs.iter().map(|(key, value)| (name(key), short(&text::value(value)))).collect(),
        ),
        ("Data", report.data.iter().map(|(key, from)| (name(key), short(from))).collect()),
        ("Outputs", outputs.collect()),
    ];
    let some = all.into_iter().filter(|(_, entries)| !entries.is_empty());
    some.map(|(title, entries)| Given { title, entries }).collect()
}

/// The pieces of the bar of counts; jobs without a verdict come last.
fn bar(report: &Report) -> Vec<Share> {
    let counted = |verdict: Verdict| (Some(verdict), report.counts.get(verdict) as usize);
    let pieces = Verdict::ALL.into_iter().map(counted).chain([(None, pick::open(report))]);
    // Not the number of jobs: a step that was skipped as a whole counts as one, and has none.
    let whole = (report.counts.total() as usize + pick::open(report)).max(1) as f64;
    let mut before = 0;
    let mut bar = Vec::new();
    for (verdict, count) in pieces.filter(|(_, count)| *count > 0) {
        let percent = |jobs: usize| format!("{:.3}", 100.0 * jobs as f64 / whole);
        bar.push(Share {
            mark: Mark::of(verdict),
            count: text::count(count),
            x: percent(before),
            width: percent(count),
        });
        before += count;
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn every_verdict_on_a_page() {
        let page = html(&fixtures::every_verdict());
        let filters = vec![
            ("(long){9,}", "[long]"),
            ("x{40,}", "[x]"),
            ("(?s)<style>.*?</style>", "[style]"),
            ("(?s)<script>.*?</script>", "[script]"),
        ];
        insta::with_settings!({filters => filters}, {
            insta::assert_snapshot!(page);
        });
    }

    #[test]
    fn the_page_has_one_script_and_asks_the_network_for_nothing() {
        for (name, report) in fixtures::table() {
            let page = html(&report);
            assert_eq!(page.matches("<script").count(), 1, "{name}");
            assert_eq!(page.matches("</details>").count(), page.matches("<details").count(), "{name}");
            for wrong in
                ["src=\"", "href=\"http", "@import", "url(", "<img", "onerror=alert(1)>", "\u{1b}", "\0"]
            {
                assert!(!page.contains(wrong), "{name}: {wrong:?}");
            }
        }
    }

    #[test]
    fn flows_inside_of_flows() {
        let page = html(&fixtures::composites());
        insta::with_settings!({filters => vec![
            ("(?s)<style>.*?</style>", "[style]"),
            ("(?s)<script>.*?</script>", "[script]"),
        ]}, {
            insta::assert_snapshot!(page);
        });
    }

    #[test]
    fn the_bar_is_never_wider_than_the_page_and_leaves_executions_out() {
        for (name, report) in fixtures::table() {
            let width: f64 = bar(&report).iter().map(|share| share.width.parse::<f64>().unwrap()).sum();
            assert!(width < 100.1, "{name}: {width}");
        }
        let page = html(&fixtures::composites());
        assert!(page.contains(">13 jobs</h2>") && page.contains("3 of these are no jobs"));
    }

    #[test]
    fn hostile_texts_are_shown_as_text() {
        let page = html(&fixtures::every_verdict());
        assert!(page.contains("&#60;script&#62;alert(&#39;x&#39;)&#60;/script&#62;"));
        assert!(page.contains("&#60;/pre&#62;&#60;/details&#62;"));
    }

    #[test]
    fn a_hundred_thousand_jobs_stay_usable() {
        let page = html(&fixtures::many(100_000, 5_000));
        assert!(page.len() < 3_000_000, "{} bytes", page.len());
        assert_eq!(page.matches("data-v=\"failed\"").count(), 2_000 + 1, "the jobs, and the step");
        assert_eq!(page.matches("<tbody data-v=\"passed\"").count(), 200);
        assert!(page.contains("97\u{202f}800 more jobs are not listed"), "3,000 failed and 94,800 passed");
    }
}
