//! The DHCP server: sockets around pure halves, [`wire`] (bytes), [`respond`](respond::respond) (what is answered),
//! [`netboot`] (what firmware is told, and all that is answered beside another server) and [`destination`] (to where).
//!
//! An OFFER needs no memory; an ACK is sent only after the lease is durable, and waiting for that holds nobody else up.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::net::{SocketAddr, SocketAddrV4};

use super::Context;
use super::counters::Counters;
use super::udp::Listener;
use crate::settings::DhcpMode;

pub mod counters;
pub mod destination;
pub mod frame;
mod interfaces;
pub mod netboot;
pub mod notes;
mod packet;
pub mod respond;
mod server;
pub mod wire;

use destination::{BOOT_SERVERS, WELL_KNOWN};
use packet::PacketSocket;
use server::{DhcpServer, Sockets};

/// Why the DHCP server cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// `network.dhcp.mode: off`; the caller should not have asked.
    #[error("network.dhcp.mode is `off`")]
    Off,
    #[error("cannot serve DHCP on {address}{}", interface.as_ref().map(|i| format!(" ({i})")).unwrap_or_default())]
    Bind { address: SocketAddrV4, interface: Option<String>, source: std::io::Error },
}

/// A DHCP server whose sockets are bound.
pub struct Server {
    sockets: Sockets,
    counters: Counters,
}

/// Binds the sockets that `network.dhcp` asks for.
///
/// Broadcasts reach no socket that is bound to an address, so the one for 67 is bound to none: which interfaces are
/// served is decided by where a datagram came in. On loopback there are no broadcasts.
pub async fn bind(ctx: &Context) -> Result<Server, ServeError> {
    let network = &ctx.settings.network;
    let proxy = match network.dhcp_mode {
        DhcpMode::Full => false,
        DhcpMode::Proxy => true,
        DhcpMode::Off => return Err(ServeError::Off),
    };
    let ip = if network.listen.is_loopback() { network.listen } else { std::net::Ipv4Addr::UNSPECIFIED };
    let open = |port| {
        let wanted = SocketAddrV4::new(ip, port);
        let at = SocketAddrV4::new(network.listen, port);
        let interface = network.interface.clone();
        Listener::bind(wanted, interface.as_deref()).map_err(|source| ServeError::Bind {
            address: at,
            interface,
            source,
        })
    };
    let main = open(network.dhcp_port)?;
    let boot = match network.dhcp_port {
        _ if !proxy => None,
        WELL_KNOWN => Some(open(BOOT_SERVERS)?),
        // A test's: any other.
        _ => Some(open(0)?),
    };
    let packets = if network.dhcp_port == WELL_KNOWN && !proxy { packet_socket() } else { None };
    Ok(Server { sockets: Sockets { main, boot, packets }, counters: counters::new() })
}

fn packet_socket() -> Option<PacketSocket> {
    let socket = PacketSocket::open();
    if let Err(error) = &socket {
        tracing::warn!(
            %error,
            "no packet socket (CAP_NET_RAW): DHCP answers to clients without an address are broadcast, and another DHCP \
             server is noticed only when a client chooses it"
        );
    }
    socket.ok()
}

impl Server {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        SocketAddr::V4(self.sockets.main.local())
    }

    /// Where it listens for clients that have an address from another server.
    pub fn boot_addr(&self) -> Option<SocketAddr> {
        self.sockets.boot.as_ref().map(|port| SocketAddr::V4(port.local()))
    }

    /// What it counts.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// Serves until the inbox closes.
    pub async fn run(self, ctx: Context) {
        DhcpServer::new(ctx, self.sockets, self.counters).run().await;
    }
}
