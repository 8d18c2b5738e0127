//! What tasks do to the rack: playbooks, hooks, and the files that leave it.

use rackwright::model::{ClusterName, Digest, Place, Progress, Scope, TaskId, TaskKind, TaskNews, TaskSpec, TokenId};

use super::super::laws::token_id;
use super::*;

/// A step of a task that is under way.
#[allow(clippy::large_enum_variant, reason = "few are in the queue at once")]
pub(super) enum Work {
    /// A hook goes on to the next of these targets.
    Target(Vec<HostId>),
    /// What it did to the first of them becomes known.
    Told(Vec<HostId>, Result<(), Fault>),
    /// It ends.
    End(Result<Outcome, Fault>),
}

impl Sim {
    fn trouble_now(&mut self, of_256: u8) -> bool {
        self.now < self.season.troubles && self.dice.roll(of_256)
    }

    /// Connects to a machine.
    pub(super) fn reach(&mut self, id: &HostId) -> Result<Outcome, Fault> {
        let found = look(&self.machines[id]).machine.ssh(self.now);
        self.told.reaches += 1;
        match found.filter(|_| !self.trouble_now(20)) {
            Some((key, boot)) => Ok(Outcome::Reached { key, boot }),
            None => Err(Fault::transient(Reason::Unreachable, "connection refused")),
        }
    }

    /// Shuts a machine without BMC down over SSH.
    pub(super) fn shut_down(&mut self, id: &HostId) -> Result<Outcome, Fault> {
        if self.reach(id).is_err() {
            return Err(Fault::transient(Reason::Unreachable, "connection refused"));
        }
        self.machine(id, MachineEvent::Power(Power::GracefulShutdown));
        Ok(Outcome::Finished(PowerState::Off))
    }

    pub(super) fn write_back(&mut self, generated: &Digest) -> Result<Outcome, Fault> {
        if self.trouble_now(40) {
            return Err(Fault::transient(Reason::Unreachable, "the forge does not answer"));
        }
        self.tasks.reached_branch(generated);
        self.told.written_back += 1;
        match self.trouble_now(60) {
            true => Err(Fault::transient(Reason::OutcomeUnknown, "the answer to the push was lost")),
            false => Ok(Outcome::WrittenBack(None)),
        }
    }

    /// What the hosts of a cluster that are in the repository carry on their disks.
    fn on_disk(&self, cluster: &ClusterName, world: &World) -> Vec<TokenId> {
        let ours = self.machines.iter().filter(|(id, _)| id.cluster == *cluster && world.spec(id).is_some());
        ours.filter_map(|(_, unit)| match look(unit).machine.disk() {
            Disk::Installed { token: Some(token) } => Some(token_id(token)),
            _ => None,
        })
        .collect()
    }

    fn spec_of(world: &World, cluster: &ClusterName, task: &TaskId) -> TaskSpec {
        let cluster = &world.desired.as_ref().unwrap().clusters[cluster];
        cluster.tasks.iter().find(|it| it.id == *task).expect("a task of the repository").clone()
    }

    pub(super) fn run_task(&mut self, action: Action, world: &World) {
        let Action::Run { cluster, task, covers, .. } = &action else { return };
        let spec = Sim::spec_of(world, cluster, task);
        let targets: Vec<HostId> = covers.keys().cloned().collect();
        let away = |sim: &Sim| targets.iter().any(|id| look(&sim.machines[id]).machine.ssh(sim.now).is_none());
        if spec.needs_ssh() && away(self) || self.trouble_now(40) {
            let fault = Fault::transient(Reason::Unreachable, "nobody answers");
            return self.later(500, 5_000, Item::Work(self.life, action, Work::End(Err(fault))));
        }
        match &spec.kind {
            TaskKind::Ansible(_) => self.playbook(action, world),
            TaskKind::Hook(hook) if hook.program.place == Place::Bootstrap => {
                self.later(500, 5_000, Item::Work(self.life, action, Work::End(Ok(Outcome::TaskDone))));
            }
            TaskKind::Hook(hook) if hook.program.scope == Scope::Each => {
                self.later(500, 5_000, Item::Work(self.life, action, Work::Target(targets)));
            }
            TaskKind::Hook(_) => {
                let on_disk = self.on_disk(cluster, world);
                self.tasks.works_for_all(cluster, task, &on_disk);
                self.told.hooks += 1;
                let failed = self.trouble_now(20);
                let fault = Fault::operator(Reason::AnsibleFailed, "the pool cannot be made");
                let result = if failed { Err(fault) } else { Ok(Outcome::TaskDone) };
                self.later(500, 60_000, Item::Work(self.life, action, Work::End(result)));
            }
        }
    }

