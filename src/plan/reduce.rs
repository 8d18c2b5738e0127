//! What do we know? Folds one fact into the World. The only code that changes a World.

use std::sync::Arc;

use super::bmc;
use super::boot::{self, Decision};
use super::cluster::{facts_of, task_basis};
use super::host;
use crate::model::{
    Action, Claim, ClusterFacts, ClusterName, Consent, Digest, Doing, Event, Failure, Fault, Generation, HostFacts,
    HostId, Mac, MacRole, MoveKind, Outcome, Preparation, TaskId, TaskRecord, Time, TokenId, Verdict, World,
};

mod adopt;
mod checkin;
mod image;
mod network;
mod repository;
mod shown;

use network::{declined, leased};
use repository::{fetch_failed, fetched, notified, published};
use shown::{note, show};

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
            }
            ok(Touched::Nobody)
        }
        Event::Declined { mac, ip, until } => (declined(world, *mac, *ip, *until), Touched::Nobody),
        Event::Claimed { mac, token, .. } => claimed(world, *mac, token, now),
        Event::CheckedIn(checkin) => checkin::fold(world, checkin, now),
        Event::BmcSession { host, session } => {
            host_mut(world, host).bmc.session = session.clone();
            ok(Touched::Nobody)
        }
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
    world.git.notifying = None;
    image::forget(world);
    let busy: Vec<HostId> =
        world.hosts.iter().filter(|(_, facts)| facts.doing.is_some()).map(|(id, _)| id.clone()).collect();
    for id in busy {
        host_mut(world, &id).doing = None;
    }
    let running: Vec<(ClusterName, Doing)> =
        world.clusters.iter().filter_map(|(name, facts)| Some((name.clone(), facts.doing.clone()?))).collect();
    for (name, doing) in running {
        let fault = Fault::transient("Interrupted", "rackwright was restarted while it ran; its outcome is unknown");
        task_ended(world, &doing.action, Err(&fault), now);
        cluster_mut(world, &name).doing = None;
    }
}

fn started(world: &mut World, action: &Action, now: Time) {
    match action {
        Action::Adopt | Action::Fetch => world.git.fetching = Some(now),
        Action::FetchImage { image } => image::started(world, image, now),
        Action::Publish { .. } => world.git.publishing = Some(now),
        Action::Notify { .. } => world.git.notifying = Some(now),
        Action::Run { cluster, .. } => {
            cluster_mut(world, cluster).doing = Some(Doing { action: action.clone(), since: now, credential: None });
        }
        Action::Probe { host }
        | Action::Prepare { host, .. }
        | Action::Arm { host, .. }
        | Action::PowerCycle { host }
        | Action::Finish { host, .. } => {
            let credential = bmc_account(world, host);
            let facts = host_mut(world, host);
            facts.doing = Some(Doing { action: action.clone(), since: now, credential });
            match action {
                Action::Arm { generation, .. } => {
                    let times = facts.armed.filter(|(armed, ..)| armed == generation).map_or(0, |(.., times)| times);
                    facts.armed = Some((*generation, now, times + 1));
                }
                Action::PowerCycle { .. } => {
                    let token = facts.installed.as_ref().map(|installed| installed.token.clone());
                    let times = facts.cycled.as_ref().filter(|(of, ..)| Some(of) == token.as_ref());
                    let times = times.map_or(0, |(.., times)| *times);
                    facts.cycled = token.map(|token| (token, now, times + 1));
                }
                _ => {}
            }
        }
    }
}

