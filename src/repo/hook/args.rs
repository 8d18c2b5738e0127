//! Arguments of the hook types that are checked but not carried out by this version.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::repo::disk::check_disk;
use crate::repo::read::{Fields, Reader};
use crate::repo::yaml::{Node, Place, Plain};

/// Checks the arguments of a hook of this type.
pub fn check(reader: &mut Reader<'_>, kind: &str, args: &Fields<'_>) {
    match kind {
        "osddb" => disk(reader, args),
        "osd" => {
            disk(reader, args);
            each(reader, args, "weight", |r, n, w| r.float(n, w, 0.0, 1e6).map(drop));
            each(reader, args, "osd_count", |r, n, w| r.number(n, w, 1, 64).map(drop));
            each(reader, args, "ext_db", |r, n, w| r.boolean(n, w).map(drop));
            each(reader, args, "ext_db_ratio", |r, n, w| r.float(n, w, 0.0, 1.0).map(drop));
        }
        "pool" => {
            need_line(reader, args, "name", "the pool's name");
            each(reader, args, "pgs", |r, n, w| r.number(n, w, 1, 1 << 20).map(drop));
            let tiers = ["default", "hdd", "ssd", "nvme"].map(|tier| (tier, ()));
            each(reader, args, "tier", |r, n, w| r.choice(n, w, &tiers));
            each(reader, args, "replcfg", replication);
        }
        "network" => network(reader, args),
        "copy" => copy(reader, args),
        "script" => script(reader, args),
        _ => {}
    }
}

