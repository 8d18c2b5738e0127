//! What people are told of the rack: the files on the status branch, which are also the API's answers and what a daemon
//! that lost its journal adopts. The one listing of their fields; the comments are the API's descriptions.

#![allow(missing_docs, reason = "the fields' names say all where there is no comment")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{
    Announced, ClusterName, ClusterState, ConditionStatus, Digest, Fault, Finding, Generation, HostId, HostState,
    Installed, Inventory, Mac, PowerState, Progress, Protocol, Reason, Revision, Stamp, TaskId, TaskResult, TokenId,
};

mod v1;

pub(super) use v1::adopted;

/// A tree of text files: path -> contents.
pub type Files = BTreeMap<String, String>;

/// Format of the status files, in `rack.yaml`. 0.1.0 wrote none, which counts as 1.
pub const FORMAT: u32 = 2;

/// The status branch, without `README.md` and the boot files, which are for people only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusBranch {
    pub rack: RackStatus,
    pub rejected: Option<RejectedStatus>,
    pub clusters: Vec<ClusterStatus>,
    pub hosts: Vec<HostStatus>,
}

/// `rack.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RackStatus {
    /// [`FORMAT`].
    #[serde(default = "first_format")]
    pub format: u32,
    /// Whether installs are allowed (law 11).
    pub armed: bool,
    /// The revision in force.
    pub revision: Option<Revision>,
    /// Number of the last state change that the branch carries: no change is published twice.
    pub sequence: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unclaimed: BTreeMap<Mac, UnclaimedStatus>,
}

fn first_format() -> u32 {
    1
}

fn since(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "description": "RFC 3339; empty until it was seen in a state.",
        "anyOf": [{ "format": "date-time" }, { "const": "" }]
    })
}

/// A machine or BMC on the network that the repository does not name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct UnclaimedStatus {
    pub address: Ipv4Addr,
    pub since: Stamp,
}

/// `rejected.yaml`: the watched head, while it is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct RejectedStatus {
    pub revision: Revision,
    pub since: Stamp,
    pub findings: Vec<Finding>,
}

/// `hosts/<cluster>/<host>.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Host")]
pub struct HostStatus {
    pub cluster: ClusterName,
    /// Short host name.
    pub host: String,
    pub state: HostState,
    #[schemars(schema_with = "since")]
    pub since: Stamp,
    pub condition: Condition,
    pub generation: GenerationStatus,
    /// What is on the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installed: Option<InstallStatus>,
    /// The install under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<InstallStatus>,
    /// The generation whose install this file announces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announced: Option<Generation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bmc: Option<Endpoint>,
    /// The NIC it boots from.
    pub boot: Endpoint,
    /// The power state last read from the BMC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh: Option<SshStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preparing: Option<PreparingStatus>,
    /// The disk that the chosen chassis slots amount to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,
    /// The repository's install inputs differ from what was installed at the same generation.
    pub drift: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How it stands, as GitOps tools say it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Condition {
    pub status: ConditionStatus,
    pub reason: Reason,
    /// A sentence for people.
    pub message: String,
    /// Deadline, or the next try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Stamp>,
}

/// Consent, as a number in git.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct GenerationStatus {
    /// In the repository.
    pub wanted: Generation,
    /// Acknowledged as installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installed: Option<Generation>,
}

/// An install.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Install")]
pub struct InstallStatus {
    /// A digest of its token, not the token.
    pub id: TokenId,
    pub generation: Generation,
    /// Digest of the install inputs.
    pub spec: Digest,
    /// When it was claimed or acknowledged.
    pub at: Stamp,
}

impl From<&Installed> for InstallStatus {
    fn from(it: &Installed) -> Self {
        InstallStatus { id: it.token.clone(), generation: it.generation, spec: it.spec.clone(), at: it.at.into() }
    }
}

impl From<&InstallStatus> for Installed {
    fn from(it: &InstallStatus) -> Self {
        Installed { token: it.id.clone(), generation: it.generation, spec: it.spec.clone(), at: it.at.time() }
    }
}

