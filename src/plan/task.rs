//! A cluster's next task: whether it may be begun, and if not, what it waits for.
//!
//! In this order: its definition is usable; what failed before lets it go on; the hosts that were configured before have
//! been seen to restart; files that a playbook made are on the watched branch before the next playbook is run; the status
//! branch announces what must not be run twice; every host it needs has just been reached over SSH.

use super::context::PlanContext;
use super::step::Step;
use super::view::{Begin, ClusterView, Outlook, task_basis};
use super::{publish, reach, write_back};
use crate::model::{Action, Announced, ClusterState, Doing, Lane, OnComplete, Reason, TaskSpec};

/// Where the next task stands, and what is to be begun for it.
pub(super) fn outlook<'w>(ctx: &PlanContext<'w>, view: &ClusterView<'w>) -> Outlook<'w> {
    let only = |step| Outlook { step, begin: Begin::Nothing };
    if let Some(doing) = &ctx.world.lanes.get(&Lane::Task(view.spec.name.clone())).doing {
        return only(running_step(ctx, view, doing));
    }
    let Some(task) = view.next else {
        return match view.restarting.is_empty() {
            true => only(Step::done(completed_message(view))),
            false => reach::await_restart(ctx, view),
        };
    };
    if !task.is_ansible() && !view.restarting.is_empty() {
        return reach::await_restart(ctx, view);
    }
    if let Some(step) = held_step(ctx, view, task) {
        return only(step);
    }
    let reach = if task.needs_ssh() { reach::before_task(ctx, view, task) } else { None };
    reach.unwrap_or_else(|| {
        let until = ctx.now + limit(ctx, task, view.due.len()) + ctx.policy.action_timeout;
        Outlook {
            step: Step::act(Reason::TaskRunning, format!("running {}", task.name), until),
            begin: Begin::Run(task),
        }
    })
}

/// What keeps a task from being begun that has nothing to do with SSH.
fn held_step(ctx: &PlanContext<'_>, view: &ClusterView<'_>, task: &TaskSpec) -> Option<Step> {
    if let Some(why) = &task.blocked {
        return Some(Step::stalled(Reason::Blocked, format!("{}: {why}", task.name), None));
    }
    if let Some(step) = failed_step(ctx, view, task) {
        return Some(step);
    }
    if task.needs_ssh() && !ctx.policy.ssh {
        let message = format!(
            "{} needs to reach the hosts over SSH: set deploy.ssh_key in rackwright.yaml and start it again",
            task.name
        );
        return Some(Step::stalled(Reason::NoDeployKey, message, None));
    }
    if let Some(step) = write_back::held(ctx, view, task) {
        return Some(step);
    }
    unannounced(view, task)?;
    let since = view.facts.and_then(|facts| facts.shown.as_ref()).map_or(ctx.now, |(_, at)| *at);
    Some(publish::announcing(ctx, since, "the task"))
}

/// What the status branch must still say before a task is begun; nothing for one that may be run twice.
fn unannounced(view: &ClusterView<'_>, task: &TaskSpec) -> Option<Announced> {
    if task.idempotent || task.blocked.is_some() {
        return None;
    }
    let due = view.due_for(task);
    let said = view.record(task).and_then(|record| record.announced.as_ref()).is_some_and(|said| {
        said.run == view.spec.run && due.iter().all(|(id, token)| said.covers.get(id) == Some(token))
    });
    (!said && !due.is_empty()).then_some(Announced { run: view.spec.run, covers: due })
}

/// What the status branch is to announce of a cluster: once its hosts are up, all that is due, in one commit.
pub(super) fn announcements<'w>(view: &ClusterView<'w>) -> impl Iterator<Item = (&'w TaskSpec, Announced)> {
    let tasks = view.spec.tasks.iter().filter(|_| view.is_open());
    tasks.filter_map(|task| Some((task, unannounced(view, task)?)))
}

