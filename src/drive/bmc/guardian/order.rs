//! What an action of the plan asks of a BMC, and where and how to speak to it.

use super::Guardians;
use crate::drive::bmc::{Order, Target};
use crate::model::{Action, Digest, Fault, HostId, Protocol, Reason, World};
use crate::plan;

/// Where and how to speak to a BMC, and with which account.
pub(super) struct Door {
    /// The BMC.
    pub target: Target,
    /// The account's [`Credential::id`](crate::model::Credential::id).
    pub account: Digest,
    /// The session that the journal says is open, or was before a crash: its URI.
    pub journaled: Option<String>,
    /// Whether it is known that the BMC goes on refusing connections.
    pub stays_refused: bool,
}

impl Guardians {
    /// Where and how to speak to a host's BMC.
    pub(super) fn door(&self, world: &World, host: &HostId) -> Result<Door, Fault> {
        let spec = world.spec(host).ok_or_else(no_such_host)?;
        let facts = plan::cluster::facts_of(world, host);
        if spec.bmc.protocol == Protocol::None {
            return Err(Fault::permanent(Reason::NoBmc, "the host has no BMC that can be driven"));
        }
        let address = plan::bmc::address(spec, facts);
        let address = address.ok_or_else(|| Fault::transient(Reason::NoAddress, "the BMC's address is not known"))?;
        let credential = plan::bmc::credential(spec, facts)
            .ok_or_else(|| Fault::operator(Reason::AuthenticationFailed, plan::bmc::all_refused(spec)))?;
        let target = Target {
            port: self.port,
            ipmi_port: self.ipmi_port,
            patience: self.patience.clone(),
            via: (self.way)(host, address),
            ..Target::new(spec, facts, address, credential, &self.tls)
        };
        let journaled = facts.bmc.session.as_ref().map(|(uri, _)| uri.clone());
        let stays_refused = plan::bmc::stays(facts, Reason::ConnectionRefused);
        Ok(Door { target, account: credential.id.clone(), journaled, stays_refused })
    }
}

pub(super) fn no_such_host() -> Fault {
    Fault::permanent(Reason::NoSuchHost, "the host has left the repository")
}

/// What an action of the plan asks of a BMC; nothing where it asks nothing.
pub(super) fn order(action: &Action, world: &World) -> Option<Order> {
    let spec = world.spec(action.host()?)?;
    let pending = world.facts(&spec.id).and_then(|facts| facts.bmc.pending.as_ref());
    Some(match action {
        Action::Probe { .. } => Order::Probe { boot_mac: spec.boot_mac },
        Action::Prepare { apply, .. } => {
            let pending = pending.map(|(pending, ..)| pending.clone());
            Order::Prepare { prepare: spec.prepare.clone(), apply: *apply, pending }
        }
        Action::Arm { .. } => Order::Arm { network_boot: spec.bmc.network_boot, mode: spec.bmc.boot_mode },
        Action::PowerCycle { .. } => Order::PowerCycle,
        Action::Finish { power_off, .. } => Order::Finish { power_off: *power_off },
        Action::Release { .. }
        | Action::Adopt
        | Action::Fetch
        | Action::FetchImage { .. }
        | Action::Publish { .. }
        | Action::Run { .. }
        | Action::Reach { .. }
        | Action::WriteBack { .. }
        | Action::TellForge { .. }
        | Action::Notify { .. }
        | Action::Note { .. } => return None,
    })
}
