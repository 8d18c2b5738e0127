//! What people should know of the segments, told once and not per packet: another server, and a range that is used up.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;

use crate::model::{Event, Subnet, Time, World};
use crate::serve::Context;

/// How often another server's presence is reported.
const FOREIGN_EVERY: Duration = Duration::from_secs(60);
/// How many other servers are told apart; a liar could name any number.
const FOREIGN_MOST: usize = 16;
/// How long a range must have had room before it counts as having room again: addresses that come free one by one are
/// still too few.
const ROOM_FOR: Duration = Duration::from_secs(60);

/// What was told, and when.
#[derive(Debug, Default)]
pub(super) struct Segments {
    foreign: BTreeMap<Ipv4Addr, Time>,
    /// Ranges that are used up, and when a client last went without an address for it.
    full: BTreeMap<Ipv4Net, Time>,
}

impl Segments {
    /// Another server was heard.
    pub(super) fn foreign(&mut self, ctx: &Context, server: Ipv4Addr, now: Time) {
        if self.foreign.get(&server).is_some_and(|at| now.since(*at) < FOREIGN_EVERY) {
            return;
        }
        self.foreign.retain(|_, at| now.since(*at) < FOREIGN_EVERY);
        if self.foreign.len() < FOREIGN_MOST {
            self.foreign.insert(server, now);
            tracing::warn!(%server, "another DHCP server answers on this segment");
            ctx.inbox.hint(Event::ForeignDhcp { server });
        }
    }

    /// A client went without an address.
    pub(super) fn exhausted(&mut self, ctx: &Context, subnet: Ipv4Net, now: Time) {
        let known = self.full.insert(subnet, now).is_some();
        if !known && !ctx.world().full_ranges.contains_key(&subnet) {
            tracing::warn!(%subnet, "no address is free in the dynamic range: clients go without");
            ctx.inbox.hint(Event::RangeFull { subnet, full: true });
        }
    }

    /// A client was offered an address.
    pub(super) fn offered(&mut self, ctx: &Context, world: &World, ip: Ipv4Addr, now: Time) {
        if self.full.is_empty() && world.full_ranges.is_empty() {
            return;
        }
        let dynamic = |subnet: &&Subnet| (subnet.first..=subnet.last).contains(&ip);
        let Some(subnet) = world.policy.site.subnet_of(ip).filter(dynamic).map(|subnet| subnet.net) else { return };
        // What the World says from before a restart counts from when it was said.
        let said = world.full_ranges.get(&subnet).copied();
        let Some(last) = self.full.get(&subnet).copied().or(said) else { return };
        if now.since(last) >= ROOM_FOR && world.leases.holder(ip).is_none_or(|lease| lease.until <= now) {
            self.full.remove(&subnet);
            tracing::info!(%subnet, "the dynamic range has room again");
            ctx.inbox.hint(Event::RangeFull { subnet, full: false });
        }
    }
}
