//! The cache of environments: one folder each, one lock file each.
//!
//! Invariant: an environment with its marker is complete and is never changed; one without is being
//! built by whoever holds the lock alone, or was left by a build that was killed. Environments are
//! built in their place, since installed programs hold its path in their first lines; the marker is
//! written last. Who uses one shares its lock, so nobody removes it under a worker.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::build::{self, Order};
use super::{EnvironmentError, Environments};

/// The marker's name. Its time is that of the last use.
const MARKER: &str = "rfx-environment.json";

/// An environment in use.
#[derive(Debug)]
pub struct Held {
    /// Its folder.
    pub folder: PathBuf,
    /// Shared as long as this lives.
    _lock: File,
}

/// What the marker says about an environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Marker {
    /// The interpreter's version.
    pub python: String,
    /// The interpreter.
    pub interpreter: PathBuf,
    /// What was asked for.
    pub requirements: Vec<String>,
    /// The pool that it was first built for.
    pub pool: String,
}

/// An environment as it lies in the cache.
#[derive(Debug, Clone)]
pub struct Cached {
    /// Its folder.
    pub folder: PathBuf,
    /// What it is; None when it is not complete.
    pub marker: Option<Marker>,
    /// How long ago it was last used.
    pub unused: Duration,
}

/// Gives the environment with this key, building it if it is not there.
pub async fn ensure(
    environments: &Environments,
    key: &str,
    order: Order<'_>,
) -> Result<Held, EnvironmentError> {
    let root = &environments.root;
    let folder = root.join(key);
    let path = root.join(format!("{key}.lock"));
    std::fs::create_dir_all(root).map_err(failed(root, "the cache folder cannot be made"))?;
    loop {
        let lock = locked(&path, false, environments.timeout).await?;
        if folder.join(MARKER).is_file() {
            note_use(&folder);
            return Ok(Held { folder, _lock: lock });
        }
        drop(lock);
        let lock = locked(&path, true, environments.timeout).await?;
        // Another may have built it meanwhile.
        if !folder.join(MARKER).exists() {
            if folder.exists() {
                tracing::warn!(folder = %folder.display(), "removing an environment whose build was cut off");
                std::fs::remove_dir_all(&folder)
                    .map_err(failed(&folder, "what a build left cannot be removed"))?;
            }
            build::build(&order, &folder, &lock, environments.timeout).await?;
            mark(&folder, &order).map_err(failed(&folder, "the environment cannot be marked as complete"))?;
        }
        // Unlocked by name: what the build has started may still hold a copy.
        lock.unlock().map_err(failed(&path, "the lock cannot be given back"))?;
    }
}

/// An environment that came with an image may be another user's: it is as good without the note.
fn note_use(folder: &Path) {
    let marker = File::options().write(true).open(folder.join(MARKER));
    if let Err(error) = marker.and_then(|marker| marker.set_modified(SystemTime::now())) {
        tracing::debug!(%error, "the environment's last use could not be noted");
    }
}

fn failed(path: &Path, what: &'static str) -> impl FnOnce(std::io::Error) -> EnvironmentError {
    let path = path.to_owned();
    move |source| EnvironmentError::Cache { path, what, source }
}

/// Opens and locks a file, waiting for others up to a time.
async fn locked(path: &Path, alone: bool, patience: Duration) -> Result<File, EnvironmentError> {
    let open = File::options().create(true).truncate(false).read(true).write(true).open(path);
    // To share the lock, reading is enough: the cache may be a part of an image.
    let open = if alone { open } else { open.or_else(|_| File::open(path)) };
    let file = open.map_err(failed(path, "the lock file cannot be opened"))?;
    let tried = if alone { file.try_lock() } else { file.try_lock_shared() };
    match tried {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(failed(path, "it cannot be locked")(error)),
    }
    tracing::info!(lock = %path.display(), "waiting for another worker that builds this environment");
    let (sender, locked) = oneshot::channel();
    // A thread of its own, not one of the runtime's: a runtime waits for those when it ends. One
    // that is given up goes on waiting, and lets go of the lock as soon as it has it.
    std::thread::spawn(move || {
        let locked = if alone { file.lock() } else { file.lock_shared() };
        drop(sender.send(locked.map(|()| file)));
    });
    match timeout(patience, locked).await {
        Ok(Ok(locked)) => locked.map_err(failed(path, "it cannot be locked")),
        Ok(Err(_)) | Err(_) => Err(EnvironmentError::Busy { path: path.to_owned(), timeout: patience }),
    }
}

/// Writes the marker, whole or not at all.
fn mark(folder: &Path, order: &Order<'_>) -> std::io::Result<()> {
    let marker = Marker {
        python: order.interpreter.version.clone(),
        interpreter: order.interpreter.real.clone(),
        requirements: named(order),
        pool: order.pool.to_owned(),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut file, &marker)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(MARKER))?;
    Ok(())
}

