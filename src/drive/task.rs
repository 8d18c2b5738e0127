//! What the drivers of tasks are given, and how they are told what is new.
#![allow(missing_docs, reason = "the fields' names say all")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JournalFact;
use super::ssh;
use crate::model::{
    ClusterName, ClusterSpec, Event, Fault, HostId, HostSpec, Reason, TaskId, TaskNews, TaskSpec, Time, TokenId, World,
};
use crate::plan;
use crate::settings::Settings;

/// One run of a task: what it is about, and where things are.
pub struct TaskRun<'a> {
    pub settings: &'a Settings,
    pub git: &'a super::git::Git,
    pub world: &'a World,
    pub cluster: &'a ClusterSpec,
    pub task: &'a TaskSpec,
    /// The installs it is run for.
    pub covers: &'a BTreeMap<HostId, TokenId>,
    pub do_bootstrap: bool,
    pub tell: &'a JournalFact,
    /// What time it is: the name of a log, and nothing that is decided.
    pub clock: fn() -> Time,
}

impl TaskRun<'_> {
    /// Journals news of this task; returns when they are durable.
    pub async fn tell(&self, news: TaskNews) {
        let (cluster, task) = (self.cluster.name.clone(), self.task.id.clone());
        (self.tell)(Event::TaskTold { cluster, task, news }).await;
    }

    /// A directory of this task's own under the state directory: `runs/<cluster>/<task>`. Not made yet.
    pub fn dir(&self) -> PathBuf {
        dir(&self.settings.state_dir, &self.cluster.name, &self.task.id)
    }

    /// The hosts it is run for, in name order.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<HostSpec>> {
        self.covers.keys().filter_map(|id| self.world.spec(id))
    }

    /// How to reach a host over SSH.
    pub fn target(&self, host: &HostSpec) -> Result<ssh::Target, Fault> {
        target(self.settings, self.world, host)
    }
}

/// Where a task keeps its logs.
pub fn dir(state_dir: &Path, cluster: &ClusterName, task: &TaskId) -> PathBuf {
    state_dir.join("runs").join(cluster.as_str()).join(task.as_str())
}

/// How to reach a host over SSH.
pub fn target(settings: &Settings, world: &World, host: &HostSpec) -> Result<ssh::Target, Fault> {
    let address = plan::ssh::address(world, host).map_err(|why| Fault::operator(Reason::NoAddress, why))?;
    let Some(key_file) = settings.deploy.ssh_key.clone() else {
        return Err(Fault::operator(Reason::NoDeployKey, "the settings name no deploy.ssh_key"));
    };
    Ok(ssh::Target {
        host: host.id.clone(),
        address,
        port: settings.deploy.ssh_port,
        user: settings.deploy.username.clone(),
        key_file,
        host_key: plan::ssh::host_key(world, host),
    })
}
