//! The resources of a simulated Redfish service, in the shapes that real services of several vendors have.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::bmc::Bmc;
use super::chassis::Chassis;
use crate::model::{Mac, PowerState};

/// Whose habits a BMC has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// iDRAC: long ids, no ETags, an LED that blinks or is lit, never off.
    Dell,
    /// iLO: absolute session URLs, weak ETags, health that is not OK, NICs without link state.
    Hpe,
    /// ActionInfo instead of inline values, a NIC to the manager first, `Vendor` null.
    Supermicro,
    /// As AMI's MegaRAC: If-Match required, no `ForceRestart`, `LocationIndicatorActive` only.
    Generic,
}

impl Vendor {
    /// Every vendor.
    pub const ALL: [Vendor; 4] = [Vendor::Dell, Vendor::Hpe, Vendor::Supermicro, Vendor::Generic];

    /// Path of the one system.
    pub fn system_path(self) -> &'static str {
        match self {
            Vendor::Dell => "/redfish/v1/Systems/System.Embedded.1",
            Vendor::Hpe | Vendor::Supermicro => "/redfish/v1/Systems/1",
            Vendor::Generic => "/redfish/v1/Systems/Self",
        }
    }

    fn manager_path(self) -> &'static str {
        match self {
            Vendor::Dell => "/redfish/v1/Managers/iDRAC.Embedded.1",
            Vendor::Hpe | Vendor::Supermicro => "/redfish/v1/Managers/1",
            Vendor::Generic => "/redfish/v1/Managers/Self",
        }
    }

    /// What `IndicatorLED` may be.
    pub fn led_words(self) -> &'static [&'static str] {
        match self {
            Vendor::Dell => &["Lit", "Blinking"],
            Vendor::Hpe | Vendor::Supermicro => &["Lit", "Off"],
            Vendor::Generic => &[],
        }
    }

    /// The LED's word for "somebody wants you to look here".
    pub fn led_on(self) -> &'static str {
        if self == Vendor::Dell { "Blinking" } else { "Lit" }
    }

    /// The LED's word for "nothing".
    pub fn led_off(self) -> &'static str {
        if self == Vendor::Dell { "Lit" } else { "Off" }
    }

    /// Whether it has `LocationIndicatorActive`.
    pub fn has_location_indicator(self) -> bool {
        matches!(self, Vendor::Supermicro | Vendor::Generic)
    }

    /// What `ComputerSystem.Reset` takes.
    pub fn reset_types(self) -> &'static [&'static str] {
        match self {
            Vendor::Generic => &["On", "ForceOff", "GracefulShutdown"],
            _ => &["On", "ForceOff", "GracefulShutdown", "ForceRestart", "PushPowerButton"],
        }
    }

    fn names(self) -> [&'static str; 2] {
        match self {
            Vendor::Dell => ["Dell Inc.", "PowerEdge R750"],
            Vendor::Hpe => ["HPE", "ProLiant DL385 Gen10 Plus v2"],
            Vendor::Supermicro => ["Supermicro", "SYS-821GE-TNHR"],
            Vendor::Generic => ["Example", "Pizza Box 1"],
        }
    }
}

/// The ETag of a resource: a digest of what it says.
pub fn etag(body: &Value) -> String {
    format!("W/\"{}\"", hex::encode(&Sha256::digest(body.to_string().as_bytes())[..4]))
}

/// One resource, or nothing at that path.
pub fn resource(bmc: &Bmc, machine: &dyn Chassis, path: &str) -> Option<Value> {
    let vendor = bmc.config().vendor;
    let (system, manager) = (vendor.system_path(), vendor.manager_path());
    let path = path.trim_end_matches('/');
    let mut body = match path {
        "/redfish/v1" => root(vendor),
        "/redfish/v1/SessionService" => {
            let sessions = link("/redfish/v1/SessionService/Sessions");
            json!({ "ServiceEnabled": true, "SessionTimeout": bmc.config().session_timeout.as_secs(), "Sessions": sessions })
        }
        "/redfish/v1/Systems" => collection([system.to_owned()]),
        "/redfish/v1/Managers" => collection([manager.to_owned()]),
        "/redfish/v1/Chassis" => collection(["/redfish/v1/Chassis/1".to_owned()]),
        "/redfish/v1/Chassis/1" => json!({ "Id": "1", "ChassisType": "RackMount", "Status": { "Health": "OK" } }),
        _ if path == system => computer_system(bmc, machine),
        _ if path == manager => json!({
            "Id": manager.rsplit('/').next(), "ManagerType": "BMC", "FirmwareVersion": "6.00.30.00",
            "EthernetInterfaces": link(&format!("{manager}/EthernetInterfaces")),
        }),
        _ if path == format!("{system}/ResetActionInfo") && vendor == Vendor::Supermicro => json!({
            "Id": "ResetActionInfo",
            "Parameters": [{ "Name": "ResetType", "Required": true, "AllowableValues": vendor.reset_types() }],
        }),
        _ if path == format!("{system}/EthernetInterfaces") => {
            collection(nics(vendor, machine.boot_mac()).map(|nic| format!("{path}/{}", nic.id)))
        }
        _ if path == format!("{manager}/EthernetInterfaces") => collection([format!("{path}/1")]),
        _ if path == format!("{manager}/EthernetInterfaces/1") => {
            json!({ "Id": "1", "MACAddress": machine.bmc_mac().map(|mac| mac.to_string()) })
        }
        _ => {
            let id = path.strip_prefix(system)?.strip_prefix("/EthernetInterfaces/")?;
            nics(vendor, machine.boot_mac()).find(|nic| nic.id == id)?.body()
        }
    };
    body.as_object_mut()?.insert("@odata.id".into(), json!(path));
    Some(body)
}

