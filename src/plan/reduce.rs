//! What do we know? Folds one fact into the World. The only code that changes a World.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::boot::{self, Decision};
use super::cluster::{ClusterView, facts_of, task_basis};
use super::rack::count_failure;
use super::{host, lease};
use crate::model::{
    Action, Claim, ClusterFacts, ClusterName, Consent, Desired, Digest, Doing, Event, Failure, Fault, Fetched,
    Generation, HostFacts, HostId, Lease, LeaseOrigin, Mac, MacRole, Move, MoveKind, Outcome, Rejected, TaskId,
    TaskRecord, Time, TokenId, Verdict, World,
};

mod adopt;
mod checkin;

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
        Event::ForeignDhcp { server } => {
            world.foreign_dhcp = Some((*server, now));
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
        Action::Publish { .. } => world.git.publishing = Some(now),
        Action::Notify { .. } => world.git.notifying = Some(now),
        Action::Run { cluster, .. } => {
            cluster_mut(world, cluster).doing = Some(Doing { action: action.clone(), since: now });
        }
        Action::Probe { host }
        | Action::Prepare { host }
        | Action::Arm { host, .. }
        | Action::PowerCycle { host }
        | Action::Finish { host, .. } => {
            let facts = host_mut(world, host);
            facts.doing = Some(Doing { action: action.clone(), since: now });
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
        | Action::Prepare { host }
        | Action::Arm { host, .. }
        | Action::PowerCycle { host }
        | Action::Finish { host, .. } => host_ended(world, host, action, result, now),
    }
}

fn fetch_failed(world: &mut World, action: &Action, fault: &Fault, now: Time) {
    world.git.fetch_failure = Some(count_failure(world.git.fetch_failure.as_ref(), action.kind(), fault, now));
}

fn fetched(world: &mut World, action: &Action, result: &Result<Outcome, Fault>, now: Time) -> Touched {
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
    match fetched {
        Fetched::Unchanged => Touched::Nobody,
        Fetched::Loaded { desired: None, .. } => Touched::Nobody,
        Fetched::Loaded { desired: Some(desired), .. } => {
            if world.rejected.take().is_some() {
                note(world, MoveKind::Repository, "repository", "rejected", "accepted", now);
            }
            load(world, desired.clone(), now);
            Touched::Everybody
        }
        Fetched::Rejected { revision, findings } => {
            let rejected = Rejected { revision: revision.clone(), findings: findings.clone(), at: now };
            if world.rejected.replace(Arc::new(rejected)).is_none() {
                note(world, MoveKind::Repository, "repository", "accepted", "rejected", now);
            }
            Touched::Nobody
        }
    }
}

/// Puts a revision in force. Machines that were on the network before the repository named them are seen now.
fn load(world: &mut World, desired: Arc<Desired>, now: Time) {
    let leases: Vec<(Mac, Ipv4Addr)> =
        world.leases.iter().filter(|it| it.until > now).filter_map(|it| Some((it.mac?, it.ip))).collect();
    world.desired = Some(desired);
    for (mac, ip) in leases {
        seen(world, mac, IpAddr::V4(ip), now);
    }
}

fn published(
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
            trim(moves, world.policy.notify);
        }
        Err(fault) => {
            world.git.publish_failure = Some(count_failure(world.git.publish_failure.as_ref(), "publish", fault, now));
        }
    }
}

/// How often a message is tried before people go without it: it must never hold up the next ones for ever.
const NOTIFY_TRIES: u32 = 5;

fn notified(world: &mut World, result: &Result<Outcome, Fault>, moves_upto: u64, now: Time) {
    world.git.notifying = None;
    let failure = result.as_ref().err();
    world.git.notify_failure =
        failure.map(|fault| count_failure(world.git.notify_failure.as_ref(), "notify", fault, now));
    if world.git.notify_failure.as_ref().is_none_or(|failure| failure.count >= NOTIFY_TRIES) {
        let moves = Arc::make_mut(&mut world.moves);
        moves.notified = moves.notified.max(moves_upto);
        world.git.notify_failure = None;
        trim(moves, world.policy.notify);
    }
}

