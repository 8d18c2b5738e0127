//! The last rung: a host whose cluster is complete is shut down where that is wanted.

use super::cluster::ClusterView;
use super::desk::Desk;
use super::host::{running, starting};
use super::{Step, ssh};
use crate::model::{Action, FaultClass, HostFacts, HostSpec, Lifecycle, OnComplete, PowerState};

pub(super) fn completed(desk: &mut Desk<'_>, spec: &HostSpec, facts: &HostFacts, view: &ClusterView<'_>) -> Step {
    let power_off = view.spec.on_complete == OnComplete::PowerOff;
    if facts.finished.as_ref().map(|(token, _)| token) == running(facts) {
        return Step::done(match power_off {
            false => "completed",
            true if is_left_on(spec, facts) => {
                "completed; it has no BMC to power it off with: press its power button, or shut it down by hand"
            }
            true => "completed and powered off",
        });
    }
    let by_hand = Action::Finish { host: spec.id.clone(), power_off: false };
    if spec.has_bmc() || !power_off {
        return desk.try_bmc(spec, facts, view.spec.retries, Action::Finish { host: spec.id.clone(), power_off });
    }
    // Without a BMC it is shut down over SSH, where that works; else a person does it, and nothing waits for that.
    let failure = facts.failure.as_ref().filter(|failure| failure.action == by_hand.kind());
    let hopeless = failure
        .is_some_and(|it| it.fault.class != FaultClass::Transient || it.count > view.spec.retries.max(SHUTDOWN_TRIES));
    if !desk.policy.ssh || ssh::pinned(facts).is_none() || hopeless {
        let (reason, message) = starting(&by_hand);
        desk.actions.push(by_hand);
        return Step::act(reason, message, desk.now + desk.policy.action_timeout);
    }
    desk.try_bmc(spec, facts, view.spec.retries, Action::Finish { host: spec.id.clone(), power_off })
}

/// Tries to shut a machine without BMC down over SSH.
const SHUTDOWN_TRIES: u32 = 3;

/// Whether a finished machine has no BMC and was not powered off either.
pub(super) fn is_left_on(spec: &HostSpec, facts: &HostFacts) -> bool {
    let off = facts.power.is_some_and(|(power, _)| power == PowerState::Off);
    spec.state == Lifecycle::Present && !spec.has_bmc() && !off
}
