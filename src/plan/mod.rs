//! Floor 1: decisions. Pure, synchronous, total: no I/O, no clock, no await. Imports `model`.

pub mod boot;
pub mod diff;
pub mod lease;
pub mod reduce;
pub mod report;

use crate::model::{Action, ClusterName, HostId, HostState, Time, World};

/// What to do now and, where nothing is to be done, why and until when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Things to begin now.
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
    /// Which host.
    pub id: HostId,
    /// The first unmet rung.
    pub state: HostState,
    /// What happens next.
    pub step: Step,
    /// Remarks that change nothing (drift, a BMC that does not answer on a finished host).
    pub notes: Vec<String>,
}

/// A cluster's state and what happens next.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterPlan {
    /// Which cluster.
    pub name: ClusterName,
    /// `provisioning`, `ansible-running`, `hooks-running` or `completed`.
    pub state: &'static str,
    /// What happens next.
    pub step: Step,
}

/// What happens next to a host or cluster. A wait without a deadline cannot be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Something is begun now, or under way.
    Act {
        /// CamelCase word for machines.
        reason: &'static str,
        /// A sentence for people.
        message: String,
        /// When its silence becomes suspicious.
        until: Time,
    },
    /// Somebody else has to do something; we look again at `until` at the latest.
    Wait {
        /// CamelCase word for machines.
        reason: &'static str,
        /// A sentence for people: on what we wait.
        message: String,
        /// Deadline, counted from the last thing that could have caused the awaited fact.
        until: Time,
    },
    /// A person must do something; `until` is when we try again by ourselves, if we do.
    Stalled {
        /// CamelCase word for machines.
        reason: String,
        /// A sentence for people: what happened and what they can do.
        message: String,
        /// The next try by ourselves, if there will be one.
        until: Option<Time>,
    },
    /// Nothing to do.
    Done {
        /// A sentence for people.
        message: String,
    },
}

/// Decides everything. Same World and time, same Plan.
pub fn plan(_world: &World, _now: Time) -> Plan {
    Plan::default()
}
