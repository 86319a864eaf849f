//! Notices that the files of pools change, by looking at them twice a second: that works on every file
//! system, also on those that are shared over a network or with a virtual machine, which tell nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use crate::manifest;

/// How often files are looked at.
const EVERY: Duration = Duration::from_millis(500);
/// How long nothing must have changed: editors and version control write many files, one after the other.
const QUIET: Duration = Duration::from_millis(100);
/// A file that was saved less than this ago may be saved again without another time: some file systems
/// keep whole seconds, or two.
const COARSE: Duration = Duration::from_secs(2);
/// Folders below the pool's that are looked into.
const DEPTH: usize = 16;

/// The folders that are watched.
pub struct Watch(Arc<Mutex<Vec<Folder>>>);

impl Watch {
    /// Watches folders, as they are now.
    pub fn new(folders: &[PathBuf]) -> Self {
        let mut folders: Vec<_> = folders.iter().map(|path| Folder::new(path)).collect();
        folders.iter_mut().for_each(|folder| folder.changed = false);
        Self(Arc::new(Mutex::new(folders)))
    }

    /// Waits until files of some folders have changed, and then rest; which folders, by position. What is
    /// noticed is kept when this is dropped.
    pub async fn changed(&self) -> BTreeSet<usize> {
        let mut wait = EVERY;
        loop {
            sleep(wait).await;
            let folders = Arc::clone(&self.0);
            let looking = tokio::task::spawn_blocking(move || look(&folders));
            match looking.await {
                Ok(Looked::Moving) => wait = QUIET,
                Ok(Looked::Still) => wait = EVERY,
                Ok(Looked::Changed(which)) => return which,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
    }
}

enum Looked {
    /// Something has changed since the last look.
    Moving,
    /// Nothing has, and nothing did before.
    Still,
    /// Nothing has, but before.
    Changed(BTreeSet<usize>),
}

fn look(folders: &Mutex<Vec<Folder>>) -> Looked {
    let mut folders = folders.lock().expect("no panic holds it");
    // All of them, whatever the first says.
    let moving = folders.iter_mut().filter_map(|folder| folder.look().then_some(())).count();
    if moving > 0 {
        return Looked::Moving;
    }
    let changed = folders.iter_mut().map(|folder| std::mem::take(&mut folder.changed));
    let which: BTreeSet<_> = changed.enumerate().filter(|(_, changed)| *changed).map(|(at, _)| at).collect();
    if which.is_empty() { Looked::Still } else { Looked::Changed(which) }
}

/// A pool's folder as it was at the last look.
struct Folder {
    path: PathBuf,
    files: BTreeMap<PathBuf, Seen>,
    /// Files that the manifest names.
    named: Vec<PathBuf>,
    /// Whether something has changed that nobody was told of.
    changed: bool,
}

/// A file as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    stamp: [i64; 6],
    /// What it held, if another save may show by that alone.
    content: Option<u64>,
}

impl Folder {
    fn new(path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut folder = Self { path, files: BTreeMap::new(), named: Vec::new(), changed: false };
        folder.look();
        folder
    }

