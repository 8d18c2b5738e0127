//! The rack: machines, network, repository and people around one daemon, on one virtual clock.

mod actions;
mod bmcs;
mod ending;
mod furnish;
mod line;
mod network;
mod people;
mod tasks;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rackwright::drive::bmc::{BmcPool, PoolConfig};
use rackwright::model::desired::TOKEN_MARK;
use rackwright::model::{
    Action, Desired, Event, Fault, Fetched, Finding, HostId, ImageStamp, Lane, LeaseOrigin, Mac, Outcome, Policy,
    PowerState, Protocol, Reason, Revision, Secret, StatusBranch, Time, Token, Verdict, World,
};
use rackwright::plan::boot::{self, FileAnswer};
use rackwright::plan::report::{self, Files};
use rackwright::plan::{self, Plan, Step, lease};
use rackwright::serve::http::checkin::{Parsed, parse_checkin};
use rackwright::settings::BmcTls;
use rackwright::sim::bmc::{Bmc, BmcConfig, Volume};
use rackwright::sim::fault::{Dice, Fault as Trouble, FaultPlan};
use rackwright::sim::ipmi::{Habit, IpmiBmc, IpmiConfig};
use rackwright::sim::machine::{
    Ack, BootOrder, DhcpClient, Disk, Effect, Firmware, Machine, MachineConfig, MachineEvent, Override, Power, Timings,
};
use rackwright::sim::tree::Vendor;
use tokio::task::JoinSet;

use super::daemon::{Daemon, Journal, Trees};
use super::laws::bmc::BmcOracle;
use super::laws::task::TaskOracle;
use super::laws::{self, Oracle};
use crate::rig::racks::{Rack, load};

pub use told::Told;

use furnish::{machines, policy};
use line::{Hub, Shared, look};

const HOUR: i64 = 3600 * 1000;

/// What kind of rack it is, and how long things go wrong in it.
#[derive(Clone, Copy)]
pub struct Season {
    /// Small racks in which every machine has a BMC, with disks and settings to prepare.
    pub bmcs: bool,
    /// Troubles happen before this.
    pub troubles: Time,
    /// At most this many, faults apart.
    pub most: u64,
    /// Times that everybody boots from the network after it is all over.
    pub rounds: u32,
}

impl Season {
    /// Racks of all kinds.
    pub const RACKS: Season = Season { bmcs: false, troubles: Time(8 * HOUR), most: 12, rounds: 3 };
    /// Small racks with much to do for the BMCs.
    pub const BMCS: Season = Season { bmcs: true, troubles: Time(3 * HOUR), most: 9, rounds: 1 };
}

/// Everything is completed before this.
const LIMIT: Time = Time(120 * HOUR);

/// Whether sessions that a crash left open, or that would not be closed, are closed before another is opened.
const GUARDED: bool = true;

/// Something that happens at a moment.
#[allow(clippy::large_enum_variant, reason = "few are in the queue at once")]
enum Item {
    /// A machine's request arrives.
    Request(HostId, Effect),
    /// An answer arrives at a machine.
    Answer(HostId, MachineEvent),
    /// A BMC asks for an address.
    BmcBoots(HostId),
    /// Likewise a BMC that is not in the repository.
    StrangerBoots,
    /// An action takes effect, in the daemon's life of that number.
    Effect(u32, Action, Arc<World>, Arc<Plan>),
    /// A task goes on, likewise.
    Work(u32, Action, tasks::Work),
    /// An action's end is reported, likewise.
    Report(u32, Action, Result<Outcome, Fault>),
    /// Somebody does something to the repository or the rack.
    Trouble,
    /// The daemon is started again.
    Restart,
    /// Somebody looks at the rack.
    Person,
}

pub struct Sim {
    season: Season,
    aloud: bool,
    dice: Dice,
    now: Time,
    policy: Arc<Policy>,
    daemon: Option<Daemon>,
    life: u32,
    journal: Journal,
    trees: Trees,
    rack: Rack,
    head: (Revision, Result<Arc<Desired>, Vec<Finding>>),
    status: Option<Files>,
    commits: Vec<String>,
    machines: BTreeMap<HostId, Shared>,
    /// A machine that nobody wrote down, with a BMC.
    stranger: Shared,
    hub: Arc<Hub>,
    pool: Option<Arc<BmcPool>>,
    /// Actions on BMCs that are under way.
    work: JoinSet<(u32, Action, Result<Outcome, Fault>)>,
    busy: BTreeSet<HostId>,
    /// Those of a daemon that has crashed.
    dying: JoinSet<(u32, Action, Result<Outcome, Fault>)>,
    /// Sessions that a crash left open and that the journal knows.
    behind: BTreeMap<HostId, String>,
    queue: BTreeMap<(Time, u64), Item>,
    sequence: u64,
    wake_at: Option<Time>,
    oracle: Oracle,
    bmcs: BmcOracle,
    tasks: TaskOracle,
    told: Told,
}

