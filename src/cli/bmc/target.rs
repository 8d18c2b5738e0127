//! Which BMC is meant, and how it is spoken to: the same address, certificate and account that the daemon would use.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::drive::bmc::{Patience, Target, Turn};
use crate::model::{Fault, HostFacts, HostSpec, Reason, World};
use crate::plan;
use crate::settings::Settings;

/// How long to wait, without a word and then altogether, for a BMC that the daemon or somebody else is at work with. A
/// daemon keeps its session for a while, and nobody else may have one beside it.
const SOON: Duration = Duration::from_secs(2);
const TURN: Duration = Duration::from_secs(40);

/// What is observed of a host; nothing yet, perhaps.
pub fn facts(world: &World, spec: &HostSpec) -> Arc<HostFacts> {
    world.facts(&spec.id).cloned().unwrap_or_default()
}

/// How a host's BMC is spoken to. An account that was refused is not tried again unless `force`: every further failure
/// may lock it.
pub fn target(settings: &Settings, spec: &HostSpec, facts: &HostFacts, force: bool) -> Result<Target, Fault> {
    let no_address = || {
        let message = format!("no address of the BMC of {} is known: it has not asked for one yet", spec.id);
        Fault::transient(Reason::NoAddress, format!("{message}; power, cabling, or set bmc.address"))
    };
    if !spec.has_bmc() {
        return Err(Fault::operator(Reason::NoBmc, format!("{} has no BMC in the repository", spec.id)));
    }
    let address = plan::bmc::address(spec, facts).ok_or_else(no_address)?;
    let mut known = facts.clone();
    if force {
        known.bmc.refused.clear();
    }
    let credential = plan::bmc::credential(spec, &known).ok_or_else(|| {
        let message = "the BMC has refused every account in the repository; another try may lock it (--force tries)";
        Fault::operator(Reason::AuthenticationFailed, message)
    })?;
    Ok(Target {
        port: settings.bmc.port,
        ipmi_port: settings.bmc.ipmi_port,
        patience: Patience { request: Duration::from_secs(10), ..Patience::default() },
        ..Target::new(spec, facts, address, credential, &settings.bmc.tls)
    })
}

/// The right to speak to it, where a daemon keeps its state on this machine.
pub async fn turn(settings: &Settings, address: IpAddr) -> Result<Option<Turn>, Fault> {
    if !settings.state_dir.is_dir() {
        return Ok(None);
    }
    match Turn::take(&settings.state_dir, address, SOON).await {
        Err(fault) if fault.reason == Reason::BmcInUse => {}
        taken => return taken.map(Some),
    }
    tracing::warn!("somebody is at work with the BMC at {address}; waiting for at most {} s", TURN.as_secs());
    Turn::take(&settings.state_dir, address, TURN).await.map(Some)
}
