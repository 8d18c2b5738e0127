//! What is answered to a DHCP request (RFC 2131 section 4.3): pure, over the World and the time.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::netboot;
use super::wire::{Kind, Reply, Request, option};
use crate::model::{Event, LeaseOrigin, Mac, Site, Subnet, Time, World};
use crate::plan::{boot, lease};

/// How long an address that a client found in use is set aside.
const DECLINED_FOR: Duration = Duration::from_secs(600);

/// How long another server's presence makes us leave clients alone that we know nothing of.
const FOREIGN_FOR: Duration = Duration::from_secs(3600);
/// RFC 1542 section 4.1.1: what has passed more relays goes in circles.
const MOST_HOPS: u8 = 16;

/// Where a request was heard.
#[derive(Clone, Copy, Debug)]
pub struct Here<'a> {
    /// Our address there: the server identifier.
    pub id: Ipv4Addr,
    /// Our addresses on the interface that heard it, as far as they are on served segments; the preferred one first.
    pub segments: &'a [Ipv4Addr],
    pub ours: &'a [Ipv4Addr],
    /// Whether it was broadcast: then the client is on the segment that heard it.
    pub broadcast: bool,
}

/// What is to be done with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Send(Reply),
    /// Tell the inbox; send `ack` when the verdict is `Ok`, `nak` when it is `Refused`, nothing when the daemon is busy.
    Lease {
        event: Event,
        /// Sent once the lease is durable.
        ack: Reply,
        /// Sent when another client turns out to hold the address.
        nak: Reply,
    },
    /// Tell the inbox; nothing is sent.
    Tell(Event),
    /// The client took another server's offer.
    Foreign(Ipv4Addr),
    /// Nothing: the dynamic range of the client's subnet is used up.
    Exhausted(Ipv4Net),
    /// Nothing, and why.
    Drop(DropReason),
}

/// Why a well-formed request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DropReason {
    /// No subnet of ours holds the segment it comes from.
    UnknownSegment,
    /// Fields that the message needs are missing.
    Incomplete,
    /// About an address that the client does not hold.
    NotHeld,
    /// An unknown client asks for an address we would refuse, and there is another server whose it may be.
    PerhapsTheirs,
    /// It has passed more relays than there are.
    TooManyHops,
    /// The relay's address is none.
    BadRelay,
    /// Beside another server, which answers it.
    NotOurs,
    /// Beside another server: it does not boot from the network, or is not to.
    NoNetworkBoot,
}

impl DropReason {
    /// One word for counters and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            DropReason::UnknownSegment => "unknown-segment",
            DropReason::Incomplete => "incomplete",
            DropReason::NotHeld => "not-held",
            DropReason::PerhapsTheirs => "perhaps-theirs",
            DropReason::TooManyHops => "too-many-hops",
            DropReason::BadRelay => "bad-relay",
            DropReason::NotOurs => "not-ours",
            DropReason::NoNetworkBoot => "no-network-boot",
        }
    }
}

/// Addresses offered a moment ago. Forgetting them is harmless (the later of two clients is refused and starts over);
/// remembering them spares a whole rack that powers on at once that detour.
#[derive(Clone, Debug, Default)]
pub struct Offers {
    by_ip: BTreeMap<Ipv4Addr, (Mac, Time)>,
    /// Oldest first. An address that was offered again is in it twice.
    order: VecDeque<(Ipv4Addr, Time)>,
}

impl Offers {
    /// How long a client may take to request what it was offered. EDK2 collects offers for four seconds.
    const KEPT_FOR: Duration = Duration::from_secs(15);
    /// How many are remembered; the oldest is forgotten first.
    const MOST: usize = 4096;

    /// Remembers an offer.
    pub fn insert(&mut self, ip: Ipv4Addr, mac: Mac, now: Time) {
        while let Some((ip, at)) = self.order.front().copied() {
            if self.order.len() < Self::MOST && now.since(at) < Self::KEPT_FOR {
                break;
            }
            self.order.pop_front();
            if self.by_ip.get(&ip).is_some_and(|(_, latest)| *latest == at) {
                self.by_ip.remove(&ip);
            }
        }
        self.by_ip.insert(ip, (mac, now));
        self.order.push_back((ip, now));
    }

