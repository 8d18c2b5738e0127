//! Drives and volumes: `Storage`, and `SimpleStorage` of services that are older than it.

use serde_json::Value;

use super::collection::Walk;
use super::json::{array, link, links, name_of, number, same, strings, text};
use super::quirk::{self, Quirk};
use crate::model::{Drive, Fault, Volume};

/// The resources of a system's drives and volumes, as the service lists them.
#[derive(Default)]
pub(super) struct Storage {
    pub controllers: Vec<Controller>,
    /// Controller, path and body. An element of a list has the list's path, `#` and its place.
    pub drives: Vec<(usize, String, Value)>,
    pub volumes: Vec<(usize, String, Value)>,
    /// Whether the service is older than `Storage`: it lists devices without resources of their own, and makes no volumes.
    pub simple: bool,
}

/// A controller, or what stands for one.
pub(super) struct Controller {
    /// Its own name in `StorageControllers`, else that of what it controls.
    pub name: Option<String>,
    /// Where its volumes are, if it makes any.
    pub volumes: Option<String>,
    /// When volumes can be made, where it says so (`@Redfish.OperationApplyTimeSupport`).
    pub apply_times: Vec<String>,
}

impl Storage {
    pub(super) async fn read(walk: &Walk<'_>, system: &Value) -> Result<Storage, Fault> {
        let mut found = Storage::default();
        for (_, unit) in walk.all(link(&system["Storage"])).await? {
            let at = found.controllers.len();
            for (path, body) in walk.each(links(&unit["Drives"])).await? {
                // Some services list a drive under two controllers.
                if !found.drives.iter().any(|(_, known, _)| same(known, &path)) {
                    found.drives.push((at, path, body));
                }
            }
            let volumes = link(&unit["Volumes"]).map(str::to_owned);
            let list = walk.get(volumes.as_deref()).await?;
            let times = strings(&list["@Redfish.OperationApplyTimeSupport"]["SupportedValues"]).unwrap_or_default();
            let members = walk.members_from(list).await?;
            found.volumes.extend(walk.each(members).await?.into_iter().map(|(path, body)| (at, path, body)));
            found.controllers.push(Controller { name: controller(&unit), volumes, apply_times: times });
        }
        found.simple = found.drives.is_empty();
        if found.simple {
            for (path, unit) in walk.all(link(&system["SimpleStorage"])).await? {
                let at = found.controllers.len();
                let devices = array(&unit["Devices"]).iter().enumerate().filter(|(_, device)| present(device));
                found.drives.extend(devices.map(|(index, device)| (at, format!("{path}#{index}"), device.clone())));
                found.controllers.push(Controller {
                    name: text(&unit["Name"]),
                    volumes: None,
                    apply_times: Vec::new(),
                });
            }
        }
        Ok(found)
    }

    /// Everything that can be said of them.
    pub(super) fn inventory(&self, quirk: &Quirk) -> (Vec<Drive>, Vec<Volume>) {
        let controller = |at: usize| self.controllers.get(at).and_then(|it| it.name.clone());
        let drive = |(at, path, body): &(usize, String, Value)| match self.simple {
            true => simple(body, controller(*at)),
            false => drive(quirk, path, body, controller(*at)),
        };
        let mut drives: Vec<Drive> = self.drives.iter().map(drive).collect();
        drives.sort_by(|a, b| (bay(a), &a.controller, &a.name).cmp(&(bay(b), &b.controller, &b.name)));
        let volumes = self.volumes.iter().filter_map(|(at, path, body)| volume(path, body, controller(*at)));
        (drives, volumes.collect())
    }
}

/// Slots are numbers with numbers in front of them, or nothing.
fn bay(drive: &Drive) -> Vec<u32> {
    let slot = drive.slot.as_deref().unwrap_or_default();
    slot.split(':').map(|part| part.parse().unwrap_or(u32::MAX)).collect()
}

fn controller(unit: &Value) -> Option<String> {
    let own = &unit["StorageControllers"][0];
    text(&own["Model"]).or_else(|| text(&own["Name"])).or_else(|| text(&unit["Name"])).or_else(|| text(&unit["Id"]))
}

fn drive(quirk: &Quirk, path: &str, body: &Value, controller: Option<String>) -> Drive {
    Drive {
        name: name_of(path),
        model: text(&body["Model"]),
        serial: text(&body["SerialNumber"]),
        bytes: bytes(body),
        protocol: text(&body["Protocol"]),
        media: text(&body["MediaType"]),
        slot: slot(quirk, body),
        controller,
        health: text(&body["Status"]["Health"]),
    }
}

/// `CapacityBytes`, or what older HP services say instead.
fn bytes(body: &Value) -> Option<u64> {
    let bytes = number(&body["CapacityBytes"]);
    bytes.or_else(|| number(&body["CapacityMiB"]).map(|mib| mib << 20)).filter(|bytes| *bytes > 0)
}

