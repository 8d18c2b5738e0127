//! What the boot-chain trace says of DHCP, and of whom.

use super::respond::Reason;
use super::wire::{Kind, Reply, Request};
use crate::model::World;
use crate::plan::boot::{self, Firmware};

/// Whether a message belongs to a boot chain: whatever firmware says, and how a known machine or BMC comes by its
/// address. Renewals do not: they would push out what happened before.
pub fn belongs(world: &World, request: &Request) -> bool {
    let firmware = request.firmware;
    if firmware.pxe || firmware.http || firmware.ipxe {
        return true;
    }
    let begins =
        matches!(request.kind, Kind::Discover | Kind::Request | Kind::Decline) && request.ciaddr.is_unspecified();
    let in_repository = |world: &World| world.desired.as_ref().is_some_and(|it| it.by_mac(request.mac).is_some());
    begins && (in_repository(world) || boot::host_by_mac(world, request.mac).is_some())
}

/// `request 192.0.2.7 (iPXE)`
pub fn asked(request: &Request) -> String {
    let kind = request.kind.as_str();
    let about = request.requested.or(Some(request.ciaddr).filter(|ip| !ip.is_unspecified()));
    let about = about.map(|ip| format!(" {ip}")).unwrap_or_default();
    let relay = if request.relayed() { format!(" by relay {}", request.giaddr) } else { String::new() };
    match client(request.firmware) {
        Some(client) => format!("{kind}{about} ({client}){relay}"),
        None => format!("{kind}{about}{relay}"),
    }
}

fn client(firmware: Firmware) -> Option<String> {
    let platform = match firmware.arch {
        Some(0 | 20) => "BIOS ".to_owned(),
        Some(6 | 15) => "UEFI x86 ".to_owned(),
        Some(7 | 9 | 16) => "UEFI x64 ".to_owned(),
        Some(11 | 19) => "UEFI arm64 ".to_owned(),
        Some(other) => format!("architecture {other} "),
        None => String::new(),
    };
    let what = match firmware {
        Firmware { ipxe: true, .. } => return Some("iPXE".to_owned()),
        Firmware { http: true, .. } => "HTTP boot",
        Firmware { pxe: true, .. } => "PXE",
        _ => return None,
    };
    Some(format!("{platform}{what}"))
}

/// `offer 192.0.2.7, ipxe.efi from 192.0.2.1`
pub fn answered(reply: &Reply) -> String {
    let kind = reply.kind.as_str();
    if reply.kind == Kind::Nak {
        let why = reply.option(super::wire::option::MESSAGE).unwrap_or_default();
        return format!("{kind}: {}", String::from_utf8_lossy(why));
    }
    let address = if reply.yiaddr.is_unspecified() { String::new() } else { format!(" {}", reply.yiaddr) };
    match reply.file.as_str() {
        "" => format!("{kind}{address}"),
        url if url.contains("://") => format!("{kind}{address}, {url}"),
        file => format!("{kind}{address}, {file} from {}", reply.siaddr),
    }
}

/// `dropped: unknown-segment`
pub fn dropped(reason: Reason) -> String {
    format!("dropped: {}", reason.as_str())
}
