//! Which BMC is meant, and how it is spoken to: the same address, certificate and account that the daemon would use.

use std::sync::Arc;
use std::time::Duration;

use crate::drive::bmc::{Endpoint, IpmiAfter, Timeouts};
use crate::model::{Fault, HostFacts, HostSpec, Reason, World};
use crate::settings::Settings;

/// What is observed of a host; nothing yet, perhaps.
pub(crate) fn facts(world: &World, spec: &HostSpec) -> Arc<HostFacts> {
    world.facts(&spec.id).cloned().unwrap_or_default()
}

/// How a host's BMC is spoken to, and where its lock is. An account that was refused is not tried again unless `force`:
/// every further failure may lock it.
pub(crate) fn endpoint(settings: &Settings, spec: &HostSpec, world: &World, force: bool) -> Result<Endpoint, Fault> {
    let mut known = facts(world, spec).as_ref().clone();
    if force {
        known.bmc.refused.clear();
    }
    let endpoint = Endpoint::of(spec, &known, &settings.bmc.tls).map_err(|fault| match fault.reason {
        Reason::AuthenticationFailed => {
            Fault { message: format!("{}; `--force` tries once more", fault.message), ..fault }
        }
        _ => fault,
    })?;
    Ok(Endpoint {
        port: settings.bmc.port,
        ipmi_port: settings.bmc.ipmi_port,
        ipmi_after: IpmiAfter::Silence,
        timeouts: Timeouts { request: Duration::from_secs(10), ..Timeouts::default() },
        // Without one, no daemon runs on this machine.
        state_dir: Some(settings.state_dir.clone()).filter(|dir| dir.is_dir()),
        ..endpoint
    })
}
