//! Peak memory of other processes, from Linux' own accounting.

use std::process::{Child, ExitStatus};

use crate::command::{Result, io};
use crate::process::pause;

/// The highest resident set of a process, as far as looked at.
pub struct Peak {
    pid: u32,
    kibibytes: f64,
}

impl Peak {
    /// A process to look at.
    pub fn of(pid: u32) -> Self {
        Self { pid, kibibytes: 0.0 }
    }

    fn look(&mut self) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes: Option<f64> = peak.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
        self.kibibytes = self.kibibytes.max(kibibytes.unwrap_or(0.0));
    }

    /// In MiB.
    pub fn mebibytes(&self) -> f64 {
        self.kibibytes / 1024.0
    }
}

/// Waits for a process to end while looking at the peaks.
pub fn watch(mut child: Child, peaks: &mut [Peak]) -> Result<ExitStatus> {
    loop {
        peaks.iter_mut().for_each(Peak::look);
        if let Some(status) = child.try_wait().map_err(io("waiting"))? {
            return Ok(status);
        }
        pause();
    }
}
