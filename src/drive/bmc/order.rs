//! What a BMC is told: an action of the plan with all that it needs, whatever the protocol.

use std::sync::Arc;

use crate::model::{Action, BootMode, Mac, NetworkBoot, Pending, Prepare, World};

#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    Probe {
        /// The NIC written in the repository, which wins over any guess.
        boot_mac: Option<Mac>,
    },
    /// LED on; disks, BIOS and BMC as wanted.
    Prepare {
        prepare: Arc<Prepare>,
        /// Whether anything may be changed; otherwise it is only looked at.
        apply: bool,
        /// What an earlier order has begun.
        pending: Option<Pending>,
    },
    /// Set a one-shot network boot, read it back, and start or restart the machine.
    Arm { network_boot: NetworkBoot, mode: BootMode },
    /// Clear the boot override and start or restart the machine, from its own disk.
    PowerCycle,
    /// LED off and, if asked, power off: gracefully, then without asking.
    Finish { power_off: bool },
}

impl Order {
    /// What an action asks of the BMC of its host; nothing where it asks nothing.
    pub(super) fn of(action: &Action, world: &World) -> Option<Order> {
        let spec = world.spec(action.host()?)?;
        Some(match action {
            Action::Probe { .. } => Order::Probe { boot_mac: spec.boot_mac },
            Action::Prepare { apply, .. } => {
                let pending = world.facts(&spec.id).and_then(|facts| facts.bmc.pending.as_ref());
                let pending = pending.map(|it| it.pending.clone());
                Order::Prepare { prepare: spec.prepare.clone(), apply: *apply, pending }
            }
            Action::Arm { .. } => Order::Arm { network_boot: spec.bmc.network_boot, mode: spec.bmc.boot_mode },
            Action::PowerCycle { .. } => Order::PowerCycle,
            Action::Finish { power_off, .. } => Order::Finish { power_off: *power_off },
            _ => return None,
        })
    }
}
