//! Where a driver's facts come from: a reader of its own, or the one that a resident publisher
//! shares among its runs.

use std::collections::VecDeque;

use rfx_flow::RunState;
use rfx_schemas::fact::Fact;
use rfx_schemas::payload::Payload;
use rfx_transport::facts::{Entry, FactReader};
use rfx_transport::{Transport, TransportError};
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
    pub async fn read(&mut self, into: &mut VecDeque<Entry>) -> Result<bool, TransportError> {
        let mut batch = Vec::new();
        let more = match self {
            Self::Own(reader) => reader.read(&mut batch).await.map(|()| true)?,
            Self::Shared { replay: Some(reader), .. } => {
                reader.read(&mut batch).await?;
                if batch.last().is_some_and(|entry| entry.pending == 0) {
                    self.caught_up();
                }
                true
            }
            Self::Shared { replay: None, feed } => feed.recv_many(&mut batch, BATCH).await > 0,
        };
        into.extend(batch);
        Ok(more)
    }

    fn caught_up(&mut self) {
        if let Self::Shared { replay, .. } = self {
            *replay = None;
        }
    }
}

/// Outputs that expressions read must be here, not behind a reference.
pub async fn load_outputs(
    transport: &Transport,
    state: &RunState,
    fact: &mut Fact,
) -> Result<(), TransportError> {
    let Fact::Ended(ended) = fact else { return Ok(()) };
    for outcome in &mut ended.outcomes {
        if let Some(output @ Payload::Blob(_)) = &outcome.output
            && state.reads_output(outcome.job)
        {
            let json = transport.load(state.run(), output).await?;
            outcome.output = Some(Payload::Inline(json));
        }
    }
    Ok(())
}
