//! Work under way: every action runs on a lane, and each lane carries one action at a time.

#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::action::{Action, ActionKind};
use super::fault::Fault;
use super::id::{ClusterName, Digest, HostId, Revision};
use super::time::Time;

/// What excludes each other: two actions of one lane are never under way at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// Reading the watched branch and, when the journal is empty, the status branch.
    Fetch,
    /// Writing the status branch.
    Publish,
    /// A cluster's commit status; `None`: that of the watched head.
    Forge(Option<ClusterName>),
    /// A receiver of notifications, by name.
    Receiver(String),
    /// An image, by its definition's digest.
    Image(Digest),
    /// A host's power, boot device, settings and LED: its BMC, or SSH where it has none.
    Bmc(HostId),
    /// Reaching a host over SSH.
    Ssh(HostId),
    /// A cluster's tasks.
    Task(ClusterName),
    /// Pushing what a cluster's playbook generated.
    WriteBack(ClusterName),
}

impl Lane {
    /// The lane of an action; none for one that is done as soon as it is journaled.
    pub fn of(action: &Action) -> Option<Lane> {
        Some(match action {
            Action::Adopt | Action::Fetch => Lane::Fetch,
            Action::FetchImage { image } => Lane::Image(image.clone()),
            Action::Publish { .. } => Lane::Publish,
            Action::Notify { receiver, .. } => Lane::Receiver(receiver.clone()),
            Action::TellForge { cluster, .. } => Lane::Forge(cluster.clone()),
            Action::Run { cluster, .. } => Lane::Task(cluster.clone()),
            Action::WriteBack { cluster, .. } => Lane::WriteBack(cluster.clone()),
            Action::Reach { host } => Lane::Ssh(host.clone()),
            Action::Probe { host }
            | Action::Prepare { host, .. }
            | Action::Arm { host, .. }
            | Action::PowerCycle { host }
            | Action::Finish { host, .. }
            | Action::Release { host } => Lane::Bmc(host.clone()),
            Action::Note { .. } => return None,
        })
    }
}

/// What is under way on a lane, and what failed last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<Doing>,
    /// What failed last, until it succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl Work {
    pub fn since(&self) -> Option<Time> {
        self.doing.as_ref().map(|doing| doing.since)
    }
}

/// Something under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doing {
    pub action: Action,
    pub since: Time,
    /// The revision in force when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The account on the BMC that it is done with ([`Credential::id`](super::Credential::id)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Digest>,
}

/// An action that failed and has not succeeded since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which action ([`Action::kind`]).
    pub action: ActionKind,
    pub fault: Fault,
    pub count: u32,
    pub at: Time,
    /// Digest of what it was tried with (BMC identity, task definition): a change lets an `Operator` fault be retried.
    pub basis: Digest,
}

/// All lanes on which something is under way or has failed. The others take no memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(Lane, Arc<Work>)>", into = "Vec<(Lane, Arc<Work>)>")]
pub struct Lanes(BTreeMap<Lane, Arc<Work>>);

/// A lane on which nothing is under way and nothing has failed.
pub static IDLE: Work = Work { doing: None, failure: None };

impl From<Vec<(Lane, Arc<Work>)>> for Lanes {
    fn from(all: Vec<(Lane, Arc<Work>)>) -> Self {
        Lanes(all.into_iter().collect())
    }
}

impl From<Lanes> for Vec<(Lane, Arc<Work>)> {
    fn from(lanes: Lanes) -> Self {
        lanes.0.into_iter().collect()
    }
}

impl Lanes {
    pub fn get(&self, lane: &Lane) -> &Work {
        self.0.get(lane).map_or(&IDLE, |work| work)
    }

    /// Whether something is under way on a lane.
    pub fn is_busy(&self, lane: &Lane) -> bool {
        self.get(lane).doing.is_some()
    }

    /// What failed last on a lane.
    pub fn failure(&self, lane: &Lane) -> Option<&Failure> {
        self.get(lane).failure.as_ref()
    }

    /// All that are not idle, from `first` on, in order.
    pub fn from(&self, first: Lane) -> impl Iterator<Item = (&Lane, &Work)> {
        self.0.range(first..).map(|(lane, work)| (lane, &**work))
    }

    /// What is under way, everywhere.
    pub fn under_way(&self) -> impl Iterator<Item = (&Lane, &Doing)> {
        self.0.iter().filter_map(|(lane, work)| Some((lane, work.doing.as_ref()?)))
    }

    /// An action has begun.
    pub fn start(&mut self, lane: Lane, doing: Doing) {
        Arc::make_mut(self.0.entry(lane).or_default()).doing = Some(doing);
    }

    /// What was under way on a lane has ended.
    pub fn end(&mut self, lane: &Lane) -> Option<Doing> {
        let ended = self.0.get_mut(lane).and_then(|work| Arc::make_mut(work).doing.take());
        self.sweep(lane);
        ended
    }

    /// An action has failed, once more or for the first time in a row.
    pub fn failed(&mut self, lane: Lane, action: &Action, fault: Fault, basis: Digest, at: Time) {
        let work = Arc::make_mut(self.0.entry(lane).or_default());
        let count = work.failure.as_ref().filter(|last| last.action == action.kind()).map_or(0, |last| last.count) + 1;
        work.failure = Some(Failure { action: action.kind(), fault, count, at, basis });
    }

    /// The last failure no longer counts: it succeeded since, or what it was tried with is gone.
    pub fn forget_failure(&mut self, lane: &Lane) {
        if let Some(work) = self.0.get_mut(lane).filter(|work| work.failure.is_some()) {
            Arc::make_mut(work).failure = None;
            self.sweep(lane);
        }
    }

    /// Whatever was under way has an unknown outcome: the daemon was restarted.
    pub fn interrupt(&mut self) {
        self.0.values_mut().filter(|work| work.doing.is_some()).for_each(|work| Arc::make_mut(work).doing = None);
        self.0.retain(|_, work| **work != IDLE);
    }

    /// Forgets all about some lanes.
    pub fn retain(&mut self, kept: impl Fn(&Lane, &Work) -> bool) {
        self.0.retain(|lane, work| kept(lane, work));
    }

    fn sweep(&mut self, lane: &Lane) {
        if self.0.get(lane).is_some_and(|work| **work == IDLE) {
            self.0.remove(lane);
        }
    }
}