    /// A playbook lays markers on new hosts, restarts those near its end, and leaves files behind.
    fn playbook(&mut self, action: Action, world: &World) {
        let Action::Run { cluster, task, covers, run, do_bootstrap, .. } = &action else { return };
        if *do_bootstrap {
            let on_disk = self.on_disk(cluster, world);
            self.tasks.bootstraps(cluster, *run, covers, &on_disk);
            self.told.bootstraps += 1;
        }
        self.told.playbooks += 1;
        let lasts = 300_000 + self.below(2_400_000) as i64;
        let (result, lasts) = match () {
            () if self.trouble_now(40) => {
                (Err(Fault::operator(Reason::AnsibleFailed, "hv1: a role failed")), lasts / 2)
            }
            () if self.trouble_now(15) => {
                (Err(Fault::operator(Reason::AnsibleTimedOut, "it did not end in time")), 7_200_000)
            }
            () => {
                self.sequence += 1;
                let made = self.dice.roll(180).then(|| Digest::new(format!("files-{}", self.sequence)));
                (Ok(Outcome::Configured { generated: made }), lasts)
            }
        };
        let restarts = result.is_ok() || self.dice.roll(128);
        for id in covers.keys() {
            let fresh = !look(&self.machines[id]).machine.is_marked();
            self.machine(id, MachineEvent::Configured);
            if fresh && restarts {
                let restart = Item::Answer(id.clone(), MachineEvent::Power(Power::ForceRestart));
                self.later(lasts / 2, lasts + 60_000, restart);
            }
        }
        let progress = TaskNews::Progress(Progress { task: "install".into(), tasks: 3, ..Progress::default() });
        self.tell(&Event::TaskTold { cluster: cluster.clone(), task: task.clone(), news: progress });
        self.later(lasts, lasts + 1, Item::Work(self.life, action, Work::End(result)));
    }

    /// The next step of a task.
    pub(super) fn work(&mut self, action: Action, work: Work) {
        let Action::Run { cluster, task, covers, run, .. } = &action else { return };
        match work {
            Work::End(result) => self.report(self.life, action, result),
            Work::Target(left) => {
                let Some(host) = left.first().cloned() else {
                    return self.report(self.life, action, Ok(Outcome::TaskDone));
                };
                if look(&self.machines[&host]).machine.ssh(self.now).is_none() {
                    let fault = Fault::transient(Reason::Unreachable, "it does not answer any more");
                    return self.report(self.life, action, Err(fault));
                }
                self.tasks.works(task, *run, &covers[&host]);
                self.told.hooks += 1;
                let failed = self.trouble_now(20);
                let result = if failed { Err(Fault::operator(Reason::AnsibleFailed, "no such disk")) } else { Ok(()) };
                self.later(500, 60_000, Item::Work(self.life, action, Work::Told(left, result)));
            }
            Work::Told(mut left, result) => {
                let host = left.remove(0);
                let news = TaskNews::Target { host, result: result.clone() };
                self.tell(&Event::TaskTold { cluster: cluster.clone(), task: task.clone(), news });
                match result {
                    Ok(()) => self.later(500, 5_000, Item::Work(self.life, action, Work::Target(left))),
                    Err(fault) => self.report(self.life, action, Err(fault)),
                }
            }
        }
    }

    /// A task's end has been recorded.
    pub(super) fn recorded(&mut self, action: &Action, result: &Result<Outcome, Fault>) {
        let Action::Run { cluster, task, covers, .. } = action else { return };
        let made = match result {
            Ok(Outcome::Configured { generated }) => generated.as_ref(),
            Ok(_) => None,
            Err(_) => return self.told.failed_tasks += 1,
        };
        self.tasks.succeeded(cluster, task, covers, made);
    }

    /// After the journal was lost, what the status branch says counts.
    pub(super) fn forget_tasks(&mut self) {
        let said = self.status.as_ref().map(|files| StatusBranch::read(files).expect("our own status is readable"));
        let said = said.unwrap_or_default();
        let kept = said.clusters.iter().filter_map(|it| it.write_back.as_ref()).map(|files| files.id.clone()).collect();
        let tasks =
            said.clusters.into_iter().flat_map(|it| it.tasks.into_iter().map(move |task| (it.cluster.clone(), task)));
        let covers = tasks.map(|(cluster, task)| ((cluster, task.id), task.covers)).collect();
        self.tasks.forget(&covers, &kept);
    }

    /// What a person does about a cluster that asks for one.
    pub(super) fn help_cluster(&mut self, cluster: &plan::ClusterPlan) -> bool {
        let Step::Stalled { reason, until, .. } = &cluster.step else { return false };
        let ids: Vec<HostId> = self.machines.keys().filter(|id| id.cluster == cluster.name).cloned().collect();
        match reason {
            Reason::AnsibleFailed | Reason::AnsibleTimedOut | Reason::Interrupted | Reason::JournalLost
                if until.is_none() =>
            {
                self.rack.raise_run(&cluster.name);
                self.told.runs_raised += 1;
                // That also says that accounts which were refused are right after all.
                ids.iter().for_each(|id| self.bmcs.of(id).forgiven += 1);
                return true;
            }
            Reason::RestartNotSeen => {
                self.told.restarted_by_hand += 1;
                ids.iter().for_each(|id| self.start_by_hand(id));
            }
            Reason::SshUnreachable => {
                for id in &ids {
                    if look(&self.machines[id]).machine.power() == PowerState::Off {
                        self.machine(id, MachineEvent::Power(Power::On));
                    }
                }
            }
            _ => {}
        }
        false
    }
}
