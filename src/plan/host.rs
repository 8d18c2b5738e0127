//! The ladder: a host's state is the first unmet rung, and each rung says what to do about it.

use std::time::Duration;

use super::cluster::ClusterView;
use super::desk::Desk;
use super::{HostPlan, Step, bmc, finish, image, nic, rack};
use crate::model::{
    Action, ActionKind, Consent, FaultClass, Generation, HostFacts, HostSpec, HostState, Lifecycle, Reason, Time,
    TokenId,
};

/// Whether the repository consents to wiping this host's disk now: a generation greater than the acknowledged one.
pub fn wants_install(spec: &HostSpec, facts: &HostFacts) -> bool {
    facts.installed.as_ref().is_none_or(|installed| installed.generation < spec.generation)
}

/// Whether the install of the wanted generation may be announced, armed and answered at all, as far as the host itself
/// is concerned (not counting announcement and arming, which come after).
pub fn may_install(spec: &HostSpec, facts: &HostFacts) -> bool {
    spec.state == Lifecycle::Present
        && spec.blocked.is_empty()
        && wants_install(spec, facts)
        && facts.held.is_none_or(|held| held < spec.generation)
}

/// The install whose system this host has been seen booting, when it is the one on its disk.
pub fn running(facts: &HostFacts) -> Option<&TokenId> {
    let installed = facts.installed.as_ref()?;
    facts.booted.as_ref().filter(|(token, _)| *token == installed.token).map(|(token, _)| token)
}

/// Whether the host is up with what the repository wants: what its cluster waits for.
pub fn is_here(spec: &HostSpec, facts: &HostFacts) -> bool {
    !wants_install(spec, facts) && running(facts).is_some()
}

/// The first unmet rung. Facts only; time plays no part.
pub fn state(spec: &HostSpec, facts: &HostFacts, view: &ClusterView<'_>) -> HostState {
    if wants_install(spec, facts) { install_state(spec, facts) } else { cluster_state(spec, facts, view) }
}

fn install_state(spec: &HostSpec, facts: &HostFacts) -> HostState {
    let claimed = facts.claim.as_ref().is_some_and(|claim| claim.generation == spec.generation);
    if spec.has_bmc() {
        if spec.bmc.address.is_none() && facts.bmc_seen.is_none() {
            return HostState::Init;
        }
        if facts.inventory.is_none() {
            return HostState::Characterizing;
        }
        let once = facts.prepared.is_some_and(|(prepared, _)| prepared == spec.generation);
        // What is asked for may change while the installer is at work; it is left to it.
        if (!spec.blocked.is_empty() && !claimed) || !(once && claimed || bmc::is_prepared(spec, facts)) {
            return HostState::Preparing;
        }
    } else if facts.host_seen.is_none() && !claimed {
        return HostState::Init;
    } else if !spec.blocked.is_empty() && !claimed {
        return HostState::Preparing;
    }
    if claimed { HostState::Installing } else { HostState::PxeBooting }
}

fn cluster_state(spec: &HostSpec, facts: &HostFacts, view: &ClusterView<'_>) -> HostState {
    let Some(token) = running(facts) else { return HostState::Installed };
    if facts.finished.as_ref().is_some_and(|(finished, _)| finished == token) {
        return HostState::Completed;
    }
    if !view.past_barrier(&spec.id, token) || view.awaits_ansible(&spec.id, facts, token) {
        return HostState::BootedInitial;
    }
    if view.hooks_due() { HostState::BootedConfigured } else { HostState::Completed }
}

/// Decides what happens next to one host.
pub fn plan<'w>(desk: &mut Desk<'w>, spec: &'w HostSpec, facts: &'w HostFacts, view: &ClusterView<'w>) -> HostPlan {
    let state = state(spec, facts, view);
    let begun = desk.actions.len();
    let mut step = decide(desk, spec, facts, view, state);
    if desk.actions.len() == begun {
        desk.wake_for(&step);
        step = bmc::release(desk, spec, facts, view.spec.retries).unwrap_or(step);
    }
    desk.wake_for(&step);
    HostPlan { id: spec.id.clone(), state, step, notes: notes(spec, facts, state) }
}

