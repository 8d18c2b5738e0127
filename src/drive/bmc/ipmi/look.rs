//! What a BMC tells over IPMI, without changing anything.

use super::answer::{self, Pairs, Record, Sensor};
use super::refusal;
use super::tool::{Ipmitool, Kind};
use crate::model::{Fault, Inventory, Mac};

/// Records of the event log that are read at most.
const RECORDS: usize = 512;

/// Who and what the machine is. `boot_mac` is the NIC written in the repository: IPMI knows none of the machine's own.
pub(super) async fn inventory(bmc: &Ipmitool, boot_mac: Option<Mac>) -> Result<Inventory, Fault> {
    let controller = optional(bmc, Kind::Look, &["mc", "info"]).await?;
    let chassis = optional(bmc, Kind::Look, &["chassis", "status"]).await?;
    let fru = fru(bmc).await?;
    let lan = lan(bmc).await?;
    let power = chassis.get("System Power").map(answer::on_off);
    Ok(Inventory {
        manufacturer: fru
            .any(&["Product Manufacturer", "Board Mfg"])
            .or_else(|| controller.any(&["Manufacturer Name"])),
        model: fru.any(&["Product Name", "Board Product"]),
        sku: fru.any(&["Product Part Number", "Chassis Part Number"]),
        serial: fru.any(&["Product Serial", "Chassis Serial", "Board Serial"]),
        bmc_version: controller.any(&["Firmware Revision"]),
        // IPMI has no overall health; only what the chassis complains of is known.
        health: FAULTS.iter().any(|name| chassis.get(name) == Some("true")).then(|| "Warning".to_owned()),
        bmc_mac: lan.mac("MAC Address"),
        boot_mac,
        power: Some(match power {
            Some(power) => power,
            None => super::power::state(bmc).await?,
        }),
        ..Inventory::default()
    })
}

/// Lines of `chassis status` that say `true` when something is broken.
const FAULTS: [&str; 5] =
    ["Power Overload", "Main Power Fault", "Power Control Fault", "Drive Fault", "Cooling/Fan Fault"];

/// What the machine says of its parts: the built-in FRU device, for a walk over all of them takes minutes on some BMCs.
pub async fn fru(bmc: &Ipmitool) -> Result<Pairs, Fault> {
    optional(bmc, Kind::Long, &["fru", "print", "0"]).await
}

pub async fn lan(bmc: &Ipmitool) -> Result<Pairs, Fault> {
    // The community is SNMP's password.
    Ok(optional(bmc, Kind::Long, &["lan", "print"]).await?.without("SNMP Community String"))
}

/// The chassis: power, its restore policy, what is broken.
pub async fn chassis(bmc: &Ipmitool) -> Result<Pairs, Fault> {
    optional(bmc, Kind::Look, &["chassis", "status"]).await
}

/// The last records of the system event log, oldest first.
pub async fn events(bmc: &Ipmitool, last: usize) -> Result<Vec<Record>, Fault> {
    let count = last.clamp(1, RECORDS).to_string();
    match bmc.call(Kind::Long, &["sel", "list", "last", &count]).await {
        Ok(text) => Ok(answer::records(&text)),
        // An empty log is an error to the program.
        Err(fault) if refusal::declined(&fault) => Ok(Vec::new()),
        Err(fault) => Err(fault),
    }
}

pub async fn sensors(bmc: &Ipmitool) -> Result<Vec<Sensor>, Fault> {
    match bmc.call(Kind::Long, &["sdr", "list"]).await {
        Ok(text) => Ok(answer::sensors(&text)),
        Err(fault) if refusal::declined(&fault) => Ok(Vec::new()),
        Err(fault) => Err(fault),
    }
}

/// What a BMC need not have: a refusal is an answer without lines.
async fn optional(bmc: &Ipmitool, kind: Kind, command: &[&str]) -> Result<Pairs, Fault> {
    match bmc.call(kind, command).await {
        Ok(text) => Ok(Pairs::read(&text)),
        Err(fault) if refusal::declined(&fault) => Ok(Pairs::default()),
        Err(fault) => Err(fault),
    }
}
