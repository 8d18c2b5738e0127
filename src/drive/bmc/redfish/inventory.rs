//! Who and what a machine is. Whatever a service leaves out or sets to null is done without.

use serde_json::Value;

use super::collection::Walk;
use super::json::{link, number, text};
use super::session::Session;
use super::storage::Storage;
use super::system::System;
use super::{nics, quirk};
use crate::model::{Cpus, Fault, Inventory, Mac};

pub(super) async fn inventory(session: &Session, boot_mac: Option<Mac>) -> Result<Inventory, Fault> {
    let system = System::find(session).await?;
    let body = system.body();
    let quirk = quirk::of(&session.root, body);
    let walk = Walk::new(session);
    let manager = walk.get(system.manager(session).await?.as_deref()).await?;
    let nics = nics::nics(&walk, body).await?;
    let (drives, volumes) = Storage::read(&walk, body).await?.inventory(&quirk);
    Ok(Inventory {
        system: Some(system.path.clone()),
        manufacturer: text(&body["Manufacturer"]),
        model: text(&body["Model"]),
        sku: text(&body["SKU"]),
        serial: text(&body["SerialNumber"]),
        uuid: text(&body["UUID"]),
        bios_version: text(&body["BiosVersion"]),
        bmc_version: text(&manager["FirmwareVersion"]),
        bmc_mac: bmc_mac(&walk, &manager).await?,
        health: text(&body["Status"]["Health"]).or_else(|| text(&body["Status"]["HealthRollup"])),
        cpus: cpus(&walk, body).await?,
        memory_gib: number(&body["MemorySummary"]["TotalSystemMemoryGiB"]).filter(|gib| *gib > 0),
        boot_mac: boot_mac.or_else(|| nics::boot_mac(&quirk, &nics, body)),
        nics,
        drives,
        volumes,
        power: Some(system.power()),
        incomplete: walk.incomplete(),
    })
}

/// The address of the manager's own interface, not of the one that leads to its host.
async fn bmc_mac(walk: &Walk<'_>, manager: &Value) -> Result<Option<Mac>, Fault> {
    let mut paths = walk.members(link(&manager["EthernetInterfaces"])).await?;
    paths.truncate(4);
    let all = walk.each(paths).await?;
    Ok(all.iter().find_map(|(path, body)| nics::own(path, body)).map(|nic| nic.mac))
}

/// From the summary; cores and model from the processors themselves where it leaves them out.
async fn cpus(walk: &Walk<'_>, system: &Value) -> Result<Option<Cpus>, Fault> {
    let summary = &system["ProcessorSummary"];
    let mut cpus = Cpus {
        count: number(&summary["Count"]),
        model: text(&summary["Model"]),
        cores: number(&summary["CoreCount"]).filter(|cores| *cores > 0),
    };
    if cpus.cores.is_none() || cpus.count.is_none() {
        let all = walk.all(link(&system["Processors"])).await?;
        let real = |body: &&Value| {
            matches!(body["ProcessorType"].as_str(), None | Some("CPU")) && body["Status"]["State"] != "Absent"
        };
        let all: Vec<&Value> = all.iter().map(|(_, body)| body).filter(real).collect();
        let cores: u64 = all.iter().filter_map(|body| number(&body["TotalCores"])).sum();
        cpus.cores = cpus.cores.or((cores > 0).then_some(cores));
        cpus.count = cpus.count.or((!all.is_empty()).then_some(all.len() as u64));
        cpus.model = all.iter().find_map(|body| text(&body["Model"])).or(cpus.model);
    }
    Ok((cpus != Cpus::default()).then_some(cpus))
}
