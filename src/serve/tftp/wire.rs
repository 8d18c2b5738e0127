//! TFTP packets (RFC 1350, with the options of RFC 2347): octets in, a packet or `Malformed` out; nothing is trusted,
//! nothing panics, and nothing is copied.
#![allow(missing_docs, reason = "names that say all have no comment")]

/// Longest packet that a request may be. RFC 2347 says 512 octets; names longer than any are still told that they are not
/// found.
pub const LONGEST_REQUEST: usize = 1024;
/// Options looked at in one request; there are five that we know.
const MOST_OPTIONS: usize = 16;
/// Octets of a client's error message that are kept.
const LONGEST_MESSAGE: usize = 128;

/// Error codes (RFC 1350 section 5, RFC 2347).
pub mod code {
    /// Not defined; see the message.
    pub const OTHER: u16 = 0;
    /// File not found.
    pub const NOT_FOUND: u16 = 1;
    /// Access violation.
    pub const DENIED: u16 = 2;
    /// Illegal TFTP operation.
    pub const ILLEGAL: u16 = 4;
}

/// A packet that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a TFTP packet")]
pub struct Malformed;

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// RRQ: a client wants to read.
    Read(Request<'a>),
    /// WRQ: a client wants to write.
    Write(Request<'a>),
    Data {
        /// Number of the block, modulo 65536.
        block: u16,
        octets: &'a [u8],
    },
    /// ACK of a block, and of all before it.
    Ack(u16),
    /// ERROR: the other side has given up.
    Error {
        /// See [`code`].
        code: u16,
        /// The message, as far as it can be shown.
        message: String,
    },
    /// OACK: the options that the server accepts.
    Oack(Vec<(&'a str, &'a str)>),
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The file's name, as sent.
    pub name: &'a [u8],
    /// How its octets are to be changed on the way.
    pub mode: Mode,
    /// Options and their values in the client's order; of those named twice, the first.
    pub options: Vec<(&'a str, &'a str)>,
}

/// Transfer modes. Only [`Mode::Octet`] is served: firmware knows no other, and netascii would need every file read and
/// changed before its size could be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Octet,
    /// Line ends changed (RFC 764).
    Netascii,
    /// To a person's mailbox; obsolete.
    Mail,
    Unknown,
}

impl<'a> Packet<'a> {
    /// Reads a packet. Octets after its end mean nothing.
    pub fn parse(packet: &'a [u8]) -> Result<Packet<'a>, Malformed> {
        let (operation, rest) = word(packet)?;
        match operation {
            1 => Ok(Packet::Read(request(rest)?)),
            2 => Ok(Packet::Write(request(rest)?)),
            3 => word(rest).map(|(block, octets)| Packet::Data { block, octets }),
            4 => word(rest).map(|(block, _)| Packet::Ack(block)),
            5 => word(rest).map(|(code, text)| Packet::Error { code, message: shown(text) }),
            6 => Ok(Packet::Oack(options(rest))),
            _ => Err(Malformed),
        }
    }
}

fn word(octets: &[u8]) -> Result<(u16, &[u8]), Malformed> {
    let (word, rest) = octets.split_first_chunk().ok_or(Malformed)?;
    Ok((u16::from_be_bytes(*word), rest))
}

/// The octets before the first NUL, and those after it.
fn string(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = octets.iter().position(|octet| *octet == 0)?;
    Some((octets.get(..end)?, octets.get(end + 1..)?))
}

fn request(octets: &[u8]) -> Result<Request<'_>, Malformed> {
    let (name, rest) = string(octets).ok_or(Malformed)?;
    let (mode, rest) = string(rest).ok_or(Malformed)?;
    // A mode is a word; anything else is not a request.
    if mode.is_empty() || !mode.iter().all(u8::is_ascii_alphanumeric) {
        return Err(Malformed);
    }
    let is = |word: &str| mode.eq_ignore_ascii_case(word.as_bytes());
    let mode = match () {
        () if is("octet") => Mode::Octet,
        () if is("netascii") => Mode::Netascii,
        () if is("mail") => Mode::Mail,
        () => Mode::Unknown,
    };
    Ok(Request { name, mode, options: options(rest) })
}

/// Options up to the first thing that is none: padding, or a pair that is not whole.
fn options(mut rest: &[u8]) -> Vec<(&str, &str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    while found.len() < MOST_OPTIONS {
        let Some((name, after)) = string(rest) else { break };
        let Some((value, after)) = string(after) else { break };
        let (Ok(name), Ok(value)) = (str::from_utf8(name), str::from_utf8(value)) else { break };
        if name.is_empty() {
            break;
        }
        if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            found.push((name, value));
        }
        rest = after;
    }
    found
}

