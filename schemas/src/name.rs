//! Names that people give: functions, groups, queues, steps. Parsing is the only way to make one.
//!
//! Invariant: whatever a name type holds is one NATS token once written with [`Function::token`]
//! and the like, so that a subject or key built from names always splits back into the same names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name accepted, in bytes. A subject carries three names; NATS servers take 4 KiB lines.
pub const MAX_LEN: usize = 128;

/// Why a text is not a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind} name: {reason}")]
pub struct NameError {
    kind: &'static str,
    text: String,
    reason: &'static str,
}

fn refuse(kind: &'static str, text: &str, reason: &'static str) -> NameError {
    NameError { kind, text: text.to_owned(), reason }
}

/// The shape that all kinds share: not empty, not too long, and `valid` for its characters.
fn check(
    kind: &'static str,
    text: &str,
    reason: &'static str,
    valid: impl Fn(&str) -> bool,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(refuse(kind, text, "it is empty"));
    }
    if text.len() > MAX_LEN {
        return Err(refuse(kind, text, "it is longer than 128 bytes"));
    }
    if valid(text) { Ok(()) } else { Err(refuse(kind, text, reason)) }
}

fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_lower_identifier(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn is_place(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $reason:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as people write it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check($kind, text, $reason, $valid)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                check($kind, &text, $reason, $valid)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name_type!(
    /// A function's dotted name, `tenants.create`.
    Function,
    "function",
    "use identifiers joined by dots, such as tenants.create",
    |text| text.split('.').all(is_identifier)
);

name_type!(
    /// A function's version: whole numbers joined by dots, `1` or `2.0.1`.
    Version,
    "version",
    "use whole numbers joined by dots, such as 1 or 2.0.1",
    |text| text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
);

name_type!(
    /// The consumer group of workers that pull the same jobs: a place to run, `aws-eu1`.
    ///
    /// `run` is refused, since facts about a whole run stand where a group's facts stand.
    Group,
    "group",
    "use lower-case letters, digits and inner hyphens, such as aws-eu1 (and not the word run)",
    |text| text != "run" && is_place(text)
);

name_type!(
    /// A lane in a group with its own durable consumer, `main` unless said otherwise.
    Queue,
    "queue",
    "use lower-case letters, digits and inner hyphens, such as high",
    is_place
);

name_type!(
    /// A step, input, data set or target of a flow: what an expression can read as an identifier.
    Local,
    "step, input or data",
    "use a lower-case letter, then lower-case letters, digits and underscores (CEL reads my-step as minus)",
    is_lower_identifier
);

name_type!(
    /// The first token of every subject, `rfx` unless teams share an account.
    Namespace,
    "namespace",
    "use lower-case letters, digits and inner hyphens, such as rfx or team-a",
    is_place
);

name_type!(
    /// What a worker, publisher or collector process calls itself in presence records.
    Member,
    "member",
    "use letters, digits, underscores and hyphens",
    |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
);

impl Function {
    /// The name as one NATS token: its dots are written `/`.
    pub fn token(&self) -> String {
        self.0.replace('.', "/")
    }

    /// Reads a token written by [`Function::token`].
    pub fn from_token(token: &str) -> Result<Self, NameError> {
        if token.contains('.') {
            return Err(refuse("function", token, "a token has no dots"));
        }
        token.replace('/', ".").parse()
    }
}

impl Version {
    /// Its numbers, by which versions are ordered: 10 comes after 9.
    pub fn numbers(&self) -> Vec<u64> {
        self.0.split('.').map(|number| number.parse().unwrap_or(u64::MAX)).collect()
    }

    /// The version as one NATS token: its dots are written `/`.
    pub fn token(&self) -> String {
        self.0.replace('.', "/")
    }

    /// Reads a token written by [`Version::token`].
    pub fn from_token(token: &str) -> Result<Self, NameError> {
        token.replace('/', ".").parse()
    }
}

impl Queue {
    /// The lane that jobs take when nothing else is said.
    pub fn main() -> Self {
        Self("main".to_owned())
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("rfx".to_owned())
    }
}

impl Member {
    /// A member named after its process, with what cannot stand in a key replaced.
    pub fn for_process(host: &str, process: u32, salt: u32) -> Self {
        let host: String =
            host.chars().take(64).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        Self(format!("{host}-{process}-{salt:08x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_wrong_and_what_would_be_right() {
        let error = "my step".parse::<Function>().expect_err("a space");
        assert_eq!(
            error.to_string(),
            "\"my step\" is not a function name: use identifiers joined by dots, such as tenants.create"
        );
        assert!("run".parse::<Group>().is_err(), "facts of a whole run stand there");
        assert!("my-step".parse::<Local>().is_err());
        assert!("aws-eu1".parse::<Group>().is_ok());
        assert!("a__b".parse::<Group>().is_err(), "consumers are named <group>__<queue>");
    }

    #[test]
    fn a_function_is_one_token() {
        let name: Function = "tenants.create".parse().expect("a name");
        assert_eq!(name.token(), "tenants/create");
        assert_eq!(Function::from_token("tenants/create"), Ok(name));
        assert!(Function::from_token("tenants.create").is_err());
    }
}
