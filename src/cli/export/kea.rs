//! Kea: client classes, of which the first that fits counts, each with its boot file.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{Export, Kind, preface};
use crate::model::Subnet;

/// The whole file: comments (Kea reads them), then one JSON document.
pub fn write(export: &Export<'_>) -> String {
    let usage = [
        "Use: as kea-dhcp4.conf, with your interfaces in place of \"*\"; or take `client-classes` and `subnet4` into your own.",
        "Check it with `kea-dhcp4 -t FILE`.",
    ];
    let comments: String = preface(export, "kea", &usage).iter().map(|line| format!("// {line}\n")).collect();
    let document = json!({ "Dhcp4": {
        "interfaces-config": { "interfaces": ["*"], "dhcp-socket-type": "raw" },
        "lease-database": { "type": "memfile", "persist": true },
        "authoritative": true,
        // The MAC is the client's identity, as with our own server: firmware, iPXE and installer are one machine.
        "match-client-id": false,
        "host-reservation-identifiers": ["hw-address"],
        "client-classes": classes(export),
        "subnet4": export.subnets.iter().enumerate().map(|(at, net)| subnet(export, at + 1, net)).collect::<Vec<_>>(),
    }});
    // A Value always becomes text.
    format!("{comments}{}\n", serde_json::to_string_pretty(&document).unwrap_or_default())
}

/// Classes are tested in their order; each excludes those before it, for Kea gives a client all that fit.
fn classes(export: &Export<'_>) -> Vec<Value> {
    let mut earlier: Vec<String> = Vec::new();
    let mut list = Vec::new();
    for boot in &export.boots {
        let name = format!("rackwright-{}", boot.kind.word());
        let others = earlier.iter().map(|name| format!(" and not member('{name}')")).collect::<String>();
        let address = export.settings.network.address.to_string();
        let mut options = vec![
            json!({ "name": "boot-file-name", "data": boot.file, "always-send": true }),
            json!({ "name": "tftp-server-name", "data": address, "always-send": true }),
        ];
        if let Some(class) = boot.kind.echo() {
            options.push(json!({ "name": "vendor-class-identifier", "data": class, "always-send": true }));
        }
        list.push(json!({
            "name": name,
            "test": format!("({}){others}", test(boot.kind)),
            "next-server": address,
            "boot-file-name": boot.file,
            "option-data": options,
        }));
        earlier.push(name);
    }
    list
}

fn test(kind: Kind) -> String {
    let arch = |arch: u16| format!("substring(option[93].hex, 0, 2) == 0x{arch:04x}");
    let vendor = |word: &str| format!("substring(option[60].hex, 0, {}) == '{word}'", word.len());
    match kind {
        // RFC 3004 puts the length first; iPXE does not.
        Kind::Ipxe => "option[175].exists or substring(option[77].hex, 0, 4) == 'iPXE' \
                       or substring(option[77].hex, 1, 4) == 'iPXE'"
            .into(),
        Kind::Http(number @ (16 | 19)) => arch(number),
        Kind::Http(number) => format!("{} and {}", vendor("HTTPClient"), arch(number)),
        Kind::HttpOther => vendor("HTTPClient"),
        Kind::Pxe(number) => format!("not ({}) and {}", vendor("HTTPClient"), arch(number)),
        Kind::Old => format!("{} and not option[93].exists", vendor("PXEClient")),
    }
}

fn subnet(export: &Export<'_>, id: usize, subnet: &Subnet) -> Value {
    let join = |list: &[Ipv4Addr]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let values = [
        ("routers", subnet.gateway.map(|ip| ip.to_string())),
        ("domain-name-servers", Some(join(&subnet.dns)).filter(|text| !text.is_empty())),
        ("domain-name", subnet.domain.clone()),
        ("ntp-servers", Some(join(&subnet.ntp)).filter(|text| !text.is_empty())),
    ];
    let options = values.iter().filter_map(|(name, value)| Some(json!({ "name": name, "data": value.as_ref()? })));
    let reservations = export.reservations.iter().filter(|it| it.fits(subnet)).map(|it| {
        let mut entry = json!({ "hw-address": it.mac.to_string(), "user-context": { "comment": it.about } });
        it.ip.iter().for_each(|ip| entry["ip-address"] = json!(ip));
        it.name.iter().for_each(|name| entry["hostname"] = json!(name));
        entry
    });
    let seconds = subnet.lease_time.as_secs();
    json!({
        "id": id,
        "subnet": subnet.net.to_string(),
        "pools": [{ "pool": format!("{} - {}", subnet.first, subnet.last) }],
        "valid-lifetime": seconds,
        "renew-timer": seconds / 2,
        "rebind-timer": seconds - seconds / 8,
        "option-data": options.collect::<Vec<_>>(),
        "reservations": reservations.collect::<Vec<_>>(),
    })
}
