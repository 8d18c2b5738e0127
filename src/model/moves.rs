//! Changes of state, kept for people: what a status commit and a notification tell.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::reason::Reason;
use super::state::{ClusterState, HostState, TaskResult};
use super::time::Time;
use super::words::words;

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

/// One change that people are told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredMove", into = "StoredMove")]
pub struct Move {
    pub seq: u64,
    pub at: Time,
    /// `cluster/host`, `cluster`, `cluster/task` or `repository`.
    pub subject: String,
    /// From what to what.
    pub change: Change,
    /// A sentence for people, where the states do not say it all.
    pub message: String,
}

/// From what to what; `None` before the first state, and where a condition is not stalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "MoveKind says what each is about")]
pub enum Change {
    Host { from: Option<HostState>, to: HostState },
    Cluster { from: Option<ClusterState>, to: ClusterState },
    Task { from: TaskResult, to: TaskResult },
    Repository { from: HeadState, to: HeadState },
    Condition { from: Option<Reason>, to: Option<Reason> },
}

words! {
    /// What a [`Move`] is about.
    MoveKind {
        /// A host's state.
        Host "host"
        /// A cluster's state.
        Cluster "cluster"
        /// A task's result.
        Task "task"
        /// The watched head taken or refused.
        Repository "repository"
        /// Stalled, or no longer: recorded where there is somebody to be told.
        Condition "condition"
    }
}

words! {
    /// Whether the watched head is in force.
    HeadState {
        Accepted "accepted"
        Rejected "rejected"
    }
}

/// The word for what had no state before.
const NEW: &str = "new";
/// The word for what is not stalled.
const GOING_ON: &str = "going on";

impl Change {
    /// What it is about.
    pub fn kind(self) -> MoveKind {
        match self {
            Change::Host { .. } => MoveKind::Host,
            Change::Cluster { .. } => MoveKind::Cluster,
            Change::Task { .. } => MoveKind::Task,
            Change::Repository { .. } => MoveKind::Repository,
            Change::Condition { .. } => MoveKind::Condition,
        }
    }

    /// The words before and after.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Change::Host { from, to } => (from.map_or(NEW, HostState::as_str), to.as_str()),
            Change::Cluster { from, to } => (from.map_or(NEW, ClusterState::as_str), to.as_str()),
            Change::Task { from, to } => (from.as_str(), to.as_str()),
            Change::Repository { from, to } => (from.as_str(), to.as_str()),
            Change::Condition { from, to } => {
                (from.map_or(GOING_ON, Reason::as_str), to.map_or(GOING_ON, Reason::as_str))
            }
        }
    }

    fn read(kind: MoveKind, from: &str, to: &str) -> Option<Change> {
        let reason = |word: &str| (word != GOING_ON).then(|| word.parse().unwrap_or(Reason::Unknown));
        Some(match kind {
            MoveKind::Host => Change::Host { from: HostState::parse(from), to: HostState::parse(to)? },
            MoveKind::Cluster => Change::Cluster { from: ClusterState::parse(from), to: ClusterState::parse(to)? },
            MoveKind::Task => Change::Task { from: TaskResult::parse(from)?, to: TaskResult::parse(to)? },
            MoveKind::Repository => Change::Repository { from: HeadState::parse(from)?, to: HeadState::parse(to)? },
            MoveKind::Condition => Change::Condition { from: reason(from), to: reason(to) },
        })
    }
}

/// A change as the journal and the API have it.
#[derive(Serialize, Deserialize)]
struct StoredMove {
    seq: u64,
    at: Time,
    kind: MoveKind,
    subject: String,
    from: String,
    to: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    message: String,
}

impl From<Move> for StoredMove {
    fn from(Move { seq, at, subject, change, message }: Move) -> Self {
        let (from, to) = change.words();
        StoredMove { seq, at, kind: change.kind(), subject, from: from.into(), to: to.into(), message }
    }
}

impl TryFrom<StoredMove> for Move {
    type Error = String;

    fn try_from(StoredMove { seq, at, kind, subject, from, to, message }: StoredMove) -> Result<Self, String> {
        let change = Change::read(kind, &from, &to);
        let change = change.ok_or_else(|| format!("`{from}` -> `{to}` is no change of a {kind}"))?;
        Ok(Move { seq, at, subject, change, message })
    }
}
