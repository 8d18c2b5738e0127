//! The context of one plan: the World, the time, and what this plan has used up so far. Retries, backoff and budgets are
//! decided here; drivers know nothing of them.

use std::collections::{BTreeMap, HashMap};
use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use super::step::Step;
use crate::model::{
    Action, Digest, Failure, FaultClass, Generation, HostId, ImageSpec, Lane, Policy, Reason, TaskIntent, Time, World,
};

/// State of one planning.
pub struct PlanContext<'w> {
    pub(super) world: &'w World,
    pub(super) now: Time,
    pub(super) policy: &'w Policy,
    pub(super) actions: Vec<Action>,
    pub(super) wake_at: Option<Time>,
    /// Hosts whose coming install the next status commit announces.
    pub(super) intents: Vec<(HostId, Generation)>,
    /// Tasks that the next status commit announces.
    pub(super) tasks: Vec<TaskIntent>,
    /// Installs under way or begun by this plan.
    pub(super) installs: usize,
    /// Images that hosts to be installed need.
    pub(super) images: BTreeMap<&'w Digest, &'w ImageSpec>,
    /// How many lanes of each kind are busy, or will be with this plan.
    busy: HashMap<Discriminant<Lane>, usize>,
}

/// How many lanes of this one's kind may be busy at once.
pub(super) fn at_once(policy: &Policy, lane: &Lane) -> usize {
    match lane {
        Lane::Bmc(_) => policy.concurrent_bmc,
        Lane::Ssh(_) => 32,
        Lane::Forge(_) => 4,
        // Each takes a disk and a line to itself.
        Lane::Image(_) => 2,
        Lane::Fetch | Lane::Publish | Lane::Receiver(_) | Lane::Task(_) | Lane::WriteBack(_) => usize::MAX,
    }
}

impl<'w> PlanContext<'w> {
    pub(super) fn new(world: &'w World, now: Time) -> Self {
        let mut busy = HashMap::new();
        world.lanes.under_way().for_each(|(lane, _)| *busy.entry(discriminant(lane)).or_default() += 1);
        PlanContext {
            world,
            now,
            policy: &world.policy,
            actions: Vec::new(),
            wake_at: None,
            intents: Vec::new(),
            tasks: Vec::new(),
            installs: 0,
            images: BTreeMap::new(),
            busy,
        }
    }

    /// Whether one more lane of this kind may be busy. Whoever ends before it wakes us.
    pub(super) fn has_room(&self, lane: &Lane) -> bool {
        self.busy.get(&discriminant(lane)).is_none_or(|busy| *busy < at_once(self.policy, lane))
    }

    /// Begins an action.
    pub(super) fn begin(&mut self, action: Action) {
        if let Some(lane) = Lane::of(&action) {
            *self.busy.entry(discriminant(&lane)).or_default() += 1;
        }
        self.actions.push(action);
    }

    /// Asks to plan again at `at`, if that is in the future.
    pub(super) fn wake(&mut self, at: Time) {
        if at > self.now {
            self.wake_at = Some(self.wake_at.map_or(at, |wake| wake.min(at)));
        }
    }

    /// Asks to plan again when `step` is due.
    pub(super) fn wake_for(&mut self, step: &Step) {
        match step {
            Step::Act { until, .. } | Step::Wait { until, .. } | Step::Stalled { until: Some(until), .. } => {
                self.wake(*until);
            }
            Step::Stalled { until: None, .. } | Step::Done { .. } => {}
        }
    }

    /// `after` the `cause` of a wait. When that has passed: the next look, in steps of the action timeout.
    pub(super) fn deadline(&self, cause: Time, after: Duration) -> Time {
        let until = cause + after;
        if until > self.now { until } else { next_mark(cause, self.policy.action_timeout, self.now) }
    }

    /// The deadline of an action that began at `began`.
    pub(super) fn action_deadline(&self, began: Time) -> Time {
        self.deadline(began, self.policy.action_timeout)
    }

