//! What do we know? Folds one fact into the World. The only code that changes a World.

use std::sync::Arc;

use super::boot::{self, Decision};
use super::cluster::facts_of;
use crate::model::{
    Action, Claim, ClusterFacts, ClusterName, Consent, Doing, Event, Fault, HostFacts, HostId, Mac, MacRole, Outcome,
    Time, TokenId, Verdict, World,
};

mod adopt;
mod bmc;
mod checkin;
mod image;
mod network;
mod nics;
mod notice;
mod outward;
mod repository;
mod shown;
mod ssh;
mod task;
mod unclaimed;

use network::{declined, leased};
use repository::{fetch_failed, fetched, published};
use shown::show;

/// Whose shown state an event may have changed.
enum Touched {
    Nobody,
    Host(HostId),
    Cluster(ClusterName),
    Everybody,
}

/// Folds `event`, which became known at `now`, into `world`, and says what its bringer is told.
pub fn reduce(world: &mut World, event: &Event, now: Time) -> Verdict {
    let (verdict, touched) = fold(world, event, now);
    task::take_in(world, &touched);
    show(world, touched, now);
    verdict
}

fn fold(world: &mut World, event: &Event, now: Time) -> (Verdict, Touched) {
    let ok = |touched| (Verdict::Ok, touched);
    match event {
        Event::DaemonStarted => {
            interrupt(world, now);
            ok(Touched::Everybody)
        }
        Event::FirstRun => {
            world.consent = Consent::Open;
            ok(Touched::Nobody)
        }
        Event::Started { action } => {
            started(world, action, now);
            ok(Touched::Nobody)
        }
        Event::Ended { action, result } => ok(ended(world, action, result, now)),
        Event::Woken => {
            world.git.woken_at = Some(now);
            ok(Touched::Nobody)
        }
        Event::Leased { mac, ip, until, by } => leased(world, *mac, *ip, *until, *by, now),
        Event::Released { mac, ip } => {
            if world.leases.of(*mac).is_some_and(|lease| lease.ip == *ip) {
                Arc::make_mut(&mut world.leases).remove(*ip);
                unclaimed::strike(world, *mac, *ip);
            }
            ok(Touched::Nobody)
        }
        Event::Declined { mac, ip, until } => (declined(world, *mac, *ip, *until), Touched::Nobody),
        Event::Claimed { mac, token, .. } => claimed(world, *mac, token, now),
        Event::CheckedIn(checkin) => checkin::fold(world, checkin, now),
        Event::BmcSession { .. } | Event::BmcNoted { .. } => {
            bmc::told(world, event);
            ok(Touched::Nobody)
        }
        Event::TaskTold { cluster, task, news } => task::told(world, cluster, task, news, now),
        Event::ImageChanged { image } => {
            image::changed(world, image);
            ok(Touched::Nobody)
        }
        Event::ForeignDhcp { server } => {
            world.foreign_dhcp = Some((*server, now));
            ok(Touched::Nobody)
        }
        Event::RangeFull { subnet, full } => {
            let ranges = Arc::make_mut(&mut world.full_ranges);
            match full {
                true => _ = ranges.entry(*subnet).or_insert(now),
                false => _ = ranges.remove(subnet),
            }
            ok(Touched::Nobody)
        }
    }
}

/// A host's facts, to be changed.
fn host_mut<'w>(world: &'w mut World, id: &HostId) -> &'w mut HostFacts {
    Arc::make_mut(Arc::make_mut(&mut world.hosts).entry(id.clone()).or_default())
}

/// Records the NIC a host boots from, and keeps the index over it.
fn set_boot_mac(world: &mut World, id: &HostId, mac: Mac) {
    let old = host_mut(world, id).boot_mac.replace(mac);
    if old != Some(mac) {
        let index = Arc::make_mut(&mut world.boot_macs);
        if let Some(old) = old.filter(|old| index.get(old) == Some(id)) {
            index.remove(&old);
        }
        index.insert(mac, id.clone());
    }
}

/// The host that boots from this NIC, as the repository says or as observed.
fn owner(world: &World, mac: Mac) -> Option<(HostId, MacRole)> {
    let written = world.desired.as_ref().and_then(|desired| desired.by_mac(mac));
    let written = written.map(|(id, role)| (id.clone(), role));
    written.or_else(|| world.boot_macs.get(&mac).map(|id| (id.clone(), MacRole::Boot)))
}

