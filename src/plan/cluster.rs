//! A cluster: the barrier that waits for its last host, and its tasks in their order.

use std::collections::BTreeMap;

use super::desk::Desk;
use super::host::{is_here, running};
use super::{ClusterPlan, Step};
use crate::model::{
    Action, ClusterFacts, ClusterName, ClusterSpec, Digest, HostFacts, HostId, HostSpec, Lifecycle, TaskRecord,
    TaskSpec, Time, TokenId, World,
};

/// What a cluster's members need to know of it; made once per cluster and plan.
pub struct ClusterView<'w> {
    pub(super) spec: &'w ClusterSpec,
    facts: Option<&'w ClusterFacts>,
    /// Its hosts, in name order.
    pub(super) members: Vec<Member<'w>>,
    /// Hosts that count (`state: present`).
    present: usize,
    /// How many of them are not up with what is wanted.
    missing: usize,
    /// The first few of those.
    missing_names: Vec<&'w str>,
    /// The first task, in order, that is not done for all it is about.
    next: Option<&'w TaskSpec>,
    /// What that task must still be done for.
    due: BTreeMap<HostId, TokenId>,
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
        view.next = spec.tasks.iter().find(|task| uncovered(&view.members, task, view.record(task)).next().is_some());
        if let Some(task) = view.next {
            view.due = uncovered(&view.members, task, view.record(task))
                .filter_map(|it| Some((it.spec.id.clone(), running(it.facts)?.clone())))
                .collect();
        }
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
        }
    }

    fn record(&self, task: &TaskSpec) -> Option<&'w TaskRecord> {
        self.facts?.tasks.get(&task.id)
    }

    /// Whether the last host of the cluster has arrived, seen from a member: it does not close again behind a member
    /// for which a task has already been done.
    pub(super) fn past_barrier(&self, id: &HostId, token: &TokenId) -> bool {
        self.missing == 0
            || self.facts.is_some_and(|facts| facts.tasks.values().any(|task| task.covers.get(id) == Some(token)))
    }

    /// Whether the cluster's configuration is still to be done for a member.
    pub(super) fn awaits_ansible(&self, id: &HostId, token: &TokenId) -> bool {
        self.spec
            .tasks
            .iter()
            .filter(|task| task.is_ansible() && task.targets.contains(id))
            .any(|task| self.record(task).is_none_or(|record| record.covers.get(id) != Some(token)))
    }

    /// Whether any task is still to be done.
    pub(super) fn hooks_due(&self) -> bool {
        self.next.is_some()
    }

    /// `provisioning`, `ansible-running`, `hooks-running` or `completed`.
    pub fn state(&self) -> &'static str {
        match self.next {
            _ if self.missing > 0 => "provisioning",
            Some(task) if task.is_ansible() => "ansible-running",
            Some(_) => "hooks-running",
            None => "completed",
        }
    }

    fn missing_message(&self) -> String {
        let names = self.missing_names.join(", ");
        let more = self.missing - self.missing_names.len();
        let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("waiting for {} of {} hosts: {names}{tail}", self.missing, self.present)
    }

    /// What a member that is up waits for.
    pub(super) fn step_for_member(&self, desk: &mut Desk<'_>, facts: &HostFacts) -> Step {
        if self.missing > 0 {
            let since = facts.booted.as_ref().map_or(desk.now, |(_, at)| *at);
            return desk.patience(since, desk.policy.peers_timeout, "Peers", "PeersMissing", self.missing_message());
        }
        match self.task_step(desk) {
            Step::Done { .. } => Step::done("waiting for its cluster"),
            step => step,
        }
    }

    /// Where the next task stands, without beginning it.
    fn task_step(&self, desk: &Desk<'_>) -> Step {
        if let Some(doing) = self.facts.and_then(|facts| facts.doing.as_ref()) {
            let name = self.next.map_or("a task", |task| task.name.as_str());
            let until = desk.later(doing.since + desk.policy.action_timeout, doing.since);
            return Step::act("TaskRunning", format!("running {name}"), until);
        }
        let Some(task) = self.next else { return Step::done("completed") };
        if let Some(why) = &task.blocked {
            return Step::stalled("Blocked", format!("{}: {why}", task.name), None);
        }
        if let Some(step) = super::outward::held(desk, self.spec, self.facts, task) {
            return step;
        }
        self.failed_step(desk, task).unwrap_or_else(|| {
            let until = desk.now + desk.policy.action_timeout;
            Step::act("TaskRunning", format!("running {}", task.name), until)
        })
    }

    fn failed_step(&self, desk: &Desk<'_>, task: &TaskSpec) -> Option<Step> {
        let (failure, at_run) = self.record(task)?.failure.as_ref()?;
        if *at_run < self.spec.run {
            return None;
        }
        let basis = task_basis(&task.definition, self.spec.run);
        let delay = desk.backoff(&HostId::new(&self.spec.name, ""), failure.count);
        desk.verdict_on(failure, &basis, self.spec.retries, delay)
            .map(|step| name_task(step, &task.name, self.spec.run))
    }

    /// Decides what happens next to the cluster, and begins its next task when all is ready.
    pub(super) fn plan(&self, desk: &mut Desk<'_>, since: Option<Time>) -> ClusterPlan {
        let step = if self.present == 0 {
            Step::done("no hosts")
        } else if self.missing > 0 {
            let since = since.unwrap_or(desk.now);
            let until = super::host::next_mark(since, desk.policy.peers_timeout, desk.now);
            Step::wait("Peers", self.missing_message(), until)
        } else {
            self.task_step(desk)
        };
        let idle = self.facts.is_none_or(|facts| facts.doing.is_none());
        if let (Step::Act { .. }, Some(task), true) = (&step, self.next, idle) {
            desk.actions.push(Action::Run {
                cluster: self.spec.name.clone(),
                task: task.id.clone(),
                definition: task.definition.clone(),
                covers: self.due.clone(),
                run: self.spec.run,
                do_bootstrap: task.is_ansible() && self.due.len() == self.present,
            });
        }
        desk.wake_for(&step);
        ClusterPlan { name: self.spec.name.clone(), state: self.state(), step, notes: Vec::new() }
    }
}

