//! A cluster: the barrier that waits for its last host, and its tasks in their order.

use std::collections::BTreeMap;

use super::desk::Desk;
use super::host::{is_here, running};
use super::task::{Next, given_up};
use super::{ClusterPlan, Step, ssh};
use crate::model::{
    ClusterFacts, ClusterName, ClusterSpec, ClusterState, HostFacts, HostId, HostSpec, Lifecycle, OnComplete, Reason,
    Rerun, TaskRecord, TaskSpec, Time, TokenId, World,
};

/// What a cluster's members need to know of it; made once per cluster and plan.
pub struct ClusterView<'w> {
    pub(super) spec: &'w ClusterSpec,
    pub(super) facts: Option<&'w ClusterFacts>,
    /// Its hosts, in name order.
    pub(super) members: Vec<Member<'w>>,
    /// Hosts that count (`state: present`).
    present: usize,
    /// How many of them are not up with what is wanted.
    missing: usize,
    /// The first few of those.
    missing_names: Vec<&'w str>,
    /// The first task, in order, that is not done for all it is about.
    pub(super) next: Option<&'w TaskSpec>,
    /// What that task must still be done for.
    pub(super) due: BTreeMap<HostId, TokenId>,
    /// Tasks before it that failed for good and let the others go on.
    pub(super) given_up: Vec<&'w TaskSpec>,
    /// Hosts that were configured and whose restart is part of that and not seen yet.
    pub(super) restarting: Vec<Member<'w>>,
    /// Where its next task stands, once that was looked at.
    outlook: Option<(Step, Next<'w>)>,
}

/// A host, as wanted and as observed.
#[derive(Clone, Copy)]
pub struct Member<'w> {
    pub(super) spec: &'w HostSpec,
    pub(super) facts: &'w HostFacts,
}

static NO_FACTS: std::sync::LazyLock<HostFacts> = std::sync::LazyLock::new(HostFacts::default);

/// What was observed of a host; nothing, if nothing was.
pub fn facts_of<'w>(world: &'w World, id: &HostId) -> &'w HostFacts {
    world.hosts.get(id).map_or(&NO_FACTS, |facts| facts)
}

impl<'w> ClusterView<'w> {
    /// Looks at a cluster.
    pub fn new(world: &'w World, spec: &'w ClusterSpec) -> Self {
        let facts = world.clusters.get(&spec.name).map(|facts| &**facts);
        let mut view = ClusterView { facts, ..ClusterView::bare(spec) };
        view.members = members(world, &spec.name);
        for Member { spec: host, facts } in view.members.iter().filter(|it| it.spec.state == Lifecycle::Present) {
            view.present += 1;
            if !is_here(host, facts) {
                view.missing += 1;
                if view.missing_names.len() < 5 {
                    view.missing_names.push(&host.id.host);
                }
            }
        }
        for task in &spec.tasks {
            if !view.is_due(task) {
                continue;
            }
            if given_up(task, view.record(task), spec) {
                view.given_up.push(task);
                continue;
            }
            view.next = Some(task);
            view.due = view.due_for(task);
            break;
        }
        view.restarting = view.find_restarting();
        view
    }

    /// A view of a cluster of which nothing is known: enough for the rungs below `installed`, which do not ask it.
    pub(super) fn bare(spec: &'w ClusterSpec) -> Self {
        ClusterView {
            spec,
            facts: None,
            members: Vec::new(),
            present: 0,
            missing: 0,
            missing_names: Vec::new(),
            next: None,
            due: BTreeMap::new(),
            given_up: Vec::new(),
            restarting: Vec::new(),
            outlook: None,
        }
    }

