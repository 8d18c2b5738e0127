//! The actions that go to installed hosts: tasks, and the two that are nothing but a short command over SSH.

use super::task::{TaskRun, target};
use super::{Drivers, ansible, hook, ssh};
use crate::model::{Action, Fault, HostId, Outcome, PowerState, Reason, TaskKind, World};
use crate::{plan, settings};

impl Drivers {
    pub(super) async fn run_task(&self, action: &Action, world: &World) -> Result<Outcome, Fault> {
        let gone = || Fault::permanent(Reason::NoSuchTask, "the task has left the repository");
        let Action::Run { cluster, task, covers, do_bootstrap, .. } = action else { return Err(gone()) };
        let cluster = world.desired.as_ref().and_then(|desired| desired.clusters.get(cluster)).ok_or_else(gone)?;
        let task = cluster.tasks.iter().find(|it| it.id == *task).ok_or_else(gone)?;
        let (settings, git, tell, do_bootstrap) = (&*self.settings, &self.git, &self.tell, *do_bootstrap);
        let run = TaskRun { settings, git, world, cluster, task, covers, do_bootstrap, tell, clock: self.clock };
        match &task.kind {
            TaskKind::Ansible(ansible) => ansible::run(ansible, &run).await,
            TaskKind::Hook(hook) => hook::run(&settings::own_program(), hook, &run).await,
        }
    }

    /// Connects to a host that is up.
    pub(super) async fn reach(&self, host: &HostId, world: &World) -> Result<Outcome, Fault> {
        let spec =
            world.spec(host).ok_or_else(|| Fault::permanent(Reason::NoSuchHost, "it has left the repository"))?;
        ssh::reach(&target(&self.settings, world, spec)?).await
    }

    /// Powers a host off that has no BMC, over SSH. One whose host key is not known, because no task ever had to go
    /// there, is left to people.
    pub(super) async fn power_off(&self, host: &HostId, world: &World) -> Result<Outcome, Fault> {
        let spec =
            world.spec(host).ok_or_else(|| Fault::permanent(Reason::NoSuchHost, "it has left the repository"))?;
        if self.settings.deploy.ssh_key.is_none() || plan::ssh::host_key(world, spec).is_none() {
            return Ok(Outcome::Finished(PowerState::Unknown));
        }
        ssh::power_off(&target(&self.settings, world, spec)?).await
    }
}
