//! Hosts and clusters, as wanted and as observed, put side by side; made once for each plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::PlanContext;
use super::install::{is_here, running, wants_install};
use super::ssh::is_configured;
use super::step::Step;
use crate::model::work::IDLE;
use crate::model::{
    ClusterFacts, ClusterSpec, ClusterState, Digest, FaultClass, HostFacts, HostId, HostSpec, Lane, Lifecycle,
    OfInstall, OnFailure, Rerun, TaskRecord, TaskSpec, Time, TokenId, Work, World,
};

/// A host: what is wanted, what was observed, and what is under way.
#[derive(Clone, Copy)]
pub struct HostView<'w> {
    pub(super) spec: &'w HostSpec,
    pub(super) facts: &'w HostFacts,
    pub(super) cluster: &'w ClusterSpec,
    /// Its [`Lane::Bmc`].
    pub(super) bmc: &'w Work,
    /// Its [`Lane::Ssh`].
    pub(super) ssh: &'w Work,
}

impl<'w> HostView<'w> {
    /// A host on which nothing is under way and nothing has failed: a state does not depend on that.
    pub(super) fn idle(spec: &'w HostSpec, facts: &'w HostFacts, cluster: &'w ClusterSpec) -> Self {
        HostView { spec, facts, cluster, bmc: &IDLE, ssh: &IDLE }
    }

    /// Since when it has been in its state: what a wait for somebody else is counted from.
    pub(super) fn since(&self, ctx: &PlanContext<'_>) -> Time {
        self.facts.shown.map_or(ctx.now, |(_, at)| at)
    }

    /// Whether it takes part in its cluster.
    pub(super) fn is_present(&self) -> bool {
        self.spec.state == Lifecycle::Present
    }

    /// Whether the install of the generation that is wanted was claimed.
    pub(super) fn is_claimed(&self) -> bool {
        self.facts.claim.as_ref().is_some_and(|claim| claim.generation == self.spec.generation)
    }

    /// Whether an install was ordered and has not ended.
    pub(super) fn is_being_installed(&self) -> bool {
        let armed = self.facts.armed.is_some_and(|armed| armed.generation == self.spec.generation);
        armed && self.is_present() && wants_install(self.spec, self.facts)
    }

    /// Whether everything was done to it, for the install that it runs.
    pub(super) fn is_finished(&self) -> bool {
        running(self.facts).is_some_and(|token| OfInstall::get(&self.facts.finished, token).is_some())
    }
}

/// A cluster, and what its hosts need to know of it.
pub struct ClusterView<'w> {
    pub(super) spec: &'w ClusterSpec,
    pub(super) facts: Option<&'w ClusterFacts>,
    /// Its hosts, in name order.
    pub(super) hosts: Vec<HostView<'w>>,
    /// Hosts that count (`state: present`).
    pub(super) present: usize,
    /// How many of them are not up with what is wanted.
    pub(super) missing: usize,
    /// The first few of those.
    missing_names: Vec<&'w str>,
    /// The first task, in order, that is not done for all it is about.
    pub(super) next: Option<&'w TaskSpec>,
    /// What that task must still be done for.
    pub(super) due: BTreeMap<HostId, TokenId>,
    /// Tasks before it that failed for good and let the others go on.
    pub(super) given_up: Vec<&'w TaskSpec>,
    /// Hosts that were configured and whose restart is part of that and not seen yet.
    pub(super) restarting: Vec<HostView<'w>>,
}

impl<'w> ClusterView<'w> {
    /// Looks at a cluster.
    pub fn new(world: &'w World, spec: &'w ClusterSpec) -> Self {
        let facts = world.clusters.get(&spec.name).map(|facts| &**facts);
        let mut view = ClusterView { facts, hosts: hosts_of(world, spec), ..ClusterView::bare(spec) };
        for host in view.hosts.iter().filter(|host| host.is_present()) {
            view.present += 1;
            if !is_here(host.spec, host.facts) {
                view.missing += 1;
                if view.missing_names.len() < 5 {
                    view.missing_names.push(&host.spec.id.host);
                }
            }
        }
        for task in &spec.tasks {
            if uncovered(&view.hosts, task, view.record(task)).next().is_none() {
                continue;
            }
            if !given_up(task, view.record(task), spec) {
                (view.next, view.due) = (Some(task), view.due_for(task));
                break;
            }
            view.given_up.push(task);
        }
        view.restarting = view.find_restarting();
        view
    }

