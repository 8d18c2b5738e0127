//! The NICs of machines that were ordered to boot from the network: whichever of them asks, it is that machine.
//!
//! Which NIC a machine boots from is written in the repository or read from its BMC, where that says it. Where it does
//! not, or where the firmware has other ideas, the machine is known by any NIC that its own BMC lists.

use std::sync::Arc;

use crate::model::{HostId, World};

/// From when it is armed.
pub(super) fn watch(world: &mut World, id: &HostId) {
    let nics: Vec<_> = world.facts_of(id).nics().map(|mac| (mac, id.clone())).collect();
    if nics.iter().any(|nic| !world.nics.contains(nic)) {
        Arc::make_mut(&mut world.nics).extend(nics);
    }
}

/// Until it is installed, or nothing is known of it any more.
pub(super) fn forget(world: &mut World, id: &HostId) {
    if world.nics.iter().any(|(_, of)| of == id) {
        Arc::make_mut(&mut world.nics).retain(|(_, of)| of != id);
    }
}
