//! SSH to installed hosts: where they are, which host key counts, and when they are reached.
//!
//! Before a task that works on hosts, each of them is reached once since it last reported: its host key is compared or
//! learned, and the boot it is in is noted. A machine that answers at once costs no waiting; one whose sshd is not up yet
//! is tried again after a moment, then ever more slowly.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::Step;
use super::cluster::{ClusterView, Member, facts_of};
use super::desk::Desk;
use super::task::Next;
use crate::model::{Action, Failure, FaultClass, HostFacts, HostId, HostSpec, Reason, Time, TokenId, World};

pub mod key;

/// Hosts reached at once.
pub(super) const AT_ONCE: usize = 32;
/// First pause after a host could not be reached; doubled at each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause between two tries.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Tries before a person is asked to look: with these pauses about two minutes.
const PATIENCE: u32 = 6;

/// The address a host is reached at. On the first use it must be the one that we leased to its MAC: there is no host key
/// to tell it from a stranger yet.
pub fn address(world: &World, spec: &HostSpec) -> Result<IpAddr, String> {
    let facts = facts_of(world, &spec.id);
    let Some((address, _)) = facts.host_seen else {
        return Err(format!("no address of {} is known", spec.id));
    };
    let leased = match address {
        IpAddr::V4(ip) => world.leases.holder(ip).and_then(|lease| lease.mac),
        IpAddr::V6(_) => None,
    };
    let its = spec.boot_mac.or(facts.boot_mac);
    if world.policy.site.leases_are_ours && host_key(world, spec).is_none() && (leased.is_none() || leased != its) {
        return Err(format!("{address} is not leased to {}, and no host key of it is known", spec.id));
    }
    Ok(address)
}

/// The host key that a host must show: of the install that is on its disk.
pub fn host_key(world: &World, spec: &HostSpec) -> Option<String> {
    pinned(facts_of(world, &spec.id)).map(str::to_owned)
}

/// The host key of the install that is on the disk.
pub fn pinned(facts: &HostFacts) -> Option<&str> {
    let installed = facts.installed.as_ref()?;
    facts.ssh.key.as_ref().filter(|(token, _)| *token == installed.token).map(|(_, key)| key.as_str())
}

/// Whether a host is up again after its configuration began.
pub fn is_configured(facts: &HostFacts, token: &TokenId) -> bool {
    facts.ssh.configured.as_ref().is_some_and(|(configured, _)| configured == token)
}

/// Whether a host has been reached since it last reported (a boot, another address).
pub fn is_reached(facts: &HostFacts) -> bool {
    let reported = facts.host_seen.map(|(_, at)| at);
    pinned(facts).is_some() && facts.ssh.reached.as_ref().is_some_and(|(_, at)| Some(*at) >= reported)
}

impl Standing {
    /// When it is tried again.
    pub(super) fn again(&self) -> Option<Time> {
        match self {
            Standing::Failed { until, .. } => Some(*until),
            Standing::Reached | Standing::Begin | Standing::Busy(_) => None,
        }
    }
}

/// The pause after the `count`th failure in a row: short at first, never long.
pub(super) fn pace(desk: &Desk<'_>, whom: &HostId, count: u32) -> Duration {
    desk.paced(whom, count, FIRST_PAUSE, LONGEST_PAUSE)
}

/// How it stands with reaching a host.
pub(super) enum Standing {
    /// Done.
    Reached,
    /// To be tried now.
    Begin,
    /// Under way, since.
    Busy(Time),
    /// It failed; to be tried again at that time.
    Failed {
        /// The next try.
        until: Time,
        /// Whether a person should look.
        stalled: bool,
    },
}

/// How it stands with reaching a host, for a task.
pub(super) fn standing(desk: &Desk<'_>, spec: &HostSpec, facts: &HostFacts) -> Standing {
    if let Some(since) = facts.ssh.reaching {
        return Standing::Busy(since);
    }
    if is_reached(facts) {
        return Standing::Reached;
    }
    let Some(failure) = current_failure(facts) else { return Standing::Begin };
    let transient = failure.fault.class == FaultClass::Transient;
    // A fault that waits for a person is looked at again as well, slowly: comparing a key costs nothing, and the right
    // machine may be back at its address, or the key in its place.
    let pause = if transient { pace(desk, &spec.id, failure.count) } else { desk.policy.backoff_cap };
    let until = failure.at + pause;
    match desk.now < until {
        true => Standing::Failed { until, stalled: !transient || failure.count > PATIENCE },
        false => Standing::Begin,
    }
}

/// The last failure, unless the host has reported since: it is worth a try at once then.
fn current_failure(facts: &HostFacts) -> Option<&Failure> {
    facts.ssh.failure.as_ref().filter(|failure| facts.host_seen.is_none_or(|(_, at)| failure.at >= at))
}

/// What a host shows that is to be reached now.
pub(super) fn reaching(desk: &Desk<'_>) -> Step {
    Step::act(Reason::Reaching, "connecting over SSH", desk.now + desk.policy.action_timeout)
}

