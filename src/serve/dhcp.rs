//! The DHCP server: sockets around two pure halves, [`wire`] (bytes) and [`respond`](respond::respond) (what is answered).
//!
//! An OFFER needs no memory; an ACK is sent only after the lease is durable, and waiting for that holds nobody else up.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::Context;
use crate::model::{Event, Time, Verdict};
use crate::settings::DhcpMode;

pub mod counters;
pub mod respond;
pub mod wire;

pub use counters::DhcpCounters;
use respond::{Answer, Offers};
use wire::{Kind, Packet, Reply, Request};

/// The port that clients and relays know (RFC 2131); any other is a test's or a demonstration's.
const WELL_KNOWN: u16 = 67;
/// Requests that may wait for the journal at once; more are dropped, and the client asks again.
const IN_FLIGHT: usize = 1024;
/// How often another server's presence is reported.
const FOREIGN_EVERY: Duration = Duration::from_secs(60);

/// Why the DHCP server cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// `network.dhcp.mode: proxy`.
    #[error("network.dhcp.mode `proxy` is not supported yet; use `full`, or `off` beside a DHCP server of your own")]
    ProxyUnsupported,
    /// `network.dhcp.mode: off`; the caller should not have asked.
    #[error("network.dhcp.mode is `off`")]
    Off,
    /// A socket could not be made as wanted.
    #[error("cannot serve DHCP on {address}{}", interface.as_ref().map(|i| format!(" ({i})")).unwrap_or_default())]
    Bind {
        /// The address wanted.
        address: SocketAddrV4,
        /// The interface wanted.
        interface: Option<String>,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// A DHCP server whose sockets are bound.
pub struct Server {
    /// Bound to `network.listen`: hears unicast, and everything leaves through it, so that broadcasts go out where
    /// that address lives.
    main: Arc<UdpSocket>,
    /// Bound to no address: hears broadcasts. Linux delivers those to no socket bound to an address.
    broadcasts: Option<UdpSocket>,
    local: SocketAddrV4,
    counters: Arc<DhcpCounters>,
}

/// Binds the sockets that `network.dhcp` asks for.
pub async fn bind(ctx: &Context) -> Result<Server, ServeError> {
    let network = &ctx.settings.network;
    match network.dhcp_mode {
        DhcpMode::Full => {}
        DhcpMode::Proxy => return Err(ServeError::ProxyUnsupported),
        DhcpMode::Off => return Err(ServeError::Off),
    }
    let wanted = SocketAddrV4::new(network.listen, network.dhcp_port);
    let sockets = open(wanted, network.interface.as_deref());
    let (main, broadcasts, local) =
        sockets.map_err(|source| ServeError::Bind { address: wanted, interface: network.interface.clone(), source })?;
    Ok(Server {
        main: Arc::new(main),
        broadcasts,
        local,
        counters: Arc::new(DhcpCounters::new("dhcp_", counters::NAMES)),
    })
}

type Sockets = (UdpSocket, Option<UdpSocket>, SocketAddrV4);

fn open(wanted: SocketAddrV4, interface: Option<&str>) -> std::io::Result<Sockets> {
    if wanted.ip().is_unspecified() || wanted.ip().is_loopback() {
        let main = socket(wanted, interface, false)?;
        let local = local_of(&main)?;
        return Ok((into_tokio(main)?, None, local));
    }
    // The first socket finds out whether somebody else has the port; only then may our second one share it, and once
    // both are bound nobody else.
    let any = socket(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, wanted.port()), interface, false)?;
    any.set_reuse_address(true)?;
    let port = local_of(&any)?.port();
    let main = socket(SocketAddrV4::new(*wanted.ip(), port), interface, true)?;
    any.set_reuse_address(false)?;
    main.set_reuse_address(false)?;
    let local = local_of(&main)?;
    Ok((into_tokio(main)?, Some(into_tokio(any)?), local))
}