    /// Whether it was just offered to somebody else.
    fn promised(&self, ip: Ipv4Addr, mac: Mac, now: Time) -> bool {
        self.by_ip.get(&ip).is_some_and(|(whose, at)| *whose != mac && now.since(*at) < Self::KEPT_FOR)
    }
}

/// Answers a request.
pub fn respond(world: &World, request: &Request, here: Here<'_>, offers: &Offers, now: Time) -> Answer {
    if let Err(reason) = check_relay(request) {
        return Answer::Drop(reason);
    }
    let site = &world.policy.site;
    let segment = segment(world, request, here);
    let Some((segment, subnet)) = segment.and_then(|ip| Some((ip, site.subnet_of(ip)?))) else {
        return Answer::Drop(DropReason::UnknownSegment);
    };
    let talk = Talk { world, site, request, here, id: identifier(request, here), segment, subnet, now };
    match request.kind {
        Kind::Discover => talk.discover(offers),
        Kind::Request => talk.request(),
        Kind::Decline => talk.decline(),
        Kind::Release => talk.release(),
        Kind::Inform => talk.inform(),
        // `wire::parse` lets only a client's types through.
        Kind::Offer | Kind::Ack | Kind::Nak => Answer::Drop(DropReason::Incomplete),
    }
}

/// Whether what a relay wrote can be answered at all.
pub fn check_relay(request: &Request) -> Result<(), DropReason> {
    let relay = request.giaddr;
    if request.hops > MOST_HOPS {
        return Err(DropReason::TooManyHops);
    }
    // An answer goes to this address, so it must be somebody's.
    if relay.is_broadcast() || relay.is_multicast() || relay.octets()[0] == 0 && request.relayed() {
        return Err(DropReason::BadRelay);
    }
    Ok(())
}

/// The server identifier of the answer: the relay's choice (RFC 5107), else the address of ours that the client took an
/// offer from, else ours on its segment.
pub fn identifier(request: &Request, here: Here<'_>) -> Ipv4Addr {
    let chosen = request.server_id.filter(|id| here.ours.contains(id));
    request.relay.server_id.filter(|_| request.relayed()).or(chosen).unwrap_or(here.id)
}

/// An address on the client's segment: as the relay (RFC 3527) or the client (RFC 3011) says; else the relay's own; else
/// that of the address a client uses that asks us directly, across routers (RENEWING); else ours where it was heard.
fn segment(world: &World, request: &Request, here: Here<'_>) -> Option<Ipv4Addr> {
    let site = &world.policy.site;
    if let Some(chosen) = request.relay.link.filter(|_| request.relayed()).or(request.subnet) {
        return Some(chosen);
    }
    if request.relayed() {
        return Some(request.giaddr);
    }
    let in_use = Some(request.ciaddr).filter(|ip| !ip.is_unspecified());
    if let Some(ip) = in_use.filter(|ip| !here.broadcast && site.subnet_of(*ip).is_some()) {
        return Some(ip);
    }
    // Several subnets may share a wire: the one that the client is known on, or else the first.
    let fixed = boot::host_by_mac(world, request.mac).and_then(|spec| spec.address);
    let own = world.leases.of(request.mac).map(|lease| lease.ip);
    let known = [in_use, fixed, own, request.requested].into_iter().flatten();
    let mut same = known.filter_map(|ip| {
        let subnet = site.subnet_of(ip)?;
        here.segments.iter().copied().find(|ours| site.subnet_of(*ours) == Some(subnet))
    });
    same.next().or(here.segments.first().copied())
}

/// One request and everything it is answered from.
struct Talk<'a> {
    world: &'a World,
    site: &'a Site,
    request: &'a Request,
    here: Here<'a>,
    id: Ipv4Addr,
    segment: Ipv4Addr,
    subnet: &'a Subnet,
    now: Time,
}