/// What a task waits for until each of its hosts has been reached; `None` when they have.
pub(super) fn reach_step(desk: &Desk<'_>, all: &[(Member<'_>, Standing)], task: &str) -> Option<Step> {
    let mut waits: Vec<(u8, Step)> = Vec::new();
    for (member, standing) in all {
        waits.extend(match standing {
            Standing::Reached => None,
            Standing::Begin => Some((0, reaching(desk))),
            Standing::Busy(since) => {
                let until = desk.later(*since + desk.policy.action_timeout, *since);
                Some((0, Step::act(Reason::Reaching, "connecting over SSH", until)))
            }
            Standing::Failed { until, stalled: false } => {
                Some((1, Step::wait(Reason::Retrying, format!("{task}: {}", unreached(member)), *until)))
            }
            Standing::Failed { until, stalled: true } => Some((2, stalled(member, task, *until))),
        });
    }
    // The worst of them is what people should see; of equals the first.
    waits.into_iter().rev().max_by_key(|(weight, _)| *weight).map(|(_, step)| step)
}

fn unreached(member: &Member<'_>) -> String {
    let why = member.facts.ssh.failure.as_ref().map_or_else(String::new, |failure| failure.fault.to_string());
    format!("{} cannot be reached over SSH: {why}", member.spec.id)
}

fn stalled(member: &Member<'_>, task: &str, until: Time) -> Step {
    let failure = member.facts.ssh.failure.as_ref();
    let transient = failure.is_none_or(|failure| failure.fault.class == FaultClass::Transient);
    let finished = member.facts.finished.is_some();
    let advice = match (transient, finished) {
        (true, true) => "it was powered off when its cluster was complete: switch it on",
        (true, false) => "is it switched on, and does its sshd run? Its console tells",
        (false, _) => "",
    };
    let advice = if advice.is_empty() { String::new() } else { format!("; {advice}") };
    let reason = match failure {
        Some(failure) if !transient => failure.fault.reason,
        _ => Reason::SshUnreachable,
    };
    Step::stalled(reason, format!("{task}: {}{advice}", unreached(member)), Some(until))
}

/// Begins to reach a host, if fewer than the limit are being reached; whoever ends before it wakes us.
pub(super) fn begin(desk: &mut Desk<'_>, member: &Member<'_>) {
    if desk.reaches < AT_ONCE {
        desk.reaches += 1;
        desk.actions.push(Action::Reach { host: member.spec.id.clone() });
    }
}

/// Waits for hosts that a playbook restarts: their check-in, or another boot than the one before. Looks are far between
/// when it takes long.
pub(super) fn await_restart<'w>(view: &ClusterView<'w>, desk: &Desk<'w>) -> (Step, Next<'w>) {
    let names: Vec<&str> = view.restarting.iter().take(5).map(|member| &*member.spec.id.host).collect();
    let record = view.spec.tasks.iter().find(|task| task.reboots()).and_then(|task| view.record(task));
    let ended = record.map_or(desk.now, |record| record.at);
    let due = ended + desk.policy.first_boot_timeout;
    let overdue = desk.now >= due;
    let mut members = Vec::new();
    let mut next = if overdue { desk.later(due, due) } else { due };
    let mut worst = None;
    let mut again = next;
    for member in &view.restarting {
        match look_at(desk, member, ended, overdue) {
            Look::Now => members.push(*member),
            Look::Later(at) => next = next.min(at),
            Look::Stalled(step, at) => {
                again = again.min(at);
                worst = Some(step);
            }
        }
    }
    let again = again.min(next);
    let step = match worst {
        Some(step) => step,
        None if overdue => {
            let message = format!(
                "the playbook ended well, but {} {} not been seen to restart: restart what has not been restarted (PVC's \
                 roles do it only in the run that configures a host first) and look at its console",
                names.join(", "),
                if view.restarting.len() == 1 { "has" } else { "have" },
            );
            Step::stalled(Reason::RestartNotSeen, message, Some(next))
        }
        None => {
            Step::wait(Reason::Restart, format!("configured; waiting for the restart of {}", names.join(", ")), next)
        }
    };
    let hosts: BTreeSet<_> = members.iter().map(|member| member.spec.id.clone()).collect();
    (step, Next::Reach { hosts, members, again: Some(again) })
}

enum Look {
    Now,
    Later(Time),
    Stalled(Step, Time),
}

fn look_at(desk: &Desk<'_>, member: &Member<'_>, ended: Time, overdue: bool) -> Look {
    let ssh = &member.facts.ssh;
    if let Some(since) = ssh.reaching {
        return Look::Later(desk.later(since + desk.policy.action_timeout, since));
    }
    if !desk.policy.ssh {
        return Look::Later(desk.later(ended + desk.policy.first_boot_timeout, ended));
    }
    let failure = ssh.failure.as_ref().filter(|failure| failure.at >= ended);
    let looked =
        failure.map(|failure| failure.at).max(ssh.reached.as_ref().map(|(_, at)| *at)).filter(|at| *at >= ended);
    let Some(looked) = looked else { return Look::Now };
    let hopeless = failure.filter(|failure| failure.at == looked && failure.fault.class != FaultClass::Transient);
    let pause = if overdue || hopeless.is_some() {
        desk.policy.backoff_cap
    } else {
        (looked.since(ended) / 2).clamp(FIRST_PAUSE, LONGEST_PAUSE)
    };
    let at = looked + pause;
    match hopeless {
        _ if desk.now >= at => Look::Now,
        Some(_) => Look::Stalled(stalled(member, "after its restart", at), at),
        None => Look::Later(at),
    }
}
