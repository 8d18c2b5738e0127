//! A cluster's tasks: what is run once its machines are up, how it went, and what is known of the machines over SSH.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::id::{Digest, HostId, Revision, TaskId, TokenId};
use super::observed::OfInstall;
use super::secret::Secret;
use super::time::Time;
use super::words::words;
use super::work::Failure;

/// One task of a cluster: an Ansible run or a hook.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSpec {
    /// Its identity inside the cluster.
    pub id: TaskId,
    /// For people: the hook's `name`, or `ansible`.
    pub name: String,
    pub kind: TaskKind,
    /// The hosts it is about.
    pub targets: BTreeSet<HostId>,
    /// Whether running it twice is harmless: then a failure is tried again with backoff; otherwise it is `Stalled`
    /// until `cluster.run` is raised, unless it is known not to have begun.
    pub idempotent: bool,
    /// When it is run again although it is done.
    pub rerun: Rerun,
    /// What its failure means for the tasks after it.
    pub on_failure: OnFailure,
    /// How long it may take, for each target; `None`: `ansible.timeout` of the settings.
    pub time_limit: Option<Duration>,
    /// Digest of kind and arguments, as written: no secret goes into it in clear.
    pub definition: Digest,
    /// Why it cannot be run as it is written (a secret that cannot be read); the cluster is `Stalled` with this.
    pub blocked: Option<String>,
}

impl TaskSpec {
    /// Whether this is the configuration task (before the hooks).
    pub fn is_ansible(&self) -> bool {
        matches!(self.kind, TaskKind::Ansible(_))
    }

    /// Whether it is done for the cluster and not for each host.
    pub(crate) fn is_for_cluster(&self) -> bool {
        matches!(&self.kind, TaskKind::Hook(hook) if hook.program.scope != Scope::Each)
    }

    /// Whether its hosts are restarted by it (PVC's playbook does so at its end).
    pub fn reboots(&self) -> bool {
        matches!(&self.kind, TaskKind::Ansible(ansible) if ansible.reboots)
    }

    /// Whether its targets must be reachable over SSH before it can begin.
    pub fn needs_ssh(&self) -> bool {
        match &self.kind {
            TaskKind::Ansible(_) => true,
            TaskKind::Hook(hook) => hook.program.place == Place::Host,
        }
    }
}

words! {
    /// When a task that is done is run again.
    ///
    /// A task whose scope is `each` is done host by host: an added or reinstalled host gets it, the others do not get it
    /// again. One whose scope is `once` or `none` is done for the cluster: a pool that exists must not be made again
    /// because one of its hosts was added or reinstalled. It is due only while no target, whatever its `state`, has an
    /// install that it was done for: when the cluster is new, or all of its hosts were reinstalled. An install that arrives
    /// while another target still has such an install counts as done, without a run.
    #[derive(Default)]
    Rerun {
        /// After a new install: of a target, for that target (scope `each`), or of all targets (scope `once` or `none`).
        #[default]
        OnReinstall "on-reinstall"
        /// After a new install, and after a change of its arguments, files or program, for all targets.
        OnChange "on-change"
    }
}

words! {
    /// What the failure of a task means for those after it.
    #[derive(Default)]
    OnFailure {
        /// They wait until somebody has looked.
        #[default]
        Stop "stop"
        /// They go on; the failure is shown.
        Continue "continue"
    }
}

/// What a task runs.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskKind {
    /// `ansible-playbook` over the cluster.
    Ansible(AnsibleTask),
    /// A hook's program.
    Hook(HookTask),
}

/// The configuration of a cluster (`cluster.ansible`).
#[derive(Clone, Debug, PartialEq)]
pub struct AnsibleTask {
    /// Path of the playbook in the repository.
    pub playbook: String,
    /// Whether its hosts are restarted by it: then success is its result and the restart seen (PVC's roles end so).
    pub reboots: bool,
    /// The cluster's hosts in the order of the inventory: for PVC coordinators first, by `node_id`, since its roles run
    /// some tasks on the first host only.
    pub order: Vec<HostId>,
    /// Directory of the repository whose contents the playbook writes back: `files/<cluster_group>`.
    pub generated: String,
    /// Whether they are encrypted with ansible-vault before they are committed.
    pub encrypt_generated: bool,
}

/// A hook: its program, and what it is given.
#[derive(Clone, Debug, PartialEq)]
pub struct HookTask {
    /// The program and how it is run.
    pub program: Arc<HookProgram>,
    /// Its arguments, defaults filled in: a JSON object. May hold secrets.
    pub args: Secret,
    /// Which of them must not be shown: values that are encrypted in the repository, and URLs that may hold a token.
    pub secrets: Vec<Secret>,
    /// Files laid beside the program as `files/0`, `files/1`, …
    pub files: Vec<HookFile>,
    /// Whether it asks to be root on the host (`use_sudo`).
    pub sudo: bool,
}

