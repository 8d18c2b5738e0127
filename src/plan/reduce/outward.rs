//! What the forge is given and told: files that playbooks made, and how revisions stand.

use std::time::Duration;

use super::change::{cluster_mut, failed_outside, forget_failure};
use crate::model::{
    Action, ClusterName, CommitStatus, Digest, Fault, Fetched, ForgeTold, Generated, Lane, Outcome, Revision, Time,
    World,
};

/// The shortest time that can be told apart.
const MOMENT: Duration = Duration::from_millis(1);

/// Files that a playbook made just now.
pub(super) fn generated(
    world: &mut World,
    cluster: &ClusterName,
    id: Digest,
    revision: Option<Revision>,
    run: u32,
    now: Time,
) {
    forget_failure(world, &Lane::WriteBack(cluster.clone()));
    cluster_mut(world, cluster).generated = Some(Generated { id, revision, run, since: now, pushed: None });
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

/// A push of generated files has ended.
pub(super) fn pushed(
    world: &mut World,
    cluster: &ClusterName,
    generated: &Digest,
    action: &Action,
    result: &Result<Outcome, Fault>,
    now: Time,
) {
    // A fetch that is under way may have looked before the push.
    let fetching = world.lanes.get(&Lane::Fetch).since();
    let next = fetching.filter(|began| *began >= now).map_or(now, |began| began + MOMENT);
    let Some(kept) = cluster_mut(world, cluster).generated.as_mut().filter(|kept| kept.id == *generated) else {
        return;
    };
    match result {
        Ok(_) => {
            kept.pushed = Some(next);
            world.git.woken_at = Some(next);
            forget_failure(world, &Lane::WriteBack(cluster.clone()));
        }
        Err(fault) => failed_outside(world, action, fault, now),
    }
}

/// The forge was told how a revision stands, or could not be.
pub(super) fn told(
    world: &mut World,
    cluster: Option<&ClusterName>,
    status: &CommitStatus,
    action: &Action,
    result: &Result<Outcome, Fault>,
    now: Time,
) {
    if let Err(fault) = result {
        return failed_outside(world, action, fault, now);
    }
    forget_failure(world, &Lane::Forge(cluster.cloned()));
    let told = Some(ForgeTold { status: status.clone(), at: now });
    match cluster {
        Some(cluster) => cluster_mut(world, cluster).commit_status = told,
        None => world.git.commit_status = told,
    }
}
