//! What connects the worker with a process of a pool: frames both ways, and what is printed.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, pipe};
use tokio::time::timeout;

use super::capture::Capture;
use super::frames::Reader;
use super::process::Process;

/// Chunks read at once: more than a pipe holds, so that all is taken that was printed before; and not
/// without an end, since whoever prints on and on must not keep a thread of ours.
const CHUNKS: usize = 64;
/// How long a process has to say where it hangs.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The worker's end.
pub struct Line {
    /// Frames that come.
    pub from: Reader<OwnedReadHalf>,
    /// Where frames go.
    pub to: OwnedWriteHalf,
    /// What is printed.
    pub output: Output,
}

/// The other end, to be handed over.
pub struct OtherEnd {
    /// The socket.
    pub socket: OwnedFd,
    /// The pipe for stdout and stderr.
    pub output: OwnedFd,
}

impl Line {
    /// Both ends.
    pub fn pair() -> std::io::Result<(Self, OtherEnd)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (reader, writer) = std::io::pipe()?;
        let (from, to) = UnixStream::from_std(ours)?.into_split();
        let pipe = Some(pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?);
        let output = Output { pipe, capture: Capture::default() };
        let other = OtherEnd { socket: OwnedFd::from(theirs), output: OwnedFd::from(writer) };
        Ok((Self { from: Reader::new(from), to, output }, other))
    }
}

/// What a process prints.
pub struct Output {
    pipe: Option<pipe::Receiver>,
    capture: Capture,
}

impl Output {
    /// Waits until something was printed, and takes it in; for ever when nothing can be any more.
    pub async fn printed(&mut self) {
        match &self.pipe {
            None => std::future::pending().await,
            Some(pipe) => {
                let ready = pipe.ready(Interest::READABLE).await;
                if ready.is_err() || !self.drain() {
                    self.pipe = None;
                }
            }
        }
    }

    /// Takes in what has been printed; false when nothing can come any more.
    pub fn drain(&mut self) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        let mut chunk = [0; 16 * 1024];
        for _ in 0..CHUNKS {
            match pipe.try_read(&mut chunk) {
                Ok(0) => return false,
                Ok(n) => self.capture.push(&chunk[..n]),
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// What was printed since the last time.
    pub fn take(&mut self) -> String {
        self.drain();
        self.capture.take()
    }

    /// Gives a process a moment to say where it hangs: it dumps its stacks when asked to.
    pub async fn last_words(&mut self, process: &Process) {
        self.drain();
        process.signal(Signal::USR2);
        let listening = async {
            loop {
                self.printed().await;
            }
        };
        // A dump is one burst; what comes after the time belongs to a function that goes on printing.
        let over: Result<(), _> = timeout(LAST_WORDS, listening).await;
        debug_assert!(over.is_err(), "the loop has no end");
    }
}
