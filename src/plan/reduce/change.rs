//! Ways to change a World that several kinds of facts share.

use std::sync::Arc;

use crate::model::{
    Action, ClusterFacts, ClusterName, Digest, Fault, HostFacts, HostId, Lane, Lanes, Mac, MacRole, Time, World,
};

/// Whose shown state an event may have changed.
pub(super) enum Touched {
    Nobody,
    Host(HostId),
    Cluster(ClusterName),
    Everybody,
}

/// A host's facts, to be changed.
pub(super) fn host_mut<'w>(world: &'w mut World, id: &HostId) -> &'w mut HostFacts {
    Arc::make_mut(Arc::make_mut(&mut world.hosts).entry(id.clone()).or_default())
}

/// A cluster's facts, to be changed.
pub(super) fn cluster_mut<'w>(world: &'w mut World, name: &ClusterName) -> &'w mut ClusterFacts {
    Arc::make_mut(Arc::make_mut(&mut world.clusters).entry(name.clone()).or_default())
}

/// What is under way, to be changed.
pub(super) fn lanes_mut(world: &mut World) -> &mut Lanes {
    Arc::make_mut(&mut world.lanes)
}

/// An action has failed; a change of `basis` lets a fault that waits for a person be tried again.
pub(super) fn failed(world: &mut World, action: &Action, fault: &Fault, basis: Digest, now: Time) {
    if let Some(lane) = Lane::of(action) {
        lanes_mut(world).failed(lane, action, fault.clone(), basis, now);
    }
}

/// An action has failed that nothing in the repository is the reason of.
pub(super) fn failed_outside(world: &mut World, action: &Action, fault: &Fault, now: Time) {
    failed(world, action, fault, Digest::new(""), now);
}

/// What failed before on a lane no longer counts.
pub(super) fn forget_failure(world: &mut World, lane: &Lane) {
    if world.lanes.failure(lane).is_some() {
        lanes_mut(world).forget_failure(lane);
    }
}

/// Records the NIC a host boots from, and keeps the index over it.
pub(super) fn set_boot_mac(world: &mut World, id: &HostId, mac: Mac) {
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
pub(super) fn owner(world: &World, mac: Mac) -> Option<(HostId, MacRole)> {
    let written = world.desired.as_ref().and_then(|desired| desired.by_mac(mac));
    let written = written.map(|(id, role)| (id.clone(), role));
    written.or_else(|| world.boot_macs.get(&mac).map(|id| (id.clone(), MacRole::Boot)))
}