fn volume(path: &str, body: &Value, controller: Option<String>) -> Option<Volume> {
    // A drive that is shown as a volume of its own, as iDRACs do for drives without RAID.
    let raw = body["VolumeType"] == "RawDevice" && body["RAIDType"].is_null();
    (!raw).then(|| Volume {
        name: name_of(path),
        raid: text(&body["RAIDType"]).or_else(|| text(&body["VolumeType"])),
        bytes: bytes(body),
        drives: links(&body["Links"]["Drives"]).iter().map(|path| name_of(path)).collect(),
        controller,
    })
}

/// An empty bay of `SimpleStorage` is `Absent`.
fn present(device: &Value) -> bool {
    device["Status"]["State"] != "Absent" && (device["Model"].is_string() || device["CapacityBytes"].is_number())
}

fn simple(device: &Value, controller: Option<String>) -> Drive {
    let name = text(&device["Name"]);
    Drive {
        slot: name.as_deref().and_then(|name| label(name).or_else(|| after(name, &["slot"]))),
        name: name.unwrap_or_default(),
        model: text(&device["Model"]),
        serial: text(&device["SerialNumber"]),
        bytes: bytes(device),
        protocol: None,
        media: None,
        controller,
        health: text(&device["Status"]["Health"]),
    }
}

/// The slot of a drive, as people write it: the number of its bay; where bays are in boxes, `box:bay`.
///
/// | | |
/// |---|---|
/// | Dell | `Disk.Bay.2:Enclosure.Internal.0-1` is `2` |
/// | HPE | label `Box 2:Bay 1`, or `Slot=2:Port=1I:Box=3:Bay=1`, or `Location` in the format `Box:Bay`, is `2:1`, `3:1` |
/// | Supermicro | `Disk.Bay.0` is `0` |
/// | Lenovo, others | label `Slot 3`, `Drive 3`, else `LocationOrdinalValue` |
pub(super) fn slot(quirk: &Quirk, body: &Value) -> Option<String> {
    let by_id = || {
        let id = body["Id"].as_str()?;
        digits(id.split_once("Bay.")?.1)
    };
    let part = &body["PhysicalLocation"]["PartLocation"];
    let by_label = || {
        let labels = [&part["ServiceLabel"], &body["Location"][0]["Info"]];
        labels.into_iter().filter_map(Value::as_str).find_map(label)
    };
    let by_number = || number(&part["LocationOrdinalValue"]).map(|number| number.to_string());
    match quirk.slot {
        quirk::Slot::Id => by_id().or_else(by_label).or_else(by_number),
        quirk::Slot::Label => by_label().or_else(by_number).or_else(by_id),
    }
}

/// `Box 2:Bay 1`, `2:1`, `Bay=3`, `Slot 3`, `Drive 3`, `3`.
fn label(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    if let Some((enclosure, bay)) = text.split_once(':')
        && let (Ok(enclosure), Ok(bay)) = (enclosure.parse::<u32>(), bay.parse::<u32>())
    {
        return Some(format!("{enclosure}:{bay}"));
    }
    match (after(&text, &["box"]), after(&text, &["bay"])) {
        (Some(enclosure), Some(bay)) => Some(format!("{enclosure}:{bay}")),
        (None, Some(bay)) => Some(bay),
        (_, None) => {
            after(&text, &["drive", "disk", "slot"]).or_else(|| text.parse::<u32>().ok().map(|n| n.to_string()))
        }
    }
}

/// The number after one of these words.
pub(super) fn after(text: &str, words: &[&str]) -> Option<String> {
    let text = text.to_ascii_lowercase();
    words.iter().find_map(|word| {
        let rest = text.split_once(word)?.1;
        digits(rest.trim_start_matches([' ', '=', '_', '.', '#']))
    })
}

fn digits(text: &str) -> Option<String> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).take(6).collect();
    (!digits.is_empty()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn slots_are_found_in_every_vendors_words() {
        let part = |label: &str, number: u32| json!({ "Id": "7", "PhysicalLocation": { "PartLocation": { "ServiceLabel": label, "LocationOrdinalValue": number } } });
        let cases = [
            ("Dell", json!({ "Id": "Disk.Bay.2:Enclosure.Internal.0-1:RAID.Integrated.1-1" }), Some("2")),
            ("Dell", json!({ "Id": "Disk.Direct.1-1:AHCI.Slot.1-1" }), None),
            ("HPE", part("Box 2:Bay 1", 1), Some("2:1")),
            ("HPE", part("Slot=2:Port=1I:Box=3:Bay=12", 12), Some("3:12")),
            ("HPE", json!({ "Id": "0", "Location": [{ "Info": "1:8", "InfoFormat": "Box:Bay" }] }), Some("1:8")),
            ("Supermicro", json!({ "Id": "Disk.Bay.0" }), Some("0")),
            ("Lenovo", part("Slot 3", 9), Some("3")),
            ("Lenovo", part("Drive 5", 9), Some("5")),
            ("Anybody", part("", 4), Some("4")),
            ("Anybody", json!({ "Id": "sda", "Location": null, "PhysicalLocation": null }), None),
        ];
        for (vendor, body, wanted) in cases {
            let quirk = quirk::of(&json!({ "Vendor": vendor }), &Value::Null);
            assert_eq!(slot(&quirk, &body).as_deref(), wanted, "{body}");
        }
    }
}
