//! DHCPv4 packets: bytes in, a checked [`Request`] out; a [`Reply`] in, bytes out.
//!
//! Options are read one by one through dhcproto's borrowed view, behind our own checks of everything that view takes
//! on trust (length, cookie, hardware address), so that one option nobody can read does not hide the others. Replies are
//! written here, because firmware cares about things an encoder of options does not: the message type comes first, the
//! packet has BOOTP's 300 octets, the relay's option 82 goes back bit by bit and last, and nothing exceeds what the
//! client can take.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use dhcproto::v4::borrowed::{DhcpOptionIterator, Message};

use crate::model::Mac;
use crate::plan::boot::Firmware;

/// Datagrams longer than this are dropped unread.
pub const MAX_DATAGRAM: usize = 1500;
/// Header, `sname`, `file` and the magic cookie.
const HEADER: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// RFC 951: relays and old clients drop anything shorter.
const MIN_REPLY: usize = 300;
/// IP and UDP headers, which option 57 counts and we do not send ourselves.
const IP_UDP: usize = 28;

/// DHCP options this server reads or writes (RFC 2132 unless noted).
pub mod option {
    #![allow(missing_docs, reason = "the names are those of the RFCs")]
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const DNS: u8 = 6;
    pub const HOSTNAME: u8 = 12;
    pub const DOMAIN: u8 = 15;
    pub const NTP: u8 = 42;
    pub const VENDOR_INFO: u8 = 43;
    pub const REQUESTED: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER_ID: u8 = 54;
    pub const MESSAGE: u8 = 56;
    pub const MAX_SIZE: u8 = 57;
    pub const T1: u8 = 58;
    pub const T2: u8 = 59;
    pub const VENDOR_CLASS: u8 = 60;
    pub const CLIENT_ID: u8 = 61;
    pub const TFTP_NAME: u8 = 66;
    pub const BOOT_FILE: u8 = 67;
    /// RFC 3004.
    pub const USER_CLASS: u8 = 77;
    /// RFC 3046.
    pub const RELAY_INFO: u8 = 82;
    /// RFC 4578.
    pub const ARCH: u8 = 93;
    /// RFC 4578.
    pub const MACHINE_ID: u8 = 97;
    /// iPXE's own (Etherboot).
    pub const IPXE: u8 = 175;
}

/// Option 53 (RFC 2131).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// DHCPDISCOVER
    Discover = 1,
    /// DHCPOFFER
    Offer = 2,
    /// DHCPREQUEST
    Request = 3,
    /// DHCPDECLINE
    Decline = 4,
    /// DHCPACK
    Ack = 5,
    /// DHCPNAK
    Nak = 6,
    /// DHCPRELEASE
    Release = 7,
    /// DHCPINFORM
    Inform = 8,
}

impl Kind {
    const ALL: [Kind; 8] =
        [Kind::Discover, Kind::Offer, Kind::Request, Kind::Decline, Kind::Ack, Kind::Nak, Kind::Release, Kind::Inform];

    fn from_octet(octet: u8) -> Option<Self> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == octet)
    }

    /// One word for counters and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Discover => "discover",
            Kind::Offer => "offer",
            Kind::Request => "request",
            Kind::Decline => "decline",
            Kind::Ack => "ack",
            Kind::Nak => "nak",
            Kind::Release => "release",
            Kind::Inform => "inform",
        }
    }
}

/// A checked packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    /// From a client, or from a relay for one.
    Request(Request),
    /// A server's answer that came our way: there is another server.
    FromServer(Ipv4Addr),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Option 53; one of the types that clients send.
    pub kind: Kind,
    /// `hops`, echoed (a relay counts with it).
    pub hops: u8,
    /// `xid`, echoed.
    pub xid: u32,
    /// `flags`, echoed.
    pub flags: u16,
    /// `ciaddr`: the address the client uses.
    pub ciaddr: Ipv4Addr,
    /// `giaddr`: the relay.
    pub giaddr: Ipv4Addr,
    /// `chaddr`. Never a group address, never zero.
    pub mac: Mac,
    /// Option 50.
    pub requested: Option<Ipv4Addr>,
    /// Option 54.
    pub server_id: Option<Ipv4Addr>,
    /// Option 57, where it makes sense.
    pub max_size: Option<u16>,
    /// Option 61, echoed (RFC 6842).
    pub client_id: Option<Vec<u8>>,
    /// Option 82, echoed as it came.
    pub relay_info: Option<Vec<u8>>,
    /// Option 97, echoed.
    pub machine_id: Option<Vec<u8>>,
    /// How it boots.
    pub firmware: Firmware,
}

impl Request {
    /// Whether a relay brought it.
    pub fn relayed(&self) -> bool {
        !self.giaddr.is_unspecified()
    }
}

