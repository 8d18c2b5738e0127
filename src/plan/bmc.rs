//! What is asked of a BMC before an install, and in which protocol and with which account it is spoken to.

use std::net::IpAddr;

use super::context::PlanContext;
use super::install::{running, wants_install};
use super::step::Step;
use super::view::HostView;
use crate::model::{
    Action, Credential, CredentialKind, Digest, Failure, FaultClass, HostFacts, HostId, HostSpec, Lane, Preparing,
    Protocol, Reason, Stage, World,
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
pub fn stays(world: &World, host: &HostId, reason: Reason) -> bool {
    let failure = world.lanes.failure(&Lane::Bmc(host.clone()));
    failure.is_some_and(|failure| failure.fault.reason == reason && failure.count >= 3)
}

/// What an action on the BMC is tried with: a fault that waits for a person is tried again once this is another.
pub fn basis(spec: &HostSpec, facts: &HostFacts) -> Digest {
    let account = credential(spec, facts).map_or(&spec.bmc.identity, |credential| &credential.id);
    let fingerprint = spec.bmc.fingerprint.as_deref().unwrap_or_default();
    let protocol = format!("{:?}", spec.bmc.protocol);
    let asked = spec.prepare.id.as_ref().map(Digest::as_str).unwrap_or_default();
    Digest::of([account.as_str(), fingerprint, &protocol, asked].map(str::as_bytes))
}

/// Times that one thing may lead to the next at once; a preparation that goes round in circles waits instead.
const STEPS: u32 = 12;

impl HostView<'_> {
    /// Begins an action on the host's BMC, unless an earlier failure or a limit says to wait.
    pub(super) fn act(&self, ctx: &mut PlanContext<'_>, action: Action) -> Step {
        let failure = self.bmc.failure.as_ref().filter(|failure| failure.action == action.kind());
        self.act_after(ctx, failure, action)
    }

    /// The same, where `failure` is the one that counts.
    fn act_after(&self, ctx: &mut PlanContext<'_>, failure: Option<&Failure>, action: Action) -> Step {
        let (spec, facts) = (self.spec, self.facts);
        let needs_secrets = spec.bmc.credentials.is_empty() || wants_install(spec, facts);
        if spec.has_bmc() && !spec.blocked.is_empty() && needs_secrets {
            return secret_missing(spec);
        }
        if spec.has_bmc() && credential(spec, facts).is_none() {
            return Step::stalled(Reason::AuthenticationFailed, all_refused(spec), None);
        }
        if let Some(step) = failure.and_then(|failure| self.held_back(ctx, failure)) {
            return step;
        }
        if spec.has_bmc() && !ctx.has_room(&Lane::Bmc(spec.id.clone())) {
            let message = format!("waiting for one of {} BMC connections", ctx.policy.concurrent_bmc);
            return Step::wait(Reason::BmcSlots, message, ctx.action_deadline(self.since(ctx)));
        }
        self.begin(ctx, action)
    }

    /// Begins an action on the host without asking whether it may be.
    pub(super) fn begin(&self, ctx: &mut PlanContext<'_>, action: Action) -> Step {
        let (reason, message) = wording(&action);
        match self.spec.has_bmc() {
            true => ctx.begin(action),
            // Takes nobody's place on a BMC.
            false => ctx.actions.push(action),
        }
        Step::act(reason, message, ctx.now + ctx.policy.action_timeout)
    }

    /// What to wait for because an action on the BMC failed before, if anything.
    fn held_back(&self, ctx: &PlanContext<'_>, failure: &Failure) -> Option<Step> {
        let basis = basis(self.spec, self.facts);
        if failure.fault.reason == Reason::CertificateChanged && failure.basis == basis {
            // To look again costs nothing: no account is shown to a certificate that is not trusted.
            let at = failure.at + ctx.policy.backoff_cap;
            let message = failure.fault.message.clone();
            return (ctx.now < at).then(|| Step::stalled(Reason::CertificateChanged, message, Some(at)));
        }
        let delay = ctx.backoff(&self.spec.id.host, failure.count);
        ctx.held_back(failure, &basis, self.cluster.retries, delay)
    }

    /// Whether the machine was prepared for this generation, as the repository asks for it now.
    pub(super) fn is_prepared(&self) -> bool {
        self.facts.prepared == Some(self.spec.generation)
            && self.facts.bmc.prepared_as == self.spec.prepare.id
            && self.spec.knows_disk(&self.facts.bmc)
    }

    /// The rung between "known" and "may be armed": what a preparation has begun is looked at until it is in effect.
    pub(super) fn prepare(&self, ctx: &mut PlanContext<'_>) -> Step {
        let pending = self.facts.bmc.pending.as_ref();
        let begun = pending.filter(|it| it.pending.stage != Stage::Next || it.times > STEPS);
        let Some(begun) = begun else { return self.apply(ctx) };
        let overdue = begun.since + ctx.policy.settings_timeout;
        // Whatever is waited for until then, at that time there is something else to do.
        ctx.wake(overdue);
        if ctx.now < overdue {
            return self.look_again(ctx, begun);
        }
        // It has not come into effect: once more, ever more slowly.
        let (due, _) = ctx.after_tries(&self.spec.id.host, overdue, begun.times, self.cluster.retries);
        if ctx.now < due {
            let (what, times) = (&begun.pending.what, begun.times);
            let message = format!("{what}: it did not happen in time, {times} times; look at the BMC's jobs");
            return Step::stalled(Reason::SettingsOverdue, message, Some(due));
        }
        self.apply(ctx)
    }

    fn apply(&self, ctx: &mut PlanContext<'_>) -> Step {
        self.act(ctx, Action::Prepare { host: self.spec.id.clone(), apply: true })
    }

    /// Looks at what was begun, at a steady pace. A BMC that does not answer meanwhile may be restarting for it: that is
    /// no failure before the deadline.
    fn look_again(&self, ctx: &mut PlanContext<'_>, begun: &Preparing) -> Step {
        let look = Action::Prepare { host: self.spec.id.clone(), apply: false };
        let failure = self.bmc.failure.as_ref();
        let failure = failure.filter(|failure| failure.action == look.kind() && failure.at >= begun.looked);
        let silent = failure.filter(|failure| failure.fault.class == FaultClass::Transient);
        if failure.is_some() && silent.is_none() {
            return self.act(ctx, look);
        }
        let next = silent.map_or(begun.looked, |failure| failure.at) + ctx.policy.settings_poll;
        if ctx.now < next {
            let silence = silent.map_or_else(String::new, |failure| format!(" ({})", failure.fault));
            return Step::wait(Reason::Preparing, format!("{}{silence}", begun.pending.what), next);
        }
        self.act_after(ctx, None, look)
    }

    /// Ends the session that a previous run of the daemon left open on a BMC that is asked nothing else now: any other
    /// action would end it first. A few tries; after that the BMC's own time limit for idle sessions ends it.
    pub(super) fn release(&self, ctx: &mut PlanContext<'_>) -> Option<Step> {
        let (spec, facts) = (self.spec, self.facts);
        let left = facts.bmc.left_open && facts.bmc.session.is_some();
        let reachable = spec.has_bmc() && address(spec, facts).is_some();
        if !left || !reachable || !self.is_present() || self.bmc.doing.is_some() {
            return None;
        }
        let action = Action::Release { host: spec.id.clone() };
        if let Some(failure) = &self.bmc.failure {
            let due = failure.at + ctx.backoff(&spec.id.host, failure.count);
            let again = failure.action == action.kind() && failure.fault.class == FaultClass::Transient;
            if !again || failure.count > self.cluster.retries {
                return None;
            }
            if ctx.now < due {
                ctx.wake(due);
                return None;
            }
        }
        credential(spec, facts)?;
        let begun = ctx.actions.len();
        let step = self.act(ctx, action);
        (ctx.actions.len() > begun).then_some(step)
    }
}

