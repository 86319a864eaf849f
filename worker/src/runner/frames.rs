//! Frames between worker and runner: two lengths, a JSON header, a raw body.
//!
//! `u32 header length, u32 body length` (big endian), header, body. A JSON header, since Python's
//! stdlib reads it seven times faster than a pure-Python MessagePack (measured); a raw body, since
//! inputs and outputs pass through unread. The protocol stands in `docs/runner-protocol.md`.

use std::collections::BTreeMap;
use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use rfx_schemas::rules::Isolation;
use rfx_schemas::verdict::OutcomeKind;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::hello::Hello;

/// The version that this worker speaks.
pub const PROTOCOL: u32 = 2;
/// Longest header, in bytes.
const MAX_HEADER: u32 = 16 << 20;
/// Longest body, in bytes.
pub const MAX_BODY: u32 = 64 << 20;
/// How what broke the protocol is told; what was sent follows.
pub const BROKE: &str = "broke the protocol (docs/runner-protocol.md): it sent ";
/// Bytes asked for at once.
const CHUNK: usize = 64 << 10;

/// What a runner or zygote says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Said {
    /// It is ready, and this is what its pool holds.
    Hello(Box<Hello>),
    /// It cannot serve the pool at all.
    Fatal {
        /// Why, and what to do.
        error: String,
    },
    /// A call has ended; the body is its output.
    End(Box<End>),
    /// A call asks for something, and waits for the answer.
    Ask(Box<Ask>),
    /// A call has printed, and the next one waits until that is read.
    Printed {
        /// What the answer names.
        ask: u64,
    },
    /// A call is getting on.
    Progress {
        /// Which call.
        id: u64,
        /// How far it is.
        message: String,
    },
    /// The process is alive.
    Pong {},
    /// A call is alive.
    Beat {
        /// Which call.
        id: u64,
    },
    /// A call has finished a span.
    Span(Box<SaidSpan>),
    /// Calls that were sent ahead, that it has not begun and will not.
    Returned {
        /// Which.
        ids: Vec<u64>,
    },
    /// A zygote has forked a runner, or refused to.
    #[serde(alias = "refused")]
    Forked {
        /// Which, as the worker numbers them.
        runner: u64,
        /// Its process, if there is one.
        #[serde(default)]
        pid: Option<i32>,
        /// Why there is none.
        #[serde(default)]
        error: Option<String>,
    },
    /// A runner that a zygote forked has ended.
    Exited {
        /// Which.
        runner: u64,
        /// Its exit code, unless a signal ended it.
        code: Option<i32>,
        /// The signal.
        signal: Option<i32>,
    },
}

