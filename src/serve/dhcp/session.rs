//! The running DHCP server: datagrams in, facts to the inbox, answers out. One task; nothing in it waits for one client.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::links::Links;
use super::netboot::{self, Port as Asked};
use super::packet::PacketSocket;
use super::respond::{self, Answer, Here, Offers};
use super::socket::{Batch, Datagram, Port};
use super::way::{self, CLIENTS, WELL_KNOWN, Way};
use super::wire::{self, Kind, Packet, Reply, Request};
use super::{DhcpCounters, frame, notes};
use crate::model::{Event, Mac, Time, Verdict, World};
use crate::serve::trace::Service;
use crate::serve::{Busy, Context};
use crate::settings::DhcpMode;

mod watch;

use watch::Watch;

/// Requests that may wait for the journal at once; more are dropped, and the client asks again.
const IN_FLIGHT: usize = 4096;
/// How old the list of interfaces may be.
const LINKS_FOR: Duration = Duration::from_secs(10);

/// How to answer a request.
#[derive(Clone, Copy, Debug)]
struct Back {
    asked: Asked,
    from: SocketAddrV4,
    /// The interface it came in on.
    link: Option<u32>,
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

/// The running server's own state.
pub(super) struct Session {
    ctx: Context,
    main: Port,
    boot: Option<Port>,
    packets: Option<PacketSocket>,
    counters: Arc<DhcpCounters>,
    proxy: bool,
    links: Links,
    links_at: Time,
    offers: Offers,
    watch: Watch,
    waiting: FuturesUnordered<Telling>,
    /// Whose requests wait: one that is sent again meanwhile is answered once.
    waiting_for: HashSet<(Mac, u32)>,
}

impl Session {
    pub(super) fn new(
        ctx: Context,
        main: Port,
        boot: Option<Port>,
        packets: Option<PacketSocket>,
        counters: Arc<DhcpCounters>,
    ) -> Session {
        let proxy = ctx.settings.network.dhcp_mode == DhcpMode::Proxy;
        let (links, links_at) = (Links::read(&ctx.world().policy.site, proxy), ctx.now());
        links.served().for_each(|(_, link)| tracing::info!(interface = %link.name, address = ?link.served, "DHCP"));
        let (offers, watch) = (Offers::default(), Watch::default());
        let (waiting, waiting_for) = (FuturesUnordered::new(), HashSet::new());
        Session { ctx, main, boot, packets, counters, proxy, links, links_at, offers, watch, waiting, waiting_for }
    }

    /// Serves until the inbox closes.
    pub(super) async fn run(mut self) {
        let closed = self.ctx.inbox.clone();
        let (mut main, mut boot) = (Batch::new(), Batch::new());
        let mut heard = vec![0; 2048];
        loop {
            tokio::select! {
                () = closed.0.closed() => return,
                Some(told) = self.waiting.next() => self.told(told).await,
                count = self.main.receive(&mut main) => self.batch(count, &main, Asked::Server).await,
                count = receive(self.boot.as_ref(), &mut boot) => self.batch(count, &boot, Asked::Boot).await,
                frame = listen(self.packets.as_ref(), &mut heard) => self.frame(frame, &heard),
            }
        }
    }

    async fn batch(&mut self, count: std::io::Result<usize>, batch: &Batch, asked: Asked) {
        match count {
            Ok(count) => {
                for datagram in batch.datagrams(count) {
                    self.datagram(datagram, asked).await;
                }
            }
            // An ICMP error of an earlier reply surfaces here; the socket goes on.
            Err(error) => tracing::debug!(%error, "DHCP socket"),
        }
    }

    async fn datagram(&mut self, datagram: Datagram<'_>, asked: Asked) {
        let request = match wire::parse(datagram.bytes) {
            Ok(Packet::Request(request)) => request,
            Ok(Packet::FromServer(server)) => {
                self.counters.count("datagram", "foreign-answer");
                return self.foreign(server);
            }
            Err(malformed) => {
                tracing::debug!(from = %datagram.from, reason = malformed.reason(), "DHCP datagram dropped");
                return self.counters.count("datagram", malformed.reason());
            }
        };
        let (world, now) = (self.ctx.world(), self.ctx.now());
        self.look_around(datagram.link, &world, now);
        let home = [self.home()];
        let here = self.here(datagram, &world, &home);
        let answer = match self.proxy {
            true => netboot::respond(&world, &request, here, asked),
            false => respond::respond(&world, &request, here, &self.offers, now),
        };
        let source = (!datagram.from.ip().is_loopback()).then_some(here.id);
        let source = source.filter(|id| self.links.is_ours(*id) && !here.segments.is_empty() || !here.broadcast);
        let back = Back { asked, from: datagram.from, link: datagram.link, source };
        self.carry_out(answer, request, back, &world, now).await;
    }

    /// Interfaces and addresses come and go while we run.
    fn look_around(&mut self, link: Option<u32>, world: &World, now: Time) {
        let unknown = link.is_some_and(|index| self.links.get(index).is_none());
        if unknown || now.since(self.links_at) >= LINKS_FOR {
            (self.links, self.links_at) = (Links::read(&world.policy.site, self.proxy), now);
        }
    }

