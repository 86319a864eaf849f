//! Frames between worker and runner: two lengths, a JSON header, a raw body.
//!
//! `u32 header length, u32 body length` (big endian), header, body. A JSON header, since Python's
//! stdlib reads it seven times faster than a pure-Python MessagePack (measured); a raw body, since
//! inputs and outputs pass through unread. The protocol stands in `docs/runner-protocol.md`.

use std::io;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The version that this worker speaks.
pub const PROTOCOL: u32 = 1;
/// Longest header, in bytes.
const MAX_HEADER: u32 = 16 << 20;
/// Longest body, in bytes.
const MAX_BODY: u32 = 64 << 20;

/// What a runner says.
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
    /// A call is getting on. How far is not read: nobody watches yet.
    Progress {},
}

/// A pool, as its runner found it.
#[derive(Debug, Clone, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the runner.
    pub protocol: u32,
    /// The interpreter's version.
    pub python: String,
    /// The pool.
    pub pool: PoolInfo,
    /// What it offers.
    pub functions: Vec<FunctionInfo>,
    /// What could not be imported.
    pub broken: Vec<BrokenInfo>,
}

/// A pool's own words about itself.
#[derive(Debug, Clone, Deserialize)]
pub struct PoolInfo {
    /// Its name.
    pub name: String,
}

/// A function of a pool.
#[derive(Debug, Clone, Deserialize)]
pub struct FunctionInfo {
    /// Its dotted name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its documentation.
    #[serde(default)]
    pub doc: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Who answers for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// The lane that its jobs take.
    #[serde(default)]
    pub queue: Option<String>,
    /// Longest time that an attempt may run, in seconds.
    #[serde(default)]
    pub timeout: Option<f64>,
    /// Keys of shared state that it reads or writes.
    #[serde(default)]
    pub state: Vec<String>,
    /// JSON Schema of its input.
    #[serde(default)]
    pub input_schema: serde_json::Value,
    /// JSON Schema of its output.
    #[serde(default)]
    pub output_schema: serde_json::Value,
    /// Its file, relative to the pool.
    pub file: String,
    /// Its line there.
    pub line: u32,
    /// Digest of the file.
    pub digest: String,
}

/// A module that could not be imported.
#[derive(Debug, Clone, Deserialize)]
pub struct BrokenInfo {
    /// The module.
    pub module: String,
    /// Where it stopped.
    #[serde(default)]
    pub file: Option<String>,
    /// Where it stopped.
    #[serde(default)]
    pub line: Option<u32>,
    /// One line.
    pub error: String,
    /// The whole story.
    #[serde(default)]
    pub traceback: String,
}

/// How a call ended.
#[derive(Debug, Deserialize)]
pub struct End {
    /// Which call.
    pub id: u64,
    /// How.
    pub kind: rfx_schemas::verdict::OutcomeKind,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<rfx_schemas::outcome::Failure>,
    /// Comparisons that were recorded.
    #[serde(default)]
    pub assertions: Vec<SaidAssertion>,
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

/// What the worker asks for; the body is the input.
#[derive(Debug, Clone, Serialize)]
pub struct Call<'a> {
    /// Always `call`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Told apart by the runner's answer.
    pub id: u64,
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
    /// When it must have ended, in seconds since 1970.
    pub deadline: f64,
    /// The system under test.
    pub target: &'a std::collections::BTreeMap<String, String>,
    /// Values of the secrets that the step names.
    pub secrets: std::collections::BTreeMap<&'a str, &'a str>,
    /// The attempt's span.
    pub traceparent: String,
    /// What people call the item.
    pub key: Option<&'a str>,
}

/// Writes one frame.
pub async fn write<W: AsyncWrite + Unpin>(
    to: &mut W,
    header: &impl Serialize,
    body: &[u8],
) -> io::Result<()> {
    let header = serde_json::to_vec(header).map_err(io::Error::other)?;
    let length = |bytes: &[u8], max: u32, what: &str| match u32::try_from(bytes.len()) {
        Ok(length) if length <= max => Ok(length.to_be_bytes()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{what} of {} bytes is too long", bytes.len()),
        )),
    };
    let mut frame = Vec::with_capacity(8 + header.len() + body.len());
    frame.extend_from_slice(&length(&header, MAX_HEADER, "a header")?);
    frame.extend_from_slice(&length(body, MAX_BODY, "an input")?);
    frame.extend_from_slice(&header);
    frame.extend_from_slice(body);
    to.write_all(&frame).await
}

/// Reads one frame. Not safe to cancel: use it on a reader of its own.
pub async fn read<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<(Said, Bytes)> {
    let (header, body) = (from.read_u32().await?, from.read_u32().await?);
    if header > MAX_HEADER || body > MAX_BODY {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame of the runner is too long"));
    }
    let mut text = vec![0; header as usize];
    from.read_exact(&mut text).await?;
    let mut raw = vec![0; body as usize];
    from.read_exact(&mut raw).await?;
    let said = serde_json::from_slice(&text).map_err(io::Error::other)?;
    Ok((said, raw.into()))
}
