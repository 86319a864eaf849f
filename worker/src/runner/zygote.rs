//! The worker's side of a zygote: asks it for runners, hears how they end.

use std::collections::HashMap;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use tokio::io::Interest;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::frames::{Reader, Said, put};
use super::line::Line;
use super::process::{Exit, Process, Started};

/// How long a zygote may take to end its runners.
const END: Duration = Duration::from_secs(5);

/// A zygote that is up. Dropping it ends its runners, too.
pub struct Zygote {
    to: OwnedWriteHalf,
    writing: tokio::sync::Mutex<u64>,
    runners: Arc<Mutex<Runners>>,
    process: Process,
}

/// What the zygote will still tell of.
#[derive(Default)]
struct Runners {
    /// Whether nothing is told any more.
    over: bool,
    forking: HashMap<u64, oneshot::Sender<Pid>>,
    living: HashMap<u64, Living>,
}

/// A runner whose end will be told.
struct Living {
    pid: Option<Pid>,
    tell: watch::Sender<Option<Exit>>,
}

impl Zygote {
    /// Takes over a process that has said that it forks.
    pub fn new(started: Started) -> Self {
        let Started { process, line, .. } = started;
        let runners = Arc::new(Mutex::new(Runners::default()));
        // Ends when the zygote closes its socket.
        tokio::spawn(listen(line.from, Arc::clone(&runners)));
        Self { to: line.to, writing: tokio::sync::Mutex::new(0), runners, process }
    }

    /// Lets it end, with what its runners have left.
    pub async fn close(self) {
        let Self { mut to, mut process, .. } = self;
        if let Err(error) = tokio::io::AsyncWriteExt::shutdown(&mut to).await {
            tracing::trace!(%error, "it has closed its end already");
        }
        if timeout(END, process.ended()).await.is_err() {
            process.kill().await;
        }
    }

    /// Kills it, and so its runners.
    pub fn kill(&self) {
        self.process.signal(Signal::KILL);
    }

    /// Whether it can be asked.
    pub fn is_up(&self) -> bool {
        self.process.is_up() && !self.lock().over
    }

    /// A runner of its own; it is ready for calls at once.
    pub async fn fork(&self, shared: bool) -> std::io::Result<(Process, Line)> {
        let (line, other) = Line::pair()?;
        let (tell, exit) = watch::channel(None);
        let (forked, pid) = oneshot::channel();
        let mut number = self.writing.lock().await;
        *number += 1;
        {
            let mut runners = self.lock();
            runners.forking.insert(*number, forked);
            runners.living.insert(*number, Living { pid: None, tell });
        }
        let mut frame = Vec::new();
        put(&mut frame, &json!({"type": "fork", "runner": *number, "shared": shared}), b"");
        self.send(&frame, &[other.socket.as_fd(), other.output.as_fd()]).await?;
        drop(number);
        let gone = |_| std::io::Error::new(std::io::ErrorKind::BrokenPipe, "the zygote has ended");
        let pid = pid.await.map_err(gone)?;
        Ok((Process::new(pid, exit, None), line))
    }

    /// Has it look for what a runner left behind, that ended in a way that it cannot tell.
    pub async fn sweep(&self) {
        let mut frame = Vec::new();
        put(&mut frame, &json!({"type": "sweep"}), b"");
        let _writing = self.writing.lock().await;
        if let Err(error) = self.send(&frame, &[]).await {
            tracing::debug!(%error, "the zygote is gone, and sweeps as it goes");
        }
    }

    /// Sends a frame, with descriptors when there are some. A frame is far smaller than the socket's
    /// buffer, so it is sent as a whole.
    async fn send(&self, frame: &[u8], fds: &[BorrowedFd<'_>]) -> std::io::Result<()> {
        let socket: &tokio::net::UnixStream = self.to.as_ref();
        let sending = socket.async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
                return Err(std::io::Error::other("no room for two descriptors"));
            }
            let sent = sendmsg(socket, &[IoSlice::new(frame)], &mut control, SendFlags::NOSIGNAL)?;
            match sent == frame.len() {
                true => Ok(()),
                false => Err(std::io::Error::other("the zygote took half a frame")),
            }
        });
        sending.await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Runners> {
        self.runners.lock().expect("no panic holds it")
    }
}

async fn listen(mut from: Reader<OwnedReadHalf>, runners: Arc<Mutex<Runners>>) {
    while let Ok(Some((said, _))) = from.next().await {
        let mut runners = runners.lock().expect("no panic holds it");
        match said {
            Said::Forked { runner, pid } => {
                let waiting = runners.forking.remove(&runner);
                if let Some(living) = runners.living.get_mut(&runner) {
                    living.pid = Pid::from_raw(pid);
                }
                if let (Some(waiting), Some(pid)) = (waiting, Pid::from_raw(pid))
                    && waiting.send(pid).is_err()
                {
                    tracing::debug!("nobody waits for a runner any more; it ends with its socket");
                }
            }
            Said::Exited { runner, code, signal } => {
                if let Some(living) = runners.living.remove(&runner) {
                    let exit = code.map(Exit::Code).or(signal.map(Exit::Signal));
                    living
                        .tell
                        .send_replace(Some(exit.unwrap_or_else(|| Exit::Unknown("somehow".to_owned()))));
                }
            }
            _ => tracing::debug!("the zygote said something out of turn"),
        }
    }
    // Its runners end with it where the kernel sees to that; elsewhere this does.
    let mut runners = runners.lock().expect("no panic holds it");
    runners.over = true;
    runners.forking.clear();
    for (_, living) in runners.living.drain() {
        if let Some(Err(error)) = living.pid.map(|pid| kill_process_group(pid, Signal::KILL)) {
            tracing::trace!(%error, "it has ended with its zygote");
        }
        living.tell.send_replace(Some(Exit::Orphaned));
    }
}
