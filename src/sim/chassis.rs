//! What a BMC has in its hands, whether the machine around it is simulated or real firmware in an emulator.
#![allow(missing_docs, reason = "the names say the rest")]

use super::fault::FaultPlan;
use super::machine::{Machine, MachineEvent, Override, Power};
use crate::model::{Mac, PowerState, Time};

/// A machine as its BMC sees it.
pub trait Chassis {
    /// The NIC it boots from; identity and serial number are made of it.
    fn boot_mac(&self) -> Mac;
    /// The BMC's own NIC, if it has one of its own.
    fn bmc_mac(&self) -> Option<Mac>;
    fn power(&self) -> PowerState;
    fn boot_override(&self) -> Option<Override>;
    fn set_override(&mut self, now: Time, wanted: Option<Override>);
    fn switch(&mut self, now: Time, power: Power);
    /// What goes wrong in the BMC.
    fn faults(&mut self) -> &mut FaultPlan;
    /// Starts of the firmware, however they came about: settings of the BIOS wait for the next one. Those that go
    /// through the BMC need not be among them.
    fn starts(&self) -> u32 {
        0
    }
    /// The volume with the system is gone.
    fn lose_disk(&mut self, _now: Time) {}
}

/// Neither the buttons nor the override make a machine ask anything of the world before its self test is over, so there
/// are no effects to hand on.
impl Chassis for Machine {
    fn boot_mac(&self) -> Mac {
        self.config().boot_mac
    }

    fn bmc_mac(&self) -> Option<Mac> {
        self.config().bmc_mac
    }

    fn power(&self) -> PowerState {
        Machine::power(self)
    }

    fn boot_override(&self) -> Option<Override> {
        Machine::boot_override(self)
    }

    fn set_override(&mut self, now: Time, wanted: Option<Override>) {
        self.step(now, MachineEvent::SetOverride(wanted));
    }

    fn switch(&mut self, now: Time, power: Power) {
        self.step(now, MachineEvent::Power(power));
    }

    fn faults(&mut self) -> &mut FaultPlan {
        Machine::faults(self)
    }

    fn starts(&self) -> u32 {
        self.starts
    }

    fn lose_disk(&mut self, now: Time) {
        self.step(now, MachineEvent::ReplaceDisk);
    }
}
