//! What is asked of a BMC before an install, and in which protocol and with which account it is spoken to.

use std::net::IpAddr;

use super::Step;
use super::cluster::ClusterView;
use super::desk::Desk;
use super::host::running;
use crate::model::{
    Action, Credential, CredentialKind, Digest, FaultClass, HostFacts, HostSpec, Lifecycle, Pending, Protocol, Reason,
    Stage, Time,
};

/// The account to use now, or nothing when every one was refused: each is tried once, so that no BMC locks anybody out.
///
/// The one that was accepted last comes first; else the initial one until the installed system is up, and that of
/// production afterwards, for PVC's playbook changes it in mid-flow.
pub fn credential<'s>(spec: &'s HostSpec, facts: &HostFacts) -> Option<&'s Credential> {
    let likely = if running(facts).is_some() { CredentialKind::Production } else { CredentialKind::Initial };
    let allowed = spec.bmc.credentials.iter().filter(|credential| !facts.bmc.refused.contains(&credential.id));
    allowed.min_by_key(|credential| (facts.bmc.accepted.as_ref() != Some(&credential.id), credential.kind != likely))
}

/// What people are told when no account is left.
pub fn all_refused(spec: &HostSpec) -> String {
    let users: Vec<String> = spec.bmc.credentials.iter().map(|account| format!("`{}`", account.username)).collect();
    let production = spec.bmc.credentials.iter().any(|account| account.kind == CredentialKind::Production);
    let also = if production { ", or ipmi.users.admin in base.yml" } else { "" };
    format!(
        "the BMC refuses the user {}; none is tried again before a change, for more failures can lock an account: correct \
         bmc.username and bmc.password in bootstrap.yml{also}, or raise `cluster.run` when they are right after all",
        users.join(" and the user ")
    )
}

/// What a host waits for whose secrets cannot be read: a person. Once they can, the repository is read again.
pub(super) fn secret_missing(spec: &HostSpec) -> Step {
    Step::stalled(Reason::SecretMissing, format!("{}; it goes on once that can be read", spec.blocked.join("; ")), None)
}

/// What the BMC is spoken to in: what the repository says, or what has answered.
pub fn protocol(spec: &HostSpec, facts: &HostFacts) -> Protocol {
    match (spec.bmc.protocol, facts.bmc.protocol) {
        (Protocol::Auto, Some(found @ (Protocol::Redfish | Protocol::Ipmi))) => found,
        (written, _) => written,
    }
}

/// Where the BMC is, if that is known.
pub fn address(spec: &HostSpec, facts: &HostFacts) -> Option<IpAddr> {
    spec.bmc.address.or(facts.bmc_seen.map(|(ip, _)| ip))
}

/// The certificate that must be shown: what the repository says, else the first one that was seen.
pub fn pin(spec: &HostSpec, facts: &HostFacts) -> Option<String> {
    spec.bmc.fingerprint.as_deref().map(str::to_owned).or_else(|| facts.pin.clone())
}

/// Whether an action on the BMC has failed for this reason for a while. A refused connection means that there is no Redfish
/// service only then: a BMC that starts answers IPMI before its web server does.
pub fn stays(facts: &HostFacts, reason: Reason) -> bool {
    facts.failure.as_ref().is_some_and(|failure| failure.fault.reason == reason && failure.count >= 3)
}

/// What an action on the BMC is tried with: a fault that waits for a person is tried again once this is another.
pub fn basis(spec: &HostSpec, facts: &HostFacts) -> Digest {
    let account = credential(spec, facts).map_or(&spec.bmc.identity, |credential| &credential.id);
    let fingerprint = spec.bmc.fingerprint.as_deref().unwrap_or_default();
    let protocol = format!("{:?}", spec.bmc.protocol);
    let asked = spec.prepare.id.as_ref().map(Digest::as_str).unwrap_or_default();
    Digest::of([account.as_str(), fingerprint, &protocol, asked].map(str::as_bytes))
}

/// Whether the machine was prepared for this generation, as the repository asks for it now.
pub(super) fn is_prepared(spec: &HostSpec, facts: &HostFacts) -> bool {
    facts.prepared.is_some_and(|(generation, _)| generation == spec.generation)
        && facts.bmc.prepared_as == spec.prepare.id
        && spec.knows_disk(&facts.bmc)
}

