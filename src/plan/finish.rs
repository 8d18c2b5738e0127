//! The last rung: a host whose cluster is complete is shut down where that is wanted.

use super::context::PlanContext;
use super::ssh;
use super::step::Step;
use super::view::HostView;
use crate::model::{Action, FaultClass, OnComplete, PowerState};

/// Tries to shut a machine without BMC down over SSH.
const SHUTDOWN_TRIES: u32 = 3;

impl HostView<'_> {
    /// What is done to a host whose cluster is complete.
    pub(super) fn finish(&self, ctx: &mut PlanContext<'_>) -> Step {
        let power_off = self.cluster.on_complete == OnComplete::PowerOff;
        if self.is_finished() {
            return Step::done(match power_off {
                false => "completed",
                true if self.is_left_on() => {
                    "completed; it has no BMC to power it off with: press its power button, or shut it down by hand"
                }
                true => "completed and powered off",
            });
        }
        let finish = |power_off| Action::Finish { host: self.spec.id.clone(), power_off };
        if self.spec.has_bmc() || !power_off {
            return self.act(ctx, finish(power_off));
        }
        // Without a BMC it is shut down over SSH, where that works; else a person does it, and nothing waits for that.
        let tries = self.cluster.retries.max(SHUTDOWN_TRIES);
        let failure = self.bmc.failure.as_ref().filter(|failure| failure.action == finish(false).kind());
        let hopeless = failure.is_some_and(|it| it.fault.class != FaultClass::Transient || it.count > tries);
        if !ctx.policy.ssh || ssh::pinned(self.facts).is_none() || hopeless {
            return self.begin(ctx, finish(false));
        }
        self.act(ctx, finish(true))
    }

    /// Whether it has no BMC and was not powered off either.
    pub(super) fn is_left_on(&self) -> bool {
        let off = self.facts.power.is_some_and(|(power, _)| power == PowerState::Off);
        self.is_present() && !self.spec.has_bmc() && !off
    }
}
