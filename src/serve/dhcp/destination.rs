//! Where an answer goes (RFC 2131 section 4.1). Pure.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::wire::{Kind, Reply, Request};

/// The port that clients and relays know (RFC 2131); any other is a test's or a demonstration's.
pub const WELL_KNOWN: u16 = 67;
/// The port of clients.
pub const CLIENTS: u16 = 68;
/// Where boot servers are asked (PXE 2.1 section 2.4).
pub const BOOT_SERVERS: u16 = 4011;

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// An address that takes part in IP: a relay, a client with an address, or everybody on the segment.
    Udp(SocketAddrV4),
    /// A client that is to have this address and does not yet: it cannot answer ARP, so that the frame must be written
    /// for it. Who cannot do that broadcasts.
    Hardware(SocketAddrV4),
}

/// Everybody on a segment.
pub fn broadcast(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::BROADCAST, port)
}

/// Where an answer from our server `port` that was asked from `from`.
///
/// With a server port other than 67 a relayed request is answered to where it came from, and a direct one to the port
/// above ours, so that many simulated machines can share one address space.
pub fn destination(reply: &Reply, request: &Request, from: SocketAddrV4, port: u16) -> Destination {
    if port != WELL_KNOWN {
        return Destination::Udp(match (request.relayed(), from.ip().is_unspecified()) {
            (true, _) => from,
            (false, true) => broadcast(port.saturating_add(1)),
            (false, false) => SocketAddrV4::new(*from.ip(), port.saturating_add(1)),
        });
    }
    let wants_broadcast = request.flags & 0x8000 != 0;
    if request.relayed() {
        Destination::Udp(SocketAddrV4::new(request.giaddr, WELL_KNOWN))
    } else if reply.kind == Kind::Nak {
        Destination::Udp(broadcast(CLIENTS))
    } else if !request.ciaddr.is_unspecified() {
        Destination::Udp(SocketAddrV4::new(request.ciaddr, CLIENTS))
    } else if wants_broadcast || reply.yiaddr.is_unspecified() {
        Destination::Udp(broadcast(CLIENTS))
    } else {
        Destination::Hardware(SocketAddrV4::new(reply.yiaddr, CLIENTS))
    }
}

/// Where a boot server's answer goes: the client has an address, and waits on the port it asked from.
pub fn to_asker(request: &Request, from: SocketAddrV4) -> Destination {
    let ip = if request.ciaddr.is_unspecified() { *from.ip() } else { request.ciaddr };
    Destination::Udp(SocketAddrV4::new(ip, from.port()))
}
