//! Computer system, manager and chassis.

use serde_json::{Value, json};

use super::{Vendor, collection, link, nics};
use crate::model::PowerState;
use crate::sim::bmc::Bmc;
use crate::sim::chassis::Chassis;

/// The system, or what lies right under it.
pub(super) fn system(bmc: &Bmc, machine: &dyn Chassis, rest: &str) -> Option<Value> {
    let vendor = bmc.config().vendor;
    Some(match rest {
        "" => computer_system(bmc, machine),
        "/ResetActionInfo" if vendor == Vendor::Supermicro => json!({
            "Id": "ResetActionInfo", "@odata.type": "#ActionInfo.v1_1_2.ActionInfo",
            "Parameters": [{ "Name": "ResetType", "Required": true, "AllowableValues": bmc.config().reset_types }],
        }),
        _ => return nics::resource(vendor, machine.boot_mac(), rest.strip_prefix("/EthernetInterfaces")?),
    })
}

/// A GPU board that calls itself a system.
pub(super) fn board() -> Value {
    json!({
        "Id": "HGX_Baseboard_0", "Name": "HGX_Baseboard_0", "SystemType": "Physical", "Manufacturer": "NVIDIA",
        "Model": "HGX B", "SerialNumber": "1330000000000", "UUID": "00000000-0000-0000-0000-000000000001",
        "Status": { "Health": "OK", "State": "Enabled" }, "ProcessorSummary": { "Count": 8, "Model": "GPU" },
    })
}

/// The manager, or what lies right under it.
pub(super) fn manager(bmc: &Bmc, machine: &dyn Chassis, rest: &str) -> Option<Value> {
    let vendor = bmc.config().vendor;
    let path = vendor.manager_path();
    Some(match rest {
        "" => {
            let mut body = json!({
                "Id": path.rsplit('/').next(), "Name": "Manager", "ManagerType": "BMC", "FirmwareVersion": "6.00.30.00",
                "Status": { "Health": "OK", "State": "Enabled" },
                "EthernetInterfaces": link(&format!("{path}/EthernetInterfaces")),
            });
            if let Some([attributes, other]) = vendor.manager_attributes() {
                body["Attributes"] = link(attributes);
                body["Links"]["Oem"]["Dell"]["DellAttributes"] = json!([link(other)]);
                body["Links"]["Oem"]["Dell"]["Jobs"] = link(vendor.jobs().unwrap_or_default());
            }
            body
        }
        "/EthernetInterfaces" => collection([format!("{path}/EthernetInterfaces/1")]),
        "/EthernetInterfaces/1" => json!({ "Id": "1", "MACAddress": machine.bmc_mac().map(|mac| mac.to_string()) }),
        _ => return None,
    })
}

pub(super) fn chassis(bmc: &Bmc, machine: &dyn Chassis, rest: &str) -> Option<Value> {
    let vendor = bmc.config().vendor;
    let [manufacturer, model] = vendor.names();
    rest.is_empty().then(|| {
        json!({
            "Id": vendor.chassis_path().rsplit('/').next(), "Name": "Chassis", "ChassisType": "RackMount",
            "Manufacturer": manufacturer, "Model": model, "SerialNumber": machine.boot_mac().hex().to_uppercase(),
            "PowerState": if machine.power() == PowerState::On { "On" } else { "Off" },
            "Status": { "Health": "OK", "State": "Enabled" },
            "Links": { "ComputerSystems": [link(vendor.system_path())], "ManagedBy": [link(vendor.manager_path())] },
        })
    })
}

fn computer_system(bmc: &Bmc, machine: &dyn Chassis) -> Value {
    let vendor = bmc.config().vendor;
    let system = vendor.system_path();
    let [manufacturer, model] = vendor.names();
    let serial = machine.boot_mac().hex().to_uppercase();
    let power = if machine.power() == PowerState::On { "On" } else { "Off" };
    let health = if vendor == Vendor::Hpe { "Critical" } else { "OK" };
    let mut body = json!({
        "Id": system.rsplit('/').next(), "Name": "System", "SystemType": "Physical",
        "Manufacturer": manufacturer, "Model": model,
        "SKU": format!("SKU-{}", &serial[6..]), "SerialNumber": serial, "BiosVersion": "1.8.2",
        "UUID": format!("4c4c4544-0035-3410-8050-{}", machine.boot_mac().hex()),
        "PowerState": power, "Status": { "Health": health, "State": "Enabled" },
        "ProcessorSummary": { "Count": 2, "Model": "Simulated CPU @ 2.40GHz", "CoreCount": 32, "Status": { "Health": "OK" } },
        "MemorySummary": { "TotalSystemMemoryGiB": 256, "Status": { "Health": "OK" } },
        "Boot": boot(bmc, machine),
        "Links": { "Chassis": [link(vendor.chassis_path())], "ManagedBy": [link(vendor.manager_path())] },
        "Actions": { "#ComputerSystem.Reset": { "target": format!("{system}/Actions/ComputerSystem.Reset") } },
    });
    let reset = &mut body["Actions"]["#ComputerSystem.Reset"];
    match vendor {
        Vendor::Supermicro => reset["@Redfish.ActionInfo"] = json!(format!("{system}/ResetActionInfo")),
        _ => reset["ResetType@Redfish.AllowableValues"] = json!(bmc.config().reset_types),
    }
    if let Some([bios, _]) = vendor.bios() {
        body["Bios"] = link(bios);
    }
    if vendor == Vendor::OldHp {
        let mac = machine.boot_mac().to_string();
        body["HostCorrelation"] = json!({ "HostMACAddress": [mac, "02:00:00:00:00:01"], "HostName": "" });
        body["SimpleStorage"] = link(&format!("{system}/SimpleStorage"));
    } else {
        body["EthernetInterfaces"] = link(&format!("{system}/EthernetInterfaces"));
        body["Storage"] = link(&format!("{system}/Storage"));
    }
    if !vendor.led_words().is_empty() {
        body["IndicatorLED"] = json!(bmc.led);
    }
    if vendor.has_location_indicator() {
        body["LocationIndicatorActive"] = json!(bmc.led_on());
    }
    if vendor == Vendor::Generic {
        body["SKU"] = Value::Null;
    }
    body
}

fn boot(bmc: &Bmc, machine: &dyn Chassis) -> Value {
    let vendor = bmc.config().vendor;
    let (enabled, target) = match machine.boot_override() {
        None => ("Disabled", "None"),
        Some(set) => {
            let network = if bmc.http_boot().is_some() { "UefiHttp" } else { "Pxe" };
            (if set.once { "Once" } else { "Continuous" }, if set.network { network } else { "Hdd" })
        }
    };
    let mut body = json!({ "BootSourceOverrideEnabled": enabled, "BootSourceOverrideTarget": target });
    if vendor == Vendor::OldHp {
        body["BootSourceOverrideSupported"] = json!(vendor.boot_targets());
        return body;
    }
    body["BootSourceOverrideMode"] = json!(bmc.mode());
    body["BootSourceOverrideTarget@Redfish.AllowableValues"] = json!(vendor.boot_targets());
    body["BootSourceOverrideMode@Redfish.AllowableValues"] = json!(["UEFI", "Legacy"]);
    if vendor.has_http_boot_uri() {
        body["HttpBootUri"] = json!(bmc.http_boot().filter(|uri| !uri.is_empty()));
    }
    body
}