/// The rung between "known" and "may be armed": what a preparation has begun is looked at until it is in effect.
pub(super) fn preparing(desk: &mut Desk<'_>, spec: &HostSpec, facts: &HostFacts, view: &ClusterView<'_>) -> Step {
    let begun =
        facts.bmc.pending.as_ref().filter(|(pending, _, times, _)| pending.stage != Stage::Next || *times > STEPS);
    let Some((pending, since, times, looked)) = begun else {
        return desk.try_bmc(spec, facts, view.spec.retries, Action::Prepare { host: spec.id.clone(), apply: true });
    };
    let overdue = *since + desk.policy.settings_timeout;
    // Whatever is waited for until then, at that time there is something else to do.
    desk.wake(overdue);
    if desk.now >= overdue {
        return prepare_again(desk, spec, facts, view, pending, (overdue, *times));
    }
    look_again(desk, spec, facts, view, pending, *looked)
}

/// Looks at what was begun, at a steady pace. A BMC that does not answer meanwhile may be restarting for it: that is no
/// failure before the deadline.
fn look_again(
    desk: &mut Desk<'_>,
    spec: &HostSpec,
    facts: &HostFacts,
    view: &ClusterView<'_>,
    pending: &Pending,
    looked: Time,
) -> Step {
    let look = Action::Prepare { host: spec.id.clone(), apply: false };
    let failure = facts.failure.as_ref().filter(|failure| failure.action == look.kind() && failure.at >= looked);
    let silent = failure.filter(|failure| failure.fault.class == FaultClass::Transient);
    if failure.is_some() && silent.is_none() {
        return desk.try_bmc(spec, facts, view.spec.retries, look);
    }
    let next = silent.map_or(looked, |failure| failure.at) + desk.policy.settings_poll;
    if desk.now < next {
        let silence = silent.map_or_else(String::new, |failure| format!(" ({})", failure.fault));
        return Step::wait(Reason::Preparing, format!("{}{silence}", pending.what), next);
    }
    let facts = HostFacts { failure: failure.filter(|_| silent.is_none()).cloned(), ..facts.clone() };
    desk.try_bmc(spec, &facts, view.spec.retries, look)
}

/// Times that one thing may lead to the next at once; a preparation that goes round in circles waits instead.
const STEPS: u32 = 12;

/// What was begun has not come into effect: once more, ever more slowly.
fn prepare_again(
    desk: &mut Desk<'_>,
    spec: &HostSpec,
    facts: &HostFacts,
    view: &ClusterView<'_>,
    pending: &Pending,
    (overdue, times): (Time, u32),
) -> Step {
    let spent = times > view.spec.retries;
    let due = if spent { overdue + desk.backoff(&spec.id, times - view.spec.retries) } else { overdue };
    if desk.now < due {
        let message = format!("{}: it did not happen in time, {times} times; look at the BMC's jobs", pending.what);
        return Step::stalled(Reason::SettingsOverdue, message, Some(due));
    }
    desk.try_bmc(spec, facts, view.spec.retries, Action::Prepare { host: spec.id.clone(), apply: true })
}

/// Ends the session that a previous run left open on a BMC that is asked nothing else now: any other
/// action would end it first. A few tries; after that the BMC's own time limit for idle sessions ends it.
pub(super) fn release(desk: &mut Desk<'_>, spec: &HostSpec, facts: &HostFacts, retries: u32) -> Option<Step> {
    let left = facts.bmc.left_open && facts.bmc.session.is_some();
    let reachable = spec.has_bmc() && (spec.bmc.address.is_some() || facts.bmc_seen.is_some());
    if !left || !reachable || spec.state != Lifecycle::Present || facts.doing.is_some() {
        return None;
    }
    let action = Action::Release { host: spec.id.clone() };
    if let Some(failure) = &facts.failure {
        let due = failure.at + desk.backoff(&spec.id, failure.count);
        let again = failure.action == action.kind() && failure.fault.class == FaultClass::Transient;
        if !again || failure.count > retries {
            return None;
        }
        if desk.now < due {
            desk.wake(due);
            return None;
        }
    }
    credential(spec, facts)?;
    let begun = desk.actions.len();
    let step = desk.try_bmc(spec, facts, retries, action);
    (desk.actions.len() > begun).then_some(step)
}

/// What people should know of a BMC that changes nothing.
pub(super) fn notes<'f>(spec: &'f HostSpec, facts: &'f HostFacts) -> impl Iterator<Item = String> + 'f {
    let refused = spec.bmc.credentials.iter().filter(|account| facts.bmc.refused.contains(&account.id));
    let refused = refused.map(|account| format!("the BMC has refused the user `{}`", account.username));
    facts.bmc.notes.iter().chain(&facts.bmc.fallbacks).cloned().chain(refused)
}