    /// Our address for clients of a test's port, which come over loopback.
    fn home(&self) -> Ipv4Addr {
        let network = &self.ctx.settings.network;
        if network.listen.is_unspecified() { network.address } else { network.listen }
    }

    fn here<'a>(&'a self, datagram: Datagram<'_>, world: &World, home: &'a [Ipv4Addr]) -> Here<'a> {
        let here = self.links.here(datagram.link, datagram.to, world.policy.site.address);
        match self.main.local().port() {
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
                    self.watch.offered(&self.ctx, world, reply.yiaddr, now);
                }
                self.counters.count(heard, reply.kind.as_str());
                self.note(world, &request, || notes::answered(&reply));
                self.send(&reply, &request, back).await;
            }
            Answer::Lease { event, ack, nak } => self.tell(event, Some((ack, nak)), request, back),
            Answer::Tell(event) => self.tell(event, None, request, back),
            Answer::Foreign(server) => {
                self.counters.count(heard, "other-server");
                self.note(world, &request, || format!("left to the server at {server}"));
                self.foreign(server);
            }
            Answer::Exhausted(subnet) => {
                self.counters.count(heard, "exhausted");
                self.note(world, &request, || format!("dropped: no address is free on {subnet}"));
                self.watch.exhausted(&self.ctx, subnet, now);
            }
            Answer::Drop(reason) => {
                tracing::debug!(mac = %request.mac, kind = heard, reason = reason.as_str(), "DHCP request dropped");
                self.counters.count(heard, reason.as_str());
                self.note(world, &request, || notes::dropped(reason));
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
                self.note(&world, &request, || "recorded".to_owned());
                return self.counters.count(kind, "recorded");
            }
            (Err(_), _) => {
                self.note(&world, &request, || "dropped: the daemon is busy".to_owned());
                return self.counters.count(kind, "busy");
            }
        };
        self.counters.count(kind, reply.kind.as_str());
        self.note(&world, &request, || notes::answered(&reply));
        self.send(&reply, &request, back).await;
    }

    fn note(&self, world: &World, request: &Request, outcome: impl FnOnce() -> String) {
        if notes::belongs(world, request) {
            self.ctx.trace.note(request.mac, self.ctx.now(), Service::Dhcp, notes::asked(request), outcome());
        }
    }

    async fn send(&mut self, reply: &Reply, request: &Request, back: Back) {
        let bytes = wire::encode(reply, request);
        let way = match back.asked {
            Asked::Server => way::destination(reply, request, back.from, self.main.local().port()),
            Asked::Boot => way::to_asker(request, back.from),
        };
        let sent = match way {
            Way::Udp(to) => {
                let port = self.boot.as_ref().filter(|_| back.asked == Asked::Boot).unwrap_or(&self.main);
                port.send(back.source, to, &bytes).await
            }
            Way::Hardware(to) => self.send_frame(request.mac, to, back, &bytes).await,
        };
        if let Err(error) = sent {
            tracing::debug!(?way, mac = %request.mac, %error, "DHCP reply not sent");
            self.counters.count("reply", "unsendable");
        }
    }

    /// Without a packet socket, or where frames are not Ethernet's, by broadcast.
    async fn send_frame(&mut self, mac: Mac, to: SocketAddrV4, back: Back, bytes: &[u8]) -> std::io::Result<()> {
        let link = back.link.and_then(|index| self.links.get(index));
        let hardware = link.and_then(|link| Some((link.hardware?, link.mac()?)));
        if let (Some(packets), Some((link, ours)), Some(source)) = (&self.packets, hardware, back.source) {
            let frame = frame::write((ours, mac), SocketAddrV4::new(source, WELL_KNOWN), to, bytes);
            match packets.send(&link, &frame).await {
                Ok(()) => return Ok(()),
                Err(error) => tracing::debug!(%mac, %error, "DHCP frame not sent"),
            }
        }
        self.main.send(back.source, way::broadcast(CLIENTS), bytes).await
    }

    /// A server's answer to a client, overheard.
    fn frame(&mut self, heard: std::io::Result<(usize, Option<u32>)>, buffer: &[u8]) {
        let Ok((length, link)) = heard else { return };
        let served = link.and_then(|index| self.links.get(index)).is_some_and(|link| !link.served.is_empty());
        let packet = frame::read(&buffer[..length.min(buffer.len())]).map(wire::parse);
        if let (true, Some(Ok(Packet::FromServer(server)))) = (served, packet)
            && !self.links.is_ours(server)
        {
            self.counters.count("datagram", "foreign-answer");
            self.foreign(server);
        }
    }

    /// Beside another server there is one.
    fn foreign(&mut self, server: Ipv4Addr) {
        if !self.proxy && !self.links.is_ours(server) {
            self.watch.foreign(&self.ctx, server, self.ctx.now());
        }
    }
}

async fn receive(port: Option<&Port>, batch: &mut Batch) -> std::io::Result<usize> {
    match port {
        Some(port) => port.receive(batch).await,
        None => std::future::pending().await,
    }
}

async fn listen(packets: Option<&PacketSocket>, buffer: &mut [u8]) -> std::io::Result<(usize, Option<u32>)> {
    match packets {
        Some(packets) => packets.receive(buffer).await,
        None => std::future::pending().await,
    }
}