/// What a call asks for. What else is in it depends on `what`.
#[derive(Debug, Deserialize)]
pub struct Ask {
    /// Which call.
    pub id: u64,
    /// What the answer names.
    pub ask: u64,
    /// For what.
    pub what: String,
    /// The rest.
    #[serde(flatten)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// A span of a function, after it ended.
#[derive(Debug, Deserialize)]
pub struct SaidSpan {
    /// Which call.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its id, in hex.
    pub span: String,
    /// The id of the span around it, in hex.
    pub parent: String,
    /// When it began, in seconds since 1970.
    pub start: f64,
    /// When it ended.
    pub end: f64,
    /// What is known of it.
    #[serde(default)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
    /// Whether its status is ok.
    pub ok: bool,
    /// What was wrong.
    #[serde(default)]
    pub error: Option<String>,
}

/// How a call ended.
#[derive(Debug, Deserialize)]
pub struct End {
    /// Which call.
    pub id: u64,
    /// How.
    pub kind: OutcomeKind,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<rfx_schemas::outcome::Failure>,
    /// Comparisons that were recorded.
    #[serde(default)]
    pub assertions: Vec<SaidAssertion>,
    /// Whether the process is not fit for another call.
    #[serde(default)]
    pub retire: bool,
    /// Whether it left processes behind.
    #[serde(default)]
    pub left: bool,
    /// The most memory that the process ever had, in KiB.
    #[serde(default)]
    pub memory: u64,
    /// How long the function took, in seconds.
    #[serde(default)]
    pub took: Option<f64>,
    /// What it printed, where the runner tells that apart itself.
    #[serde(default)]
    pub tail: String,
}

/// A comparison, with values as the runner has them.
#[derive(Debug, Deserialize)]
pub struct SaidAssertion {
    /// Its label.
    pub label: String,
    /// Whether it held.
    pub passed: bool,
    /// What it should have been.
    #[serde(default)]
    pub expected: serde_json::Value,
    /// What it was.
    #[serde(default)]
    pub seen: serde_json::Value,
    /// What the author says about it.
    #[serde(default)]
    pub message: Option<String>,
}

/// What the worker asks for; the body is the input. Its id and its deadline are known only when it is
/// sent: see [`put_call`].
#[derive(Debug, Clone, Serialize)]
pub struct Call<'a> {
    /// Always `call`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The function.
    pub function: &'a str,
    /// Its version.
    pub version: Option<&'a str>,
    /// The run.
    pub run: String,
    /// The flow.
    pub flow: &'a str,
    /// The step.
    pub step: &'a str,
    /// The job.
    pub job: String,
    /// The attempt.
    pub attempt: u32,
    /// The group whose worker executes it.
    pub group: &'a str,
    /// The lane that it came through.
    pub queue: &'a str,
    /// In what process it is executed.
    pub isolation: Isolation,
    /// When it must have ended, in seconds since 1970, if it begins now.
    #[serde(skip)]
    pub deadline: f64,
    /// The system under test.
    pub target: &'a BTreeMap<String, String>,
    /// Values of the secrets that the step names.
    pub secrets: BTreeMap<&'a str, &'a str>,
    /// The attempt's span.
    pub traceparent: String,
    /// What people call the item.
    pub key: Option<&'a str>,
}

impl Call<'_> {
    /// Its header but for the id, which whoever sends it adds.
    pub fn header(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are writable")
    }
}

/// Adds the frame of a call: a header as [`Call::header`] makes it, under an id, with the time when it
/// must have ended, in seconds since 1970.
pub fn put_call(to: &mut Vec<u8>, id: u64, deadline: f64, header: &[u8], body: &[u8]) {
    let id = format!("{{\"id\":{id},\"deadline\":{deadline:.6},");
    let rest = header.get(1..).unwrap_or_default();
    put_lengths(to, id.len() + rest.len(), body.len());
    to.extend_from_slice(id.as_bytes());
    to.extend_from_slice(rest);
    to.extend_from_slice(body);
}

/// Adds a frame.
pub fn put(to: &mut Vec<u8>, header: &serde_json::Value, body: &[u8]) {
    let header = header.to_string();
    put_lengths(to, header.len(), body.len());
    to.extend_from_slice(header.as_bytes());
    to.extend_from_slice(body);
}

/// Whether a call can be carried: why not, in the words of the limits.
pub fn check_size(header: &[u8], body: &[u8]) -> Result<(), String> {
    let over = |what: &str, size: usize, most: u32| {
        (size + 64 > most as usize).then(|| format!("{what} of {size} bytes; at most {most} are carried"))
    };
    match over("a header", header.len(), MAX_HEADER).or_else(|| over("an input", body.len(), MAX_BODY)) {
        Some(why) => Err(why),
        None => Ok(()),
    }
}

/// A reply as it can be carried: one that is too long says so instead.
pub fn bounded(header: serde_json::Value, body: Bytes) -> (serde_json::Value, Bytes) {
    if body.len() <= MAX_BODY as usize {
        return (header, body);
    }
    let message = format!("the answer has {} bytes; at most {MAX_BODY} are carried", body.len());
    let error = serde_json::json!({"type": "TooLarge", "message": message});
    let (id, ask) = (&header["id"], &header["ask"]);
    (serde_json::json!({"type": "reply", "id": id, "ask": ask, "error": error}), Bytes::new())
}

