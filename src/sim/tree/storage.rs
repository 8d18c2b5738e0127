//! Storage: controllers, drives with their bays, and volumes.

use serde_json::{Value, json};

use super::{Vendor, collection, link};
use crate::sim::bmc::{Bmc, BmcConfig, Drive, Volume};

/// A controller: its id, its name, and whether it makes volumes.
struct Controller {
    id: &'static str,
    name: &'static str,
    raid: bool,
}

fn controllers(vendor: Vendor) -> [Controller; 2] {
    let both = |raid, name, other, kind| {
        [Controller { id: raid, name, raid: true }, Controller { id: other, name: kind, raid: false }]
    };
    match vendor {
        Vendor::Dell => both("RAID.Integrated.1-1", "PERC H755 Front", "CPU.1", "CPU.1"),
        Vendor::Hpe => both("DE081000", "HPE Smart Array P408i-p SR Gen10", "DA000000", "NVMe Storage System"),
        Vendor::Supermicro => both("HA-RAID", "AVAGO 3108 MegaRAID", "NVMeSSD", "NVMe Storage System"),
        Vendor::Generic => both("StorageUnit_0", "MegaRAID 9560-8i 4GB", "StorageUnit_1", "NVMe Storage Unit"),
        Vendor::Lenovo => {
            both("RAID_Slot3", "ThinkSystem RAID 930-8i 2GB Flash", "Direct_Attached_NVMe", "Direct attached NVMe")
        }
        Vendor::OldHp => both("", "Smart Array P440ar", "", ""),
    }
}

fn controller(vendor: Vendor, raid: bool) -> Controller {
    let [first, second] = controllers(vendor);
    if raid { first } else { second }
}

fn base(vendor: Vendor) -> Option<String> {
    (vendor != Vendor::OldHp).then(|| format!("{}/Storage", vendor.system_path()))
}

pub fn volumes_path(vendor: Vendor) -> Option<String> {
    Some(format!("{}/{}/Volumes", base(vendor)?, controller(vendor, true).id))
}

pub fn volume_path(vendor: Vendor, volume: &Volume) -> Option<String> {
    let number = volume.number;
    let id = match vendor {
        Vendor::Dell => format!("Disk.Virtual.{number}:RAID.Integrated.1-1"),
        Vendor::Hpe => (number + 1).to_string(),
        _ => number.to_string(),
    };
    Some(format!("{}/{id}", volumes_path(vendor)?))
}

pub fn drive_path(config: &BmcConfig, drive: &Drive) -> Option<String> {
    let (bay, vendor) = (drive.bay, config.vendor);
    let storage = format!("{}/{}", base(vendor)?, controller(vendor, drive.raid).id);
    Some(match vendor {
        Vendor::Dell if drive.raid => {
            format!("{storage}/Drives/Disk.Bay.{bay}:Enclosure.Internal.0-1:RAID.Integrated.1-1")
        }
        Vendor::Dell => format!("{storage}/Drives/Disk.Bay.{bay}:Enclosure.Internal.0-1"),
        // Numbered as they were found, which is not by bay.
        Vendor::Hpe => {
            let index = config.drives.iter().rev().position(|other| other == drive)?;
            format!("{storage}/Drives/{index}")
        }
        Vendor::Supermicro if drive.raid => {
            format!("/redfish/v1/Chassis/HA-RAID.0.StorageEnclosure.0/Drives/Disk.Bay.{bay}")
        }
        Vendor::Supermicro => format!("/redfish/v1/Chassis/NVMeSSD.0.Group.0.StorageBackplane/Drives/Disk.Bay.{bay}"),
        Vendor::Lenovo => format!("{storage}/Drives/Disk.{bay}"),
        _ => format!("{storage}/Drives/{}", serial(drive)),
    })
}

fn serial(drive: &Drive) -> String {
    format!("S{:06}{:02}", drive.bytes % 999_983, drive.bay)
}