/// A client's text, up to its NUL, for logs and traces: printable ASCII only, and not much of it.
pub fn shown(text: &[u8]) -> String {
    let text = text.iter().take_while(|octet| **octet != 0).take(LONGEST_MESSAGE);
    text.map(|octet| if octet.is_ascii_graphic() || *octet == b' ' { char::from(*octet) } else { '?' }).collect()
}

/// Appends a DATA packet's first four octets.
pub fn data_header(block: u16, out: &mut Vec<u8>) {
    out.extend([0, 3]);
    out.extend(block.to_be_bytes());
}

/// An ACK packet.
pub fn ack(block: u16) -> [u8; 4] {
    let [high, low] = block.to_be_bytes();
    [0, 4, high, low]
}

/// An ERROR packet.
pub fn error(code: u16, message: &str) -> Vec<u8> {
    let mut out = vec![0, 5];
    out.extend(code.to_be_bytes());
    out.extend(message.bytes().filter(|octet| *octet != 0).take(LONGEST_MESSAGE));
    out.push(0);
    out
}

/// An OACK packet.
pub fn oack(options: &[(String, String)]) -> Vec<u8> {
    let mut out = vec![0, 6];
    strings(options.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]), &mut out);
    out
}

/// An RRQ packet, as a client sends it.
pub fn read_request(name: &str, mode: &str, options: &[(&str, &str)]) -> Vec<u8> {
    let mut out = vec![0, 1];
    strings([name, mode].into_iter().chain(options.iter().flat_map(|(name, value)| [*name, *value])), &mut out);
    out
}

fn strings<'a>(parts: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    for part in parts {
        out.extend(part.bytes().filter(|octet| *octet != 0));
        out.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_as_real_clients_send_them() {
        let edk2 = b"\0\x01ipxe.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0";
        let wanted = Request {
            name: b"ipxe.efi",
            mode: Mode::Octet,
            options: vec![("tsize", "0"), ("blksize", "1468"), ("windowsize", "4")],
        };
        assert_eq!(Packet::parse(edk2), Ok(Packet::Read(wanted.clone())));
        assert_eq!(read_request("ipxe.efi", "octet", &wanted.options), edk2);
        // No options; a mode in capitals; padding after the end.
        for old in [&b"\0\x01a\0OCTET\0"[..], b"\0\x01a\0Octet\0\0\0\0\0", b"\0\x01a\0octet\0blksize\x00512"] {
            let wanted = Request { name: b"a", mode: Mode::Octet, options: Vec::new() };
            assert_eq!(Packet::parse(old), Ok(Packet::Read(wanted)), "{old:?}");
        }
        let Ok(Packet::Read(twice)) = Packet::parse(b"\0\x01a\0octet\0blksize\x00512\0BLKSIZE\x001024\0") else {
            panic!("a request")
        };
        assert_eq!(twice.options, [("blksize", "512")]);
    }

    #[test]
    fn what_is_no_packet() {
        for bad in [
            &b""[..],
            b"\0",
            b"\0\x01",
            b"\0\x01name",
            b"\0\x01name\0",
            b"\0\x01name\0octet",
            b"\0\x01name\0\0",
            b"\0\x01name\0oc tet\0",
            b"\0\x03\0",
            b"\0\x04",
            b"\0\x05\0",
            b"\0\x07\0\x01",
            b"\x01\0a\0octet\0",
        ] {
            assert_eq!(Packet::parse(bad), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn packets_come_back_as_they_went() {
        assert_eq!(Packet::parse(&ack(0xbeef)), Ok(Packet::Ack(0xbeef)));
        let mut data = Vec::new();
        data_header(7, &mut data);
        data.extend(b"x");
        assert_eq!(Packet::parse(&data), Ok(Packet::Data { block: 7, octets: b"x" }));
        let gone = Packet::Error { code: 1, message: "no such file".into() };
        assert_eq!(Packet::parse(&error(1, "no such\0 file")), Ok(gone));
        let oack = oack(&[("tsize".into(), "9".into())]);
        assert_eq!(Packet::parse(&oack), Ok(Packet::Oack(vec![("tsize", "9")])));
        assert_eq!(shown(b"User aborted\x1b[2J\xff the transfer\0rest"), "User aborted?[2J? the transfer");
    }
}