fn socket(address: SocketAddrV4, interface: Option<&str>, share: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_broadcast(true)?;
    socket.set_reuse_address(share)?;
    // A rack that powers on asks all at once; the kernel's default holds some two hundred packets.
    socket.set_recv_buffer_size(4 << 20)?;
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.bind(&SocketAddr::V4(address).into())?;
    Ok(socket)
}

fn local_of(socket: &Socket) -> std::io::Result<SocketAddrV4> {
    let address = socket.local_addr()?.as_socket_ipv4();
    address.ok_or_else(|| std::io::Error::other("not an IPv4 socket"))
}

fn into_tokio(socket: Socket) -> std::io::Result<UdpSocket> {
    UdpSocket::from_std(socket.into())
}

impl Server {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        SocketAddr::V4(self.local)
    }

    /// What it counts.
    pub fn counters(&self) -> Arc<DhcpCounters> {
        self.counters.clone()
    }

    /// Serves until the inbox closes.
    pub async fn run(self, ctx: Context) {
        let closed = ctx.inbox.clone();
        let mut session = Session {
            ctx,
            main: self.main.clone(),
            port: self.local.port(),
            counters: self.counters,
            offers: Offers::default(),
            foreign_at: None,
            waiting: JoinSet::new(),
        };
        let mut first = [0; wire::MAX_DATAGRAM + 1];
        let mut second = [0; wire::MAX_DATAGRAM + 1];
        loop {
            tokio::select! {
                () = closed.0.closed() => return,
                Some(_) = session.waiting.join_next() => {}
                heard = self.main.recv_from(&mut first) => session.heard(heard, &first).await,
                heard = receive(self.broadcasts.as_ref(), &mut second) => session.heard(heard, &second).await,
            }
        }
    }
}

async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> std::io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(buffer).await,
        None => std::future::pending().await,
    }
}

/// The running server's own state.
struct Session {
    ctx: Context,
    main: Arc<UdpSocket>,
    port: u16,
    counters: Arc<DhcpCounters>,
    offers: Offers,
    foreign_at: Option<Time>,
    waiting: JoinSet<()>,
}

impl Session {
    async fn heard(&mut self, heard: std::io::Result<(usize, SocketAddr)>, buffer: &[u8]) {
        match heard {
            Ok((length, SocketAddr::V4(from))) => self.datagram(&buffer[..length], from).await,
            Ok(_) => {}
            // An ICMP error of an earlier reply surfaces here; the socket goes on.
            Err(error) => tracing::debug!(%error, "DHCP socket"),
        }
    }

    async fn datagram(&mut self, datagram: &[u8], from: SocketAddrV4) {
        let request = match wire::parse(datagram) {
            Ok(Packet::Request(request)) => request,
            Ok(Packet::FromServer(server)) => {
                self.counters.count("datagram", "foreign-answer");
                return self.foreign(server);
            }
            Err(malformed) => {
                tracing::debug!(%from, reason = malformed.reason(), "DHCP datagram dropped");
                return self.counters.count("datagram", malformed.reason());
            }
        };
        let (world, now) = (self.ctx.world(), self.ctx.now());
        let answer = respond::respond(&world, &request, self.here(), &self.offers, now);
        self.carry_out(answer, request, from, now).await;
    }

    /// Our address on the segment that hears us directly.
    fn here(&self) -> Ipv4Addr {
        let network = &self.ctx.settings.network;
        if network.listen.is_unspecified() { network.address } else { network.listen }
    }

