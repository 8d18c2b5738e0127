//! The disks of a machine as its BMC sees them: which drive is in which slot, what it is part of, and what the installer is
//! told about it.

use serde_json::Value;

use super::collection::Walk;
use super::detect::{Detect, Shown, detect, volume_name};
use super::json::{links, name_of, number, same, text};
use super::quirk::Quirk;
use super::session::Session;
use super::storage::{Controller, Storage, after, slot};
use crate::model::{Fault, Reason};

pub(super) struct Disks {
    pub controllers: Vec<Controller>,
    pub drives: Vec<DriveSeen>,
    pub volumes: Vec<VolumeSeen>,
}

pub(super) struct DriveSeen {
    pub path: String,
    pub controller: usize,
    pub slot: Option<String>,
    /// Paths of the volumes that it says it is part of.
    volumes: Vec<String>,
    shown: Shown,
}

pub(super) struct VolumeSeen {
    pub path: String,
    pub name: String,
    pub kind: Kind,
    pub drives: Vec<usize>,
    controller: usize,
    bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// RAID-1.
    Mirror,
    /// A drive that is shown as a volume of its own; the kernel sees the drive.
    Bare,
    Other(String),
}

/// Where the system goes: the number of a drive or of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    Drive(usize),
    Volume(usize),
}

impl Disks {
    /// Reads it all. Half of it would not do: the wrong disk would be taken for the right one.
    pub(super) async fn read(session: &Session, quirk: &Quirk, system: &Value) -> Result<Disks, Fault> {
        let walk = Walk::new(session);
        let Storage { controllers, drives, volumes, simple } = Storage::read(&walk, system).await?;
        if walk.incomplete() {
            let message = "not all drives and volumes could be read, and the wrong one must not be taken for the right \
                           one; it is tried again";
            return Err(session.transient(Reason::StorageUnreadable, message));
        }
        let drives = drives.into_iter().filter(|(_, _, body)| !simple || body["Model"].is_string());
        let drives = drives.map(|(controller, path, body)| drive(quirk, path, &body, controller)).collect();
        let mut disks = Disks { controllers, drives, volumes: Vec::new() };
        disks.volumes =
            volumes.into_iter().map(|(controller, path, body)| disks.volume(path, &body, controller)).collect();
        Ok(disks)
    }

    fn volume(&self, path: String, body: &Value, controller: usize) -> VolumeSeen {
        let paths = links(&body["Links"]["Drives"]);
        // Said by the volume, or by the drive.
        let part = |drive: &DriveSeen| {
            paths.iter().any(|path| same(&drive.path, path)) || drive.volumes.iter().any(|volume| same(volume, &path))
        };
        let drives: Vec<_> = (0..self.drives.len()).filter(|drive| part(&self.drives[*drive])).collect();
        let name = text(&body["Name"]).unwrap_or_else(|| name_of(&path));
        let bytes = number(&body["CapacityBytes"]).unwrap_or(0);
        VolumeSeen { kind: kind(body, drives.len()), name, drives, controller, bytes, path }
    }

    /// The drives in a slot: by its whole name, or by the bay where boxes are not told apart.
    pub(super) fn at(&self, wanted: &str) -> Vec<usize> {
        let fits = |slot: &str| slot == wanted || slot.rsplit(':').next() == Some(wanted);
        let found = self.drives.iter().enumerate().filter(|(_, drive)| drive.slot.as_deref().is_some_and(fits));
        found.map(|(index, _)| index).collect()
    }

    /// The slots that have drives, for people.
    pub(super) fn slots(&self) -> String {
        let mut slots: Vec<_> = self.drives.iter().filter_map(|drive| drive.slot.clone()).collect();
        slots.sort_by_key(|slot| order(slot));
        slots.dedup();
        match slots.len() {
            0 => "the BMC tells of no drives in slots".to_owned(),
            1..=40 => format!("there are drives in {}", slots.join(", ")),
            count => format!("there are drives in {count} others"),
        }
    }

    /// The volumes, other than bare drives, that one of these drives is part of.
    pub(super) fn volumes_on(&self, drives: &[usize]) -> Vec<&VolumeSeen> {
        let on = |volume: &&VolumeSeen| {
            volume.kind != Kind::Bare && volume.drives.iter().any(|drive| drives.contains(drive))
        };
        self.volumes.iter().filter(on).collect()
    }

