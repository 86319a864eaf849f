//! The catalogue as one self-contained page: it asks the network for nothing, and its search needs no server.
//! Every function and version has an anchor of its own, `#hosts.register@2`.

use askama::Template;
use rfx_flow::check;
use rfx_flow::diagnostic::Source;
use rfx_schemas::record::BrokenModule;
use rfx_schemas::rules::Isolation;
use serde_json::Value;

use super::schema::{self, Row};
use super::{Entry, examples};
use crate::pick::MESSAGE_LIMIT;
use crate::text;

/// Most characters of a documentation or a value.
const TEXT_LIMIT: usize = 16 * 1024;

/// The page; `from` says where the catalogue comes from.
pub fn page(entries: &[Entry], broken: &[BrokenModule], from: &str) -> String {
    Page::of(entries, broken, from)
        .render()
        .expect("rendering to memory fails only if a field's Display does")
}

/// What the template shows. All texts are plain, and escaped by the template engine.
#[derive(Template)]
#[template(path = "catalogue.html", whitespace = "minimize")]
struct Page {
    from: String,
    total: String,
    functions: Vec<View>,
    broken: Vec<(String, String, String)>,
}

/// A function in one version.
struct View {
    /// `name@version`; of two with the same, the second has a digest behind it.
    anchor: String,
    name: String,
    version: String,
    is_flow: bool,
    stopped: bool,
    about: String,
    doc: String,
    tags: Vec<String>,
    facts: Vec<(&'static str, String)>,
    inputs: Vec<RowView>,
    gives: String,
    outputs: Vec<RowView>,
    steps: Vec<StepView>,
    examples: Vec<String>,
    call: String,
    groups: Vec<(String, String)>,
    /// What the search looks through besides what the row shows.
    words: String,
}

struct RowView {
    name: String,
    kind: String,
    required: bool,
    default: String,
    description: String,
}

struct StepView {
    phase: String,
    name: String,
    uses: String,
    /// Where it is on this page.
    link: Option<String>,
}

impl Page {
    fn of(entries: &[Entry], broken: &[BrokenModule], from: &str) -> Self {
        let line = |text: &str| text::one_line(text, MESSAGE_LIMIT);
        let broken = broken.iter().map(|module| {
            let source = module.source.as_deref().unwrap_or(&module.module);
            (
                line(&format!("{} of pool {}", source, module.pool)),
                line(&module.error),
                text::shorten(&module.traceback, TEXT_LIMIT),
            )
        });
        let mut functions: Vec<View> = entries.iter().map(|entry| View::of(entry, entries)).collect();
        for at in 1..functions.len() {
            if functions[..at].iter().any(|before| before.anchor == functions[at].anchor) {
                let digest = short(entries[at].record.digest.as_deref().unwrap_or("other"));
                functions[at].anchor = format!("{}-{digest}-{at}", functions[at].anchor);
            }
        }
        let total = match entries.len() {
            1 => "1 function".to_owned(),
            n => format!("{} functions", text::count(n)),
        };
        Self { from: line(from), total, functions, broken: broken.collect() }
    }
}

impl View {
    fn of(entry: &Entry, all: &[Entry]) -> Self {
        let record = &entry.record;
        let doc = text::shorten(&record.doc, TEXT_LIMIT);
        let (about, rest) = doc.split_once('\n').unwrap_or((&doc, ""));
        let examples = examples(record);
        let shown = examples.iter().map(|example| text::shorten(&text::value(example), TEXT_LIMIT));
        let first = examples.first().map(Value::to_string).unwrap_or_default();
        let call = format!("rfx-publish call {} --input {}", entry.id(), quoted(&first));
        let outputs = schema::rows(&record.output);
        Self {
            anchor: entry.id(),
            name: record.name.to_string(),
            version: record.version.to_string(),
            is_flow: entry.is_flow(),
            stopped: entry.is_stopped(),
            about: about.to_owned(),
            doc: rest.trim().to_owned(),
            tags: record.tags.iter().map(|tag| text::one_line(tag, MESSAGE_LIMIT)).collect(),
            facts: facts(entry),
            inputs: schema::rows(&record.input).iter().map(RowView::of).collect(),
            gives: if outputs.is_empty() { gives(&record.output) } else { String::new() },
            outputs: outputs.iter().map(RowView::of).collect(),
            steps: steps(entry, all),
            examples: shown.collect(),
            call: text::one_line(&call, TEXT_LIMIT),
            groups: entry.places.iter().map(place).collect(),
            words: words(entry),
        }
    }
}

impl RowView {
    fn of(row: &Row) -> Self {
        let line = |text: &str| text::one_line(text, MESSAGE_LIMIT);
        Self {
            name: line(&row.name),
            kind: line(&row.kind),
            required: row.required,
            default: row.default.as_ref().map(|value| line(&value.to_string())).unwrap_or_default(),
            description: text::shorten(&row.description, TEXT_LIMIT),
        }
    }
}

fn gives(output: &Value) -> String {
    if output.is_null() {
        String::new()
    } else {
        text::one_line(&schema::kind(output, output), MESSAGE_LIMIT)
    }
}

/// What the author says besides, label by label.
pub fn facts(entry: &Entry) -> Vec<(&'static str, String)> {
    let record = &entry.record;
    let retry = record.retry.as_ref().filter(|retry| retry.max_attempts > 1).map(|retry| {
        let on: Vec<_> = retry.on.iter().map(|kind| kind.as_str()).collect();
        let (most, wait) = (retry.max_attempts, text::human(retry.backoff));
        format!("{most} attempts on {}, after {wait} and longer", on.join(" or "))
    });
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let all = [
        ("Pool", some(&record.pool)),
        ("Source", record.source.clone()),
        ("Owner", record.owner.clone()),
        ("Timeout", record.timeout.map(|seconds| format!("{seconds} s"))),
        ("Isolation", record.isolation.map(Isolation::as_str).map(str::to_owned)),
        ("Retry", retry),
        ("Secrets", some(&record.secrets.join(", "))),
        ("State", some(&record.state.join(", "))),
        ("Digest", record.digest.as_deref().map(short).map(str::to_owned)),
    ];
    all.into_iter()
        .filter_map(|(label, value)| Some((label, text::one_line(&value?, MESSAGE_LIMIT))))
        .collect()
}

/// The first digits of a digest, enough to tell two apart.
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn place(place: &super::Place) -> (String, String) {
    let labels: Vec<_> = place.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) };
    let served = match place.workers.len() {
        0 => format!("no worker is up; last announced {}", place.seen),
        1 => "1 worker".to_owned(),
        n => format!("{} workers", text::count(n)),
    };
    (text::one_line(&format!("{}{labels}", place.group), MESSAGE_LIMIT), served)
}