fn decide<'w>(
    desk: &mut Desk<'w>,
    spec: &'w HostSpec,
    facts: &'w HostFacts,
    view: &ClusterView<'w>,
    state: HostState,
) -> Step {
    match spec.state {
        Lifecycle::Present => {}
        Lifecycle::Maintenance => return Step::done("in maintenance: left alone, boots its own disk"),
        Lifecycle::Retired => return Step::done("retired: left alone, boots its own disk"),
    }
    if let Some(installed) = facts.installed.as_ref().filter(|installed| installed.generation > spec.generation) {
        return Step::stalled(
            Reason::GenerationLowered,
            format!(
                "generation {} is installed and the repository asks for {}: set it to {} to keep what is there, or higher to reinstall",
                installed.generation, spec.generation, installed.generation
            ),
            None,
        );
    }
    if let Some(doing) = &facts.doing {
        let until = doing.since + desk.policy.action_timeout;
        return Step::act(doing_reason(&doing.action), doing_message(&doing.action), desk.later(until, doing.since));
    }
    if state < HostState::Installed && facts.held.is_some_and(|held| held >= spec.generation) {
        return held(facts);
    }
    if state < HostState::Installing && !spec.blocked.is_empty() {
        return bmc::secret_missing(spec);
    }
    if matches!(state, HostState::Preparing | HostState::PxeBooting)
        && let Some(step) = nic::unrecognisable(spec, facts)
    {
        return step;
    }
    match state {
        HostState::Init => init(desk, spec, facts),
        HostState::Characterizing => characterizing(desk, spec, facts, view),
        HostState::Preparing => bmc::preparing(desk, spec, facts, view),
        HostState::PxeBooting => pxe_booting(desk, spec, facts, view),
        HostState::Installing => installing(desk, spec, facts, view),
        HostState::Installed => installed(desk, spec, facts, view),
        HostState::BootedInitial | HostState::BootedConfigured => view.step_for_member(desk, spec, facts),
        HostState::Completed => finish::completed(desk, spec, facts, view),
    }
}

fn init(desk: &mut Desk<'_>, spec: &HostSpec, facts: &HostFacts) -> Step {
    let since = desk.since(facts);
    let message = if spec.has_bmc() {
        format!("waiting for the BMC {} to ask for an address: is it cabled, powered, and set to DHCP?", spec.bmc_mac)
    } else {
        match spec.boot_mac {
            Some(mac) => format!("waiting for {mac} to boot from the network: power the machine on"),
            None => "waiting for the machine to boot from the network: power it on".to_owned(),
        }
    };
    desk.patience(since, desk.policy.boot_timeout, Reason::NotSeen, Reason::NotSeen, message)
}

fn characterizing(desk: &mut Desk<'_>, spec: &HostSpec, facts: &HostFacts, view: &ClusterView<'_>) -> Step {
    let action = Action::Probe { host: spec.id.clone() };
    desk.try_bmc(spec, facts, view.spec.retries, action)
}

/// Adopted in mid-install: only its own callbacks or a raised generation get it out of this.
fn held(facts: &HostFacts) -> Step {
    let held = facts.held.unwrap_or_default();
    let message = format!(
        "the journal was lost while generation {held} was being installed and the outcome is unknown: check the machine, \
         then raise its generation to {} to install it again",
        Generation(held.0 + 1)
    );
    Step::stalled(Reason::JournalLost, message, None)
}

/// Nothing is installed on the word of a journal that is empty for no known reason.
fn locked() -> Step {
    let message = "the journal is empty and there is no status branch: nothing is installed until rackwright is started \
                   once with --first-run";
    Step::stalled(Reason::FirstRun, message, None)
}

fn pxe_booting(desk: &mut Desk<'_>, spec: &HostSpec, facts: &HostFacts, view: &ClusterView<'_>) -> Step {
    if desk.world.consent == Consent::Locked {
        return locked();
    }
    if armed_for(spec, facts).is_none()
        && let Some(step) = image::missing(desk, spec, facts)
    {
        return step;
    }
    if facts.intent.is_none_or(|intent| intent < spec.generation) {
        return announcing(desk, spec, facts);
    }
    match armed_for(spec, facts) {
        _ if !spec.has_bmc() => {
            let since = desk.since(facts);
            let message = "ready to be installed: restart the machine and let it boot from the network".to_owned();
            desk.patience(since, desk.policy.boot_timeout, Reason::NetworkBoot, Reason::PowerOnByHand, message)
        }
        None => arm(desk, spec, facts, view),
        Some((_, at, times)) => {
            let message =
                format!("waiting for the machine to boot from the network and claim its install (try {times})");
            rearm(desk, spec, facts, view, at + desk.policy.boot_timeout, Reason::NetworkBoot, message)
        }
    }
}