/// The requirements that name something. Options are left out: an index may hold a password.
fn named(order: &Order<'_>) -> Vec<String> {
    let lines = order.wanted.lines.iter().map(|line| line.value.trim());
    lines.filter(|line| !line.is_empty() && !line.starts_with(['-', '#'])).map(str::to_owned).collect()
}

/// The environments of a cache, those first that were not used for longest.
pub fn list(root: &Path) -> std::io::Result<Vec<Cached>> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for entry in entries {
        let folder = entry?.path();
        // Only what this cache has made: the setting may name a folder that holds other things.
        let ours = folder.is_dir() && folder.with_extension("lock").is_file();
        if ours {
            let used = folder.join(MARKER).metadata().or_else(|_| folder.metadata())?.modified()?;
            let text = std::fs::read_to_string(folder.join(MARKER)).ok();
            let marker = text.and_then(|text| serde_json::from_str(&text).ok());
            all.push(Cached { folder, marker, unused: used.elapsed().unwrap_or_default() });
        }
    }
    all.sort_by_key(|cached| std::cmp::Reverse(cached.unused));
    Ok(all)
}

/// Removes what was not used for a time, but what a worker uses now. What was removed comes back.
pub fn prune(root: &Path, unused: Duration) -> std::io::Result<Vec<Cached>> {
    let mut removed = Vec::new();
    for cached in list(root)?.into_iter().filter(|cached| cached.unused >= unused) {
        let lock = File::open(cached.folder.with_extension("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The marker first: half an environment must not look like a whole one. Lock files stay, since
        // one that is removed while another waits for it would lock nothing.
        match std::fs::remove_file(cached.folder.join(MARKER)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::remove_dir_all(&cached.folder)?,
        }
        removed.push(cached);
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::environment::interpreter::ask;
    use crate::environment::requirements::Wanted;

    async fn ensured(root: &Path) -> Result<Held, EnvironmentError> {
        let timeout = Duration::from_secs(60);
        let environments = Environments { root: root.to_owned(), timeout, python: "python3".to_owned() };
        let wanted = Wanted { lines: Vec::new(), file: None, content: Vec::new(), at: 0..0 };
        let interpreter = ask("python3".as_ref()).await.expect("tests need a python3");
        let source = rfx_flow::diagnostic::Source::new("pool.toml", "");
        ensure(&environments, "key", Order { pool: "t", folder: root, source: &source, interpreter, wanted })
            .await
    }

    #[tokio::test]
    async fn what_is_complete_is_used_as_it_is_also_where_nothing_can_be_written() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("key");
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join(MARKER), "{}").expect("written");
        File::create(root.path().join("key.lock")).expect("written");
        let allow = |path: &Path, mode: u32| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours");
        };
        for path in [folder.join(MARKER), root.path().join("key.lock"), root.path().to_owned()] {
            allow(&path, 0o555);
        }
        let held = ensured(root.path()).await;
        allow(root.path(), 0o755);
        let held = held.expect("it is complete");
        assert_eq!(held.folder, folder);
        assert!(prune(root.path(), Duration::ZERO).expect("it can be read").is_empty(), "it is in use");
    }

    #[test]
    fn only_what_the_cache_has_made_is_listed_and_what_was_unused_for_longest_comes_first() {
        let root = tempfile::tempdir().expect("a folder");
        for (name, age) in [("young", 1), ("old", 100), ("cut-off", 10)] {
            let folder = root.path().join(name);
            std::fs::create_dir(&folder).expect("a folder");
            File::create(root.path().join(format!("{name}.lock"))).expect("written");
            let at = SystemTime::now() - Duration::from_secs(age * 24 * 60 * 60);
            let noted = match name {
                "cut-off" => File::open(&folder),
                _ => File::create(folder.join(MARKER)),
            };
            noted.and_then(|file| file.set_modified(at)).expect("ours");
        }
        std::fs::create_dir(root.path().join("somebody's")).expect("a folder");
        let names = |all: Vec<Cached>| -> Vec<String> {
            let name = |c: &Cached| c.folder.file_name().expect("a name").to_string_lossy().into_owned();
            all.iter().map(name).collect()
        };
        assert_eq!(names(list(root.path()).expect("it can be read")), ["old", "cut-off", "young"]);
        let removed = prune(root.path(), Duration::from_secs(5 * 24 * 60 * 60)).expect("ours");
        assert_eq!(names(removed), ["old", "cut-off"]);
        assert_eq!(names(list(root.path()).expect("it can be read")), ["young"]);
        assert!(list(Path::new("/nonexistent")).expect("nothing is there").is_empty());
    }
}
