//! dnsmasq: tags say what a client is, and `dhcp-boot` lines ask for tags that exclude each other, because dnsmasq takes
//! any line that fits.

use std::fmt::Write as _;

use super::{Export, Kind, plain, preface};
use crate::model::Subnet;

/// The whole file. Writing into a String cannot fail.
pub fn write(export: &Export<'_>) -> String {
    let usage = [
        "Use: put it into /etc/dnsmasq.d/ (or name it with --conf-file) and restart dnsmasq. It serves no DNS and no TFTP",
        "by itself; `port=0` is not in it, in case this dnsmasq is also a resolver.",
    ];
    let mut text: String = preface(export, "dnsmasq", &usage).iter().map(|line| format!("# {line}\n")).collect();
    text.push_str("\ndhcp-authoritative\n");
    for (number, subnet) in export.subnets.iter().enumerate() {
        range(&mut text, number, subnet);
    }
    text.push_str("\n# Reservations.\n");
    for it in &export.reservations {
        let parts = [Some(it.mac.to_string()), it.ip.map(|ip| ip.to_string()), it.name.map(plain)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let _ = writeln!(text, "# {}\ndhcp-host={}", plain(&it.about), parts.join(","));
    }
    text.push_str(
        "\n# What a client is. iPXE shows itself by option 175 or its user class.\n\
         dhcp-match=set:ipxe,175\ndhcp-userclass=set:ipxe,iPXE\n\
         dhcp-vendorclass=set:pxe,PXEClient\ndhcp-vendorclass=set:http,HTTPClient\ndhcp-match=set:arch,option:client-arch\n",
    );
    let mut architectures: Vec<u16> = export.boots.iter().filter_map(|boot| arch(boot.kind)).collect();
    architectures.sort_unstable();
    architectures.dedup();
    for arch in architectures {
        let _ = writeln!(text, "dhcp-match=set:arch{arch},option:client-arch,{arch}");
    }
    text.push_str("\n# What it is given.\n");
    for boot in &export.boots {
        let _ = writeln!(text, "dhcp-boot={},{},,{}", tags(boot.kind), boot.file, export.settings.network.address);
    }
    text.push_str(
        "\n# Firmware believes a server that says its own vendor class back, and that tells it not to look for others\n\
         # (PXE 2.1, option 43, discovery control).\n\
         dhcp-option-force=tag:pxe,tag:!ipxe,60,PXEClient\ndhcp-option-force=tag:http,tag:!ipxe,60,HTTPClient\n\
         dhcp-option=vendor:PXEClient,6,8b\n",
    );
    text
}

fn range(text: &mut String, number: usize, subnet: &Subnet) {
    let Subnet { net, first, last, gateway, dns, domain, ntp, lease_time } = subnet;
    let seconds = lease_time.as_secs().max(120);
    let _ = writeln!(text, "\n# {net}\ndhcp-range=set:net{number},{first},{last},{},{seconds}", net.netmask());
    let join = |list: &[std::net::Ipv4Addr]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut option = |name: &str, value: String| {
        let value = if value.is_empty() { value } else { format!(",{value}") };
        let _ = writeln!(text, "dhcp-option=tag:net{number},option:{name}{value}");
    };
    // Without a value dnsmasq names itself as the router, where we name none.
    match gateway {
        Some(gateway) => option("router", gateway.to_string()),
        None => option("router", String::new()),
    }
    match dns.is_empty() {
        false => option("dns-server", join(dns)),
        true => option("dns-server", String::new()),
    }
    if let Some(domain) = domain {
        option("domain-name", plain(domain));
    }
    if !ntp.is_empty() {
        option("ntp-server", join(ntp));
    }
}

fn arch(kind: Kind) -> Option<u16> {
    match kind {
        Kind::Http(arch) | Kind::Pxe(arch) => Some(arch),
        Kind::Ipxe | Kind::HttpOther | Kind::Old => None,
    }
}

/// The tags of a kind; no client has those of two.
fn tags(kind: Kind) -> String {
    match kind {
        Kind::Ipxe => "tag:ipxe".into(),
        // These architectures say HTTP by themselves.
        Kind::Http(arch @ (16 | 19)) => format!("tag:!ipxe,tag:arch{arch}"),
        Kind::Http(arch) => format!("tag:!ipxe,tag:http,tag:arch{arch}"),
        Kind::HttpOther => "tag:!ipxe,tag:http,tag:!arch11,tag:!arch16,tag:!arch19".into(),
        Kind::Pxe(arch) => format!("tag:!ipxe,tag:!http,tag:arch{arch}"),
        Kind::Old => "tag:!ipxe,tag:!http,tag:pxe,tag:!arch".into(),
    }
}
