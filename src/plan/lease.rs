//! Which address does a MAC get? Deterministic, so that an OFFER needs no memory.

use std::net::Ipv4Addr;

use crate::model::{Mac, Subnet, Time, World};

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
pub fn choose<'w>(
    _world: &'w World,
    _mac: Mac,
    _requested: Option<Ipv4Addr>,
    _segment: Ipv4Addr,
    _now: Time,
) -> Result<(Ipv4Addr, &'w Subnet), NoLease> {
    Err(NoLease::UnknownSegment)
}

/// Whether `mac` may hold `ip` at `now`: ours to give, not somebody else's.
pub fn may_hold(_world: &World, _mac: Mac, _ip: Ipv4Addr, _now: Time) -> bool {
    false
}
