//! Looks for other DHCP servers: two DISCOVERs (a plain one and a PXE one) with a made-up address, whose offers are read
//! and never requested.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::Check;
use super::machine::Machine;
use crate::settings::{DhcpMode, Settings};

/// How long offers are listened for. Servers that ping an address before they offer it take a second for that.
const LISTEN: Duration = Duration::from_secs(4);
const MOST: usize = 256;
/// Octets of header, `sname`, `file` and cookie (RFC 2131).
const HEADER: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const CLIENT: u16 = 68;
const SERVER: u16 = 67;

/// What others offer, and what that means in this mode.
pub async fn others(settings: &Settings, machine: &Machine) -> Option<Check> {
    let network = &settings.network;
    if network.dhcp_port != SERVER {
        return None;
    }
    let name = "other DHCP servers";
    let holding = [network.listen, network.address].into_iter().find_map(|address| machine.holds(address));
    let interface = network.interface.as_deref().or(holding.map(|link| link.name.as_str()));
    let Some(interface) = interface else {
        let found = "not looked for: no interface has network.address";
        return Some(Check::warning(name, found, "put the address on the boot interface first"));
    };
    let known = machine.links.iter().flatten().find(|link| link.name == interface);
    if known.is_some_and(|link| link.is("LOOPBACK")) {
        return None;
    }
    Some(match offers(interface).await {
        Ok(offers) => judge(network.dhcp_mode, &offers, |ip| ip == network.address || machine.holds(ip).is_some()),
        Err(error) => {
            let holder = machine.sockets.iter().find(|socket| socket.protocol == "UDP" && socket.port == CLIENT);
            let holder = holder.and_then(|socket| machine.holders.get(&socket.inode));
            let holder =
                holder.map(|(program, pid)| format!("; it is held by {program} (pid {pid})")).unwrap_or_default();
            let advice = "run it as root, and where no DHCP client holds UDP 68, to have them looked for";
            Check::warning(name, format!("not looked for: UDP 68 on {interface}: {error}{holder}"), advice)
        }
    })
}

/// What was heard: servers, and whether each offers an address (or boot options only).
type Offers = BTreeMap<Ipv4Addr, bool>;

fn judge(mode: DhcpMode, offers: &Offers, ours: impl Fn(Ipv4Addr) -> bool) -> Check {
    let name = "other DHCP servers";
    let others: Vec<_> = offers.iter().filter(|(server, _)| !ours(**server)).collect();
    let shown = |(server, leases): &(&Ipv4Addr, &bool)| {
        if **leases { server.to_string() } else { format!("{server} (boot options only)") }
    };
    let list = others.iter().map(shown).collect::<Vec<_>>().join(", ");
    let leasing = others.iter().any(|(_, leases)| **leases);
    match (mode, others.is_empty()) {
        (DhcpMode::Full, true) => Check::ok(name, "none answered on this segment"),
        (DhcpMode::Full, false) => Check::fail(
            name,
            format!("{list} answers on this segment"),
            "switch it off there, or set network.dhcp.mode to proxy (or off, with `rackwright render --dhcp`)",
        ),
        (_, false) if leasing => Check::ok(name, format!("{list} answers, as it should in this mode")),
        _ => Check::warning(
            name,
            "no DHCP server handed out an address",
            "in this mode addresses are another server's; is it on this segment, or is its relay?",
        ),
    }
}

async fn offers(interface: &str) -> io::Result<Offers> {
    let socket = open(interface)?;
    let mut octets = [0; 8];
    getrandom::fill(&mut octets).map_err(|error| io::Error::other(error.to_string()))?;
    let (mut mac, mut transaction) = ([0; 6], [0; 4]);
    transaction.copy_from_slice(&octets[..4]);
    // Locally administered, no group address.
    mac.copy_from_slice(&[0x02, 0, octets[4], octets[5], octets[6], octets[7]]);
    let to = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::BROADCAST, SERVER));
    for pxe in [false, true] {
        socket.send_to(&discover(mac, transaction, pxe), to).await?;
    }
    let (mut found, mut buffer, until) = (Offers::new(), [0; 1500], Instant::now() + LISTEN);
    for _ in 0..MOST {
        let Ok(heard) = timeout_at(until, socket.recv_from(&mut buffer)).await else { break };
        if let Some((server, leases)) = heard.ok().and_then(|(length, _)| offer(&buffer[..length], mac, transaction)) {
            *found.entry(server).or_default() |= leases;
        }
    }
    Ok(found)
}

fn open(interface: &str) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_broadcast(true)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.bind(&SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT)).into())?;
    UdpSocket::from_std(socket.into())
}