/// When the host was armed for the wanted generation, and how many times.
fn armed_for(spec: &HostSpec, facts: &HostFacts) -> Option<(Generation, Time, u32)> {
    facts.armed.filter(|(generation, ..)| *generation == spec.generation)
}

fn announcing(desk: &mut Desk<'_>, spec: &HostSpec, facts: &HostFacts) -> Step {
    desk.intents.push((spec.id.clone(), spec.generation));
    rack::announcing(desk, desk.since(facts), "the install")
}

fn arm(desk: &mut Desk<'_>, spec: &HostSpec, facts: &HostFacts, view: &ClusterView<'_>) -> Step {
    if desk.installs >= desk.policy.concurrent_installs {
        let since = desk.since(facts);
        let until = next_mark(since, desk.policy.install_timeout, desk.now);
        let message = format!("waiting for one of {} install slots", desk.policy.concurrent_installs);
        return Step::wait(Reason::InstallSlots, message, until);
    }
    let action = Action::Arm { host: spec.id.clone(), generation: spec.generation };
    let before = desk.actions.len();
    let step = desk.try_bmc(spec, facts, view.spec.retries, action);
    if desk.actions.len() > before {
        desk.installs += 1;
    }
    step
}

/// Waits until `due` for a machine that was armed; then arms it again, ever more slowly once its quick tries are used.
fn rearm(
    desk: &mut Desk<'_>,
    spec: &HostSpec,
    facts: &HostFacts,
    view: &ClusterView<'_>,
    due: Time,
    reason: Reason,
    message: String,
) -> Step {
    let times = facts.armed.map_or(0, |(_, _, times)| times);
    let spent = times > view.spec.retries;
    let due = if spent { due + desk.backoff(&spec.id, times - view.spec.retries) } else { due };
    if desk.now >= due && !bmc::is_prepared(spec, facts) {
        // Claimed when something else was asked for; what it would be armed for now has to be prepared first.
        return bmc::preparing(desk, spec, facts, view);
    }
    if desk.now >= due || facts.failure.as_ref().is_some_and(|failure| failure.action == ActionKind::Arm) {
        if let Some(step) = image::missing(desk, spec, facts) {
            return step;
        }
        let action = Action::Arm { host: spec.id.clone(), generation: spec.generation };
        return desk.try_bmc(spec, facts, view.spec.retries, action);
    }
    if spent {
        let message = format!(
            "no install after {times} network boots were ordered: check cabling, the boot NIC's MAC and the firmware's \
             network boot; the next try is made by itself"
        );
        return Step::stalled(Reason::NetworkBootOverdue, message, Some(due));
    }
    Step::wait(reason, message, due)
}

fn installing(desk: &mut Desk<'_>, spec: &HostSpec, facts: &HostFacts, view: &ClusterView<'_>) -> Step {
    if desk.world.consent == Consent::Locked {
        return locked();
    }
    let Some(claim) = &facts.claim else { return Step::done("") };
    let armed_later = facts.armed.filter(|(generation, at, _)| *generation == spec.generation && *at > claim.last_seen);
    let (due, message) = match armed_later {
        Some((_, at, _)) => (at + desk.policy.boot_timeout, "ordered to start the install over; waiting for its claim"),
        None if claim.confirmed => (claim.last_seen + desk.policy.install_timeout, "the installer is at work"),
        None => (claim.last_seen + desk.policy.install_timeout, "claimed; waiting for the installer to begin"),
    };
    if spec.has_bmc() {
        return rearm(desk, spec, facts, view, due, Reason::Installing, message.to_owned());
    }
    if desk.now < due {
        return Step::wait(Reason::Installing, message, due);
    }
    let message = "the installer has gone silent: look at the machine's console, then restart it from the network";
    Step::stalled(Reason::InstallOverdue, message, None)
}