    pub(super) fn record(&self, task: &TaskSpec) -> Option<&'w TaskRecord> {
        self.facts?.tasks.get(&task.id)
    }

    fn is_due(&self, task: &'w TaskSpec) -> bool {
        uncovered(&self.members, task, self.record(task)).next().is_some()
    }

    /// The installs that a task is still to be done for.
    pub(super) fn due_for(&self, task: &'w TaskSpec) -> BTreeMap<HostId, TokenId> {
        let due = uncovered(&self.members, task, self.record(task));
        due.filter_map(|it| Some((it.spec.id.clone(), running(it.facts)?.clone()))).collect()
    }

    /// Whether somebody in the repository, whatever their lifecycle, carries an install that a task was done for.
    pub(super) fn is_carried(&self, task: &TaskSpec) -> bool {
        let Some(record) = self.record(task) else { return false };
        with_covers(&self.members, Some(record)).any(|(_, covered)| covered)
    }

    /// The installs of a task's targets that its record does not know.
    pub(super) fn not_yet_in(&self, task: &TaskSpec) -> BTreeMap<HostId, TokenId> {
        let out = with_covers(&self.members, self.record(task)).filter(|(member, covered)| {
            !covered && member.spec.state == Lifecycle::Present && task.targets.contains(&member.spec.id)
        });
        out.filter_map(|(it, _)| Some((it.spec.id.clone(), running(it.facts)?.clone()))).collect()
    }

    /// Whether everybody who counts is up.
    pub(super) fn is_open(&self) -> bool {
        self.missing == 0 && self.present > 0
    }

    /// Configured hosts whose restart is still to be seen.
    fn find_restarting(&self) -> Vec<Member<'w>> {
        let Some(task) = self.spec.tasks.iter().find(|task| task.reboots()) else { return Vec::new() };
        let Some(record) = self.record(task) else { return Vec::new() };
        let waits = |member: &Member<'w>| {
            let Some(token) = running(member.facts) else { return false };
            let finished = member.facts.finished.as_ref().is_some_and(|(finished, _)| finished == token);
            member.spec.state == Lifecycle::Present && !finished && !ssh::is_configured(member.facts, token)
        };
        let covered = with_covers(&self.members, Some(record)).filter(|(_, covered)| *covered);
        covered.map(|(member, _)| *member).filter(waits).collect()
    }

    /// Whether the last host of the cluster has arrived, seen from a member: it does not close again behind a member
    /// for which a task has already been done.
    pub(super) fn past_barrier(&self, id: &HostId, token: &TokenId) -> bool {
        self.missing == 0
            || self.facts.is_some_and(|facts| facts.tasks.values().any(|task| task.covers.get(id) == Some(token)))
    }

    /// Whether the cluster's configuration is still to be done for a member, or its end to be seen.
    pub(super) fn awaits_ansible(&self, id: &HostId, facts: &HostFacts, token: &TokenId) -> bool {
        self.spec.tasks.iter().filter(|task| task.is_ansible() && task.targets.contains(id)).any(|task| {
            self.record(task).is_none_or(|record| record.covers.get(id) != Some(token))
                || (task.reboots() && !ssh::is_configured(facts, token))
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

    fn missing_message(&self) -> String {
        let names = self.missing_names.join(", ");
        let more = self.missing - self.missing_names.len();
        let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("waiting for {} of {} hosts: {names}{tail}", self.missing, self.present)
    }

    /// What a member that is up waits for.
    pub(super) fn step_for_member(&self, desk: &mut Desk<'_>, spec: &HostSpec, facts: &HostFacts) -> Step {
        if self.missing > 0 {
            let since = facts.booted.as_ref().map_or(desk.now, |(_, at)| *at);
            return desk.patience(
                since,
                desk.policy.peers_timeout,
                Reason::Peers,
                Reason::PeersMissing,
                self.missing_message(),
            );
        }
        match &self.outlook {
            Some((_, Next::Reach { hosts, .. })) if hosts.contains(&spec.id) => ssh::reaching(desk),
            Some((Step::Done { .. }, _)) | None => Step::done("waiting for its cluster"),
            Some((step, _)) => step.clone(),
        }
    }

    /// Looks where the next task stands; once, before the members are asked.
    pub(super) fn look(&mut self, desk: &Desk<'w>) {
        if self.is_open() {
            self.outlook = Some(self.task_outlook(desk));
        }
    }

    /// Decides what happens next to the cluster, and begins its next task when all is ready.
    pub(super) fn plan(&self, desk: &mut Desk<'w>, since: Option<Time>) -> ClusterPlan {
        let step = if self.present == 0 {
            Step::done("no hosts")
        } else if self.missing > 0 {
            let since = since.unwrap_or(desk.now);
            let until = super::host::next_mark(since, desk.policy.peers_timeout, desk.now);
            Step::wait(Reason::Peers, self.missing_message(), until)
        } else {
            match &self.outlook {
                Some((step, next)) => {
                    self.begin(desk, next);
                    step.clone()
                }
                None => Step::done("completed"),
            }
        };
        desk.wake_for(&step);
        ClusterPlan { name: self.spec.name.clone(), state: self.state(), step, notes: self.notes() }
    }

    /// What people should know of a cluster, whatever it is doing.
    fn notes(&self) -> Vec<String> {
        let passed = self.given_up.iter().filter_map(|task| Some((task, self.record(task)?.failure.as_ref()?)));
        let passed = passed.map(|(task, (failure, _))| {
            let run = self.spec.run;
            format!(
                "`{}` failed and was passed over: {}; raise `run` above {run} to try it again",
                task.name, failure.fault
            )
        });
        passed.chain(self.by_hand()).collect()
    }

    /// What is left to be done by hand once the cluster is complete.
    fn by_hand(&self) -> Option<String> {
        if self.spec.on_complete != OnComplete::PowerOff || self.state() != ClusterState::Completed {
            return None;
        }
        let on = |member: &&Member<'_>| super::finish::is_left_on(member.spec, member.facts);
        let names: Vec<&str> = self.members.iter().filter(on).map(|member| &*member.spec.id.host).collect();
        (!names.is_empty()).then(|| format!("power off by hand, for there is no BMC: {}", names.join(", ")))
    }

    /// What is said of a cluster whose tasks are all done.
    pub(super) fn completed_message(&self) -> String {
        let names: Vec<String> = self.given_up.iter().map(|task| format!("`{}`", task.name)).collect();
        let failed = (!names.is_empty()).then(|| format!(", although {} failed", names.join(", ")));
        let by_hand = self.by_hand().map(|text| format!("; {text}"));
        format!("completed{}{}", failed.unwrap_or_default(), by_hand.unwrap_or_default())
    }
}

/// The hosts of a cluster with their facts. Both maps are in name order, so that one walk beside the other finds every
/// pair: looking each host up would cost most of the plan's time at 10,000 hosts.
fn members<'w>(world: &'w World, name: &ClusterName) -> Vec<Member<'w>> {
    let Some(desired) = &world.desired else { return Vec::new() };
    let mut observed = world.hosts.range(HostId::new(name, "")..).peekable();
    let with_facts = |spec: &'w std::sync::Arc<HostSpec>| {
        while observed.next_if(|(id, _)| **id < spec.id).is_some() {}
        let facts = observed.next_if(|(id, _)| **id == spec.id).map_or(&*NO_FACTS, |(_, facts)| facts);
        Member { spec, facts }
    };
    desired.hosts_of(name).map(with_facts).collect()
}

