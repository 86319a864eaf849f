//! The catalogue on a terminal: a table of all functions, and one function with all there is to know of it.

use comfy_table::{Table, TableStyle};
use rfx_schemas::id::RunId;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::{Counts, Verdict};
use serde_json::{Value, json};

use super::page::{facts, quoted, short};
use super::schema::{self, Row};
use super::{Entry, examples};
use crate::pick::MESSAGE_LIMIT;
use crate::text;

/// Longest documentation, and longest example, in characters.
const TEXT_LIMIT: usize = 8 * 1024;

/// What a function came to in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Last {
    /// The run.
    pub run: RunId,
    /// When it was submitted.
    pub at: Stamp,
    /// The run's flow.
    pub flow: String,
    /// The versions that it called.
    pub versions: Vec<String>,
    /// Digests of the code that ran.
    pub digests: Vec<String>,
    /// Verdicts of the function's jobs.
    pub counts: Counts,
    /// Why the first of them did not pass.
    pub why: Option<String>,
}

impl Last {
    /// For programs.
    pub fn json(&self) -> Value {
        json!({"run": self.run, "at": self.at.to_string(), "flow": self.flow, "versions": self.versions,
            "digests": self.digests, "counts": self.counts, "why": self.why})
    }
}

/// All functions, a row each.
pub fn list(entries: &[&Entry]) -> String {
    let mut table = table(["function", "version", "group", "pool", "tags", "about"]);
    for entry in entries {
        let record = &entry.record;
        let groups: Vec<_> = entry.places.iter().map(group).collect();
        table.add_row([
            record.name.to_string(),
            record.version.to_string(),
            groups.join(", "),
            line(&record.pool),
            line(&record.tags.join(", ")),
            line(record.doc.lines().next().unwrap_or_default()),
        ]);
    }
    format!("{}\n", table.trim_fmt())
}

/// A group, with a word when nobody there serves it any more.
fn group(place: &super::Place) -> String {
    let stopped = if place.workers.is_empty() { " (stopped)" } else { "" };
    format!("{}{stopped}", place.group)
}

/// One function; `all` are its versions, `last` what it came to, if that was looked for.
pub fn show(entry: &Entry, all: &[&Entry], last: Option<&[Last]>) -> String {
    let record = &entry.record;
    let kind = if entry.is_flow() { " (a flow)" } else { "" };
    let mut out = format!("{}{kind}\n", entry.id());
    for doc in text::shorten(&record.doc, TEXT_LIMIT).lines() {
        out.push_str(format!("  {doc}").trim_end());
        out.push('\n');
    }
    out.push('\n');
    for (label, value) in facts(entry).iter().chain(&tags(entry)) {
        out.push_str(&format!("  {:<10} {value}\n", label.to_lowercase()));
    }
    section(&mut out, "input", &fields(&record.input));
    section(&mut out, "output", &fields(&record.output));
    let shown: String = examples(record).iter().map(|e| indented(&text::value(e))).collect();
    let first = examples(record).first().map(Value::to_string).unwrap_or_default();
    let call = format!("rfx-publish call {} --input {}", entry.id(), quoted(&first));
    section(&mut out, "example", &format!("{shown}\n  {}\n", text::one_line(&call, TEXT_LIMIT)));
    section(&mut out, "versions", &versions(all));
    if let Some(last) = last {
        section(&mut out, "last outcomes", &outcomes(last));
    }
    out
}

fn tags(entry: &Entry) -> Option<(&'static str, String)> {
    let tags = &entry.record.tags;
    (!tags.is_empty()).then(|| ("Tags", line(&tags.join(", "))))
}

fn section(out: &mut String, title: &str, body: &str) {
    if !body.trim().is_empty() {
        out.push_str(&format!("\n{title}\n{body}"));
    }
}

