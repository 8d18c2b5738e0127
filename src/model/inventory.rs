//! What a BMC says of its machine.

use serde::{Deserialize, Serialize};

use super::id::Mac;

/// Who and what a machine is, as its BMC says. Absent where the BMC says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// Maker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    /// Model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Stock keeping unit, Dell's service tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// Serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// SMBIOS UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// BIOS version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bios_version: Option<String>,
    /// BMC firmware version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bmc_version: Option<String>,
    /// The MAC of the BMC itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bmc_mac: Option<Mac>,
    /// `Status.Health`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// Network interfaces of the machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<Nic>,
    /// The NIC that network boot is expected from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_mac: Option<Mac>,
    /// The power state at the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerState>,
}

/// A network interface of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// The BMC's name for it.
    pub name: String,
    /// Its MAC.
    pub mac: Mac,
    /// Link, where the BMC knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// Power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PowerState {
    /// On, or on its way there.
    On,
    /// Off.
    Off,
    /// Not known.
    Unknown,
}
