//! What is told and given to the forge: files that playbooks made, and how revisions stand.

use super::cluster_mut;
use std::time::Duration;

use crate::model::{
    Action, ClusterName, CommitStatusFacts, Digest, Failure, Fault, Fetched, Generated, Outcome, Revision, Time, World,
};

/// The shortest time that can be told apart.
const MOMENT: Duration = Duration::from_millis(1);

/// After a restart nobody knows how the things under way ended; doing them again is harmless.
pub(super) fn interrupt(world: &mut World) {
    world.git.commit_status.telling = None;
    let busy = |facts: &crate::model::ClusterFacts| {
        facts.commit_status.telling.is_some() || facts.generated.as_ref().is_some_and(|it| it.pushing.is_some())
    };
    let names: Vec<_> = world.clusters.iter().filter(|(_, facts)| busy(facts)).map(|(name, _)| name.clone()).collect();
    for name in names {
        let facts = cluster_mut(world, &name);
        facts.commit_status.telling = None;
        facts.generated.iter_mut().for_each(|generated| generated.pushing = None);
    }
}

fn forge_mut<'w>(world: &'w mut World, cluster: Option<&ClusterName>) -> &'w mut CommitStatusFacts {
    match cluster {
        Some(cluster) => &mut cluster_mut(world, cluster).commit_status,
        None => &mut world.git.commit_status,
    }
}

/// Files that a playbook made just now.
pub(super) fn generated(id: Digest, revision: Option<Revision>, run: u32, now: Time) -> Generated {
    Generated { id, revision, run, since: now, pushing: None, pushed: None, failure: None }
}

/// Lets go of generated files that are on the watched branch and in force: this fetch began after their push.
pub(super) fn fetched(world: &mut World, fetched: &Fetched, began: Time) {
    let in_force = match fetched {
        Fetched::Loaded { .. } => true,
        Fetched::Unchanged => world.rejected.is_none(),
        Fetched::Rejected { .. } => false,
    };
    let read = |generated: &Generated| generated.pushed.is_some_and(|pushed| pushed <= began);
    let done = world.clusters.iter().filter(|(_, facts)| facts.generated.as_ref().is_some_and(read));
    let names: Vec<ClusterName> = done.filter(|_| in_force).map(|(name, _)| name.clone()).collect();
    names.iter().for_each(|name| cluster_mut(world, name).generated = None);
}

pub(super) fn started(world: &mut World, action: &Action, now: Time) {
    match action {
        Action::WriteBack { cluster, .. } => {
            cluster_mut(world, cluster).generated.iter_mut().for_each(|generated| generated.pushing = Some(now));
        }
        Action::TellForge { cluster, .. } => forge_mut(world, cluster.as_ref()).telling = Some(now),
        _ => {}
    }
}

pub(super) fn ended(world: &mut World, action: &Action, result: &Result<Outcome, Fault>, now: Time) {
    let failed = |last: Option<&Failure>, fault: &Fault| Failure {
        action: action.kind(),
        fault: fault.clone(),
        count: last.map_or(0, |last| last.count) + 1,
        at: now,
        basis: Digest::new(""),
    };
    match action {
        Action::WriteBack { cluster, generated, .. } => {
            // A fetch that is under way may have looked before the push.
            let next = world.git.fetching.filter(|began| *began >= now).map_or(now, |began| began + MOMENT);
            let facts = cluster_mut(world, cluster);
            let Some(kept) = facts.generated.as_mut().filter(|kept| kept.id == *generated) else { return };
            kept.pushing = None;
            match result {
                Ok(_) => {
                    kept.pushed = Some(next);
                    kept.failure = None;
                    world.git.woken_at = Some(next);
                }
                Err(fault) => kept.failure = Some(failed(kept.failure.as_ref(), fault)),
            }
        }
        Action::TellForge { cluster, status } => {
            let facts = forge_mut(world, cluster.as_ref());
            facts.telling = None;
            match result {
                Ok(_) => {
                    facts.told = Some(status.clone());
                    facts.told_at = Some(now);
                    facts.failure = None;
                }
                Err(fault) => facts.failure = Some(failed(facts.failure.as_ref(), fault)),
            }
        }
        _ => {}
    }
}
