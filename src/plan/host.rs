//! The ladder: a host's state is the first unmet rung, and each rung says what to do about it.

use super::bmc::{self, wording};
use super::context::{PlanContext, next_mark};
use super::install::{has_drift, running, wants_install};
use super::step::{HostPlan, Step};
use super::view::{Begin, ClusterView, HostView, Outlook};
use super::{image, nic, publish, reach};
use crate::model::{
    Action, ActionKind, Armed, Consent, FaultClass, Generation, HostState, Lifecycle, OfInstall, Reason, Time, Tries,
};

/// The first unmet rung. Facts only; time plays no part.
pub(super) fn state(host: &HostView<'_>, cluster: &ClusterView<'_>) -> HostState {
    match wants_install(host.spec, host.facts) {
        true => install_state(host),
        false => cluster_state(host, cluster),
    }
}

fn install_state(host: &HostView<'_>) -> HostState {
    let (spec, facts, claimed) = (host.spec, host.facts, host.is_claimed());
    if spec.has_bmc() {
        if bmc::address(spec, facts).is_none() {
            return HostState::Init;
        }
        if facts.inventory.is_none() {
            return HostState::Characterizing;
        }
        let once = facts.prepared == Some(spec.generation);
        // What is asked for may change while the installer is at work; it is left to it.
        if (!spec.blocked.is_empty() && !claimed) || !(once && claimed || host.is_prepared()) {
            return HostState::Preparing;
        }
    } else if facts.host_seen.is_none() && !claimed {
        return HostState::Init;
    } else if !spec.blocked.is_empty() && !claimed {
        return HostState::Preparing;
    }
    if claimed { HostState::Installing } else { HostState::PxeBooting }
}

fn cluster_state(host: &HostView<'_>, cluster: &ClusterView<'_>) -> HostState {
    let Some(token) = running(host.facts) else { return HostState::Installed };
    if host.is_finished() {
        return HostState::Completed;
    }
    let id = &host.spec.id;
    if !cluster.past_barrier(id, token) || cluster.awaits_ansible(id, host.facts, token) {
        return HostState::BootedInitial;
    }
    if cluster.hooks_due() { HostState::BootedConfigured } else { HostState::Completed }
}

/// Decides what happens next to one host, whose cluster's next task stands as `outlook` says.
pub(super) fn plan(
    ctx: &mut PlanContext<'_>,
    host: &HostView<'_>,
    cluster: &ClusterView<'_>,
    outlook: Option<&Outlook<'_>>,
) -> HostPlan {
    let state = state(host, cluster);
    let begun = ctx.actions.len();
    let mut step = match host.left_alone(ctx, state) {
        Some(step) => step,
        None => host.climb(ctx, state, cluster, outlook),
    };
    if ctx.actions.len() == begun {
        ctx.wake_for(&step);
        step = host.release(ctx).unwrap_or(step);
    }
    ctx.wake_for(&step);
    HostPlan { id: host.spec.id.clone(), state, step, notes: host.notes(state) }
}

