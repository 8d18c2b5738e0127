//! Volumes of a simulated BMC (Volume 1.x): made, deleted, and refused where drives are taken.

use serde_json::Value;

use super::task::{When, Work};
use super::{Bmc, Drive, Request, Response, Volume};
use crate::model::Time;
use crate::sim::chassis::Chassis;
use crate::sim::tree::{Vendor, storage};

impl Bmc {
    /// The drive at a path, if it hangs on the RAID controller.
    fn raid_drive(&self, path: &str) -> Option<&Drive> {
        let drives = self.config.drives.iter().filter(|drive| drive.raid);
        drives.into_iter().find(|drive| storage::drive_path(&self.config, drive).as_deref() == Some(path))
    }

    pub(super) fn make_volume(&mut self, machine: &dyn Chassis, path: &str, request: &Request) -> Response {
        let vendor = self.config.vendor;
        if storage::volumes_path(vendor).as_deref() != Some(path) {
            return Response::error(404, "no volumes can be made here");
        }
        let Some(body) = request.json() else { return Response::error(400, "the body is not JSON") };
        let volume = match self.read_volume(&body) {
            Ok(volume) => volume,
            Err(message) => return Response::error(400, &message),
        };
        let lasts = self.config.pace.volume;
        match vendor {
            Vendor::Dell | Vendor::Supermicro => {
                // A PERC is configured in real time only while the machine runs.
                let when = if vendor == Vendor::Dell { When::Powered } else { When::Now };
                self.begin("Create volume", Work::MakeVolume(volume), when, lasts, true);
                self.accepted()
            }
            _ => {
                let made = self.add_volume(volume).unwrap_or_default();
                let body = crate::sim::tree::resource(self, machine, &made);
                Response::new(201, body.filter(|_| vendor != Vendor::Generic)).with("Location", made)
            }
        }
    }

    /// What is asked for, in the vendor's words.
    fn read_volume(&self, body: &Value) -> Result<Volume, String> {
        let vendor = self.config.vendor;
        let by_type = match body["VolumeType"].as_str() {
            Some("Mirrored") => Some("RAID1"),
            Some("NonRedundant") => Some("RAID0"),
            _ => None,
        };
        let raid = match vendor {
            Vendor::Dell => body["RAIDType"].as_str().or(by_type),
            // Firmware of before Volume 1.3.1 knows no RAIDType.
            Vendor::Supermicro if body.get("RAIDType").is_some() => return Err("RAIDType is unknown".into()),
            Vendor::Supermicro => by_type,
            _ if body.get("VolumeType").is_some() => return Err("VolumeType cannot be set".into()),
            _ => body["RAIDType"].as_str(),
        };
        let raid = raid.ok_or("the type of the volume is missing")?.to_owned();
        let flat = body.get("Drives").filter(|_| matches!(vendor, Vendor::Dell | Vendor::Supermicro));
        let links = body.pointer("/Links/Drives").or(flat).and_then(Value::as_array);
        let links = links.ok_or("Links.Drives is missing")?;
        let mut bays = Vec::new();
        for link in links {
            let path = link["@odata.id"].as_str().unwrap_or_default();
            let drive = self.raid_drive(path).ok_or_else(|| format!("{path} is not a drive of this controller"))?;
            bays.push(drive.bay);
        }
        bays.sort_unstable();
        bays.dedup();
        if bays.len() != links.len() || bays.len() != if raid == "RAID1" { 2 } else { bays.len().max(1) } {
            return Err("these are not the right number of drives".into());
        }
        let coming = self.tasks.iter().filter_map(|task| match &task.work {
            Some(Work::MakeVolume(volume)) => Some(volume),
            _ => None,
        });
        if self.volumes.iter().chain(coming).any(|volume| volume.bays.iter().any(|bay| bays.contains(bay))) {
            return Err("a drive is part of a volume already".into());
        }
        let name = body["Name"].as_str().or(body["DisplayName"].as_str()).unwrap_or("volume").to_owned();
        Ok(Volume { number: u32::MAX, raid, bays, name, foreign: false })
    }

    /// Numbers a volume and keeps it; gives where it is.
    pub(super) fn add_volume(&mut self, volume: Volume) -> Option<String> {
        let volume = Volume { number: self.numbered, ..volume };
        self.numbered += 1;
        self.tally.made.push(volume.clone());
        let path = storage::volume_path(self.config.vendor, &volume);
        self.volumes.push(volume);
        path
    }

    pub(super) fn delete_volume(&mut self, machine: &mut dyn Chassis, now: Time, path: &str) -> Response {
        let vendor = self.config.vendor;
        let place = |volume: &&Volume| storage::volume_path(vendor, volume).as_deref() == Some(path);
        let Some(number) = self.volumes.iter().find(place).map(|volume| volume.number) else {
            return Response::error(404, "there is no such volume");
        };
        if matches!(vendor, Vendor::Dell | Vendor::Supermicro) {
            let when = if vendor == Vendor::Dell { When::Powered } else { When::Now };
            self.begin("Delete volume", Work::DeleteVolume(number), when, self.config.pace.volume, true);
            return self.accepted();
        }
        self.remove_volume(machine, now, number);
        Response::new(204, None)
    }

    /// What was on the first drives was the machine's system.
    pub(super) fn remove_volume(&mut self, machine: &mut dyn Chassis, now: Time, number: u32) {
        let Some(index) = self.volumes.iter().position(|volume| volume.number == number) else { return };
        let volume = self.volumes.remove(index);
        if self.config.drives.first().is_some_and(|first| volume.bays.contains(&first.bay)) {
            machine.lose_disk(now);
        }
        self.tally.deleted.push((now, volume));
    }
}
