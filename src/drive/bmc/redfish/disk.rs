//! The disks of a machine as its BMC sees them: which drive is in which slot, what it is part of, and what the installer is
//! told about it.

use serde_json::Value;

use super::collection::{Walk, links};
use super::detect::{Detect, Shown, detect, volume_name};
use super::quirk::Quirk;
use super::session::Session;
use super::storage::{name_of, number, slot};
use super::{link, strings, text};
use crate::model::{Fault, Reason};

/// All drives and volumes.
pub(super) struct Shelf {
    pub units: Vec<Unit>,
    pub drives: Vec<Bay>,
    pub volumes: Vec<Made>,
}

/// A controller, or what stands for one.
pub(super) struct Unit {
    pub name: String,
    /// Where its volumes are, if it makes any.
    pub volumes: Option<String>,
    /// When volumes can be made, where it says so (`@Redfish.OperationApplyTimeSupport`).
    pub apply_times: Vec<String>,
}

/// A drive.
pub(super) struct Bay {
    pub path: String,
    pub unit: usize,
    pub slot: Option<String>,
    /// URIs of the volumes that it says it is part of.
    volumes: Vec<String>,
    shown: Shown,
}

/// A volume.
pub(super) struct Made {
    pub path: String,
    pub name: String,
    pub kind: Kind,
    /// Which drives it is made of.
    pub drives: Vec<usize>,
    unit: usize,
    bytes: u64,
}

/// What a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// RAID-1.
    Mirror,
    /// A drive that is shown as a volume of its own; the kernel sees the drive.
    Bare,
    /// Another.
    Other(String),
}

/// Where the system goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A drive.
    Drive(usize),
    /// A volume.
    Volume(usize),
}

impl Shelf {
    /// Reads it all. Half of it would not do: the wrong disk would be taken for the right one.
    pub(super) async fn read(session: &Session, quirk: &Quirk, system: &Value) -> Result<Shelf, Fault> {
        let walk = Walk::new(session);
        let mut shelf = Shelf { units: Vec::new(), drives: Vec::new(), volumes: Vec::new() };
        for (_, body) in walk.all(link(&system["Storage"])).await? {
            let unit = shelf.units.len();
            for (path, body) in walk.each(links(&body["Drives"])).await? {
                // Some services list a drive under two controllers.
                if !shelf.drives.iter().any(|known| same(&known.path, &path)) {
                    shelf.drives.push(bay(quirk, path, &body, unit));
                }
            }
            let volumes = link(&body["Volumes"]).map(str::to_owned);
            let list = walk.get(volumes.as_deref()).await?;
            for (path, body) in walk.each(links(&list["Members"])).await? {
                let made = shelf.made(path, &body, unit);
                shelf.volumes.push(made);
            }
            let times = strings(&list["@Redfish.OperationApplyTimeSupport"]["SupportedValues"]).unwrap_or_default();
            shelf.units.push(Unit { name: controller(&body), volumes, apply_times: times });
        }
        if shelf.drives.is_empty() {
            shelf.simple(&walk, quirk, system).await?;
        }
        if walk.incomplete() {
            let message =
                "not all drives and volumes could be read, and the wrong one must not be taken for the right one";
            return Err(session.transient(Reason::StorageUnreadable, message));
        }
        Ok(shelf)
    }

    /// The devices of services that are older than `Storage`: nothing can be made of them.
    async fn simple(&mut self, walk: &Walk<'_>, quirk: &Quirk, system: &Value) -> Result<(), Fault> {
        for (path, body) in walk.all(link(&system["SimpleStorage"])).await? {
            let unit = self.units.len();
            let devices = body["Devices"].as_array().map(Vec::as_slice).unwrap_or_default();
            for (index, device) in devices.iter().enumerate().filter(|(_, device)| device["Model"].is_string()) {
                self.drives.push(bay(quirk, format!("{path}#{index}"), device, unit));
            }
            self.units.push(Unit { name: controller(&body), volumes: None, apply_times: Vec::new() });
        }
        Ok(())
    }

