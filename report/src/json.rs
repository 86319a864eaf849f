//! `report.json`: the report itself, whole. The other renderings leave things out; this one must not.

use rfx_schemas::report::{Report, SCHEMA};

/// Why bytes are not a report that this version can read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, or not of the report's shape.
    #[error("this is not a report of rfx")]
    Shape(#[source] serde_json::Error),
    /// Written by a version whose reports have another shape.
    #[error("the report has schema {found}, this version reads schema {SCHEMA}")]
    Schema {
        /// What the report says.
        found: u64,
    },
}

/// The report as indented JSON, ending in a newline.
pub fn json(report: &Report) -> Vec<u8> {
    let mut bytes =
        serde_json::to_vec_pretty(report).expect("a report has only text keys and finite numbers");
    bytes.push(b'\n');
    bytes
}

/// Reads what [`json`] wrote.
///
/// # Errors
/// [`ReadError::Schema`] for a report of another schema, whatever else it holds;
/// [`ReadError::Shape`] for anything else that is not a report.
pub fn read(bytes: &[u8]) -> Result<Report, ReadError> {
    serde_json::from_slice(bytes)
        .map_err(|error| match schema_of(bytes) {
            Some(found) if found != u64::from(SCHEMA) => ReadError::Schema { found },
            _ => ReadError::Shape(error),
        })
        .and_then(|report: Report| match report.schema {
            SCHEMA => Ok(report),
            other => Err(ReadError::Schema { found: other.into() }),
        })
}

/// The schema that the bytes claim, looked for only once they failed to be read.
fn schema_of(bytes: &[u8]) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(bytes).ok()?.get("schema")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn every_fixture_is_read_back_as_it_was() {
        for (name, report) in fixtures::table() {
            assert_eq!(read(&json(&report)).unwrap(), report, "{name}");
        }
    }

    #[test]
    fn the_shape_is_kept() {
        let text = String::from_utf8(json(&fixtures::failed())).unwrap();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn flows_inside_of_flows_keep_theirs() {
        let text = String::from_utf8(json(&fixtures::composites())).unwrap();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn another_schema_is_refused_by_its_number_even_if_the_shape_differs() {
        for bytes in [r#"{"schema":9,"who":"knows"}"#.to_owned(), newer()] {
            assert!(matches!(read(bytes.as_bytes()), Err(ReadError::Schema { found: 9 })));
        }
        assert!(matches!(read(b"[]"), Err(ReadError::Shape(_))));
        assert!(matches!(read(b"{"), Err(ReadError::Shape(_))));
    }

    fn newer() -> String {
        let text = String::from_utf8(json(&fixtures::failed())).unwrap();
        text.replacen("\"schema\": 1", "\"schema\": 9", 1)
    }
}
