//! The daemon as the simulation runs it: the same four pure functions and the same order as the real loop, with a
//! journal in memory that goes through the same JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use rackwright::model::{Action, Desired, Event, Policy, Revision, Time, Verdict, World};
use rackwright::plan::{self, Plan};

/// Trees by revision: what the mirror would read again.
pub type Trees = BTreeMap<Revision, Arc<Desired>>;

pub struct Daemon {
    pub world: World,
    /// The last World and plan in which nothing was left to begin.
    planned: Option<(World, Plan)>,
}

/// The journal: what survives the daemon.
#[derive(Default)]
pub struct Journal(Vec<(Time, String)>);

impl Journal {
    fn append(&mut self, now: Time, event: &Event) {
        self.0.push((now, serde_json::to_string(event).unwrap()));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn fold(&self, policy: &Arc<Policy>, trees: &Trees) -> World {
        let mut world = World::new(policy.clone());
        for (at, text) in &self.0 {
            let mut event: Event = serde_json::from_str(text).unwrap();
            if let Some(tree) = event.missing_revision().and_then(|revision| trees.get(revision)) {
                event.hydrate(tree.clone());
            }
            plan::reduce(&mut world, &event, *at);
        }
        world
    }
}

impl Daemon {
    /// A start: a replay, and the fact of it.
    pub fn start(journal: &mut Journal, policy: &Arc<Policy>, trees: &Trees, now: Time, first_run: bool) -> Daemon {
        let mut daemon = Daemon { world: journal.fold(policy, trees), planned: None };
        daemon.take(journal, &Event::DaemonStarted, now);
        if first_run {
            daemon.take(journal, &Event::FirstRun, now);
        }
        daemon
    }

    pub fn take(&mut self, journal: &mut Journal, event: &Event, now: Time) -> Verdict {
        journal.append(now, event);
        plan::reduce(&mut self.world, event, now)
    }

    #[allow(clippy::type_complexity, reason = "what a driver is given, of each action")]
    /// Plans until nothing more is begun; gives the actions begun with the World and plan they were decided from.
    pub fn act(&mut self, journal: &mut Journal, now: Time) -> (Vec<(Action, Arc<World>, Arc<Plan>)>, Plan) {
        let mut begun = Vec::new();
        for _ in 0..100 {
            let plan = plan::plan(&self.world, now);
            assert_eq!(plan::check(&self.world, &plan), Vec::<String>::new(), "an unlawful plan");
            self.planned_anew_in_vain(&plan, now);
            if plan.actions.is_empty() {
                self.planned = Some((self.world.clone(), plan.clone()));
                return (begun, plan);
            }
            let decided = (Arc::new(self.world.clone()), Arc::new(plan));
            for action in &decided.1.actions {
                self.take(journal, &Event::Started { action: action.clone() }, now);
                begun.push((action.clone(), decided.0.clone(), decided.1.clone()));
            }
        }
        panic!("planning never comes to rest");
    }

    /// The real loop does not plan again while nothing but leases has changed and nothing is due: it would have found
    /// nothing to begin, and no earlier time to look again.
    fn planned_anew_in_vain(&self, plan: &Plan, now: Time) {
        let Some((world, earlier)) = &self.planned else { return };
        if self.world.differs_only_in_leases(world) && earlier.wake_at.is_none_or(|at| at > now) {
            assert!(plan.actions.is_empty(), "a plan was skipped that begins {:?}", plan.actions);
            assert_eq!(plan.wake_at, earlier.wake_at, "a plan was skipped that wakes earlier");
            assert_eq!(plan.fingerprint, earlier.fingerprint, "a plan was skipped that shows something else");
        }
    }
}
