//! What do we know? Folds one fact into the World. The only code that changes a World.

use std::sync::Arc;

use super::boot::{self, Decision};
use crate::model::{Action, Claim, Consent, Doing, Event, Fault, Lane, Mac, Outcome, Time, TokenId, Verdict, World};

mod adopt;
mod bmc;
mod change;
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

use change::{Touched, failed_outside, forget_failure, host_mut, lanes_mut, set_boot_mac};
use network::{declined, leased};
use shown::show;

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

/// After a restart nobody knows how the things under way ended. Doing them again is harmless, but for tasks.
fn interrupt(world: &mut World, now: Time) {
    let tasks: Vec<Action> = world.lanes.under_way().map(|(_, doing)| doing.action.clone()).collect();
    lanes_mut(world).interrupt();
    for action in tasks {
        task::interrupted(world, &action, now);
    }
    image::forget(world);
    bmc::interrupt(world);
    unclaimed::sort_out(world, now);
}

fn started(world: &mut World, action: &Action, now: Time) {
    if let Some(lane) = Lane::of(action) {
        let revision = world.desired.as_ref().and_then(|desired| desired.revision.clone());
        let credential = bmc::account(world, action);
        lanes_mut(world).start(lane, Doing { action: action.clone(), since: now, revision, credential });
    }
    match action {
        Action::Note { changes } => notice::noted(world, changes, now),
        Action::Run { .. } => task::started(world, action, now),
        Action::Arm { host, generation } => bmc::arming(world, host, *generation, now),
        Action::PowerCycle { host } => bmc::cycling(world, host, now),
        _ => {}
    }
}

fn ended(world: &mut World, action: &Action, result: &Result<Outcome, Fault>, now: Time) -> Touched {
    let doing = Lane::of(action).and_then(|lane| lanes_mut(world).end(&lane));
    let began = doing.as_ref().map(|doing| doing.since);
    match action {
        Action::Adopt => {
            match result {
                Ok(Outcome::Adopted(branch)) => adopt::adopt(world, branch.as_ref(), now),
                Ok(_) => {}
                Err(fault) => failed_outside(world, action, fault, now),
            }
            return Touched::Everybody;
        }
        Action::Fetch => return repository::fetched(world, action, result, began, now),
        Action::Run { .. } => return task::ended(world, action, doing, result, now),
        Action::Reach { host } => return ssh::ended(world, host, action, began, result, now),
        Action::FetchImage { image } => image::ended(world, image, action, result, now),
        Action::Publish { .. } => repository::published(world, action, result, now),
        Action::Notify { receiver, moves_upto, .. } => notice::ended(world, receiver, action, result, *moves_upto, now),
        Action::Note { .. } => {}
        Action::WriteBack { cluster, generated, .. } => {
            outward::pushed(world, cluster, generated, action, result, now);
        }
        Action::TellForge { cluster, status } => {
            outward::told(world, cluster.as_ref(), status, action, result, now);
        }
        Action::Probe { host }
        | Action::Prepare { host, .. }
        | Action::Arm { host, .. }
        | Action::PowerCycle { host }
        | Action::Finish { host, .. }
        | Action::Release { host } => return bmc::ended(world, host, action, doing, result, now),
    }
    Touched::Nobody
}

fn claimed(world: &mut World, mac: Mac, token: &TokenId, now: Time) -> (Verdict, Touched) {
    let id = match boot::decide(world, mac) {
        Decision::Install { host } => host,
        Decision::Local { why, .. } => return (Verdict::Refused(why.to_string()), Touched::Nobody),
    };
    let Some(spec) = world.spec(&id).cloned() else {
        return (Verdict::Refused("not in the repository".to_owned()), Touched::Nobody);
    };
    if world.facts_of(&id).claim.as_ref().is_some_and(|claim| claim.token == *token) {
        return (Verdict::Ok, Touched::Nobody);
    }
    set_boot_mac(world, &id, mac);
    forget_failure(world, &Lane::Bmc(id.clone()));
    host_mut(world, &id).claim = Some(Claim {
        token: token.clone(),
        generation: spec.generation,
        spec: spec.spec.clone(),
        at: now,
        last_seen: now,
        confirmed: false,
    });
    (Verdict::Ok, Touched::Host(id))
}
