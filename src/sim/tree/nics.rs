//! The machine's NICs; the one it boots from is among others that must not be taken for it.

use serde_json::{Value, json};

use super::{Vendor, collection};
use crate::model::Mac;

struct Nic {
    id: &'static str,
    name: &'static str,
    mac: Option<String>,
    link: Option<&'static str>,
}

/// The collection, or one of its members.
pub(super) fn resource(vendor: Vendor, boot: Mac, rest: &str) -> Option<Value> {
    let nics = nics(vendor, boot);
    if rest.is_empty() && !nics.is_empty() {
        let path = format!("{}/EthernetInterfaces", vendor.system_path());
        return Some(collection(nics.iter().map(|nic| format!("{path}/{}", nic.id))));
    }
    let nic = nics.into_iter().find(|nic| Some(nic.id) == rest.strip_prefix('/'))?;
    let mut body = json!({
        "Id": nic.id, "Name": nic.name, "MACAddress": nic.mac, "LinkStatus": nic.link, "SpeedMbps": null,
        "Status": { "Health": "OK", "State": "Enabled" },
    });
    // Not every service names the burnt-in address, and where one does it may be all there is.
    if vendor == Vendor::Dell {
        body["PermanentMACAddress"] = json!(nic.mac);
    }
    if vendor == Vendor::Lenovo {
        body["MACAddress"] = Value::Null;
        body["PermanentMACAddress"] = json!(nic.mac);
    }
    Some(body)
}

fn nics(vendor: Vendor, boot: Mac) -> Vec<Nic> {
    let other = |salt: u8| {
        let mut mac = boot;
        mac.0[0] = 0x02;
        mac.0[1] ^= salt;
        mac.to_string()
    };
    let nic = |id, name, mac: String, link| Nic { id, name, mac: Some(mac), link };
    let null = |id, name| Nic { id, name, mac: None, link: None };
    match vendor {
        Vendor::Dell => vec![
            nic("NIC.Slot.5-1", "System Ethernet Interface", other(1).to_uppercase(), None),
            nic("NIC.Integrated.1-1-1", "System Ethernet Interface", other(2).to_uppercase(), Some("LinkUp")),
            nic("NIC.Embedded.2-1-1", "System Ethernet Interface", other(3).to_uppercase(), Some("LinkDown")),
            nic("NIC.Embedded.1-1-1", "System Ethernet Interface", boot.to_string().to_uppercase(), Some("LinkDown")),
        ],
        Vendor::Hpe => vec![nic("1", "", boot.to_string(), None), nic("2", "", other(1), None), null("3", "")],
        Vendor::Supermicro => vec![
            nic("ToManager", "Manager Ethernet Interface", other(1), None),
            nic("1", "AOC_NIC1", other(2), Some("LinkDown")),
            nic("2", "AOC_NIC2", boot.to_string(), Some("LinkUp")),
            null("3", "AOC_NIC3"),
        ],
        Vendor::Generic => vec![
            nic("eth0", "", "00:00:00:00:00:00".into(), None),
            nic("usb0", "Host USB", other(1), Some("LinkUp")),
            nic("eth1", "", boot.to_string(), Some("LinkUp")),
        ],
        Vendor::Lenovo => vec![
            null("NIC1", "NIC1"),
            nic("NIC2", "NIC2", other(1), Some("LinkDown")),
            nic("NIC3", "NIC3", boot.to_string(), Some("LinkUp")),
            nic("ToManager", "Host USB", other(2), Some("LinkUp")),
        ],
        Vendor::OldHp => Vec::new(),
    }
}
