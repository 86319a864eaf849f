//! Where a driver's facts come from: a reader of its own, or the one that a resident publisher
//! shares among its runs.

use rfx_transport::TransportError;
use rfx_transport::facts::{Entry, FactReader};
use tokio::sync::mpsc;

/// Facts of one run, in order.
pub enum Source {
    /// Read by this driver alone.
    Own(FactReader),
    /// Replayed to the present, then fed by the shared reader. What comes twice is told by its sequence.
    Shared {
        /// The short-lived reader of the past, made after the feed; gone once it has caught up.
        replay: Option<FactReader>,
        /// The feed.
        feed: mpsc::Receiver<Entry>,
    },
}

/// Entries taken from the feed at once.
const BATCH: usize = 500;

impl Source {
    /// Waits for facts and adds all that have come. False when there will be no more. Safe to cancel.
    pub async fn read(&mut self, into: &mut Vec<Entry>) -> Result<bool, TransportError> {
        match self {
            Self::Own(reader) => reader.read(into).await.map(|()| true),
            Self::Shared { replay: Some(reader), .. } => {
                reader.read(into).await?;
                if into.last().is_some_and(|entry| entry.pending == 0) {
                    self.caught_up();
                }
                Ok(true)
            }
            Self::Shared { replay: None, feed } => Ok(feed.recv_many(into, BATCH).await > 0),
        }
    }

    fn caught_up(&mut self) {
        if let Self::Shared { replay, .. } = self {
            *replay = None;
        }
    }
}