/// What is known of the installed system over SSH.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct SshStatus {
    /// Its host key's fingerprint, as OpenSSH shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The key: fixed until the next install.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// The boot it was in when its configuration was first begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_before: Option<String>,
    /// Since when it is up again after its configuration began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configured: Option<Stamp>,
}

/// What a preparation has begun and is not in effect yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct PreparingStatus {
    /// For people.
    pub what: String,
    pub since: Stamp,
    /// How many times it was begun.
    pub times: u32,
}

/// A network interface, as wanted or observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Endpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// A BMC's pinned TLS certificate (SHA-256, hex).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The protocol a BMC has answered in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
}

/// `clusters/<cluster>.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Cluster")]
pub struct ClusterStatus {
    pub cluster: ClusterName,
    pub state: ClusterState,
    #[schemars(schema_with = "since")]
    pub since: Stamp,
    pub condition: Condition,
    /// The revision in force.
    pub revision: Option<Revision>,
    /// How many hosts stand in each state.
    pub hosts: BTreeMap<String, usize>,
    /// In the order in which they run.
    pub tasks: Vec<TaskStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_back: Option<WriteBackStatus>,
    /// How far the running playbook is; not on the status branch, where it would cost a commit for each of its tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Files that a playbook made and that are still to be pushed to the watched branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct WriteBackStatus {
    /// Digest that names the copy kept under the state directory.
    pub id: Digest,
    /// The revision the playbook was run at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The value of `cluster.run` it was run with.
    pub run: u32,
    pub since: Stamp,
    /// Why the last push failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A task of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Task")]
pub struct TaskStatus {
    /// Identity inside the cluster.
    pub id: TaskId,
    /// For people.
    pub name: String,
    pub result: TaskResult,
    /// Why it failed, or what it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it last ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Stamp>,
    /// Digest of the definition it last ran with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<Digest>,
    /// The installs it is done for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub covers: BTreeMap<HostId, TokenId>,
    /// Targets that it failed for, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<HostId, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The value of `cluster.run` at which it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at_run: Option<u32>,
    /// What may be begun from now on: a daemon that lost its journal does not begin it again unasked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announced: Option<Announced>,
    /// Directory of its logs, under the state directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

impl StatusBranch {
    /// Reads the files of a status branch. Refuses all of it when one of them cannot be read, for guessing could cost a
    /// disk, and when a newer version wrote them.
    pub fn read(files: &Files) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Format {
            #[serde(default = "first_format")]
            format: u32,
        }
        let mut branch = StatusBranch::default();
        if let Some(text) = files.get(RACK) {
            let Format { format } = file(RACK, text)?;
            if format > FORMAT {
                return Err(format!(
                    "{RACK} has format {format}, made by a newer rackwright; this one reads up to {FORMAT}. Install the \
                     newer version"
                ));
            }
            branch.rack = file(RACK, text)?;
        }
        for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".yaml")) {
            match path.split('/').collect::<Vec<_>>()[..] {
                ["rejected.yaml"] => branch.rejected = Some(file(path, text)?),
                ["clusters", _] => branch.clusters.push(file(path, text)?),
                ["hosts", _, _] => branch.hosts.push(file(path, text)?),
                _ => {}
            }
        }
        branch.clusters.sort_by(|a, b| a.cluster.cmp(&b.cluster));
        branch.hosts.sort_by_cached_key(HostStatus::id);
        Ok(branch)
    }
}

const RACK: &str = "rack.yaml";

fn file<T: DeserializeOwned>(path: &str, text: &str) -> Result<T, String> {
    let first_line = |error: serde_saphyr::Error| error.to_string().lines().next().unwrap_or_default().to_owned();
    serde_saphyr::from_str(text).map_err(|error| format!("{path} of the status branch: {}", first_line(error)))
}

/// Number of the last state change that a commit with this `rack.yaml` carries; 0 where it does not say.
pub fn sequence(rack: Option<&str>) -> u64 {
    rack.and_then(|text| file::<RackStatus>(RACK, text).ok()).map_or(0, |rack| rack.sequence)
}

impl HostStatus {
    pub fn id(&self) -> HostId {
        HostId::new(&self.cluster, &self.host)
    }
}