/// The digest a task's failure is tied to: a change of it lets a fault that waits for a person be tried again.
pub fn task_basis(definition: &Digest, run: u32) -> Digest {
    Digest::of([definition.as_str().as_bytes(), &run.to_be_bytes()])
}

fn name_task(step: Step, name: &str, run: u32) -> Step {
    match step {
        Step::Stalled { reason, message, until: None } => Step::Stalled {
            reason,
            message: format!("{name}: {message}; raise the cluster's `run` above {run} to let it run again"),
            until: None,
        },
        Step::Stalled { reason, message, until } => {
            Step::Stalled { reason, message: format!("{name}: {message}"), until }
        }
        Step::Wait { reason, message, until } => Step::Wait { reason, message: format!("{name}: {message}"), until },
        other => other,
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

/// The members a task is still to be done for; a walk along the task's targets and its record, which are in name order
/// like the members.
fn uncovered<'v, 'w>(
    members: &'v [Member<'w>],
    task: &'w TaskSpec,
    record: Option<&'w TaskRecord>,
) -> impl Iterator<Item = &'v Member<'w>> + use<'v, 'w> {
    let mut targets = task.targets.iter().peekable();
    let mut covers = record.into_iter().flat_map(|record| &record.covers).peekable();
    members.iter().filter(move |Member { spec, facts }| {
        while targets.next_if(|id| **id < spec.id).is_some() {}
        while covers.next_if(|(id, _)| **id < spec.id).is_some() {}
        let targeted = targets.next_if(|id| **id == spec.id).is_some();
        let done_for = covers.next_if(|(id, _)| **id == spec.id).map(|(_, token)| token);
        let installed = facts.installed.as_ref().map(|installed| &installed.token);
        targeted && spec.state == Lifecycle::Present && (done_for.is_none() || done_for != installed)
    })
}

/// The clusters' states, for `reduce` to notice a change.
pub fn state_of(world: &World, name: &ClusterName) -> Option<&'static str> {
    let spec = world.desired.as_ref()?.clusters.get(name)?;
    Some(ClusterView::new(world, spec).state())
}