fn fields(schema: &Value) -> String {
    let rows = schema::rows(schema);
    if rows.is_empty() {
        let kind = schema::kind(schema, schema);
        return if schema.is_null() || kind == "object" {
            String::new()
        } else {
            format!("  {}\n", line(&kind))
        };
    }
    let mut table = table(["name", "type", "required", "default", "description"]);
    for Row { name, kind, required, default, description } in rows {
        let default = default.map(|value| line(&value.to_string())).unwrap_or_default();
        let required = if required { "required" } else { "" };
        table.add_row([line(&name), line(&kind), required.to_owned(), default, line(&description)]);
    }
    indented(&table.trim_fmt())
}

fn versions(all: &[&Entry]) -> String {
    let mut table = table(["version", "digest", "group", "queue", "workers", "announced"]);
    for entry in all {
        let digest = entry.record.digest.as_deref().map_or("", short);
        for place in &entry.places {
            let workers = match place.workers.is_empty() {
                true => "none: stopped".to_owned(),
                false => line(&place.workers.join(", ")),
            };
            table.add_row([
                entry.record.version.to_string(),
                digest.to_owned(),
                place.group.to_string(),
                place.queue.to_string(),
                workers,
                place.seen.to_string(),
            ]);
        }
        if entry.places.is_empty() {
            table.add_row([&entry.record.version.to_string(), digest, "", "", "", ""]);
        }
    }
    indented(&table.trim_fmt())
}

fn outcomes(last: &[Last]) -> String {
    if last.is_empty() {
        return "  none in the latest runs that the server knows\n".to_owned();
    }
    let mut table = table(["run", "submitted", "flow", "version", "jobs", "why"]);
    for Last { run, at, flow, versions, counts, why, .. } in last {
        let run = run.to_string();
        table.add_row([
            run.rsplit('-').next().unwrap_or(&run).to_owned(),
            at.to_string(),
            line(flow),
            versions.join(", "),
            in_words(counts),
            why.as_deref().map(line).unwrap_or_default(),
        ]);
    }
    indented(&table.trim_fmt())
}

fn in_words(counts: &Counts) -> String {
    let some = Verdict::ALL.into_iter().filter(|verdict| counts.get(*verdict) > 0);
    some.map(|verdict| format!("{} {verdict}", counts.get(verdict))).collect::<Vec<_>>().join(", ")
}

fn line(text: &str) -> String {
    text::one_line(text, MESSAGE_LIMIT)
}

fn indented(text: &str) -> String {
    let text = text::shorten(text, TEXT_LIMIT);
    text.lines().map(|line| format!("  {}\n", line.trim_end())).collect()
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).force_no_tty();
    table.set_header(header.map(str::to_uppercase));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::entries;
    use crate::catalogue::fixtures::{at, record, worker};

    fn table() -> Vec<Entry> {
        let mut records = vec![
            record("devices.populate", "1", "aws", "Create a host."),
            record("devices.populate", "2", "aws", "Create a host.\n\nWith \u{1b}[31mcare."),
            record("devices.populate", "2", "azure", "Create a host.\n\nWith care."),
        ];
        records[1].seen = at(90);
        entries(records, &[worker("aws", "w-1", at(60))])
    }

    #[test]
    fn the_list_marks_what_nobody_serves_any_more() {
        let all = table();
        insta::assert_snapshot!(list(&all.iter().collect::<Vec<_>>()));
    }

    #[test]
    fn one_function_with_all_there_is_to_know() {
        let all = table();
        let last = Last {
            run: "0190b5b2-7c1e-7000-8000-000000000001".parse().expect("an id"),
            at: at(30),
            flow: "hosts".to_owned(),
            versions: vec!["1".to_owned()],
            digests: Vec::new(),
            counts: Counts { passed: 3, failed: 1, ..Counts::default() },
            why: Some("wrong total".to_owned()),
        };
        let shown = show(&all[1], &all.iter().collect::<Vec<_>>(), Some(&[last]));
        insta::assert_snapshot!(shown);
    }
}