fn running_step(ctx: &PlanContext<'_>, view: &ClusterView<'_>, doing: &Doing) -> Step {
    let Action::Run { task, covers, .. } = &doing.action else { return Step::done("") };
    let spec = view.spec.tasks.iter().find(|it| it.id == *task);
    let name = spec.map_or("a task that has left the repository", |task| task.name.as_str());
    let limit = spec.map_or(ctx.policy.ansible_timeout, |task| limit(ctx, task, covers.len()));
    let until = ctx.deadline(doing.since, limit + ctx.policy.action_timeout);
    Step::act(Reason::TaskRunning, format!("running {name}"), until)
}

fn failed_step(ctx: &PlanContext<'_>, view: &ClusterView<'_>, task: &TaskSpec) -> Option<Step> {
    let record = view.record(task)?;
    let last = record.failure.as_ref().filter(|last| last.run >= view.spec.run)?;
    let (failure, retries) = (&last.failure, view.spec.retries);
    // Another playbook does not make a half-made cluster a new one.
    let basis = if task.is_ansible() { failure.basis.clone() } else { task_basis(&task.definition, view.spec.run) };
    let whom = view.spec.name.as_str();
    // A service that is still coming up (a cluster's API after its hosts restarted) is asked again soon.
    let (delay, retries) = match failure.fault.reason == Reason::NotReady {
        true => (reach::pause(whom, failure.count), retries.max(ready_tries(ctx))),
        false => (ctx.backoff(whom, failure.count), retries),
    };
    let mut step = ctx.held_back(failure, &basis, retries, delay)?;
    let hosts: Vec<&str> = record.failed.keys().map(|id| id.host.as_ref()).collect();
    let on = if hosts.is_empty() { String::new() } else { format!(" on {}", hosts.join(", ")) };
    let never = matches!(step, Step::Stalled { until: None, .. });
    if let Step::Stalled { message, .. } | Step::Wait { message, .. } = &mut step {
        *message = format!("{}{on}: {message}", task.name);
        if never {
            *message += &format!("; raise the cluster's `run` above {} to let it run again", view.spec.run);
        }
    }
    Some(step)
}

/// Tries before a service that does not come up is a person's business: at the pace they are made, about as long as a
/// first boot may take.
fn ready_tries(ctx: &PlanContext<'_>) -> u32 {
    u32::try_from(ctx.policy.first_boot_timeout.as_secs() / reach::LONGEST_PAUSE.as_secs()).unwrap_or(u32::MAX)
}

/// How long a run may take: a hook's limit is one for each of its targets, a playbook's is one for all.
fn limit(ctx: &PlanContext<'_>, task: &TaskSpec, targets: usize) -> std::time::Duration {
    let times = if task.is_ansible() { 1 } else { u32::try_from(targets.max(1)).unwrap_or(u32::MAX) };
    task.time_limit.unwrap_or(ctx.policy.ansible_timeout).saturating_mul(times)
}

/// What is said of a cluster whose tasks are all done.
fn completed_message(view: &ClusterView<'_>) -> String {
    let names: Vec<String> = view.given_up.iter().map(|task| format!("`{}`", task.name)).collect();
    let failed = (!names.is_empty()).then(|| format!(", although {} failed", names.join(", ")));
    let by_hand = left_on(view).map(|text| format!("; {text}"));
    format!("completed{}{}", failed.unwrap_or_default(), by_hand.unwrap_or_default())
}

/// What is left to be done by hand once the cluster is complete.
pub(super) fn left_on(view: &ClusterView<'_>) -> Option<String> {
    if view.spec.on_complete != OnComplete::PowerOff || view.state() != ClusterState::Completed {
        return None;
    }
    let on = view.hosts.iter().filter(|host| host.is_left_on());
    let names: Vec<&str> = on.map(|host| &*host.spec.id.host).collect();
    (!names.is_empty()).then(|| format!("power off by hand, for there is no BMC: {}", names.join(", ")))
}
