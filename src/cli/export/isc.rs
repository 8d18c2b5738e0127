//! ISC dhcpd: one `if` over what the client is, then the subnets, then a `host` for each reservation.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::{Export, Kind, Reservation, plain, preface};
use crate::model::Subnet;

/// The whole file. Writing into a String cannot fail.
pub fn write(export: &Export<'_>) -> String {
    let usage = [
        "Use: `include \"/etc/dhcp/rackwright.conf\";` in dhcpd.conf, or as dhcpd.conf itself. Check it with `dhcpd -t -cf FILE`.",
        "A subnet may be declared only once: if yours are declared already, leave out those below.",
    ];
    let mut text: String = preface(export, "isc", &usage).iter().map(|line| format!("# {line}\n")).collect();
    text.push_str(
        "\nauthoritative;\noption rackwright-arch code 93 = string;\n\
         option rackwright-ipxe code 175 = string;\n\n",
    );
    for (at, boot) in export.boots.iter().enumerate() {
        let _ = writeln!(text, "{} {} {{", if at == 0 { "if" } else { "} elsif" }, test(boot.kind));
        let _ = writeln!(text, "  filename \"{0}\";\n  option bootfile-name \"{0}\";", boot.file);
        if let Some(class) = boot.kind.echo() {
            let _ = writeln!(text, "  option vendor-class-identifier \"{class}\";");
        }
    }
    let address = export.settings.network.address;
    let _ = write!(text, "}}\nnext-server {address};\noption tftp-server-name \"{address}\";\n");
    export.subnets.iter().for_each(|net| subnet(&mut text, net));
    text.push('\n');
    export.reservations.iter().for_each(|it| host(&mut text, it));
    text
}

fn test(kind: Kind) -> String {
    let arch =
        |number: u16| format!("substring(option rackwright-arch, 0, 2) = {:02x}:{:02x}", number >> 8, number & 255);
    let vendor = |word: &str| format!("substring(option vendor-class-identifier, 0, {}) = \"{word}\"", word.len());
    match kind {
        // RFC 3004 puts the length first; iPXE does not.
        Kind::Ipxe => {
            "exists rackwright-ipxe or option user-class = \"iPXE\" or substring(option user-class, 1, 4) = \"iPXE\""
                .into()
        }
        Kind::Http(number @ (16 | 19)) => arch(number),
        Kind::Http(number) => format!("{} and {}", vendor("HTTPClient"), arch(number)),
        Kind::HttpOther => vendor("HTTPClient"),
        Kind::Pxe(number) => arch(number),
        Kind::Old => format!("{} and not exists rackwright-arch", vendor("PXEClient")),
    }
}

fn subnet(text: &mut String, subnet: &Subnet) {
    let Subnet { net, first, last, gateway, dns, domain, ntp, lease_time } = subnet;
    let seconds = lease_time.as_secs();
    let _ = writeln!(text, "\nsubnet {} netmask {} {{\n  range {first} {last};", net.network(), net.netmask());
    let _ = writeln!(text, "  default-lease-time {seconds};\n  max-lease-time {seconds};");
    let join = |list: &[Ipv4Addr]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let values = [
        ("routers", gateway.map(|ip| ip.to_string())),
        ("domain-name-servers", Some(join(dns)).filter(|text| !text.is_empty())),
        ("domain-name", domain.as_ref().map(|domain| format!("\"{}\"", plain(domain)))),
        ("ntp-servers", Some(join(ntp)).filter(|text| !text.is_empty())),
    ];
    for (name, value) in values.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        let _ = writeln!(text, "  option {name} {value};");
    }
    text.push_str("}\n");
}

fn host(text: &mut String, it: &Reservation<'_>) {
    // A name of its own for each declaration: the address of the hardware is unique.
    let _ = write!(text, "# {}\nhost rackwright-{} {{ hardware ethernet {};", plain(&it.about), it.mac.hex(), it.mac);
    it.ip.iter().for_each(|ip| {
        let _ = write!(text, " fixed-address {ip};");
    });
    it.name.iter().for_each(|name| {
        let _ = write!(text, " option host-name \"{}\";", plain(name));
    });
    text.push_str(" }\n");
}
