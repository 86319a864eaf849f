//! Where the runners of a pool come from: a zygote that forks them, or one interpreter started for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rfx_schemas::rules::Isolation;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::hello::Hello;
use super::line::Line;
use super::process::{Process, StartError, Started, start};
use super::recipe::{Mode, Recipe};
use super::zygote::Zygote;
use crate::sweep::Mark;

/// The pool, as it can be started.
pub struct Source {
    recipe: Recipe,
    mark: Mark,
    parts: AtomicU64,
    state: Mutex<State>,
}

enum State {
    /// Forks, as long as it is up.
    Zygote(Arc<Zygote>),
    /// Each runner is started by itself. The first one is up already.
    Spawn(Option<Box<Started>>),
}

/// How long a zygote may take to fork: it takes milliseconds.
const FORK: Duration = Duration::from_secs(20);

impl Source {
    /// Starts the pool's first process and waits until the pool is imported.
    pub async fn open(recipe: Recipe, mark: Mark) -> Result<(Self, Hello), StartError> {
        let source = Self { recipe, mark, parts: AtomicU64::new(0), state: Mutex::new(State::Spawn(None)) };
        let (state, hello) = source.first().await?;
        if let Some(reason) = &hello.reason {
            tracing::warn!(
                pool = %source.recipe.pool.display(),
                reason,
                "runners are not forked: each imports the pool by itself"
            );
        }
        *source.state.lock().await = state;
        Ok((source, hello))
    }

    /// A runner that is ready for calls.
    pub async fn runner(&self, isolation: Isolation) -> Result<(Process, Line), StartError> {
        let mut state = self.state.lock().await;
        if let State::Zygote(zygote) = &*state
            && !zygote.is_up()
        {
            tracing::warn!(pool = %self.recipe.pool.display(), "the zygote has ended, starting another one");
            *state = self.first().await?.0;
        }
        let zygote = match &mut *state {
            State::Zygote(zygote) => Arc::clone(zygote),
            State::Spawn(first) => {
                if let Some(first) =
                    first.take_if(|first| self.recipe.first_serves(isolation) && first.process.is_up())
                {
                    return Ok((first.process, first.line));
                }
                drop(state);
                let Started { process, line, .. } =
                    start(&self.recipe, Mode::One(isolation), &self.part()).await?;
                return Ok((process, line));
            }
        };
        drop(state);
        let failed = |error: std::io::Error| StartError::Died {
            pool: self.recipe.pool.clone(),
            what: format!("could not be forked: {error}"),
            output: String::new(),
        };
        match timeout(FORK, zygote.fork(isolation == Isolation::Shared)).await {
            Ok(forked) => forked.map_err(failed),
            Err(_) => {
                // It will answer nobody else either; the next one who asks starts another.
                zygote.kill();
                Err(failed(std::io::Error::new(std::io::ErrorKind::TimedOut, "its zygote does not answer")))
            }
        }
    }

    /// Has what a runner left behind looked for, when it ended in a way that hides it.
    pub async fn sweep(&self) {
        let zygote = match &*self.state.lock().await {
            State::Zygote(zygote) => Arc::clone(zygote),
            // Each runner has a mark of its own there, which is looked for as it ends.
            State::Spawn(_) => return,
        };
        zygote.sweep().await;
    }

    /// Ends what is not a runner.
    pub async fn close(&self) {
        let state = std::mem::replace(&mut *self.state.lock().await, State::Spawn(None));
        if let State::Zygote(zygote) = state
            && let Some(zygote) = Arc::into_inner(zygote)
        {
            zygote.close().await;
        }
    }

    async fn first(&self) -> Result<(State, Hello), StartError> {
        let started = start(&self.recipe, Mode::First, &self.part()).await?;
        let hello = started.hello.clone();
        let state = match hello.forks {
            true => State::Zygote(Arc::new(Zygote::new(started))),
            false => State::Spawn(Some(Box::new(started))),
        };
        Ok((state, hello))
    }

    fn part(&self) -> Mark {
        self.mark.part(self.parts.fetch_add(1, Ordering::Relaxed))
    }
}
