//! A journal that has grown is replaced by a snapshot of what it amounts to. Tens of thousands of leases take a while to
//! write down, and nobody waits for that: it happens beside the loop, from a copy of the World, and the loop only puts the
//! result in place of the events it covers.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::journal::{Journal, JournalError, Packed};
use super::{Core, DaemonError, clock};
use crate::model::Desired;

/// Events after which the journal is compacted.
const AFTER: u64 = 20_000;

/// A compaction under way, if any.
#[derive(Default)]
pub(super) struct Compaction {
    packing: JoinSet<Result<Packed, JournalError>>,
    desired: Option<Arc<Desired>>,
}

impl Compaction {
    /// A snapshot is ready; pends while none is being made.
    pub(super) async fn packed(&mut self) -> Result<Packed, JournalError> {
        match self.packing.join_next().await {
            // Only a defect ends it otherwise.
            Some(packed) => packed.unwrap_or_else(|_| Err(JournalError::NotPacked)),
            None => std::future::pending().await,
        }
    }

    pub(super) fn is_due(&self, journal: &Journal) -> bool {
        journal.since_snapshot() > AFTER && self.packing.is_empty()
    }
}

impl Core {
    /// Begins to write down what is known now.
    pub(super) fn begin_compaction(&mut self) -> Result<(), DaemonError> {
        let (now, upto, facts) = (clock::now(), self.journal.newest()?, self.world.snapshot());
        self.compaction.desired.clone_from(&self.world.desired);
        self.compaction.packing.spawn_blocking(move || Packed::new(now, upto, &facts));
        Ok(())
    }

    /// Puts a snapshot in place of what it covers.
    pub(super) fn end_compaction(&mut self, packed: &Packed) -> Result<(), DaemonError> {
        tokio::task::block_in_place(|| self.journal.compact(packed))?;
        let (before, after) = (self.compaction.desired.take(), self.world.desired.as_ref());
        // Revisions loaded since are in events that a replay still reads: they are forgotten after the next compaction.
        if before.as_ref().map(Arc::as_ptr) != after.map(Arc::as_ptr) {
            return Ok(());
        }
        let kept: Vec<_> = packed.revision.clone().into_iter().collect();
        if let Err(fault) = self.drivers.git.forget_others(&kept) {
            tracing::warn!(%fault, "old revisions could not be forgotten");
        }
        Ok(())
    }
}