fn host_ended(world: &mut World, id: &HostId, action: &Action, result: &Result<Outcome, Fault>, now: Time) -> Touched {
    let identity = world.spec(id).map_or_else(|| Digest::new(""), |spec| spec.bmc.identity.clone());
    let generation = world.spec(id).map_or(Generation(0), |spec| spec.generation);
    let facts = host_mut(world, id);
    facts.doing = None;
    let outcome = match result {
        Ok(outcome) => outcome,
        // The machine may be on its way: wait for it as if all had gone well, and order it again only when overdue.
        Err(fault) if fault.reason == Fault::OUTCOME_UNKNOWN && matches!(action, Action::Arm { .. }) => {
            facts.failure = None;
            return Touched::Nobody;
        }
        Err(fault) => {
            let count = facts.failure.as_ref().filter(|last| last.action == action.kind()).map_or(0, |last| last.count);
            facts.failure = Some(Failure {
                action: action.kind().to_owned(),
                fault: fault.clone(),
                count: count + 1,
                at: now,
                basis: identity,
            });
            return Touched::Nobody;
        }
    };
    facts.failure = None;
    match outcome {
        Outcome::Probed { inventory, pin } => {
            facts.power = inventory.power.map(|power| (power, now));
            facts.inventory = Some((inventory.clone(), now));
            facts.pin = pin.clone().or(facts.pin.take());
            if let Some(mac) = inventory.boot_mac {
                set_boot_mac(world, id, mac);
            }
        }
        Outcome::Prepared => facts.prepared = Some((generation, now)),
        Outcome::Finished(power) => {
            facts.power = Some((*power, now));
            facts.finished = host::running(facts).cloned().map(|token| (token, now));
        }
        _ => {}
    }
    Touched::Host(id.clone())
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

fn leased(world: &mut World, mac: Mac, ip: Ipv4Addr, until: Time, by: LeaseOrigin, now: Time) -> (Verdict, Touched) {
    if by == LeaseOrigin::Own && !lease::may_hold(world, mac, ip, now) {
        return (Verdict::Refused(format!("{ip} is not free for {mac}")), Touched::Nobody);
    }
    Arc::make_mut(&mut world.leases).insert(Lease { ip, mac: Some(mac), until, by });
    (Verdict::Ok, seen(world, mac, IpAddr::V4(ip), now))
}

/// A machine or its BMC was seen at an address.
fn seen(world: &mut World, mac: Mac, ip: IpAddr, now: Time) -> Touched {
    match owner(world, mac) {
        Some((id, MacRole::Bmc)) => {
            let facts = host_mut(world, &id);
            if facts.bmc_seen.is_none_or(|(old, _)| old != ip) {
                facts.bmc_seen = Some((ip, now));
                // A BMC that moved is a new party to talk to: earlier silence at the old address says nothing of it.
                facts.failure = facts.failure.take().filter(|it| it.fault.class == crate::model::FaultClass::Operator);
            }
            Touched::Host(id)
        }
        Some((id, MacRole::Boot)) => {
            host_mut(world, &id).host_seen = Some((ip, now));
            Touched::Host(id)
        }
        None => Touched::Nobody,
    }
}

fn declined(world: &mut World, mac: Mac, ip: Ipv4Addr, until: Time) -> Verdict {
    if world.leases.holder(ip).is_some_and(|lease| lease.mac.is_some_and(|holder| holder != mac)) {
        return Verdict::Refused(format!("{ip} is not {mac}'s to decline"));
    }
    Arc::make_mut(&mut world.leases).insert(Lease { ip, mac: None, until, by: LeaseOrigin::Own });
    Verdict::Ok
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

/// Notes for people how shown states changed. Decisions never look at this.
fn show(world: &mut World, touched: Touched, now: Time) {
    let Some(desired) = world.desired.clone() else { return };
    match touched {
        Touched::Nobody => {}
        Touched::Host(id) => {
            // A host that is up may be the one its whole cluster waited for.
            if host::running(facts_of(world, &id)).is_some() {
                show_cluster(world, &desired, &id.cluster, now);
            } else if let (Some(spec), Some(cluster)) = (desired.hosts.get(&id), desired.clusters.get(&id.cluster)) {
                // Below `installed` a host's state does not depend on its cluster, nor its cluster's on it, unless
                // the cluster was past provisioning.
                let state = {
                    let bare = ClusterView::bare(cluster);
                    host::state(spec, facts_of(world, &id), &bare)
                };
                let reopened = world.clusters.get(&id.cluster).and_then(|facts| facts.shown.as_ref());
                if reopened.is_none_or(|(shown, _)| shown != "provisioning") {
                    show_cluster(world, &desired, &id.cluster, now);
                } else {
                    show_host(world, &id, state, now);
                }
            }
        }
        Touched::Cluster(name) => show_cluster(world, &desired, &name, now),
        Touched::Everybody => {
            for name in desired.clusters.keys() {
                show_cluster(world, &desired, name, now);
            }
        }
    }
}

fn show_cluster(world: &mut World, desired: &Desired, name: &ClusterName, now: Time) {
    let Some(cluster) = desired.clusters.get(name) else { return };
    let (state, hosts) = {
        let view = ClusterView::new(world, cluster);
        let hosts: Vec<_> = desired
            .hosts_of(name)
            .map(|spec| (spec.id.clone(), host::state(spec, facts_of(world, &spec.id), &view)))
            .filter(|(id, state)| facts_of(world, id).shown.map(|(shown, _)| shown) != Some(*state))
            .collect();
        (view.state(), hosts)
    };
    for (id, state) in hosts {
        show_host(world, &id, state, now);
    }
    let facts = cluster_mut(world, name);
    if facts.shown.as_ref().is_none_or(|(shown, _)| shown != state) {
        let from = facts.shown.replace((state.to_owned(), now)).map_or_else(|| "new".to_owned(), |(from, _)| from);
        note(world, MoveKind::Cluster, name.as_str(), &from, state, now);
    }
}

fn show_host(world: &mut World, id: &HostId, state: crate::model::HostState, now: Time) {
    if facts_of(world, id).shown.is_some_and(|(shown, _)| shown == state) {
        return;
    }
    let from = host_mut(world, id).shown.replace((state, now));
    let from = from.map_or("new", |(from, _)| from.as_str());
    note(world, MoveKind::Host, &id.to_string(), from, state.as_str(), now);
}

/// Changes kept although everybody has been told of them.
const KEPT_MOVES: usize = 256;
/// Changes kept at most, told or not: beyond this somebody has not listened for very long.
const MAX_MOVES: usize = 100_000;

fn note(world: &mut World, kind: MoveKind, subject: &str, from: &str, to: &str, now: Time) {
    let notify = world.policy.notify;
    let moves = Arc::make_mut(&mut world.moves);
    moves.last += 1;
    moves.recent.push_back(Move {
        seq: moves.last,
        at: now,
        kind,
        subject: subject.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
    });
    trim(moves, notify);
}

fn trim(moves: &mut crate::model::Moves, notify: bool) {
    let told = if notify { moves.published.min(moves.notified) } else { moves.published };
    while moves.recent.len() > KEPT_MOVES
        && (moves.recent.len() > MAX_MOVES || moves.recent.front().is_some_and(|entry| entry.seq <= told))
    {
        moves.recent.pop_front();
    }
}
