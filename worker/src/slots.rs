//! The slots of a lane. An attempt gives its slot back while it waits for what it has called, and takes
//! one again before it goes on: so a lane full of callers does not stand still, and yet never executes
//! more than its slots.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Most attempts of a lane that wait for what they have called: each keeps its runner and its delivery.
const WAITING: usize = 1_000;

/// The slots of one lane.
pub(crate) struct Slots {
    all: usize,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    given_back: Notify,
}

/// Too many attempts of the lane wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{WAITING} attempts of this queue wait for what they have called, and a worker keeps no more: let the step \
     have fewer jobs at once (max_parallel), or start more workers"
)]
pub(crate) struct Crowded;

/// An attempt's slot, given back when dropped. What it waits for may be several calls at once.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    held: Mutex<Held>,
}

struct Held {
    permit: Option<OwnedSemaphorePermit>,
    calls: usize,
}

impl Slots {
    pub(crate) fn new(all: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(all));
        Arc::new(Self { all, free, waiting: AtomicUsize::new(0), given_back: Notify::new() })
    }

    /// How many there are.
    pub(crate) fn all(&self) -> usize {
        self.all
    }

    /// How many are taken. Those that wait for one to go on come first.
    pub(crate) fn taken(&self) -> usize {
        self.all - self.free.available_permits().min(self.all)
    }

    /// A slot, if one is free and nobody waits for it to go on.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Slot> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let held = Mutex::new(Held { permit: Some(permit), calls: 0 });
        Some(Slot { slots: Arc::clone(self), held })
    }

    /// Waits until an attempt has given its slot back.
    pub(crate) async fn given_back(&self) {
        self.given_back.notified().await;
    }
}

/// A wait under way; over when dropped, however it ends.
struct Waiting<'a>(&'a Slot);

impl Slot {
    /// Waits for what was called, without the slot.
    pub(crate) async fn without<T>(&self, wait: impl Future<Output = T>) -> Result<T, Crowded> {
        let waiting = self.give_back()?;
        let waited = wait.await;
        drop(waiting);
        if !self.needs_one() {
            return Ok(waited);
        }
        let permit = Arc::clone(&self.slots.free).acquire_owned().await.expect("never closed");
        let mut held = self.held.lock().expect("no panic holds it");
        // It may have called again meanwhile.
        if held.calls == 0 {
            held.permit = Some(permit);
        }
        Ok(waited)
    }

    fn give_back(&self) -> Result<Waiting<'_>, Crowded> {
        let mut held = self.held.lock().expect("no panic holds it");
        if held.calls == 0 {
            let more = |waiting: usize| (waiting < WAITING).then_some(waiting + 1);
            self.slots
                .waiting
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
                .map_err(|_| Crowded)?;
            held.permit = None;
            self.slots.given_back.notify_one();
        }
        held.calls += 1;
        Ok(Waiting(self))
    }

    fn needs_one(&self) -> bool {
        let held = self.held.lock().expect("no panic holds it");
        held.calls == 0 && held.permit.is_none()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut held = self.0.held.lock().expect("no panic holds it");
        held.calls -= 1;
        if held.calls == 0 {
            self.0.slots.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_has_no_slot_and_takes_one_before_others() {
        let slots = Slots::new(1);
        let parent = Arc::new(slots.take().expect("free"));
        assert!(slots.take().is_none());
        let (answer, called) = oneshot::channel::<u32>();
        let waits = {
            let parent = Arc::clone(&parent);
            tokio::spawn(async move { parent.without(called).await.expect("room").expect("an answer") })
        };
        timeout(Duration::from_secs(5), slots.given_back()).await.expect("given back");
        let child = slots.take().expect("the parent's");
        answer.send(7).expect("it waits");
        tokio::task::yield_now().await;
        assert!(!waits.is_finished(), "the slot is taken");
        drop(child);
        assert!(slots.take().is_none(), "the parent's again");
        assert_eq!(waits.await.expect("no panic"), 7);
        drop(parent);
        assert_eq!(slots.taken(), 0);
    }

    #[tokio::test]
    async fn several_calls_at_once_are_one_wait_and_a_dropped_one_is_over() {
        let slots = Slots::new(1);
        let slot = slots.take().expect("free");
        let never = || std::future::pending::<()>();
        let both = async { tokio::join!(slot.without(never()), slot.without(never())) };
        assert!(timeout(Duration::from_millis(10), both).await.is_err());
        assert_eq!(slots.waiting.load(Ordering::Acquire), 0);
        slots.waiting.store(WAITING, Ordering::Release);
        assert_eq!(slot.without(async {}).await, Err(Crowded));
    }
}
