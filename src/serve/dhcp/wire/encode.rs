//! A [`Reply`] in, bytes out, as firmware likes them: the message type comes first, the packet has BOOTP's 300 octets,
//! the relay's option 82 goes back bit by bit and last, nothing exceeds what the client can take, and what does not fit
//! the option area goes where the header has room (RFC 2132 section 9.3).

use std::net::Ipv4Addr;

use super::{COOKIE, Kind, MAX_DATAGRAM, Request, fits, option};

/// RFC 951: relays and old clients drop anything shorter.
const MIN_REPLY: usize = 300;
/// IP and UDP headers, which option 57 counts and we do not send ourselves.
const IP_UDP: usize = 28;
/// Option 52, should it be needed.
const OVERLOAD: usize = 3;
/// `sname` and `file` in the header.
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;

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
    let tail = request.relay.raw.len() + 1;
    let limit = usize::from(request.max_size.unwrap_or(576)).clamp(576, MAX_DATAGRAM) - IP_UDP;
    let room = limit.saturating_sub(tail + OVERLOAD);
    let mut left = Vec::new();
    for (code, data) in reply.options.iter().filter(|(_, data)| fits(data)) {
        if !put(&mut out, room, *code, data) {
            left.push((*code, data.as_slice()));
        }
    }
    overload(&mut out, reply, left);
    out.extend(&request.relay.raw);
    out.push(255);
    out.resize(out.len().max(MIN_REPLY), 0);
    out
}

fn header(reply: &Reply, request: &Request) -> Vec<u8> {
    let mut out = Vec::with_capacity(MIN_REPLY * 2);
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
    out.resize(SNAME.start, 0);
    if !reply.siaddr.is_unspecified() {
        out.extend(reply.siaddr.to_string().as_bytes());
    }
    out.resize(FILE.start, 0);
    if fits_file(reply) {
        out.extend(reply.file.as_bytes());
    }
    out.resize(FILE.end, 0);
    out.extend(COOKIE);
    out
}

/// A name too long for the field (its last octet is a NUL) is in option 67 only.
fn fits_file(reply: &Reply) -> bool {
    reply.file.len() < FILE.len()
}

/// Puts what was left over into `file` and `sname`, as far as these are free, and says so.
fn overload(out: &mut Vec<u8>, reply: &Reply, mut left: Vec<(u8, &[u8])>) {
    let mut used = 0;
    for (bit, place, free) in
        [(1, FILE, reply.file.is_empty() || !fits_file(reply)), (2, SNAME, reply.siaddr.is_unspecified())]
    {
        let mut area = Vec::new();
        // One octet for the end of the options in this field.
        left.retain(|(code, data)| !(free && put(&mut area, place.len() - 1, *code, data)));
        if !area.is_empty() {
            area.push(255);
            out[place.start..place.start + area.len()].copy_from_slice(&area);
            used |= bit;
        }
    }
    if used != 0 {
        out.extend([option::OVERLOAD, 1, used]);
    }
}

/// Appends an option when there is room for it, and says whether there was. The caller has made sure that the data is
/// at most 255 octets long.
fn put(out: &mut Vec<u8>, room: usize, code: u8, data: &[u8]) -> bool {
    // Firmware there is takes names for NUL-terminated, and asks for `ipxe.efi` with the next option's code (or the
    // end's 0xff) at its end: an octet of padding ends them for everybody.
    let padding = usize::from(matches!(code, option::BOOT_FILE | option::TFTP_NAME));
    if out.len() + 2 + data.len() + padding > room {
        return false;
    }
    out.push(code);
    out.push(u8::try_from(data.len()).unwrap_or(u8::MAX));
    out.extend(&data[..data.len().min(255)]);
    out.resize(out.len() + padding, 0);
    true
}