    /// A view of a cluster of which nothing is known: enough for the rungs below `installed`, which do not ask it.
    pub(super) fn bare(spec: &'w ClusterSpec) -> Self {
        ClusterView {
            spec,
            facts: None,
            hosts: Vec::new(),
            present: 0,
            missing: 0,
            missing_names: Vec::new(),
            next: None,
            due: BTreeMap::new(),
            given_up: Vec::new(),
            restarting: Vec::new(),
        }
    }

    pub(super) fn record(&self, task: &TaskSpec) -> Option<&'w TaskRecord> {
        self.facts?.tasks.get(&task.id)
    }

    /// The installs that a task is still to be done for.
    pub(super) fn due_for(&self, task: &'w TaskSpec) -> BTreeMap<HostId, TokenId> {
        let due = uncovered(&self.hosts, task, self.record(task));
        due.filter_map(|it| Some((it.spec.id.clone(), running(it.facts)?.clone()))).collect()
    }

    /// Whether any host in the repository, whatever its lifecycle, has an install that a task was done for.
    pub(super) fn is_carried(&self, task: &TaskSpec) -> bool {
        let Some(record) = self.record(task) else { return false };
        with_covers(&self.hosts, Some(record)).any(|(_, covered)| covered)
    }

    /// The installs of a task's targets that its record does not know.
    pub(super) fn not_yet_in(&self, task: &TaskSpec) -> BTreeMap<HostId, TokenId> {
        let out = with_covers(&self.hosts, self.record(task))
            .filter(|(host, covered)| !covered && host.is_present() && task.targets.contains(&host.spec.id));
        out.filter_map(|(it, _)| Some((it.spec.id.clone(), running(it.facts)?.clone()))).collect()
    }

    /// Whether everybody who counts is up.
    pub(super) fn is_open(&self) -> bool {
        self.missing == 0 && self.present > 0
    }

    /// Configured hosts whose restart is still to be seen.
    fn find_restarting(&self) -> Vec<HostView<'w>> {
        let Some(task) = self.spec.tasks.iter().find(|task| task.reboots()) else { return Vec::new() };
        let Some(record) = self.record(task) else { return Vec::new() };
        let waits = |host: &HostView<'w>| {
            let Some(token) = running(host.facts) else { return false };
            host.is_present() && !host.is_finished() && !is_configured(host.facts, token)
        };
        let covered = with_covers(&self.hosts, Some(record)).filter(|(_, covered)| *covered);
        covered.map(|(host, _)| *host).filter(waits).collect()
    }

    /// Whether the last host of the cluster has arrived, seen from one of them: the barrier does not close again behind
    /// a host for which a task has already been done.
    pub(super) fn past_barrier(&self, id: &HostId, token: &TokenId) -> bool {
        self.missing == 0
            || self.facts.is_some_and(|facts| facts.tasks.values().any(|task| task.covers.get(id) == Some(token)))
    }

    /// Whether the cluster's configuration is still to be done for a host, or its end to be seen.
    pub(super) fn awaits_ansible(&self, id: &HostId, facts: &HostFacts, token: &TokenId) -> bool {
        self.spec.tasks.iter().filter(|task| task.is_ansible() && task.targets.contains(id)).any(|task| {
            self.record(task).is_none_or(|record| record.covers.get(id) != Some(token))
                || (task.reboots() && !is_configured(facts, token))
        })
    }

    /// Whether any task is still to be done.
    pub(super) fn hooks_due(&self) -> bool {
        self.next.is_some() || !self.restarting.is_empty()
    }

    /// How far it is.
    pub fn state(&self) -> ClusterState {
        match self.next {
            _ if self.missing > 0 => ClusterState::Provisioning,
            Some(task) if task.is_ansible() => ClusterState::AnsibleRunning,
            _ if !self.restarting.is_empty() => ClusterState::AnsibleRunning,
            Some(_) => ClusterState::HooksRunning,
            None => ClusterState::Completed,
        }
    }

    /// Which hosts the cluster waits for.
    pub(super) fn missing_message(&self) -> String {
        let names = self.missing_names.join(", ");
        let more = self.missing - self.missing_names.len();
        let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("waiting for {} of {} hosts: {names}{tail}", self.missing, self.present)
    }
}

/// Where a cluster's next task stands, and what is to be begun for it.
pub(super) struct Outlook<'w> {
    pub step: Step,
    pub begin: Begin<'w>,
}

/// What is to be begun for a cluster's next task.
pub(super) enum Begin<'w> {
    Nothing,
    /// Hosts are to be reached.
    Reach {
        /// Which, in name order.
        hosts: Vec<HostView<'w>>,
        /// When the first of the others is to be tried again.
        again: Option<Time>,
    },
    /// The task itself.
    Run(&'w TaskSpec),
}

