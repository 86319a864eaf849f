//! Ends what functions leave behind. Every process that is started for functions carries a mark in
//! its environment, which all that it starts inherits: so a process is found even when it has left its
//! process group and its parent has ended.
//!
//! On systems without `/proc` nothing is found: there only process groups are ended.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The environment variable that holds the mark.
pub const MARK: &str = "RFX_MARK";
/// How long a sweep goes on. What is killed may just have started another process.
const PATIENCE: Duration = Duration::from_secs(5);

/// A mark; those made from it are found with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(String);

impl Default for Mark {
    /// A mark that no other process has.
    fn default() -> Self {
        Self(rfx_schemas::id::RunId::new().to_string())
    }
}

impl Mark {
    /// The mark of a part.
    #[must_use]
    pub fn part(&self, number: u64) -> Self {
        Self(format!("{}.{number}", self.0))
    }

    /// Its text, for the environment.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The mark that a parent process made.
    pub fn given(text: String) -> Self {
        Self(text)
    }

    fn is_in(&self, environment: &[u8]) -> bool {
        let found = environment.split(|byte| *byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"=")?;
            value.strip_prefix(self.0.as_bytes())
        });
        found.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
    }
}

/// Kills every process with the mark, and those that they start meanwhile; how many there were.
/// Blocks: up to a few milliseconds when nothing is there.
pub fn sweep(mark: &Mark) -> usize {
    let begun = Instant::now();
    let mut killed = std::collections::BTreeSet::new();
    loop {
        let found = marked(mark);
        for pid in &found {
            if let Err(error) = kill_process(*pid, Signal::KILL) {
                tracing::trace!(%error, "it has ended already");
            }
            killed.insert(pid.as_raw_nonzero());
        }
        if found.is_empty() || begun.elapsed() > PATIENCE {
            return killed.len();
        }
        std::thread::yield_now();
    }
}

fn marked(mark: &Mark) -> Vec<Pid> {
    let Ok(folder) = std::fs::read_dir("/proc") else { return Vec::new() };
    let own = rustix::process::getpid();
    let has_mark = |pid: &Pid| {
        // Those that have ended and wait for their parent have no environment any more.
        std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).is_ok_and(|e| mark.is_in(&e))
    };
    folder
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(|pid| *pid != own)
        .filter(has_mark)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_carries_the_mark_is_ended_and_nothing_else() {
        let mark = Mark::default();
        let start = |mark: &Mark, script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).env(MARK, mark.as_str()).stdout(Stdio::piped());
            command.spawn().expect("sh starts")
        };
        let mut other = start(&Mark::default(), "exec sleep 60");
        // A child in a session of its own, whose parent has ended.
        let orphan = start(&mark.part(1), "setsid sleep 60 >/dev/null & echo $!").wait_with_output();
        let orphan = orphan.expect("sh ends");
        let orphan: i32 = String::from_utf8_lossy(&orphan.stdout).trim().parse().expect("a pid");
        assert!(sweep(&mark) >= 1);
        assert!(sweep(&mark) == 0);
        let environment = std::fs::read(format!("/proc/{orphan}/environ")).unwrap_or_default();
        assert!(!mark.is_in(&environment), "it is still there");
        assert!(other.try_wait().expect("it can be asked").is_none(), "another's process was ended");
        other.kill().expect("it was there");
        other.wait().expect("it ended");
    }

    #[test]
    fn a_mark_is_no_mere_prefix() {
        let mark = Mark("a1".to_owned());
        for (environment, found) in [
            (&b"X=1\0RFX_MARK=a1\0"[..], true),
            (b"RFX_MARK=a1.2", true),
            (b"RFX_MARK=a12", false),
            (b"XRFX_MARK=a1", false),
            (b"", false),
        ] {
            assert_eq!(mark.is_in(environment), found, "{}", String::from_utf8_lossy(environment));
        }
    }
}
