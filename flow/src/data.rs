//! Data sets: csv, json, ndjson and yaml files as JSON values. Reading the file is the caller's part.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::diagnostic::{Problem, Source};

/// How a cell of a csv column is read. A column says so in its header, `port:int`; text otherwise,
/// since guessing turns the version `1.10` into the number 1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Text,
    Int,
    Float,
    Bool,
    Json,
}

impl FromStr for Column {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "str" => Ok(Self::Text),
            "int" => Ok(Self::Int),
            "float" => Ok(Self::Float),
            "bool" => Ok(Self::Bool),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

impl Column {
    fn read(self, cell: &str) -> Option<Value> {
        match self {
            Self::Text => Some(Value::String(cell.to_owned())),
            Self::Int => cell.trim().parse::<i64>().ok().map(Value::from),
            Self::Float => cell.trim().parse().ok().and_then(serde_json::Number::from_f64).map(Value::Number),
            Self::Bool => cell.trim().parse::<bool>().ok().map(Value::from),
            Self::Json => serde_json::from_str(cell).ok(),
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Bool => "true or false",
            Self::Json => "JSON (with quotes doubled inside a quoted cell)",
        }
    }
}

/// Reads a data file by the ending of its name.
pub fn parse(source: &Source) -> Result<Value, Problem> {
    let ending = source.name().rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending {
        "csv" => csv(source),
        "json" => json(source),
        "ndjson" | "jsonl" => ndjson(source),
        "yaml" | "yml" => crate::yaml::parse(source).map(|node| node.to_json()),
        _ => Err(Problem::new(
            source,
            0..0,
            format!("{} is no kind of data file that rfx reads", source.name()),
        )
        .help("use a file that ends in .csv, .json, .ndjson or .yaml")),
    }
}

pub(crate) fn json(source: &Source) -> Result<Value, Problem> {
    serde_json::from_str(source.text()).map_err(|error| {
        let line_start: usize =
            source.text().split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let at = line_start + error.column().saturating_sub(1);
        let message = error.to_string();
        let message = message.split(" at line").next().unwrap_or_default();
        Problem::new(source, at..at + 1, format!("this is not JSON: {message}"))
    })
}

/// One JSON value a line; empty lines are left out.
fn ndjson(source: &Source) -> Result<Value, Problem> {
    let mut rows = Vec::new();
    let mut start = 0;
    for line in source.text().split_inclusive('\n') {
        if !line.trim().is_empty() {
            let row = serde_json::from_str(line).map_err(|error| {
                let at = start + error.column().saturating_sub(1);
                let message = error.to_string();
                let message = message.split(" at line").next().unwrap_or_default();
                Problem::new(source, at..at + 1, format!("this line is not JSON: {message}"))
                    .help("write one JSON value a line")
            })?;
            rows.push(row);
        }
        start += line.len();
    }
    Ok(Value::Array(rows))
}

/// Whether rfx reads files with this ending.
pub fn is_known(path: &std::path::Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ["csv", "json", "ndjson", "jsonl", "yaml", "yml"].contains(&ending)
}

fn csv(source: &Source) -> Result<Value, Problem> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(source.text().as_bytes());
    let broken = |error: csv::Error| {
        let at = error.position().map_or(0, |p| usize::try_from(p.byte()).unwrap_or(0));
        Problem::new(source, at..at + 1, format!("this is not csv: {error}"))
    };
    let columns = columns(source, reader.headers().map_err(broken)?)?;
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(broken)? {
        rows.push(row(source, &columns, &record)?);
    }
    Ok(Value::Array(rows))
}

fn columns(source: &Source, header: &csv::StringRecord) -> Result<Vec<(String, Column)>, Problem> {
    let mut columns: Vec<(String, Column)> = Vec::new();
    for cell in header {
        let cell = cell.trim().trim_start_matches('\u{feff}');
        let (name, kind) = cell.split_once(':').unwrap_or((cell, "str"));
        let end = source.text().find('\n').unwrap_or(source.text().len());
        let at = source.text()[..end].find(cell).unwrap_or(0);
        let problem = |message: String| Problem::new(source, at..at + cell.len(), message);
        if name.is_empty() {
            return Err(
                problem("a column has no name".to_owned()).help("name every column in the first line")
            );
        }
        if columns.iter().any(|(known, _)| known == name) {
            return Err(problem(format!("column {name} stands twice")).help("give each column its own name"));
        }
        let kind = kind.parse().map_err(|()| {
            problem(format!("column {name} has no type {kind}")).help("use str, int, float, bool or json")
        })?;
        columns.push((name.to_owned(), kind));
    }
    Ok(columns)
}