impl Sim {
    fn new(season: Season, seed: u64, aloud: bool) -> Sim {
        let mut dice = Dice::new(seed);
        let policy = Arc::new(policy(season));
        let mut rack = if season.bmcs { Rack::with_bmcs(&mut dice) } else { Rack::random(&mut dice) };
        let machines = machines(&mut rack, season, &mut dice, seed);
        let desired = load(&rack, &policy.site, None, "0".repeat(40)).expect("the first revision is valid");
        let stranger = furnish::stranger(&mut dice);
        let head = (desired.revision.clone().unwrap(), Ok(desired));
        let mut sim = Sim {
            season,
            aloud,
            dice,
            now: Time(0),
            policy,
            daemon: None,
            life: 0,
            journal: Journal::default(),
            trees: Trees::new(),
            rack,
            head,
            status: None,
            commits: Vec::new(),
            machines,
            stranger,
            hub: Hub::new(),
            pool: None,
            work: JoinSet::new(),
            busy: BTreeSet::new(),
            dying: JoinSet::new(),
            behind: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            wake_at: None,
            oracle: Oracle::default(),
            bmcs: BmcOracle::default(),
            tasks: TaskOracle::default(),
            told: Told::default(),
        };
        sim.told.hosts = sim.machines.len() as u64;
        sim
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.dice.draw() % limit.max(1)
    }

    fn later(&mut self, least_ms: i64, most_ms: i64, item: Item) {
        let delay = least_ms + self.below((most_ms - least_ms).max(1) as u64) as i64;
        self.sequence += 1;
        self.queue.insert((Time(self.now.0 + delay), self.sequence), item);
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.aloud {
            eprintln!("{} {}", self.now, text());
        }
    }

