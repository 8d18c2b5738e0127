//! What is asked of a BMC before an install, and which account it is spoken to with.

use super::Step;
use super::cluster::ClusterView;
use super::desk::Desk;
use super::host::running;
use crate::model::{Action, Credential, CredentialKind, Digest, HostFacts, HostSpec, Pending, Stage, Time};

/// The account to use now, or nothing when every one was refused: each is tried once, so that no BMC locks anybody out.
///
/// The one that was accepted last comes first; else the initial one until the installed system is up, and that of
/// production afterwards, for PVC's playbook changes it in mid-flow.
pub fn credential<'s>(spec: &'s HostSpec, facts: &HostFacts) -> Option<&'s Credential> {
    let likely = if running(facts).is_some() { CredentialKind::Production } else { CredentialKind::Initial };
    let allowed = spec.bmc.credentials.iter().filter(|credential| !facts.bmc.refused.contains(&credential.id));
    allowed.min_by_key(|credential| (facts.bmc.accepted.as_ref() != Some(&credential.id), credential.kind != likely))
}

/// What an action on the BMC is tried with: a fault that waits for a person is tried again once this is another.
pub fn basis(spec: &HostSpec, facts: &HostFacts) -> Digest {
    let account = credential(spec, facts).map_or(&spec.bmc.identity, |credential| &credential.id);
    match &spec.prepare.id {
        None => account.clone(),
        Some(asked) => Digest::of([account.as_str().as_bytes(), asked.as_str().as_bytes()]),
    }
}

/// Whether the machine was prepared for this generation, as the repository asks for it now.
pub(super) fn is_prepared(spec: &HostSpec, facts: &HostFacts) -> bool {
    facts.prepared.is_some_and(|(generation, _)| generation == spec.generation)
        && facts.bmc.prepared_as == spec.prepare.id
        && spec.knows_disk(&facts.bmc)
}

/// The rung between "known" and "may be armed": what a preparation has begun is looked at until it is in effect.
pub(super) fn preparing(desk: &mut Desk<'_>, spec: &HostSpec, facts: &HostFacts, view: &ClusterView<'_>) -> Step {
    if !spec.unsupported.is_empty() {
        let message = format!("this version cannot do what the repository asks for: {}", spec.unsupported.join("; "));
        return Step::stalled("NotSupportedYet", message, None);
    }
    let Some((pending, since, times, looked)) = &facts.bmc.pending else {
        return desk.try_bmc(spec, facts, view.spec.retries, Action::Prepare { host: spec.id.clone(), apply: true });
    };
    if pending.stage == Stage::Next && *times <= STEPS {
        return desk.try_bmc(spec, facts, view.spec.retries, Action::Prepare { host: spec.id.clone(), apply: true });
    }
    let overdue = *since + desk.policy.settings_timeout;
    let next = *looked + desk.policy.settings_poll;
    if desk.now >= overdue {
        return prepare_again(desk, spec, facts, view, pending, (overdue, *times));
    }
    if desk.now >= next || facts.failure.is_some() {
        return desk.try_bmc(spec, facts, view.spec.retries, Action::Prepare { host: spec.id.clone(), apply: false });
    }
    Step::wait("Preparing", pending.what.clone(), next)
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
        return Step::stalled("SettingsOverdue", message, Some(due));
    }
    desk.try_bmc(spec, facts, view.spec.retries, Action::Prepare { host: spec.id.clone(), apply: true })
}