/// The members, and whether each carries an install that a record says was done; a walk along the record, which is in
/// name order like the members.
fn with_covers<'v, 'w>(
    members: &'v [Member<'w>],
    record: Option<&'w TaskRecord>,
) -> impl Iterator<Item = (&'v Member<'w>, bool)> + use<'v, 'w> {
    let mut covers = record.into_iter().flat_map(|record| &record.covers).peekable();
    members.iter().map(move |member| {
        while covers.next_if(|(id, _)| **id < member.spec.id).is_some() {}
        let done_for = covers.next_if(|(id, _)| **id == member.spec.id).map(|(_, token)| token);
        let installed = member.facts.installed.as_ref().map(|installed| &installed.token);
        (member, done_for.is_some() && done_for == installed)
    })
}

/// The members a task is still to be done for ([`Rerun`] says when).
fn uncovered<'v, 'w>(
    members: &'v [Member<'w>],
    task: &'w TaskSpec,
    record: Option<&'w TaskRecord>,
) -> impl Iterator<Item = &'v Member<'w>> + use<'v, 'w> {
    let mut targets = task.targets.iter().peekable();
    let changed = task.rerun == Rerun::OnChange && record.is_some_and(|record| record.definition != task.definition);
    let carried = !changed
        && task.is_for_cluster()
        && with_covers(members, record).any(|(member, covered)| covered && task.targets.contains(&member.spec.id));
    with_covers(members, record).filter_map(move |(member, covered)| {
        while targets.next_if(|id| **id < member.spec.id).is_some() {}
        let targeted = targets.next_if(|id| **id == member.spec.id).is_some();
        let done = if task.is_for_cluster() { carried } else { covered && !changed };
        (targeted && !done && member.spec.state == Lifecycle::Present).then_some(member)
    })
}

/// The clusters' states, for `reduce` to notice a change.
pub fn state_of(world: &World, name: &ClusterName) -> Option<ClusterState> {
    let spec = world.desired.as_ref()?.clusters.get(name)?;
    Some(ClusterView::new(world, spec).state())
}
