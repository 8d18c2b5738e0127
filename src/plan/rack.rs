//! The rack as a whole: looking at the repository, publishing status, telling people.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::cluster::Member;
use super::desk::Desk;
use super::{ClusterPlan, HostPlan, Plan, Step};
use crate::model::{Action, ActionKind, ClusterFacts, Digest, Failure, Reason, Time, World};

/// What rack-wide failures are tied to; nothing in the repository changes them, so it never differs.
fn no_basis() -> Digest {
    Digest::new("")
}

/// Reads the status branch once, when the journal was empty.
pub(super) fn adopt(desk: &mut Desk<'_>) {
    if desk.world.git.fetching.is_none() && due(desk, "adopt", desk.world.git.fetch_failure.as_ref()) {
        desk.actions.push(Action::Adopt);
    }
}

/// Looks for news: when woken, and every poll interval.
pub(super) fn fetch(desk: &mut Desk<'_>) {
    let git = &desk.world.git;
    if git.fetching.is_some() || !due(desk, "fetch", git.fetch_failure.as_ref()) {
        return;
    }
    let next = git.fetched_at.map(|at| at + desk.policy.poll_interval);
    let woken = git.woken_at.is_some_and(|woken| git.fetched_at.is_none_or(|fetched| woken >= fetched));
    match next {
        Some(next) if !woken && desk.now < next => desk.wake(next),
        _ => desk.actions.push(Action::Fetch),
    }
}

/// Brings the status branch up to date: at once after a quiet time, else no sooner than the debounce after the last.
pub(super) fn publish(desk: &mut Desk<'_>, plan: &Plan) {
    let world = desk.world;
    let git = &world.git;
    let nothing_known = world.desired.is_none() && world.rejected.is_none();
    let news = git.published != Some(plan.fingerprint) || world.moves.last > world.moves.published;
    let idle = !news && desk.intents.is_empty() && desk.tasks.is_empty();
    if nothing_known || git.publishing.is_some() || idle {
        return;
    }
    if !due(desk, "publish", git.publish_failure.as_ref()) {
        return;
    }
    match git.published_at.map(|at| at + desk.policy.publish_debounce) {
        // A cluster whose machines are all up waits for nothing but this.
        Some(next) if desk.now < next && desk.tasks.is_empty() => desk.wake(next),
        _ => {
            let (intents, tasks) = (std::mem::take(&mut desk.intents), std::mem::take(&mut desk.tasks));
            let fingerprint = plan.fingerprint;
            desk.actions.push(Action::Publish { fingerprint, moves_upto: world.moves.last, intents, tasks });
        }
    }
}

/// What is waited for while the status branch does not say yet that something may be begun.
pub(super) fn announcing(desk: &Desk<'_>, since: Time, what: &str) -> Step {
    let git = &desk.world.git;
    let message = format!("waiting for the status branch to announce {what}");
    if let Some(since) = git.publishing {
        return Step::wait(Reason::Announcing, message, desk.later(since + desk.policy.action_timeout, since));
    }
    if let Some(failure) = &git.publish_failure {
        let (at, why) = (desk.rack_retry_at("publish", failure), &failure.fault);
        if desk.now < at {
            let message = format!("{what} is begun once the status branch announces it; publishing failed: {why}");
            return Step::stalled(Reason::StatusBranchUnreachable, message, Some(at));
        }
    }
    Step::wait(Reason::Announcing, message, desk.later(since + desk.policy.action_timeout, since))
}

/// Whether a rack-wide action may be tried now; asks to be woken when not.
fn due(desk: &mut Desk<'_>, whom: &str, failure: Option<&Failure>) -> bool {
    let Some(failure) = failure else { return true };
    let at = desk.rack_retry_at(whom, failure);
    desk.wake(at);
    desk.now >= at
}

