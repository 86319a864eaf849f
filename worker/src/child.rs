//! A child process that is no runner: in a group of its own, its output kept as it comes, gone with
//! its handle.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal};
use tokio::net::unix::pipe;
use tokio::process::Command;

use crate::runner::capture::Capture;

/// Chunks read at once. A pipe holds four; more comes only while somebody still writes.
const CHUNKS: usize = 8;

/// A child, and what it has printed.
pub struct Child {
    process: tokio::process::Child,
    group: Option<Pid>,
    stdout: Option<pipe::Receiver>,
    stderr: Option<pipe::Receiver>,
    printed: Capture,
    errors: Capture,
}

impl Child {
    /// Starts a command, whose stdin and environment are the caller's.
    pub fn start(mut command: Command) -> std::io::Result<Self> {
        let (out, stdout) = std::io::pipe()?;
        let (err, stderr) = std::io::pipe()?;
        let receiver = |end: std::io::PipeReader| pipe::Receiver::from_owned_fd(OwnedFd::from(end));
        // A group of its own: what it starts ends with it, and Ctrl-C is the worker's.
        command.stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr)).process_group(0).kill_on_drop(true);
        let process = command.spawn()?;
        // The command holds our copies of the child's ends; with them open, no pipe would ever end.
        drop(command);
        let group = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let (stdout, stderr) = (Some(receiver(out)?), Some(receiver(err)?));
        Ok(Self { process, group, stdout, stderr, printed: Capture::default(), errors: Capture::default() })
    }

    /// Waits until the process has ended, reading what it prints meanwhile, and ends what is left of
    /// its group: that may hold its pipes, which are not waited for. Safe to cancel.
    pub async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        loop {
            tokio::select! {
                biased;
                ended = self.process.wait() => {
                    // The system gives no id away that a group still has: while something is left to end,
                    // this is that group. One that is empty has given its id back with the reap, moments
                    // ago, and ids go round; later it may be another's, so that it is forgotten here.
                    self.signal(Signal::KILL);
                    self.group = None;
                    self.drain();
                    return ended;
                }
                () = readable(self.stdout.as_ref()), if self.stdout.is_some() => self.drain(),
                () = readable(self.stderr.as_ref()), if self.stderr.is_some() => self.drain(),
            }
        }
    }

    /// Signals the whole group.
    pub fn signal(&self, signal: Signal) {
        let Some(group) = self.group else { return };
        if let Err(error) = rustix::process::kill_process_group(group, signal) {
            tracing::trace!(%error, "nothing is left of the child");
        }
    }

    /// What was printed since the last time, to both streams.
    pub fn take_output(&mut self) -> String {
        self.drain();
        self.printed.take()
    }

    /// The last line that was printed to stderr and is not empty.
    pub fn take_last_error(&mut self) -> Option<String> {
        self.drain();
        let errors = self.errors.take();
        errors.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
    }

    fn drain(&mut self) {
        let Self { stdout, stderr, printed, errors, .. } = self;
        drain(stdout, |chunk| printed.push(chunk));
        drain(stderr, |chunk| {
            printed.push(chunk);
            errors.push(chunk);
        });
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

async fn readable(pipe: Option<&pipe::Receiver>) {
    match pipe {
        // An error shows when it is read.
        Some(pipe) => drop(pipe.readable().await),
        None => std::future::pending().await,
    }
}

/// Reads what is there; a pipe that has ended is let go.
fn drain(pipe: &mut Option<pipe::Receiver>, mut push: impl FnMut(&[u8])) {
    let mut chunk = [0; 16 * 1024];
    for _ in 0..CHUNKS {
        let Some(open) = pipe else { return };
        match open.try_read(&mut chunk) {
            Ok(n) if n > 0 => push(&chunk[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => *pipe = None,
        }
    }
}

/// `PATH` with a folder before the others.
pub fn path_with(first: &Path) -> std::ffi::OsString {
    let mut path = first.as_os_str().to_owned();
    if let Some(rest) = std::env::var_os("PATH").filter(|path| !path.is_empty()) {
        path.push(":");
        path.push(rest);
    }
    path
}

/// How a process ended, as the rest of a sentence.
pub fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => by_code(code),
        (None, Some(signal)) => by_signal(signal),
        (None, None) => "ended".to_owned(),
    }
}

/// The same of one that ended with an exit code.
pub fn by_code(code: i32) -> String {
    // What a shell says of a command that a signal has ended.
    match code.checked_sub(128).and_then(signal_name) {
        Some(name) => format!("ended with exit code {code} (128 + {}: {name})", code - 128),
        None => format!("ended with exit code {code}"),
    }
}

/// The same of one that a signal has ended.
pub fn by_signal(signal: i32) -> String {
    match signal_name(signal) {
        Some(name) => format!("was ended by signal {signal} ({name})"),
        None => format!("was ended by signal {signal}"),
    }
}

/// The names of the signals that end processes.
fn signal_name(signal: i32) -> Option<&'static str> {
    let known = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::SYS, "SIGSYS"),
    ];
    known.into_iter().find(|(known, _)| known.as_raw() == signal).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::null());
        Child::start(command).expect("there is a shell")
    }

    #[tokio::test]
    async fn both_streams_are_kept_and_the_last_error_is_found() {
        let mut child = shell("echo out; echo first >&2; echo last >&2; echo >&2; exit 3");
        let status = child.wait().await.expect("ours");
        assert_eq!(how(status), "ended with exit code 3");
        assert_eq!(child.take_last_error().as_deref(), Some("last"));
        let output = child.take_output();
        assert!(output.contains("out\n") && output.contains("first\nlast\n"), "{output}");
    }

    #[tokio::test]
    async fn a_grandchild_that_holds_the_pipes_is_not_waited_for_and_goes_with_its_parent() {
        let mut child = shell("sleep 1000 & echo $!");
        child.wait().await.expect("ours");
        let pid = child.take_output().trim().to_owned();
        let gone = async {
            let stat = format!("/proc/{pid}/stat");
            while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), gone).await.expect("it is gone");
    }

    #[tokio::test]
    async fn signals_have_names() {
        let status = shell("kill -SEGV $$").wait().await.expect("ours");
        assert_eq!(how(status), "was ended by signal 11 (SIGSEGV)");
        let status = shell("exit 137").wait().await.expect("ours");
        assert_eq!(how(status), "ended with exit code 137 (128 + 9: SIGKILL)");
    }
}