    /// Runs a rack from its seed, on a clock of its own.
    pub fn run(season: Season, seed: u64, aloud: bool) -> Told {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async { Sim::new(season, seed, aloud).until_the_end().await })
    }

    async fn until_the_end(mut self) -> Told {
        self.start(true);
        self.later(0, 600_000, Item::StrangerBoots);
        for id in self.machines.keys().cloned().collect::<Vec<_>>() {
            if self.rack.has_bmc(&id) {
                self.later(0, 600_000, Item::BmcBoots(id));
            } else {
                self.later(0, 600_000, Item::Answer(id, MachineEvent::Power(Power::On)));
            }
        }
        for _ in 0..self.below(self.season.most) {
            self.later(60_000, self.season.troubles.0, Item::Trouble);
        }
        self.later(1_800_000, 1_800_001, Item::Person);
        self.until_settled().await;
        self.nobody_is_wiped_any_more().await;
        self.final_laws().await;
        self.told.commits = self.commits.len() as u64;
        self.told.installs = self.machines.values().map(|unit| look(unit).machine.wipes.len() as u64).sum();
        self.count_bmcs();
        self.told
    }

    async fn until_settled(&mut self) {
        while !self.settled() {
            assert!(self.now < LIMIT, "not settled in time: {}", self.story());
            self.step().await;
        }
    }

    fn settled(&mut self) -> bool {
        if self.now < self.season.troubles {
            return false;
        }
        let Some(daemon) = &self.daemon else { return false };
        let in_force = daemon.world.desired.as_ref().and_then(|desired| desired.revision.as_ref());
        if self.rack.in_maintenance() || self.rack.any_hidden() || in_force != Some(&self.head.0) {
            return false;
        }
        let plan = plan::plan(&daemon.world, self.now);
        let done = plan.hosts.iter().all(|host| matches!(host.step, Step::Done { .. }))
            && plan.clusters.iter().all(|cluster| matches!(cluster.step, Step::Done { .. }));
        let git = &daemon.world.git;
        done && plan.actions.is_empty()
            && git.published == Some(plan.fingerprint)
            && !daemon.world.lanes.is_busy(&Lane::Publish)
    }

    /// Until the next time at which anything is due, or something happens on a line to a BMC.
    async fn pass_time(&mut self) {
        let deadlines = self.machines.values().filter_map(|unit| look(unit).machine.next_deadline());
        let next = deadlines.chain(self.queue.keys().next().map(|(at, _)| *at)).chain(self.wake_at).min();
        let next = next.expect("something is always due");
        if next > self.hub.now() {
            tokio::select! {
                biased;
                Some(done) = self.work.join_next() => self.performed(done.expect("no driver panics")),
                () = self.hub.poke.notified() => {}
                () = tokio::time::sleep_until(self.hub.at(next)) => {}
            }
        }
        self.now = self.hub.now();
        self.unheard();
    }

    /// One moment: everything due at the next time at which anything is due.
    async fn step(&mut self) {
        self.pass_time().await;
        let due = self.wake_at.is_some_and(|at| at <= self.now);
        self.wake_at = self.wake_at.filter(|at| *at > self.now);
        if self.now > self.season.troubles {
            self.machines.values().for_each(|unit| look(unit).machine.faults().stop());
        }
        let mut stirred = self.hear_of_sessions() || due;
        let late = |unit: &Shared| look(unit).machine.next_deadline().is_some_and(|at| at <= self.now);
        let due: Vec<HostId> = self.machines.iter().filter(|(_, unit)| late(unit)).map(|(id, _)| id.clone()).collect();
        for id in due {
            self.machine(&id, MachineEvent::Timer);
        }
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let item = entry.remove();
            self.happen(item);
            stirred = true;
        }
        if self.hub.crashes() {
            self.crash();
        }
        self.dying.shutdown().await;
        if stirred {
            self.act();
        } else {
            self.check();
        }
    }

    fn act(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        let (begun, plan) = daemon.act(&mut self.journal, self.now);
        laws::reasons(&daemon.world, &plan, self.now);
        self.wake_at = plan.wake_at;
        for (action, world, plan) in begun {
            self.say(|| format!("begin {action:?}"));
            let life = self.life;
            self.later(200, 20_000, Item::Effect(life, action, world, plan));
        }
        self.check();
    }

    fn check(&mut self) {
        self.told.events += 1;
        for (id, unit) in &self.machines {
            let unit = look(unit);
            self.oracle.wipes(id, &unit.machine);
            if let Some(daemon) = &self.daemon {
                let gone = |bmc: &Bmc| laws::bmc::disk_may_be_gone(&daemon.world, id, bmc);
                if *unit.machine.disk() != Disk::Blank || !unit.bmc.as_ref().is_some_and(gone) {
                    laws::belief(&daemon.world, id, &unit.machine);
                }
            }
            self.bmcs.logins(id, unit.failed());
            if let Some(bmc) = &unit.bmc {
                self.bmcs.sessions(id, bmc);
                self.bmcs.volumes(id, bmc);
                let theirs =
                    self.busy.contains(id) || self.daemon.as_ref().is_none_or(|it| it.world.spec(id).is_some());
                self.bmcs.gone(id, bmc, !theirs);
            }
        }
        laws::bmc::strangers(look(&self.stranger).bmc());
        self.count_recovered();
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Request(id, effect) => self.request(&id, effect),
            Item::Answer(id, event) => self.machine(&id, event),
            Item::BmcBoots(id) => self.bmc_boots(&id),
            Item::StrangerBoots => self.stranger_boots(),
            Item::Effect(life, action, world, plan) if life == self.life => self.effect(action, &world, &plan),
            Item::Work(life, action, work) if life == self.life => self.work(action, work),
            Item::Report(life, action, result) if life == self.life => {
                self.say(|| format!("ended {} {:?}: {result:?}", action.kind(), action.host()));
                self.recorded(&action, &result);
                self.tell(&Event::Ended { action, result });
            }
            Item::Effect(..) | Item::Work(..) | Item::Report(..) => {}
            Item::Trouble => self.trouble(),
            Item::Restart => {
                if self.daemon.is_none() {
                    self.start(false);
                }
            }
            Item::Person => self.person(),
        }
    }

    /// Brings a fact; `None` when there is nobody to bring it to.
    fn tell(&mut self, event: &Event) -> Option<Verdict> {
        let daemon = self.daemon.as_mut()?;
        if let Event::Ended { result: Ok(Outcome::Fetched(Fetched::Loaded { revision, desired })), .. } = event {
            self.trees.insert(revision.clone(), desired.clone().unwrap());
        }
        let verdict = daemon.take(&mut self.journal, event, self.now);
        for (id, facts) in &*daemon.world.hosts {
            if let Some(installed) = &facts.installed {
                let known = self.oracle.acknowledged.entry(id.clone()).or_default();
                *known = (*known).max(installed.generation);
            }
        }
        self.check();
        Some(verdict)
    }

    fn machine(&mut self, id: &HostId, event: MachineEvent) {
        let Some(unit) = self.machines.get(id) else { return };
        let effects = look(unit).machine.step(self.now, event);
        for effect in effects {
            self.later(1, 200, Item::Request(id.clone(), effect));
        }
        self.check();
    }
}
