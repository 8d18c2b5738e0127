//! SSH to installed hosts: where they are, and which host key counts.

use std::net::IpAddr;

use super::cluster::facts_of;
use crate::model::{HostSpec, World};

/// The address a host is reached at. On the first use it must be the one that we leased to its MAC: there is no host key
/// to tell it from a stranger yet.
pub fn address(world: &World, spec: &HostSpec) -> Result<IpAddr, String> {
    let facts = facts_of(world, &spec.id);
    let Some((address, _)) = facts.host_seen else {
        return Err(format!("no address of {} is known", spec.id));
    };
    let leased = match address {
        IpAddr::V4(ip) => world.leases.holder(ip).and_then(|lease| lease.mac),
        IpAddr::V6(_) => None,
    };
    let its = spec.boot_mac.or(facts.boot_mac);
    if world.policy.site.leases_are_ours && host_key(world, spec).is_none() && (leased.is_none() || leased != its) {
        return Err(format!("{address} is not leased to {}, and no host key of it is known", spec.id));
    }
    Ok(address)
}

/// The host key that a host must show: of the install that is on its disk.
pub fn host_key(world: &World, spec: &HostSpec) -> Option<String> {
    let facts = facts_of(world, &spec.id);
    let installed = facts.installed.as_ref()?;
    facts.ssh.key.as_ref().filter(|(token, _)| *token == installed.token).map(|(_, key)| key.clone())
}
