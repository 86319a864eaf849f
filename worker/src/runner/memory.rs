//! How much memory runners use, with all that they started: read from `/proc`, for all at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tokio::sync::Mutex;

/// How old a reading may be.
pub const FRESH: Duration = Duration::from_millis(200);

/// Resident memory by process group, in bytes.
type Groups = HashMap<i32, u64>;

/// The last reading.
#[derive(Default)]
pub struct Memory {
    last: Mutex<Option<(Instant, Arc<Groups>)>>,
}

impl Memory {
    /// What a process group uses, in bytes; 0 where that cannot be read.
    pub async fn of(&self, group: Pid) -> u64 {
        let mut last = self.last.lock().await;
        let groups = match &*last {
            Some((at, groups)) if at.elapsed() < FRESH => Arc::clone(groups),
            _ => {
                // Milliseconds, with many processes: not on a thread that serves others.
                let groups = Arc::new(tokio::task::spawn_blocking(read).await.unwrap_or_default());
                *last = Some((Instant::now(), Arc::clone(&groups)));
                groups
            }
        };
        groups.get(&group.as_raw_nonzero().get()).copied().unwrap_or(0)
    }
}

fn read() -> Groups {
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    let mut groups = Groups::new();
    let Ok(folder) = std::fs::read_dir("/proc") else { return groups };
    for entry in folder.flatten() {
        let numeric = entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok());
        if !numeric {
            continue;
        }
        if let Some((group, pages)) =
            std::fs::read_to_string(entry.path().join("stat")).ok().as_deref().and_then(parse)
        {
            *groups.entry(group).or_default() += pages * page;
        }
    }
    groups
}

/// The process group and the resident pages in a line of `/proc/<pid>/stat`.
fn parse(stat: &str) -> Option<(i32, u64)> {
    // The name of the program stands in parentheses and may hold any character.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let group = fields.nth(2)?.parse().ok()?;
    let pages = fields.nth(18)?.parse().ok()?;
    Some((group, pages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_program_is_called() {
        let line = "7 (a) b) S 1 42 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 5 999 321 184467";
        assert_eq!(parse(line), Some((42, 321)));
        assert_eq!(parse("nothing"), None);
    }

    #[tokio::test]
    async fn this_process_uses_some() {
        let group = rustix::process::getpgrp();
        assert!(Memory::default().of(group).await > 1 << 20);
    }
}