fn cluster_mut<'w>(world: &'w mut World, name: &ClusterName) -> &'w mut ClusterFacts {
    Arc::make_mut(Arc::make_mut(&mut world.clusters).entry(name.clone()).or_default())
}

/// After a restart nobody knows how the things under way ended.
fn interrupt(world: &mut World, now: Time) {
    world.git.fetching = None;
    world.git.publishing = None;
    notice::interrupt(world);
    outward::interrupt(world);
    ssh::interrupt(world);
    image::forget(world);
    bmc::interrupt(world);
    unclaimed::sort_out(world, now);
    let running: Vec<(ClusterName, Doing)> =
        world.clusters.iter().filter_map(|(name, facts)| Some((name.clone(), facts.doing.clone()?))).collect();
    for (name, doing) in running {
        task::interrupted(world, &name, &doing.action, now);
    }
}

fn started(world: &mut World, action: &Action, now: Time) {
    match action {
        Action::Adopt | Action::Fetch => world.git.fetching = Some(now),
        Action::FetchImage { image } => image::started(world, image, now),
        Action::Publish { .. } => world.git.publishing = Some(now),
        Action::Notify { receiver, .. } => notice::started(world, receiver, now),
        Action::Note { changes } => notice::noted(world, changes, now),
        Action::Run { cluster, .. } => task::started(world, cluster, action, now),
        Action::WriteBack { .. } | Action::TellForge { .. } => outward::started(world, action, now),
        Action::Reach { host } => ssh::started(world, host, now),
        Action::Probe { host }
        | Action::Prepare { host, .. }
        | Action::Arm { host, .. }
        | Action::PowerCycle { host }
        | Action::Finish { host, .. }
        | Action::Release { host } => bmc::started(world, host, action, now),
    }
}

fn ended(world: &mut World, action: &Action, result: &Result<Outcome, Fault>, now: Time) -> Touched {
    match action {
        Action::Adopt => {
            world.git.fetching = None;
            match result {
                Ok(Outcome::Adopted(branch)) => adopt::adopt(world, branch.as_ref(), now),
                Ok(_) => {}
                Err(fault) => fetch_failed(world, action, fault, now),
            }
            Touched::Everybody
        }
        Action::Fetch => fetched(world, action, result, now),
        Action::FetchImage { image } => {
            image::ended(world, image, result, now);
            Touched::Nobody
        }
        Action::Publish { fingerprint, moves_upto, intents, tasks } => {
            published(world, result, *fingerprint, *moves_upto, intents, now);
            if result.is_ok() {
                tasks.iter().for_each(|intent| task::announced(world, intent, now));
            }
            Touched::Nobody
        }
        Action::Notify { receiver, moves_upto, .. } => {
            notice::ended(world, receiver, result, *moves_upto, now);
            Touched::Nobody
        }
        Action::Note { .. } => Touched::Nobody,
        Action::Run { cluster, .. } => task::ended(world, cluster, action, result, now),
        Action::WriteBack { .. } | Action::TellForge { .. } => {
            outward::ended(world, action, result, now);
            Touched::Nobody
        }
        Action::Reach { host } => ssh::ended(world, host, action, result, now),
        Action::Probe { host }
        | Action::Prepare { host, .. }
        | Action::Arm { host, .. }
        | Action::PowerCycle { host }
        | Action::Finish { host, .. }
        | Action::Release { host } => bmc::ended(world, host, action, result, now),
    }
}

fn claimed(world: &mut World, mac: Mac, token: &TokenId, now: Time) -> (Verdict, Touched) {
    let id = match boot::decide(world, mac) {
        Decision::Install { host } => host,
        Decision::Local { why, .. } => return (Verdict::Refused(why.to_string()), Touched::Nobody),
    };
    let Some(spec) = world.spec(&id).cloned() else {
        return (Verdict::Refused("not in the repository".to_owned()), Touched::Nobody);
    };
    if facts_of(world, &id).claim.as_ref().is_some_and(|claim| claim.token == *token) {
        return (Verdict::Ok, Touched::Nobody);
    }
    set_boot_mac(world, &id, mac);
    let facts = host_mut(world, &id);
    facts.failure = None;
    facts.claim = Some(Claim {
        token: token.clone(),
        generation: spec.generation,
        spec: spec.spec.clone(),
        at: now,
        last_seen: now,
        confirmed: false,
    });
    (Verdict::Ok, Touched::Host(id))
}
