//! Opening pools again while they are served, when their files change.
//!
//! A pool is opened anew, in processes of its own: nothing is exchanged inside of one. What has begun
//! ends in the pool that it began in, which is closed then. A pool that cannot be opened is served as it
//! was before.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::pin::pin;

use rfx_schemas::record::BrokenModule;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::catalogue::{Catalogue, Shown};
use crate::changes::Watch;
use crate::open::{Opened, Opener, Part};
use crate::pools::PoolError;
use crate::site::Site;

/// The pools of a worker, which may be opened again.
pub struct Pools {
    opener: Opener,
    folders: Vec<PathBuf>,
    native: Part,
    opened: Vec<Opened>,
    /// Those that others took the place of, until nothing calls them any more.
    retiring: JoinSet<()>,
    /// Why a pool could not be opened again, as it was said last, by position.
    refused: Vec<Option<String>>,
}

impl Pools {
    /// Opens all of them.
    pub async fn open(opener: Opener, folders: &[PathBuf], native: Part) -> Result<Self, PoolError> {
        let opened = opener.all(folders).await?;
        let refused = folders.iter().map(|_| None).collect();
        let folders = folders.to_owned();
        Ok(Self { opener, folders, native, opened, retiring: JoinSet::new(), refused })
    }

    /// What they offer together.
    pub fn catalogue(&self) -> Catalogue {
        Catalogue::of(&self.native, &self.opened)
    }

    /// Has runners ready before the first calls.
    pub fn warm_up(&self) {
        self.opened.iter().for_each(Opened::warm_up);
    }

    /// Opens pools again as their files change, until shutdown.
    pub async fn follow(
        &mut self,
        watch: &Watch,
        site: &Site,
        shown: &watch::Sender<Shown>,
        shutdown: &CancellationToken,
    ) {
        let mut due = BTreeSet::new();
        loop {
            let Some(at) = due.pop_first() else {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    changed = watch.changed() => due.extend(changed),
                }
                continue;
            };
            tokio::select! {
                // What was started for it ends with it.
                () = shutdown.cancelled() => return,
                opened = latest(&self.opener, &self.folders[at], at, watch, &mut due) => match opened {
                    Some(Ok(opened)) => self.replace(at, opened, site, shown),
                    Some(Err(error)) => self.refuse(at, &error),
                    None => {}
                }
            }
            while self.retiring.try_join_next().is_some() {}
        }
    }

    fn replace(&mut self, at: usize, opened: Opened, site: &Site, shown: &watch::Sender<Shown>) {
        self.refused[at] = None;
        opened.warm_up();
        let before = std::mem::replace(&mut self.opened[at], opened);
        let known: Vec<_> = before.part.broken.clone();
        report_broken(self.opened[at].part.broken.iter().filter(|broken| !known.contains(broken)), true);
        let Catalogue { functions, shown: now } = self.catalogue();
        site.serve(functions);
        shown.send_replace(now);
        self.retiring.spawn(before.retire());
    }

    /// Says why a pool is served as it was; once, however often its files are saved.
    fn refuse(&mut self, at: usize, error: &PoolError) {
        let why = error.to_string();
        if self.refused[at].as_ref() == Some(&why) {
            return;
        }
        let pool = self.folders[at].display();
        tracing::error!(%pool, "the pool cannot be opened again, and is served as it was before:\n{why}");
        self.refused[at] = Some(why);
    }

    /// Ends all processes. To be called when no attempt is under way.
    pub async fn close(mut self) {
        futures_util::future::join_all(self.opened.iter().map(Opened::close)).await;
        while self.retiring.join_next().await.is_some() {}
    }
}

/// Opens a pool; none if its files change meanwhile, when it is due again.
async fn latest(
    opener: &Opener,
    folder: &std::path::Path,
    at: usize,
    watch: &Watch,
    due: &mut BTreeSet<usize>,
) -> Option<Result<Opened, PoolError>> {
    let mut opening = pin!(opener.again(folder));
    loop {
        tokio::select! {
            biased;
            opened = &mut opening => return Some(opened),
            changed = watch.changed() => {
                due.extend(changed);
                if due.contains(&at) {
                    return None;
                }
            }
        }
    }
}

/// Says what cannot be used; with the whole story to whoever has just written it.
pub fn report_broken<'a>(broken: impl IntoIterator<Item = &'a BrokenModule>, whole: bool) {
    for module in broken {
        let source = module.source.as_deref().unwrap_or("?");
        let story = match whole && !module.traceback.is_empty() {
            true => format!("{}\n{}", module.error, module.traceback.trim_end()),
            false => module.error.clone(),
        };
        tracing::warn!(pool = module.pool, module = module.module, source, "{story}");
    }
}
