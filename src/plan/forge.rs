//! Commit statuses: what the forge is told of the revision in force, for each cluster, and of the watched head as a whole.
//! Told whenever what holds differs from what was told; nothing waits for the forge.

use std::collections::BTreeMap;
use std::time::Duration;

use super::context::PlanContext;
use super::notice::first_finding;
use super::step::{ClusterPlan, Plan, Step};
use crate::model::{Action, ClusterName, CommitState, CommitStatus, FaultClass, ForgeTold, Lane, Revision, World};

/// How long a description that is no longer quite right may stay: a forge keeps a thousand statuses of a commit at most.
const CALM: Duration = Duration::from_secs(30);
/// Longest description, in characters: what GitHub takes.
const DESCRIPTION: usize = 140;

/// Tells the forge what it was not told yet.
pub(super) fn tell(ctx: &mut PlanContext<'_>, plan: &Plan) {
    if !ctx.policy.commit_status {
        return;
    }
    let world = ctx.world;
    if let Some(status) = of_head(world) {
        tell_one(ctx, None, world.git.commit_status.as_ref(), status);
    }
    let Some(revision) = world.desired.as_ref().and_then(|desired| desired.revision.clone()) else { return };
    let stalled = stalled_hosts(plan);
    for cluster in &plan.clusters {
        let told = world.clusters.get(&cluster.name).and_then(|facts| facts.commit_status.as_ref());
        let status = of_cluster(&revision, cluster, stalled.get(&cluster.name).map(String::as_str));
        tell_one(ctx, Some(&cluster.name), told, status);
    }
}

/// Says that the forge refuses to be told.
pub(super) fn note(ctx: &PlanContext<'_>, cluster: &mut ClusterPlan) {
    let failure = ctx.world.lanes.failure(&Lane::Forge(Some(cluster.name.clone())));
    if let Some(failure) = failure.filter(|failure| failure.fault.class != FaultClass::Transient) {
        cluster.notes.push(format!("its commit status is not told: {}", failure.fault.message));
    }
}

/// Begins to tell one status, if it is time for it.
fn tell_one(ctx: &mut PlanContext<'_>, cluster: Option<&ClusterName>, told: Option<&ForgeTold>, status: CommitStatus) {
    let lane = Lane::Forge(cluster.cloned());
    let work = ctx.world.lanes.get(&lane);
    if work.doing.is_some() || told.is_some_and(|told| told.status == status) || !ctx.has_room(&lane) {
        return;
    }
    let same = |told: &&ForgeTold| (&told.status.revision, told.status.state) == (&status.revision, status.state);
    let calm = told.filter(same).map(|told| told.at + CALM);
    let whom = cluster.map_or("rackwright", ClusterName::as_str);
    let again = work.failure.as_ref().map(|failure| match failure.fault.class {
        FaultClass::Transient => failure.at + ctx.backoff(whom, failure.count),
        // What it waits for (a token, a permission) lies outside the repository.
        _ => failure.at + ctx.policy.backoff_cap,
    });
    match calm.max(again).filter(|at| *at > ctx.now) {
        Some(at) => ctx.wake(at),
        None => ctx.begin(Action::TellForge { cluster: cluster.cloned(), status }),
    }
}

/// What the forge is told of the watched head.
fn of_head(world: &World) -> Option<CommitStatus> {
    if let Some(rejected) = &world.rejected {
        let description = brief(&format!("refused: {}", first_finding(&rejected.findings)));
        return Some(CommitStatus { revision: rejected.revision.clone(), state: CommitState::Failure, description });
    }
    let desired = world.desired.as_ref()?;
    let description = match desired.warnings.len() {
        0 => "in force".to_owned(),
        count => format!("in force, with {count} {}", if count == 1 { "warning" } else { "warnings" }),
    };
    Some(CommitStatus { revision: desired.revision.clone()?, state: CommitState::Success, description })
}

fn of_cluster(revision: &Revision, cluster: &ClusterPlan, stalled_host: Option<&str>) -> CommitStatus {
    let (state, description) = match (&cluster.step, stalled_host) {
        (Step::Stalled { reason, message, .. }, _) => (CommitState::Failure, format!("{reason}: {message}")),
        (_, Some(host)) => (CommitState::Failure, host.to_owned()),
        (Step::Done { message }, _) => (CommitState::Success, message.clone()),
        (Step::Act { message, .. } | Step::Wait { message, .. }, _) => {
            (CommitState::Pending, format!("{}: {message}", cluster.state))
        }
    };
    CommitStatus { revision: revision.clone(), state, description: brief(&description) }
}

/// The first host of each cluster that waits for a person, and how many more do.
fn stalled_hosts(plan: &Plan) -> BTreeMap<ClusterName, String> {
    let mut first: BTreeMap<ClusterName, (String, usize)> = BTreeMap::new();
    for host in &plan.hosts {
        if let Step::Stalled { reason, message, .. } = &host.step {
            let said = || (format!("{}: {reason}: {message}", host.id.host), 0);
            first.entry(host.id.cluster.clone()).and_modify(|(_, more)| *more += 1).or_insert_with(said);
        }
    }
    let told = |(text, more): (String, usize)| match more {
        0 => text,
        more => format!("({} hosts) {text}", more + 1),
    };
    first.into_iter().map(|(cluster, found)| (cluster, told(found))).collect()
}

/// One line, short enough for every forge.
fn brief(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(DESCRIPTION) {
        None => line,
        Some(_) => line.chars().take(DESCRIPTION - 1).chain(['…']).collect(),
    }
}