/// What is at one of the paths of storage.
pub(super) fn resource(bmc: &Bmc, path: &str) -> Option<Value> {
    let config = bmc.config();
    let vendor = config.vendor;
    if vendor == Vendor::OldHp {
        return simple(config, path);
    }
    if let Some(drive) = config.drives.iter().find(|drive| drive_path(config, drive).as_deref() == Some(path)) {
        return Some(drive_body(bmc, drive, path));
    }
    let rest = path.strip_prefix(&base(vendor)?)?;
    let list = controllers(vendor);
    if rest.is_empty() {
        let mut members: Vec<_> = list.iter().map(|controller| format!("{path}/{}", controller.id)).collect();
        if vendor == Vendor::Dell {
            members.insert(0, format!("{path}/AHCI.Embedded.1-1"));
        }
        return Some(collection(members));
    }
    let mut parts = rest.strip_prefix('/')?.splitn(2, '/');
    let (id, below) = (parts.next()?, parts.next());
    if id == "AHCI.Embedded.1-1" && vendor == Vendor::Dell {
        return below
            .is_none()
            .then(|| json!({ "Id": id, "Name": "C620 AHCI", "Drives": [], "Drives@odata.count": 0 }));
    }
    let controller = list.into_iter().find(|controller| controller.id == id)?;
    match below {
        None => Some(storage(config, &controller, path)),
        Some("Controllers") => Some(collection([format!("{path}/0")])),
        Some("Controllers/0") => Some(json!({ "Id": "0", "Name": controller.name, "Model": controller.name })),
        Some("Volumes") => Some(volumes(bmc, &controller, path)),
        Some(_) => volume(bmc, &controller, path),
    }
}

fn storage(config: &BmcConfig, controller: &Controller, path: &str) -> Value {
    let drives = config.drives.iter().filter(|drive| drive.raid == controller.raid);
    let mut drives: Vec<_> = drives.filter_map(|drive| drive_path(config, drive)).map(|path| link(&path)).collect();
    // An iDRAC lists bays from the last to the first.
    if config.vendor == Vendor::Dell {
        drives.reverse();
    }
    let mut body = json!({
        "Id": controller.id, "Name": controller.name, "Status": { "Health": "OK", "State": "Enabled" },
        "Drives@odata.count": drives.len(), "Drives": drives,
    });
    if controller.raid || config.vendor == Vendor::Dell {
        body["Volumes"] = link(&format!("{path}/Volumes"));
    }
    match config.vendor {
        Vendor::Hpe => body["Controllers"] = link(&format!("{path}/Controllers")),
        _ => {
            body["StorageControllers"] = json!([{ "MemberId": "0", "Name": controller.name, "Model": controller.name }])
        }
    }
    body
}

fn drive_body(bmc: &Bmc, drive: &Drive, path: &str) -> Value {
    let vendor = bmc.config().vendor;
    let bay = drive.bay;
    let id = path.rsplit('/').next().unwrap_or_default();
    let volumes = bmc.volumes().iter().filter(|volume| volume.bays.contains(&bay));
    let volumes: Vec<_> = volumes.filter_map(|volume| volume_path(vendor, volume)).map(|path| link(&path)).collect();
    let mut body = json!({
        "Id": id, "Name": format!("Drive {id}"), "Model": drive.model, "SerialNumber": serial(drive),
        "CapacityBytes": drive.bytes, "MediaType": if drive.model.starts_with("ST") { "HDD" } else { "SSD" },
        "Protocol": if !drive.raid { "NVMe" } else if drive.model.starts_with("ST") { "SAS" } else { "SATA" },
        "Status": { "Health": "OK", "State": "Enabled" }, "Links": { "Volumes": volumes },
    });
    match vendor {
        // The id says it.
        Vendor::Dell => body["Location"] = json!([]),
        Vendor::Supermicro => {}
        Vendor::Hpe if !drive.raid => {
            body["Location"] = json!([{ "Info": format!("2:{bay}"), "InfoFormat": "Box:Bay" }]);
        }
        _ => {
            let label = format!("Slot=2:Port=1I:Box=3:Bay={bay}");
            let place = json!({ "LocationType": "Bay", "LocationOrdinalValue": bay, "ServiceLabel": label });
            body["PhysicalLocation"] = json!({ "PartLocation": place });
        }
    }
    body
}

