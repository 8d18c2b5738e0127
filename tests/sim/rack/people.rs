//! What people do to the daemon, the repository and the rack.

use super::*;

impl Sim {
    pub(super) fn start(&mut self, first_run: bool) {
        let first_run = first_run || (self.journal.is_empty() && self.status.is_none());
        self.life += 1;
        self.say(|| format!("the daemon starts, life {}", self.life));
        self.daemon = Some(Daemon::start(&mut self.journal, &self.policy, &self.trees, self.now, first_run));
        let (hub, ways) = (self.hub.clone(), self.hub.clone());
        let tell = Arc::new(move |event| -> Pin<Box<dyn Future<Output = ()> + Send>> {
            let hub = hub.clone();
            Box::pin(async move { hub.tell(event).await })
        });
        let transport = Box::new(move |_: &HostId, address| ways.via(address));
        let pool = BmcPool::new(PoolConfig { transport, ..PoolConfig::new(BmcTls::Pin) }, tell);
        self.pool = Some(Arc::new(pool));
    }

    pub(super) fn crash(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            let again = self.journal.fold(&self.policy, &self.trees);
            assert!(again == daemon.world, "replay differs from what was live");
            self.told.crashes += 1;
            self.told.mid_crashes += u64::from(!self.work.is_empty());
            self.life += 1;
            self.wake_at = None;
            self.pool = None;
            self.dying = std::mem::take(&mut self.work);
            self.busy.clear();
            self.hub.facts();
            self.leave_behind(&daemon.world);
            self.later(1_000, 900_000, Item::Restart);
        }
    }

    /// What the next daemon cannot know of, and what it should.
    fn leave_behind(&mut self, world: &World) {
        for (id, unit) in &self.machines {
            let unit = look(unit);
            let known = world.facts(id).and_then(|facts| facts.bmc.session.clone()).map(|(uri, _)| uri);
            let seen = self.bmcs.of(id);
            for uri in unit.bmc.iter().flat_map(Bmc::session_uris) {
                self.told.left_open += 1;
                if known.as_ref() == Some(&uri) {
                    self.behind.insert(id.clone(), uri.clone());
                    // Where only a token can end it, the next daemon must open one beside it first.
                    if GUARDED && unit.bmc().config().basic {
                        continue;
                    }
                }
                seen.lost.insert(uri);
            }
            let doing = &world.lanes.get(&Lane::Bmc(id.clone())).doing;
            if doing.as_ref().is_some_and(|doing| BmcOracle::failed_since(unit.failed(), doing.since)) {
                seen.forgiven += 1;
            }
        }
    }

    /// The journal goes, and with it what was known of sessions and refused accounts.
    fn lose_journal(&mut self) {
        self.crash();
        self.forget_tasks();
        self.say(|| "the journal is lost".into());
        self.journal = Journal::default();
        self.told.journals_lost += 1;
        for (id, unit) in &self.machines {
            let unit = look(unit);
            let seen = self.bmcs.of(id);
            seen.lost.extend(unit.bmc.iter().flat_map(Bmc::session_uris));
            seen.forgiven += 1;
            self.behind.remove(id);
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
        if self.season.bmcs && self.dice.roll(150) {
            return self.trouble_with_bmc(&id);
        }
        match self.below(12) {
            0 => self.crash(),
            1 | 10 => {
                // In the middle of what is said to a BMC, whenever that is.
                let requests = self.below(40) as i64;
                self.hub.light(requests);
            }
            2 => self.lose_journal(),
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
            11 => {
                let host = self.rack.host(&id);
                host.hidden = true;
                self.push();
                self.told.came_back += 1;
                self.later(600_000, 3_600_000, Item::Person);
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
        if self.now > self.season.troubles {
            news |= self.rack.end_maintenance();
            news |= self.rack.end_hiding();
        }
        for host in &plan.hosts {
            let bmc = self.rack.has_bmc(&host.id);
            let reason = match &host.step {
                Step::Stalled { reason, .. } => *reason,
                Step::Wait { reason, .. } if !bmc => *reason,
                _ => continue,
            };
            match reason {
                Reason::AuthenticationFailed if !bmc => {}
                Reason::AuthenticationFailed => news |= self.correct_password(&host.id),
                Reason::CertificateChanged => news |= self.renew_certificate(&host.id),
                Reason::ForeignVolume => news |= self.consent(&host.id),
                Reason::JournalLost => {
                    self.rack.raise_generation(&host.id);
                    news = true;
                }
                Reason::NetworkBoot | Reason::PowerOnByHand | Reason::InstallOverdue | Reason::NotSeen if !bmc => {
                    self.machine(&host.id, MachineEvent::SetOverride(Some(Override { network: true, once: true })));
                    self.start_by_hand(&host.id);
                }
                Reason::FirstBootOverdue if !bmc => self.start_by_hand(&host.id),
                _ => {}
            }
        }
        for cluster in &plan.clusters {
            news |= self.help_cluster(cluster);
        }
        if news {
            self.push();
        }
    }

    pub(super) fn start_by_hand(&mut self, id: &HostId) {
        let start =
            if look(&self.machines[id]).machine.power() == PowerState::Off { Power::On } else { Power::ForceRestart };
        self.machine(id, MachineEvent::Power(start));
    }
}
