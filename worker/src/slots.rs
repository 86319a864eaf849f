//! The slots of a lane. An attempt gives its slot back while it waits for what it has called, and takes
//! one again before it goes on: so a lane full of callers does not stand still, and yet never executes
//! more than its slots. Functions that take next to no time are handed to their runners beyond the slots:
//! there are as many of those as slots, and they execute one at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Attempts whose function takes less than this are begun beyond the slots: what hands them over and
/// brings their outcomes back takes longer than they do.
const SHORT: Duration = Duration::from_micros(500);
/// How many are begun beyond the slots then.
const BEYOND: usize = 128;
/// Most attempts of a lane that have ended and whose outcome is being recorded: they need no slot.
const RECORDING: usize = 256;

/// Most attempts of a lane that wait for what they have called: each keeps its runner and its delivery.
const WAITING: usize = 1_000;

/// The slots of one lane.
pub(crate) struct Slots {
    all: usize,
    free: Arc<Semaphore>,
    /// Slots beyond all, while attempts are short.
    beyond: AtomicUsize,
    recording: AtomicUsize,
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
    recording: bool,
}

impl Slots {
    pub(crate) fn new(all: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(all));
        let zero = || AtomicUsize::new(0);
        let (beyond, recording, waiting) = (zero(), zero(), zero());
        Arc::new(Self { all, free, beyond, recording, waiting, given_back: Notify::new() })
    }

    /// How many there are.
    pub(crate) fn all(&self) -> usize {
        self.all
    }

    /// How many are taken. Those that wait for one to go on come first.
    pub(crate) fn taken(&self) -> usize {
        let all = self.all + self.beyond.load(Ordering::Acquire);
        all - self.free.available_permits().min(all)
    }

    /// A slot, if one is free and nobody waits for it to go on. One beyond all is only for an attempt that
    /// something else bounds: a runner.
    pub(crate) fn take(self: &Arc<Self>, beyond: bool) -> Option<Slot> {
        if !beyond && self.taken() >= self.all {
            return None;
        }
        if self.recording.load(Ordering::Acquire) >= RECORDING {
            return None;
        }
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let held = Mutex::new(Held { permit: Some(permit), calls: 0, recording: false });
        Some(Slot { slots: Arc::clone(self), held })
    }

    /// Goes by how long a function takes: short ones are begun beyond the slots.
    pub(crate) fn pace(&self, mean: Duration) {
        let beyond = self.beyond.load(Ordering::Acquire);
        if beyond == 0 && mean < SHORT {
            self.beyond.store(BEYOND, Ordering::Release);
            self.free.add_permits(BEYOND);
        } else if beyond > 0 && mean > 2 * SHORT {
            // Those that are taken are taken back once they are free: the mean is asked for again.
            let gone = self.free.forget_permits(beyond);
            self.beyond.store(beyond - gone, Ordering::Release);
        }
    }

    /// Waits until an attempt has given its slot back.
    pub(crate) async fn given_back(&self) {
        self.given_back.notified().await;
    }
}

/// A wait under way; over when dropped, however it ends.
struct Waiting<'a>(&'a Slot);

impl Slot {
    /// The attempt has ended, and only its outcome has to be recorded: that needs no slot.
    pub(crate) fn ended(&self) {
        let mut held = self.held.lock().expect("no panic holds it");
        if held.permit.take().is_some() && !std::mem::replace(&mut held.recording, true) {
            self.slots.recording.fetch_add(1, Ordering::AcqRel);
            self.slots.given_back.notify_one();
        }
    }

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

impl Drop for Slot {
    fn drop(&mut self) {
        if self.held.get_mut().is_ok_and(|held| held.recording) {
            self.slots.recording.fetch_sub(1, Ordering::AcqRel);
            self.slots.given_back.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_has_no_slot_and_takes_one_before_others() {
        let slots = Slots::new(1);
        let parent = Arc::new(slots.take(true).expect("free"));
        assert!(slots.take(true).is_none());
        let (answer, called) = oneshot::channel::<u32>();
        let waits = {
            let parent = Arc::clone(&parent);
            tokio::spawn(async move { parent.without(called).await.expect("room").expect("an answer") })
        };
        timeout(Duration::from_secs(5), slots.given_back()).await.expect("given back");
        let child = slots.take(true).expect("the parent's");
        answer.send(7).expect("it waits");
        tokio::task::yield_now().await;
        assert!(!waits.is_finished(), "the slot is taken");
        drop(child);
        assert!(slots.take(true).is_none(), "the parent's again");
        assert_eq!(waits.await.expect("no panic"), 7);
        drop(parent);
        assert_eq!(slots.taken(), 0);
    }

    #[test]
    fn short_attempts_are_begun_beyond_the_slots_and_recording_takes_none() {
        let slots = Slots::new(1);
        let first = slots.take(true).expect("free");
        assert!(slots.take(true).is_none());
        first.ended();
        let second = slots.take(true).expect("the outcome of the first is only recorded");
        slots.pace(Duration::from_micros(50));
        let more: Vec<_> = std::iter::from_fn(|| slots.take(true)).collect();
        assert_eq!((more.len(), slots.taken()), (BEYOND, BEYOND + 1));
        slots.pace(Duration::from_secs(1));
        drop(more);
        slots.pace(Duration::from_secs(1));
        assert!(slots.take(true).is_none(), "the second has the only one");
        drop((first, second));
        assert!(slots.take(true).is_some() && slots.taken() == 0);
    }

    #[tokio::test]
    async fn several_calls_at_once_are_one_wait_and_a_dropped_one_is_over() {
        let slots = Slots::new(1);
        let slot = slots.take(true).expect("free");
        let never = || std::future::pending::<()>();
        let both = async { tokio::join!(slot.without(never()), slot.without(never())) };
        assert!(timeout(Duration::from_millis(10), both).await.is_err());
        assert_eq!(slots.waiting.load(Ordering::Acquire), 0);
        slots.waiting.store(WAITING, Ordering::Release);
        assert_eq!(slot.without(async {}).await, Err(Crowded));
    }
}
