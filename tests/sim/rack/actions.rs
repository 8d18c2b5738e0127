//! What the daemon's actions do.

use super::*;

impl Sim {
    pub(super) fn effect(&mut self, action: Action, world: &Arc<World>, plan: &Arc<Plan>) {
        let result = match &action {
            Action::Adopt => self.adopt(),
            Action::Fetch => Ok(Outcome::Fetched(self.fetch(world))),
            Action::Publish { moves_upto, .. } => self.publish(world, plan, *moves_upto),
            Action::Notify { .. } => Ok(Outcome::Notified),
            Action::Note { .. } => Ok(Outcome::Noted),
            Action::FetchImage { .. } => Ok(Outcome::ImageVerified(ImageStamp { size: 1, inode: 1, modified: (1, 0) })),
            Action::Run { .. } => return self.run_task(action, world),
            Action::Reach { host } => self.reach(host),
            Action::WriteBack { generated, .. } => self.write_back(generated),
            Action::TellForge { .. } if self.now < self.season.troubles && self.dice.roll(40) => {
                Err(Fault::transient(Reason::Unreachable, "the forge does not answer"))
            }
            Action::TellForge { .. } => Ok(Outcome::ForgeTold),
            Action::Finish { host, power_off: true } if world.spec(host).is_some_and(|spec| !spec.has_bmc()) => {
                self.shut_down(host)
            }
            Action::Probe { .. }
            | Action::Prepare { .. }
            | Action::Arm { .. }
            | Action::PowerCycle { .. }
            | Action::Finish { .. }
            | Action::Release { .. } => return self.perform(action, world.clone()),
        };
        self.report(self.life, action, result);
    }

    pub(super) fn report(&mut self, life: u32, action: Action, result: Result<Outcome, Fault>) {
        self.later(500, 5_500, Item::Report(life, action, result));
    }

    /// Through the daemon's own driver, over the line to that host's BMC.
    fn perform(&mut self, action: Action, world: Arc<World>) {
        let Some(pool) = self.pool.clone() else { return };
        self.told.actions += 1;
        let id = action.host().expect("an action on a host").clone();
        let consents = world.spec(&id).is_some_and(|spec| spec.prepare.replace_volumes);
        if consents && matches!(action, Action::Prepare { apply: true, .. }) {
            self.bmcs.of(&id).consent = Some(self.now);
        }
        self.busy.insert(id);
        let life = self.life;
        self.work.spawn(async move {
            let result = pool.perform(&action, &world).await;
            (life, action, result)
        });
    }

    /// An action on a BMC has come to its end.
    pub(super) fn performed(&mut self, (life, action, result): (u32, Action, Result<Outcome, Fault>)) {
        self.busy.remove(action.host().expect("an action on a host"));
        self.told.faults += u64::from(result.is_err());
        if let Ok(Outcome::Prepared(preparation)) = &result {
            self.told.pending += u64::from(preparation.pending.is_some());
        }
        self.report(life, action, result);
    }

    /// Sessions that the driver could not close and forgets all the same.
    fn leaks(&mut self, event: &Event) {
        let Event::BmcSession { host, session: None } = event else { return };
        if GUARDED {
            return;
        }
        let seen = self.bmcs.of(host);
        for uri in look(&self.machines[host]).bmc().session_uris() {
            self.told.leaked += u64::from(seen.lost.insert(uri));
        }
    }

    /// Logins that were answered too late for the driver to hear of it.
    pub(super) fn unheard(&mut self) {
        for (address, session) in self.hub.unheard() {
            let at = |unit: &Shared| look(unit).machine.bmc_ip.map(IpAddr::V4) == Some(address);
            let Some((id, _)) = self.machines.iter().find(|(_, unit)| at(unit)) else { continue };
            let seen = self.bmcs.of(id);
            match session {
                Some(uri) => _ = seen.lost.insert(uri),
                None => seen.forgiven += 1,
            }
            self.told.unheard += 1;
        }
    }

    /// Journals what the pool tells, and lets it go on.
    pub(super) fn hear_of_sessions(&mut self) -> bool {
        let facts = self.hub.facts();
        let any = !facts.is_empty();
        for (event, done) in facts {
            self.say(|| format!("told {event:?}"));
            self.leaks(&event);
            self.tell(&event);
            // A pool that has gone is not waited for.
            let _ = done.send(());
        }
        any
    }

    pub(super) fn adopt(&mut self) -> Result<Outcome, Fault> {
        match &self.status {
            None => Ok(Outcome::Adopted(None)),
            Some(files) => Ok(Outcome::Adopted(Some(StatusBranch::read(files).expect("our own status is readable")))),
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
        let raced = self.now < self.season.troubles && self.dice.roll(30);
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
            true => Err(Fault::transient(Reason::Unreachable, "the forge does not answer")),
            false => Ok(Outcome::Published(None)),
        }
    }
}
