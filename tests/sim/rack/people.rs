//! What people do to the daemon, the repository and the rack.

use super::*;

impl Sim {
    pub(super) fn start(&mut self, first_run: bool) {
        let first_run = first_run || (self.journal.is_empty() && self.status.is_none());
        self.life += 1;
        self.say(|| format!("the daemon starts, life {}", self.life));
        self.daemon = Some(Daemon::start(&mut self.journal, &self.policy, &self.trees, self.now, first_run));
    }

    pub(super) fn crash(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            let again = self.journal.fold(&self.policy, &self.trees);
            assert!(again == daemon.world, "replay differs from what was live");
            self.told.crashes += 1;
            self.life += 1;
            self.wake_at = None;
            self.later(1_000, 900_000, Item::Restart);
        }
    }

    pub(super) fn push(&mut self) {
        let previous = self.daemon.as_ref().and_then(|daemon| daemon.world.desired.clone());
        let previous = previous.or_else(|| self.head.1.as_ref().ok().cloned());
        let revision = format!("{:040x}", u128::from(self.dice.draw()));
        let loaded = load(&self.rack, &self.policy.site, previous.as_deref(), revision.clone());
        self.say(|| format!("push {revision}: {:?}", loaded.as_ref().err()));
        if loaded.is_err() {
            self.told.rejected_pushes += 1;
        }
        self.head = (Revision::new(&revision), loaded);
        self.tell(&Event::Woken);
    }

    pub(super) fn trouble(&mut self) {
        let ids: Vec<HostId> = self.machines.keys().cloned().collect();
        let id = ids[self.below(ids.len() as u64) as usize].clone();
        match self.below(10) {
            0 | 1 => self.crash(),
            2 => {
                self.crash();
                self.say(|| "the journal is lost".into());
                self.journal = Journal::default();
                self.told.journals_lost += 1;
            }
            3 | 4 => {
                self.rack.raise_generation(&id);
                self.push();
            }
            5 => {
                self.rack.change_spec(&id);
                self.push();
            }
            6 => {
                let good = self.rack.clone();
                self.rack.break_it();
                self.push();
                self.rack = good;
                let at = self.now.0 + 3_600_000;
                self.sequence += 1;
                // Somebody repairs it within the hour.
                self.queue.insert((Time(at), self.sequence), Item::Person);
            }
            7 => {
                self.rack.toggle_maintenance(&id);
                self.push();
            }
            8 => self.machine(&id, MachineEvent::Power(Power::ForceRestart)),
            _ => {
                self.machine(&id, MachineEvent::Power(Power::ForceOff));
                self.later(1_000, 60_000, Item::Answer(id, MachineEvent::Power(Power::On)));
            }
        }
    }

    /// Looks at the rack every half hour, reads what it says, and does that.
    pub(super) fn person(&mut self) {
        self.later(1_800_000, 1_800_001, Item::Person);
        let Some(daemon) = &self.daemon else { return };
        let plan = plan::plan(&daemon.world, self.now);
        let mut news = self.head.1.is_err() || daemon.world.rejected.is_some();
        if self.now > TROUBLES {
            news |= self.rack.end_maintenance();
        }
        for host in plan.hosts {
            let bmc = self.rack.has_bmc(&host.id);
            let reason = match &host.step {
                Step::Stalled { reason, .. } => reason.as_str(),
                Step::Wait { reason, .. } if !bmc => reason,
                _ => continue,
            };
            match reason {
                "JournalLost" => {
                    self.rack.raise_generation(&host.id);
                    news = true;
                }
                "NetworkBoot" | "PowerOnByHand" | "InstallOverdue" | "NotSeen" if !bmc => {
                    self.machine(&host.id, MachineEvent::SetOverride(Some(Override { network: true, once: true })));
                    self.start_by_hand(&host.id);
                }
                "FirstBootOverdue" if !bmc => self.start_by_hand(&host.id),
                _ => {}
            }
        }
        if news {
            self.push();
        }
    }

    pub(super) fn start_by_hand(&mut self, id: &HostId) {
        let start = if self.machines[id].power() == PowerState::Off { Power::On } else { Power::ForceRestart };
        self.machine(id, MachineEvent::Power(start));
    }
}
