//! The closed list of things rackwright can do. Decided by `plan`, carried out by `drive`.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::id::{ClusterName, Digest, Generation, HostId, Revision, TaskId, TokenId};
use super::notice::{ConditionChange, Notice};
use super::task::{Announced, CommitStatus};
use super::words::words;

/// One thing to do. A driver performs it once and reports one [`Event::Ended`](super::event::Event::Ended).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The journal was empty: read what the status branch says.
    Adopt,
    /// Fetch the watched branch and load its head if it is new.
    Fetch,
    /// Fetch and verify an image of an installer.
    FetchImage {
        /// Its definition's digest ([`ImageSpec::id`](super::ImageSpec::id)).
        image: Digest,
    },
    /// Bring the status branch up to date with the report.
    Publish {
        /// The plan's fingerprint the report was made from.
        fingerprint: u64,
        /// Number of the last state change the commit will carry.
        moves_upto: u64,
        /// Hosts whose coming install the commit announces; only after that may they be armed (so that a lost
        /// journal can never make an installed disk look blank).
        intents: Vec<(HostId, Generation)>,
        /// Tasks that must not be run twice and that the commit announces; only after that may they be begun.
        #[serde(default)]
        tasks: Vec<TaskIntent>,
    },
    /// Ask the BMC who and what the machine is.
    Probe { host: HostId },
    /// Bring LED, disks and settings to what is wanted, or see how far that is.
    Prepare {
        host: HostId,
        /// Whether anything may be changed; otherwise it is only looked at.
        apply: bool,
    },
    /// Set a one-shot network boot and (re)start the machine.
    Arm {
        host: HostId,
        /// The generation to be installed.
        generation: Generation,
    },
    /// Restart a machine that should have come up by itself, from its own disk.
    PowerCycle { host: HostId },
    /// Run a task of a cluster.
    Run {
        cluster: ClusterName,
        task: TaskId,
        /// The task's definition this run is made with.
        definition: Digest,
        /// The installs it is run for.
        covers: BTreeMap<HostId, TokenId>,
        /// `cluster.run` at the time.
        run: u32,
        /// Whether the cluster is made anew: nobody in it has been configured yet (`do_bootstrap` of PVC's playbook).
        #[serde(default)]
        do_bootstrap: bool,
    },
    /// Connect to a host that is up over SSH: learn its host key or compare it, and see which boot it is in.
    Reach { host: HostId },
    /// Commit the files that a playbook made to the watched branch.
    WriteBack {
        cluster: ClusterName,
        /// Which ([`Generated::id`](super::Generated::id)).
        generated: Digest,
        /// The revision the playbook was run at.
        revision: Option<Revision>,
    },
    /// Tell the forge how a revision stands.
    TellForge {
        /// For which cluster; `None`: for the revision as a whole.
        cluster: Option<ClusterName>,
        /// What it is told.
        status: CommitStatus,
    },
    /// LED off and, if asked, a graceful power-off.
    Finish {
        host: HostId,
        /// Whether to power it off.
        power_off: bool,
    },
    /// End the session on a BMC that a previous run left open.
    Release { host: HostId },
    /// Tell a receiver of notifications.
    Notify {
        #[serde(default)]
        receiver: String,
        /// Number of the last state change these messages cover.
        moves_upto: u64,
        /// The messages, oldest first.
        notices: Vec<Notice>,
    },
    /// Remember what is newly stalled, or no longer, so that people are told once. Nothing leaves the daemon.
    Note {
        #[serde(rename = "turns")]
        changes: Vec<ConditionChange>,
    },
}

impl Action {
    /// The host it is about, when it is about one.
    pub fn host(&self) -> Option<&HostId> {
        match self {
            Action::Probe { host }
            | Action::Prepare { host, .. }
            | Action::Arm { host, .. }
            | Action::PowerCycle { host }
            | Action::Finish { host, .. }
            | Action::Release { host }
            | Action::Reach { host } => Some(host),
            Action::Adopt
            | Action::Fetch
            | Action::FetchImage { .. }
            | Action::Publish { .. }
            | Action::Run { .. }
            | Action::WriteBack { .. }
            | Action::TellForge { .. }
            | Action::Notify { .. }
            | Action::Note { .. } => None,
        }
    }

    /// Which kind of action.
    pub fn kind(&self) -> ActionKind {
        match self {
            Action::Adopt => ActionKind::Adopt,
            Action::Fetch => ActionKind::Fetch,
            Action::FetchImage { .. } => ActionKind::FetchImage,
            Action::Publish { .. } => ActionKind::Publish,
            Action::Probe { .. } => ActionKind::Probe,
            Action::Prepare { .. } => ActionKind::Prepare,
            Action::Arm { .. } => ActionKind::Arm,
            Action::PowerCycle { .. } => ActionKind::PowerCycle,
            Action::Run { .. } => ActionKind::Run,
            Action::Reach { .. } => ActionKind::Reach,
            Action::WriteBack { .. } => ActionKind::WriteBack,
            Action::TellForge { .. } => ActionKind::TellForge,
            Action::Finish { .. } => ActionKind::Finish,
            Action::Release { .. } => ActionKind::Release,
            Action::Notify { .. } => ActionKind::Notify,
            Action::Note { .. } => ActionKind::Note,
        }
    }
}

words! {
    /// The kinds of [`Action`]: one word for logs, metrics and messages.
    ActionKind {
        Adopt "adopt"
        Fetch "fetch"
        FetchImage "fetch-image"
        Publish "publish"
        Probe "probe"
        Prepare "prepare"
        Arm "arm"
        PowerCycle "power-cycle"
        Run "run"
        Reach "reach"
        WriteBack "write-back"
        TellForge "tell-forge"
        Finish "finish"
        Release "release"
        Notify "notify"
        Note "note"
    }
}

/// A task that a status commit announces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskIntent {
    pub cluster: ClusterName,
    pub task: TaskId,
    /// The definition it would be run with.
    pub definition: Digest,
    /// What is announced.
    pub announced: Announced,
}