fn row(source: &Source, columns: &[(String, Column)], record: &csv::StringRecord) -> Result<Value, Problem> {
    let start = record.position().map_or(0, |p| usize::try_from(p.byte()).unwrap_or(0));
    let start =
        start + source.text()[start.min(source.text().len())..].find(|c| c != '\n' && c != '\r').unwrap_or(0);
    let end = source.text()[start..].find('\n').map_or(source.text().len(), |at| start + at);
    if record.len() != columns.len() {
        let message = format!("this row has {} cells, the header has {}", record.len(), columns.len());
        return Err(Problem::new(source, start..end, message)
            .label("this row")
            .help("give every row as many cells as there are columns; quote cells that hold commas"));
    }
    let mut fields = Map::new();
    for ((name, kind), cell) in columns.iter().zip(record) {
        let value = kind.read(cell).ok_or_else(|| {
            let line = &source.text()[start..end];
            let at = line.find(cell).map_or(start..end, |at| start + at..start + at + cell.len());
            Problem::new(source, at, format!("column {name}: {cell:?} is not {}", kind.what()))
                .label(format!("expected {}", kind.what()))
        })?;
        fields.insert(name.clone(), value);
    }
    Ok(Value::Object(fields))
}

/// What people call an item of `each`: itself, or its key, name or id.
pub fn item_key(item: &Value) -> Option<String> {
    match item {
        Value::String(text) => Some(text.chars().take(120).collect()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(fields) => {
            let named = ["key", "name", "id"].iter().find_map(|name| fields.get(*name));
            named.filter(|value| value.is_string() || value.is_number()).and_then(item_key)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(name: &str, text: &str) -> Result<Value, Problem> {
        parse(&Source::new(name, text))
    }

    #[test]
    fn columns_are_text_unless_the_header_says_otherwise() {
        let text = "name,version,port:int,ok:bool,apps:json\nh1,1.10,80,true,\"[{\"\"a\"\": 1}]\"\n";
        let expected = json!([{"name": "h1", "version": "1.10", "port": 80, "ok": true, "apps": [{"a": 1}]}]);
        assert_eq!(read("d.csv", text).expect("valid"), expected);
    }

    #[test]
    fn lines_and_yaml_give_the_same_rows_as_json() {
        let expected = json!([{"name": "h1", "ports": [80]}, {"name": "h2", "ports": []}]);
        let lines = "{\"name\": \"h1\", \"ports\": [80]}\n\n{\"name\": \"h2\", \"ports\": []}\n";
        assert_eq!(read("d.ndjson", lines).expect("valid"), expected);
        assert_eq!(
            read("d.yaml", "- { name: h1, ports: [80] }\n- name: h2\n  ports: []\n").expect("valid"),
            expected
        );
        assert_eq!(read("d.json", &expected.to_string()).expect("valid"), expected);
    }

    #[test]
    fn wrong_data_says_where() {
        let cases = [
            ("d.csv", "a,b\n1,2\n1,2,3\n", "d.csv:3:1", "this row has 3 cells, the header has 2"),
            ("d.csv", "a,b:int\n1,2\nx,y\n", "d.csv:3:3", "column b: \"y\" is not a whole number"),
            ("d.csv", "a,b:number\n", "d.csv:1:3", "column b has no type number"),
            ("d.csv", "a,a\n", "d.csv:1:1", "column a stands twice"),
            ("d.json", "[1,\n 2,,]", "d.json:2:4", "this is not JSON: expected value"),
            ("d.ndjson", "{}\n\n{\"a\": }\n", "d.ndjson:3:7", "this line is not JSON: expected value"),
            ("d.yaml", "- a\n- [b\n", "d.yaml:2:3", "this is not the YAML that flows use"),
            ("d.xml", "<a/>", "d.xml:1:1", "d.xml is no kind of data file that rfx reads"),
        ];
        for (name, text, place, message) in cases {
            let problem = read(name, text).expect_err(text);
            assert_eq!(problem.place(), place);
            assert!(problem.to_string().starts_with(message), "{problem}");
        }
    }

    #[test]
    fn items_are_called_by_their_name() {
        assert_eq!(item_key(&json!({"name": "h1", "x": 2})).as_deref(), Some("h1"));
        assert_eq!(item_key(&json!(7)).as_deref(), Some("7"));
        assert_eq!(item_key(&json!([1])), None);
    }
}
