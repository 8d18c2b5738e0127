//! Ports: free, held by us, or held by somebody else; and whether we may take them.

use std::net::Ipv4Addr;

use super::Check;
use super::judge::BIND_SERVICE;
use super::machine::{Machine, Socket};
use crate::settings::{DhcpMode, Settings};

struct Wanted {
    service: &'static str,
    protocol: &'static str,
    address: Ipv4Addr,
    port: u16,
}

/// One check for each port.
pub fn ports(settings: &Settings, machine: &Machine, running: bool) -> Vec<Check> {
    wanted(settings).iter().map(|wanted| port(wanted, machine, running)).collect()
}

fn wanted(settings: &Settings) -> Vec<Wanted> {
    let network = &settings.network;
    let want = |service, protocol, address, port| Wanted { service, protocol, address, port };
    // Broadcasts are heard on no address in particular.
    let any = Ipv4Addr::UNSPECIFIED;
    let mut list = Vec::new();
    if network.dhcp_mode != DhcpMode::Off {
        list.push(want("DHCP", "UDP", any, network.dhcp_port));
    }
    if network.dhcp_mode == DhcpMode::Proxy && network.dhcp_port == 67 {
        list.push(want("proxy DHCP", "UDP", any, 4011));
    }
    list.push(want("TFTP", "UDP", network.listen, network.tftp_port));
    list.push(want("HTTP", "TCP", network.listen, network.http_port));
    list.retain(|wanted| wanted.port != 0);
    list
}

fn port(wanted: &Wanted, machine: &Machine, running: bool) -> Check {
    let Wanted { service, protocol, port, .. } = wanted;
    let name = format!("{service} port");
    let mut held = machine.sockets.iter().filter(|socket| conflicts(wanted, socket));
    let Some(socket) = held.clone().find(|socket| !is_ours(machine, socket)).or_else(|| held.next()) else {
        if *port < machine.unprivileged && !machine.can(BIND_SERVICE) {
            return Check::fail(
                name,
                format!("{protocol} {port} is free, but this user may not take it"),
                "run it as root or with AmbientCapabilities=CAP_NET_BIND_SERVICE, or set a port above 1023",
            );
        }
        return Check::ok(name, format!("{protocol} {port} is free"));
    };
    match machine.holders.get(&socket.inode) {
        Some((program, number)) if program == "rackwright" => {
            Check::ok(name, format!("{protocol} {port} is held by a running rackwright (pid {number})"))
        }
        Some((program, number)) => Check::fail(
            name,
            format!("{protocol} {port} is held by {program} (pid {number})"),
            format!("stop it (systemctl disable --now {program}), or let one of the two use another address or port"),
        ),
        // Who it is is for root to see; that a daemon of ours answers is enough.
        None if running => Check::ok(name, format!("{protocol} {port} is held; a rackwright is running")),
        None => Check::fail(
            name,
            format!("{protocol} {port} is held by a process that this user cannot see"),
            format!("find it with `ss -lnp 'sport = :{port}'` as root, and stop it"),
        ),
    }
}

fn is_ours(machine: &Machine, socket: &Socket) -> bool {
    machine.holders.get(&socket.inode).is_some_and(|(program, _)| program == "rackwright")
}

/// A socket bound to no address is in the way of every address, and the other way round.
fn conflicts(wanted: &Wanted, socket: &Socket) -> bool {
    let overlap = socket
        .address
        .is_none_or(|address| address == wanted.address || address.is_unspecified() || wanted.address.is_unspecified());
    socket.protocol == wanted.protocol && socket.port == wanted.port && overlap
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::preflight::{Grade, judge};

    fn machine(sockets: &[(&'static str, [u8; 4], u16, u64)]) -> Machine {
        let socket = |(protocol, address, port, inode): &(&'static str, [u8; 4], u16, u64)| Socket {
            protocol,
            address: Some((*address).into()),
            port: *port,
            inode: *inode,
        };
        Machine {
            capabilities: 1 << BIND_SERVICE,
            unprivileged: 1024,
            sockets: sockets.iter().map(socket).collect(),
            holders: [(1, ("dnsmasq".to_owned(), 812)), (2, ("rackwright".to_owned(), 99))].into(),
            ..Machine::default()
        }
    }

    fn found(machine: &Machine, running: bool) -> Vec<(Grade, String)> {
        let settings = judge::tests::settings("");
        ports(&settings, machine, running).into_iter().map(|check| (check.grade, check.found)).collect()
    }

    #[test]
    fn free_ports_need_the_right_to_take_them() {
        let grades = |machine: &Machine| found(machine, false).into_iter().map(|(grade, _)| grade).collect::<Vec<_>>();
        let mut machine = machine(&[]);
        assert_eq!(grades(&machine), [Grade::Ok; 3]);
        machine.capabilities = 0;
        assert_eq!(grades(&machine), [Grade::Fail, Grade::Fail, Grade::Ok], "9999 is anybody's");
    }

    #[test]
    fn holders_are_named() {
        let list = found(&machine(&[("UDP", [0, 0, 0, 0], 67, 1)]), false);
        assert_eq!(list[0], (Grade::Fail, "UDP 67 is held by dnsmasq (pid 812)".into()));
        let list = found(&machine(&[("UDP", [0, 0, 0, 0], 67, 2), ("UDP", [10, 9, 9, 9], 67, 1)]), false);
        assert_eq!(list[0].1, "UDP 67 is held by dnsmasq (pid 812)", "the stranger among them is what counts");
        let list = found(&machine(&[("TCP", [10, 255, 255, 1], 9999, 2)]), true);
        assert_eq!(list[2], (Grade::Ok, "TCP 9999 is held by a running rackwright (pid 99)".into()));
        let unseen = machine(&[("UDP", [10, 255, 255, 1], 69, 3)]);
        assert_eq!((found(&unseen, false)[1].0, found(&unseen, true)[1].0), (Grade::Fail, Grade::Ok));
        assert_eq!(found(&machine(&[("UDP", [192, 0, 2, 1], 69, 1)]), false)[1].0, Grade::Ok, "another address");
    }
}