/// The hosts of a cluster with their facts and lanes. All these maps are in name order, so that one walk beside the other
/// finds what belongs together: looking each host up would cost most of the plan's time at 10,000 hosts.
fn hosts_of<'w>(world: &'w World, cluster: &'w ClusterSpec) -> Vec<HostView<'w>> {
    let Some(desired) = &world.desired else { return Vec::new() };
    let first = HostId::new(&cluster.name, "");
    let mut observed = along(world.hosts.range(&first..));
    let mut bmcs = along(world.lanes.from(Lane::Bmc(first.clone())).map_while(|(lane, work)| match lane {
        Lane::Bmc(id) => Some((id, work)),
        _ => None,
    }));
    let mut sshs = along(world.lanes.from(Lane::Ssh(first.clone())).map_while(|(lane, work)| match lane {
        Lane::Ssh(id) => Some((id, work)),
        _ => None,
    }));
    let with_facts = |spec: &'w Arc<HostSpec>| {
        let id = &spec.id;
        let facts = observed(id).map_or_else(|| HostFacts::none(), |facts| &**facts);
        let (bmc, ssh) = (bmcs(id).unwrap_or(&IDLE), sshs(id).unwrap_or(&IDLE));
        HostView { spec, facts, cluster, bmc, ssh }
    };
    desired.hosts_of(&cluster.name).map(with_facts).collect()
}

/// A look-up for keys that are asked for in order, by a walk along `pairs`.
fn along<'w, T>(pairs: impl Iterator<Item = (&'w HostId, T)>) -> impl FnMut(&HostId) -> Option<T> {
    let mut pairs = pairs.peekable();
    move |id| {
        while pairs.next_if(|(key, _)| *key < id).is_some() {}
        pairs.next_if(|(key, _)| *key == id).map(|(_, value)| value)
    }
}

/// The hosts, and whether each has an install that a record says was done; a walk along the record, which is in name
/// order like the hosts.
fn with_covers<'v, 'w>(
    hosts: &'v [HostView<'w>],
    record: Option<&'w TaskRecord>,
) -> impl Iterator<Item = (&'v HostView<'w>, bool)> + use<'v, 'w> {
    let mut covers = along(record.into_iter().flat_map(|record| &record.covers));
    hosts.iter().map(move |host| {
        let done_for = covers(&host.spec.id);
        let installed = host.facts.installed.as_ref().map(|installed| &installed.token);
        (host, done_for.is_some() && done_for == installed)
    })
}

/// The hosts a task is still to be done for ([`Rerun`] says when).
fn uncovered<'v, 'w>(
    hosts: &'v [HostView<'w>],
    task: &'w TaskSpec,
    record: Option<&'w TaskRecord>,
) -> impl Iterator<Item = &'v HostView<'w>> + use<'v, 'w> {
    let mut targets = along(task.targets.iter().map(|id| (id, ())));
    let changed = task.rerun == Rerun::OnChange && record.is_some_and(|record| record.definition != task.definition);
    let carried = !changed
        && task.is_for_cluster()
        && with_covers(hosts, record).any(|(host, covered)| covered && task.targets.contains(&host.spec.id));
    with_covers(hosts, record).filter_map(move |(host, covered)| {
        let targeted = targets(&host.spec.id).is_some();
        let done = if task.is_for_cluster() { carried } else { covered && !changed };
        (targeted && !done && host.is_present()).then_some(host)
    })
}

/// Whether a task failed for good, at the current run, and lets those after it go on.
pub(super) fn given_up(task: &TaskSpec, record: Option<&TaskRecord>, cluster: &ClusterSpec) -> bool {
    let last = record.and_then(|record| record.failure.as_ref()).filter(|last| last.run >= cluster.run);
    let Some(last) = last.filter(|_| task.on_failure == OnFailure::Continue) else { return false };
    let failure = &last.failure;
    match failure.fault.class {
        FaultClass::Operator => failure.basis == task_basis(&task.definition, cluster.run) || task.is_ansible(),
        FaultClass::Permanent => true,
        FaultClass::Transient => failure.count > cluster.retries,
    }
}

/// The digest a task's failure is tied to: a change of it lets a fault that waits for a person be tried again.
pub fn task_basis(definition: &Digest, run: u32) -> Digest {
    Digest::of([definition.as_str().as_bytes(), &run.to_be_bytes()])
}
