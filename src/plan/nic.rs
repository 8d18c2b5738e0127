//! Which NIC a machine boots from, when the repository does not say: the one that its BMC marks as its own
//! ([`Inventory::boot_mac`](crate::model::Inventory::boot_mac)), else whichever of those that its BMC lists asks the
//! network for an installer.

use super::step::Step;
use crate::model::{ClusterName, HostFacts, HostId, HostSpec, Mac, Reason, World};

/// The host that was ordered to boot from the network and whose BMC lists a NIC with this MAC: the machine that asks over
/// PXE with it. Nobody's when another host lists it as well, or when the repository names that host's boot NIC.
pub fn lister(world: &World, mac: Mac) -> Option<&HostId> {
    let desired = world.desired.as_ref()?;
    // Few are expected at a time, and strangers ask often: all hosts are looked through for an expected one's NIC only.
    let first = HostId::new(&ClusterName::new(""), "");
    world.nics.range((mac, first)..).next().filter(|(nic, _)| *nic == mac)?;
    let listing = world.hosts.iter().filter(|(_, facts)| lists(facts, mac));
    let mut candidates = listing.filter_map(|(id, _)| Some((id, desired.hosts.get(id)?)));
    let (id, spec) = candidates.next()?;
    (candidates.next().is_none() && spec.boot_mac.is_none()).then_some(id)
}

/// Whether the host's BMC lists a NIC with this MAC.
pub fn lists(facts: &HostFacts, mac: Mac) -> bool {
    facts.inventory.as_ref().is_some_and(|(inventory, _)| inventory.nic(mac).is_some())
}

/// What a host with a BMC waits for that nobody could recognise when it asks: neither the repository nor the BMC names
/// a single NIC of it.
pub fn unrecognisable(spec: &HostSpec, facts: &HostFacts) -> Option<Step> {
    let (inventory, _) = facts.inventory.as_ref()?;
    let known = spec.boot_mac.or(facts.boot_mac).or(inventory.boot_mac).is_some() || !inventory.nics.is_empty();
    let message = "neither the repository nor the BMC names a network interface of the machine, so that it cannot be \
                   recognised when it boots: write the MAC that it boots from as `config.boot_mac` in bootstrap.yml";
    (spec.has_bmc() && !known).then(|| Step::stalled(Reason::NoBootMac, message, None))
}