/// The steps of a flow, in their order.
fn steps(entry: &Entry, all: &[Entry]) -> Vec<StepView> {
    let Some(text) = &entry.record.flow else { return Vec::new() };
    let Ok(checked) = check(Source::new(entry.record.name.as_str(), text)) else { return Vec::new() };
    let step = |step: &rfx_flow::model::Step| {
        let (name, version) = (&step.uses.name, &step.uses.version);
        let used = all.iter().rev().find(|e| {
            e.record.name == *name && version.as_ref().is_none_or(|wanted| *wanted == e.record.version)
        });
        let version = version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
        StepView {
            phase: step.phase.key().to_owned(),
            name: step.name.to_string(),
            uses: format!("{name}{version}"),
            link: used.map(Entry::id),
        }
    };
    checked.flow.steps.iter().map(step).collect()
}

fn words(entry: &Entry) -> String {
    let record = &entry.record;
    let groups = entry.places.iter().map(|place| place.group.as_str());
    let all = [record.doc.as_str(), record.owner.as_deref().unwrap_or_default(), &record.pool];
    let fields = schema::rows(&record.input);
    let fields = fields.iter().flat_map(|row| [row.name.as_str(), row.kind.as_str()]);
    let all: Vec<_> = all.into_iter().chain(groups).chain(fields).collect();
    text::one_line(&all.join(" "), TEXT_LIMIT).to_lowercase()
}

/// For a shell.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::fixtures::{at, record, worker};
    use crate::catalogue::{Entry, entries};
    use rfx_schemas::record::FunctionRecord;

    fn table() -> Vec<Entry> {
        let evil = "</script><script>alert('x')</script>\nSecond \u{1b}[31mline.";
        let flow = "flow: example.both\nsetup:\n  up: { uses: devices.populate }\nsteps:\n  a: { uses: devices.populate@1, needs: [] }\n  b: { uses: other.thing }\n";
        let records = vec![
            record("devices.populate", "1", "aws", "Create a host."),
            record("devices.populate", "2", "aws", "Create a host, better.\n\nWith care."),
            record("devices.populate", "2", "azure", "Create a host, better.\n\nWith care."),
            FunctionRecord { tags: vec![evil.to_owned()], ..record("devices.evil", "1", "own", evil) },
            FunctionRecord {
                flow: Some(flow.to_owned()),
                ..record("example.both", "1", "aws", "Both of them.")
            },
        ];
        entries(records, &[worker("aws", "w-1", at(0))])
    }

    fn broken() -> BrokenModule {
        BrokenModule {
            pool: "example".to_owned(),
            module: "apps".to_owned(),
            source: Some("apps.py:3".to_owned()),
            error: "ImportError: no <b>bold</b>".to_owned(),
            traceback: "Traceback …".to_owned(),
        }
    }

    #[test]
    fn the_catalogue_on_a_page() {
        let page = page(&table(), &[broken()], "nats://here");
        insta::with_settings!({filters => vec![
            ("(?s)<style>.*?</style>", "[style]"),
            ("(?s)<script>.*?</script>", "[script]"),
        ]}, {
            insta::assert_snapshot!(page);
        });
    }

    #[test]
    fn the_page_asks_the_network_for_nothing_and_shows_text_as_text() {
        let page = page(&table(), &[broken()], "x");
        assert_eq!(page.matches("<script").count(), 1);
        for wrong in ["src=\"", "href=\"http", "@import", "url(", "<img", "<b>bold", "alert('", "\u{1b}"] {
            assert!(!page.contains(wrong), "{wrong:?}");
        }
        for anchor in
            ["id=\"devices.populate@1\"", "id=\"devices.populate@2\"", "href=\"#devices.populate@1\""]
        {
            assert!(page.contains(anchor), "{anchor}");
        }
    }

    #[test]
    fn every_anchor_is_there_once() {
        let mut records = vec![record("t.a", "1", "aws", ""), record("t.a", "1", "own", "")];
        records[1].digest = Some("0123456789abcdef".to_owned());
        let page = page(&entries(records, &[]), &[], "x");
        assert_eq!(page.matches("id=\"t.a@1\"").count(), 1);
    }
}
