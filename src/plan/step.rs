//! What a plan is made of.

#![allow(missing_docs, reason = "names that say all have no comment")]

use crate::model::{Action, ClusterName, ClusterState, ConditionStatus, HostId, HostState, Reason, Time};

/// What to do now and, where nothing is to be done, why and until when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// Every host of the repository, in name order, with its reason.
    pub hosts: Vec<HostPlan>,
    /// Every cluster of the repository, in name order.
    pub clusters: Vec<ClusterPlan>,
    /// When to plan again if nothing happens before.
    pub wake_at: Option<Time>,
    /// Changes whenever something that the status branch shows changes.
    pub fingerprint: u64,
}

/// A host's place on the ladder and what happens next.
#[derive(Clone, Debug, PartialEq)]
pub struct HostPlan {
    pub id: HostId,
    /// The first unmet rung.
    pub state: HostState,
    pub step: Step,
    /// Remarks that change nothing (drift, a BMC that does not answer on a finished host).
    pub notes: Vec<String>,
}

/// A cluster's state and what happens next.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterPlan {
    pub name: ClusterName,
    pub state: ClusterState,
    pub step: Step,
    /// Remarks (a task that failed and was passed over, what is to be done by hand).
    pub notes: Vec<String>,
}

/// What happens next to a host or cluster. A wait without a deadline cannot be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Something is begun now, or under way.
    Act {
        reason: Reason,
        message: String,
        /// When its silence becomes suspicious.
        until: Time,
    },
    /// Somebody else has to do something; we look again at `until` at the latest.
    Wait {
        reason: Reason,
        message: String,
        /// Deadline, counted from the last thing that could have caused the awaited fact.
        until: Time,
    },
    /// A person must do something; `until` is when we try again by ourselves, if we do.
    Stalled {
        reason: Reason,
        message: String,
        /// The next try by ourselves, if there will be one.
        until: Option<Time>,
    },
    /// Nothing to do.
    Done { message: String },
}

impl Step {
    pub(super) fn act(reason: Reason, message: impl Into<String>, until: Time) -> Self {
        Step::Act { reason, message: message.into(), until }
    }

    pub(super) fn wait(reason: Reason, message: impl Into<String>, until: Time) -> Self {
        Step::Wait { reason, message: message.into(), until }
    }

    pub(super) fn stalled(reason: Reason, message: impl Into<String>, until: Option<Time>) -> Self {
        Step::Stalled { reason, message: message.into(), until }
    }

    pub(super) fn done(message: impl Into<String>) -> Self {
        Step::Done { message: message.into() }
    }

    /// What a condition is called in this case.
    pub fn status(&self) -> ConditionStatus {
        match self {
            Step::Act { .. } | Step::Wait { .. } => ConditionStatus::Reconciling,
            Step::Stalled { .. } => ConditionStatus::Stalled,
            Step::Done { .. } => ConditionStatus::Ready,
        }
    }

    pub fn reason(&self) -> Reason {
        match self {
            Step::Act { reason, .. } | Step::Wait { reason, .. } | Step::Stalled { reason, .. } => *reason,
            Step::Done { .. } => Reason::Done,
        }
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        match self {
            Step::Act { message, .. } | Step::Wait { message, .. } | Step::Stalled { message, .. } => message,
            Step::Done { message } => message,
        }
    }
}

impl Plan {
    pub fn host(&self, id: &HostId) -> Option<&HostPlan> {
        let index = self.hosts.binary_search_by(|host| host.id.cmp(id)).ok()?;
        self.hosts.get(index)
    }

    pub fn cluster(&self, name: &ClusterName) -> Option<&ClusterPlan> {
        self.clusters.iter().find(|cluster| cluster.name == *name)
    }
}
