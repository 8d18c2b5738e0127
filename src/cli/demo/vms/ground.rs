//! The network under the machines, in a network namespace of its own: a bridge with the server's address, a tap for
//! every machine, a cable for every BMC. It goes when its namespace goes, which is when the last process in it ends.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6};
use std::time::Duration;

use anyhow::{Context as _, bail};
use socket2::{Domain, Protocol, Socket, Type};

use crate::drive::process::Run;
use crate::model::Mac;

/// The bridge that everything is plugged into.
pub const BRIDGE: &str = "br0";

/// Runs lines of iproute2 commands.
pub async fn ip(lines: &[String]) -> anyhow::Result<()> {
    let run = Run::new("ip").args(["-batch", "-"]);
    let output = Run { stdin: (lines.join("\n") + "\n").into_bytes(), ..run }.output().await?;
    if !output.success() {
        bail!("ip: {}", output.stderr.trim());
    }
    Ok(())
}

/// Lays the segment: the bridge with `server/24`, `taps` taps `tap0`, …, and an interface `bmc<index>` for every BMC.
pub async fn lay(server: Ipv4Addr, taps: usize, bmcs: &[(usize, Mac)]) -> anyhow::Result<()> {
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"),
        format!("address add {server}/24 dev {BRIDGE}"),
        format!("link set {BRIDGE} up"),
    ];
    lines.extend((0..taps).flat_map(|tap| tap_lines(tap, BRIDGE)));
    for (index, mac) in bmcs {
        lines.push(format!("link add bmc{index} address {mac} type veth peer name bmcport{index}"));
        lines.push(format!("link set bmcport{index} master {BRIDGE} up"));
        lines.push(format!("link set bmc{index} up"));
    }
    ip(&lines).await.context("the network of the machines")
}

/// A tap for a machine, plugged into a bridge.
pub fn tap_lines(tap: usize, bridge: &str) -> [String; 2] {
    [format!("tuntap add dev tap{tap} mode tap"), format!("link set tap{tap} master {bridge} up")]
}

/// How often a router is announced.
const ADVERT_EVERY: Duration = Duration::from_millis(500);
/// ICMPv6 type 134, no flags, lifetime 0 (RFC 4861 section 4.2): an advertisement of a router that routes nothing. The
/// kernel fills the checksum in.
const ADVERT: [u8; 16] = [134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Announces a router on an interface for ever. iPXE configures IPv6 beside IPv4 and waits for a router for thirteen
/// seconds, although it has had its DHCP answer long before; one that says there is nothing to be had ends the wait.
pub async fn advertise(interface: &str) -> anyhow::Result<()> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    // Section 6.1.2: any other hop limit comes from beyond the segment.
    socket.set_multicast_hops_v6(255)?;
    let all_nodes = SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, 0);
    let mut every = tokio::time::interval(ADVERT_EVERY);
    loop {
        every.tick().await;
        // The interface has no address of its own to send from until duplicate address detection is through.
        if let Err(error) = socket.send_to(&ADVERT, &all_nodes.into()) {
            tracing::debug!(%error, "router advertisement not sent");
        }
    }
}
