//! The rack as a whole: looking at the repository, and what of the rack the status branch shows.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::context::PlanContext;
use super::step::{ClusterPlan, HostPlan, Step};
use super::view::{ClusterView, HostView};
use crate::model::{Action, Lane, World};

/// Reads the status branch once, when the journal was empty.
pub(super) fn adopt(ctx: &mut PlanContext<'_>) {
    if ctx.is_due(&Lane::Fetch, "adopt") {
        ctx.begin(Action::Adopt);
    }
}

/// Looks for news: when woken, and every poll interval.
pub(super) fn fetch(ctx: &mut PlanContext<'_>) {
    let git = &ctx.world.git;
    if !ctx.is_due(&Lane::Fetch, "fetch") {
        return;
    }
    let next = git.fetched_at.map(|at| at + ctx.policy.poll_interval);
    let woken = git.woken_at.is_some_and(|woken| git.fetched_at.is_none_or(|fetched| woken >= fetched));
    match next {
        Some(next) if !woken && ctx.now < next => ctx.wake(next),
        _ => ctx.begin(Action::Fetch),
    }
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
        world.lanes.failure(&Lane::Fetch).map(|failure| &failure.fault.message).hash(&mut hash);
        Shown(hash)
    }

    /// Adds a host.
    pub(super) fn host(&mut self, host: &HostView<'_>, plan: &HostPlan) {
        let (hash, facts, spec) = (&mut self.0, host.facts, host.spec);
        (&plan.id, plan.state, &plan.notes).hash(hash);
        hash_step(&plan.step, hash);
        (facts.bmc_seen.map(|(ip, _)| ip), facts.host_seen.map(|(ip, _)| ip), facts.boot_mac).hash(hash);
        (facts.inventory.as_ref().map(|(_, at)| at), &facts.pin, facts.intent).hash(hash);
        facts.power.map(|(power, _)| power as u8).hash(hash);
        facts.bmc.protocol.map(|protocol| protocol as u8).hash(hash);
        facts.bmc.pending.as_ref().map(|it| (&it.pending.what, it.since, it.times)).hash(hash);
        facts.bmc.disk.hash(hash);
        facts.claim.as_ref().map(|claim| &claim.token).hash(hash);
        facts.installed.as_ref().map(|installed| &installed.token).hash(hash);
        (spec.generation, spec.boot_mac, spec.bmc_mac).hash(hash);
        let ssh = &facts.ssh;
        (&ssh.key, &ssh.configured, &ssh.before).hash(hash);
    }

    /// Adds a cluster.
    pub(super) fn cluster(&mut self, world: &World, view: &ClusterView<'_>, plan: &ClusterPlan) {
        (&plan.name, plan.state, &plan.notes).hash(&mut self.0);
        hash_step(&plan.step, &mut self.0);
        // How far a run is, is not in this: people follow it where it costs no commit.
        world.lanes.get(&Lane::Task(plan.name.clone())).since().hash(&mut self.0);
        let Some(facts) = view.facts else { return };
        let unpushed = world.lanes.failure(&Lane::WriteBack(plan.name.clone()));
        (facts.generated.as_ref().map(|it| &it.id), unpushed.map(|it| &it.fault.message)).hash(&mut self.0);
        for (id, record) in &facts.tasks {
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
