//! What firmware that boots from the network is told besides its address, and the whole answer where another server gives
//! the addresses (`network.dhcp.mode: proxy`). Pure.

use std::net::Ipv4Addr;

use super::respond::{Answer, DropReason, Here, check_relay, identifier};
use super::wire::{Kind, Reply, Request, option};
use crate::model::World;
use crate::plan::boot::{self, BootOptions, Firmware};

/// PXE 2.1 section 2.2.1, PXE_DISCOVERY_CONTROL bit 3: take the file named here, look for no boot server.
const USE_THIS_FILE: [u8; 4] = [6, 1, 8, 255];

/// The port a request beside another server came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// 67: the client looks for servers.
    Server,
    /// 4011 (PXE 2.1 section 2.4): the client has an address, and asks the boot server it was shown.
    Boot,
}

/// The boot file in options, for clients that do not read `file`. Firmware takes a server for a boot server only when it
/// gets its own vendor class back.
pub fn options(boot: Option<&BootOptions>, request: &Request, options: &mut Vec<(u8, Vec<u8>)>) {
    let (Some(boot), firmware) = (boot, request.firmware) else { return };
    options.push((option::BOOT_FILE, boot.file.clone().into_bytes()));
    options.push((option::TFTP_NAME, boot.next_server.to_string().into_bytes()));
    // iPXE has the rest of its own; with an address it needs no vendor class.
    if !firmware.ipxe {
        vendor(firmware, options);
    }
    if let Some(id) = &request.machine_id {
        options.push((option::MACHINE_ID, id.clone()));
    }
}

fn vendor(firmware: Firmware, options: &mut Vec<(u8, Vec<u8>)>) {
    if firmware.http {
        options.push((option::VENDOR_CLASS, b"HTTPClient".to_vec()));
    } else if firmware.pxe || firmware.ipxe {
        options.push((option::VENDOR_CLASS, b"PXEClient".to_vec()));
        options.push((option::VENDOR_INFO, USE_THIS_FILE.to_vec()));
    }
}

/// Answers beside another server: boot options only, to firmware only.
pub fn respond(world: &World, request: &Request, here: Here<'_>, port: Port) -> Answer {
    if let Err(reason) = check_relay(request) {
        return Answer::Drop(reason);
    }
    let firmware = request.firmware;
    let kind = match (port, request.kind) {
        (Port::Server, Kind::Discover) => Kind::Offer,
        (Port::Boot, Kind::Request | Kind::Inform) => Kind::Ack,
        _ => return Answer::Drop(DropReason::NotOurs),
    };
    let Some(boot) =
        boot::dhcp(world, request.mac, firmware).filter(|_| firmware.pxe || firmware.http || firmware.ipxe)
    else {
        return Answer::Drop(DropReason::NoNetworkBoot);
    };
    if port == Port::Server && !on_our_segment(world, request, here) {
        return Answer::Drop(DropReason::UnknownSegment);
    }
    let mut list = vec![(option::SERVER_ID, identifier(request, here).octets().to_vec())];
    // iPXE knows a boot server without addresses by the vendor class alone.
    vendor(Firmware { http: firmware.http && !firmware.ipxe, ..firmware }, &mut list);
    let mut rest = Vec::new();
    options(Some(&boot), request, &mut rest);
    list.extend(rest.into_iter().filter(|(code, _)| ![option::VENDOR_CLASS, option::VENDOR_INFO].contains(code)));
    list.extend(request.client_id.clone().map(|id| (option::CLIENT_ID, id)));
    let ciaddr = if kind == Kind::Ack { request.ciaddr } else { Ipv4Addr::UNSPECIFIED };
    let (siaddr, file) = (boot.next_server, boot.file);
    Answer::Send(Reply { kind, yiaddr: Ipv4Addr::UNSPECIFIED, ciaddr, siaddr, file, options: list })
}

/// Without subnets in the settings every relay is answered: it was told to bring us what it brings.
fn on_our_segment(world: &World, request: &Request, here: Here<'_>) -> bool {
    let site = &world.policy.site;
    if request.relayed() {
        let segment = request.relay.link.or(request.subnet).unwrap_or(request.giaddr);
        return site.subnets.is_empty() || site.subnet_of(segment).is_some();
    }
    !here.segments.is_empty()
}