fn installed(desk: &mut Desk<'_>, spec: &HostSpec, facts: &HostFacts, view: &ClusterView<'_>) -> Step {
    let Some(installed) = &facts.installed else { return Step::done("") };
    let cycled = facts.cycled.as_ref().filter(|(token, ..)| *token == installed.token);
    let (cause, times) = cycled.map_or((installed.at, 0), |(_, at, times)| (*at, *times));
    let spent = times > view.spec.retries;
    let mut due = cause + desk.policy.first_boot_timeout;
    if spent {
        due = due + desk.backoff(&spec.id, times - view.spec.retries);
    }
    let stalled = "the installed system has not reported its first boot: look at the machine's console";
    // A restart that could not be ordered is not one to wait for.
    let failed = facts.failure.as_ref().is_some_and(|failure| failure.action == ActionKind::PowerCycle);
    if desk.now < due && !failed {
        return match spent {
            true => Step::stalled(Reason::FirstBootOverdue, stalled, Some(due)),
            false => Step::wait(Reason::FirstBoot, "installed; waiting for the system's first boot", due),
        };
    }
    if spec.has_bmc() {
        return desk.try_bmc(spec, facts, view.spec.retries, Action::PowerCycle { host: spec.id.clone() });
    }
    Step::stalled(Reason::FirstBootOverdue, stalled, None)
}

fn notes(spec: &HostSpec, facts: &HostFacts, state: HostState) -> Vec<String> {
    let mut notes = Vec::new();
    if has_drift(spec, facts) {
        notes.push(format!(
            "drift: the repository's install inputs differ from what was installed; raise generation above {} to apply \
             them",
            spec.generation
        ));
    }
    notes.extend(bmc::notes(spec, facts));
    if let Some((why, at)) = &facts.refused {
        notes.push(format!("a check-in was refused at {at}: {why}"));
    }
    if state == HostState::Completed
        && let Some(failure) = &facts.failure
        && (failure.fault.class == FaultClass::Transient || failure.action == ActionKind::Release)
    {
        notes.push(format!("degraded: {}", failure.fault));
    }
    notes
}

/// Whether what is installed at the wanted generation was made from other inputs than the repository has now.
pub fn has_drift(spec: &HostSpec, facts: &HostFacts) -> bool {
    facts
        .installed
        .as_ref()
        .is_some_and(|installed| installed.generation == spec.generation && installed.spec != spec.spec)
}

fn doing_reason(action: &Action) -> Reason {
    match action {
        Action::Probe { .. } => Reason::Probing,
        Action::Prepare { .. } => Reason::Preparing,
        Action::Arm { .. } => Reason::Arming,
        Action::PowerCycle { .. } => Reason::PowerCycling,
        Action::Finish { .. } => Reason::Finishing,
        Action::Release { .. } => Reason::Releasing,
        _ => Reason::Acting,
    }
}

/// What an action on a host is, for people.
pub(super) fn doing_message(action: &Action) -> String {
    match action {
        Action::Probe { .. } => "asking the BMC what the machine is",
        Action::Prepare { .. } => "bringing LED and settings to what is wanted",
        Action::Arm { .. } => "ordering a network boot",
        Action::PowerCycle { .. } => "restarting the machine, whose first boot is overdue",
        Action::Finish { power_off: true, .. } => "LED off and graceful power-off",
        Action::Finish { .. } => "LED off",
        Action::Reach { .. } => "connecting over SSH",
        Action::Release { .. } => "ending a session on the BMC that was left open",
        _ => "at work",
    }
    .to_owned()
}

pub(super) fn starting(action: &Action) -> (Reason, String) {
    (doing_reason(action), doing_message(action))
}

/// How long after `cause` a period that began then ends next, seen from `now`.
pub(super) fn next_mark(cause: Time, period: Duration, now: Time) -> Time {
    let period_ms = i64::try_from(period.as_millis()).unwrap_or(i64::MAX).max(1);
    let gone = now.0.saturating_sub(cause.0).max(0) / period_ms;
    Time(cause.0.saturating_add((gone + 1).saturating_mul(period_ms)))
}
