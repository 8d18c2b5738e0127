//! DHCPv4 packets: bytes in, a checked [`Request`] out (here); a [`Reply`] in, bytes out ([`encode`](mod@encode)).
//!
//! Nothing is taken on trust: length, cookie and hardware address are checked before anything is read, and options are
//! read one by one ([`options`]), so that one option nobody can read does not hide the others.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Mac;
use crate::plan::boot::Firmware;

pub mod encode;
pub mod options;

pub use encode::{Reply, encode};
use options::Options;

/// Datagrams longer than this are dropped unread.
pub const MAX_DATAGRAM: usize = 1500;
/// Header, `sname`, `file` and the magic cookie.
const HEADER: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];

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
    /// RFC 3011.
    pub const SUBNET_SELECTION: u8 = 118;
    /// iPXE's own (Etherboot).
    pub const IPXE: u8 = 175;
}

/// Option 53 (RFC 2131).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Decline = 4,
    Ack = 5,
    Nak = 6,
    Release = 7,
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
    /// `hops`: how many relays it passed.
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
    /// Option 82.
    pub relay: RelayInfo,
    /// Option 118: the subnet that the client wants an address on, whoever relays. Echoed.
    pub subnet: Option<Ipv4Addr>,
    /// Option 97, echoed.
    pub machine_id: Option<Vec<u8>>,
    pub firmware: Firmware,
}

/// What a relay adds (RFC 3046).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RelayInfo {
    /// The option as it came, code and length included and however many times it was there, for the way back.
    pub raw: Vec<u8>,
    /// Sub-option 5 (RFC 3527): the client's subnet, where the relay's own address does not say it.
    pub link: Option<Ipv4Addr>,
    /// Sub-option 11 (RFC 5107): the server identifier that clients are to see, so that they renew through the relay.
    pub server_id: Option<Ipv4Addr>,
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
    #[error("too short")]
    TooShort,
    /// Longer than [`MAX_DATAGRAM`].
    #[error("too long")]
    TooLong,
    #[error("unknown op")]
    UnknownOp,
    #[error("not an Ethernet address")]
    NotEthernet,
    #[error("impossible hardware address")]
    BadMac,
    #[error("no magic cookie")]
    NoCookie,
    #[error("no usable message type")]
    BadType,
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
    let (header, area) = datagram.split_first_chunk::<HEADER>().ok_or(Malformed::TooShort)?;
    if header[236..] != COOKIE {
        return Err(Malformed::NoCookie);
    }
    let options = Options::read(header, area);
    let kind = match options.get(option::MESSAGE_TYPE) {
        Some([octet]) => Kind::from_octet(*octet).ok_or(Malformed::BadType)?,
        _ => return Err(Malformed::BadType),
    };
    let server_id = options.address(option::SERVER_ID)?;
    match (header[0], kind) {
        (1, Kind::Discover | Kind::Request | Kind::Decline | Kind::Release | Kind::Inform) => {}
        (2, Kind::Offer | Kind::Ack | Kind::Nak) => {
            return server_id.map(Packet::FromServer).ok_or(Malformed::BadOption);
        }
        (1 | 2, _) => return Err(Malformed::BadType),
        _ => return Err(Malformed::UnknownOp),
    }
    if header[1] != 1 || header[2] != 6 {
        return Err(Malformed::NotEthernet);
    }
    let mac = Mac([header[28], header[29], header[30], header[31], header[32], header[33]]);
    if mac.is_zero() || mac.is_multicast() {
        return Err(Malformed::BadMac);
    }
    let given = |ip: Option<Ipv4Addr>| ip.filter(|ip| !ip.is_unspecified());
    Ok(Packet::Request(Request {
        kind,
        hops: header[3],
        xid: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        flags: u16::from_be_bytes([header[10], header[11]]),
        ciaddr: field(header, 12),
        giaddr: field(header, 24),
        mac,
        requested: given(options.address(option::REQUESTED)?),
        server_id,
        max_size: options.number(option::MAX_SIZE)?,
        firmware: firmware(&options),
        client_id: options.get(option::CLIENT_ID).filter(|id| fits(id)).map(<[u8]>::to_vec),
        machine_id: options.get(option::MACHINE_ID).filter(|id| fits(id)).map(<[u8]>::to_vec),
        relay: relay_info(&options),
        subnet: given(options.address(option::SUBNET_SELECTION)?),
    }))
}

fn field(header: &[u8; HEADER], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3])
}

/// Whether an option can go back in one piece.
fn fits(data: &[u8]) -> bool {
    !data.is_empty() && data.len() <= 255
}

/// A sub-option that cannot be read is not looked at; the whole goes back as it came in any case.
fn relay_info(options: &Options<'_>) -> RelayInfo {
    let all = options.get(option::RELAY_INFO).unwrap_or_default();
    let address = |code| {
        let data: [u8; 4] = options::pieces(all, false).find(|(found, _)| *found == code)?.1.try_into().ok()?;
        Some(Ipv4Addr::from(data)).filter(|ip| !ip.is_unspecified())
    };
    RelayInfo { raw: options.relay_raw().to_vec(), link: address(5), server_id: address(11) }
}

fn firmware(options: &Options<'_>) -> Firmware {
    let text = |code| options.get(code).unwrap_or_default();
    let class = text(option::VENDOR_CLASS);
    // Several types may be listed, best first (RFC 4578 section 2.1); an odd length is read as far as it goes.
    let listed = text(option::ARCH).first_chunk().map(|octets| u16::from_be_bytes(*octets));
    Firmware {
        arch: listed.or_else(|| arch_of_class(class)),
        pxe: class.starts_with(b"PXEClient"),
        http: class.starts_with(b"HTTPClient"),
        ipxe: options.get(option::IPXE).is_some() || is_ipxe(text(option::USER_CLASS)),
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
