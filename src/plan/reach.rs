//! Reaching installed hosts over SSH.
//!
//! Before a task that works on hosts, each of them is reached once since it last reported: its host key is compared or
//! learned, and the boot it is in is noted. A machine that answers at once costs no waiting; one whose sshd is not up yet
//! is tried again after a moment, then ever more slowly.

use std::time::Duration;

use super::context::{PlanContext, doubled};
use super::ssh::is_reached;
use super::step::Step;
use super::view::{Begin, ClusterView, HostView, Outlook};
use crate::model::{Action, Failure, FaultClass, Lane, Reason, TaskSpec, Time};

/// First pause after a host could not be reached; doubled at each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause between two tries.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Tries before a person is asked to look: with these pauses about two minutes.
const QUICK_TRIES: u32 = 6;

/// The pause after the `count`th failure in a row: short at first, never long.
pub(super) fn pause(whom: &str, count: u32) -> Duration {
    doubled(whom, count, FIRST_PAUSE, LONGEST_PAUSE)
}

/// How it stands with reaching a host.
enum Standing {
    Reached,
    /// To be tried now.
    Begin,
    /// Under way, since.
    Busy(Time),
    /// It failed.
    Failed {
        /// The next try.
        until: Time,
        /// Whether a person should look.
        stalled: bool,
    },
}

/// What a task waits for until each of its hosts has been reached; `None` when they have.
pub(super) fn before_task<'w>(ctx: &PlanContext<'w>, view: &ClusterView<'w>, task: &TaskSpec) -> Option<Outlook<'w>> {
    let mut waits: Vec<(u8, Step)> = Vec::new();
    let (mut hosts, mut again) = (Vec::new(), None);
    for host in view.hosts.iter().filter(|host| view.due.contains_key(&host.spec.id)) {
        match host.standing(ctx) {
            Standing::Reached => {}
            Standing::Begin => {
                hosts.push(*host);
                waits.push((0, reaching(ctx)));
            }
            Standing::Busy(since) => {
                waits.push((0, Step::act(Reason::Reaching, "connecting over SSH", ctx.action_deadline(since))));
            }
            Standing::Failed { until, stalled } => {
                again = Some(again.map_or(until, |first: Time| first.min(until)));
                waits.push(match stalled {
                    false => (1, Step::wait(Reason::Retrying, format!("{}: {}", task.name, host.unreached()), until)),
                    true => (2, host.unreachable(&task.name, until)),
                });
            }
        }
    }
    // The worst of them is what people should see; of equals the first.
    let (_, step) = waits.into_iter().rev().max_by_key(|(weight, _)| *weight)?;
    Some(Outlook { step, begin: Begin::Reach { hosts, again } })
}

/// What a host shows that is to be reached now.
pub(super) fn reaching(ctx: &PlanContext<'_>) -> Step {
    Step::act(Reason::Reaching, "connecting over SSH", ctx.now + ctx.policy.action_timeout)
}

/// Begins to reach a host, if fewer than the limit are being reached.
pub(super) fn begin(ctx: &mut PlanContext<'_>, host: &HostView<'_>) {
    if ctx.has_room(&Lane::Ssh(host.spec.id.clone())) {
        ctx.begin(Action::Reach { host: host.spec.id.clone() });
    }
}