    async fn carry_out(&mut self, answer: Answer, request: Request, from: SocketAddrV4, now: Time) {
        let heard = request.kind.as_str();
        match answer {
            Answer::Send(reply) => {
                if reply.kind == Kind::Offer {
                    self.offers.insert(reply.yiaddr, request.mac, now);
                }
                self.counters.count(heard, reply.kind.as_str());
                self.outlet(request, from).send(&reply).await;
            }
            Answer::Lease { event, ack, nak } => self.wait(event, Some((ack, nak)), request, from),
            Answer::Tell(event) => self.wait(event, None, request, from),
            Answer::Foreign(server) => {
                self.counters.count(heard, "other-server");
                self.foreign(server);
            }
            Answer::Drop(reason) => {
                tracing::debug!(mac = %request.mac, kind = heard, reason = reason.as_str(), "DHCP request dropped");
                self.counters.count(heard, reason.as_str());
            }
        }
    }

    /// Tells the inbox, and answers once the fact is durable, without holding up other clients.
    fn wait(&mut self, event: Event, replies: Option<(Reply, Reply)>, request: Request, from: SocketAddrV4) {
        let (kind, counters) = (request.kind.as_str(), self.counters.clone());
        if self.waiting.len() >= IN_FLIGHT {
            return counters.count(kind, "busy");
        }
        let (inbox, outlet) = (self.ctx.inbox.clone(), self.outlet(request, from));
        self.waiting.spawn(async move {
            let reply = match (inbox.tell(event).await, replies) {
                (Ok(Verdict::Ok), Some((ack, _))) => ack,
                (Ok(Verdict::Refused(_)), Some((_, nak))) => nak,
                (Ok(_), None) => return counters.count(kind, "recorded"),
                (Err(_), _) => return counters.count(kind, "busy"),
            };
            counters.count(kind, reply.kind.as_str());
            outlet.send(&reply).await;
        });
    }

    fn outlet(&self, request: Request, from: SocketAddrV4) -> Outlet {
        Outlet { socket: self.main.clone(), port: self.port, request, from, counters: self.counters.clone() }
    }

    fn foreign(&mut self, server: Ipv4Addr) {
        let now = self.ctx.now();
        if server != self.ctx.settings.network.address
            && self.foreign_at.is_none_or(|at| now.since(at) >= FOREIGN_EVERY)
        {
            self.foreign_at = Some(now);
            tracing::warn!(%server, "another DHCP server answers on this segment");
            self.ctx.inbox.hint(Event::ForeignDhcp { server });
        }
    }
}

/// The way back to one client.
struct Outlet {
    socket: Arc<UdpSocket>,
    port: u16,
    request: Request,
    from: SocketAddrV4,
    counters: Arc<DhcpCounters>,
}

impl Outlet {
    async fn send(&self, reply: &Reply) {
        let to = destination(reply, &self.request, self.from, self.port);
        let bytes = wire::encode(reply, &self.request);
        if let Err(error) = self.socket.send_to(&bytes, SocketAddr::V4(to)).await {
            tracing::debug!(%to, %error, "DHCP reply not sent");
            self.counters.count("reply", "unsendable");
        }
    }
}

/// Where an answer goes (RFC 2131 section 4.1). With a server port other than 67 a relayed request is answered to where
/// it came from, and a direct one to the port above ours, so that many simulated machines can share one address space.
///
/// A client without an address is reached by broadcast: to reach it by unicast one must write its Ethernet frame, for it
/// cannot answer ARP yet.
pub fn destination(reply: &Reply, request: &Request, from: SocketAddrV4, port: u16) -> SocketAddrV4 {
    let broadcast = |port| SocketAddrV4::new(Ipv4Addr::BROADCAST, port);
    if port != WELL_KNOWN {
        return match (request.relayed(), from.ip().is_unspecified()) {
            (true, _) => from,
            (false, true) => broadcast(port.saturating_add(1)),
            (false, false) => SocketAddrV4::new(*from.ip(), port.saturating_add(1)),
        };
    }
    if request.relayed() {
        SocketAddrV4::new(request.giaddr, WELL_KNOWN)
    } else if request.ciaddr.is_unspecified() || reply.kind == Kind::Nak {
        broadcast(WELL_KNOWN + 1)
    } else {
        SocketAddrV4::new(request.ciaddr, WELL_KNOWN + 1)
    }
}
