//! How a simulated BMC is set up: account, limits, pace, and the hardware around it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::Secret;
use crate::sim::tree::Vendor;

/// Named settings, of a BIOS or of a manager.
pub type Attributes = BTreeMap<String, Value>;

#[derive(Clone, Debug)]
pub struct BmcConfig {
    pub vendor: Vendor,
    pub username: String,
    pub password: Secret,
    /// Sessions that may be open at once; one more is refused with 503.
    pub max_sessions: usize,
    pub session_timeout: Duration,
    /// Whether there is a session service; without one, credentials go with each request.
    pub sessions: bool,
    /// Whether Basic authentication is understood; where it is not, it is refused without a look at the password.
    pub basic: bool,
    /// What `ComputerSystem.Reset` takes.
    pub reset_types: &'static [&'static str],
    pub slow: Duration,
    pub pace: Pace,
    pub drives: Vec<Drive>,
    /// Volumes that somebody made before us.
    pub volumes: Vec<Volume>,
    pub bios: Attributes,
    pub manager: Attributes,
}

/// How long a BMC takes for what is not done at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From a restart of the machine until pending BIOS settings have taken effect.
    pub bios: Duration,
    /// To make or delete a volume.
    pub volume: Duration,
    /// For what is answered with 202 although others do it at once.
    pub task: Duration,
    pub reboot: Duration,
    /// How long somebody else's sessions fill its table.
    pub full: Duration,
}

impl Pace {
    pub fn real() -> Self {
        let secs = Duration::from_secs;
        Pace { bios: secs(90), volume: secs(40), task: secs(5), reboot: secs(100), full: secs(150) }
    }

    pub fn quick() -> Self {
        let ms = Duration::from_millis;
        Pace { bios: ms(700), volume: ms(500), task: ms(200), reboot: ms(1500), full: ms(1500) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// The bay, as printed on the machine.
    pub bay: u32,
    pub model: &'static str,
    pub bytes: u64,
    /// Whether it hangs on the RAID controller; NVMe drives do not.
    pub raid: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Number that its id is made of.
    pub number: u32,
    /// `RAID0`, `RAID1`, ….
    pub raid: String,
    pub bays: Vec<u32>,
    pub name: String,
    /// Whether it was there before us.
    pub foreign: bool,
}

impl BmcConfig {
    /// A BMC of this vendor with this account.
    pub fn new(vendor: Vendor, username: &str, password: Secret) -> Self {
        BmcConfig {
            vendor,
            username: username.into(),
            password,
            max_sessions: 6,
            session_timeout: Duration::from_secs(300),
            sessions: vendor != Vendor::OldHp,
            basic: vendor != Vendor::Lenovo,
            reset_types: vendor.reset_types(),
            slow: Duration::from_secs(2),
            pace: Pace::real(),
            drives: drives(vendor),
            volumes: Vec::new(),
            bios: bios(vendor),
            manager: manager(vendor),
        }
    }

    /// A volume that somebody made before us over these bays.
    pub fn with_foreign_volume(mut self, raid: &str, bays: &[u32]) -> Self {
        let number = self.volumes.len() as u32;
        let name = format!("old {number}");
        self.volumes.push(Volume { number, raid: raid.into(), bays: bays.to_vec(), name, foreign: true });
        self
    }
}

/// Two equal drives for the system, two equal larger ones for data, and an NVMe drive beside the RAID controller.
fn drives(vendor: Vendor) -> Vec<Drive> {
    // HPE counts bays from one.
    let first = u32::from(matches!(vendor, Vendor::Hpe | Vendor::OldHp));
    let small = if vendor == Vendor::Hpe { "VK000480GZXRF" } else { "MZ7KH480HAHQ0D3" };
    let drive = |bay, model, bytes, raid| Drive { bay: first + bay, model, bytes, raid };
    vec![
        drive(0, small, 480_103_981_056, true),
        drive(1, small, 480_103_981_056, true),
        drive(2, "ST2000NX0463", 2_000_398_934_016, true),
        drive(3, "ST2000NX0463", 2_000_398_934_016, true),
        drive(8, "Dell Ent NVMe CM6 RI 1.92TB", 1_920_383_410_176, false),
    ]
}

fn attributes(pairs: Value) -> Attributes {
    pairs.as_object().map(|map| map.clone().into_iter().collect()).unwrap_or_default()
}

/// A few settings with the vendor's names and JSON types.
fn bios(vendor: Vendor) -> Attributes {
    attributes(match vendor {
        Vendor::Dell => json!({
            "BootMode": "Uefi", "ProcVirtualization": "Disabled", "SriovGlobalEnable": "Disabled", "LogicalProc": "Enabled",
            "SysProfile": "PerfPerWattOptimizedDapc", "AcPwrRcvryUserDelay": 120, "SetupPassword": null,
        }),
        Vendor::Hpe => json!({
            "BootMode": "Uefi", "ProcVirtualization": "Disabled", "Sriov": "Disabled", "WorkloadProfile": "Custom",
            "AutoPowerOn": "RestoreLastState", "AdminName": "",
        }),
        Vendor::Supermicro => json!({
            "AES_NI_3C75": "Enable", "SR_IOVSupport_004B": "Disabled", "ConsoleRedirection_0080": true,
            "CorrectableErrorThreshold_3C34": 512, "AdministratorPassword_0117": null,
        }),
        Vendor::Generic => json!({ "SRIOVEnable": "Disabled", "VMX": "Disable", "SETUP001": "", "TPM0": true }),
        Vendor::Lenovo => json!({
            "Processors_IntelVirtualizationTechnology": "Disabled", "DevicesandIOPorts_SRIOV": "Disabled",
            "BootModes_SystemBootMode": "UEFIMode", "Memory_MemorySpeed": "MaxPerformance",
        }),
        Vendor::OldHp => json!({}),
    })
}

fn manager(vendor: Vendor) -> Attributes {
    attributes(match vendor {
        Vendor::Dell => json!({
            "NTPConfigGroup.1.NTPEnable": "Disabled", "NTPConfigGroup.1.NTP1": "", "Time.1.Timezone": "UTC",
            "WebServer.1.Timeout": 1800, "IPMILan.1.Enable": "Disabled", "Users.3.Password": null,
        }),
        _ => json!({}),
    })
}
