//! A restart is a replay: the last snapshot, then every event after it, folded again.

use std::path::Path;
use std::sync::Arc;

use super::DaemonError;
use super::journal::{Journal, Recording};
use crate::drive::Drivers;
use crate::model::{Desired, Event, Policy, Revision, Time, World};
use crate::plan;

/// The World that a journal amounts to. Trees are read again from the mirror, at the revisions that were in force.
pub(super) fn start(journal: &Journal, drivers: &Drivers, policy: Arc<Policy>) -> Result<World, DaemonError> {
    let recording = journal.read()?;
    if recording.is_empty() {
        return Ok(World::new(policy));
    }
    Ok(fold(recording, policy, |revision, previous| match drivers.load(revision, previous) {
        Ok(loaded) => loaded.desired.map(Arc::new),
        Err(fault) => {
            tracing::warn!(%revision, %fault, "a revision of the journal cannot be read again");
            None
        }
    })
    .0)
}

/// Folds a recording; also says when its last event was.
fn fold(
    recording: Recording,
    policy: Arc<Policy>,
    load: impl Fn(&Revision, Option<&Desired>) -> Option<Arc<Desired>>,
) -> (World, Time) {
    let (mut last, mut world) = match recording.snapshot {
        Some((at, facts)) => {
            let desired = facts.revision.as_ref().and_then(|revision| load(revision, None));
            (at, World::restore(policy, facts, desired))
        }
        None => (Time::default(), World::new(policy)),
    };
    for (at, mut event) in recording.events {
        hydrate(&mut event, &world, &load);
        plan::reduce(&mut world, &event, at);
        last = at;
    }
    (world, last)
}

fn hydrate(event: &mut Event, world: &World, load: impl Fn(&Revision, Option<&Desired>) -> Option<Arc<Desired>>) {
    if let Some(revision) = event.missing_revision()
        && let Some(desired) = load(revision, world.desired.as_deref())
    {
        event.hydrate(desired);
    }
}

/// Folds the journal at `path`, reading trees from the mirror beside it, and plans at its end. Changes nothing.
pub fn replay(
    path: &Path,
    policy: Policy,
    load: impl Fn(&Revision, Option<&Desired>) -> Option<Arc<Desired>>,
) -> Result<(World, Time, plan::Plan), DaemonError> {
    let recording = Journal::open_read_only(path)?.read()?;
    let (world, at) = fold(recording, Arc::new(policy), load);
    let plan = plan::plan(&world, at);
    Ok((world, at, plan))
}
