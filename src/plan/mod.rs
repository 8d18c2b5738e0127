//! Floor 1: decisions. Pure, synchronous, total: no I/O, no clock, no await. Imports `model`.

pub mod bmc;
pub mod boot;
pub mod check;
pub mod cluster;
mod desk;
pub mod diff;
mod finish;
mod forge;
pub mod host;
pub mod image;
pub mod lease;
pub mod nic;
mod notice;
mod outward;
mod rack;
pub mod reduce;
pub mod report;
pub mod ssh;
pub mod task;

pub use check::check;
pub use reduce::reduce;

use crate::model::{
    Action, ClusterName, ClusterState, ConditionStatus, HostFacts, HostId, HostSpec, HostState, Lifecycle, Reason,
    Time, World,
};
use cluster::ClusterView;
use desk::Desk;

/// What to do now and, where nothing is to be done, why and until when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Things to begin now.
    pub actions: Vec<Action>,
    /// Every host of the repository, in name order, with its reason.
    pub hosts: Vec<HostPlan>,
    /// Every cluster of the repository, in name order.
    pub clusters: Vec<ClusterPlan>,
    /// When to plan again if nothing happens before.
    pub wake_at: Option<Time>,
    /// Changes whenever something that the status branch shows changes.
    pub fingerprint: u64,
}

/// A host's place on the ladder and what happens next.
#[derive(Clone, Debug, PartialEq)]
pub struct HostPlan {
    /// Which host.
    pub id: HostId,
    /// The first unmet rung.
    pub state: HostState,
    /// What happens next.
    pub step: Step,
    /// Remarks that change nothing (drift, a BMC that does not answer on a finished host).
    pub notes: Vec<String>,
}

/// A cluster's state and what happens next.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterPlan {
    /// Which cluster.
    pub name: ClusterName,
    /// How far it is.
    pub state: ClusterState,
    /// What happens next.
    pub step: Step,
    /// Remarks (a task that failed and was passed over, what is to be done by hand).
    pub notes: Vec<String>,
}

/// What happens next to a host or cluster. A wait without a deadline cannot be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Something is begun now, or under way.
    Act {
        /// The word for machines.
        reason: Reason,
        /// A sentence for people.
        message: String,
        /// When its silence becomes suspicious.
        until: Time,
    },
    /// Somebody else has to do something; we look again at `until` at the latest.
    Wait {
        /// The word for machines.
        reason: Reason,
        /// A sentence for people: on what we wait.
        message: String,
        /// Deadline, counted from the last thing that could have caused the awaited fact.
        until: Time,
    },
    /// A person must do something; `until` is when we try again by ourselves, if we do.
    Stalled {
        /// The word for machines.
        reason: Reason,
        /// A sentence for people: what happened and what they can do.
        message: String,
        /// The next try by ourselves, if there will be one.
        until: Option<Time>,
    },
    /// Nothing to do.
    Done {
        /// A sentence for people.
        message: String,
    },
}

impl Step {
    fn act(reason: Reason, message: impl Into<String>, until: Time) -> Self {
        Step::Act { reason, message: message.into(), until }
    }

    fn wait(reason: Reason, message: impl Into<String>, until: Time) -> Self {
        Step::Wait { reason, message: message.into(), until }
    }

    fn stalled(reason: Reason, message: impl Into<String>, until: Option<Time>) -> Self {
        Step::Stalled { reason, message: message.into(), until }
    }

    fn done(message: impl Into<String>) -> Self {
        Step::Done { message: message.into() }
    }

    /// Whether a person must act.
    pub fn status(&self) -> ConditionStatus {
        match self {
            Step::Act { .. } | Step::Wait { .. } => ConditionStatus::Reconciling,
            Step::Stalled { .. } => ConditionStatus::Stalled,
            Step::Done { .. } => ConditionStatus::Ready,
        }
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        match self {
            Step::Act { reason, .. } | Step::Wait { reason, .. } | Step::Stalled { reason, .. } => *reason,
            Step::Done { .. } => Reason::Done,
        }
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        match self {
            Step::Act { message, .. } | Step::Wait { message, .. } | Step::Stalled { message, .. } => message,
            Step::Done { message } => message,
        }
    }
}

impl Plan {
    /// The plan of one host.
    pub fn host(&self, id: &HostId) -> Option<&HostPlan> {
        let index = self.hosts.binary_search_by(|host| host.id.cmp(id)).ok()?;
        self.hosts.get(index)
    }

    /// The plan of one cluster.
    pub fn cluster(&self, name: &ClusterName) -> Option<&ClusterPlan> {
        self.clusters.iter().find(|cluster| cluster.name == *name)
    }
}

/// Decides everything. Same World and time, same Plan.
pub fn plan(world: &World, now: Time) -> Plan {
    let mut desk = Desk::new(world, now);
    let mut plan = Plan::default();
    let mut shown = rack::Shown::new(world);
    if world.adopted {
        rack::fetch(&mut desk);
        plan_hosts(&mut desk, &mut plan, &mut shown);
        image::fetch(&mut desk);
    } else {
        rack::adopt(&mut desk);
    }
    plan.fingerprint = shown.finish();
    if world.adopted {
        rack::publish(&mut desk, &plan);
        notice::notify(&mut desk, &plan);
        forge::tell(&mut desk, &plan);
    }
    Plan { actions: desk.actions, wake_at: desk.wake_at, ..plan }
}

fn plan_hosts(desk: &mut Desk<'_>, plan: &mut Plan, shown: &mut rack::Shown) {
    let world = desk.world;
    let Some(desired) = &world.desired else { return };
    let mut views: Vec<ClusterView<'_>> = desired.clusters.values().map(|spec| ClusterView::new(world, spec)).collect();
    desk.bmcs = world.hosts.values().filter(|facts| facts.doing.is_some()).count();
    desk.reaches = world.hosts.values().filter(|facts| facts.ssh.reaching.is_some()).count();
    desk.installs =
        views.iter().flat_map(|view| &view.members).filter(|it| is_being_installed(it.spec, it.facts)).count();
    plan.hosts.reserve(desired.hosts.len());
    for view in &mut views {
        view.look(desk);
        let view = &*view;
        for member in &view.members {
            let host = host::plan(desk, member.spec, member.facts, view);
            image::want(desk, member.spec, member.facts);
            shown.host(member, &host);
            plan.hosts.push(host);
        }
        let facts = world.clusters.get(&view.spec.name);
        let since = facts.and_then(|facts| facts.shown.as_ref()).map(|(_, at)| *at);
        let mut cluster = view.plan(desk, since);
        outward::write_back(desk, view.spec, facts.map(|facts| &**facts), &mut cluster);
        forge::note(facts.map(|facts| &**facts), &mut cluster);
        shown.cluster(&cluster, facts.map(|facts| &**facts));
        plan.clusters.push(cluster);
    }
}

fn is_being_installed(spec: &HostSpec, facts: &HostFacts) -> bool {
    let armed = facts.armed.is_some_and(|(generation, ..)| generation == spec.generation);
    armed && spec.state == Lifecycle::Present && host::wants_install(spec, facts)
}