/// A hook directory, shipped or the site's: `hooks/<name>/{hook.yaml, run}`.
#[derive(Clone, Debug, PartialEq)]
pub struct HookProgram {
    /// The directory's name: the hook's `type`.
    pub name: String,
    /// How often it is run.
    pub scope: Scope,
    /// Where it is run.
    pub place: Place,
    /// A shell command that must succeed on the host before the hook begins.
    pub ready: Option<String>,
    /// The program `run`, with its `#!` line.
    pub run: Arc<[u8]>,
}

words! {
    /// How often a hook is run.
    Scope {
        /// Once for each target, one after the other.
        Each "each"
        /// Once, on the first target that is up.
        Once "once"
        /// Once, for no target in particular.
        None "none"
    }
}

words! {
    /// Where a hook is run.
    Place {
        /// Over SSH on the target.
        Host "host"
        /// On the machine that rackwright runs on.
        Bootstrap "bootstrap"
    }
}

/// A file that a hook is given. Its bytes may be secret, and are not printed.
#[derive(Clone, PartialEq)]
pub enum HookFile {
    /// These bytes (a file of the repository, or a text written in the arguments).
    Bytes(Arc<[u8]>),
    /// A file on the bootstrap host, read when the hook is run.
    Path(PathBuf),
}

impl fmt::Debug for HookFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HookFile::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            HookFile::Path(path) => write!(f, "{path:?}"),
        }
    }
}

/// What is known of a host over SSH.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SshFacts {
    /// Its host key (OpenSSH public key, `ssh-ed25519 AAAA…`): fixed until the next install.
    pub key: Option<OfInstall<String>>,
    /// The boot it was last reached in (`/proc/sys/kernel/random/boot_id`), and when that was begun.
    pub reached: Option<(String, Time)>,
    /// The boot it was in when its configuration was first begun.
    pub before: Option<OfInstall<String>>,
    /// Since when it is up again after its configuration began (a `system-boot_configured` check-in, or another boot
    /// than the one before).
    pub configured: Option<OfInstall<Time>>,
}

/// News from a task that is running.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskNews {
    /// How far it is.
    Progress(Progress),
    /// One target of a hook has ended; journaled before the next is begun.
    Target { host: HostId, result: Result<(), Fault> },
}

/// How far an Ansible run is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Progress {
    /// The play's name.
    pub play: String,
    /// The task's name, as the playbook prints it.
    pub task: String,
    /// Tasks begun so far.
    pub tasks: u32,
    /// Hosts of which something failed or that cannot be reached.
    pub failed: Vec<String>,
}

/// What is known of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The definition it last ran with.
    pub definition: Digest,
    /// The installs it is done for.
    pub covers: BTreeMap<HostId, TokenId>,
    /// Its last failure, until it succeeds.
    pub failure: Option<TaskFailure>,
    /// Targets it last failed for, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<HostId, Fault>,
    /// When it last ended.
    pub at: Time,
    /// What the status branch says may have been begun: never begun without, so that a daemon that lost its journal does
    /// not begin it again unasked. Only of tasks that must not be run twice, until they are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Announced>,
}

/// A failure of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFailure {
    #[serde(flatten)]
    pub failure: Failure,
    /// The value of `cluster.run` it failed at.
    pub run: u32,
}

/// A run that the status branch announces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Announced {
    /// The value of `cluster.run`.
    pub run: u32,
    /// The installs it may be run for.
    pub covers: BTreeMap<HostId, TokenId>,
}

/// Files that a playbook made, kept under the state directory until they are on the watched branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// Digest of paths and contents: names the kept copy.
    pub id: Digest,
    /// The revision the playbook was run at.
    pub revision: Option<Revision>,
    /// The value of `cluster.run` it was run with.
    pub run: u32,
    /// Since when they wait.
    pub since: Time,
    /// They are on the watched branch: a fetch that begins now or later finds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<Time>,
}

/// What a forge is told about a revision, for one cluster: commit status `rackwright/<cluster>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitStatus {
    /// The desired revision.
    pub revision: Revision,
    /// How it stands.
    pub state: CommitState,
    /// Why, in a line.
    pub description: String,
}

words! {
    /// State of a commit status (GitHub's words).
    CommitState {
        /// On its way.
        Pending "pending"
        /// As wanted.
        Success "success"
        /// A person has to look.
        Failure "failure"
    }
}

/// What a forge was told last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgeTold {
    pub status: CommitStatus,
    pub at: Time,
}
