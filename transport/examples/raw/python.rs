//! A Python child that answers calls, with nothing between but a socket; and how many it answers.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::Error;

const CHILDREN: usize = 2;
/// Calls that are with a child at once.
const IN_FLIGHT: usize = 64;

/// A child; it ends with its socket.
pub struct Python {
    calls: mpsc::UnboundedSender<(Bytes, oneshot::Sender<Bytes>)>,
    child: Child,
}

impl Python {
    pub fn start() -> Result<Self, Error> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/raw/child.py");
        let child = Command::new(python).arg(script).stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
        let (calls, receiver) = mpsc::unbounded_channel();
        tokio::spawn(converse(UnixStream::from_std(ours)?, receiver));
        Ok(Self { calls, child })
    }

    /// Sends a call now; the answer comes later.
    pub fn call(&self, body: Bytes) -> oneshot::Receiver<Bytes> {
        let (sender, answer) = oneshot::channel();
        // A child that is gone shows by the answer that does not come.
        drop(self.calls.send((body, sender)));
        answer
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn converse(socket: UnixStream, mut calls: mpsc::UnboundedReceiver<(Bytes, oneshot::Sender<Bytes>)>) {
    let (mut from, mut to) = socket.into_split();
    let (waiting, mut asked) = mpsc::unbounded_channel::<oneshot::Sender<Bytes>>();
    let writing = async move {
        let mut out = BytesMut::new();
        while let Some(first) = calls.recv().await {
            let mut next = Some(first);
            // Whatever else is ready goes out with the same write.
            while let Some((body, sender)) = next {
                out.extend_from_slice(&u32::try_from(body.len()).expect("small").to_be_bytes());
                out.extend_from_slice(&body);
                drop(waiting.send(sender));
                next = calls.try_recv().ok();
            }
            if to.write_all(&out).await.is_err() {
                return;
            }
            out.clear();
        }
    };
    let reading = async move {
        let mut buffer = BytesMut::with_capacity(1 << 16);
        while from.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
            while let Some(size) = buffer.first_chunk::<4>().map(|size| u32::from_be_bytes(*size) as usize)
                && buffer.len() >= 4 + size
            {
                buffer.advance(4);
                let answer = buffer.split_to(size).freeze();
                drop(asked.recv().await.expect("each answer was asked for").send(answer));
            }
        }
    };
    tokio::join!(writing, reading);
}

/// The floor: calls a second of two children, without a broker.
pub async fn measure(calls: usize) -> Result<f64, Error> {
    let children: Vec<_> = (0..CHILDREN).map(|_| Python::start()).collect::<Result<_, _>>()?;
    let body = Bytes::from(format!("{{\"text\":\"{}\"}}", "x".repeat(200)));
    for child in &children {
        child.call(body.clone()).await?;
    }
    let started = Instant::now();
    let all = children.iter().map(|child| {
        let body = body.clone();
        async move {
            let permits = std::sync::Arc::new(Semaphore::new(IN_FLIGHT));
            for _ in 0..calls / CHILDREN {
                let permit = std::sync::Arc::clone(&permits).acquire_owned().await.expect("open");
                let answer = child.call(body.clone());
                tokio::spawn(async move {
                    answer.await.expect("an answer");
                    drop(permit);
                });
            }
            let _all = permits.acquire_many(u32::try_from(IN_FLIGHT).expect("few")).await.expect("open");
        }
    });
    futures_util::future::join_all(all).await;
    Ok(calls as f64 / started.elapsed().as_secs_f64())
}
