//! Messages for people: which there are, who gets them, and how telling them goes.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::id::ClusterName;
use super::reason::Reason;
use super::words::words;

/// A message for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Which icon goes with it (PVC's `notifications.icons`).
    pub kind: NoticeKind,
    pub message: String,
}

words! {
    /// PVC's notification kinds; `completed` also carries the trigger word.
    NoticeKind {
        /// A cluster began.
        Begin "begin"
        /// A task is done; what was stalled goes on.
        Success "success"
        /// Something failed and a person must look.
        Failure "failure"
        /// A cluster is complete.
        Completed "completed"
        /// Something moved.
        Info "info"
    }
}

/// Who is told what; how to reach them is in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Its name: what was told is remembered by it.
    pub name: String,
    /// Only of these clusters; of everything when empty.
    pub clusters: BTreeSet<ClusterName>,
    /// Only of these kinds.
    pub events: BTreeSet<NoticeKind>,
}

/// What each receiver was told, and what people know to be stalled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NoticeFacts {
    /// By name.
    pub receivers: BTreeMap<String, ReceiverFacts>,
    /// What people were told is stalled, by subject (`cluster`, `cluster/host`, `cluster/task`).
    pub stalled: BTreeMap<String, Stalled>,
}

/// How far a receiver is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReceiverFacts {
    /// The number of the newest change it was told of.
    pub told: u64,
    /// Messages that it refused for good, since the last one it took.
    pub refused: u64,
}

/// Something that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stalled {
    /// The word for machines.
    pub reason: Reason,
    /// State, generation or run in which it is stalled: the same reason at the same place is told once.
    pub place: String,
}

/// Something is newly stalled, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionChange {
    /// `cluster`, `cluster/host` or `cluster/task`.
    pub subject: String,
    /// What it is now; `None`: no longer stalled.
    pub stalled: Option<Stalled>,
    /// A sentence for people: what happened and what they can do.
    pub message: String,
}
