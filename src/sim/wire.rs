//! DHCP (RFC 2131, behind a relay) and TFTP (RFC 1350, 2347 to 2349) as firmware speaks them. DHCP messages are written
//! and read by dhcproto, not by the server's own code, so that somebody else judges the server.
#![allow(missing_docs, reason = "the names say the rest")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode, UnknownOption};
use dhcproto::{Decodable as _, Encodable as _};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::machine::{Ack, DhcpClient};
use crate::model::Mac;

/// A lease as the client got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// Address and boot file.
    pub ack: Ack,
    pub time: Duration,
}

/// The network between a client and the DHCP server.
#[derive(Clone, Copy, Debug)]
pub struct Relay {
    /// The relay's address on the client's segment (`giaddr`).
    pub address: Ipv4Addr,
    pub server: SocketAddrV4,
}

const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// The least size of a message (RFC 1542, section 2.1).
const LEAST: usize = 300;
/// Times each packet is sent.
const TRIES: u32 = 4;

static XID: AtomicU32 = AtomicU32::new(1);

/// DISCOVER, OFFER, REQUEST, ACK through the relay.
pub async fn lease(
    relay: Relay,
    mac: Mac,
    client: DhcpClient,
    requested: Option<Ipv4Addr>,
    patience: Duration,
) -> io::Result<Leased> {
    let socket = UdpSocket::bind((relay.address, 0)).await?;
    let xid = XID.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9) ^ u32::from(mac.0[5]);
    let exchange = async {
        let discover = packet(relay, mac, client, xid, MessageType::Discover, requested, None)?;
        let offer = ask(&socket, relay.server, &discover, xid, mac, &[MessageType::Offer], patience).await?;
        let request = packet(relay, mac, client, xid, MessageType::Request, Some(offer.ip), offer.server)?;
        let ack =
            ask(&socket, relay.server, &request, xid, mac, &[MessageType::Ack, MessageType::Nak], patience).await?;
        if ack.kind == MessageType::Nak {
            return Err(io::Error::other("DHCPNAK"));
        }
        // HTTP Boot firmware takes its URL only from a server that says so (UEFI 2.10, section 24.7.3.1).
        let for_me = ack.http || !matches!(client, DhcpClient::Http(_));
        Ok(Leased {
            ack: Ack { ip: ack.ip, next_server: ack.next_server, file: ack.file.filter(|_| for_me) },
            time: Duration::from_secs(u64::from(ack.time)),
        })
    };
    timeout(patience, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn ask(
    socket: &UdpSocket,
    server: SocketAddrV4,
    packet: &[u8],
    xid: u32,
    mac: Mac,
    kinds: &[MessageType],
    patience: Duration,
) -> io::Result<Answer> {
    let mut buffer = vec![0; 1500];
    for _ in 0..TRIES {
        socket.send_to(packet, server).await?;
        let heard = timeout(patience / TRIES, async {
            loop {
                let (size, _) = socket.recv_from(&mut buffer).await.ok()?;
                let answer = parse(&buffer[..size], xid, mac).filter(|answer| kinds.contains(&answer.kind));
                if answer.is_some() {
                    return answer;
                }
            }
        });
        if let Ok(Some(answer)) = heard.await {
            return Ok(answer);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// A request as it leaves the relay.
fn packet(
    relay: Relay,
    mac: Mac,
    client: DhcpClient,
    xid: u32,
    kind: MessageType,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
) -> io::Result<Vec<u8>> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(xid, none, none, none, relay.address, &mac.0);
    message.set_hops(1).set_secs(4).set_flags(Flags::default().set_broadcast());
    let options = message.opts_mut();
    let wanted = [1, 3, 6, 12, 15, 43, 60, 66, 67, 175].map(OptionCode::from);
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ParameterRequestList(wanted.to_vec()));
    options.insert(DhcpOption::MaxMessageSize(1472));
    let firmware = match client {
        DhcpClient::Pxe(arch) | DhcpClient::Ipxe(arch) => Some(("PXEClient", arch)),
        DhcpClient::Http(arch) => Some(("HTTPClient", arch)),
        DhcpClient::Os => None,
    };
    if let Some((class, arch)) = firmware {
        let class = format!("{class}:Arch:{arch:05}:UNDI:003010");
        options.insert(DhcpOption::ClassIdentifier(class.into_bytes()));
        options.insert(DhcpOption::ClientSystemArchitecture(arch.into()));
        options.insert(DhcpOption::ClientNetworkInterface(1, 3, 10));
        options.insert(DhcpOption::ClientMachineIdentifier(uuid(mac).to_vec()));
    } else {
        // An operating system shows another client id than the firmware before it (RFC 4361).
        options.insert(DhcpOption::ClientIdentifier([&[255, 0, 0, 0, 1, 0, 2], &mac.0[..]].concat()));
    }
    if let DhcpClient::Ipxe(_) = client {
        options.insert(DhcpOption::UserClass(b"iPXE".to_vec()));
        let features = [0xb1, 5, 1, 0x80, 0x86, 0x10, 0x0e, 0x13, 1, 1, 0xeb, 3, 1, 0x15, 0];
        options.insert(DhcpOption::Unknown(UnknownOption::new(OptionCode::from(175), features.to_vec())));
    }
    let requested = requested.map(DhcpOption::RequestedIpAddress);
    for option in requested.into_iter().chain(server.map(DhcpOption::ServerIdentifier)) {
        options.insert(option);
    }
    let mut bytes = message.to_vec().map_err(io::Error::other)?;
    // dhcproto does not pad.
    bytes.resize(bytes.len().max(LEAST), 0);
    Ok(bytes)
}

/// RFC 4578 section 2.3: type 0 and a UUID.
fn uuid(mac: Mac) -> [u8; 17] {
    let mut uuid = [0; 17];
    uuid[1..5].copy_from_slice(&[0x4c, 0x4c, 0x45, 0x44]);
    uuid[11..].copy_from_slice(&mac.0);
    uuid
}

struct Answer {
    kind: MessageType,
    ip: Ipv4Addr,
    server: Option<Ipv4Addr>,
    next_server: Ipv4Addr,
    file: Option<String>,
    time: u32,
    /// Option 60 begins with `HTTPClient`.
    http: bool,
}

/// What a server answered to this request; `None` for anything else.
fn parse(packet: &[u8], xid: u32, mac: Mac) -> Option<Answer> {
    // dhcproto checks neither, and panics where `hlen` is too large.
    if packet.get(236..240)? != COOKIE || usize::from(packet[2]) != mac.0.len() {
        return None;
    }
    let message = Message::from_bytes(packet).ok()?;
    if message.opcode() != Opcode::BootReply || message.xid() != xid || message.chaddr() != mac.0 {
        return None;
    }
    let options = message.opts();
    let bytes = |code| match options.get(code) {
        Some(
            DhcpOption::ClassIdentifier(bytes) | DhcpOption::TFTPServerName(bytes) | DhcpOption::BootfileName(bytes),
        ) => bytes.as_slice(),
        _ => &[],
    };
    let next_server = Some(message.siaddr()).filter(|ip| !ip.is_unspecified());
    let named = || text(bytes(OptionCode::TFTPServerName))?.parse().ok();
    Some(Answer {
        kind: options.msg_type()?,
        ip: message.yiaddr(),
        server: match options.get(OptionCode::ServerIdentifier) {
            Some(DhcpOption::ServerIdentifier(ip)) => Some(*ip),
            _ => None,
        },
        next_server: next_server.or_else(named).unwrap_or(Ipv4Addr::UNSPECIFIED),
        file: text(bytes(OptionCode::BootfileName)).or_else(|| text(message.fname()?)),
        time: match options.get(OptionCode::AddressLeaseTime) {
            Some(DhcpOption::AddressLeaseTime(secs)) => *secs,
            _ => 3600,
        },
        http: bytes(OptionCode::ClassIdentifier).starts_with(b"HTTPClient"),
    })
}

/// A text up to its first NUL, unless it is empty.
fn text(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok().filter(|text| !text.is_empty())
}

/// The largest file that is read.
const FILE_CAP: usize = 64 << 20;

/// Reads a file by TFTP, in octet mode, with `blksize` and `tsize`.
pub async fn tftp(from: Ipv4Addr, server: SocketAddrV4, name: &str, patience: Duration) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind((from, 0)).await?;
    timeout(patience, read_tftp(&socket, server, name, patience / TRIES))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn read_tftp(socket: &UdpSocket, server: SocketAddrV4, name: &str, wait: Duration) -> io::Result<Vec<u8>> {
    let mut out = vec![0, 1];
    for word in [name, "octet", "blksize", "1428", "tsize", "0"] {
        out.extend(word.bytes().chain([0]));
    }
    let (mut to, mut known) = (SocketAddr::V4(server), false);
    let (mut body, mut block, mut size) = (Vec::new(), 0u16, 512usize);
    let mut buffer = vec![0; 4 + 65_464];
    let mut tries = 0;
    loop {
        socket.send_to(&out, to).await?;
        let Ok(heard) = timeout(wait, socket.recv_from(&mut buffer)).await else {
            tries += 1;
            if tries >= TRIES {
                return Err(io::ErrorKind::TimedOut.into());
            }
            continue;
        };
        let (length, peer) = heard?;
        if peer.ip() != to.ip() || (known && peer != to) {
            continue;
        }
        (to, known) = (peer, true);
        match buffer[..length] {
            [0, 3, high, low, ref data @ ..] => {
                if u16::from_be_bytes([high, low]) == block.wrapping_add(1) {
                    block = block.wrapping_add(1);
                    tries = 0;
                    body.extend_from_slice(data);
                    if body.len() > FILE_CAP {
                        return Err(io::Error::other("the file is too large"));
                    }
                    if data.len() < size {
                        socket.send_to(&[0, 4, high, low], to).await?;
                        return Ok(body);
                    }
                }
            }
            [0, 6, ref options @ ..] => {
                let mut words =
                    options.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase());
                while let (Some(name), Some(value)) = (words.next(), words.next()) {
                    if name == "blksize" {
                        size = value.parse().ok().filter(|size| (8..=1428).contains(size)).unwrap_or(size);
                    }
                }
            }
            [0, 5, _, code, ref text @ ..] => {
                let text = String::from_utf8_lossy(text).trim_end_matches('\0').to_owned();
                return Err(io::Error::other(format!("TFTP error {code}: {text}")));
            }
            _ => continue,
        }
        let [high, low] = block.to_be_bytes();
        out = vec![0, 4, high, low];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAY: Relay =
        Relay { address: Ipv4Addr::new(127, 88, 0, 2), server: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1067) };
    const MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);

    #[test]
    fn requests_are_what_a_relay_forwards() {
        let packet = packet(RELAY, MAC, DhcpClient::Ipxe(7), 7, MessageType::Discover, None, None).unwrap();
        assert!(packet.len() >= 300 && packet[24..28] == [127, 88, 0, 2] && packet[28..34] == MAC.0);
        assert!(packet.windows(6).any(|bytes| bytes == b"\x4d\x04iPXE"));
    }

    #[test]
    fn answers_are_read_and_strangers_ignored() {
        let mut ack = packet(RELAY, MAC, DhcpClient::Os, 7, MessageType::Ack, None, Some(Ipv4Addr::LOCALHOST)).unwrap();
        ack[0] = 2;
        ack[16..20].copy_from_slice(&[127, 88, 0, 9]);
        ack[108..113].copy_from_slice(b"x.efi");
        let answer = parse(&ack, 7, MAC).unwrap();
        assert_eq!((answer.kind, answer.ip), (MessageType::Ack, Ipv4Addr::new(127, 88, 0, 9)));
        assert_eq!(answer.file.as_deref(), Some("x.efi"));
        assert!(parse(&ack, 8, MAC).is_none() && parse(&ack, 7, Mac([2; 6])).is_none());
        for cut in 0..ack.len() {
            let _ = parse(&ack[..cut], 7, MAC);
        }
    }

    #[tokio::test]
    async fn reads_a_file_of_several_blocks() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let SocketAddr::V4(at) = server.local_addr().unwrap() else { unreachable!() };
        let wanted: Vec<u8> = (0..3000u32).map(|n| n as u8).collect();
        let sent = wanted.clone();
        let serve = async {
            let mut buffer = [0; 600];
            let (size, peer) = server.recv_from(&mut buffer).await.unwrap();
            assert!(buffer[..size].starts_with(b"\0\x01a/b\0octet\0"));
            let transfer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            transfer.send_to(b"\0\x06blksize\x001000\0tsize\x003000\0", peer).await.unwrap();
            for block in 0..=4u16 {
                let (size, _) = transfer.recv_from(&mut buffer).await.unwrap();
                assert_eq!(buffer[..size], [0, 4, 0, block as u8]);
                if block < 4 {
                    let data = sent.chunks(1000).nth(usize::from(block)).unwrap_or_default();
                    transfer.send_to(&[&[0, 3, 0, block as u8 + 1], data].concat(), peer).await.unwrap();
                }
            }
        };
        let read = tftp(Ipv4Addr::LOCALHOST, at, "a/b", Duration::from_secs(5));
        let (got, ()) = tokio::join!(read, serve);
        assert_eq!(got.unwrap(), wanted);
    }
}
