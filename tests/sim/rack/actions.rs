//! What the daemon's actions do.

use super::*;

impl Sim {
    pub(super) fn effect(&mut self, action: Action, world: &Arc<World>, plan: &Arc<Plan>) {
        let result = match &action {
            Action::Adopt => self.adopt(),
            Action::Fetch => Ok(Outcome::Fetched(self.fetch(world))),
            Action::Publish { moves_upto, .. } => self.publish(world, plan, *moves_upto),
            Action::Notify { .. } => Ok(Outcome::Notified),
            Action::FetchImage { .. } => Ok(Outcome::ImageVerified(ImageStamp { size: 1, inode: 1, modified: (1, 0) })),
            Action::Run { .. } if self.now < TROUBLES && self.dice.roll(60) => {
                Err(Fault::transient("Unreachable", "the hook's server does not answer"))
            }
            Action::Run { .. } => Ok(Outcome::TaskDone),
            Action::Probe { host }
            | Action::Prepare { host, .. }
            | Action::Arm { host, .. }
            | Action::PowerCycle { host }
            | Action::Finish { host, .. } => self.bmc(&host.clone(), &action),
        };
        let slow = action.host().is_some_and(|host| {
            self.machines.get_mut(host).is_some_and(|machine| machine.faults().fires(Trouble::BmcSlow))
        });
        let (life, delay) = (self.life, if slow { 100_000 } else { 500 });
        self.later(delay, delay + 5_000, Item::Report(life, action, result));
    }

    pub(super) fn bmc(&mut self, id: &HostId, action: &Action) -> Result<Outcome, Fault> {
        if !self.rack.has_bmc(id) {
            return Ok(Outcome::Finished(PowerState::Unknown));
        }
        let machine = self.machines.get_mut(id).expect("a machine for every host");
        if machine.faults().fires(Trouble::BmcBusy) {
            return Err(Fault::transient("BmcBusy", "the BMC is busy"));
        }
        let broken = machine.faults().fires(Trouble::BmcError) || machine.faults().fires(Trouble::BmcLostAnswer);
        let inventory = Inventory {
            serial: Some(format!("S-{}", id.host)),
            boot_mac: Some(machine.config().boot_mac),
            power: Some(machine.power()),
            ..Inventory::default()
        };
        let start = if machine.power() == PowerState::Off { Power::On } else { Power::ForceRestart };
        let outcome = match action {
            Action::Probe { .. } => {
                Outcome::Probed { inventory, pin: Some("aa".repeat(32)), protocol: Protocol::Redfish }
            }
            Action::Prepare { .. } => Outcome::Prepared(Default::default()),
            Action::Arm { .. } => {
                if machine.faults().fires(Trouble::IgnoresBootOverride) {
                    return Err(Fault::transient("BootOverrideNotKept", "the override does not read back"));
                }
                self.machine(id, MachineEvent::SetOverride(Some(Override { network: true, once: true })));
                self.machine(id, MachineEvent::Power(start));
                if broken {
                    return Err(Fault::transient(Fault::OUTCOME_UNKNOWN, "no answer"));
                }
                Outcome::Armed
            }
            Action::PowerCycle { .. } => {
                self.machine(id, MachineEvent::SetOverride(None));
                self.machine(id, MachineEvent::Power(start));
                Outcome::PowerCycled
            }
            Action::Finish { power_off: true, .. } => {
                self.machine(id, MachineEvent::Power(Power::ForceOff));
                Outcome::Finished(PowerState::Off)
            }
            _ => Outcome::Finished(PowerState::On),
        };
        if broken { Err(Fault::transient("BmcError", "no answer")) } else { Ok(outcome) }
    }

    pub(super) fn adopt(&mut self) -> Result<Outcome, Fault> {
        match &self.status {
            None => Ok(Outcome::Adopted(None)),
            Some(files) => Ok(Outcome::Adopted(Some(report::adoption(files).expect("our own status is readable")))),
        }
    }

    pub(super) fn fetch(&mut self, world: &World) -> Fetched {
        let (head, loaded) = &self.head;
        let rejected = world.rejected.as_ref().map(|rejected| &rejected.revision);
        let in_force = world.desired.as_ref().and_then(|desired| desired.revision.as_ref());
        if rejected.or(in_force) == Some(head) {
            return Fetched::Unchanged;
        }
        match loaded {
            Ok(desired) => Fetched::Loaded { revision: head.clone(), desired: Some(desired.clone()) },
            Err(findings) => Fetched::Rejected { revision: head.clone(), findings: findings.clone() },
        }
    }

    pub(super) fn publish(&mut self, world: &Arc<World>, plan: &Arc<Plan>, moves_upto: u64) -> Result<Outcome, Fault> {
        let raced = self.now < TROUBLES && self.dice.roll(30);
        let lost = raced && self.dice.roll(128);
        if raced {
            self.told.races += 1;
        }
        if !raced || lost {
            let carried =
                report::sequence(self.status.as_ref().and_then(|files| files.get("rack.yaml")).map(String::as_str));
            let after = carried.max(world.moves.published);
            let files = report::report(world, plan);
            if self.status.as_ref() != Some(&files) {
                self.commits.push(report::commit_message(world, after, moves_upto));
                self.status = Some(files);
            }
        }
        match raced {
            true => Err(Fault::transient("Unreachable", "the forge does not answer")),
            false => Ok(Outcome::Published(None)),
        }
    }
}
