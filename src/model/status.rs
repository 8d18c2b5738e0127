//! What people are told of the rack: the files on the status branch, which are also the API's answers and what a daemon
//! that lost its journal adopts. The one listing of their fields.
//!
//! Made by `plan::report`. Instants are RFC 3339, empty where there is none yet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Announced, ClusterName, ClusterState, ConditionStatus, Digest, Fault, Finding, Generation, HostId, HostState,
    Inventory, Mac, PowerState, Progress, Protocol, Reason, Revision, TaskId, TaskResult, TokenId,
};

/// A tree of text files: path -> contents.
pub type Files = BTreeMap<String, String>;

/// `hosts/<cluster>/<host>.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostStatus {
    /// Cluster name.
    pub cluster: ClusterName,
    /// Short host name.
    pub host: String,
    /// The rung of the ladder.
    pub state: HostState,
    /// Since when, RFC 3339.
    pub since: String,
    /// Ready, Reconciling or Stalled.
    pub condition: Condition,
    /// Consent, wanted and acknowledged.
    pub generation: GenerationStatus,
    /// What is on the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<InstallStatus>,
    /// The install under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<InstallStatus>,
    /// The generation whose install this file announces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Generation>,
    /// The BMC, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bmc: Option<Endpoint>,
    /// The NIC it boots from.
    pub boot: Endpoint,
    /// The power state last read from the BMC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerState>,
    /// What is known of the installed system over SSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<SshStatus>,
    /// What a preparation has begun and is not in effect yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preparing: Option<PreparingStatus>,
    /// The disk that the chosen chassis slots amount to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// What the BMC says the machine is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,
    /// The repository's install inputs differ from what was installed at the same generation.
    pub drift: bool,
    /// Remarks that change nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// GitOps condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// Whether a person must act.
    pub status: ConditionStatus,
    /// The word for machines.
    pub reason: Reason,
    /// A sentence for people.
    pub message: String,
    /// Deadline or next try, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Consent, wanted and acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerationStatus {
    /// In the repository.
    pub wanted: Generation,
    /// Acknowledged as installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<Generation>,
}

/// One install attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstallStatus {
    /// Which attempt (a digest of its token, not the token).
    pub id: TokenId,
    /// The generation.
    pub generation: Generation,
    /// Digest of the install inputs.
    pub spec: Digest,
    /// When it was claimed or acknowledged, RFC 3339.
    pub at: String,
}

/// What is known of an installed system over SSH.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SshStatus {
    /// Its host key's fingerprint, as OpenSSH shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The key: fixed until the next install.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// The boot it was in when its configuration was first begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_before: Option<String>,
    /// Since when it is up again after its configuration began, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configured: Option<String>,
}

/// What a preparation has begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreparingStatus {
    /// What, for people.
    pub what: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// How many times it was begun.
    pub times: u32,
}

/// A network interface, as wanted or observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its MAC, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Its address, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Pinned TLS certificate (SHA-256, hex), for a BMC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// What it is spoken to in, for a BMC that has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
}

/// `clusters/<cluster>.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Cluster name.
    pub cluster: ClusterName,
    /// How far it is.
    pub state: ClusterState,
    /// Since when, RFC 3339.
    pub since: String,
    /// Ready, Reconciling or Stalled.
    pub condition: Condition,
    /// The revision in force.
    pub revision: Option<Revision>,
    /// How many hosts stand in each state.
    pub hosts: BTreeMap<String, usize>,
    /// Its tasks, in order.
    pub tasks: Vec<TaskStatus>,
    /// Files that its playbook made and that are still to be pushed to the watched branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_back: Option<WriteBackStatus>,
    /// How far the running playbook is; not on the status branch, where it would cost a commit for each of its tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Remarks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Files on their way to the watched branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WriteBackStatus {
    /// Digest that names the copy kept under the state directory.
    pub id: Digest,
    /// The revision the playbook was run at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The value of `cluster.run` it was run with.
    pub run: u32,
    /// Since when they wait, RFC 3339.
    pub since: String,
    /// Why the last push failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One task of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// Identity inside the cluster.
    pub id: TaskId,
    /// For people.
    pub name: String,
    /// How it stands.
    pub result: TaskResult,
    /// Why it failed, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it last ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The definition it last ran with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Digest>,
    /// The installs it is done for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub covers: BTreeMap<HostId, TokenId>,
    /// Targets that it failed for, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<HostId, String>,
    /// Why it failed, for machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The value of `cluster.run` at which it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at_run: Option<u32>,
    /// What may be begun from now on: a daemon that lost its journal does not begin it again unasked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Announced>,
    /// Where its logs are, under the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// `rejected.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RejectedStatus {
    /// The refused head.
    pub revision: Revision,
    /// Since when, RFC 3339.
    pub since: String,
    /// Why.
    pub findings: Vec<Finding>,
}

/// `rack.yaml`: what a daemon that lost its journal must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RackStatus {
    /// Whether arming was allowed.
    pub armed: bool,
    /// The revision in force.
    pub revision: Option<Revision>,
    /// Number of the last state change that the branch carries: no change is published twice.
    pub sequence: u64,
    /// Who is on the network and not in the repository, by MAC.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unclaimed: BTreeMap<Mac, UnclaimedStatus>,
}

/// Somebody on the network whom the repository does not name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnclaimedStatus {
    /// The address it was given.
    pub address: String,
    /// Since when it is known, RFC 3339.
    pub since: String,
}