    /// Whether something has changed since the last look.
    fn look(&mut self) -> bool {
        let file = self.path.join(manifest::FILE);
        let manifest = seen(&file);
        if manifest.is_none() || self.files.get(&file) != manifest.as_ref() {
            self.named = manifest::named(&self.path);
        }
        let mut paths = Vec::new();
        collect(&self.path, DEPTH, &mut paths);
        paths.extend(self.named.iter().cloned());
        let now: BTreeMap<_, _> = paths
            .into_iter()
            .filter_map(|path| Some((seen(&path)?, path)))
            .map(|(seen, path)| (path, seen))
            .collect();
        let same = now.len() == self.files.len()
            && now.iter().zip(&self.files).all(|(a, b)| a.0 == b.0 && a.1.is_as(b.1));
        self.files = now;
        self.changed |= !same;
        !same
    }
}

impl Seen {
    fn is_as(&self, before: &Self) -> bool {
        let contents = self.content.zip(before.content);
        self.stamp == before.stamp && contents.is_none_or(|(now, before)| now == before)
    }
}

/// A file as it is now; none where there is none.
fn seen(path: &Path) -> Option<Seen> {
    let file = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let whole = |number: u64| number.cast_signed();
    let stamp = [
        file.mtime(),
        file.mtime_nsec(),
        // It tells of renames and of what else changes without a save, such as who may execute it.
        file.ctime(),
        file.ctime_nsec(),
        whole(file.size()),
        whole(file.ino()),
    ];
    let young = |time: SystemTime| time.elapsed().map_or(true, |ago| ago < COARSE);
    let content = file.modified().is_ok_and(young).then(|| {
        let mut hash = DefaultHasher::new();
        std::fs::read(path).unwrap_or_default().hash(&mut hash);
        hash.finish()
    });
    Some(Seen { stamp, content })
}

/// Files that a pool is made of by their names alone. What tools keep there is left out, and tests, which
/// no worker imports.
fn collect(folder: &Path, below: usize, into: &mut Vec<PathBuf>) {
    const NOT: [&str; 3] = ["__pycache__", "node_modules", "target"];
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        if name.starts_with('.') || NOT.contains(&name.as_ref()) {
            continue;
        }
        // Links are followed, as the import does.
        if path.is_dir() {
            if below > 0 && !path.join("pyvenv.cfg").exists() {
                collect(&path, below - 1, into);
            }
        } else if is_part(&name) {
            into.push(path);
        }
    }
}

fn is_part(name: &str) -> bool {
    let code = name.ends_with(".py") && !name.starts_with("test_") && name != "conftest.py";
    let flow = name.ends_with(".yaml") || name.ends_with(".yml");
    let needs = name.starts_with("requirements") || name == "pyproject.toml";
    code || flow || needs || name == manifest::FILE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("in it")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }

    #[test]
    fn what_makes_up_a_pool_is_watched_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let pool = dir.path();
        write(
            pool,
            "pool.toml",
            "name = \"p\"\n[[function]]\nname = \"a.b\"\nexec = [\"./run.sh\", \"later.txt\"]\n",
        );
        write(pool, "run.sh", "true");
        let mut folder = Folder::new(pool);
        assert!(!folder.look(), "nothing has changed");
        for part in ["a.py", "deep/er/b.py", "flows/x.yaml", "requirements-dev.txt", "run.sh", "later.txt"] {
            write(pool, part, "1");
            assert!(folder.look(), "{part} was written");
            assert!(!folder.look(), "{part} is known");
            write(pool, part, "2");
            assert!(folder.look(), "{part} was written at once again");
        }
        for other in
            ["__pycache__/a.py", ".venv/x.py", "data.csv", "test_a.py", "out.json", "venv/pyvenv.cfg"]
        {
            write(pool, other, "1");
            assert!(!folder.look(), "{other}");
        }
        write(pool, "venv/lib/x.py", "");
        assert!(!folder.look(), "an environment is no part of the pool");
        write(pool, "pool.toml", "name = \"p\"\n[[function]]\nname = \"a.b\"\nexec = [\"./out.json\"]\n");
        assert!(folder.look());
        write(pool, "out.json", "2");
        assert!(folder.look(), "the manifest names it now");
        write(pool, "run.sh", "3");
        assert!(!folder.look(), "and no more that one");
        std::fs::remove_file(pool.join("a.py")).expect("removed");
        assert!(folder.look());
        std::fs::remove_dir_all(pool).expect("removed");
        assert!(folder.look() && !folder.look(), "a folder may be gone for a while");
    }

    #[test]
    fn a_save_within_the_same_tick_shows_by_its_content() {
        let young = |content| Seen { stamp: [1; 6], content };
        assert!(!young(Some(2)).is_as(&young(Some(1))));
        assert!(young(Some(1)).is_as(&young(Some(1))));
        assert!(young(None).is_as(&young(Some(1))), "it was not young any more");
    }

    #[tokio::test]
    async fn changes_are_told_by_folder_when_they_rest() {
        let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        write(one.path(), "a.py", "1");
        write(two.path(), "a.py", "1");
        let watch = Watch::new(&[one.path().to_owned(), two.path().to_owned()]);
        write(two.path(), "a.py", "2");
        assert_eq!(watch.changed().await, BTreeSet::from([1]));
        write(one.path(), "a.py", "2");
        write(two.path(), "b.py", "2");
        assert_eq!(watch.changed().await, BTreeSet::from([0, 1]));
    }
}
