//! DHCP (RFC 2131, behind a relay) and TFTP (RFC 1350, 2347 to 2349) as firmware speaks them. Written by hand, not
//! with the library the server uses, so that the two judge each other.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::machine::{Ack, DhcpClient};
use crate::model::Mac;

/// A lease as the client got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// Address and boot file.
    pub ack: Ack,
    /// Option 51.
    pub time: Duration,
}

/// The network between a client and the DHCP server.
#[derive(Clone, Copy, Debug)]
pub struct Relay {
    /// The relay's address on the client's segment (`giaddr`).
    pub address: Ipv4Addr,
    /// The server.
    pub server: SocketAddrV4,
}

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;
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
        let discover = packet(relay, mac, client, xid, DISCOVER, requested, None);
        let offer = ask(&socket, relay.server, &discover, xid, mac, &[OFFER], patience).await?;
        let request = packet(relay, mac, client, xid, REQUEST, Some(offer.ip), offer.server);
        let ack = ask(&socket, relay.server, &request, xid, mac, &[ACK, NAK], patience).await?;
        if ack.kind == NAK {
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
    kinds: &[u8],
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
    kind: u8,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
) -> Vec<u8> {
    let mut out = vec![1, 1, 6, 1];
    out.extend(xid.to_be_bytes());
    out.extend([0, 4, 0x80, 0]); // secs, broadcast flag
    out.extend([0; 12]); // ciaddr, yiaddr, siaddr
    out.extend(relay.address.octets());
    out.extend(mac.0);
    out.extend([0; 10 + 64 + 128]);
    out.extend(COOKIE);
    let mut option = |code: u8, value: &[u8]| {
        out.extend([code, value.len() as u8]);
        out.extend(value);
    };
    option(53, &[kind]);
    option(55, &[1, 3, 6, 12, 15, 43, 60, 66, 67, 175]);
    option(57, &1472u16.to_be_bytes());
    match client {
        DhcpClient::Pxe(arch) | DhcpClient::Ipxe(arch) => {
            option(60, format!("PXEClient:Arch:{arch:05}:UNDI:003010").as_bytes());
            option(93, &arch.to_be_bytes());
            option(94, &[1, 3, 10]);
            option(97, &uuid(mac));
        }
        DhcpClient::Http(arch) => {
            option(60, format!("HTTPClient:Arch:{arch:05}:UNDI:003010").as_bytes());
            option(93, &arch.to_be_bytes());
            option(94, &[1, 3, 10]);
            option(97, &uuid(mac));
        }
        // An operating system shows another client id than the firmware before it (RFC 4361).
        DhcpClient::Os => option(61, &[&[255, 0, 0, 0, 1, 0, 2], &mac.0[..]].concat()),
    }
    if let DhcpClient::Ipxe(_) = client {
        option(77, b"iPXE");
        option(175, &[0xb1, 5, 1, 0x80, 0x86, 0x10, 0x0e, 0x13, 1, 1, 0xeb, 3, 1, 0x15, 0]);
    }
    if let Some(address) = requested {
        option(50, &address.octets());
    }
    if let Some(address) = server {
        option(54, &address.octets());
    }
    out.push(255);
    out.resize(out.len().max(300), 0);
    out
}

/// RFC 4578 section 2.3: type 0 and a UUID.
fn uuid(mac: Mac) -> [u8; 17] {
    let mut uuid = [0; 17];
    uuid[1..5].copy_from_slice(&[0x4c, 0x4c, 0x45, 0x44]);
    uuid[11..].copy_from_slice(&mac.0);
    uuid
}

struct Answer {
    kind: u8,
    ip: Ipv4Addr,
    server: Option<Ipv4Addr>,
    next_server: Ipv4Addr,
    file: Option<String>,
    time: u32,
    /// Option 60 begins with `HTTPClient`.
    http: bool,
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))
}

fn parse(packet: &[u8], xid: u32, mac: Mac) -> Option<Answer> {
    let mine = packet.len() > 240
        && packet[0] == 2
        && packet[4..8] == xid.to_be_bytes()
        && packet[28..34] == mac.0
        && packet[236..240] == COOKIE;
    if !mine {
        return None;
    }
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        String::from_utf8(bytes[..end].to_vec()).ok().filter(|text| !text.is_empty())
    };
    let mut answer = Answer {
        kind: 0,
        ip: address(&packet[16..20])?,
        server: None,
        next_server: address(&packet[20..24])?,
        file: text(&packet[108..236]),
        time: 3600,
        http: false,
    };
    let mut rest = &packet[240..];
    loop {
        let (code, after) = rest.split_first()?;
        match code {
            0 => rest = after,
            255 => return Some(answer),
            _ => {
                let (size, after) = after.split_first()?;
                let value = after.get(..usize::from(*size))?;
                rest = &after[value.len()..];
                match code {
                    53 => answer.kind = *value.first()?,
                    54 => answer.server = address(value),
                    51 => answer.time = u32::from_be_bytes(value.try_into().ok()?),
                    66 if answer.next_server.is_unspecified() => {
                        answer.next_server =
                            text(value).and_then(|text| text.parse().ok()).unwrap_or(answer.next_server);
                    }
                    60 => answer.http = value.starts_with(b"HTTPClient"),
                    67 => answer.file = text(value).or(answer.file),
                    _ => {}
                }
            }
        }
    }
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
        let packet = packet(RELAY, MAC, DhcpClient::Ipxe(7), 7, DISCOVER, None, None);
        assert!(packet.len() >= 300 && packet[24..28] == [127, 88, 0, 2] && packet[28..34] == MAC.0);
        assert!(packet.windows(6).any(|bytes| bytes == b"\x4d\x04iPXE"));
    }

    #[test]
    fn answers_are_read_and_strangers_ignored() {
        let mut ack = packet(RELAY, MAC, DhcpClient::Os, 7, ACK, None, Some(Ipv4Addr::LOCALHOST));
        ack[0] = 2;
        ack[16..20].copy_from_slice(&[127, 88, 0, 9]);
        ack[108..113].copy_from_slice(b"x.efi");
        let answer = parse(&ack, 7, MAC).unwrap();
        assert_eq!((answer.kind, answer.ip), (ACK, Ipv4Addr::new(127, 88, 0, 9)));
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