/// Why a datagram is not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than a BOOTP header and the cookie.
    #[error("too short")]
    TooShort,
    /// Longer than [`MAX_DATAGRAM`].
    #[error("too long")]
    TooLong,
    /// `op` is neither request nor reply.
    #[error("unknown op")]
    UnknownOp,
    /// Not Ethernet, or not six octets of address.
    #[error("not an Ethernet address")]
    NotEthernet,
    /// A zero or group hardware address.
    #[error("impossible hardware address")]
    BadMac,
    /// BOOTP without DHCP, or garbage.
    #[error("no magic cookie")]
    NoCookie,
    /// No readable option 53, or not one of a client's.
    #[error("no usable message type")]
    BadType,
    /// An option with a length it cannot have.
    #[error("malformed option")]
    BadOption,
}

impl Malformed {
    /// One word for counters.
    pub fn reason(self) -> &'static str {
        match self {
            Malformed::TooShort => "too-short",
            Malformed::TooLong => "too-long",
            Malformed::UnknownOp => "unknown-op",
            Malformed::NotEthernet => "not-ethernet",
            Malformed::BadMac => "bad-mac",
            Malformed::NoCookie => "no-cookie",
            Malformed::BadType => "bad-type",
            Malformed::BadOption => "bad-option",
        }
    }
}

/// Reads a datagram.
pub fn parse(datagram: &[u8]) -> Result<Packet, Malformed> {
    if datagram.len() > MAX_DATAGRAM {
        return Err(Malformed::TooLong);
    }
    let view = Message::new(datagram).map_err(|_| Malformed::TooShort)?;
    if datagram[236..HEADER] != COOKIE {
        return Err(Malformed::NoCookie);
    }
    let options = read_options(datagram);
    let kind = match options.get(&option::MESSAGE_TYPE).map(Vec::as_slice) {
        Some([octet]) => Kind::from_octet(*octet).ok_or(Malformed::BadType)?,
        _ => return Err(Malformed::BadType),
    };
    let server_id = address(&options, option::SERVER_ID)?;
    match (datagram[0], kind) {
        (1, Kind::Discover | Kind::Request | Kind::Decline | Kind::Release | Kind::Inform) => {}
        (2, Kind::Offer | Kind::Ack | Kind::Nak) => {
            return server_id.map(Packet::FromServer).ok_or(Malformed::BadOption);
        }
        (1 | 2, _) => return Err(Malformed::BadType),
        _ => return Err(Malformed::UnknownOp),
    }
    // Checked before anything asks the view for `chaddr`: it slices by `hlen`, whatever that says.
    if datagram[1] != 1 || datagram[2] != 6 {
        return Err(Malformed::NotEthernet);
    }
    let mac = Mac(view.chaddr().try_into().map_err(|_| Malformed::NotEthernet)?);
    if mac.is_zero() || mac.is_multicast() {
        return Err(Malformed::BadMac);
    }
    Ok(Packet::Request(Request {
        kind,
        hops: view.hops(),
        xid: view.xid(),
        flags: u16::from_be_bytes([datagram[10], datagram[11]]),
        ciaddr: view.ciaddr(),
        giaddr: view.giaddr(),
        mac,
        requested: address(&options, option::REQUESTED)?.filter(|ip| !ip.is_unspecified()),
        server_id,
        max_size: number(&options, option::MAX_SIZE)?,
        firmware: firmware(&options),
        client_id: options.get(&option::CLIENT_ID).filter(|id| fits(id)).cloned(),
        relay_info: options.get(&option::RELAY_INFO).filter(|info| fits(info)).cloned(),
        machine_id: options.get(&option::MACHINE_ID).filter(|id| fits(id)).cloned(),
    }))
}

/// Every option's octets; the first of its kind counts (adjacent parts are one, RFC 3396). With option 52 the `file` and
/// `sname` fields hold options too, in that order.
fn read_options(datagram: &[u8]) -> BTreeMap<u8, Vec<u8>> {
    let mut options = BTreeMap::new();
    collect(&datagram[HEADER..], &mut options);
    let overload = match options.get(&option::OVERLOAD).map(Vec::as_slice) {
        Some([bits]) => *bits,
        _ => 0,
    };
    if overload & 1 != 0 {
        collect(&datagram[108..236], &mut options);
    }
    if overload & 2 != 0 {
        collect(&datagram[44..108], &mut options);
    }
    options
}

fn collect(area: &[u8], options: &mut BTreeMap<u8, Vec<u8>>) {
    for found in DhcpOptionIterator::new(area) {
        options.entry(u8::from(found.code())).or_insert_with(|| found.data().to_vec());
    }
}

/// Whether an option can go back in one piece.
fn fits(data: &[u8]) -> bool {
    !data.is_empty() && data.len() <= 255
}

fn address(options: &BTreeMap<u8, Vec<u8>>, code: u8) -> Result<Option<Ipv4Addr>, Malformed> {
    let Some(data) = options.get(&code) else { return Ok(None) };
    let octets: [u8; 4] = data.as_slice().try_into().map_err(|_| Malformed::BadOption)?;
    Ok(Some(octets.into()))
}

