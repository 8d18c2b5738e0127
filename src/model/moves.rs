//! Changes of state, kept for people: what a status commit and a notification tell.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::time::Time;

/// State changes, numbered from 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moves {
    /// The number of the newest change.
    pub last: u64,
    /// The number of the newest change that the status branch carries.
    pub published: u64,
    /// Recent changes, oldest first: all unpublished ones and some more.
    pub recent: VecDeque<Move>,
}

/// One change of a host's or cluster's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Its number.
    pub seq: u64,
    /// When.
    pub at: Time,
    /// What it is about.
    pub kind: MoveKind,
    /// `cluster/host`, `cluster`, `cluster/task` or `repository`.
    pub subject: String,
    /// The state before (`new` for the first one).
    pub from: String,
    /// The state after.
    pub to: String,
    /// A sentence for people, where the states do not say it all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What a [`Move`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MoveKind {
    /// A host's state.
    Host,
    /// A cluster's state.
    Cluster,
    /// A task's result.
    Task,
    /// The watched head taken or refused.
    Repository,
    /// Stalled, or no longer: recorded where there is somebody to be told.
    Condition,
}