fn each(
    reader: &mut Reader<'_>,
    args: &Fields<'_>,
    key: &str,
    check: impl Fn(&mut Reader<'_>, &Node, &str) -> Option<()>,
) {
    if let Some(node) = args.get(key) {
        check(reader, node, &args.name(key));
    }
}

fn need_line(reader: &mut Reader<'_>, args: &Fields<'_>, key: &str, hint: &str) -> Option<(String, Place)> {
    let node = reader.need(args, key, hint)?;
    Some((reader.line(node, &args.name(key))?, node.place))
}

fn disk(reader: &mut Reader<'_>, args: &Fields<'_>) {
    let Some((text, place)) = need_line(reader, args, "disk", "a path, or detect:NAME:SIZE:INDEX") else { return };
    let slot = text.bytes().all(|byte| byte.is_ascii_digit());
    let outcome = if slot { Err("a path, or detect:NAME:SIZE:INDEX") } else { check_disk(&text) };
    if let Err(hint) = outcome {
        reader.error(place, "bad-disk", format!("`{text}` does not name a disk"), hint);
    }
}

fn replication(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<()> {
    let text = reader.line(node, what)?;
    let number = |part: Option<&str>, key: &str| {
        part.and_then(|part| part.strip_prefix(key)).and_then(|digits| digits.parse::<u8>().ok())
    };
    let mut parts = text.split(',');
    let (copies, least) = (number(parts.next(), "copies="), number(parts.next(), "mincopies="));
    if copies.zip(least).is_none_or(|(copies, least)| least > copies || least == 0) || parts.next().is_some() {
        reader.error(node.place, "bad-value", format!("`{text}` is not a replication"), "as copies=3,mincopies=2");
    }
    Some(())
}

fn network(reader: &mut Reader<'_>, args: &Fields<'_>) {
    if let Some(node) = reader.need(args, "vni", "the VLAN or VXLAN number") {
        reader.number(node, &args.name("vni"), 1, 16_777_215);
    }
    if let Some((text, place)) = need_line(reader, args, "description", "one word")
        && (text.is_empty() || text.contains(char::is_whitespace))
    {
        let message = format!("`{}` must be one word", args.name("description"));
        reader.error(place, "bad-value", message, "PVC takes no spaces there; use hyphens");
    }
    let kinds = [("bridged", false), ("managed", true)];
    let managed = reader.need(args, "type", "bridged or managed");
    let managed = managed.and_then(|node| reader.choice(node, &args.name("type"), &kinds));
    each(reader, args, "mtu", |r, node, what| match node.scalar() {
        Some(("auto" | "default", _)) => Some(()),
        _ => r.number(node, what, 576, 65_535).map(drop),
    });
    if managed == Some(true) {
        need_line(reader, args, "domain", "the network's DNS domain");
        each(reader, args, "dns_servers", |r, node, what| {
            for (text, place) in r.lines(node, what)? {
                if text.parse::<std::net::IpAddr>().is_err() {
                    r.error(place, "bad-address", format!("`{text}` is not an IP address"), "as 192.0.2.53");
                }
            }
            Some(())
        });
    }
    let mut on = |key: &str| args.get(key).and_then(|node| reader.boolean(node, &args.name(key))).unwrap_or(false);
    let (ip4, dhcp, ip6) = (on("ip4"), on("ip4_dhcp"), on("ip6"));
    if ip4 {
        address::<Ipv4Net>(reader, args, "ip4_network");
        address::<Ipv4Addr>(reader, args, "ip4_gateway");
    }
    if ip4 && dhcp {
        address::<Ipv4Addr>(reader, args, "ip4_dhcp_start");
        address::<Ipv4Addr>(reader, args, "ip4_dhcp_end");
    }
    if ip6 {
        address::<Ipv6Net>(reader, args, "ip6_network");
        address::<Ipv6Addr>(reader, args, "ip6_gateway");
    }
}

fn address<T: std::str::FromStr>(reader: &mut Reader<'_>, args: &Fields<'_>, key: &str) {
    let Some((text, place)) = need_line(reader, args, key, "needed with the keys beside it") else { return };
    if text.parse::<T>().is_err() {
        let hint = "networks as 192.0.2.0/24 or 2001:db8::/64, addresses as 192.0.2.1 or 2001:db8::1";
        reader.error(place, "bad-address", format!("`{}` cannot be `{text}`", args.name(key)), hint);
    }
}

fn copy(reader: &mut Reader<'_>, args: &Fields<'_>) {
    let hint = "`source`, `destination` and `mode` are lists of the same length";
    let mut lengths = Vec::new();
    for key in ["source", "destination", "mode"] {
        let Some(node) = reader.need(args, key, hint) else { continue };
        let Some(items) = reader.items(node, &args.name(key)) else { continue };
        lengths.push(items.len());
        for item in &items {
            match key {
                "mode" => drop(mode(reader, item, &args.name(key))),
                _ => drop(reader.line(item, &args.name(key))),
            }
        }
    }
    if lengths.iter().any(|length| *length != lengths[0]) {
        let message =
            format!("the lists in `{}` have different lengths", args.name("source").trim_end_matches(".source"));
        reader.error(args.place, "uneven-lists", message, hint);
    }
}

/// Permission bits, octal: `"0600"`, `0o600`, `"0o600"`, `"600"`.
pub fn mode(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<u32> {
    let node = reader.resolve(node, what)?.into_owned();
    let hint = "write \"0600\" in quotes, or 0o600: without quotes YAML reads 600 as decimal and 0600 as 384";
    let (text, plain) = node.scalar().unwrap_or(("", false));
    let digits = match text.strip_prefix("0o") {
        Some(digits) => Some(digits),
        None if plain => {
            let number = matches!(node.meaning(), Some(Plain::Int(_) | Plain::Odd));
            let message = format!("`{what}` {} is ambiguous", if number { text } else { "" });
            reader.error(node.place, "ambiguous-mode", message.replace("  ", " "), hint);
            return None;
        }
        None => Some(text),
    };
    let value = digits.filter(|digits| digits.len() <= 5 && !digits.is_empty());
    let value = value.and_then(|digits| u32::from_str_radix(digits, 8).ok()).filter(|bits| *bits <= 0o7777);
    if value.is_none() {
        reader.error(node.place, "bad-mode", format!("`{what}` must be octal permission bits"), hint);
    }
    value
}

fn script(reader: &mut Reader<'_>, args: &Fields<'_>) {
    each(reader, args, "use_sudo", |r, n, w| r.boolean(n, w).map(drop));
    each(reader, args, "arguments", |r, n, w| r.lines(n, w).map(drop));
    let hint = "either `script` with the text, or `source: local|remote` with `path`";
    match (args.get("script"), args.get("source")) {
        (Some(_), Some(source)) => {
            reader.error(source.place, "two-scripts", "both `script` and `source` say what to run", hint);
        }
        (None, None) => {
            reader.need(args, "script", hint);
        }
        (Some(node), None) => {
            // Taken as it is, as PVC does: braces belong to the script's own language here (`{{.Names}}`).
            let literal =
                node.scalar().filter(|(_, plain)| !plain && !node.is_sealed()).map(|(text, _)| text.to_string());
            if let Some(text) = literal.or_else(|| reader.text(node, &args.name("script")))
                && !text.starts_with("#!")
            {
                let message = format!("`{}` does not begin with `#!`", args.name("script"));
                reader.error(node.place, "bad-script", message, "its first line names the interpreter: #!/bin/sh");
            }
        }
        (None, Some(node)) => {
            reader.choice(node, &args.name("source"), &[("local", ()), ("remote", ())]);
            need_line(reader, args, "path", "the script's path");
        }
    }
}
