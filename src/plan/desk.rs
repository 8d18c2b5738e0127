//! The planner's desk: the World, the time, and what this plan has used up so far. Retries, backoff and budgets live
//! here; drivers know nothing of them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Step;
use super::bmc;
use super::host::{next_mark, starting};
use crate::model::{
    Action, Digest, Failure, FaultClass, Generation, HostFacts, HostId, HostSpec, ImageSpec, Policy, Reason,
    TaskIntent, Time, World,
};

/// State of one planning.
pub struct Desk<'w> {
    pub(super) world: &'w World,
    pub(super) now: Time,
    pub(super) policy: &'w Policy,
    pub(super) actions: Vec<Action>,
    pub(super) wake_at: Option<Time>,
    /// Hosts whose coming install the next status commit announces.
    pub(super) intents: Vec<(HostId, Generation)>,
    /// Installs under way or begun by this plan.
    pub(super) installs: usize,
    /// BMCs being talked to, or to be talked to by this plan.
    pub(super) bmcs: usize,
    /// Hosts being reached over SSH, or to be reached by this plan.
    pub(super) reaches: usize,
    /// Tasks that the next status commit announces.
    pub(super) tasks: Vec<TaskIntent>,
    /// Images that hosts to be installed need.
    pub(super) images: BTreeMap<&'w Digest, &'w ImageSpec>,
}

impl<'w> Desk<'w> {
    pub(super) fn new(world: &'w World, now: Time) -> Self {
        Desk {
            world,
            now,
            policy: &world.policy,
            actions: Vec::new(),
            wake_at: None,
            intents: Vec::new(),
            installs: 0,
            bmcs: 0,
            reaches: 0,
            tasks: Vec::new(),
            images: BTreeMap::new(),
        }
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

    /// Since when the host has been in its state: what a wait for somebody else is counted from.
    pub(super) fn since(&self, facts: &HostFacts) -> Time {
        facts.shown.map_or(self.now, |(_, at)| at)
    }

    /// `until`, or when that has passed the next look, in steps of the action timeout counted from `cause`.
    pub(super) fn later(&self, until: Time, cause: Time) -> Time {
        if until > self.now { until } else { next_mark(cause, self.policy.action_timeout, self.now) }
    }

    /// Waits for somebody else: calmly until `since + patience`, then as `Stalled` so that a person looks.
    pub(super) fn patience(
        &self,
        since: Time,
        patience: Duration,
        reason: Reason,
        overdue: Reason,
        message: String,
    ) -> Step {
        let until = since + patience;
        if self.now < until {
            return Step::Wait { reason, message, until };
        }
        Step::stalled(overdue, message, None)
    }

    /// The delay after the `count`th failure in a row: doubled each time up to the cap, plus up to a fifth of jitter
    /// that is fixed by `whom`, so that a rack that failed together does not come back together.
    pub(super) fn backoff(&self, whom: &HostId, count: u32) -> Duration {
        self.backoff_of(seed(whom.host.as_bytes()), count)
    }

    /// The same for something that is no host.
    pub(super) fn backoff_for(&self, whom: &str, count: u32) -> Duration {
        self.backoff_of(seed(whom.as_bytes()), count)
    }

    fn backoff_of(&self, seed: u32, count: u32) -> Duration {
        doubled(seed, count, self.policy.backoff_base, self.policy.backoff_cap)
    }

    /// The same for a host, at a pace of its own.
    pub(super) fn paced(&self, whom: &HostId, count: u32, first: Duration, longest: Duration) -> Duration {
        doubled(seed(whom.host.as_bytes()), count, first, longest)
    }

    /// When something rack-wide that failed is tried again. A fault that names a person is tried again as well, at a
    /// slow pace: what it waits for (a key, a permission) lies outside the repository.
    pub(super) fn rack_retry_at(&self, whom: &str, failure: &Failure) -> Time {
        match failure.fault.class {
            FaultClass::Transient => failure.at + self.backoff_of(seed(whom.as_bytes()), failure.count),
            FaultClass::Permanent | FaultClass::Operator => {
                failure.at + self.policy.backoff_cap.min(self.policy.poll_interval * 4)
            }
        }
    }

    /// Begins an action on a host's BMC, unless an earlier failure or a limit says to wait.
    pub(super) fn try_bmc(&mut self, spec: &HostSpec, facts: &HostFacts, retries: u32, action: Action) -> Step {
        let blocked = spec.bmc.credentials.is_empty() || super::host::wants_install(spec, facts);
        if spec.has_bmc() && !spec.blocked.is_empty() && blocked {
            return bmc::secret_missing(spec);
        }
        if spec.has_bmc() && bmc::credential(spec, facts).is_none() {
            return Step::stalled(Reason::AuthenticationFailed, bmc::all_refused(spec), None);
        }
        let failure = facts.failure.as_ref().filter(|failure| failure.action == action.kind());
        if let Some(failure) = failure
            && let Some(step) = self.held_back(spec, facts, failure, retries)
        {
            return step;
        }
        if spec.has_bmc() && self.bmcs >= self.policy.concurrent_bmc {
            let since = self.since(facts);
            let until = self.later(since + self.policy.action_timeout, since);
            let message = format!("waiting for one of {} BMC connections", self.policy.concurrent_bmc);
            return Step::wait(Reason::BmcSlots, message, until);
        }
        self.bmcs += usize::from(spec.has_bmc());
        let (reason, message) = starting(&action);
        self.actions.push(action);
        Step::act(reason, message, self.now + self.policy.action_timeout)
    }

    /// What to wait for because an action on a BMC failed before, if anything.
    fn held_back(&self, spec: &HostSpec, facts: &HostFacts, failure: &Failure, retries: u32) -> Option<Step> {
        let basis = bmc::basis(spec, facts);
        if failure.fault.reason == Reason::CertificateChanged && failure.basis == basis {
            // To look again costs nothing: no account is shown to a certificate that is not trusted.
            let at = failure.at + self.policy.backoff_cap;
            let message = failure.fault.message.clone();
            return (self.now < at).then(|| Step::stalled(Reason::CertificateChanged, message, Some(at)));
        }
        self.verdict_on(failure, &basis, retries, self.backoff(&spec.id, failure.count))
    }

    /// What a failure means for the next try, `delay` after it; `None` when it may be made now.
    pub(super) fn verdict_on(&self, failure: &Failure, basis: &Digest, retries: u32, delay: Duration) -> Option<Step> {
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

fn doubled(seed: u32, count: u32, first: Duration, longest: Duration) -> Duration {
    let doubled = first.saturating_mul(1 << count.saturating_sub(1).min(16));
    let capped = doubled.min(longest);
    capped + capped.mul_f64(f64::from(seed % 1000) / 5000.0)
}

/// FNV-1a, enough to spread retries.
fn seed(text: &[u8]) -> u32 {
    text.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