impl HostView<'_> {
    /// How it stands with reaching it, for a task.
    fn standing(&self, ctx: &PlanContext<'_>) -> Standing {
        if let Some(since) = self.ssh.since() {
            return Standing::Busy(since);
        }
        if is_reached(self.facts) {
            return Standing::Reached;
        }
        // A host that has reported since its last failure is worth a try at once.
        let current = |failure: &&Failure| self.facts.host_seen.is_none_or(|(_, at)| failure.at >= at);
        let Some(failure) = self.ssh.failure.as_ref().filter(current) else { return Standing::Begin };
        let transient = failure.fault.class == FaultClass::Transient;
        // A fault that waits for a person is looked at again as well, slowly: comparing a key costs nothing, and the
        // right machine may be back at its address, or the key in its place.
        let again = if transient { pause(&self.spec.id.host, failure.count) } else { ctx.policy.backoff_cap };
        let until = failure.at + again;
        match ctx.now < until {
            true => Standing::Failed { until, stalled: !transient || failure.count > QUICK_TRIES },
            false => Standing::Begin,
        }
    }

    fn unreached(&self) -> String {
        let why = self.ssh.failure.as_ref().map_or_else(String::new, |failure| failure.fault.to_string());
        format!("{} cannot be reached over SSH: {why}", self.spec.id)
    }

    /// It cannot be reached, and a person should look.
    fn unreachable(&self, task: &str, until: Time) -> Step {
        let failure = self.ssh.failure.as_ref();
        let lasting = failure.filter(|failure| failure.fault.class != FaultClass::Transient);
        let reason = lasting.map_or(Reason::SshUnreachable, |failure| failure.fault.reason);
        let advice = match (lasting, &self.facts.finished) {
            (Some(_), _) => "",
            (None, Some(_)) => "; it was powered off when its cluster was complete: switch it on",
            (None, None) => "; check that it is switched on and that sshd is running (see its console)",
        };
        Step::stalled(reason, format!("{task}: {}{advice}", self.unreached()), Some(until))
    }

    /// When to look whether it has restarted.
    fn next_look(&self, ctx: &PlanContext<'_>, ended: Time, overdue: bool) -> Look {
        if let Some(since) = self.ssh.since() {
            return Look::Later(ctx.action_deadline(since));
        }
        if !ctx.policy.ssh {
            return Look::Later(ctx.deadline(ended, ctx.policy.first_boot_timeout));
        }
        let failure = self.ssh.failure.as_ref().filter(|failure| failure.at >= ended);
        let reached = self.facts.ssh.reached.as_ref().map(|(_, at)| *at);
        let looked = failure.map(|failure| failure.at).max(reached).filter(|at| *at >= ended);
        let Some(looked) = looked else { return Look::Now };
        let lasting = failure.is_some_and(|it| it.at == looked && it.fault.class != FaultClass::Transient);
        let at = looked
            + match overdue || lasting {
                true => ctx.policy.backoff_cap,
                false => (looked.since(ended) / 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
            };
        match lasting {
            _ if ctx.now >= at => Look::Now,
            true => Look::Stalled(self.unreachable("after its restart", at), at),
            false => Look::Later(at),
        }
    }
}

enum Look {
    Now,
    Later(Time),
    Stalled(Step, Time),
}

/// Waits for hosts that a playbook restarts: their check-in, or another boot than the one before. The longer it takes,
/// the rarer the looks.
pub(super) fn await_restart<'w>(ctx: &PlanContext<'w>, view: &ClusterView<'w>) -> Outlook<'w> {
    let record = view.spec.tasks.iter().find(|task| task.reboots()).and_then(|task| view.record(task));
    let ended = record.map_or(ctx.now, |record| record.at);
    let due = ended + ctx.policy.first_boot_timeout;
    let overdue = ctx.now >= due;
    let mut hosts = Vec::new();
    let mut next = if overdue { ctx.deadline(due, Duration::ZERO) } else { due };
    let mut worst = None;
    let mut again = next;
    for host in &view.restarting {
        match host.next_look(ctx, ended, overdue) {
            Look::Now => hosts.push(*host),
            Look::Later(at) => next = next.min(at),
            Look::Stalled(step, at) => {
                again = again.min(at);
                worst = Some(step);
            }
        }
    }
    let step = worst.unwrap_or_else(|| restart_step(view, overdue, next));
    Outlook { step, begin: Begin::Reach { hosts, again: Some(again.min(next)) } }
}

fn restart_step(view: &ClusterView<'_>, overdue: bool, next: Time) -> Step {
    let names: Vec<&str> = view.restarting.iter().take(5).map(|host| &*host.spec.id.host).collect();
    let names = names.join(", ");
    if !overdue {
        return Step::wait(Reason::Restart, format!("configured; waiting for the restart of {names}"), next);
    }
    let have = if view.restarting.len() == 1 { "has" } else { "have" };
    let message = format!(
        "the playbook ended well, but {names} {have} not been seen to restart: restart what has not been restarted (PVC's \
         roles do it only in the run that configures a host first) and look at its console"
    );
    Step::stalled(Reason::RestartNotSeen, message, Some(next))
}
