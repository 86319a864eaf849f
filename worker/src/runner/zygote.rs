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
use super::line::{Line, Output};
use super::process::{Exit, Process, Started};

/// How long a zygote may take to end its runners.
const END: Duration = Duration::from_secs(5);

/// A zygote that is up. Dropping it ends its runners, too.
pub struct Zygote {
    to: OwnedWriteHalf,
    writing: tokio::sync::Mutex<u64>,
    runners: Arc<Mutex<Runners>>,
    /// Before the process, which ends as it is dropped.
    closing: Closing,
    process: Process,
}

/// Dropped when the zygote is to end.
struct Closing(Arc<Mutex<Runners>>);

impl Drop for Closing {
    fn drop(&mut self) {
        if let Ok(mut runners) = self.0.lock() {
            runners.closing = true;
        }
    }
}

/// What the zygote will still tell of.
#[derive(Default)]
struct Runners {
    /// Whether nothing is told any more.
    over: bool,
    forking: HashMap<u64, oneshot::Sender<Result<Pid, String>>>,
    living: HashMap<u64, Living>,
    /// Whether it has been told to end.
    closing: bool,
}

/// A runner whose end will be told.
struct Living {
    pid: Option<Pid>,
    tell: watch::Sender<Option<Exit>>,
}

impl Zygote {
    /// Takes over a process that has said that it forks.
    pub fn new(started: Started) -> Self {
        Self::over(started.line, started.process)
    }

    fn over(line: Line, process: Process) -> Self {
        let runners = Arc::new(Mutex::new(Runners::default()));
        // Ends when the zygote closes its socket, or ends: somebody may have inherited its end.
        tokio::spawn(listen(line.from, line.output, process.exit(), Arc::clone(&runners)));
        Self {
            to: line.to,
            writing: tokio::sync::Mutex::new(0),
            closing: Closing(Arc::clone(&runners)),
            runners,
            process,
        }
    }

    /// Lets it end, with what its runners have left.
    pub async fn close(self) {
        let Self { mut to, mut process, closing, .. } = self;
        drop(closing);
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
        let pid = pid.await.map_err(gone)?.map_err(std::io::Error::other)?;
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

async fn listen(
    mut from: Reader<OwnedReadHalf>,
    mut output: Output,
    mut exit: watch::Receiver<Option<Exit>>,
    runners: Arc<Mutex<Runners>>,
) {
    loop {
        let said = tokio::select! {
            biased;
            said = from.next() => said,
            _ = exit.wait_for(Option::is_some) => break,
            () = output.printed() => continue,
        };
        let Ok(Some((said, _))) = said else { break };
        runners.lock().expect("no panic holds it").hear(said);
    }
    let closing = runners.lock().expect("no panic holds it").over();
    // The socket is closed a moment before the process has ended.
    let exit = match timeout(END, exit.wait_for(Option::is_some)).await {
        Ok(Ok(exit)) => exit.clone(),
        Ok(Err(_)) | Err(_) => None,
    };
    if !closing {
        let exit = exit.map_or_else(|| "closed its socket".to_owned(), |exit| exit.to_string());
        tracing::warn!(printed = output.take().trim_end(), "a zygote {exit}");
    }
}

impl Runners {
    fn hear(&mut self, said: Said) {
        match said {
            Said::Forked { runner, pid, error } => {
                let pid = pid.and_then(Pid::from_raw);
                match (pid, self.living.get_mut(&runner)) {
                    (Some(_), Some(living)) => living.pid = pid,
                    (Some(_), None) => {}
                    // It has no end that could be told.
                    (None, _) => drop(self.living.remove(&runner)),
                }
                let forked =
                    pid.ok_or_else(|| error.unwrap_or_else(|| "the zygote says no process".to_owned()));
                if let Some(waiting) = self.forking.remove(&runner)
                    && waiting.send(forked).is_err()
                {
                    tracing::debug!("nobody waits for a runner any more; it ends with its socket");
                }
            }
            Said::Exited { runner, code, signal } => {
                if let Some(living) = self.living.remove(&runner) {
                    let exit = code.map(Exit::Code).or(signal.map(Exit::Signal));
                    living
                        .tell
                        .send_replace(Some(exit.unwrap_or_else(|| Exit::Unknown("somehow".to_owned()))));
                }
            }
            _ => tracing::debug!("the zygote said something out of turn"),
        }
    }

    /// Nothing is told any more; gives whether that was to be.
    fn over(&mut self) -> bool {
        self.over = true;
        self.forking.clear();
        // Its runners end with it where the kernel sees to that; elsewhere this does.
        for (_, living) in self.living.drain() {
            if let Some(Err(error)) = living.pid.map(|pid| kill_process_group(pid, Signal::KILL)) {
                tracing::trace!(%error, "it has ended with its zygote");
            }
            living.tell.send_replace(Some(Exit::Orphaned));
        }
        self.closing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    /// A zygote that is played over its socket, and what tells its end.
    fn played() -> (Zygote, tokio::net::UnixStream, watch::Sender<Option<Exit>>) {
        let (line, other) = Line::pair().expect("a line");
        let theirs = std::os::unix::net::UnixStream::from(other.socket);
        theirs.set_nonblocking(true).expect("a socket");
        let theirs = tokio::net::UnixStream::from_std(theirs).expect("a socket");
        let (tell, exit) = watch::channel(None);
        // No process has this id, so none is signalled.
        let process = Process::new(Pid::from_raw(i32::MAX).expect("not 0"), exit, None);
        (Zygote::over(line, process), theirs, tell)
    }

    #[tokio::test]
    async fn a_fork_that_is_refused_is_an_error_and_the_next_one_is_not() {
        let (zygote, mut theirs, _tell) = played();
        let said = async {
            let mut frames = Vec::new();
            put(&mut frames, &json!({"type": "refused", "runner": 1, "error": "cannot fork: no room"}), b"");
            put(&mut frames, &json!({"type": "forked", "runner": 2, "pid": i32::MAX}), b"");
            put(&mut frames, &json!({"type": "exited", "runner": 2, "pid": i32::MAX, "code": 0}), b"");
            // Once it has been asked twice.
            while theirs.readable().await.is_ok() && zygote.lock().forking.len() < 2 {
                tokio::task::yield_now().await;
            }
            theirs.write_all(&frames).await.expect("sent");
        };
        let (first, second, ()) = tokio::join!(zygote.fork(false), zygote.fork(false), said);
        assert_eq!(first.err().expect("refused").to_string(), "cannot fork: no room");
        assert_eq!(second.expect("forked").0.ended().await, Exit::Code(0));
        assert!(zygote.is_up());
    }

    #[tokio::test]
    async fn the_end_of_its_process_is_enough_though_somebody_holds_its_socket() {
        let (zygote, theirs, tell) = played();
        let ended = async {
            theirs.readable().await.expect("asked");
            tell.send_replace(Some(Exit::Code(1)));
        };
        let (forked, ()) = tokio::join!(zygote.fork(false), ended);
        assert_eq!(forked.err().expect("it has ended").to_string(), "the zygote has ended");
        assert!(!zygote.is_up());
        drop(theirs);
    }
}
