//! A cluster's next task: whether it may be begun, and if not, what it waits for.
//!
//! In this order: its definition is usable; what failed before lets it go on; the hosts that were configured before have
//! been seen to restart; files that a playbook made are on the watched branch before the next playbook is run; the status
//! branch announces what must not be run twice; every host it needs has just been reached over SSH.

use std::collections::BTreeSet;

use super::cluster::{ClusterView, Member};
use super::desk::Desk;
use super::ssh::{self, Standing};
use super::{Step, rack};
use crate::model::{
    Action, Announced, ClusterSpec, Digest, Doing, FaultClass, HostId, OnFailure, Reason, TaskIntent, TaskRecord,
    TaskSpec, Time,
};

/// What is to be begun for a cluster's next task.
pub(super) enum Next<'w> {
    /// Nothing.
    Nothing,
    /// Hosts are to be reached.
    Reach {
        /// Which.
        hosts: BTreeSet<HostId>,
        /// The same, with what is known of them.
        members: Vec<Member<'w>>,
        /// When the first of the others is to be tried again.
        again: Option<Time>,
    },
    /// The task itself.
    Run(&'w TaskSpec),
}

impl<'w> ClusterView<'w> {
    /// Where the next task stands, and what is to be begun for it.
    pub(super) fn task_outlook(&self, desk: &Desk<'w>) -> (Step, Next<'w>) {
        let only = |step| (step, Next::Nothing);
        if let Some(doing) = self.facts.and_then(|facts| facts.doing.as_ref()) {
            return only(self.running_step(desk, doing));
        }
        let Some(task) = self.next else {
            return match self.restarting.is_empty() {
                true => only(Step::done(self.completed_message())),
                false => ssh::await_restart(self, desk),
            };
        };
        if !task.is_ansible() && !self.restarting.is_empty() {
            return ssh::await_restart(self, desk);
        }
        if let Some(step) = self.held_step(desk, task) {
            return only(step);
        }
        if !task.needs_ssh() {
            return (self.begin_step(desk, task), Next::Run(task));
        }
        let due = self.members.iter().filter(|member| self.due.contains_key(&member.spec.id));
        let all: Vec<(Member<'w>, Standing)> =
            due.map(|member| (*member, ssh::standing(desk, member.spec, member.facts))).collect();
        match ssh::reach_step(desk, &all, &task.name) {
            Some(step) => {
                let again = all.iter().filter_map(|(_, standing)| standing.again()).min();
                let begin = all.into_iter().filter(|(_, standing)| matches!(standing, Standing::Begin));
                let members: Vec<_> = begin.map(|(member, _)| member).collect();
                (step, Next::Reach { hosts: members.iter().map(|it| it.spec.id.clone()).collect(), members, again })
            }
            None => (self.begin_step(desk, task), Next::Run(task)),
        }
    }

    /// What keeps a task from being begun that has nothing to do with SSH.
    fn held_step(&self, desk: &Desk<'_>, task: &TaskSpec) -> Option<Step> {
        if let Some(why) = &task.blocked {
            return Some(Step::stalled(Reason::Blocked, format!("{}: {why}", task.name), None));
        }
        if let Some(step) = self.failed_step(desk, task) {
            return Some(step);
        }
        if task.needs_ssh() && !desk.policy.ssh {
            let message = format!(
                "{} needs to reach the hosts over SSH: set deploy.ssh_key in rackwright.yaml and start it again",
                task.name
            );
            return Some(Step::stalled(Reason::NoDeployKey, message, None));
        }
        if let Some(step) = super::outward::held(desk, self.spec, self.facts, task) {
            return Some(step);
        }
        if self.unannounced(task).is_some() {
            let since = self.facts.and_then(|facts| facts.shown.as_ref()).map_or(desk.now, |(_, at)| *at);
            return Some(rack::announcing(desk, since, "the task"));
        }
        None
    }

    /// What the status branch must still say before a task is begun; nothing for one that may be run twice.
    pub(super) fn unannounced(&self, task: &'w TaskSpec) -> Option<Announced> {
        let record = self.record(task);
        if task.idempotent || task.blocked.is_some() {
            return None;
        }
        let due = self.due_for(task);
        let said = record.and_then(|record| record.announced.as_ref()).is_some_and(|said| {
            said.run == self.spec.run && due.iter().all(|(id, token)| said.covers.get(id) == Some(token))
        });
        (!said && !due.is_empty()).then_some(Announced { run: self.spec.run, covers: due })
    }

    /// What the status branch is to announce of this cluster: once its hosts are up, all that is due, in one commit.
    pub(super) fn announcements(&self) -> impl Iterator<Item = (&'w TaskSpec, Announced)> + '_ {
        let tasks = self.spec.tasks.iter().filter(|_| self.is_open());
        tasks.filter_map(|task| Some((task, self.unannounced(task)?)))
    }

    fn running_step(&self, desk: &Desk<'_>, doing: &Doing) -> Step {
        let Action::Run { task, covers, .. } = &doing.action else { return Step::done("") };
        let spec = self.spec.tasks.iter().find(|it| it.id == *task);
        let name = spec.map_or("a task that has left the repository", |task| task.name.as_str());
        let limit = spec.map_or(desk.policy.ansible_timeout, |task| limit(desk, task, covers.len()));
        let until = desk.later(doing.since + limit + desk.policy.action_timeout, doing.since);
        Step::act(Reason::TaskRunning, format!("running {name}"), until)
    }

    fn begin_step(&self, desk: &Desk<'_>, task: &TaskSpec) -> Step {
        let until = desk.now + limit(desk, task, self.due.len()) + desk.policy.action_timeout;
        Step::act(Reason::TaskRunning, format!("running {}", task.name), until)
    }

    fn failed_step(&self, desk: &Desk<'_>, task: &TaskSpec) -> Option<Step> {
        let record = self.record(task)?;
        let (failure, at_run) = record.failure.as_ref()?;
        if *at_run < self.spec.run {
            return None;
        }
        // Another playbook does not make a half-made cluster a new one.
        let basis = if task.is_ansible() { failure.basis.clone() } else { task_basis(&task.definition, self.spec.run) };
        let whom = HostId::new(&self.spec.name, "");
        // A service that is still coming up (a cluster's API after its hosts restarted) is asked again soon.
        let (delay, retries) = match failure.fault.reason == Reason::NotReady {
            true => (ssh::pace(desk, &whom, failure.count), self.spec.retries.max(ready_tries(desk))),
            false => (desk.backoff(&whom, failure.count), self.spec.retries),
        };
        let step = desk.verdict_on(failure, &basis, retries, delay)?;
        let which = match record.failed.keys().map(|id| id.host.as_ref()).collect::<Vec<_>>() {
            hosts if hosts.is_empty() => String::new(),
            hosts => format!(" on {}", hosts.join(", ")),
        };
        Some(name_task(step, &format!("{}{which}", task.name), self.spec.run))
    }

    /// Begins what is to be begun.
    pub(super) fn begin(&self, desk: &mut Desk<'w>, next: &Next<'w>) {
        for (task, announced) in self.announcements() {
            let (cluster, definition) = (self.spec.name.clone(), task.definition.clone());
            desk.tasks.push(TaskIntent { cluster, task: task.id.clone(), definition, announced });
        }
        match next {
            Next::Nothing => {}
            Next::Reach { members, again, .. } => {
                again.iter().for_each(|at| desk.wake(*at));
                members.iter().for_each(|member| ssh::begin(desk, member));
            }
            Next::Run(task) => desk.actions.push(Action::Run {
                cluster: self.spec.name.clone(),
                task: task.id.clone(),
                definition: task.definition.clone(),
                covers: self.due.clone(),
                run: self.spec.run,
                // As long as anybody carries the cluster, it is joined and not made anew: PVC's roles would make a new
                // Ceph cluster and wipe the database's keys of the one that runs.
                do_bootstrap: task.is_ansible() && !self.is_carried(task),
            }),
        }
    }
}

/// Tries before a service that does not come up is a person's business: at the pace they are made, about as long as a
/// first boot may take.
fn ready_tries(desk: &Desk<'_>) -> u32 {
    u32::try_from(desk.policy.first_boot_timeout.as_secs() / ssh::LONGEST_PAUSE.as_secs()).unwrap_or(u32::MAX)
}

/// How long a run may take: a hook's limit is one for each of its targets, a playbook's is one for all.
fn limit(desk: &Desk<'_>, task: &TaskSpec, targets: usize) -> std::time::Duration {
    let times = if task.is_ansible() { 1 } else { u32::try_from(targets.max(1)).unwrap_or(u32::MAX) };
    task.time_limit.unwrap_or(desk.policy.ansible_timeout).saturating_mul(times)
}

/// Whether a task failed for good, at the current run, and lets those after it go on.
pub(super) fn given_up(task: &TaskSpec, record: Option<&TaskRecord>, cluster: &ClusterSpec) -> bool {
    let failure = record.and_then(|record| record.failure.as_ref()).filter(|(_, at_run)| *at_run >= cluster.run);
    let Some((failure, _)) = failure.filter(|_| task.on_failure == OnFailure::Continue) else { return false };
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