fn ended(world: &mut World, action: &Action, result: &Result<Outcome, Fault>, now: Time) -> Touched {
    match action {
        Action::Adopt => {
            world.git.fetching = None;
            match result {
                Ok(Outcome::Adopted(adoption)) => adopt::adopt(world, adoption.as_ref(), now),
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
        Action::Publish { fingerprint, moves_upto, intents } => {
            published(world, result, *fingerprint, *moves_upto, intents, now);
            Touched::Nobody
        }
        Action::Notify { moves_upto, .. } => {
            notified(world, result, *moves_upto, now);
            Touched::Nobody
        }
        Action::Run { cluster, .. } => {
            task_ended(world, action, result.as_ref().map(|_| ()), now);
            cluster_mut(world, cluster).doing = None;
            Touched::Cluster(cluster.clone())
        }
        Action::Probe { host }
        | Action::Prepare { host, .. }
        | Action::Arm { host, .. }
        | Action::PowerCycle { host }
        | Action::Finish { host, .. } => host_ended(world, host, action, result, now),
    }
}

fn host_ended(world: &mut World, id: &HostId, action: &Action, result: &Result<Outcome, Fault>, now: Time) -> Touched {
    let spec = world.spec(id).cloned();
    let generation = spec.as_ref().map_or(Generation(0), |spec| spec.generation);
    let facts = host_mut(world, id);
    let credential = facts.doing.take().and_then(|doing| doing.credential);
    let outcome = match result {
        Ok(outcome) => outcome,
        // The machine may be on its way: wait for it as if all had gone well, and order it again only when overdue.
        Err(fault) if fault.reason == Fault::OUTCOME_UNKNOWN && matches!(action, Action::Arm { .. }) => {
            facts.failure = None;
            return Touched::Nobody;
        }
        Err(fault) => {
            let basis = spec.map_or_else(|| Digest::new(""), |spec| bmc::basis(&spec, facts));
            if fault.reason == Fault::AUTHENTICATION_FAILED {
                facts.bmc.refused.extend(credential);
            }
            let count = facts.failure.as_ref().filter(|last| last.action == action.kind()).map_or(0, |last| last.count);
            facts.failure = Some(Failure {
                action: action.kind().to_owned(),
                fault: fault.clone(),
                count: count + 1,
                at: now,
                basis,
            });
            return Touched::Nobody;
        }
    };
    facts.failure = None;
    facts.bmc.accepted = credential.or(facts.bmc.accepted.take());
    match outcome {
        Outcome::Probed { inventory, pin, protocol } => {
            facts.bmc.protocol = Some(*protocol);
            facts.power = inventory.power.map(|power| (power, now));
            facts.inventory = Some((inventory.clone(), now));
            facts.pin = pin.clone().or(facts.pin.take());
            if let Some(mac) = inventory.boot_mac {
                set_boot_mac(world, id, mac);
            }
        }
        Outcome::Prepared(preparation) => prepared(facts, action, preparation, generation, now),
        Outcome::Finished(power) => {
            facts.power = Some((*power, now));
            facts.finished = host::running(facts).cloned().map(|token| (token, now));
        }
        _ => {}
    }
    Touched::Host(id.clone())
}

/// The account that an action on this host's BMC is begun with.
fn bmc_account(world: &World, id: &HostId) -> Option<Digest> {
    let spec = world.spec(id)?;
    Some(bmc::credential(spec, &facts_of(world, id))?.id.clone())
}

fn prepared(facts: &mut HostFacts, action: &Action, preparation: &Preparation, generation: Generation, now: Time) {
    facts.bmc.notes.clone_from(&preparation.notes);
    let before = facts.bmc.pending.take();
    match &preparation.pending {
        None => {
            facts.prepared = Some((generation, now));
            // A disk is that of the slots it was found for, and of no others.
            facts.bmc.prepared_as.clone_from(&preparation.of);
            facts.bmc.disk.clone_from(&preparation.disk);
        }
        Some(pending) => {
            let begun = matches!(action, Action::Prepare { apply: true, .. });
            let (since, times) = match before {
                Some((_, since, times, _)) if !begun => (since, times),
                before => (now, before.map_or(0, |(_, _, times, _)| times) + 1),
            };
            facts.bmc.pending = Some((pending.clone(), since, times, now));
        }
    }
}

fn task_ended(world: &mut World, action: &Action, result: Result<(), &Fault>, now: Time) {
    let Action::Run { cluster, task, definition, covers, run } = action else { return };
    let idempotent = task_is_idempotent(world, cluster, task);
    let facts = cluster_mut(world, cluster);
    let record = facts.tasks.entry(task.clone()).or_insert_with(|| TaskRecord {
        definition: definition.clone(),
        covers: Default::default(),
        failure: None,
        at: now,
    });
    record.definition = definition.clone();
    record.at = now;
    let to = match result {
        Ok(()) => {
            record.covers.extend(covers.iter().map(|(id, token)| (id.clone(), token.clone())));
            record.failure = None;
            "done"
        }
        Err(fault) => {
            let mut fault = fault.clone();
            if !idempotent {
                fault.class = crate::model::FaultClass::Operator;
            }
            let count = record.failure.as_ref().map_or(0, |(last, _)| last.count) + 1;
            let basis = task_basis(definition, *run);
            record.failure = Some((Failure { action: "run".to_owned(), fault, count, at: now, basis }, *run));
            "failed"
        }
    };
    note(world, MoveKind::Task, &format!("{cluster}/{task}"), "running", to, now);
}

fn task_is_idempotent(world: &World, cluster: &ClusterName, task: &TaskId) -> bool {
    let spec = world.desired.as_ref().and_then(|desired| desired.clusters.get(cluster));
    spec.and_then(|spec| spec.tasks.iter().find(|it| it.id == *task)).is_some_and(|it| it.idempotent)
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
