//! A cluster: the barrier that waits for its last host, and its tasks in their order.

use std::collections::BTreeMap;

use super::desk::Desk;
use super::host::{is_here, running};
use super::{ClusterPlan, Step};
use crate::model::{
    Action, ClusterFacts, ClusterName, ClusterSpec, Digest, HostFacts, HostId, HostSpec, HostState, Lifecycle,
    TaskKind, TaskRecord, TaskSpec, Time, TokenId, World,
};

/// What a cluster's members need to know of it; made once per cluster and plan.
pub struct ClusterView<'w> {
    pub(super) spec: &'w ClusterSpec,
    facts: Option<&'w ClusterFacts>,
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
        let Some(desired) = &world.desired else { return view };
        for host in desired.hosts_of(&spec.name).filter(|host| host.state == Lifecycle::Present) {
            view.present += 1;
            if !is_here(host, facts_of(world, &host.id)) {
                view.missing += 1;
                if view.missing_names.len() < 5 {
                    view.missing_names.push(&host.id.host);
                }
            }
        }
        view.next = spec.tasks.iter().find(|task| {
            let record = view.record(task);
            present_targets(world, task).any(|host| !covered(record, &host.id, facts_of(world, &host.id)))
        });
        if let Some(task) = view.next {
            let record = view.record(task);
            view.due = present_targets(world, task)
                .filter(|host| !covered(record, &host.id, facts_of(world, &host.id)))
                .filter_map(|host| Some((host.id.clone(), running(facts_of(world, &host.id))?.clone())))
                .collect();
        }
        view
    }

    /// A view of a cluster of which nothing is known: enough for the rungs below `installed`, which do not ask it.
    pub(super) fn bare(spec: &'w ClusterSpec) -> Self {
        ClusterView {
            spec,
            facts: None,
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
    pub(super) fn step_for_member(&self, desk: &mut Desk<'_>, facts: &HostFacts, _state: HostState) -> Step {
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
        if let TaskKind::Unsupported { what } = &task.kind {
            let message =
                format!("this version cannot run {what}; remove it from the repository or wait for a newer one");
            return Step::stalled("NotSupportedYet", message, None);
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
        let verdict = if task.idempotent {
            desk.verdict_on(failure, &basis, self.spec.retries, delay)
        } else {
            Some(Step::stalled(failure.fault.reason.clone(), failure.fault.message.clone(), None))
        };
        verdict.map(|step| name_task(step, &task.name, self.spec.run))
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
            });
        }
        desk.wake_for(&step);
        ClusterPlan { name: self.spec.name.clone(), state: self.state(), step }
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

fn present_targets<'w>(world: &'w World, task: &'w TaskSpec) -> impl Iterator<Item = &'w HostSpec> {
    let desired = world.desired.as_ref();
    task.targets
        .iter()
        .filter_map(move |id| desired.and_then(|desired| desired.hosts.get(id)))
        .map(|host| &**host)
        .filter(|host| host.state == Lifecycle::Present)
}

fn covered(record: Option<&TaskRecord>, id: &HostId, facts: &HostFacts) -> bool {
    let done_for = record.and_then(|record| record.covers.get(id));
    done_for.is_some() && done_for == facts.installed.as_ref().map(|installed| &installed.token)
}

/// The clusters' states, for `reduce` to notice a change.
pub fn state_of(world: &World, name: &ClusterName) -> Option<&'static str> {
    let spec = world.desired.as_ref()?.clusters.get(name)?;
    Some(ClusterView::new(world, spec).state())
}
