//! A preparation under way: what it works on, and what its parts have in common.

use super::compare::scrub;
use super::quirk::Quirk;
use super::session::Session;
use super::system::System;
use crate::model::{Fault, FaultClass, Pending, PowerState, Prepare, Reason, Stage};

pub(super) struct Work<'s> {
    pub session: &'s Session,
    pub system: System,
    pub quirk: Quirk,
    pub prepare: &'s Prepare,
    pub apply: bool,
    /// What an earlier order has begun, when it is over.
    pub over: Option<&'s Pending>,
    pub notes: Vec<String>,
    /// What was ordered about volumes: collections to make one in, and volumes to delete.
    pub ordered: Vec<String>,
}

/// Something that has begun, or is to be begun.
pub(super) fn pending(what: impl Into<String>, task: Option<String>, stage: Stage) -> Pending {
    Pending { what: what.into(), task, stage }
}

impl Work<'_> {
    /// What a service said, without the values that it was sent.
    pub(super) fn scrub(&self, text: &str) -> String {
        scrub(text, self.prepare.bios.values().chain(self.prepare.manager.values()))
    }

    pub(super) fn scrubbed(&self, fault: Fault) -> Fault {
        Fault { message: self.scrub(&fault.message), ..fault }
    }

    pub(super) fn failed(&self, why: &str) -> Fault {
        self.session.permanent(Reason::BmcTaskFailed, format!("a task of the BMC has failed: {why}"))
    }

    /// Whether it is only looked at, and the machine was switched on for this a while ago.
    pub(super) fn starts(&self) -> bool {
        !self.apply && self.over.is_some_and(|over| over.stage == Stage::Begun)
    }

    pub(super) fn still(&self, what: &str) -> Pending {
        self.over.cloned().unwrap_or_else(|| pending(what, None, Stage::Begun))
    }

    pub(super) fn is_off(&self) -> bool {
        self.system.power() == PowerState::Off
    }

    /// Switches the machine on, so that its BMC learns what it does not know of a machine that was never on.
    pub(super) async fn switch_on(&mut self, what: &str) -> Result<Pending, Fault> {
        self.system.restart(self.session).await?;
        Ok(pending(format!("the machine is switched on, {what}"), None, Stage::Begun))
    }

    /// Settings and some volumes are taken up by the firmware when it starts: a machine that is off is switched on for
    /// that, for what is staged would else be applied in the middle of the install.
    pub(super) async fn restart(&mut self, pending: &Pending) -> Result<(), Fault> {
        self.system.refresh(self.session).await?;
        let was_off = self.is_off();
        match self.system.restart(self.session).await {
            // Whatever it said, it may be on its way; a second restart would interrupt the firmware at its work.
            Err(fault) if fault.class == FaultClass::Transient => {
                let seen = self.system.refresh(self.session).await.is_ok();
                if seen && was_off && self.is_off() {
                    return Err(fault);
                }
                tracing::debug!(%fault, what = pending.what, "the restart was not confirmed; it is looked at later");
                Ok(())
            }
            result => result,
        }
    }
}