    fn made(&self, path: String, body: &Value, unit: usize) -> Made {
        let paths = links(&body["Links"]["Drives"]);
        // Said by the volume, or by the drive.
        let part = |drive: &Bay| {
            paths.iter().any(|path| same(&drive.path, path)) || drive.volumes.iter().any(|volume| same(volume, &path))
        };
        let drives: Vec<_> = (0..self.drives.len()).filter(|drive| part(&self.drives[*drive])).collect();
        let name = text(&body["Name"]).unwrap_or_else(|| name_of(&path));
        let bytes = number(&body["CapacityBytes"]).unwrap_or(0);
        Made { kind: kind(body, drives.len()), name, drives, unit, bytes, path }
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
    pub(super) fn volumes_on(&self, drives: &[usize]) -> Vec<&Made> {
        let on = |volume: &&Made| volume.kind != Kind::Bare && volume.drives.iter().any(|drive| drives.contains(drive));
        self.volumes.iter().filter(on).collect()
    }

    /// Where the system goes when nothing has to be changed for that: the drive itself, or a volume of just these drives
    /// that is what is wanted.
    pub(super) fn ready(&self, drives: &[usize]) -> Option<Place> {
        let just = |volume: &Made| {
            volume.drives.len() == drives.len() && drives.iter().all(|drive| volume.drives.contains(drive))
        };
        let right = |volume: &Made| match drives.len() {
            1 => volume.kind != Kind::Bare,
            _ => volume.kind == Kind::Mirror,
        };
        let volume = self.volumes.iter().position(|volume| just(volume) && right(volume));
        match (volume, drives) {
            (Some(volume), _) => Some(Place::Volume(volume)),
            (None, [drive]) => self.volumes_on(drives).is_empty().then_some(Place::Drive(*drive)),
            (None, _) => None,
        }
    }

    /// What the installer is told.
    pub(super) fn told(&self, place: Place) -> Option<Detect> {
        let order = self.order();
        let shown: Vec<_> = order.iter().map(|place| self.shown(*place)).collect();
        detect(&shown, order.iter().position(|other| *other == place)?)
    }

    fn shown(&self, place: Place) -> Shown {
        match place {
            Place::Drive(drive) => self.drives[drive].shown.clone(),
            Place::Volume(volume) => {
                let volume = &self.volumes[volume];
                let name = volume_name(&self.units[volume.unit].name);
                Shown { name, maker: String::new(), bytes: volume.bytes }
            }
        }
    }

    /// The disks that the kernel sees, in the order in which it is assumed to list them: controllers as the BMC lists them,
    /// on each of them drives by their slots, then volumes by their numbers. Drives that are part of a volume are not
    /// seen.
    fn order(&self) -> Vec<Place> {
        let mut places: Vec<_> = (0..self.drives.len())
            .filter(|drive| self.volumes_on(&[*drive]).is_empty())
            .map(|drive| {
                (
                    self.drives[drive].unit,
                    0,
                    order(self.drives[drive].slot.as_deref().unwrap_or("")),
                    Place::Drive(drive),
                )
            })
            .collect();
        let volumes = self.volumes.iter().enumerate().filter(|(_, volume)| volume.kind != Kind::Bare);
        places.extend(
            volumes.map(|(index, volume)| (volume.unit, 1, order(&name_of(&volume.path)), Place::Volume(index))),
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

/// Whether two URIs are the same resource: iLO writes some with a slash at the end, and some without.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

fn bay(quirk: &Quirk, path: String, body: &Value, unit: usize) -> Bay {
    let bytes = number(&body["CapacityBytes"]).unwrap_or(0);
    let (name, maker) = (text(&body["Model"]).unwrap_or_default(), text(&body["Manufacturer"]).unwrap_or_default());
    let named = || {
        // `PCIe SSD in Slot 0 in Bay 1`, `Drive 3`.
        let name = text(&body["Name"])?.to_ascii_lowercase();
        let rest =
            ["slot ", "bay ", "drive "].into_iter().find_map(|word| Some(name.split_once(word)?.1.to_owned()))?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).take(3).collect();
        (!digits.is_empty()).then_some(digits)
    };
    let volumes = links(&body["Links"]["Volumes"]);
    Bay { slot: slot(quirk, body).or_else(named), path, unit, volumes, shown: Shown { name, maker, bytes } }
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

/// What a controller is called: its own name in `StorageControllers`, else that of what it controls.
fn controller(unit: &Value) -> String {
    let own = &unit["StorageControllers"][0];
    let name = text(&own["Model"]).or_else(|| text(&own["Name"])).or_else(|| text(&unit["Name"]));
    name.or_else(|| text(&unit["Id"])).unwrap_or_default()
}
