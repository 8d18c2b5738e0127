//! What people were shown, and the numbered changes between. History only: decisions never look at it.

use std::sync::Arc;

use super::change::{Touched, cluster_mut, host_mut};
use crate::model::{Change, ClusterName, ClusterState, Desired, HostId, HostState, Move, Time, World};
use crate::plan::host::state;
use crate::plan::install::running;
use crate::plan::view::{ClusterView, HostView};

/// Notes for people how shown states changed. Decisions never look at this.
pub(super) fn show(world: &mut World, touched: Touched, now: Time) {
    let Some(desired) = world.desired.clone() else { return };
    match touched {
        Touched::Nobody => {}
        Touched::Host(id) => {
            // A host that is up may be the one its whole cluster waited for.
            if running(world.facts_of(&id)).is_some() {
                show_cluster(world, &desired, &id.cluster, now);
            } else if let (Some(spec), Some(cluster)) = (desired.hosts.get(&id), desired.clusters.get(&id.cluster)) {
                // Below `installed` a host's state does not depend on its cluster, nor its cluster's on it, unless
                // the cluster was past provisioning.
                let host = HostView::idle(spec, world.facts_of(&id), cluster);
                let state = state(&host, &ClusterView::bare(cluster));
                let reopened = world.clusters.get(&id.cluster).and_then(|facts| facts.shown.as_ref());
                if reopened.is_none_or(|(shown, _)| *shown != ClusterState::Provisioning) {
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
        let hosts = view.hosts.iter().map(|host| (host, state(host, &view)));
        let hosts = hosts.filter(|(host, state)| host.facts.shown.map(|(shown, _)| shown) != Some(*state));
        let hosts: Vec<_> = hosts.map(|(host, state)| (host.spec.id.clone(), state)).collect();
        (view.state(), hosts)
    };
    for (id, state) in hosts {
        show_host(world, &id, state, now);
    }
    let facts = cluster_mut(world, name);
    if facts.shown.is_none_or(|(shown, _)| shown != state) {
        let from = facts.shown.replace((state, now)).map(|(from, _)| from);
        note(world, name.as_str(), Change::Cluster { from, to: state }, now);
    }
}

fn show_host(world: &mut World, id: &HostId, state: HostState, now: Time) {
    if world.facts_of(id).shown.is_some_and(|(shown, _)| shown == state) {
        return;
    }
    let from = host_mut(world, id).shown.replace((state, now)).map(|(from, _)| from);
    note(world, &id.to_string(), Change::Host { from, to: state }, now);
}

/// Changes kept although everybody has been told of them.
const KEPT_MOVES: usize = 256;
/// Changes kept for receivers of notifications that are behind.
const MAX_UNHEARD: usize = 2_000;
/// Changes kept at most, told or not: beyond this somebody has not listened for very long.
const MAX_MOVES: usize = 100_000;

pub(super) fn note(world: &mut World, subject: &str, change: Change, now: Time) {
    note_with(world, subject, change, String::new(), now);
}

pub(super) fn note_with(world: &mut World, subject: &str, change: Change, message: String, now: Time) {
    let moves = Arc::make_mut(&mut world.moves);
    moves.last += 1;
    moves.recent.push_back(Move { seq: moves.last, at: now, subject: subject.to_owned(), change, message });
    forget_told(world);
}

/// Forgets changes that everybody has been told of: the status branch, and every receiver.
pub(super) fn forget_told(world: &mut World) {
    let receivers = world.policy.receivers.iter();
    let told = receivers.map(|it| world.notices.receivers.get(&it.name).map_or(0, |facts| facts.told));
    let told = told.min().unwrap_or(u64::MAX);
    let moves = Arc::make_mut(&mut world.moves);
    while let Some(first) = moves.recent.front().map(|entry| entry.seq) {
        let kept = moves.recent.len();
        let heard = first <= told || kept > MAX_UNHEARD;
        if kept <= KEPT_MOVES || (kept <= MAX_MOVES && !(first <= moves.published && heard)) {
            break;
        }
        moves.recent.pop_front();
    }
}
