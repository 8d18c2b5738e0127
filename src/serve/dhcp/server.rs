//! The running DHCP server: datagrams in, facts to the inbox, answers out. One task; nothing in it waits for one client.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::destination::{self, CLIENTS, Destination, WELL_KNOWN};
use super::interfaces::Interfaces;
use super::netboot::{self, Port as Asked};
use super::packet::PacketSocket;
use super::respond::{self, Answer, Here, Offers};
use super::wire::{self, Kind, Packet, Reply, Request};
use super::{frame, notes};
use crate::model::{Event, Mac, Time, Verdict, World};
use crate::serve::counters::Counters;
use crate::serve::trace::{DhcpOutcome, Exchange};
use crate::serve::udp::{Heard, Listener};
use crate::serve::{Busy, Context};
use crate::settings::DhcpMode;

mod segments;

use segments::Segments;

/// Requests that may wait for the journal at once; more are dropped, and the client asks again.
const IN_FLIGHT: usize = 4096;
/// How old the list of interfaces may be.
const INTERFACES_FOR: Duration = Duration::from_secs(10);
/// Octets of a datagram or frame that are read; longer ones are malformed.
const BUFFER: usize = 2048;
/// Datagrams answered before anything else gets its turn.
const AT_ONCE: usize = 32;

/// How to answer a request.
#[derive(Clone, Copy, Debug)]
struct Back {
    asked: Asked,
    from: SocketAddrV4,
    /// The interface it came in on.
    interface: Option<u32>,
    /// Our address that it was sent to, or that stands for us there.
    source: Option<Ipv4Addr>,
}

/// A request whose fact is durable, or not to be.
struct Told {
    verdict: Result<Verdict, Busy>,
    /// What is sent when the fact was taken, and when it was refused.
    replies: Option<(Reply, Reply)>,
    request: Request,
    back: Back,
}

type Telling = Pin<Box<dyn Future<Output = Told> + Send>>;

pub(super) struct Sockets {
    pub main: Listener,
    /// Beside another server: where clients ask that have an address by now.
    pub boot: Option<Listener>,
    pub packets: Option<PacketSocket>,
}

impl Sockets {
    fn port(&self, asked: Asked) -> &Listener {
        self.boot.as_ref().filter(|_| asked == Asked::Boot).unwrap_or(&self.main)
    }
}

pub(super) struct DhcpServer {
    ctx: Context,
    sockets: Sockets,
    counters: Counters,
    proxy: bool,
    interfaces: Interfaces,
    interfaces_at: Time,
    offers: Offers,
    segments: Segments,
    waiting: FuturesUnordered<Telling>,
    /// Clients and transaction ids with a request under way; a repeated request is answered once.
    waiting_for: HashSet<(Mac, u32)>,
}