/// A failure of something rack-wide, counted on from the last one.
pub(super) fn count_failure(
    last: Option<&Failure>,
    action: ActionKind,
    fault: &crate::model::Fault,
    at: crate::model::Time,
) -> Failure {
    let count = last.filter(|last| last.action == action).map_or(0, |last| last.count) + 1;
    Failure { action, fault: fault.clone(), count, at, basis: no_basis() }
}

/// A number that changes whenever something that the status branch shows changes, in the making.
pub(super) struct Shown(DefaultHasher);

impl Shown {
    /// Begins with what concerns the whole rack.
    pub(super) fn new(world: &World) -> Self {
        let mut hash = DefaultHasher::new();
        world.desired.as_ref().map(|desired| &desired.revision).hash(&mut hash);
        world.rejected.as_ref().map(|rejected| (&rejected.revision, rejected.at)).hash(&mut hash);
        (world.consent as u8).hash(&mut hash);
        world.foreign_dhcp.map(|(server, _)| server).hash(&mut hash);
        world.full_ranges.hash(&mut hash);
        world.unclaimed.iter().for_each(|(mac, it)| (mac, it.ip).hash(&mut hash));
        world.git.fetch_failure.as_ref().map(|failure| &failure.fault.message).hash(&mut hash);
        Shown(hash)
    }

    /// Adds a host.
    pub(super) fn host(&mut self, member: &Member<'_>, host: &HostPlan) {
        let (hash, facts, spec) = (&mut self.0, member.facts, member.spec);
        (&host.id, host.state, &host.notes).hash(hash);
        hash_step(&host.step, hash);
        (facts.bmc_seen.map(|(ip, _)| ip), facts.host_seen.map(|(ip, _)| ip), facts.boot_mac).hash(hash);
        (facts.inventory.as_ref().map(|(_, at)| at), &facts.pin, facts.intent).hash(hash);
        facts.power.map(|(power, _)| power as u8).hash(hash);
        facts.bmc.protocol.map(|protocol| protocol as u8).hash(hash);
        facts.bmc.pending.as_ref().map(|(pending, since, times, _)| (&pending.what, since, times)).hash(hash);
        facts.bmc.disk.hash(hash);
        facts.claim.as_ref().map(|claim| &claim.token).hash(hash);
        facts.installed.as_ref().map(|installed| &installed.token).hash(hash);
        (spec.generation, spec.boot_mac, spec.bmc_mac).hash(hash);
        let ssh = &facts.ssh;
        (&ssh.key, &ssh.configured, &ssh.before).hash(hash);
    }

    /// Adds a cluster.
    pub(super) fn cluster(&mut self, cluster: &ClusterPlan, facts: Option<&ClusterFacts>) {
        (&cluster.name, cluster.state, &cluster.notes).hash(&mut self.0);
        hash_step(&cluster.step, &mut self.0);
        // How far a run is, is not in this: people follow it where it costs no commit.
        facts.and_then(|facts| facts.doing.as_ref()).map(|doing| doing.since).hash(&mut self.0);
        let generated = facts.and_then(|facts| facts.generated.as_ref());
        generated.map(|it| (&it.id, it.failure.as_ref().map(|failure| &failure.fault.message))).hash(&mut self.0);
        for (id, record) in facts.into_iter().flat_map(|facts| &facts.tasks) {
            (id, record.at, record.covers.len(), record.failed.len(), record.failure.is_some()).hash(&mut self.0);
            record.announced.as_ref().map(|said| (said.run, said.covers.len())).hash(&mut self.0);
        }
    }

    /// The number.
    pub(super) fn finish(&self) -> u64 {
        self.0.finish()
    }
}

fn hash_step(step: &Step, hash: &mut DefaultHasher) {
    match step {
        Step::Act { reason, message, until } | Step::Wait { reason, message, until } => {
            (reason, message, until).hash(hash)
        }
        Step::Stalled { reason, message, until } => (reason, message, until).hash(hash),
        Step::Done { message } => message.hash(hash),
    }
}
