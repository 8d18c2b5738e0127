//! What became of fetching, publishing and telling people.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::network::seen;
use super::shown::{note, trim};
use super::{Touched, bmc, host_mut, image, nics, notice, outward, unclaimed};
use crate::model::{
    Action, ActionKind, Change, Desired, Fault, Fetched, Generation, HeadState, HostId, Mac, Outcome, Rejected, Time,
    World,
};
use crate::plan::rack::count_failure;

pub(super) fn fetch_failed(world: &mut World, action: &Action, fault: &Fault, now: Time) {
    world.git.fetch_failure = Some(count_failure(world.git.fetch_failure.as_ref(), action.kind(), fault, now));
}

pub(super) fn fetched(world: &mut World, action: &Action, result: &Result<Outcome, Fault>, now: Time) -> Touched {
    let began = world.git.fetching.take();
    world.git.fetched_at = Some(now);
    // Whoever woke us while the fetch was under way may mean a commit it did not see: look once more.
    world.git.woken_at = world.git.woken_at.filter(|woken| began.is_some_and(|began| *woken > began)).map(|_| now);
    let fetched = match result {
        Ok(Outcome::Fetched(fetched)) => fetched,
        Ok(_) => return Touched::Nobody,
        Err(fault) => {
            fetch_failed(world, action, fault, now);
            return Touched::Nobody;
        }
    };
    world.git.fetch_failure = None;
    if let Some(began) = began {
        outward::fetched(world, fetched, began);
    }
    match fetched {
        Fetched::Unchanged => Touched::Nobody,
        Fetched::Loaded { desired: None, .. } => Touched::Nobody,
        Fetched::Loaded { desired: Some(desired), .. } => {
            if world.rejected.take().is_some() {
                note(
                    world,
                    "repository",
                    Change::Repository { from: HeadState::Rejected, to: HeadState::Accepted },
                    now,
                );
            }
            load(world, desired.clone(), now);
            Touched::Everybody
        }
        Fetched::Rejected { revision, findings } => {
            let rejected = Rejected { revision: revision.clone(), findings: findings.clone(), at: now };
            if world.rejected.replace(Arc::new(rejected)).is_none() {
                note(
                    world,
                    "repository",
                    Change::Repository { from: HeadState::Accepted, to: HeadState::Rejected },
                    now,
                );
            }
            Touched::Nobody
        }
    }
}

/// Puts a revision in force. Machines that were on the network before the repository named them are seen now; a host
/// whose BMC has another MAC is another machine, and what was observed of the old one does not hold for it.
fn load(world: &mut World, desired: Arc<Desired>, now: Time) {
    let before = world.desired.replace(desired.clone());
    image::keep_wanted(world, &desired);
    for (id, old) in before.iter().flat_map(|before| &before.hosts) {
        let Some(new) = desired.hosts.get(id) else { continue };
        let same = old.bmc == new.bmc && old.prepare == new.prepare && old.generation == new.generation;
        if same && old.bmc_mac == new.bmc_mac {
            continue;
        }
        let facts = host_mut(world, id);
        bmc::respecified(facts, old, new);
        if old.bmc_mac != new.bmc_mac {
            facts.bmc_seen = None;
            facts.inventory = None;
            facts.prepared = None;
            facts.armed = None;
            facts.failure = None;
            if let Some(mac) = facts.boot_mac.take() {
                Arc::make_mut(&mut world.boot_macs).remove(&mac);
            }
            nics::forget(world, id);
        }
    }
    unclaimed::sort_out(world, now);
    let leases: Vec<(Mac, Ipv4Addr)> =
        world.leases.iter().filter(|it| it.until > now).filter_map(|it| Some((it.mac?, it.ip))).collect();
    for (mac, ip) in leases {
        seen(world, mac, IpAddr::V4(ip), now);
    }
}

pub(super) fn published(
    world: &mut World,
    result: &Result<Outcome, Fault>,
    fingerprint: u64,
    moves_upto: u64,
    intents: &[(HostId, Generation)],
    now: Time,
) {
    world.git.publishing = None;
    world.git.published_at = Some(now);
    match result {
        Ok(outcome) => {
            if let Outcome::Published(Some(commit)) = outcome {
                world.git.status_commit = Some(commit.clone());
            }
            world.git.published = Some(fingerprint);
            world.git.publish_failure = None;
            for (id, generation) in intents {
                host_mut(world, id).intent = Some(*generation);
            }
            let moves = Arc::make_mut(&mut world.moves);
            moves.published = moves.published.max(moves_upto);
            trim(moves, notice::told(&world.notices, &world.policy));
        }
        Err(fault) => {
            world.git.publish_failure =
                Some(count_failure(world.git.publish_failure.as_ref(), ActionKind::Publish, fault, now));
        }
    }
}