fn link(path: &str) -> Value {
    json!({ "@odata.id": path })
}

fn collection(members: impl IntoIterator<Item = String>) -> Value {
    let members: Vec<_> = members.into_iter().map(|path| link(&path)).collect();
    json!({ "Members@odata.count": members.len(), "Members": members })
}

fn root(vendor: Vendor) -> Value {
    let mut body = json!({
        "Id": "RootService", "Name": "Root Service", "RedfishVersion": "1.11.0",
        "Systems": link("/redfish/v1/Systems"), "Managers": link("/redfish/v1/Managers"),
        "Chassis": link("/redfish/v1/Chassis"), "SessionService": link("/redfish/v1/SessionService"),
        "Links": { "Sessions": link("/redfish/v1/SessionService/Sessions") },
    });
    let (name, oem) = match vendor {
        Vendor::Dell => (json!("Dell"), json!({ "Dell": { "IsBranded": 0 } })),
        Vendor::Hpe => (json!("HPE"), json!({ "Hpe": { "Manager": [{ "ManagerType": "iLO 5" }] } })),
        Vendor::Supermicro => (Value::Null, json!({ "Supermicro": {} })),
        Vendor::Generic => (Value::Null, Value::Null),
    };
    body["Vendor"] = name;
    if !oem.is_null() {
        body["Oem"] = oem;
    }
    body
}

fn computer_system(bmc: &Bmc, machine: &dyn Chassis) -> Value {
    let vendor = bmc.config().vendor;
    let system = vendor.system_path();
    let [manufacturer, model] = vendor.names();
    let serial = machine.boot_mac().hex().to_uppercase();
    let power = if machine.power() == PowerState::On { "On" } else { "Off" };
    let health = if vendor == Vendor::Hpe { "Critical" } else { "OK" };
    let mut body = json!({
        "Id": system.rsplit('/').next(), "Name": "System", "Manufacturer": manufacturer, "Model": model,
        "SKU": format!("SKU-{}", &serial[6..]), "SerialNumber": serial, "BiosVersion": "1.8.2",
        "UUID": format!("4c4c4544-0035-3410-8050-{}", machine.boot_mac().hex()),
        "PowerState": power, "Status": { "Health": health, "State": "Enabled" },
        "Boot": boot(bmc, machine),
        "EthernetInterfaces": link(&format!("{system}/EthernetInterfaces")),
        "Actions": { "#ComputerSystem.Reset": { "target": format!("{system}/Actions/ComputerSystem.Reset") } },
    });
    let reset = &mut body["Actions"]["#ComputerSystem.Reset"];
    match vendor {
        Vendor::Supermicro => reset["@Redfish.ActionInfo"] = json!(format!("{system}/ResetActionInfo")),
        _ => reset["ResetType@Redfish.AllowableValues"] = json!(vendor.reset_types()),
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
    let (enabled, target) = match machine.boot_override() {
        None => ("Disabled", "None"),
        Some(set) => (if set.once { "Once" } else { "Continuous" }, if set.network { "Pxe" } else { "Hdd" }),
    };
    json!({
        "BootSourceOverrideEnabled": enabled, "BootSourceOverrideTarget": target, "BootSourceOverrideMode": bmc.mode(),
        "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Cd", "Hdd", "BiosSetup"],
        "BootSourceOverrideMode@Redfish.AllowableValues": ["UEFI", "Legacy"],
    })
}

struct Nic {
    id: &'static str,
    name: &'static str,
    mac: String,
    link: Option<&'static str>,
}

impl Nic {
    fn body(&self) -> Value {
        json!({ "Id": self.id, "Name": self.name, "MACAddress": self.mac, "LinkStatus": self.link })
    }
}

/// The machine's NICs; the one it boots from is among others that must not be taken for it.
fn nics(vendor: Vendor, boot: Mac) -> impl Iterator<Item = Nic> {
    let other = |salt: u8| {
        let mut mac = boot;
        mac.0[0] = 0x02;
        mac.0[1] ^= salt;
        mac.to_string()
    };
    let nic = |id, name, mac: String, link| Nic { id, name, mac, link };
    let list = match vendor {
        Vendor::Dell => vec![
            nic("NIC.Slot.5-1", "System Ethernet Interface", other(1).to_uppercase(), None),
            nic("NIC.Integrated.1-1-1", "System Ethernet Interface", other(2).to_uppercase(), Some("LinkUp")),
            nic("NIC.Embedded.2-1-1", "System Ethernet Interface", other(3).to_uppercase(), Some("LinkDown")),
            nic("NIC.Embedded.1-1-1", "System Ethernet Interface", boot.to_string().to_uppercase(), Some("LinkDown")),
        ],
        Vendor::Hpe => vec![nic("1", "", boot.to_string(), None), nic("2", "", other(1), None)],
        Vendor::Supermicro => vec![
            nic("ToManager", "Manager Ethernet Interface", other(1), None),
            nic("1", "AOC_NIC1", other(2), Some("LinkDown")),
            nic("2", "AOC_NIC2", boot.to_string(), Some("LinkUp")),
        ],
        Vendor::Generic => vec![
            nic("eth0", "", "00:00:00:00:00:00".into(), None),
            nic("usb0", "Host USB", other(1), Some("LinkUp")),
            nic("eth1", "", boot.to_string(), Some("LinkUp")),
        ],
    };
    list.into_iter()
}