    /// Waits for somebody else: calmly until `since + limit`, then as `Stalled` so that a person looks.
    pub(super) fn wait_for_others(
        &self,
        since: Time,
        limit: Duration,
        reason: Reason,
        overdue: Reason,
        message: String,
    ) -> Step {
        let until = since + limit;
        if self.now < until {
            return Step::Wait { reason, message, until };
        }
        Step::stalled(overdue, message, None)
    }

    /// The delay after the `count`th failure in a row: doubled each time up to the cap, plus up to a fifth of jitter
    /// that is fixed by `whom`, so that a rack that failed together does not come back together.
    pub(super) fn backoff(&self, whom: &str, count: u32) -> Duration {
        doubled(whom, count, self.policy.backoff_base, self.policy.backoff_cap)
    }

    /// When to give an order once more that was given `times` times in a row and whose effect was `due`: then as long as
    /// there are tries left; ever later once they are spent, which the second answer says.
    pub(super) fn after_tries(&self, whom: &str, due: Time, times: u32, retries: u32) -> (Time, bool) {
        match times.checked_sub(retries) {
            Some(more @ 1..) => (due + self.backoff(whom, more), true),
            _ => (due, false),
        }
    }

    /// When something that failed is tried again that does not depend on the repository. A fault that names a person is
    /// tried again as well, at a slow pace: what it waits for (a key, a permission) lies outside.
    pub(super) fn retry_at(&self, whom: &str, failure: &Failure) -> Time {
        match failure.fault.class {
            FaultClass::Transient => failure.at + self.backoff(whom, failure.count),
            FaultClass::Permanent | FaultClass::Operator => {
                failure.at + self.policy.backoff_cap.min(self.policy.poll_interval * 4)
            }
        }
    }

    /// Whether a lane is free for such an action, and no failure says to wait; asks to be woken when one does.
    pub(super) fn is_due(&mut self, lane: &Lane, whom: &str) -> bool {
        let work = self.world.lanes.get(lane);
        let at = work.failure.as_ref().map(|failure| self.retry_at(whom, failure));
        if work.doing.is_some() {
            return false;
        }
        at.into_iter().for_each(|at| self.wake(at));
        at.is_none_or(|at| self.now >= at)
    }

    /// What a failure means for the next try, `delay` after it; `None` when it may be made now.
    pub(super) fn held_back(&self, failure: &Failure, basis: &Digest, retries: u32, delay: Duration) -> Option<Step> {
        let message = failure.fault.message.clone();
        let reason = failure.fault.reason;
        match failure.fault.class {
            FaultClass::Operator if failure.basis == *basis => Some(Step::stalled(reason, message, None)),
            FaultClass::Operator => None,
            FaultClass::Permanent => {
                let at = failure.at + self.policy.backoff_cap;
                (self.now < at).then(|| Step::stalled(reason, message, Some(at)))
            }
            FaultClass::Transient => {
                let at = failure.at + delay;
                if self.now >= at {
                    None
                } else if failure.count > retries {
                    Some(Step::stalled(reason, message, Some(at)))
                } else {
                    Some(Step::wait(Reason::Retrying, format!("{reason}: {message}"), at))
                }
            }
        }
    }
}

/// The delay after the `count`th failure in a row: `first`, doubled each time up to `longest`, plus up to a fifth.
pub(super) fn doubled(whom: &str, count: u32, first: Duration, longest: Duration) -> Duration {
    // FNV-1a, enough to spread retries.
    let seed = whom.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let doubled = first.saturating_mul(1 << count.saturating_sub(1).min(16));
    let capped = doubled.min(longest);
    capped + capped.mul_f64(f64::from(seed % 1000) / 5000.0)
}

/// How long after `cause` a period that began then ends next, seen from `now`.
pub(super) fn next_mark(cause: Time, period: Duration, now: Time) -> Time {
    let period_ms = i64::try_from(period.as_millis()).unwrap_or(i64::MAX).max(1);
    let gone = now.0.saturating_sub(cause.0).max(0) / period_ms;
    Time(cause.0.saturating_add((gone + 1).saturating_mul(period_ms)))
}
