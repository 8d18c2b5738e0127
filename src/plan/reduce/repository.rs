//! What became of fetching, publishing and telling people.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::change::{Touched, failed_outside, forget_failure, host_mut};
use super::network::seen;
use super::shown::{forget_told, note};
use super::{bmc, image, nics, outward, task, unclaimed};
use crate::model::{Action, Change, Desired, Fault, Fetched, HeadState, Lane, Mac, Outcome, Rejected, Time, World};

/// A fetch has ended that began at `began`.
pub(super) fn fetched(
    world: &mut World,
    action: &Action,
    result: &Result<Outcome, Fault>,
    began: Option<Time>,
    now: Time,
) -> Touched {
    world.git.fetched_at = Some(now);
    // Whoever woke us while the fetch was under way may mean a commit it did not see: look once more.
    world.git.woken_at = world.git.woken_at.filter(|woken| began.is_some_and(|began| *woken > began)).map(|_| now);
    let fetched = match result {
        Ok(Outcome::Fetched(fetched)) => fetched,
        Ok(_) => return Touched::Nobody,
        Err(fault) => {
            failed_outside(world, action, fault, now);
            return Touched::Nobody;
        }
    };
    forget_failure(world, &Lane::Fetch);
    if let Some(began) = began {
        outward::fetched(world, fetched, began);
    }
    match fetched {
        Fetched::Unchanged => Touched::Nobody,
        Fetched::Loaded { desired: None, .. } => Touched::Nobody,
        Fetched::Loaded { desired: Some(desired), .. } => {
            if world.rejected.is_some() {
                world.rejected = None;
                let (from, to) = (HeadState::Rejected, HeadState::Accepted);
                note(world, "repository", Change::Repository { from, to }, now);
            }
            load(world, desired.clone(), now);
            Touched::Everybody
        }
        Fetched::Rejected { revision, findings } => {
            let rejected = Rejected { revision: revision.clone(), findings: findings.clone(), at: now };
            if world.rejected.replace(Arc::new(rejected)).is_none() {
                let (from, to) = (HeadState::Accepted, HeadState::Rejected);
                note(world, "repository", Change::Repository { from, to }, now);
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
            if let Some(mac) = facts.boot_mac.take() {
                Arc::make_mut(&mut world.boot_macs).remove(&mac);
            }
            forget_failure(world, &Lane::Bmc(id.clone()));
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

/// A publish has ended.
pub(super) fn published(world: &mut World, action: &Action, result: &Result<Outcome, Fault>, now: Time) {
    let Action::Publish { fingerprint, moves_upto, intents, tasks } = action else { return };
    world.git.published_at = Some(now);
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(fault) => return failed_outside(world, action, fault, now),
    };
    if let Outcome::Published(Some(commit)) = outcome {
        world.git.status_commit = Some(commit.clone());
    }
    world.git.published = Some(*fingerprint);
    forget_failure(world, &Lane::Publish);
    intents.iter().for_each(|(id, generation)| host_mut(world, id).intent = Some(*generation));
    tasks.iter().for_each(|intent| task::announced(world, intent, now));
    let moves = Arc::make_mut(&mut world.moves);
    moves.published = moves.published.max(*moves_upto);
    forget_told(world);
}