/// A DISCOVER that asks for a broadcast answer (RFC 2131 section 4.1), as PXE firmware would when `pxe` (RFC 4578).
fn discover(mac: [u8; 6], transaction: [u8; 4], pxe: bool) -> Vec<u8> {
    let mut packet = vec![0; HEADER];
    packet[..4].copy_from_slice(&[1, 1, 6, 0]);
    packet[4..8].copy_from_slice(&transaction);
    packet[10] = 0x80;
    packet[28..34].copy_from_slice(&mac);
    packet[236..240].copy_from_slice(&COOKIE);
    packet.extend([53, 1, 1, 55, 6, 1, 3, 6, 54, 66, 67]);
    if pxe {
        let class = b"PXEClient:Arch:00007:UNDI:003016";
        packet.extend([60, 32]);
        packet.extend(class);
        packet.extend([93, 2, 0, 7, 94, 3, 1, 3, 16]);
    }
    packet.push(255);
    packet.resize(packet.len().max(300), 0);
    packet
}

/// The server of an OFFER that answers us, and whether it offers an address.
fn offer(packet: &[u8], mac: [u8; 6], transaction: [u8; 4]) -> Option<(Ipv4Addr, bool)> {
    let header = packet.get(..HEADER)?;
    if header[0] != 2 || header[4..8] != transaction || header[28..34] != mac || header[236..240] != COOKIE {
        return None;
    }
    let (mut rest, mut kind, mut server) = (&packet[HEADER..], None, None);
    while let [code, tail @ ..] = rest {
        match (code, tail) {
            (0, _) => rest = tail,
            (255, _) => break,
            (_, [length, data @ ..]) => {
                let value = data.get(..usize::from(*length))?;
                match (code, value) {
                    (53, [one]) => kind = Some(*one),
                    (54, [a, b, c, d]) => server = Some(Ipv4Addr::new(*a, *b, *c, *d)),
                    _ => {}
                }
                rest = &data[value.len()..];
            }
            (_, []) => return None,
        }
    }
    let leases = header[16..20] != [0; 4];
    (kind == Some(2)).then_some((server?, leases))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::preflight::Grade;

    const MAC: [u8; 6] = [2, 0, 1, 2, 3, 4];
    const ID: [u8; 4] = [9, 8, 7, 6];

    fn reply(kind: u8, leases: bool) -> Vec<u8> {
        let mut packet = discover(MAC, ID, false);
        packet[0] = 2;
        packet[19] = u8::from(leases);
        packet.truncate(HEADER);
        packet.extend([0, 53, 1, kind, 54, 4, 192, 0, 2, 66, 255]);
        packet
    }

    #[test]
    fn offers_are_read_and_nothing_else() {
        let server = Ipv4Addr::new(192, 0, 2, 66);
        assert_eq!(offer(&reply(2, true), MAC, ID), Some((server, true)));
        assert_eq!(offer(&reply(2, false), MAC, ID), Some((server, false)));
        assert_eq!(offer(&reply(5, true), MAC, ID), None, "an ACK");
        assert_eq!(offer(&reply(2, true), MAC, [0; 4]), None, "somebody else's");
        assert_eq!(offer(&discover(MAC, ID, true), MAC, ID), None, "our own");
        for length in 0..reply(2, true).len() - 1 {
            assert_eq!(offer(&reply(2, true)[..length], MAC, ID).filter(|_| length < 250), None);
        }
    }

    #[test]
    fn a_probe_is_a_well_formed_discover() {
        for pxe in [false, true] {
            let packet = discover(MAC, ID, pxe);
            assert!(packet.len() >= 300 && packet[0] == 1 && packet[10] == 0x80);
            assert_eq!(crate::serve::dhcp::wire::parse(&packet).map(|_| ()), Ok(()), "our own server reads it");
        }
    }

    #[test]
    fn what_others_mean_depends_on_the_mode() {
        let (us, them) = (Ipv4Addr::new(10, 255, 255, 1), Ipv4Addr::new(192, 0, 2, 66));
        let grade =
            |mode, offers: &[(Ipv4Addr, bool)]| judge(mode, &offers.iter().copied().collect(), |ip| ip == us).grade;
        assert_eq!(grade(DhcpMode::Full, &[]), Grade::Ok);
        assert_eq!(grade(DhcpMode::Full, &[(us, true)]), Grade::Ok, "a running rackwright");
        assert_eq!(grade(DhcpMode::Full, &[(us, true), (them, true)]), Grade::Fail);
        assert_eq!(grade(DhcpMode::Proxy, &[(them, true)]), Grade::Ok);
        assert_eq!(grade(DhcpMode::Proxy, &[(them, false)]), Grade::Warning);
        assert_eq!(grade(DhcpMode::Off, &[]), Grade::Warning);
    }
}
