//! The machine's network interfaces, and which of them it boots from.

use serde_json::Value;

use super::collection::Walk;
use super::json::{array, link, name_of, number, text};
use super::quirk::Quirk;
use crate::model::{Fault, Mac, Nic};

/// The machine's own NICs: those with an address, without the one that leads to the BMC.
pub(super) async fn nics(walk: &Walk<'_>, system: &Value) -> Result<Vec<Nic>, Fault> {
    let members = walk.all(link(&system["EthernetInterfaces"])).await?;
    let mut nics: Vec<Nic> = members.iter().filter_map(|(path, body)| own(path, body)).collect();
    let adapters = link(&system["Oem"]["Hpe"]["Links"]["NetworkAdapters"])
        .or_else(|| link(&system["Oem"]["Hp"]["links"]["NetworkAdapters"]))
        .or_else(|| link(&system["Oem"]["Hp"]["Links"]["NetworkAdapters"]));
    for (_, adapter) in walk.all(adapters).await? {
        hpe_adapter(&adapter, &mut nics);
    }
    if nics.is_empty() {
        nics = by_adapters(walk, system).await?;
    }
    let mut seen = std::collections::BTreeSet::new();
    nics.retain(|nic| seen.insert(nic.mac));
    Ok(nics)
}

/// An interface with an address, unless it is the way between the machine and its BMC.
pub(super) fn own(path: &str, body: &Value) -> Option<Nic> {
    let name = name_of(path);
    let mac = mac_in(&[&body["MACAddress"], &body["PermanentMACAddress"]])?;
    let words = [Some(name.clone()), text(&body["Name"]), text(&body["Description"])];
    let words = words.into_iter().flatten().collect::<Vec<_>>().join(" ").to_ascii_lowercase();
    // The way from the operating system to the BMC, not to the network.
    if ["tomanager", "tohost", "usb", "host network interface", "host interface"]
        .iter()
        .any(|word| words.contains(word))
    {
        return None;
    }
    Some(Nic {
        name,
        mac,
        link: text(&body["LinkStatus"]),
        mbps: number(&body["SpeedMbps"]).filter(|mbps| *mbps > 0),
        about: text(&body["Description"]).or_else(|| text(&body["Name"])),
    })
}

fn mac_in(places: &[&Value]) -> Option<Mac> {
    let macs = places.iter().filter_map(|mac| mac.as_str()?.parse::<Mac>().ok());
    macs.into_iter().find(|mac| !mac.is_zero() && !mac.is_multicast())
}

/// An iLO's interfaces are numbers; what they are is said by adapters of its own kind, whose ports have the same MACs.
fn hpe_adapter(adapter: &Value, nics: &mut Vec<Nic>) {
    let what = text(&adapter["StructuredName"]).or_else(|| text(&adapter["Location"]));
    let name = text(&adapter["Name"]);
    let about = [what, name].into_iter().flatten().collect::<Vec<_>>().join(", ");
    for (index, port) in array(&adapter["PhysicalPorts"]).iter().enumerate() {
        let Some(mac) = mac_in(&[&port["MacAddress"], &port["MACAddress"]]) else { continue };
        match nics.iter_mut().find(|nic| nic.mac == mac) {
            Some(nic) => nic.about = (!about.is_empty()).then(|| about.clone()),
            None => nics.push(Nic {
                name: format!("{about} port {}", index + 1),
                mac,
                link: text(&port["LinkStatus"]).or_else(|| text(&port["Status"]["Health"])),
                mbps: number(&port["SpeedMbps"]).filter(|mbps| *mbps > 0),
                about: (!about.is_empty()).then(|| about.clone()),
            }),
        }
    }
}

