//! A machine's BMC: `bmc:` of its entry.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::file::KEYS;
use super::file::bootstrap::Protocol as Written;
use super::host::{Config, parsed};
use super::read::{Fields, Reader};
use crate::model::{BootMode, NetworkBoot, Protocol, Secret};
use crate::yaml::{Key, Node, Place};

/// `bmc:` as read.
pub struct Bmc {
    pub protocol: Protocol,
    pub address: Option<(IpAddr, Place)>,
    pub username: String,
    /// Password; none where it cannot be read.
    pub password: Option<Secret>,
    /// The certificate it must show: SHA-256 in lower-case hex.
    pub fingerprint: Option<String>,
    pub network_boot: NetworkBoot,
    pub boot_mode: BootMode,
    pub bios: BTreeMap<String, Secret>,
    pub manager: BTreeMap<String, Secret>,
}

impl Default for Bmc {
    fn default() -> Self {
        Bmc {
            protocol: Protocol::None,
            address: None,
            username: String::new(),
            password: None,
            fingerprint: None,
            network_boot: NetworkBoot::default(),
            boot_mode: BootMode::default(),
            bios: BTreeMap::new(),
            manager: BTreeMap::new(),
        }
    }
}

/// The most attributes a machine may name in one map, and the longest name and value.
const MAX_SETTINGS: usize = 500;
const MAX_NAME: usize = 200;
const MAX_VALUE: usize = 2000;

/// Reads `bmc:`.
pub fn read(reader: &mut Reader<'_>, host: &Fields<'_>, config: &Config) -> Bmc {
    let mut bmc = Bmc::default();
    let hint = "how its BMC is reached: `bmc: { username: …, password: … }`, or `bmc: { protocol: none }`";
    let Some(value) = reader.need(host, "bmc", hint) else { return bmc };
    let Some(fields) = reader.fields(value, host.place_of("bmc"), "bmc", &KEYS.bmc) else { return bmc };
    bmc.protocol = protocol(reader, &fields, config).unwrap_or(Protocol::Auto);
    bmc.address = fields.get("address").and_then(|node| parsed(reader, node, "bmc.address", "an IP address"));
    let hint = "the account that the BMC has out of the box";
    let username = match bmc.protocol {
        Protocol::None => fields.get("username"),
        _ => reader.need(&fields, "username", hint),
    };
    bmc.username = username.and_then(|node| reader.line(node, "bmc.username")).unwrap_or_default();
    bmc.password = password(reader, &fields, bmc.protocol == Protocol::None);
    bmc.fingerprint = fields.get("fingerprint").and_then(|node| fingerprint(reader, node));
    bmc.network_boot = reader.chosen(&fields, "network_boot", &NetworkBoot::WORDS).unwrap_or_default();
    bmc.boot_mode = reader.chosen(&fields, "boot_mode", &BootMode::WORDS).unwrap_or_default();
    if let (NetworkBoot::Http, BootMode::Legacy) = (bmc.network_boot, bmc.boot_mode) {
        let message = "`bmc.network_boot: http` is a boot of UEFI firmware, and `bmc.boot_mode` is `legacy`";
        reader.error(fields.place_of("network_boot"), "bad-value", message, "use `uefi`, or `pxe`");
    }
    if bmc.protocol == Protocol::Ipmi {
        only_redfish(reader, &fields, config, bmc.network_boot);
    }
    bmc.bios = settings(reader, &fields, "bios_settings", bmc.protocol);
    bmc.manager = settings(reader, &fields, "manager_settings", bmc.protocol);
    bmc
}

/// The password: written (in clear or encrypted), or where it is found on the bootstrap host.
fn password(reader: &mut Reader<'_>, fields: &Fields<'_>, optional: bool) -> Option<Secret> {
    let keys = ["password", "password_file", "password_env"].map(|key| (key, fields.get(key)));
    let written: Vec<_> = keys.into_iter().filter_map(|(key, node)| Some((key, node?))).collect();
    match written[..] {
        [("password", node)] => reader.secret_line(node, "bmc.password"),
        [("password_file", node)] => reader.secret_file(node, "bmc.password_file"),
        [(_, node)] => reader.secret_variable(node, "bmc.password_env"),
        [] => {
            if !optional {
                let hint = "the account that the BMC has out of the box; `password_file` or `password_env` do as well";
                reader.need(fields, "password", hint);
            }
            None
        }
        [_, (key, _), ..] => {
            let message = "of `bmc.password`, `password_file` and `password_env` only one can be given";
            reader.error(fields.place_of(key), "conflicting-keys", message, "remove the others");
            None
        }
    }
}

