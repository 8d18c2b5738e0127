//! Who and what a machine is. Whatever a service leaves out or sets to null is done without.

use serde_json::{Value, json};

use super::session::Session;
use super::system::System;
use super::{link, text};
use crate::model::{Fault, Inventory, Mac, Nic};

/// Members of a collection that are looked at.
const MEMBERS: usize = 64;

pub(super) async fn inventory(session: &Session, boot_mac: Option<Mac>) -> Result<Inventory, Fault> {
    let system = System::find(session).await?;
    let managers = session.get_if_any(link(&session.root["Managers"])).await?;
    let manager = session.get_if_any(managers.pointer("/Members/0").and_then(link)).await?;
    let nics = nics(session, &system).await?;
    let body = system.body();
    Ok(Inventory {
        manufacturer: text(&body["Manufacturer"]),
        model: text(&body["Model"]),
        sku: text(&body["SKU"]),
        serial: text(&body["SerialNumber"]),
        uuid: text(&body["UUID"]),
        bios_version: text(&body["BiosVersion"]),
        bmc_version: text(&manager["FirmwareVersion"]),
        bmc_mac: None,
        health: text(&body["Status"]["Health"]),
        boot_mac: boot_mac.or_else(|| guess_boot_mac(&nics, body)),
        nics,
        power: Some(system.power()),
    })
}

/// The machine's own NICs: those with an address, without the one that leads to the BMC.
async fn nics(session: &Session, system: &System) -> Result<Vec<Nic>, Fault> {
    let list = session.get_if_any(link(&system.body()["EthernetInterfaces"])).await?;
    let members = list["Members"].as_array().cloned().unwrap_or_default();
    let mut nics = Vec::new();
    for member in members.iter().take(MEMBERS) {
        let Some(path) = link(member) else { continue };
        let body = session.get_if_any(Some(path)).await?;
        let id = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let mac = [&body["MACAddress"], &body["PermanentMACAddress"]];
        let mac = mac.into_iter().find_map(|mac| mac.as_str()?.parse::<Mac>().ok());
        let Some(mac) = mac.filter(|mac| !mac.is_zero() && !mac.is_multicast()) else { continue };
        let told = format!("{id} {}", body["Name"].as_str().unwrap_or_default()).to_ascii_lowercase();
        if told.contains("tomanager") || told.contains("usb") {
            continue;
        }
        nics.push(Nic { name: text(&json!(id)).unwrap_or_default(), mac, link: text(&body["LinkStatus"]) });
    }
    Ok(nics)
}

/// The NIC that network boot is expected from: the first embedded one, else what an old iLO calls the host's, else the
/// first with a link, else the first.
fn guess_boot_mac(nics: &[Nic], system: &Value) -> Option<Mac> {
    let embedded = nics.iter().filter(|nic| nic.name.contains("Embedded")).min_by_key(|nic| &nic.name);
    let correlated = ["/HostCorrelation/HostMACAddress/0", "/Oem/Hp/HostCorrelation/HostMACAddress/0"]
        .into_iter()
        .find_map(|place| system.pointer(place)?.as_str()?.parse().ok());
    let linked = nics.iter().find(|nic| nic.link.as_deref() == Some("LinkUp"));
    embedded.map(|nic| nic.mac).or(correlated).or_else(|| linked.or(nics.first()).map(|nic| nic.mac))
}