impl HostView<'_> {
    /// Why nothing is begun for it whatever its rung, if so.
    fn left_alone(&self, ctx: &PlanContext<'_>, state: HostState) -> Option<Step> {
        let (spec, facts) = (self.spec, self.facts);
        match spec.state {
            Lifecycle::Present => {}
            Lifecycle::Maintenance => return Some(Step::done("in maintenance: left alone, boots its own disk")),
            Lifecycle::Retired => return Some(Step::done("retired: left alone, boots its own disk")),
        }
        if let Some(installed) = facts.installed.as_ref().filter(|installed| installed.generation > spec.generation) {
            let (there, wanted) = (installed.generation, spec.generation);
            let message = format!(
                "generation {there} is installed and the repository asks for {wanted}: set it to {there} to keep what is \
                 there, or higher to reinstall"
            );
            return Some(Step::stalled(Reason::GenerationLowered, message, None));
        }
        if let Some(doing) = &self.bmc.doing {
            let (reason, message) = wording(&doing.action);
            return Some(Step::act(reason, message, ctx.action_deadline(doing.since)));
        }
        if state < HostState::Installed && facts.held.is_some_and(|held| held >= spec.generation) {
            return Some(self.held());
        }
        if state < HostState::Installing && !spec.blocked.is_empty() {
            return Some(bmc::secret_missing(spec));
        }
        let boots_soon = matches!(state, HostState::Preparing | HostState::PxeBooting);
        nic::unrecognisable(spec, facts).filter(|_| boots_soon)
    }

    /// What is done about the first unmet rung.
    fn climb(
        &self,
        ctx: &mut PlanContext<'_>,
        state: HostState,
        cluster: &ClusterView<'_>,
        outlook: Option<&Outlook<'_>>,
    ) -> Step {
        match state {
            HostState::Init => self.init(ctx),
            HostState::Characterizing => self.act(ctx, Action::Probe { host: self.spec.id.clone() }),
            HostState::Preparing => self.prepare(ctx),
            HostState::PxeBooting => self.pxe_booting(ctx),
            HostState::Installing => self.installing(ctx),
            HostState::Installed => self.first_boot(ctx),
            HostState::BootedInitial | HostState::BootedConfigured => self.in_cluster(ctx, cluster, outlook),
            HostState::Completed => self.finish(ctx),
        }
    }

    fn init(&self, ctx: &PlanContext<'_>) -> Step {
        let message = match self.spec.boot_mac {
            _ if self.spec.has_bmc() => {
                let mac = self.spec.bmc_mac;
                format!("waiting for the BMC {mac} to ask for an address: is it cabled, powered, and set to DHCP?")
            }
            Some(mac) => format!("waiting for {mac} to boot from the network: power the machine on"),
            None => "waiting for the machine to boot from the network: power it on".to_owned(),
        };
        ctx.wait_for_others(self.since(ctx), ctx.policy.boot_timeout, Reason::NotSeen, Reason::NotSeen, message)
    }

    /// Adopted in mid-install: only its own callbacks or a raised generation get it out of this.
    fn held(&self) -> Step {
        let held = self.facts.held.unwrap_or_default();
        let message = format!(
            "the journal was lost while generation {held} was being installed and the outcome is unknown: check the \
             machine, then raise its generation to {} to install it again",
            Generation(held.0 + 1)
        );
        Step::stalled(Reason::JournalLost, message, None)
    }

    fn pxe_booting(&self, ctx: &mut PlanContext<'_>) -> Step {
        if ctx.world.consent == Consent::Locked {
            return locked();
        }
        if self.armed().is_none()
            && let Some(step) = image::missing(ctx, self)
        {
            return step;
        }
        if self.facts.intent.is_none_or(|intent| intent < self.spec.generation) {
            ctx.intents.push((self.spec.id.clone(), self.spec.generation));
            return publish::announcing(ctx, self.since(ctx), "the install");
        }
        match self.armed() {
            _ if !self.spec.has_bmc() => {
                let message = "ready to be installed: restart the machine and let it boot from the network".to_owned();
                let limit = ctx.policy.boot_timeout;
                ctx.wait_for_others(self.since(ctx), limit, Reason::NetworkBoot, Reason::PowerOnByHand, message)
            }
            None => self.arm(ctx),
            Some(Tries { at, times }) => {
                let message =
                    format!("waiting for the machine to boot from the network and claim its install (try {times})");
                self.rearm(ctx, at + ctx.policy.boot_timeout, Reason::NetworkBoot, message)
            }
        }
    }

    /// When it was armed for the wanted generation, and how many times.
    fn armed(&self) -> Option<Tries> {
        let armed = self.facts.armed.filter(|armed| armed.generation == self.spec.generation);
        armed.map(|Armed { tries, .. }| tries)
    }

    fn arm(&self, ctx: &mut PlanContext<'_>) -> Step {
        if ctx.installs >= ctx.policy.concurrent_installs {
            let until = next_mark(self.since(ctx), ctx.policy.install_timeout, ctx.now);
            let message = format!("waiting for one of {} install slots", ctx.policy.concurrent_installs);
            return Step::wait(Reason::InstallSlots, message, until);
        }
        let before = ctx.actions.len();
        let step = self.act(ctx, self.arm_action());
        if ctx.actions.len() > before {
            ctx.installs += 1;
        }
        step
    }

    fn arm_action(&self) -> Action {
        Action::Arm { host: self.spec.id.clone(), generation: self.spec.generation }
    }

    /// Waits until `due` for a machine that was armed; then arms it again, ever more slowly once its quick tries are used.
    fn rearm(&self, ctx: &mut PlanContext<'_>, due: Time, reason: Reason, message: String) -> Step {
        let times = self.facts.armed.map_or(0, |armed| armed.tries.times);
        let (due, spent) = ctx.after_tries(&self.spec.id.host, due, times, self.cluster.retries);
        if ctx.now >= due && !self.is_prepared() {
            // Claimed when something else was asked for; what it would be armed for now has to be prepared first.
            return self.prepare(ctx);
        }
        let arm = self.arm_action();
        if ctx.now >= due || self.has_failed(ActionKind::Arm) {
            return image::missing(ctx, self).unwrap_or_else(|| self.act(ctx, arm));
        }
        if spent {
            let message = format!(
                "no install after {times} network boots were ordered: check cabling, the boot NIC's MAC and the \
                 firmware's network boot; the next try is made by itself"
            );
            return Step::stalled(Reason::NetworkBootOverdue, message, Some(due));
        }
        Step::wait(reason, message, due)
    }

    /// Whether an action of this kind failed last.
    fn has_failed(&self, kind: ActionKind) -> bool {
        self.bmc.failure.as_ref().is_some_and(|failure| failure.action == kind)
    }

    fn installing(&self, ctx: &mut PlanContext<'_>) -> Step {
        if ctx.world.consent == Consent::Locked {
            return locked();
        }
        let Some(claim) = &self.facts.claim else { return Step::done("") };
        let (due, message) = match self.armed().filter(|armed| armed.at > claim.last_seen) {
            Some(armed) => {
                (armed.at + ctx.policy.boot_timeout, "ordered to start the install over; waiting for its claim")
            }
            None if claim.confirmed => (claim.last_seen + ctx.policy.install_timeout, "the installer is at work"),
            None => (claim.last_seen + ctx.policy.install_timeout, "claimed; waiting for the installer to begin"),
        };
        if self.spec.has_bmc() {
            return self.rearm(ctx, due, Reason::Installing, message.to_owned());
        }
        if ctx.now < due {
            return Step::wait(Reason::Installing, message, due);
        }
        let message = "the installer has gone silent: look at the machine's console, then restart it from the network";
        Step::stalled(Reason::InstallOverdue, message, None)
    }

    fn first_boot(&self, ctx: &mut PlanContext<'_>) -> Step {
        let Some(installed) = &self.facts.installed else { return Step::done("") };
        let cycled = OfInstall::get(&self.facts.cycled, &installed.token).copied();
        let Tries { at, times } = cycled.unwrap_or(Tries { at: installed.at, times: 0 });
        let due = at + ctx.policy.first_boot_timeout;
        let (due, spent) = ctx.after_tries(&self.spec.id.host, due, times, self.cluster.retries);
        let stalled = "the installed system has not reported its first boot: look at the machine's console";
        let cycle = Action::PowerCycle { host: self.spec.id.clone() };
        // A restart that could not be ordered is not one to wait for.
        if ctx.now < due && !self.has_failed(ActionKind::PowerCycle) {
            return match spent {
                true => Step::stalled(Reason::FirstBootOverdue, stalled, Some(due)),
                false => Step::wait(Reason::FirstBoot, "installed; waiting for the system's first boot", due),
            };
        }
        if self.spec.has_bmc() {
            return self.act(ctx, cycle);
        }
        Step::stalled(Reason::FirstBootOverdue, stalled, None)
    }

    /// What a host that is up waits for.
    fn in_cluster(&self, ctx: &PlanContext<'_>, cluster: &ClusterView<'_>, outlook: Option<&Outlook<'_>>) -> Step {
        if cluster.missing > 0 {
            let since = self.facts.booted.as_ref().map_or(ctx.now, |booted| booted.value);
            let message = cluster.missing_message();
            return ctx.wait_for_others(since, ctx.policy.peers_timeout, Reason::Peers, Reason::PeersMissing, message);
        }
        let id = &self.spec.id;
        match outlook {
            Some(Outlook { begin: Begin::Reach { hosts, .. }, .. })
                if hosts.binary_search_by(|host| host.spec.id.cmp(id)).is_ok() =>
            {
                reach::reaching(ctx)
            }
            Some(Outlook { step: Step::Done { .. }, .. }) | None => Step::done("waiting for its cluster"),
            Some(Outlook { step, .. }) => step.clone(),
        }
    }

    /// What people should know of it, whatever is done.
    fn notes(&self, state: HostState) -> Vec<String> {
        let mut notes = Vec::new();
        if has_drift(self.spec, self.facts) {
            notes.push(format!(
                "drift: the repository's install inputs differ from what was installed; raise generation above {} to \
                 apply them",
                self.spec.generation
            ));
        }
        notes.extend(bmc::notes(self.spec, self.facts));
        if let Some((why, at)) = &self.facts.refused {
            notes.push(format!("a check-in was refused at {at}: {why}"));
        }
        if state == HostState::Completed
            && let Some(failure) = &self.bmc.failure
            && (failure.fault.class == FaultClass::Transient || self.has_failed(ActionKind::Release))
        {
            notes.push(format!("degraded: {}", failure.fault));
        }
        notes
    }
}

/// Nothing is installed on the word of a journal that is empty for no known reason.
fn locked() -> Step {
    let message = "the journal is empty and there is no status branch: nothing is installed until rackwright is started \
                   once with --first-run";
    Step::stalled(Reason::FirstRun, message, None)
}
