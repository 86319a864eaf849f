//! Values in messages: JSON text inline, or a reference to a blob when they are big.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Values above this many bytes of JSON travel as a blob (claim check). Messages stay small, so a
/// pull of hundreds of jobs fits a worker's memory, and far below the server's 1 MiB default.
pub const INLINE_LIMIT: usize = 64 * 1024;

/// Bytes in one chunk of a blob: half of the server's default `max_payload`.
pub const CHUNK: usize = 512 * 1024;

/// JSON text, kept as bytes: it crosses publisher, worker and runner without being parsed again.
/// In MessagePack it is binary, in human-readable formats a text.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Bytes);

impl Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.serialize_str(&String::from_utf8_lossy(&self.0)),
            false => serializer.serialize_bytes(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.is_human_readable() {
            true => String::deserialize(deserializer).map(|text| Self(text.into())),
            false => Bytes::deserialize(deserializer).map(Self),
        }
    }
}

impl Json {
    /// The text of a value.
    pub fn of(value: &serde_json::Value) -> Self {
        Self(Bytes::from(serde_json::to_vec(value).expect("a JSON value has string keys, so it is writable")))
    }

    /// Text that is known to be JSON, or will be checked where it is read.
    pub fn from_text(text: Bytes) -> Self {
        Self(text)
    }

    /// The JSON text.
    pub fn text(&self) -> &Bytes {
        &self.0
    }

    /// The value.
    pub fn parse(&self) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }
}

impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// A big value in the blob stream, named by what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// SHA-256 of the bytes, in hex.
    pub digest: String,
    /// How many bytes.
    pub size: u64,
    /// In how many chunks.
    pub chunks: u32,
}

impl BlobRef {
    /// The reference for these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let chunks = bytes.len().div_ceil(CHUNK).max(1);
        Self {
            digest: hex(&Sha256::digest(bytes)),
            size: bytes.len() as u64,
            chunks: u32::try_from(chunks).expect("blobs stay far below 2 PiB"),
        }
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A value in a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// Here, as JSON text.
    Inline(Json),
    /// In the blob stream, under the run that the message belongs to.
    Blob(BlobRef),
}

impl Payload {
    /// The JSON `null`.
    pub fn null() -> Self {
        Self::Inline(Json(Bytes::from_static(b"null")))
    }

    /// The payload for JSON text, and whether the text must be stored as a blob first.
    pub fn of(json: Json) -> (Self, Option<Bytes>) {
        if json.0.len() <= INLINE_LIMIT {
            (Self::Inline(json), None)
        } else {
            (Self::Blob(BlobRef::of(&json.0)), Some(json.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_big_for_a_message_becomes_a_reference_to_the_same_bytes() {
        let small = Json::of(&serde_json::json!({"a": 1}));
        assert!(matches!(Payload::of(small), (Payload::Inline(_), None)));
        let text = Bytes::from(vec![b'1'; INLINE_LIMIT + 1]);
        let (payload, stored) = Payload::of(Json::from_text(text.clone()));
        assert_eq!(payload, Payload::Blob(BlobRef::of(&text)));
        assert_eq!(stored, Some(text));
        assert_eq!(BlobRef::of(&vec![0; CHUNK + 1]).chunks, 2);
    }
}