fn put_lengths(to: &mut Vec<u8>, header: usize, body: usize) {
    for length in [header, body] {
        let length = u32::try_from(length).expect("sizes are checked before");
        to.extend_from_slice(&length.to_be_bytes());
    }
}

/// Reads frames.
pub struct Reader<R> {
    from: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// A reader over a stream.
    pub fn new(from: R) -> Self {
        Self { from, buffer: BytesMut::with_capacity(CHUNK) }
    }

    /// The next frame; none at the end of the stream. Safe to cancel: what was read is kept.
    pub async fn next(&mut self) -> io::Result<Option<(Said, Bytes)>> {
        loop {
            if let Some(frame) = self.ready()? {
                return Ok(Some(frame));
            }
            self.buffer.reserve(CHUNK);
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// A frame that has been read already.
    pub fn ready(&mut self) -> io::Result<Option<(Said, Bytes)>> {
        let Some((lengths, _)) = self.buffer.split_first_chunk::<8>() else { return Ok(None) };
        let [a, b, c, d, e, f, g, h] = *lengths;
        let (header, body) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        if header > MAX_HEADER || body > MAX_BODY {
            let lengths = format!(
                "a frame with a header of {header} bytes and a body of {body}; at most {MAX_HEADER} and {MAX_BODY} \
                 are carried: only frames belong on the socket"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, lengths));
        }
        let whole = 8 + header as usize + body as usize;
        if self.buffer.len() < whole {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(whole).freeze();
        frame.advance(8);
        let header = frame.split_to(header as usize);
        let said = serde_json::from_slice(&header).map_err(|error| {
            // Without its text: a part of one could hold a part of a secret.
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a frame with a header that is not known: {error}"),
            )
        })?;
        Ok(Some((said, frame)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_to_be_carried_is_not_sent() {
        let (header, body) = (vec![b' '; MAX_HEADER as usize + 1], vec![b' '; MAX_BODY as usize + 1]);
        assert_eq!(check_size(&header[..100], &body[..100]), Ok(()));
        let said = check_size(&header, b"").expect_err("too long");
        assert!(said.contains("a header of 16777217 bytes; at most 16777216"), "{said}");
        let reply = serde_json::json!({"type": "reply", "id": 1, "ask": 2});
        let (told, none) = bounded(reply, Bytes::from(body.clone()));
        assert!(told["error"]["type"] == "TooLarge" && told["ask"] == 2 && none.is_empty(), "{told}");
        let said = check_size(b"{}", &body).expect_err("too long");
        assert!(said.contains("an input of 67108865 bytes; at most 67108864"), "{said}");
    }

    #[tokio::test]
    async fn what_is_no_frame_is_told_from_what_is_not_whole() {
        let read = async |bytes: &[u8]| Reader::new(bytes).next().await;
        assert!(read(&[0, 0, 0]).await.expect("nothing wrong so far").is_none());
        let mut frame = Vec::new();
        put(&mut frame, &serde_json::json!({"type": "beat", "id": 7, "later": true}), b"body");
        let (said, body) = read(&frame).await.expect("a frame").expect("whole");
        assert!(matches!(said, Said::Beat { id: 7 }) && body == "body"[..]);
        for bytes in [&b"Starting\n"[..], &[0xff; 8], &[1, 0, 0, 1, 0, 0, 0, 0], &[0, 0, 0, 2, 4, 0, 0, 1]] {
            let error = read(bytes).await.expect_err("too long");
            assert!(
                error.kind() == io::ErrorKind::InvalidData && error.to_string().contains("at most"),
                "{error}"
            );
        }
        for header in ["{", "[]", "{}", "{\"type\": \"praise\"}", "{\"type\": \"end\", \"id\": -1}"] {
            let mut frame = Vec::new();
            put_lengths(&mut frame, header.len(), 0);
            frame.extend_from_slice(header.as_bytes());
            let error = read(&frame).await.expect_err(header);
            assert!(error.to_string().contains("is not known"), "{error}");
        }
    }
}
