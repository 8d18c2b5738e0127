//! The rack: machines, network, repository and people around one daemon, on one virtual clock.

mod actions;
mod network;
mod people;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rackwright::model::desired::TOKEN_MARK;
use rackwright::model::{
    Action, Desired, Event, Fault, Fetched, Finding, HostId, ImageStamp, Inventory, LeaseOrigin, Mac, Outcome, Policy,
    PowerState, Protocol, Revision, Site, Subnet, Time, Token, Verdict, World,
};
use rackwright::plan::boot::{self, FileAnswer};
use rackwright::plan::report::{self, Files};
use rackwright::plan::{self, Plan, Step, lease};
use rackwright::serve::http::checkin::{Parsed, parse_checkin};
use rackwright::sim::fault::{Dice, Fault as Trouble, FaultPlan};
use rackwright::sim::machine::{
    Ack, BootOrder, DhcpClient, Effect, Firmware, Machine, MachineConfig, MachineEvent, Override, Power, Timings,
};

use super::daemon::{Daemon, Journal, Trees};
use super::laws::{self, Oracle};
use crate::racks::{Rack, load};

const HOUR: i64 = 3600 * 1000;
/// Troubles happen before this.
const TROUBLES: Time = Time(8 * HOUR);
/// Everything is completed before this.
const LIMIT: Time = Time(120 * HOUR);

/// What a run amounted to, so that a simulation in which nothing happens is noticed.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub hosts: u64,
    pub installs: u64,
    pub crashes: u64,
    pub journals_lost: u64,
    pub rejected_pushes: u64,
    pub races: u64,
    pub refused_claims: u64,
    pub refused_checkins: u64,
    pub commits: u64,
    pub events: u64,
}

impl Told {
    pub fn add(&mut self, other: &Told) {
        self.hosts += other.hosts;
        self.installs += other.installs;
        self.crashes += other.crashes;
        self.journals_lost += other.journals_lost;
        self.rejected_pushes += other.rejected_pushes;
        self.races += other.races;
        self.refused_claims += other.refused_claims;
        self.refused_checkins += other.refused_checkins;
        self.commits += other.commits;
        self.events += other.events;
    }
}

/// Something that happens at a moment.
enum Item {
    /// A machine's request arrives.
    Request(HostId, Effect),
    /// An answer arrives at a machine.
    Answer(HostId, MachineEvent),
    /// A BMC asks for an address.
    BmcBoots(HostId),
    /// An action takes effect, in the daemon's life of that number.
    Effect(u32, Action, Arc<World>, Arc<Plan>),
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
    machines: BTreeMap<HostId, Machine>,
    queue: BTreeMap<(Time, u64), Item>,
    sequence: u64,
    wake_at: Option<Time>,
    oracle: Oracle,
    told: Told,
}

fn policy() -> Policy {
    let address = Ipv4Addr::new(10, 255, 255, 1);
    let subnet = Subnet {
        net: "10.255.255.0/24".parse().unwrap(),
        first: Ipv4Addr::new(10, 255, 255, 100),
        last: Ipv4Addr::new(10, 255, 255, 199),
        gateway: None,
        dns: Vec::new(),
        domain: None,
        ntp: Vec::new(),
        lease_time: Duration::from_secs(3600),
    };
    let site = Site { address, http_port: 9999, tftp_port: 69, subnets: vec![subnet], leases_are_ours: true };
    Policy { site, concurrent_installs: 3, concurrent_bmc: 3, notify: true, ..Policy::default() }
}

