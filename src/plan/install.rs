//! What is on a host's disk, and whether it is to be replaced.

use crate::model::{HostFacts, HostSpec, Lifecycle, OfInstall, TokenId};

/// Whether the repository consents to wiping this host's disk now: a generation greater than the acknowledged one.
pub fn wants_install(spec: &HostSpec, facts: &HostFacts) -> bool {
    facts.installed.as_ref().is_none_or(|installed| installed.generation < spec.generation)
}

/// Whether the install of the wanted generation may be announced, armed and answered at all, as far as the host itself
/// is concerned (not counting announcement and arming, which come after).
pub fn may_install(spec: &HostSpec, facts: &HostFacts) -> bool {
    spec.state == Lifecycle::Present
        && spec.blocked.is_empty()
        && wants_install(spec, facts)
        && facts.held.is_none_or(|held| held < spec.generation)
}

/// The install whose system this host has been seen booting, when it is the one on its disk.
pub fn running(facts: &HostFacts) -> Option<&TokenId> {
    let token = &facts.installed.as_ref()?.token;
    OfInstall::get(&facts.booted, token).map(|_| token)
}

/// Whether the host is up with what the repository wants: what its cluster waits for.
pub fn is_here(spec: &HostSpec, facts: &HostFacts) -> bool {
    !wants_install(spec, facts) && running(facts).is_some()
}

/// Whether what is installed at the wanted generation was made from other inputs than the repository has now.
pub fn has_drift(spec: &HostSpec, facts: &HostFacts) -> bool {
    let installed = facts.installed.as_ref();
    installed.is_some_and(|installed| installed.generation == spec.generation && installed.spec != spec.spec)
}
