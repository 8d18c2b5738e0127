//! Commit statuses: what the forge is told of the revision in force, for each cluster, and of the watched head as a whole.
//! Told whenever what holds differs from what was told; nothing waits for the forge.

use std::collections::BTreeMap;
use std::time::Duration;

use super::desk::Desk;
use super::notice::first_finding;
use super::{ClusterPlan, Plan, Step};
use crate::model::{
    Action, ClusterFacts, ClusterName, CommitState, CommitStatus, CommitStatusFacts, FaultClass, Revision, World,
};

/// Statuses that are on their way at once.
const AT_ONCE: usize = 4;
/// How long a description that is no longer quite right may stay: a forge keeps a thousand statuses of a commit at most.
const CALM: Duration = Duration::from_secs(30);
/// Longest description, in characters: what GitHub takes.
const DESCRIPTION: usize = 140;

static NOTHING: CommitStatusFacts = CommitStatusFacts { told: None, told_at: None, telling: None, failure: None };

/// Tells the forge what it was not told yet.
pub(super) fn tell(desk: &mut Desk<'_>, plan: &Plan) {
    if !desk.policy.commit_status {
        return;
    }
    let world = desk.world;
    let facts_of = |name: &ClusterName| world.clusters.get(name).map_or(&NOTHING, |facts| &facts.commit_status);
    let telling = world.clusters.values().map(|facts| &facts.commit_status).chain([&world.git.commit_status]);
    let mut under_way = telling.filter(|facts| facts.telling.is_some()).count();
    if let Some(status) = of_head(world) {
        under_way += usize::from(tell_one(desk, None, &world.git.commit_status, status, under_way));
    }
    let Some(revision) = world.desired.as_ref().and_then(|desired| desired.revision.clone()) else { return };
    let stalled = stalled_hosts(plan);
    for cluster in &plan.clusters {
        let facts = facts_of(&cluster.name);
        let status = of_cluster(&revision, cluster, stalled.get(&cluster.name).map(String::as_str));
        under_way += usize::from(tell_one(desk, Some(&cluster.name), facts, status, under_way));
    }
}

/// Says that the forge refuses to be told.
pub(super) fn note(facts: Option<&ClusterFacts>, cluster: &mut ClusterPlan) {
    let failure = facts.and_then(|facts| facts.commit_status.failure.as_ref());
    if let Some(failure) = failure.filter(|failure| failure.fault.class != FaultClass::Transient) {
        cluster.notes.push(format!("its commit status is not told: {}", failure.fault.message));
    }
}

/// Begins to tell one status, if it is time for it.
fn tell_one(
    desk: &mut Desk<'_>,
    cluster: Option<&ClusterName>,
    facts: &CommitStatusFacts,
    status: CommitStatus,
    under_way: usize,
) -> bool {
    if facts.telling.is_some() || facts.told.as_ref() == Some(&status) || under_way >= AT_ONCE {
        return false;
    }
    let same = |told: &&CommitStatus| (&told.revision, told.state) == (&status.revision, status.state);
    let calm = facts.told.as_ref().filter(same).and(facts.told_at).map(|at| at + CALM);
    let whom = cluster.map_or("rackwright", ClusterName::as_str);
    let again = facts.failure.as_ref().map(|failure| match failure.fault.class {
        FaultClass::Transient => failure.at + desk.backoff_for(whom, failure.count),
        // What it waits for (a token, a permission) lies outside the repository.
        _ => failure.at + desk.policy.backoff_cap,
    });
    let at = calm.max(again);
    if let Some(at) = at.filter(|at| *at > desk.now) {
        desk.wake(at);
        return false;
    }
    desk.actions.push(Action::TellForge { cluster: cluster.cloned(), status });
    true
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
