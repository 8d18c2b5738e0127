//! Which address does a MAC get? Deterministic, so that an OFFER needs no memory.
//!
//! In order: the host's fixed address, the MAC's own lease (running, or run out but not taken since), the address
//! asked for, then the first address never given, looked for from a place in the dynamic range that the MAC decides.
//! Only when every address has been given once is the one that ran out longest ago given again, so that a machine that
//! was off for a while finds its address still its own.

use std::net::Ipv4Addr;

use super::boot;
use crate::model::{Lease, Mac, Subnet, Time, World};

/// Why no address can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLease {
    /// No subnet of ours holds the segment's address.
    UnknownSegment,
    /// The dynamic range is used up.
    Exhausted,
}

/// The address that `mac` gets on the segment that holds `segment` (the relay's address, or our own on the interface
/// that heard the request): its own lease or fixed address there; else `requested` when it is free and in range;
/// else a free one of the dynamic range.
pub fn choose(
    world: &World,
    mac: Mac,
    requested: Option<Ipv4Addr>,
    segment: Ipv4Addr,
    now: Time,
) -> Result<(Ipv4Addr, &Subnet), NoLease> {
    let subnet = world.policy.site.subnet_of(segment).ok_or(NoLease::UnknownSegment)?;
    let fixed = boot::host_by_mac(world, mac).and_then(|spec| spec.address);
    let own = world.leases.of(mac).map(|lease| lease.ip);
    let known = [fixed, own, requested].into_iter().flatten();
    let mut fitting = known.filter(|ip| same_segment(world, *ip, subnet) && may_hold(world, mac, *ip, now));
    match fitting.next() {
        Some(ip) => Ok((ip, subnet)),
        None => probe(world, mac, subnet, now).map(|ip| (ip, subnet)).ok_or(NoLease::Exhausted),
    }
}

/// Whether `mac` may hold `ip` at `now`: ours to give, not somebody else's.
pub fn may_hold(world: &World, mac: Mac, ip: Ipv4Addr, now: Time) -> bool {
    let Some(subnet) = world.policy.site.subnet_of(ip) else { return false };
    may_give(world, mac, ip, subnet) && world.leases.holder(ip).is_none_or(|lease| is_free_for(lease, mac, now))
}

/// Overlapping subnets are served as the first of them, so an address counts for one segment only.
fn same_segment(world: &World, ip: Ipv4Addr, subnet: &Subnet) -> bool {
    world.policy.site.subnet_of(ip) == Some(subnet)
}

/// Whether the address is ours to give to this MAC at all, whoever holds it now: its fixed address, or one of the
/// dynamic range that is not set aside for somebody else, for us or for the gateway.
fn may_give(world: &World, mac: Mac, ip: Ipv4Addr, subnet: &Subnet) -> bool {
    let taken = ip == world.policy.site.address || Some(ip) == subnet.gateway;
    // RFC 3021: a /31 has neither a network nor a broadcast address.
    let special = subnet.net.prefix_len() < 31 && (ip == subnet.net.network() || ip == subnet.net.broadcast());
    if taken || special || ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() {
        return false;
    }
    match world.desired.as_ref().and_then(|desired| desired.by_address(ip)) {
        Some(owner) => boot::host_by_mac(world, mac).is_some_and(|spec| spec.id == owner.id),
        None => (subnet.first..=subnet.last).contains(&ip),
    }
}

fn is_free_for(lease: &Lease, mac: Mac, now: Time) -> bool {
    lease.mac == Some(mac) || lease.until <= now
}

/// The first never-given address of the dynamic range from the MAC's own place on; else the one that ran out first.
///
/// Walks the leases and the addresses side by side: the cost is the length of the run of given addresses, one step of
/// a tree iterator each, and no lookups.
fn probe(world: &World, mac: Mac, subnet: &Subnet, now: Time) -> Option<Ipv4Addr> {
    let (first, last) = (u32::from(subnet.first), u32::from(subnet.last));
    let size = u64::from(last.checked_sub(first)?) + 1;
    let start = first + u32::try_from(hash(mac) % size).unwrap_or(0);
    let mut oldest: Option<(Time, Ipv4Addr)> = None;
    for (from, to) in [(start, last), (first, start)] {
        let mut leases = world.leases.within(from.into(), to.into()).peekable();
        for ip in (from..=to).map(Ipv4Addr::from) {
            match leases.next_if(|lease| lease.ip == ip) {
                None if may_give(world, mac, ip, subnet) => return Some(ip),
                None => {}
                Some(lease) => {
                    let older = oldest.is_none_or(|(until, _)| lease.until < until);
                    if older && lease.until <= now && may_give(world, mac, ip, subnet) {
                        oldest = Some((lease.until, ip));
                    }
                }
            }
        }
    }
    oldest.map(|(_, ip)| ip)
}

/// FNV-1a: the same in every version and on every machine, so that the order of addresses never changes.
fn hash(mac: Mac) -> u64 {
    mac.0.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3))
}
