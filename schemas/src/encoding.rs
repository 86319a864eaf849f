//! How messages become bytes: MessagePack with named fields in a versioned envelope.
//!
//! Unknown fields are ignored, so that an older reader takes what a newer writer adds; an unknown
//! version is refused by name, since then the meaning has changed.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version that this build writes, and the only one it reads.
pub const VERSION: u16 = 1;

/// A message with its own place in the envelope.
pub trait Message: Serialize + DeserializeOwned {
    /// What the envelope calls it.
    const KIND: &'static str;
}

#[derive(Serialize)]
struct Write<'a, T> {
    v: u16,
    kind: &'static str,
    body: &'a T,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Read<T> {
    v: u16,
    kind: String,
    body: T,
}

#[derive(Deserialize)]
struct Probe {
    v: u16,
    #[serde(default)]
    kind: String,
}

/// Why bytes are not the message that was expected.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A later rfx wrote it.
    #[error("a {kind} message of version {found}: this rfx reads version {VERSION}, upgrade it")]
    Version {
        /// The message's kind.
        kind: &'static str,
        /// The version that it has.
        found: u16,
    },
    /// It is another message.
    #[error("expected a {expected} message, got a {found:?} one")]
    Kind {
        /// The kind that was expected.
        expected: &'static str,
        /// The kind that it has.
        found: String,
    },
    /// It is no message at all.
    #[error("not a readable {kind} message")]
    Malformed {
        /// The kind that was expected.
        kind: &'static str,
        /// What MessagePack says.
        source: rmp_serde::decode::Error,
    },
}

/// The bytes of a message.
pub fn encode<T: Message>(body: &T) -> Bytes {
    let envelope = Write { v: VERSION, kind: T::KIND, body };
    let bytes = rmp_serde::to_vec_named(&envelope).expect("our messages have string keys and known lengths");
    Bytes::from(bytes)
}

/// The message in these bytes.
pub fn decode<T: Message>(bytes: &[u8]) -> Result<T, DecodeError> {
    match rmp_serde::from_slice::<Read<T>>(bytes) {
        Ok(read) if read.v != VERSION => Err(DecodeError::Version { kind: T::KIND, found: read.v }),
        Ok(read) if read.kind != T::KIND => Err(DecodeError::Kind { expected: T::KIND, found: read.kind }),
        Ok(read) => Ok(read.body),
        Err(source) => Err(explain(bytes, T::KIND, source)),
    }
}

/// A body of another version or kind fails to parse for that reason: say that one.
fn explain(bytes: &[u8], kind: &'static str, source: rmp_serde::decode::Error) -> DecodeError {
    match rmp_serde::from_slice::<Probe>(bytes) {
        Ok(probe) if probe.v != VERSION => DecodeError::Version { kind, found: probe.v },
        Ok(probe) if probe.kind != kind => DecodeError::Kind { expected: kind, found: probe.kind },
        _ => DecodeError::Malformed { kind, source },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fact::Cancelled;

    fn packed(value: &serde_json::Value) -> Vec<u8> {
        rmp_serde::to_vec_named(value).expect("a JSON value is writable")
    }

    #[test]
    fn unknown_fields_are_ignored_and_unknown_versions_refused_by_name() {
        let body = json!({"by": "a@b", "reason": "test", "since_v9": [1, 2]});
        let now = packed(&json!({"v": 1, "kind": "cancelled", "body": body, "more": {}}));
        assert_eq!(decode::<Cancelled>(&now).expect("readable").reason, "test");
        let later = packed(&json!({"v": 7, "kind": "cancelled", "body": {"changed": true}}));
        let error = decode::<Cancelled>(&later).expect_err("a later version");
        assert_eq!(
            error.to_string(),
            "a cancelled message of version 7: this rfx reads version 1, upgrade it"
        );
        let other = packed(&json!({"v": 1, "kind": "finished", "body": {}}));
        assert!(matches!(decode::<Cancelled>(&other), Err(DecodeError::Kind { .. })));
        assert!(matches!(decode::<Cancelled>(b"\xc1"), Err(DecodeError::Malformed { .. })));
    }
}