/// By the ports of the chassis' network adapters: a Lenovo XCC may leave `EthernetInterfaces` empty (NVIDIA/nv-redfish
/// #176), with the address in an OEM property.
async fn by_adapters(walk: &Walk<'_>, system: &Value) -> Result<Vec<Nic>, Fault> {
    let chassis = walk.get(link(&system["Links"]["Chassis"][0])).await?;
    let mut nics = Vec::new();
    for (path, adapter) in walk.all(link(&chassis["NetworkAdapters"])).await? {
        let ports = link(&adapter["Ports"]).or_else(|| link(&adapter["NetworkPorts"]));
        for (port_path, port) in walk.all(ports).await? {
            let places = [
                &port["Ethernet"]["AssociatedMACAddresses"][0],
                &port["AssociatedNetworkAddresses"][0],
                &port["Oem"]["Lenovo"]["PhysicalPortMacAddress"],
            ];
            let Some(mac) = mac_in(&places) else { continue };
            let speed = [&port["CurrentSpeedGbps"], &port["CurrentLinkSpeedMbps"]];
            let mbps = speed[0].as_f64().map(|gbps| (gbps * 1000.0) as u64).or_else(|| number(speed[1]));
            nics.push(Nic {
                name: format!("{}/{}", name_of(&path), name_of(&port_path)),
                mac,
                link: text(&port["LinkStatus"]),
                mbps: mbps.filter(|mbps| *mbps > 0),
                about: text(&adapter["Model"]).or_else(|| text(&adapter["Name"])),
            });
        }
    }
    Ok(nics)
}

/// The NIC that network boot is expected from: the first that is the machine's own (embedded), else what an old iLO
/// calls the host's, else the only one. A guess beyond that would be one: then it is the one that asks.
pub(super) fn boot_mac(quirk: &Quirk, nics: &[Nic], system: &Value) -> Option<Mac> {
    let begins = |text: &str, with: &str| text.get(..with.len()).is_some_and(|text| text.eq_ignore_ascii_case(with));
    let is =
        |nic: &&Nic, with: &str| begins(&nic.name, with) || nic.about.as_deref().is_some_and(|text| begins(text, with));
    let own = quirk.own_nics.iter().find_map(|with| nics.iter().filter(|nic| is(nic, with)).min_by_key(|nic| key(nic)));
    let correlated = || {
        let places = ["/HostCorrelation", "/Oem/Hpe/HostCorrelation", "/Oem/Hp/HostCorrelation"];
        places.into_iter().find_map(|place| mac_in(&[&system.pointer(place)?["HostMACAddress"][0]]))
    };
    let only = || (nics.len() == 1).then(|| nics[0].mac);
    own.map(|nic| nic.mac).or_else(correlated).or_else(only)
}

/// `NIC.Embedded.2` before `NIC.Embedded.10`: numbers count as numbers.
fn key(nic: &Nic) -> (Vec<u32>, &str, Mac) {
    let numbers = nic.name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok());
    (numbers.collect(), &nic.name, nic.mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::bmc::redfish::quirk;
    use serde_json::json;

    fn some(names: &[(&str, &str)]) -> Vec<Nic> {
        let nic = |(index, (name, about)): (usize, &(&str, &str))| Nic {
            name: (*name).to_owned(),
            mac: Mac([2, 0, 0, 0, 0, index as u8]),
            link: None,
            mbps: None,
            about: Some((*about).to_owned()),
        };
        names.iter().enumerate().map(nic).collect()
    }

    #[test]
    fn the_machines_own_nic_is_taken_before_others() {
        let dell = quirk::of(&json!({ "Vendor": "Dell" }), &Value::Null);
        let nics = some(&[("NIC.Slot.5-1", ""), ("NIC.Embedded.10-1-1", ""), ("NIC.Embedded.2-1-1", "")]);
        assert_eq!(boot_mac(&dell, &nics, &Value::Null), Some(nics[2].mac));
        let nics = some(&[("NIC.Slot.5-1", ""), ("NIC.Integrated.1-1-1", "")]);
        assert_eq!(boot_mac(&dell, &nics, &Value::Null), Some(nics[1].mac));
        let hpe = quirk::of(&json!({ "Vendor": "HPE" }), &Value::Null);
        let nics = some(&[("1", "NIC.Slot.1.1, a"), ("2", "NIC.FlexLOM.1.1, b"), ("3", "NIC.LOM.1.1, c")]);
        assert_eq!(boot_mac(&hpe, &nics, &Value::Null), Some(nics[2].mac));
        assert_eq!(boot_mac(&hpe, &nics[..1], &Value::Null), Some(nics[0].mac), "the only one");
        let nics = some(&[("1", "AOC_NIC1"), ("2", "AOC_NIC2")]);
        assert_eq!(boot_mac(&hpe, &nics, &Value::Null), None);
        let said = json!({ "Oem": { "Hp": { "HostCorrelation": { "HostMACAddress": ["3c:a8:2a:00:00:01"] } } } });
        assert_eq!(boot_mac(&hpe, &nics, &said), Some(Mac([0x3c, 0xa8, 0x2a, 0, 0, 1])));
    }
}