impl Talk<'_> {
    fn discover(&self, offers: &Offers) -> Answer {
        let request = self.request;
        let first = match lease::choose(self.world, request.mac, request.requested, self.segment, self.now) {
            Ok((ip, _)) => ip,
            Err(lease::NoLease::UnknownSegment) => return Answer::Drop(DropReason::UnknownSegment),
            Err(lease::NoLease::Exhausted) => return Answer::Exhausted(self.subnet.net),
        };
        let free = |ip: &Ipv4Addr| *ip != request.giaddr && !offers.promised(*ip, request.mac, self.now);
        match Some(first).filter(free).or_else(|| self.after(first).find(free)) {
            Some(ip) => Answer::Send(self.grant(Kind::Offer, ip)),
            // All promised: whoever asks first has it, the others are told to start over.
            None if first != request.giaddr => Answer::Send(self.grant(Kind::Offer, first)),
            None => Answer::Exhausted(self.subnet.net),
        }
    }

    /// Never-given addresses after `ip`, round the dynamic range; as far as there can be offers to skip.
    fn after(&self, ip: Ipv4Addr) -> impl Iterator<Item = Ipv4Addr> {
        let (first, last) = (u32::from(self.subnet.first), u32::from(self.subnet.last));
        let range = (u32::from(ip).clamp(first, last)..=last).chain(first..=last);
        range.take(Offers::MOST + 2).map(Ipv4Addr::from).filter(|ip| {
            self.world.leases.holder(*ip).is_none() && lease::may_hold(self.world, self.request.mac, *ip, self.now)
        })
    }

    fn is_us(&self, id: Ipv4Addr) -> bool {
        id == self.id || id == self.site.address || self.here.ours.contains(&id)
    }

    fn request(&self) -> Answer {
        let request = self.request;
        let in_use = (!request.ciaddr.is_unspecified()).then_some(request.ciaddr);
        match (request.server_id, request.requested, in_use) {
            (Some(server), ..) if !self.is_us(server) => Answer::Foreign(server),
            // SELECTING
            (Some(_), Some(ip), None) => self.lease(ip, self.fits(ip)),
            // INIT-REBOOT: a client that holds another address remembers wrongly.
            (None, Some(ip), None) => {
                let held = self.world.leases.of(request.mac).filter(|lease| lease.until > self.now);
                self.lease(ip, self.fits(ip) && held.is_none_or(|lease| lease.ip == ip))
            }
            // RENEWING, REBINDING; some clients leave the options of SELECTING in.
            (_, None, Some(ip)) => self.lease(ip, self.fits(ip)),
            (_, Some(wish), Some(ip)) if wish == ip => self.lease(ip, self.fits(ip)),
            _ => Answer::Drop(DropReason::Incomplete),
        }
    }

    /// Whether the client may have the address, on this segment, now.
    fn fits(&self, ip: Ipv4Addr) -> bool {
        ip != self.request.giaddr
            && self.site.subnet_of(ip) == Some(self.subnet)
            && lease::may_hold(self.world, self.request.mac, ip, self.now)
    }

    /// We are the authority on our segments: a client with a wrong address is told so, not left to time out. Only while
    /// there is another server, a client we know nothing of may be that one's (RFC 2131 section 4.3.2).
    fn lease(&self, ip: Ipv4Addr, granted: bool) -> Answer {
        let theirs = |(_, seen): (Ipv4Addr, Time)| self.now.since(seen) < FOREIGN_FOR;
        let unknown = self.request.server_id.is_none() && self.world.leases.of(self.request.mac).is_none();
        if !granted && unknown && self.world.foreign_dhcp.is_some_and(theirs) {
            return Answer::Drop(DropReason::PerhapsTheirs);
        }
        if !granted {
            return Answer::Send(self.refuse("this address is not yours on this segment"));
        }
        let until = self.now + self.subnet.lease_time;
        let event = Event::Leased { mac: self.request.mac, ip, until, by: LeaseOrigin::Own };
        let nak = self.refuse("this address was given to another client");
        Answer::Lease { event, ack: self.grant(Kind::Ack, ip), nak }
    }

    fn decline(&self) -> Answer {
        let Some(ip) = self.request.requested else { return Answer::Drop(DropReason::Incomplete) };
        let mac = self.request.mac;
        self.if_held(ip, Event::Declined { mac, ip, until: self.now + DECLINED_FOR })
    }

    fn release(&self) -> Answer {
        let (mac, ip) = (self.request.mac, self.request.ciaddr);
        self.if_held(ip, Event::Released { mac, ip })
    }

    fn if_held(&self, ip: Ipv4Addr, event: Event) -> Answer {
        let addressed = self.request.server_id.is_none_or(|id| self.is_us(id));
        let held = self.world.leases.holder(ip).is_some_and(|lease| lease.mac == Some(self.request.mac));
        if held && addressed { Answer::Tell(event) } else { Answer::Drop(DropReason::NotHeld) }
    }

    /// RFC 2131 section 4.3.5: configuration only; neither `yiaddr` nor times.
    fn inform(&self) -> Answer {
        if self.request.ciaddr.is_unspecified() {
            return Answer::Drop(DropReason::Incomplete);
        }
        let mut reply = self.grant(Kind::Ack, Ipv4Addr::UNSPECIFIED);
        reply.ciaddr = self.request.ciaddr;
        reply.options.retain(|(code, _)| ![option::LEASE_TIME, option::T1, option::T2].contains(code));
        Answer::Send(reply)
    }

    fn refuse(&self, why: &str) -> Reply {
        Reply {
            kind: Kind::Nak,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            file: String::new(),
            options: vec![
                (option::SERVER_ID, self.id.octets().to_vec()),
                self.client_id(),
                (option::MESSAGE, why.as_bytes().to_vec()),
            ],
        }
    }

    fn grant(&self, kind: Kind, ip: Ipv4Addr) -> Reply {
        let boot = boot::dhcp(self.world, self.request.mac, self.request.firmware);
        let ciaddr = if kind == Kind::Ack { self.request.ciaddr } else { Ipv4Addr::UNSPECIFIED };
        let mut options = self.basics();
        netboot::options(boot.as_ref(), self.request, &mut options);
        self.extras(&mut options);
        options.retain(|(_, data)| !data.is_empty());
        let (siaddr, file) = boot.map_or((Ipv4Addr::UNSPECIFIED, String::new()), |b| (b.next_server, b.file));
        Reply { kind, yiaddr: ip, ciaddr, siaddr, file, options }
    }

    /// What no client can do without.
    fn basics(&self) -> Vec<(u8, Vec<u8>)> {
        let seconds = u32::try_from(self.subnet.lease_time.as_secs()).unwrap_or(u32::MAX);
        vec![
            (option::SERVER_ID, self.id.octets().to_vec()),
            (option::LEASE_TIME, seconds.to_be_bytes().to_vec()),
            (option::SUBNET_MASK, self.subnet.net.netmask().octets().to_vec()),
            (option::ROUTER, self.subnet.gateway.map(|ip| ip.octets().to_vec()).unwrap_or_default()),
            // RFC 2131 section 4.4.5: half of the time, seven eighths of it.
            (option::T1, (seconds / 2).to_be_bytes().to_vec()),
            (option::T2, (seconds - seconds / 8).to_be_bytes().to_vec()),
            self.client_id(),
            (option::SUBNET_SELECTION, self.request.subnet.map(|ip| ip.octets().to_vec()).unwrap_or_default()),
        ]
    }

    /// What a client can do without, should the packet be full.
    fn extras(&self, options: &mut Vec<(u8, Vec<u8>)>) {
        let list = |addresses: &[Ipv4Addr]| addresses.iter().take(63).flat_map(|ip| ip.octets()).collect::<Vec<u8>>();
        options.push((option::DNS, list(&self.subnet.dns)));
        options.push((option::HOSTNAME, self.hostname()));
        options.push((option::DOMAIN, self.subnet.domain.clone().unwrap_or_default().into_bytes()));
        options.push((option::NTP, list(&self.subnet.ntp)));
    }

    /// The short name of a host of the repository; a BMC or a stranger keeps the name it has.
    fn hostname(&self) -> Vec<u8> {
        boot::host_by_mac(self.world, self.request.mac).map(|spec| spec.id.host.as_bytes().to_vec()).unwrap_or_default()
    }

    /// RFC 6842: the identifier goes back as it came.
    fn client_id(&self) -> (u8, Vec<u8>) {
        (option::CLIENT_ID, self.request.client_id.clone().unwrap_or_default())
    }
}
