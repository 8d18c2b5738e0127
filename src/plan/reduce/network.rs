//! Who was seen at which address.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::change::{Touched, forget_failure, host_mut, owner};
use super::unclaimed;
use crate::model::{FaultClass, Lane, Lease, LeaseOrigin, Mac, MacRole, Time, Verdict, World};
use crate::plan::lease;

pub(super) fn leased(
    world: &mut World,
    mac: Mac,
    ip: Ipv4Addr,
    until: Time,
    by: LeaseOrigin,
    now: Time,
) -> (Verdict, Touched) {
    if by == LeaseOrigin::Own && !lease::may_hold(world, mac, ip, now) {
        return (Verdict::Refused(format!("{ip} is not free for {mac}")), Touched::Nobody);
    }
    Arc::make_mut(&mut world.leases).insert(Lease { ip, mac: Some(mac), until, by });
    (Verdict::Ok, seen(world, mac, IpAddr::V4(ip), now))
}

/// A machine or its BMC was seen at an address.
pub(super) fn seen(world: &mut World, mac: Mac, ip: IpAddr, now: Time) -> Touched {
    match owner(world, mac) {
        Some((id, MacRole::Bmc)) => {
            // A renewal says nothing new of the host: its facts stay as they are, and nothing needs to be planned.
            if world.facts_of(&id).bmc_seen.is_some_and(|(old, _)| old == ip) {
                return Touched::Nobody;
            }
            host_mut(world, &id).bmc_seen = Some((ip, now));
            // A BMC that moved is a new party to talk to: earlier silence at the old address says nothing of it.
            let lane = Lane::Bmc(id.clone());
            if world.lanes.failure(&lane).is_some_and(|it| it.fault.class != FaultClass::Operator) {
                forget_failure(world, &lane);
            }
            Touched::Host(id)
        }
        Some((id, MacRole::Boot)) => {
            if world.facts_of(&id).host_seen.is_some_and(|(old, _)| old == ip) {
                return Touched::Nobody;
            }
            host_mut(world, &id).host_seen = Some((ip, now));
            Touched::Host(id)
        }
        None => {
            unclaimed::seen(world, mac, ip, now);
            Touched::Nobody
        }
    }
}

pub(super) fn declined(world: &mut World, mac: Mac, ip: Ipv4Addr, until: Time) -> Verdict {
    if world.leases.holder(ip).is_some_and(|lease| lease.mac.is_some_and(|holder| holder != mac)) {
        return Verdict::Refused(format!("{ip} is not {mac}'s to decline"));
    }
    Arc::make_mut(&mut world.leases).insert(Lease { ip, mac: None, until, by: LeaseOrigin::Own });
    Verdict::Ok
}
