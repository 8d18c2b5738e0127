//! SSH to installed hosts: where they are, which host key counts, and whether they were reached.

use std::net::IpAddr;

use crate::model::{HostFacts, HostSpec, OfInstall, TokenId, World};

pub mod key;

/// The address a host is reached at. On the first use it must be the one that we leased to its MAC: there is no host key
/// to tell it from a stranger yet.
pub fn address(world: &World, spec: &HostSpec) -> Result<IpAddr, String> {
    let facts = world.facts_of(&spec.id);
    let Some((address, _)) = facts.host_seen else {
        return Err(format!("no address of {} is known", spec.id));
    };
    let leased = match address {
        IpAddr::V4(ip) => world.leases.holder(ip).and_then(|lease| lease.mac),
        IpAddr::V6(_) => None,
    };
    let its = spec.boot_mac.or(facts.boot_mac);
    if world.policy.site.leases_are_ours && pinned(facts).is_none() && (leased.is_none() || leased != its) {
        return Err(format!("{address} is not leased to {}, and no host key of it is known", spec.id));
    }
    Ok(address)
}

/// The host key that a host must show: of the install that is on its disk.
pub fn host_key(world: &World, spec: &HostSpec) -> Option<String> {
    pinned(world.facts_of(&spec.id)).map(str::to_owned)
}

/// The host key of the install that is on the disk.
pub fn pinned(facts: &HostFacts) -> Option<&str> {
    OfInstall::get(&facts.ssh.key, &facts.installed.as_ref()?.token).map(String::as_str)
}

/// Whether a host is up again after its configuration began.
pub fn is_configured(facts: &HostFacts, token: &TokenId) -> bool {
    OfInstall::get(&facts.ssh.configured, token).is_some()
}

/// Whether a host has been reached since it last reported (a boot, another address).
pub fn is_reached(facts: &HostFacts) -> bool {
    let reported = facts.host_seen.map(|(_, at)| at);
    pinned(facts).is_some() && facts.ssh.reached.as_ref().is_some_and(|(_, at)| Some(*at) >= reported)
}