impl Sim {
    pub fn new(seed: u64, aloud: bool) -> Sim {
        let mut dice = Dice::new(seed);
        let policy = Arc::new(policy());
        let rack = Rack::random(&mut dice);
        let desired = load(&rack, &policy.site, None, "0".repeat(40)).expect("the first revision is valid");
        let machines = machines(&rack, &mut dice, seed);
        let head = (desired.revision.clone().unwrap(), Ok(desired));
        let mut sim = Sim {
            aloud,
            dice,
            now: Time::from_secs(1_000_000_000),
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
            queue: BTreeMap::new(),
            sequence: 0,
            wake_at: None,
            oracle: Oracle::default(),
            told: Told::default(),
        };
        sim.told.hosts = sim.machines.len() as u64;
        sim.now = Time(0);
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

    pub fn run(mut self) -> Told {
        self.start(true);
        for id in self.machines.keys().cloned().collect::<Vec<_>>() {
            if self.rack.has_bmc(&id) {
                self.later(0, 600_000, Item::BmcBoots(id));
            } else {
                self.later(0, 600_000, Item::Answer(id, MachineEvent::Power(Power::On)));
            }
        }
        for _ in 0..self.below(12) {
            self.later(60_000, TROUBLES.0, Item::Trouble);
        }
        self.later(1_800_000, 1_800_001, Item::Person);
        self.until_settled();
        self.nobody_is_wiped_any_more();
        self.final_laws();
        self.told.commits = self.commits.len() as u64;
        self.told.installs = self.machines.values().map(|machine| machine.wipes.len() as u64).sum();
        self.told
    }

    fn until_settled(&mut self) {
        while !self.settled() {
            assert!(self.now < LIMIT, "not settled in time: {}", self.story());
            self.step();
        }
    }

    fn story(&self) -> String {
        let Some(daemon) = &self.daemon else { return "the daemon is down".into() };
        let plan = plan::plan(&daemon.world, self.now);
        let mut text = String::new();
        for host in plan.hosts {
            let machine = &self.machines[&host.id];
            text += &format!(
                "\n{} {} {:?} [{:?} {:?} {}]",
                host.id,
                host.state,
                host.step,
                machine.stage(),
                machine.disk(),
                machine.console
            );
        }
        for cluster in plan.clusters {
            text += &format!("\n{} {} {:?}", cluster.name, cluster.state, cluster.step);
        }
        text
    }

    fn settled(&mut self) -> bool {
        if self.now < TROUBLES {
            return false;
        }
        let Some(daemon) = &self.daemon else { return false };
        let in_force = daemon.world.desired.as_ref().and_then(|desired| desired.revision.as_ref());
        if self.rack.in_maintenance() || in_force != Some(&self.head.0) {
            return false;
        }
        let plan = plan::plan(&daemon.world, self.now);
        let done = plan.hosts.iter().all(|host| matches!(host.step, Step::Done { .. }))
            && plan.clusters.iter().all(|cluster| matches!(cluster.step, Step::Done { .. }));
        let git = &daemon.world.git;
        done && plan.actions.is_empty() && git.published == Some(plan.fingerprint) && git.publishing.is_none()
    }

    /// One moment: everything due at the next time at which anything is due.
    fn step(&mut self) {
        let deadlines = self.machines.values().filter_map(Machine::next_deadline);
        let next = deadlines.chain(self.queue.keys().next().map(|(at, _)| *at)).chain(self.wake_at).min();
        self.now = next.expect("something is always due").max(self.now);
        self.wake_at = self.wake_at.filter(|at| *at > self.now);
        if self.now > TROUBLES {
            self.machines.values_mut().for_each(|machine| machine.faults().stop());
        }
        let due: Vec<HostId> = self
            .machines
            .iter()
            .filter(|(_, machine)| machine.next_deadline().is_some_and(|at| at <= self.now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            self.machine(&id, MachineEvent::Timer);
        }
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let item = entry.remove();
            self.happen(item);
        }
        self.act();
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
        for (id, machine) in &self.machines {
            self.oracle.wipes(id, machine);
            if let Some(daemon) = &self.daemon {
                laws::belief(&daemon.world, id, machine);
            }
        }
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Request(id, effect) => self.request(&id, effect),
            Item::Answer(id, event) => self.machine(&id, event),
            Item::BmcBoots(id) => self.bmc_boots(&id),
            Item::Effect(life, action, world, plan) if life == self.life => self.effect(action, &world, &plan),
            Item::Report(life, action, result) if life == self.life => {
                self.say(|| format!("ended {} {:?}: {result:?}", action.kind(), action.host()));
                self.tell(&Event::Ended { action, result });
            }
            Item::Effect(..) | Item::Report(..) => {}
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
        let Some(machine) = self.machines.get_mut(id) else { return };
        let effects = machine.step(self.now, event);
        for effect in effects {
            self.later(1, 200, Item::Request(id.clone(), effect));
        }
        self.check();
    }

    /// Machines of a completed rack may boot from the network as often as they like.
    fn nobody_is_wiped_any_more(&mut self) {
        let wipes = |sim: &Sim| sim.machines.values().map(|machine| machine.wipes.len()).sum::<usize>();
        let before = wipes(self);
        for _ in 0..3 {
            for id in self.machines.keys().cloned().collect::<Vec<_>>() {
                self.machine(&id, MachineEvent::SetOverride(Some(Override { network: true, once: true })));
                self.start_by_hand(&id);
            }
            let until = Time(self.now.0 + HOUR);
            while self.now < until {
                self.step();
            }
        }
        assert_eq!(wipes(self), before, "a completed machine was wiped");
    }

    fn final_laws(&mut self) {
        self.until_settled();
        let daemon = self.daemon.as_ref().expect("the daemon is up");
        let again = self.journal.fold(&self.policy, &self.trees);
        assert!(again == daemon.world, "replay differs from what is live");
        let plan = plan::plan(&daemon.world, self.now);
        assert_eq!(self.status.as_ref(), Some(&report::report(&daemon.world, &plan)), "the status branch is behind");
        for (id, machine) in &self.machines {
            let facts = &daemon.world.hosts[id];
            let wanted = daemon.world.spec(id).unwrap().generation;
            assert_eq!(facts.installed.as_ref().map(|installed| installed.generation), Some(wanted), "{id}");
            assert!(machine.os_boots > 0, "{id} never booted its system");
        }
    }
}

fn machines(rack: &Rack, dice: &mut Dice, seed: u64) -> BTreeMap<HostId, Machine> {
    let mut machines = BTreeMap::new();
    for (index, host) in rack.hosts.iter().enumerate() {
        let troubles: Vec<Trouble> = Trouble::ALL.iter().copied().filter(|_| dice.roll(70)).collect();
        let each = 1 + (dice.draw() % 3) as u32;
        let config = MachineConfig {
            name: host.name.clone(),
            bmc_mac: host.bmc.then_some(host.bmc_mac),
            boot_mac: host.boot_mac,
            firmware: if dice.roll(128) { Firmware::Uefi } else { Firmware::Bios },
            order: if dice.roll(64) { BootOrder::NetworkFirst } else { BootOrder::DiskFirst },
            loads_ipxe: dice.roll(128),
            timings: Timings::real(),
            faults: FaultPlan::new(troubles, each, seed ^ (index as u64) << 32),
        };
        machines.insert(host.id(), Machine::new(config));
    }
    machines
}
