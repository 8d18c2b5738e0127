//! Ethernet frames with DHCP in them: written for clients that have no address yet and so cannot answer ARP, and read
//! to notice other servers. Pure.

use std::net::SocketAddrV4;

use crate::model::Mac;

const ETHERNET: usize = 14;
/// IPv4 header without options (RFC 791).
const IP: usize = 20;
/// UDP header (RFC 768).
const UDP: usize = 8;
/// `ETH_P_IP`
pub const IPV4: u16 = 0x0800;
const PROTOCOL_UDP: u8 = 17;

/// A frame with one UDP datagram. The payload must fit one: DHCP's always do.
pub fn write(hardware: (Mac, Mac), from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = hardware;
    let length = |header: usize| u16::try_from(header + payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut out = Vec::with_capacity(ETHERNET + IP + UDP + payload.len());
    out.extend(destination.0);
    out.extend(source.0);
    out.extend(IPV4.to_be_bytes());
    let mut ip = [0; IP];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&length(IP + UDP));
    ip[8] = 64;
    ip[9] = PROTOCOL_UDP;
    ip[12..16].copy_from_slice(&from.ip().octets());
    ip[16..20].copy_from_slice(&to.ip().octets());
    let sum = checksum(0, &ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    out.extend(ip);
    let udp = out.len();
    out.extend(from.port().to_be_bytes());
    out.extend(to.port().to_be_bytes());
    out.extend(length(UDP));
    out.extend([0, 0]);
    out.extend(payload);
    // The pseudo header: both addresses, the protocol, the length.
    let pseudo = u32::from(PROTOCOL_UDP) + u32::from(u16::from_be_bytes(length(UDP))) + words(&ip[12..20]);
    let sum = match checksum(pseudo, &out[udp..]) {
        // Zero would mean that there is no checksum.
        0 => 0xffff,
        sum => sum,
    };
    out[udp + 6..udp + 8].copy_from_slice(&sum.to_be_bytes());
    out
}

/// The UDP payload of a frame from port 67 to port 68. Checksums are not looked at: virtual interfaces leave them for
/// hardware to fill in that does not exist.
pub fn read(frame: &[u8]) -> Option<&[u8]> {
    let packet = frame.get(ETHERNET..)?;
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3fff;
    if frame[12..14] != IPV4.to_be_bytes() || packet[0] >> 4 != 4 || header < IP || fragment != 0 {
        return None;
    }
    let udp = packet.get(header..).filter(|udp| udp.len() >= UDP && packet[9] == PROTOCOL_UDP)?;
    let ports = (u16::from_be_bytes([udp[0], udp[1]]), u16::from_be_bytes([udp[2], udp[3]]));
    let length = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
    (ports == (67, 68)).then_some(udp.get(UDP..length)?)
}

fn words(bytes: &[u8]) -> u32 {
    let pairs = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
    pairs.sum()
}

/// RFC 1071. A DHCP datagram's sum cannot overflow 32 bits.
fn checksum(start: u32, bytes: &[u8]) -> u16 {
    let mut sum = start + words(bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}