/// What IPMI cannot do: it knows none of the machine's NICs, and one kind of network boot.
fn only_redfish(reader: &mut Reader<'_>, fields: &Fields<'_>, config: &Config, network_boot: NetworkBoot) {
    if config.boot_mac.is_none() {
        let message = "IPMI does not tell the MAC that the machine boots from, and `config.boot_mac` is missing";
        let hint = "write `config.boot_mac`: the MAC of the NIC that boots from the network";
        reader.error(fields.place_of("protocol"), "missing-boot-mac", message, hint);
    }
    if network_boot == NetworkBoot::Http {
        let message = "`bmc.network_boot: http` cannot be ordered over IPMI";
        reader.error(fields.place_of("network_boot"), "bad-value", message, "use `pxe`, or `bmc.protocol: redfish`");
    }
}

fn protocol(reader: &mut Reader<'_>, fields: &Fields<'_>, config: &Config) -> Option<Protocol> {
    let redfish = fields.get("redfish").and_then(|node| reader.boolean(node, "bmc.redfish"));
    if let Some(node) = fields.get("protocol") {
        return reader.choice(node, "bmc.protocol", &Written::WORDS).map(|written| match written {
            Written::Redfish => Protocol::Redfish,
            Written::Ipmi => Protocol::Ipmi,
            Written::None => Protocol::None,
        });
    }
    if redfish == Some(false) && config.boot_mac.is_none() {
        let message = "without `config.boot_mac` this entry's key is taken as the MAC that the machine boots from";
        let hint = "write `config.boot_mac`, or `bmc.protocol: none` when the key is the boot MAC";
        reader.warning(fields.place_of("redfish"), "boot-mac-from-key", message, hint);
    }
    Some(if redfish? { Protocol::Redfish } else { Protocol::None })
}

/// A certificate's fingerprint, as `openssl x509 -fingerprint -sha256` prints it or without the colons.
fn fingerprint(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.resolve(node, "bmc.fingerprint")?.scalar().map(|(text, _)| text.to_owned()).unwrap_or_default();
    let pairs: Vec<&str> = text.split(':').collect();
    let even = pairs.len() == 1 || pairs.iter().all(|pair| pair.len() == 2);
    let hex = pairs.concat().to_ascii_lowercase();
    if even && hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(hex);
    }
    let hint = "the SHA-256 of its certificate, 64 hex digits: `openssl s_client -connect ADDRESS:443 </dev/null | \
                openssl x509 -noout -fingerprint -sha256` prints it";
    reader.error(node.place, "bad-fingerprint", "`bmc.fingerprint` is not a SHA-256 fingerprint", hint);
    None
}

/// Attributes by name, with values as they are written: `on` stays `on`, for only the BMC knows whether a boolean or a
/// word is meant.
fn settings(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    key: &'static str,
    protocol: Protocol,
) -> BTreeMap<String, Secret> {
    let mut read = BTreeMap::new();
    let Some(node) = fields.get(key) else { return read };
    let Some(settings) = reader.open_fields(node, fields.place_of(key), &fields.name(key)) else { return read };
    for (name, value) in settings.entries() {
        if let Some(text) = setting(reader, key, name, value) {
            read.insert(name.text.to_string(), Secret::new(text));
        }
    }
    let place = fields.place_of(key);
    if settings.entries().len() > MAX_SETTINGS {
        let message = format!("`bmc.{key}` has more than {MAX_SETTINGS} entries");
        reader.error(place, "out-of-range", message, "name only what differs from the machine's defaults");
    } else if !settings.entries().is_empty() && matches!(protocol, Protocol::None | Protocol::Ipmi) {
        let message = format!("`bmc.{key}` has no effect: settings can be changed over Redfish only");
        reader.warning(place, "without-effect", message, "remove it, or use `bmc.protocol: redfish`");
    }
    read
}

fn setting(reader: &mut Reader<'_>, key: &str, name: &Key, value: &Node) -> Option<String> {
    let what = format!("bmc.{key}.{}", name.text);
    if name.text.is_empty() || name.text.len() > MAX_NAME || name.text.chars().any(char::is_control) {
        let message = format!("`bmc.{key}` names an attribute that cannot be one");
        reader.error(name.place, "bad-value", message, "write its name as the BMC shows it");
        return None;
    }
    let value = reader.resolve_secret(value, &what)?;
    match value.scalar() {
        Some((text, _)) if !value.is_null() && text.len() <= MAX_VALUE => Some(text.to_owned()),
        _ => {
            let message = format!("`{what}` must be one value, not {}", value.kind());
            reader.error(value.place, "wrong-type", message, "attributes have text, numbers or yes/no as values");
            None
        }
    }
}
