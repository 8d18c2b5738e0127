//! `rackwright render --dhcp`: the reservations and boot options of the repository as another DHCP server's
//! configuration, for sites where `network.dhcp.mode` is `off`.
//!
//! Which file each firmware gets is asked of [`boot::dhcp`], so that the export cannot differ from what our own server
//! would say. All of it is pure.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::bail;
use clap::ValueEnum;

use crate::model::{Desired, LocalBoot, Mac, Subnet, World};
use crate::plan::boot::{self, Firmware};
use crate::settings::Settings;

mod dnsmasq;
mod isc;
mod kea;
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// dnsmasq 2.76 or newer
    Dnsmasq,
    /// Kea's kea-dhcp4, 2.0 or newer
    Kea,
    /// ISC dhcpd 4.4
    Isc,
}

/// iPXE puts the address of the interface it booted from here; no server needs to.
const CLIENT_MAC: &str = "${netX/mac}";

struct Export<'a> {
    settings: &'a Settings,
    subnets: &'a [Subnet],
    reservations: Vec<Reservation<'a>>,
    boots: Vec<Boot>,
    /// Hosts that cannot be told by DHCP to boot their disk.
    silent: Vec<String>,
}

struct Reservation<'a> {
    mac: Mac,
    ip: Option<Ipv4Addr>,
    /// Only a machine has one; a BMC keeps the name it has.
    name: Option<&'a str>,
    /// For people.
    about: String,
}

impl Reservation<'_> {
    /// Whether it may stand in this subnet.
    fn fits(&self, subnet: &Subnet) -> bool {
        self.ip.is_none_or(|ip| subnet.net.contains(&ip))
    }
}

/// One kind of firmware, and the file it is given.
struct Boot {
    kind: Kind,
    file: String,
}

/// A kind of firmware, as servers tell them apart. In the order in which they are asked: the first that fits counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Option 175, or user class `iPXE`.
    Ipxe,
    /// Vendor class `HTTPClient` with the architecture, or an architecture that says so itself.
    Http(u16),
    /// Vendor class `HTTPClient` with any other architecture, or none.
    HttpOther,
    /// The architecture, without vendor class `HTTPClient`.
    Pxe(u16),
    /// Vendor class `PXEClient` without one: an old BIOS ROM.
    Old,
}

/// Every kind that [`boot::dhcp`] knows (RFC 4578, and IANA's registry of its types).
const KINDS: [Kind; 11] = [
    Kind::Ipxe,
    Kind::Http(16),
    Kind::Http(19),
    Kind::Http(11),
    Kind::HttpOther,
    Kind::Pxe(0),
    Kind::Pxe(6),
    Kind::Pxe(7),
    Kind::Pxe(9),
    Kind::Pxe(11),
    Kind::Old,
];

impl Kind {
    /// A word for tags and classes.
    fn word(self) -> String {
        match self {
            Kind::Ipxe => "ipxe".into(),
            Kind::Http(arch) => format!("http{arch}"),
            Kind::HttpOther => "http".into(),
            Kind::Pxe(arch) => format!("pxe{arch}"),
            Kind::Old => "pxeold".into(),
        }
    }

    fn firmware(self) -> Firmware {
        match self {
            Kind::Ipxe => Firmware { ipxe: true, ..Firmware::default() },
            Kind::Http(arch) => Firmware { arch: Some(arch), http: true, ..Firmware::default() },
            Kind::HttpOther => Firmware { http: true, ..Firmware::default() },
            Kind::Pxe(arch) => Firmware { arch: Some(arch), pxe: true, ..Firmware::default() },
            Kind::Old => Firmware { pxe: true, ..Firmware::default() },
        }
    }

    /// The vendor class that firmware wants back.
    fn echo(self) -> Option<&'static str> {
        match self {
            Kind::Ipxe => None,
            Kind::Http(_) | Kind::HttpOther => Some("HTTPClient"),
            Kind::Pxe(_) | Kind::Old => Some("PXEClient"),
        }
    }
}

/// The configuration.
pub fn export(server: Server, settings: &Settings, desired: &Desired) -> anyhow::Result<String> {
    let subnets = settings.network.subnets.as_slice();
    if subnets.is_empty() {
        bail!("network.dhcp.subnets names no subnet; it may (and here must) also do so with network.dhcp.mode: off");
    }
    let silent = desired.hosts.values().filter(|host| host.local_boot == LocalBoot::Firmware);
    let export = Export {
        settings,
        subnets,
        reservations: reservations(desired),
        boots: boots(settings),
        silent: silent.map(|host| host.id.to_string()).collect(),
    };
    Ok(match server {
        Server::Dnsmasq => dnsmasq::write(&export),
        Server::Kea => kea::write(&export),
        Server::Isc => isc::write(&export),
    })
}

fn reservations(desired: &Desired) -> Vec<Reservation<'_>> {
    let mut list = Vec::new();
    for host in desired.hosts.values() {
        if let Some(mac) = host.boot_mac {
            let (ip, name) = (host.address, Some(&*host.id.host));
            list.push(Reservation { mac, ip, name, about: host.id.to_string() });
        }
        if let Some(std::net::IpAddr::V4(ip)) = host.bmc.address.filter(|_| host.has_bmc()) {
            let about = format!("{}, BMC", host.id);
            list.push(Reservation { mac: host.bmc_mac, ip: Some(ip), name: None, about });
        }
    }
    list
}

/// What our own server would give an unknown machine of each kind: the same as a known one, for the boot script decides.
fn boots(settings: &Settings) -> Vec<Boot> {
    let stranger = Mac([2, 0, 0, 0, 0, 0]);
    let world = World::new(Arc::new(settings.policy()));
    let boot = |kind: Kind| {
        let file = boot::dhcp(&world, stranger, kind.firmware())?.file;
        Some(Boot { kind, file: file.replace(&stranger.to_string(), CLIENT_MAC) })
    };
    KINDS.into_iter().filter_map(boot).collect()
}

/// How to use it, in lines without comment marks.
fn preface(export: &Export<'_>, program: &str, usage: &[&str]) -> Vec<String> {
    let network = &export.settings.network;
    let mut lines = vec![
        format!(
            "Made by `rackwright render --dhcp {program}` from the repository and the settings; do not edit, make it again."
        ),
        "It gives every machine what rackwright's own DHCP server would give it.".to_owned(),
    ];
    lines.extend(usage.iter().map(|line| (*line).to_owned()));
    lines.extend([
        "rackwright itself runs with network.dhcp.mode: off, and serves TFTP and HTTP. It must learn the addresses that".into(),
        format!(
            "are not fixed here: let the server post its leases to http://{}:{}/checkin/dnsmasq, as PVC's dnsmasq does.",
            network.address, network.http_port
        ),
    ]);
    if !export.silent.is_empty() {
        lines.push(
            "With another DHCP server these hosts are not left without a boot file when they are finished, although"
                .into(),
        );
        lines.push(format!("their local_boot is `firmware`: {}.", export.silent.join(", ")));
    }
    lines
}

/// A name that servers can read unquoted; anything else is left out of the text.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "-._/ ,".contains(*c)).collect()
}