fn volumes(bmc: &Bmc, controller: &Controller, path: &str) -> Value {
    let config = bmc.config();
    let members: Vec<_> = match controller.raid {
        true => bmc.volumes().iter().filter_map(|volume| volume_path(config.vendor, volume)).collect(),
        false => {
            config.drives.iter().filter(|drive| !drive.raid).map(|drive| format!("{path}/{}", raw(drive))).collect()
        }
    };
    let mut body = collection(members);
    if config.vendor == Vendor::Dell {
        let values = if controller.raid { json!(["Immediate", "OnReset"]) } else { json!(["OnReset"]) };
        body["@Redfish.OperationApplyTimeSupport"] = json!({ "SupportedValues": values });
    }
    body
}

/// An iDRAC shows a drive without RAID as a volume of its own.
fn raw(drive: &Drive) -> String {
    format!("Disk.Bay.{}:Enclosure.Internal.0-1", drive.bay)
}

fn volume(bmc: &Bmc, controller: &Controller, path: &str) -> Option<Value> {
    let config = bmc.config();
    let vendor = config.vendor;
    let id = path.rsplit('/').next()?;
    if !controller.raid {
        let of = |drive: &&Drive| vendor == Vendor::Dell && !drive.raid && raw(drive) == id;
        let drive = config.drives.iter().find(of)?;
        return Some(json!({
            "Id": id, "Name": "SSD", "VolumeType": "RawDevice", "RAIDType": null, "CapacityBytes": drive.bytes,
            "Links": { "Drives": [link(&drive_path(config, drive)?)] },
        }));
    }
    let volume = bmc.volumes().iter().find(|volume| volume_path(vendor, volume).as_deref() == Some(path))?;
    let drives: Vec<_> = config.drives.iter().filter(|drive| volume.bays.contains(&drive.bay)).collect();
    let least = drives.iter().map(|drive| drive.bytes).min().unwrap_or(0);
    let bytes = if volume.raid == "RAID0" { least * drives.len() as u64 } else { least };
    let links: Vec<_> = drives.iter().filter_map(|drive| drive_path(config, drive)).map(|path| link(&path)).collect();
    let mut body = json!({
        "Id": id, "Name": volume.name, "CapacityBytes": bytes - bytes % (1 << 20), "Operations": [],
        "Status": { "Health": "OK", "State": "Enabled" }, "Links": { "Drives@odata.count": links.len(), "Drives": links },
    });
    let kind = match volume.raid.as_str() {
        "RAID0" => "NonRedundant",
        "RAID1" => "Mirrored",
        _ => "StripedWithParity",
    };
    if vendor != Vendor::Supermicro {
        body["RAIDType"] = json!(volume.raid);
    }
    if matches!(vendor, Vendor::Dell | Vendor::Supermicro) {
        body["VolumeType"] = json!(kind);
    }
    Some(body)
}

/// `SimpleStorage`: devices without an address, a serial number or a bay.
fn simple(config: &BmcConfig, path: &str) -> Option<Value> {
    let rest = path.strip_prefix(config.vendor.system_path())?.strip_prefix("/SimpleStorage")?;
    match rest {
        "" => Some(collection([format!("{path}/1")])),
        "/1" => {
            let device = |drive: &Drive| {
                json!({ "Name": format!("Bay {}", drive.bay), "Manufacturer": "HP", "Model": drive.model,
                    "CapacityBytes": drive.bytes, "Status": { "Health": "OK", "State": "Enabled" } })
            };
            let devices: Vec<_> = config.drives.iter().map(device).collect();
            Some(json!({ "Id": "1", "Name": "Smart Array P440ar", "Devices": devices }))
        }
        _ => None,
    }
}
