//! Secrets of a step: their names travel with the job, their values come from the worker's own
//! environment and leave it only towards the function.
//!
//! Invariant: a value that a function prints, raises or gives back is taken out before the outcome
//! leaves the worker.

use std::collections::BTreeMap;

use bytes::Bytes;
use rfx_config::secret::Secret;
use rfx_schemas::outcome::{Assertion, Failure, kind};
use rfx_schemas::verdict::OutcomeKind;
use serde_json::Value;

use crate::attempt::Ending;

/// What stands where a value was.
const TAKEN_OUT: &str = "[secret]";

/// The secrets of one attempt, by name.
#[derive(Debug, Clone, Default)]
pub struct Secrets(BTreeMap<String, Secret>);

impl Secrets {
    /// Finds the values: the secret `NAME` is the variable `RFX_SECRET_NAME` of the worker.
    pub fn resolve(names: &[String], find: impl Fn(&str) -> Option<String>) -> Result<Self, Box<Ending>> {
        let mut secrets = BTreeMap::new();
        for name in names {
            let variable = format!("RFX_SECRET_{}", name.to_uppercase());
            let Some(value) = find(&variable).filter(|value| !value.is_empty()) else {
                let message = format!("the worker has no secret {name}: set {variable} where it runs");
                let failure = Failure::new(kind::SECRET, message);
                return Err(Box::new(Ending::failed(OutcomeKind::Error, failure)));
            };
            secrets.insert(name.clone(), Secret::new(value));
        }
        Ok(Self(secrets))
    }

    /// The value of a secret that the step names.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(Secret::reveal)
    }

    /// All of them, for the one frame that hands them to the runner.
    pub fn reveal(&self) -> BTreeMap<&str, &str> {
        self.0.iter().map(|(name, secret)| (name.as_str(), secret.reveal())).collect()
    }

    /// An ending without the values.
    pub fn redact(&self, ending: Ending) -> Ending {
        if self.0.is_empty() {
            return ending;
        }
        let some = |text: Option<String>| text.map(|text| self.clean(&text));
        Ending {
            kind: ending.kind,
            output: ending.output.map(|json| self.clean_json(json)),
            error: ending.error.map(|error| Failure {
                kind: self.clean(&error.kind),
                message: self.clean(&error.message),
                traceback: some(error.traceback),
                diff: some(error.diff),
            }),
            assertions: ending
                .assertions
                .into_iter()
                .map(|a| Assertion {
                    label: self.clean(&a.label),
                    passed: a.passed,
                    expected: some(a.expected),
                    seen: some(a.seen),
                    message: some(a.message),
                })
                .collect(),
            tail: self.clean(&ending.tail),
            leavings: ending.leavings,
            took: ending.took,
        }
    }

    /// The name of a secret whose value stands in some bytes, raw or as in JSON.
    pub fn found_in(&self, bytes: &[u8]) -> Option<&str> {
        let text = String::from_utf8_lossy(bytes);
        let found = self.0.iter().find(|(_, secret)| {
            let json = Value::from(secret.reveal()).to_string();
            [secret.reveal(), &json[1..json.len() - 1]].iter().any(|form| text.contains(form))
        });
        found.map(|(name, _)| name.as_str())
    }

    /// Bytes without the values; those that are no text only where none stands in them.
    pub fn clean_bytes(&self, bytes: Bytes) -> Bytes {
        if self.found_in(&bytes).is_none() {
            return bytes;
        }
        Bytes::from(self.clean(&String::from_utf8_lossy(&bytes)))
    }

    /// The values, the longest first: one may be a part of another.
    fn values(&self) -> Vec<&str> {
        let mut values: Vec<_> = self.0.values().map(Secret::reveal).collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values
    }

    /// A text without the values.
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in self.values() {
            // As written, and as it stands inside JSON.
            let json = Value::from(value).to_string();
            for form in [value, &json[1..json.len() - 1]] {
                if text.contains(form) {
                    text = text.replace(form, TAKEN_OUT);
                }
            }
        }
        text
    }

    fn clean_json(&self, json: Bytes) -> Bytes {
        let holds = |text: &str| self.clean(text) != text;
        match std::str::from_utf8(&json) {
            Ok(text) if holds(text) => match serde_json::from_str(text) {
                Ok(value) => Bytes::from(self.clean_value(value).to_string()),
                Err(_) => Bytes::from(self.clean(text)),
            },
            _ => json,
        }
    }

    /// A value without them. A number that holds one becomes a text: it stays JSON.
    fn clean_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.clean(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.clean_value(item)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(key, value)| (self.clean(&key), self.clean_value(value))).collect()
            }
            scalar => {
                let (text, clean) = (scalar.to_string(), self.clean(&scalar.to_string()));
                if text == clean { scalar } else { Value::String(clean) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let find = |name: &str| (name == "RFX_SECRET_TOKEN").then(|| "s3\"cret".to_owned());
        Secrets::resolve(&["TOKEN".to_owned()], find).expect("it is there")
    }

    #[test]
    fn a_value_is_in_nothing_that_leaves() {
        let output = serde_json::json!({"used": "s3\"cret", "n": 1}).to_string();
        let ending = Ending {
            output: Some(output.into()),
            tail: "token s3\"cret\n".to_owned(),
            ..Ending::failed(OutcomeKind::Failed, Failure::new("Error", "s3\"cret is wrong"))
        };
        let clean = secrets().redact(ending);
        assert_eq!(clean.output.as_deref(), Some(&br#"{"n":1,"used":"[secret]"}"#[..]));
        assert!(!format!("{clean:?}").contains("s3"), "{clean:?}");
        assert_eq!(secrets().get("TOKEN"), Some("s3\"cret"));
        assert!(!format!("{:?}", secrets()).contains("s3"));
    }

    #[test]
    fn an_output_stays_json_and_no_half_is_left() {
        let find = |name: &str| Some(if name.ends_with('A') { "1234" } else { "1234-5678" }.to_owned());
        let names = ["A".to_owned(), "B".to_owned()];
        let secrets = Secrets::resolve(&names, find).expect("both are there");
        let output = serde_json::json!({"n": 12345, "both": "1234-5678", "1234": true}).to_string();
        let ending = Ending { output: Some(output.into()), ..Ending::of(OutcomeKind::Passed) };
        let clean: Value =
            serde_json::from_slice(&secrets.redact(ending).output.expect("one")).expect("JSON");
        assert_eq!(clean, serde_json::json!({"n": "[secret]5", "both": "[secret]", "[secret]": true}));
    }

    #[test]
    fn one_that_is_missing_says_what_to_set() {
        let ending =
            Secrets::resolve(&["api_key".to_owned()], |_| Some(String::new())).expect_err("it is empty");
        let error = ending.error.expect("why");
        assert_eq!(error.message, "the worker has no secret api_key: set RFX_SECRET_API_KEY where it runs");
    }
}
