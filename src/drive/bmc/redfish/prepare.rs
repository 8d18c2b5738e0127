//! Bringing a machine to what is wanted before it is installed: LED, disks, settings of the BMC, BIOS.
//!
//! Disks come first, then settings, so that one restart is enough for everything that needs one. Every step looks before
//! it writes: what is right already costs nothing, and doing it again after a lost answer does no harm. What takes effect
//! later is [`Pending`](crate::model::Pending): the plan looks at it again, without `apply`, which never writes.
//!
//! A machine that is restarted here may well ask the network for something to boot. It is given its own disk: an installer
//! is only for hosts that are announced and armed for their generation ([`plan::boot`](crate::plan::boot)), and a host is
//! armed after its preparation.

use super::attributes::Bios;
use super::led::{lacking, led};
use super::progress::Progress;
use super::raid::Disk;
use super::session::Session;
use super::system::System;
use super::work::Work;
use super::{quirk, task};
use crate::model::{Fault, Pending, Preparation, Prepare};

/// Carries it out as far as it goes now.
pub(super) async fn prepare(
    session: &Session,
    prepare: &Prepare,
    apply: bool,
    pending: Option<&Pending>,
) -> Result<Preparation, Fault> {
    let lamp = if apply { led(session, true).await? } else { None };
    if prepare.id.is_none() {
        return Ok(Preparation { notes: lamp.into_iter().collect(), ..Preparation::default() });
    }
    let system = System::find(session).await?;
    let notes = lamp.or_else(|| lacking(&system)).into_iter().collect();
    let quirk = quirk::of(&session.root, system.body());
    let mut work = Work { session, system, quirk, prepare, apply, over: pending, notes, ordered: Vec::new() };
    let (pending, disk) = match work.unfinished(pending).await? {
        Some(pending) => (Some(pending), None),
        None => work.steps().await?,
    };
    Ok(Preparation { of: prepare.id.clone(), pending, disk, notes: work.notes })
}

impl Work<'_> {
    /// What an earlier order has begun and has not ended.
    async fn unfinished(&self, pending: Option<&Pending>) -> Result<Option<Pending>, Fault> {
        // With `apply` everything is looked at anew: a task that hangs must not hold it up for ever.
        let Some((pending, task)) = pending.filter(|_| !self.apply).and_then(|it| Some((it, it.task.as_deref()?)))
        else {
            return Ok(None);
        };
        match task::look(self.session, task).await? {
            Progress::Running => Ok(Some(pending.clone())),
            Progress::Failed(why) => Err(self.failed(&self.scrub(&why))),
            Progress::Over => Ok(None),
        }
    }

    async fn steps(&mut self) -> Result<(Option<Pending>, Option<String>), Fault> {
        let (disk, begun) = match self.disk().await? {
            Disk::Ready(disk) => (disk, None),
            Disk::Later(pending, false) => return Ok((Some(pending), None)),
            Disk::Later(pending, true) => (None, Some(pending)),
        };
        if let Some(pending) = self.manager().await? {
            return Ok((Some(pending), None));
        }
        let staged = match self.bios().await? {
            Bios::Right => None,
            Bios::Waits(pending) => return Ok((Some(pending), None)),
            Bios::Staged(pending) => Some(pending),
        };
        let Some(pending) = begun.or(staged) else { return Ok((None, disk)) };
        self.restart(&pending).await?;
        Ok((Some(pending), None))
    }
}
