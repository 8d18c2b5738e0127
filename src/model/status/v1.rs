//! What 0.1.0 journaled when it had adopted the status branch: the parts it used, under other names.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer};

use super::{
    ClusterStatus, Condition, Endpoint, GenerationStatus, HostStatus, InstallStatus, RackStatus, SshStatus,
    StatusBranch, TaskStatus, WriteBackStatus,
};
use crate::model::{
    Announced, ClusterName, ClusterState, ConditionStatus, Digest, Fault, Generated, Generation, HostId, HostState,
    Installed, Inventory, Mac, PowerState, Protocol, Reason, TaskId, TaskResult, Time, TokenId,
};

#[derive(Deserialize)]
struct Adoption {
    armed: bool,
    sequence: u64,
    hosts: Vec<Host>,
    tasks: Vec<Task>,
    clusters: Vec<(ClusterName, ClusterState, Time)>,
    #[serde(default)]
    generated: Vec<(ClusterName, Generated)>,
}

#[derive(Deserialize)]
struct Host {
    id: HostId,
    state: HostState,
    since: Time,
    ready: bool,
    installed: Option<Installed>,
    claim: Option<(TokenId, Generation, Digest)>,
    announced: Option<Generation>,
    bmc: (Option<Mac>, Option<IpAddr>),
    pin: Option<String>,
    protocol: Option<Protocol>,
    boot: (Option<Mac>, Option<IpAddr>),
    inventory: Option<Inventory>,
    power: Option<PowerState>,
    ssh_key: Option<String>,
    boot_before: Option<String>,
    configured: Option<Time>,
}

#[derive(Deserialize)]
struct Task {
    cluster: ClusterName,
    task: TaskId,
    definition: Digest,
    covers: BTreeMap<HostId, TokenId>,
    failed: Option<(u32, Fault)>,
    announced: Option<Announced>,
    at: Time,
}

/// Reads an adopted status branch from the journal, as this version or 0.1.0 wrote it.
pub(in crate::model) fn adopted<'de, D: Deserializer<'de>>(journal: D) -> Result<Option<StatusBranch>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Adopted {
        Branch(StatusBranch),
        V1(Adoption),
    }
    Ok(Option::deserialize(journal)?.map(|adopted| match adopted {
        Adopted::Branch(branch) => branch,
        Adopted::V1(adoption) => adoption.into(),
    }))
}

fn condition(status: ConditionStatus) -> Condition {
    Condition { status, reason: Reason::Unknown, message: String::new(), until: None }
}

impl From<Adoption> for StatusBranch {
    fn from(old: Adoption) -> Self {
        let (mut tasks, mut generated) = (old.tasks, BTreeMap::from_iter(old.generated));
        let cluster = |(name, state, since): (ClusterName, ClusterState, Time)| ClusterStatus {
            state,
            since: since.into(),
            condition: condition(ConditionStatus::Reconciling),
            revision: None,
            hosts: BTreeMap::new(),
            tasks: tasks.extract_if(.., |task| task.cluster == name).map(Into::into).collect(),
            write_back: generated.remove(&name).map(|it| WriteBackStatus {
                id: it.id,
                revision: it.revision,
                run: it.run,
                since: it.since.into(),
                message: None,
            }),
            progress: None,
            notes: Vec::new(),
            cluster: name,
        };
        StatusBranch {
            clusters: old.clusters.into_iter().map(cluster).collect(),
            rack: RackStatus { format: 1, armed: old.armed, sequence: old.sequence, ..RackStatus::default() },
            rejected: None,
            hosts: old.hosts.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Task> for TaskStatus {
    fn from(old: Task) -> Self {
        let (failed_at_run, fault) = old.failed.unzip();
        TaskStatus {
            id: old.task,
            name: String::new(),
            result: TaskResult::Pending,
            message: None,
            at: Some(old.at.into()),
            definition: Some(old.definition),
            covers: old.covers,
            failed: BTreeMap::new(),
            fault,
            failed_at_run,
            announced: old.announced,
            log: None,
        }
    }
}

impl From<Host> for HostStatus {
    fn from(old: Host) -> Self {
        let ready = if old.ready { ConditionStatus::Ready } else { ConditionStatus::Reconciling };
        let known = old.ssh_key.is_some() || old.boot_before.is_some() || old.configured.is_some();
        HostStatus {
            cluster: old.id.cluster.clone(),
            host: old.id.host.to_string(),
            state: old.state,
            since: old.since.into(),
            condition: condition(ready),
            generation: GenerationStatus::default(),
            installed: old.installed.as_ref().map(Into::into),
            claim: old.claim.map(|(id, generation, spec)| InstallStatus { id, generation, spec, at: old.since.into() }),
            announced: old.announced,
            bmc: Some(Endpoint { mac: old.bmc.0, address: old.bmc.1, certificate: old.pin, protocol: old.protocol }),
            boot: Endpoint { mac: old.boot.0, address: old.boot.1, ..Endpoint::default() },
            power: old.power,
            ssh: known.then_some(SshStatus {
                fingerprint: None,
                host_key: old.ssh_key,
                boot_before: old.boot_before,
                configured: old.configured.map(Into::into),
            }),
            preparing: None,
            disk: None,
            inventory: old.inventory,
            drift: false,
            notes: Vec::new(),
        }
    }
}