    /// Where the system goes when nothing has to be changed for that: the drive itself, or a volume of just these drives
    /// that is what is wanted.
    pub(super) fn ready(&self, drives: &[usize]) -> Option<Chosen> {
        let just = |volume: &VolumeSeen| {
            volume.drives.len() == drives.len() && drives.iter().all(|drive| volume.drives.contains(drive))
        };
        let right = |volume: &VolumeSeen| match drives.len() {
            1 => volume.kind != Kind::Bare,
            _ => volume.kind == Kind::Mirror,
        };
        let volume = self.volumes.iter().position(|volume| just(volume) && right(volume));
        match (volume, drives) {
            (Some(volume), _) => Some(Chosen::Volume(volume)),
            (None, [drive]) => self.volumes_on(drives).is_empty().then_some(Chosen::Drive(*drive)),
            (None, _) => None,
        }
    }

    pub(super) fn told(&self, chosen: Chosen) -> Option<Detect> {
        let order = self.order();
        let shown: Vec<_> = order.iter().map(|place| self.shown(*place)).collect();
        detect(&shown, order.iter().position(|other| *other == chosen)?)
    }

    fn shown(&self, chosen: Chosen) -> Shown {
        match chosen {
            Chosen::Drive(drive) => self.drives[drive].shown.clone(),
            Chosen::Volume(volume) => {
                let volume = &self.volumes[volume];
                let name = volume_name(self.controllers[volume.controller].name.as_deref().unwrap_or_default());
                Shown { name, maker: String::new(), bytes: volume.bytes }
            }
        }
    }

    /// The disks that the kernel sees, in the order in which it is assumed to list them: controllers as the BMC lists them,
    /// on each of them drives by their slots, then volumes by their numbers. Drives that are part of a volume are not
    /// seen.
    fn order(&self) -> Vec<Chosen> {
        let mut places: Vec<_> = (0..self.drives.len())
            .filter(|drive| self.volumes_on(&[*drive]).is_empty())
            .map(|drive| {
                (
                    self.drives[drive].controller,
                    0,
                    order(self.drives[drive].slot.as_deref().unwrap_or("")),
                    Chosen::Drive(drive),
                )
            })
            .collect();
        let volumes = self.volumes.iter().enumerate().filter(|(_, volume)| volume.kind != Kind::Bare);
        places.extend(
            volumes.map(|(index, volume)| (volume.controller, 1, order(&name_of(&volume.path)), Chosen::Volume(index))),
        );
        places.sort_by(|(a1, a2, a3, _), (b1, b2, b3, _)| (a1, a2, a3).cmp(&(b1, b2, b3)));
        places.into_iter().map(|(.., place)| place).collect()
    }
}

/// Slots and ids by the numbers in them.
fn order(text: &str) -> Vec<u32> {
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    numbers.map(|part| part.parse().unwrap_or(u32::MAX)).collect()
}

fn drive(quirk: &Quirk, path: String, body: &Value, controller: usize) -> DriveSeen {
    let bytes = number(&body["CapacityBytes"]).unwrap_or(0);
    let (name, maker) = (text(&body["Model"]).unwrap_or_default(), text(&body["Manufacturer"]).unwrap_or_default());
    // `PCIe SSD in Slot 0 in Bay 1`, `Drive 3`.
    let named = || after(&text(&body["Name"])?, &["slot ", "bay ", "drive "]);
    let volumes = links(&body["Links"]["Volumes"]);
    DriveSeen { slot: slot(quirk, body).or_else(named), path, controller, volumes, shown: Shown { name, maker, bytes } }
}

/// `RAIDType` (Volume 1.3.1 and later) says it; before that `VolumeType` did.
fn kind(body: &Value, drives: usize) -> Kind {
    let (raid, volume) = (text(&body["RAIDType"]), text(&body["VolumeType"]));
    match (raid.as_deref(), volume.as_deref()) {
        (Some("RAID1"), _) | (None, Some("Mirrored")) => Kind::Mirror,
        (None | Some("None"), Some("RawDevice")) => Kind::Bare,
        (None, None) if drives == 1 => Kind::Bare,
        (Some(word), _) | (None, Some(word)) => Kind::Other(word.to_owned()),
        (None, None) => Kind::Other("volume".to_owned()),
    }
}
