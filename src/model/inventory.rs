//! What a BMC says of its machine.
#![allow(missing_docs, reason = "names that say all have no comment")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::id::Mac;
use super::words::words;

/// Who and what a machine is, as its BMC says. Absent where the BMC says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Inventory {
    /// The Redfish resource that is the machine, among others that a service may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Stock keeping unit, Dell's service tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bios_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bmc_version: Option<String>,
    /// The MAC of the BMC itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bmc_mac: Option<Mac>,
    /// `Status.Health`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Cpus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_gib: Option<u64>,
    /// Network interfaces of the machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<Nic>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drives: Vec<Drive>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// The NIC that network boot is expected from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_mac: Option<Mac>,
    /// The power state at the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerState>,
    /// Some of it was passed over: the BMC could not read it itself, or there is more than is looked at.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

impl Inventory {
    /// The NIC with this address.
    pub fn nic(&self, mac: Mac) -> Option<&Nic> {
        self.nics.iter().find(|nic| nic.mac == mac)
    }

    /// What the machine has, in a line for people: `2 x Xeon Gold 6354 (36 cores), 512 GiB, 3 drives (5.8 TB), 5 NICs`.
    pub fn hardware(&self) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(cpus) = &self.cpus {
            let count = cpus.count.map(|count| format!("{count} x "));
            let cores = cpus.cores.map(|cores| format!(" ({cores} cores)"));
            let model = cpus.model.as_deref().unwrap_or("CPU");
            parts.push(format!("{}{model}{}", count.unwrap_or_default(), cores.unwrap_or_default()));
        }
        parts.extend(self.memory_gib.map(|gib| format!("{gib} GiB")));
        if !self.drives.is_empty() {
            let bytes: u64 = self.drives.iter().filter_map(|drive| drive.bytes).fold(0, u64::saturating_add);
            parts.push(format!("{} ({})", counted(self.drives.len(), "drive"), size(bytes)));
        }
        if !self.nics.is_empty() {
            parts.push(counted(self.nics.len(), "NIC"));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Octets as drives' labels say them: in powers of ten, with at most one digit behind the point.
pub fn size(bytes: u64) -> String {
    let (unit, name) = if bytes >= 1_000_000_000_000 { (1_000_000_000_000, "TB") } else { (1_000_000_000, "GB") };
    let tenths = (u128::from(bytes) * 10 + unit / 2) / unit;
    match tenths % 10 {
        0 => format!("{} {name}", tenths / 10),
        tenth => format!("{}.{tenth} {name}", tenths / 10),
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Cpus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Model of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Cores of all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u64>,
}

/// A drive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Drive {
    /// The BMC's name for it.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// `NVMe`, `SATA`, `SAS`, ….
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// `SSD` or `HDD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,
    /// The chassis slot, as `system_disks` names it: the bay's number, or `box:bay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// Its controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// `Status.Health`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
}

/// A RAID volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Volume {
    /// The BMC's name for it.
    pub name: String,
    /// `RAID1`, `Mirrored`, ….
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Names of its drives.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drives: Vec<String>,
    /// Its controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
}

/// A network interface of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nic {
    /// The BMC's name for it.
    pub name: String,
    /// Its MAC.
    pub mac: Mac,
    /// Link, where the BMC knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Speed in Mbit/s, where there is a link and the BMC knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mbps: Option<u64>,
    /// What it is, in the BMC's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

words! {
    /// Power.
    PowerState {
        /// On, or on its way there.
        On "on"
        /// Off.
        Off "off"
        /// Not known.
        Unknown "unknown"
    }
}