/// An action on a host, for machines and for people.
pub(super) fn wording(action: &Action) -> (Reason, &'static str) {
    match action {
        Action::Probe { .. } => (Reason::Probing, "asking the BMC what the machine is"),
        Action::Prepare { .. } => (Reason::Preparing, "bringing LED and settings to what is wanted"),
        Action::Arm { .. } => (Reason::Arming, "ordering a network boot"),
        Action::PowerCycle { .. } => (Reason::PowerCycling, "restarting the machine, whose first boot is overdue"),
        Action::Finish { power_off: true, .. } => (Reason::Finishing, "LED off and graceful power-off"),
        Action::Finish { .. } => (Reason::Finishing, "LED off"),
        Action::Release { .. } => (Reason::Releasing, "ending a session on the BMC that was left open"),
        _ => (Reason::Acting, "at work"),
    }
}

/// What people should know of a BMC that changes nothing.
pub(super) fn notes<'f>(spec: &'f HostSpec, facts: &'f HostFacts) -> impl Iterator<Item = String> + 'f {
    let refused = spec.bmc.credentials.iter().filter(|account| facts.bmc.refused.contains(&account.id));
    let refused = refused.map(|account| format!("the BMC has refused the user `{}`", account.username));
    facts.bmc.notes.iter().chain(&facts.bmc.fallbacks).cloned().chain(refused)
}
