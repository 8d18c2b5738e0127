//! One machine of a `bootstrap.yml`.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::bmc::{self, Bmc};
use super::disk;
use super::file::KEYS;
use super::file::bootstrap::{Filesystem, Wipe};
use super::read::{Fields, Reader};
use crate::model::{DiskChoice, Lifecycle, LocalBoot, Mac, Protocol};
use crate::yaml::{Key, Node, Place};

/// What the cluster says about all of its hosts.
pub struct Defaults<'a> {
    pub cluster: &'a str,
    pub domain: &'a str,
    pub generation: u32,
    /// Whether a host must name a disk (what its installer says).
    pub needs_disk: bool,
    /// Whether host names must hold a number (PVC's roles make host ids of them).
    pub numbered: bool,
    pub release: &'a str,
    pub mirror: &'a str,
}

/// A machine as read: possibly wrong, so that mistakes across hosts can still be found.
pub struct Draft {
    pub key: Option<Mac>,
    pub place: Place,
    pub hostname: Option<(String, Place)>,
    /// Wanted generation and where it comes from.
    pub generation: (u32, Place),
    pub state: Lifecycle,
    pub config: Config,
    pub bmc: Bmc,
    /// Secrets that cannot be read.
    pub blocked: Vec<String>,
    pub sound: bool,
}

/// `config:` as read.
#[derive(Default)]
pub struct Config {
    pub kernel_options: Vec<String>,
    pub packages: Vec<String>,
    /// Filesystem of the system volumes, or the empty text.
    pub filesystem: &'static str,
    pub release: String,
    pub mirror: String,
    /// The disks, as written; or made from `disk_hints`.
    pub disks: Vec<String>,
    /// The chassis slots among them.
    pub choice: DiskChoice,
    /// Where `wipe: volumes` is: RAID volumes on the slots may be deleted.
    pub wipe_volumes: Option<Place>,
    /// `boot_mac` and where it is.
    pub boot_mac: Option<(Mac, Place)>,
    pub address: Option<(Ipv4Addr, Place)>,
    /// How it is told to boot its own disk.
    pub local_boot: LocalBoot,
}

/// Reads a MAC address that can belong to a machine.
pub fn mac(reader: &mut Reader<'_>, text: &str, place: Place, what: &str) -> Option<Mac> {
    let hint = "twelve hex digits, as 52:54:00:12:34:56, 52-54-00-12-34-56, 5254.0012.3456 or 525400123456";
    match text.parse::<Mac>() {
        Err(_) => reader.error(place, "bad-mac", format!("{what} `{text}` is not a MAC address"), hint),
        Ok(mac) if mac.is_zero() => {
            let hint = "firmware reports zeros for \"no address\"; look at the machine's label";
            reader.error(place, "zero-mac", format!("{what} is all zeros"), hint);
        }
        Ok(mac) if mac.is_multicast() => {
            let hint = "the second hex digit of a machine's address is even; look for a typing mistake there";
            reader.error(place, "multicast-mac", format!("{what} `{mac}` is a group address"), hint);
        }
        Ok(mac) => return Some(mac),
    }
    None
}

/// Reads `node:` as far as the name, which the host's own variables depend on.
pub fn hostname(
    reader: &mut Reader<'_>,
    node: &Node,
    place: Place,
    defaults: &Defaults<'_>,
) -> Option<(String, Place)> {
    let host = reader.fields(node, place, "", &KEYS.host)?;
    let value = reader.need(&host, "node", "say who it is: `node: { hostname: hv1 }`")?;
    let fields = reader.fields(value, host.place_of("node"), "node", &KEYS.node)?;
    let value = reader.need(&fields, "hostname", "the short host name, as in the inventory")?;
    let before = reader.errors();
    let Some(name) = reader.line(value, "node.hostname") else {
        if reader.errors() == before {
            reader.error(value.place, "sealed-name", "a host name cannot be encrypted", "write it in clear");
        }
        return None;
    };
    check_hostname(reader, &name, value.place, defaults).then_some((name, value.place))
}

fn check_hostname(reader: &mut Reader<'_>, name: &str, place: Place, defaults: &Defaults<'_>) -> bool {
    let problem = if name.contains('.') {
        Some(format!("write only the first part; the domain `{}` is added", defaults.domain))
    } else if !is_label(name) {
        Some("letters, digits and inner hyphens only, at most 63 (RFC 1123)".to_string())
    } else if defaults.numbered && !name.bytes().any(|byte| byte.is_ascii_digit()) {
        Some("PVC's roles take the node's number from its name, as in hv1".to_string())
    } else {
        None
    };
    if let Some(hint) = &problem {
        reader.error(place, "bad-hostname", format!("`{name}` cannot be a host name here"), hint);
    }
    problem.is_none()
}

/// Whether a text is one label of a host name (RFC 1123 section 2.1).
pub fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Reads one machine. Its name has been read before; `reader` has the host's own variables.
pub fn read(
    reader: &mut Reader<'_>,
    key: &Key,
    node: &Node,
    hostname: Option<(String, Place)>,
    defaults: &Defaults<'_>,
) -> Draft {
    let before = reader.errors();
    let mac = mac(reader, &key.text, key.place, "the BMC's MAC");
    let mut draft = Draft {
        key: mac,
        place: key.place,
        hostname,
        generation: (defaults.generation, key.place),
        state: Lifecycle::Present,
        config: Config::default(),
        bmc: Bmc::default(),
        blocked: Vec::new(),
        sound: false,
    };
    // Unknown keys were reported with the name; what is reported twice is dropped in the end.
    if let Some(host) = reader.open_fields(node, key.place, "") {
        node_rest(reader, &host, &mut draft);
        config(reader, &host, &mut draft, defaults);
        draft.bmc = bmc::read(reader, &host, &draft.config);
        disk::check_wipe(reader, &draft);
    }
    draft.blocked.append(&mut reader.sealed);
    draft.sound = reader.errors() == before && draft.hostname.is_some();
    draft
}

