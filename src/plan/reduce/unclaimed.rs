//! Who is on the network and not in the repository: listed for people, and left alone.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::change::owner;
use crate::model::{Mac, Time, Unclaimed, World};

/// How many are listed.
const MOST: usize = 1_000;
/// How long one is listed after its address has run out.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Somebody whom the repository does not name was given an address. A renewal changes nothing.
pub(super) fn seen(world: &mut World, mac: Mac, ip: IpAddr, now: Time) {
    let IpAddr::V4(ip) = ip else { return };
    // Before a revision is in force, nobody is named.
    if world.desired.is_none() || world.unclaimed.get(&mac).is_some_and(|known| known.ip == ip) {
        return;
    }
    if world.unclaimed.len() >= MOST && !world.unclaimed.contains_key(&mac) {
        sort_out(world, now);
        if world.unclaimed.len() >= MOST {
            return;
        }
    }
    let list = Arc::make_mut(&mut world.unclaimed);
    list.entry(mac).and_modify(|known| known.ip = ip).or_insert(Unclaimed { ip, since: now });
}

/// Strikes out who is named by now, and who has been gone for long.
pub(super) fn sort_out(world: &mut World, now: Time) {
    let gone: Vec<Mac> = world.unclaimed.keys().copied().filter(|mac| is_gone(world, *mac, now)).collect();
    if !gone.is_empty() {
        Arc::make_mut(&mut world.unclaimed).retain(|mac, _| !gone.contains(mac));
    }
}

fn is_gone(world: &World, mac: Mac, now: Time) -> bool {
    let until = world.leases.of(mac).map(|lease| lease.until);
    owner(world, mac).is_some() || until.is_none_or(|until| until + KEPT <= now)
}

/// Its address was given back: it is gone.
pub(super) fn strike(world: &mut World, mac: Mac, ip: Ipv4Addr) {
    if world.unclaimed.get(&mac).is_some_and(|known| known.ip == ip) {
        Arc::make_mut(&mut world.unclaimed).remove(&mac);
    }
}