impl DhcpServer {
    pub(super) fn new(ctx: Context, sockets: Sockets, counters: Counters) -> DhcpServer {
        let proxy = ctx.settings.network.dhcp_mode == DhcpMode::Proxy;
        let interfaces = Interfaces::read(&ctx.world().policy.site, proxy);
        interfaces.served().for_each(|it| tracing::info!(interface = %it.name, address = ?it.served, "DHCP"));
        DhcpServer {
            interfaces_at: ctx.now(),
            ctx,
            sockets,
            counters,
            proxy,
            interfaces,
            offers: Offers::default(),
            segments: Segments::default(),
            waiting: FuturesUnordered::new(),
            waiting_for: HashSet::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let closed = self.ctx.inbox.clone();
        let (mut main, mut boot, mut frames) = ([0; BUFFER], [0; BUFFER], [0; BUFFER]);
        loop {
            tokio::select! {
                () = closed.0.closed() => return,
                Some(told) = self.waiting.next() => self.told(told).await,
                heard = self.sockets.main.receive(&mut main) => self.datagrams(heard, &mut main, Asked::Server).await,
                heard = receive(self.sockets.boot.as_ref(), &mut boot) => {
                    self.datagrams(heard, &mut boot, Asked::Boot).await;
                }
                frame = listen(self.sockets.packets.as_ref(), &mut frames) => self.frame(frame, &frames),
            }
        }
    }

    /// Answers a datagram, and those that came meanwhile.
    async fn datagrams(&mut self, mut heard: io::Result<Heard>, buffer: &mut [u8], asked: Asked) {
        for _ in 0..AT_ONCE {
            match heard {
                Ok(heard) => self.datagram(&buffer[..heard.length.min(buffer.len())], heard, asked).await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An ICMP error of an earlier reply surfaces here; the socket goes on.
                Err(error) => return tracing::debug!(%error, "DHCP socket"),
            }
            heard = self.sockets.port(asked).try_receive(buffer);
        }
    }

    async fn datagram(&mut self, octets: &[u8], heard: Heard, asked: Asked) {
        let request = match wire::parse(octets) {
            Ok(Packet::Request(request)) => request,
            Ok(Packet::FromServer(server)) => {
                self.counters.count("datagram", "foreign-answer");
                return self.foreign(server);
            }
            Err(malformed) => {
                tracing::debug!(from = %heard.from, reason = malformed.reason(), "DHCP datagram dropped");
                return self.counters.count("datagram", malformed.reason());
            }
        };
        let (world, now) = (self.ctx.world(), self.ctx.now());
        self.look_around(heard.interface, &world, now);
        let home = [self.home()];
        let here = self.here(heard, &world, &home);
        let answer = match self.proxy {
            true => netboot::respond(&world, &request, here, asked),
            false => respond::respond(&world, &request, here, &self.offers, now),
        };
        let source = (!heard.from.ip().is_loopback()).then_some(here.id);
        let source = source.filter(|id| self.interfaces.is_ours(*id) && !here.segments.is_empty() || !here.broadcast);
        let back = Back { asked, from: heard.from, interface: heard.interface, source };
        self.carry_out(answer, request, back, &world, now).await;
    }

    /// Interfaces and addresses come and go while we run.
    fn look_around(&mut self, heard: Option<u32>, world: &World, now: Time) {
        let unknown = heard.is_some_and(|index| self.interfaces.get(index).is_none());
        if unknown || now.since(self.interfaces_at) >= INTERFACES_FOR {
            (self.interfaces, self.interfaces_at) = (Interfaces::read(&world.policy.site, self.proxy), now);
        }
    }

    /// Our address for clients of a test's port, which come over loopback.
    fn home(&self) -> Ipv4Addr {
        let network = &self.ctx.settings.network;
        if network.listen.is_unspecified() { network.address } else { network.listen }
    }

    fn here<'a>(&'a self, heard: Heard, world: &World, home: &'a [Ipv4Addr]) -> Here<'a> {
        let here = self.interfaces.here(heard.interface, heard.to, world.policy.site.address);
        match self.sockets.main.local().port() {
            WELL_KNOWN => here,
            _ if !here.segments.is_empty() => here,
            _ => Here { id: world.policy.site.address, segments: home, broadcast: false, ..here },
        }
    }

    async fn carry_out(&mut self, answer: Answer, request: Request, back: Back, world: &World, now: Time) {
        let heard = request.kind.as_str();
        match answer {
            Answer::Send(reply) => {
                if reply.kind == Kind::Offer && !reply.yiaddr.is_unspecified() {
                    self.offers.insert(reply.yiaddr, request.mac, now);
                    self.segments.offered(&self.ctx, world, reply.yiaddr, now);
                }
                self.counters.count(heard, reply.kind.as_str());
                self.note(world, &request, || notes::answered(&reply));
                self.send(&reply, &request, back).await;
            }
            Answer::Lease { event, ack, nak } => self.tell(event, Some((ack, nak)), request, back),
            Answer::Tell(event) => self.tell(event, None, request, back),
            Answer::Foreign(server) => {
                self.counters.count(heard, "other-server");
                self.note(world, &request, || DhcpOutcome::OtherServer { server });
                self.foreign(server);
            }
            Answer::Exhausted(subnet) => {
                self.counters.count(heard, "exhausted");
                self.note(world, &request, || DhcpOutcome::Exhausted { subnet });
                self.segments.exhausted(&self.ctx, subnet, now);
            }
            Answer::Drop(reason) => {
                tracing::debug!(mac = %request.mac, kind = heard, reason = reason.as_str(), "DHCP request dropped");
                self.counters.count(heard, reason.as_str());
                self.note(world, &request, || DhcpOutcome::Dropped { reason });
            }
        }
    }

    /// Tells the inbox; the answer follows once the fact is durable, without holding up other clients.
    fn tell(&mut self, event: Event, replies: Option<(Reply, Reply)>, request: Request, back: Back) {
        let kind = request.kind.as_str();
        if self.waiting.len() >= IN_FLIGHT {
            return self.counters.count(kind, "busy");
        }
        if !self.waiting_for.insert((request.mac, request.xid)) {
            return self.counters.count(kind, "repeated");
        }
        let inbox = self.ctx.inbox.clone();
        self.waiting.push(Box::pin(async move {
            let verdict = inbox.tell(event).await;
            Told { verdict, replies, request, back }
        }));
    }

    async fn told(&mut self, told: Told) {
        let Told { verdict, replies, request, back } = told;
        self.waiting_for.remove(&(request.mac, request.xid));
        let kind = request.kind.as_str();
        let world = self.ctx.world();
        let reply = match (verdict, replies) {
            (Ok(Verdict::Ok), Some((ack, _))) => ack,
            (Ok(Verdict::Refused(_)), Some((_, nak))) => nak,
            (Ok(_), None) => {
                self.note(&world, &request, || DhcpOutcome::Recorded);
                return self.counters.count(kind, "recorded");
            }
            (Err(_), _) => {
                self.note(&world, &request, || DhcpOutcome::Busy);
                return self.counters.count(kind, "busy");
            }
        };
        self.counters.count(kind, reply.kind.as_str());
        self.note(&world, &request, || notes::answered(&reply));
        self.send(&reply, &request, back).await;
    }

    fn note(&self, world: &World, request: &Request, outcome: impl FnOnce() -> DhcpOutcome) {
        if notes::belongs(world, request) {
            let exchange = Exchange::Dhcp { asked: notes::asked(request), outcome: outcome() };
            self.ctx.trace.note(request.mac, self.ctx.now(), exchange);
        }
    }

    async fn send(&mut self, reply: &Reply, request: &Request, back: Back) {
        let bytes = wire::encode(reply, request);
        let destination = match back.asked {
            Asked::Server => destination::destination(reply, request, back.from, self.sockets.main.local().port()),
            Asked::Boot => destination::to_asker(request, back.from),
        };
        let sent = match destination {
            Destination::Udp(to) => self.sockets.port(back.asked).send(back.source, to, &bytes).await,
            Destination::Hardware(to) => self.send_frame(request.mac, to, back, &bytes).await,
        };
        if let Err(error) = sent {
            tracing::debug!(?destination, mac = %request.mac, %error, "DHCP reply not sent");
            self.counters.count("reply", "unsendable");
        }
    }

    /// Without a packet socket, or where frames are not Ethernet's, by broadcast.
    async fn send_frame(&mut self, mac: Mac, to: SocketAddrV4, back: Back, bytes: &[u8]) -> io::Result<()> {
        let interface = back.interface.and_then(|index| self.interfaces.get(index));
        let hardware = interface.and_then(|it| Some((it.hardware?, it.mac()?)));
        if let (Some(packets), Some((link, ours)), Some(source)) = (&self.sockets.packets, hardware, back.source) {
            let frame = frame::write((ours, mac), SocketAddrV4::new(source, WELL_KNOWN), to, bytes);
            match packets.send(&link, &frame).await {
                Ok(()) => return Ok(()),
                Err(error) => tracing::debug!(%mac, %error, "DHCP frame not sent"),
            }
        }
        self.sockets.main.send(back.source, destination::broadcast(CLIENTS), bytes).await
    }

    /// A server's answer to a client, overheard.
    fn frame(&mut self, heard: io::Result<(usize, Option<u32>)>, buffer: &[u8]) {
        let Ok((length, interface)) = heard else { return };
        let served = interface.and_then(|index| self.interfaces.get(index)).is_some_and(|it| !it.served.is_empty());
        let packet = frame::read(&buffer[..length.min(buffer.len())]).map(wire::parse);
        if let (true, Some(Ok(Packet::FromServer(server)))) = (served, packet)
            && !self.interfaces.is_ours(server)
        {
            self.counters.count("datagram", "foreign-answer");
            self.foreign(server);
        }
    }

    /// Beside another server there is one.
    fn foreign(&mut self, server: Ipv4Addr) {
        if !self.proxy && !self.interfaces.is_ours(server) {
            self.segments.foreign(&self.ctx, server, self.ctx.now());
        }
    }
}

async fn receive(port: Option<&Listener>, buffer: &mut [u8]) -> io::Result<Heard> {
    match port {
        Some(port) => port.receive(buffer).await,
        None => std::future::pending().await,
    }
}

async fn listen(packets: Option<&PacketSocket>, buffer: &mut [u8]) -> io::Result<(usize, Option<u32>)> {
    match packets {
        Some(packets) => packets.receive(buffer).await,
        None => std::future::pending().await,
    }
}