fn number(options: &BTreeMap<u8, Vec<u8>>, code: u8) -> Result<Option<u16>, Malformed> {
    let Some(data) = options.get(&code) else { return Ok(None) };
    let octets: [u8; 2] = data.as_slice().try_into().map_err(|_| Malformed::BadOption)?;
    Ok(Some(u16::from_be_bytes(octets)))
}

fn firmware(options: &BTreeMap<u8, Vec<u8>>) -> Firmware {
    let text = |code| options.get(&code).map(Vec::as_slice).unwrap_or_default();
    let class = text(option::VENDOR_CLASS);
    // Several types may be listed, best first (RFC 4578 section 2.1); an odd length is read as far as it goes.
    let listed = text(option::ARCH).first_chunk().map(|octets| u16::from_be_bytes(*octets));
    Firmware {
        arch: listed.or_else(|| arch_of_class(class)),
        pxe: class.starts_with(b"PXEClient"),
        http: class.starts_with(b"HTTPClient"),
        ipxe: options.contains_key(&option::IPXE) || is_ipxe(text(option::USER_CLASS)),
    }
}

/// The type in `PXEClient:Arch:00007:UNDI:003000`, for clients that leave option 93 out.
fn arch_of_class(class: &[u8]) -> Option<u16> {
    let digits =
        class.strip_prefix(b"PXEClient:Arch:").or_else(|| class.strip_prefix(b"HTTPClient:Arch:"))?.get(..5)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// iPXE sends its user class as plain text; RFC 3004 wants each class preceded by its length; both are met.
fn is_ipxe(class: &[u8]) -> bool {
    let class = class.strip_suffix(b"\0").unwrap_or(class);
    class == b"iPXE" || class == b"\x04iPXE"
}

/// An answer, before it is bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Option 53.
    pub kind: Kind,
    /// `yiaddr`.
    pub yiaddr: Ipv4Addr,
    /// `ciaddr`: what the client said it uses, or zero.
    pub ciaddr: Ipv4Addr,
    /// `siaddr`, and as text `sname`: where the boot file is. Zero for clients that do not network-boot.
    pub siaddr: Ipv4Addr,
    /// `file`; empty for none.
    pub file: String,
    /// Options besides 53 and 82, the most important first: what does not fit is left out from the end.
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Reply {
    /// The option's octets.
    pub fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(c, _)| *c == code).map(|(_, data)| data.as_slice())
    }
}

/// Writes the answer to a request.
pub fn encode(reply: &Reply, request: &Request) -> Vec<u8> {
    let mut out = header(reply, request);
    out.extend([option::MESSAGE_TYPE, 1, reply.kind as u8]);
    let tail = request.relay_info.as_ref().map_or(0, |info| info.len() + 2) + 1;
    let limit = usize::from(request.max_size.unwrap_or(576)).clamp(576, MAX_DATAGRAM) - IP_UDP;
    let room = limit.saturating_sub(tail);
    for (code, data) in &reply.options {
        if fits(data) && out.len() + 2 + data.len() <= room {
            put(&mut out, *code, data);
        }
    }
    if let Some(info) = &request.relay_info {
        put(&mut out, option::RELAY_INFO, info);
    }
    out.push(255);
    out.resize(out.len().max(MIN_REPLY), 0);
    out
}

fn header(reply: &Reply, request: &Request) -> Vec<u8> {
    let mut out = Vec::with_capacity(576);
    out.extend([2, 1, 6, request.hops]);
    out.extend(request.xid.to_be_bytes());
    out.extend([0, 0]);
    // RFC 2131 table 3 and section 4.3.2: a relayed refusal must be broadcast, the client has no address to hear it at.
    let broadcast = if reply.kind == Kind::Nak && request.relayed() { 0x8000 } else { 0 };
    out.extend((request.flags | broadcast).to_be_bytes());
    for address in [reply.ciaddr, reply.yiaddr, reply.siaddr, request.giaddr] {
        out.extend(address.octets());
    }
    out.extend(request.mac.0);
    out.resize(44, 0);
    if !reply.siaddr.is_unspecified() {
        out.extend(reply.siaddr.to_string().as_bytes());
    }
    out.resize(108, 0);
    // A name too long for the field (its last octet is a NUL) is in option 67 only.
    if reply.file.len() < 128 {
        out.extend(reply.file.as_bytes());
    }
    out.resize(236, 0);
    out.extend(COOKIE);
    out
}

/// The caller has made sure that the data is at most 255 octets long.
fn put(out: &mut Vec<u8>, code: u8, data: &[u8]) {
    out.push(code);
    out.push(u8::try_from(data.len()).unwrap_or(u8::MAX));
    out.extend(&data[..data.len().min(255)]);
}