fn node_rest(reader: &mut Reader<'_>, host: &Fields<'_>, draft: &mut Draft) {
    let Some(value) = host.get("node") else { return };
    let Some(fields) = reader.open_fields(value, host.place_of("node"), "node") else { return };
    if let Some(node) = fields.get("generation")
        && let Some(number) = reader.number(node, "node.generation", 1, u32::MAX.into())
    {
        draft.generation = (number as u32, node.place);
    }
    draft.state = reader.chosen(&fields, "state", &Lifecycle::WORDS).unwrap_or(Lifecycle::Present);
}

fn config(reader: &mut Reader<'_>, host: &Fields<'_>, draft: &mut Draft, defaults: &Defaults<'_>) {
    draft.config.release = defaults.release.to_string();
    draft.config.mirror = defaults.mirror.to_string();
    let Some(value) = host.get("config") else {
        if defaults.needs_disk {
            let hint = "name the disk to install to: `config: { system_disks: [\"/dev/sda\"] }`";
            reader.need(host, "config", hint);
        }
        return;
    };
    let Some(fields) = reader.fields(value, host.place_of("config"), "config", &KEYS.config) else { return };
    let config = &mut draft.config;
    if let Some(node) = fields.get("kernel_options") {
        config.kernel_options =
            words(reader, node, "config.kernel_options", |text| !text.is_empty(), "write one option per item");
    }
    if let Some(node) = fields.get("packages") {
        let hint = "a Debian package name: lower-case letters, digits, `+`, `-`, `.`";
        config.packages = words(reader, node, "config.packages", is_package, hint);
    }
    config.filesystem = reader.chosen(&fields, "filesystem", &Filesystem::WORDS).map_or("", Filesystem::as_str);
    if let Some(node) = fields.get("release")
        && let Some(text) = checked(reader, node, "config.release", is_word, "a release name such as bookworm")
    {
        config.release = text;
    }
    if let Some(node) = fields.get("mirror")
        && let Some(text) =
            checked(reader, node, "config.mirror", is_mirror, "a full URL, as http://mirror.example.net/debian")
    {
        config.mirror = text;
    }
    if let Some(node) = fields.get("boot_mac")
        && let Some(text) = reader.text(node, "config.boot_mac")
    {
        config.boot_mac = mac(reader, &text, node.place, "`config.boot_mac`").map(|mac| (mac, node.place));
    }
    config.address = fields.get("address").and_then(|node| parsed(reader, node, "config.address", "an IPv4 address"));
    config.local_boot = reader.chosen(&fields, "local_boot", &LocalBoot::WORDS).unwrap_or_default();
    if let Some(node) = fields.get("wipe") {
        let wipe = reader.choice(node, "config.wipe", &Wipe::WORDS);
        config.wipe_volumes = (wipe == Some(Wipe::Volumes)).then_some(node.place);
    }
    disk::disks(reader, &fields, draft, defaults);
}

fn checked(reader: &mut Reader<'_>, node: &Node, what: &str, fits: fn(&str) -> bool, hint: &str) -> Option<String> {
    let text = reader.line(node, what)?;
    if !fits(&text) {
        reader.error(node.place, "bad-value", format!("`{text}` cannot be the value of `{what}`"), hint);
        return None;
    }
    Some(text)
}

fn words(reader: &mut Reader<'_>, node: &Node, what: &str, fits: fn(&str) -> bool, hint: &str) -> Vec<String> {
    let lines = reader.lines(node, what).unwrap_or_default();
    for (text, place) in lines.iter().filter(|(text, _)| !fits(text)) {
        reader.error(*place, "bad-value", format!("`{text}` cannot be an item of `{what}`"), hint);
    }
    lines.into_iter().map(|(text, _)| text).collect()
}

/// Reads a value that parses, and where it is.
pub fn parsed<T: std::str::FromStr>(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
    wanted: &str,
) -> Option<(T, Place)> {
    let text = reader.line(node, what)?;
    match text.parse() {
        Ok(value) => Some((value, node.place)),
        Err(_) => {
            reader.error(
                node.place,
                "bad-address",
                format!("`{what}` must be {wanted}, not `{text}`"),
                "as 192.0.2.10",
            );
            None
        }
    }
}

fn is_package(text: &str) -> bool {
    let body = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    text.len() >= 2 && text.bytes().all(body) && text.as_bytes()[0].is_ascii_alphanumeric()
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn is_mirror(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'`$\\".contains(&byte))
    })
}

/// The MAC a machine network-boots from, as far as the repository knows.
pub fn boot_mac(draft: &Draft) -> Option<Mac> {
    let written = draft.config.boot_mac.map(|(mac, _)| mac);
    written.or(if draft.bmc.protocol == Protocol::None { draft.key } else { None })
}

/// The digest parts of what decides what gets installed on this machine.
pub fn spec_parts(draft: &Draft) -> Vec<Arc<str>> {
    let config = &draft.config;
    let mut parts: Vec<Arc<str>> = Vec::new();
    let lists = [&config.kernel_options, &config.packages, &config.disks];
    for (name, list) in ["kernel_options", "packages", "disks"].into_iter().zip(lists) {
        parts.push(name.into());
        parts.push(list.len().to_string().into());
        parts.extend(list.iter().map(|item| Arc::from(item.as_str())));
    }
    parts.extend([config.filesystem, &config.release, &config.mirror].map(Arc::from));
    parts
}
