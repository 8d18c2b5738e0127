//! The disk of a machine whose disk is chosen by chassis slots: a drive, or a RAID-1 of two, which is made where there is
//! none. Nothing that somebody else has made is deleted without consent.

use reqwest::StatusCode;
use serde_json::json;

use super::disk::{Chosen, Disks, Kind, VolumeSeen};
use super::json::same;
use super::progress::Progress;
use super::quirk::Mirror;
use super::session::Reply;
use super::task;
use super::work::{Work, pending};
use crate::model::{DiskChoice, Fault, Pending, Reason, Stage};

pub(super) enum Disk {
    /// What the installer is told; nothing when it finds its disk by itself.
    Ready(Option<String>),
    /// Something has begun; and whether it takes effect only in a restart.
    Later(Pending, bool),
}

/// Changes after which it is looked at again; a service that never gets there waits for the next round.
const ROUNDS: usize = 6;

impl Work<'_> {
    pub(super) async fn disk(&mut self) -> Result<Disk, Fault> {
        let slots: &[String] = match &self.prepare.disk {
            DiskChoice::Named => return Ok(Disk::Ready(None)),
            DiskChoice::Slot(slot) => std::slice::from_ref(slot),
            DiskChoice::Mirror(slots) => slots,
        };
        for _ in 0..ROUNDS {
            let disks = Disks::read(self.session, &self.quirk, self.system.body()).await?;
            let drives = match self.chosen(&disks, slots) {
                Ok(drives) => drives,
                // Many BMCs know the drives of a machine only once it was on.
                Err(_) if self.apply && self.is_off() => {
                    let pending = self.switch_on("so that its BMC sees the drives").await?;
                    return Ok(Disk::Later(pending, false));
                }
                Err(_) if self.starts() => return Ok(Disk::Later(self.still("the machine starts"), false)),
                Err(fault) => return Err(fault),
            };
            if let Some(place) = disks.ready(&drives) {
                return self.told(&disks, place, &drives).map(|text| Disk::Ready(Some(text)));
            }
            if let Some(later) = self.towards(&disks, &drives).await? {
                return Ok(later);
            }
        }
        Err(self
            .session
            .transient(Reason::VolumeNotThere, "the BMC accepted the RAID changes, but its volumes are unchanged"))
    }

    fn chosen(&self, disks: &Disks, slots: &[String]) -> Result<Vec<usize>, Fault> {
        let mut candidates: Vec<Vec<usize>> = slots.iter().map(|slot| disks.at(slot)).collect();
        if let Some(missing) = candidates.iter().position(Vec::is_empty) {
            let message = format!("no drive is in slot {}: {}", slots[missing], disks.slots());
            return Err(self.session.permanent(Reason::NoDriveInSlot, message));
        }
        if let [first, second] = candidates.as_slice() {
            // Boxes may count their bays alike; a mirror is on one controller.
            let unit = |drive: &usize| disks.drives[*drive].controller;
            let pairs = first.iter().flat_map(|a| second.iter().map(move |b| [*a, *b]));
            let pairs: Vec<_> = pairs.filter(|[a, b]| unit(a) == unit(b)).collect();
            let [pair] = pairs.as_slice() else {
                return Err(match pairs.is_empty() {
                    true => self.raid_not_supported("the drives are on different controllers"),
                    false => self.ambiguous(slots),
                });
            };
            return Ok(pair.to_vec());
        }
        match candidates.pop().as_deref() {
            Some([only]) => Ok(vec![*only]),
            _ => Err(self.ambiguous(slots)),
        }
    }

    fn ambiguous(&self, slots: &[String]) -> Fault {
        let message = format!(
            "several drives are in slot {}: write box and bay, as \"3:1\", or name the disk by path in \
             config.system_disks",
            slots.join(" and slot ")
        );
        Fault::operator(Reason::SlotNotUnique, message)
    }

    fn raid_not_supported(&self, why: &str) -> Fault {
        let message = format!(
            "no RAID-1 can be made of these slots over Redfish: {why}. Make it in the controller's own setup, or name one \
             disk in config.system_disks"
        );
        self.session.permanent(Reason::RaidNotSupported, message)
    }

    fn told(&mut self, disks: &Disks, place: Chosen, drives: &[usize]) -> Result<String, Fault> {
        let slots: Vec<_> = drives.iter().filter_map(|drive| disks.drives[*drive].slot.clone()).collect();
        let slots = slots.join(" and ");
        let Some(found) = disks.told(place) else {
            let message =
                format!("the BMC tells no model or size of the disk in slot {slots}: name it by path instead");
            return Err(self.session.permanent(Reason::DiskNotNamed, message));
        };
        let text = found.text;
        if found.fit > 1 {
            let alike = found.fit;
            self.notes.push(format!(
                "{alike} disks look alike to the installer; {text} is taken for the one in slot {slots}, as if the kernel \
                 counted them by slot"
            ));
        }
        if found.near {
            self.notes.push(format!(
                "there is a disk that differs from {text} only a little in size; PVC's installer may not find the right \
                 one: name it by path if so"
            ));
        }
        Ok(text)
    }

    /// One step towards the disk that is wanted; nothing when it is done, and worth another look.
    async fn towards(&mut self, disks: &Disks, drives: &[usize]) -> Result<Option<Disk>, Fault> {
        let in_the_way = disks.volumes_on(drives);
        if let Some(volume) = in_the_way.first()
            && !self.prepare.replace_volumes
        {
            return Err(self.foreign(disks, volume));
        }
        let unit = &disks.controllers[disks.drives[drives[0]].controller];
        let Some(volumes) = &unit.volumes else {
            let name = unit.name.as_deref().unwrap_or("the controller");
            return Err(self.raid_not_supported(&format!("`{name}` makes no volumes")));
        };
        if !self.apply {
            let next = pending("the disk can be brought to what is wanted", None, Stage::Next);
            return Ok(Some(Disk::Later(next, false)));
        }
        if self.is_off() {
            return Ok(Some(Disk::Later(self.switch_on("for its RAID controller").await?, false)));
        }
        if let Some(task) = task::at_work(self.session).await? {
            return Ok(Some(Disk::Later(pending("a task of the BMC is at work", Some(task), Stage::Begun), false)));
        }
        let order = in_the_way.first().map_or(volumes, |volume| &volume.path);
        let restart = !unit.apply_times.is_empty() && !unit.apply_times.iter().any(|time| time == "Immediate");
        if self.ordered.contains(order) {
            // Taken, without a task to follow, and not there yet: nothing is ordered twice.
            return Ok(Some(Disk::Later(
                pending("what was ordered about RAID volumes comes about", None, Stage::Begun),
                restart,
            )));
        }
        self.ordered.push(order.clone());
        if let Some(volume) = in_the_way.first() {
            tracing::info!(volume = volume.path, "a RAID volume in the way is deleted, with the repository's consent");
            let reply = self.session.delete(&volume.path).await;
            let gone = |disks: &Disks| !disks.volumes.iter().any(|other| same(&other.path, &volume.path));
            return self.begun(format!("the RAID volume `{}` is deleted", volume.name), reply, gone).await;
        }
        let paths: Vec<_> = drives.iter().map(|drive| disks.drives[*drive].path.as_str()).collect();
        let time = unit.apply_times.iter().find(|time| *time == "Immediate").or(unit.apply_times.first());
        let reply = self.make(volumes, &paths, time.map(String::as_str)).await;
        let made = |disks: &Disks| matches!(disks.ready(drives), Some(Chosen::Volume(_)));
        let later = self.begun("the RAID-1 is made".to_owned(), reply, made).await?;
        Ok(later.map(|later| match later {
            Disk::Later(pending, _) => Disk::Later(pending, restart),
            ready @ Disk::Ready(_) => ready,
        }))
    }

    fn foreign(&self, disks: &Disks, volume: &VolumeSeen) -> Fault {
        let slots = volume.drives.iter().map(|drive| disks.drives[*drive].slot.as_deref().unwrap_or("?"));
        let kind = match &volume.kind {
            Kind::Mirror => "RAID1",
            Kind::Bare => "no RAID",
            Kind::Other(kind) => kind,
        };
        let message = format!(
            "the volume `{}` ({kind}) on the drives in {} is in the way of what config.system_disks asks for; it is \
             deleted with all that is on these drives when `config.wipe: volumes` is written for this host",
            volume.name,
            slots.collect::<Vec<_>>().join(", ")
        );
        Fault::operator(Reason::ForeignVolume, message)
    }

    /// Orders the mirror, in the words of the schema's versions until the service understands: refused is not done.
    async fn make(&self, volumes: &str, drives: &[&str], time: Option<&str>) -> Result<Reply, Fault> {
        let list: Vec<_> = drives.iter().map(|path| json!({ "@odata.id": path })).collect();
        let links = json!({ "RAIDType": "RAID1", "Links": { "Drives": list } });
        let both =
            json!({ "RAIDType": "RAID1", "VolumeType": "Mirrored", "Drives": list, "Links": { "Drives": list } });
        let old = json!({ "VolumeType": "Mirrored", "Drives": list });
        let forms = match self.quirk.mirror {
            Mirror::Links => [links, both, old],
            Mirror::Drives => [both, old, links],
        };
        let mut refused = None;
        for mut form in forms {
            if let Some(time) = time {
                form["@Redfish.OperationApplyTime"] = json!(time);
            }
            match self.session.post_reply(volumes, &form).await? {
                Ok(reply) => return Ok(reply),
                Err(fault) => refused = refused.or(Some(fault)),
            }
        }
        Err(refused.unwrap_or_else(|| self.session.permanent(Reason::BmcRefused, "the volume")))
    }

    /// What came of an order about volumes, whose answer may have been lost: nothing is ordered twice.
    async fn begun(
        &self,
        what: String,
        reply: Result<Reply, Fault>,
        done: impl Fn(&Disks) -> bool,
    ) -> Result<Option<Disk>, Fault> {
        let follow = |task: String| Disk::Later(pending(what, Some(task), Stage::Begun), false);
        match reply {
            Ok(Reply { status: StatusCode::ACCEPTED, location: Some(task), .. }) => {
                match task::look(self.session, &task).await {
                    Ok(Progress::Over) => Ok(None),
                    Ok(Progress::Failed(why)) => Err(self.failed(&why)),
                    // Begun all the same, when only the look at it failed.
                    Ok(Progress::Running) | Err(_) => Ok(Some(follow(task))),
                }
            }
            Ok(_) => Ok(None),
            Err(fault) => {
                let disks = Disks::read(self.session, &self.quirk, self.system.body()).await;
                if disks.is_ok_and(|disks| done(&disks)) {
                    return Ok(None);
                }
                match task::at_work(self.session).await {
                    Ok(Some(task)) => Ok(Some(follow(task))),
                    Ok(None) | Err(_) => Err(fault),
                }
            }
        }
    }
}
