//! BIOS and manager settings.

use serde_json::{Value, json};

use super::{Vendor, link};
use crate::sim::bmc::{Attributes, Bmc};

/// What is at one of the paths of settings.
pub(super) fn resource(bmc: &Bmc, path: &str) -> Option<Value> {
    let vendor = bmc.config().vendor;
    if let Some([current, pending]) = vendor.bios() {
        if path == current {
            return Some(bios(bmc, current, pending));
        }
        if path == pending {
            return Some(settings_object(bmc, pending));
        }
    }
    let [_, known_as] = vendor.manager_attributes().filter(|paths| paths.contains(&path))?;
    Some(json!({
        "@odata.id": known_as, "Id": "iDRACAttributes", "Name": "OEMAttributeRegistry",
        "AttributeRegistry": "ManagerAttributeRegistry.v1_0_0", "Attributes": bmc.manager(),
        "@Redfish.Settings": { "SupportedApplyTimes": ["Immediate", "AtMaintenanceWindowStart"] },
    }))
}

fn bios(bmc: &Bmc, current: &str, pending: &str) -> Value {
    let vendor = bmc.config().vendor;
    // iLO writes its BIOS paths with a slash at the end.
    let slash = if vendor == Vendor::Hpe { "/" } else { "" };
    let mut settings = json!({ "SettingsObject": link(&format!("{pending}{slash}")) });
    match vendor {
        Vendor::Dell => {
            settings["SupportedApplyTimes"] =
                json!(["OnReset", "AtMaintenanceWindowStart", "InMaintenanceWindowOnReset"]);
        }
        Vendor::Generic => settings["SupportedApplyTimes"] = json!(["OnReset"]),
        Vendor::Hpe => settings["Messages"] = json!([{ "MessageId": "Base.1.0.Success" }]),
        _ => {}
    }
    json!({
        "@odata.id": format!("{current}{slash}"), "Id": current.rsplit('/').next(), "Name": "BIOS Current Settings",
        "AttributeRegistry": "BiosAttributeRegistry.v1_0_3", "@Redfish.Settings": settings,
        "Attributes": bmc.bios(),
    })
}

fn settings_object(bmc: &Bmc, path: &str) -> Value {
    let mut body = json!({ "Id": path.rsplit('/').next(), "Name": "BIOS Pending Settings" });
    let all =
        || -> Attributes { bmc.bios().iter().chain(bmc.pending()).map(|(k, v)| (k.clone(), v.clone())).collect() };
    match bmc.config().vendor {
        // Only what waits.
        Vendor::Dell | Vendor::Generic => body["Attributes"] = json!(bmc.pending()),
        Vendor::Supermicro if bmc.pending().is_empty() => {}
        _ => body["Attributes"] = json!(all()),
    }
    if let Some(jobs) = bmc.config().vendor.jobs() {
        body["Oem"] = json!({ "Dell": { "Jobs": link(jobs) } });
    }
    body
}
