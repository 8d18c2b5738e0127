//! The rack: machines, network, repository and people around one daemon, on one virtual clock.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rackwright::model::desired::TOKEN_MARK;
use rackwright::model::{
    Action, Desired, Event, Fault, Fetched, Finding, HostId, Inventory, LeaseOrigin, Mac, Outcome, Policy, PowerState,
    Revision, Site, Subnet, Time, Token, Verdict, World,
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
            text += &format!("\n{} {} {:?} [{:?} {:?} {}]", host.id, host.state, host.step, machine.stage(), machine.disk(), machine.console);
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

    // ---- what the network answers -------------------------------------------------------------------------------

    fn request(&mut self, id: &HostId, effect: Effect) {
        self.say(|| format!("{id} asks {effect:?}"));
        let answer = match effect {
            Effect::Dhcp { id, mac, client, requested } => {
                MachineEvent::Dhcp { id, ack: self.dhcp(mac, client, requested) }
            }
            Effect::Tftp { id, from, name, .. } => MachineEvent::Tftp { id, result: self.tftp(from, &name) },
            Effect::Http { id, from, url } => MachineEvent::Http { id, result: self.http(from, &url) },
            Effect::CheckIn { id, from, uri, body } => {
                MachineEvent::Http { id, result: self.checkin(from, &uri, &body) }
            }
        };
        self.later(1, 200, Item::Answer(id.clone(), answer));
    }

    fn lease(&mut self, mac: Mac, requested: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let daemon = self.daemon.as_ref()?;
        let segment = self.policy.site.address;
        let (ip, subnet) = lease::choose(&daemon.world, mac, requested, segment, self.now).ok()?;
        let until = self.now + subnet.lease_time;
        let verdict = self.tell(&Event::Leased { mac, ip, until, by: LeaseOrigin::Own });
        (verdict == Some(Verdict::Ok)).then_some(ip)
    }

    fn dhcp(&mut self, mac: Mac, client: DhcpClient, requested: Option<Ipv4Addr>) -> Option<Ack> {
        let ip = self.lease(mac, requested)?;
        let firmware = match client {
            DhcpClient::Pxe(arch) => boot::Firmware { arch: Some(arch), pxe: true, ..boot::Firmware::default() },
            DhcpClient::Ipxe(arch) => boot::Firmware { arch: Some(arch), pxe: true, ipxe: true, http: false },
            DhcpClient::Http(arch) => boot::Firmware { arch: Some(arch), http: true, ..boot::Firmware::default() },
            DhcpClient::Os => boot::Firmware::default(),
        };
        let options = boot::dhcp(&self.daemon.as_ref()?.world, mac, firmware);
        Some(Ack { ip, next_server: self.policy.site.address, file: options.map(|options| options.file) })
    }

    fn bmc_boots(&mut self, id: &HostId) {
        let Some(mac) = self.machines[id].config().bmc_mac else { return };
        let had = self.machines[id].bmc_ip;
        match self.lease(mac, had) {
            Some(ip) => {
                self.machines.get_mut(id).unwrap().bmc_ip = Some(ip);
                self.later(1_700_000, 1_800_000, Item::BmcBoots(id.clone()));
            }
            None => self.later(10_000, 30_000, Item::BmcBoots(id.clone())),
        }
    }

    fn tftp(&mut self, from: Ipv4Addr, name: &str) -> Result<Vec<u8>, String> {
        let name = name.trim_start_matches('/');
        let Some(name) = name.strip_prefix("host/") else {
            return self.daemon.as_ref().map(|_| b"a file".to_vec()).ok_or_else(|| "timeout".into());
        };
        let mac = name.get(4..16).and_then(|hex| hex.parse().ok()).ok_or("no such file")?;
        self.file(from, mac, name)
    }

    fn http(&mut self, from: Ipv4Addr, url: &str) -> Result<(u16, Vec<u8>), String> {
        if self.daemon.is_none() {
            return Err("connection refused".into());
        }
        let path = url.splitn(4, '/').nth(3).ok_or("no path")?;
        if path.starts_with("assets/") {
            return Ok((200, b"an asset".to_vec()));
        }
        let mut parts = path.splitn(3, '/').skip(1);
        let (mac, name) = (parts.next().ok_or("no MAC")?, parts.next().ok_or("no name")?);
        let mac = mac.parse().map_err(|_| "bad MAC")?;
        let name = name.to_owned();
        Ok(self.file(from, mac, &name).map_or_else(|_| (404, Vec::new()), |body| (200, body)))
    }

    fn file(&mut self, from: Ipv4Addr, mac: Mac, name: &str) -> Result<Vec<u8>, String> {
        let daemon = self.daemon.as_ref().ok_or("timeout")?;
        match boot::file(&daemon.world, mac, name, IpAddr::V4(from)) {
            FileAnswer::Body(body) => Ok(body.as_bytes().to_vec()),
            FileAnswer::NotFound => Err("no such file".into()),
            FileAnswer::Refused(why) => Err(why),
            FileAnswer::Claim { mac, body } => self.claim(from, mac, &body),
        }
    }

    fn claim(&mut self, from: Ipv4Addr, mac: Mac, body: &str) -> Result<Vec<u8>, String> {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&self.dice.draw().to_be_bytes());
        octets[8..].copy_from_slice(&self.dice.draw().to_be_bytes());
        let token = Token::from_random(octets);
        let peer = SocketAddr::from((from, 2000));
        match self.tell(&Event::Claimed { mac, token: token.id(), peer }) {
            Some(Verdict::Ok) => {
                let world = &self.daemon.as_ref().unwrap().world;
                let claimed = world.hosts.iter().find_map(|(id, facts)| Some((id, facts.claim.as_ref()?)).filter(|(_, claim)| claim.token == token.id()));
                let (id, claim) = claimed.expect("a claim that was granted is known");
                self.oracle.claims.insert(token.id(), (id.clone(), claim.generation));
                Ok(body.replace(TOKEN_MARK, token.reveal()).into_bytes())
            }
            Some(Verdict::Refused(why)) => {
                self.told.refused_claims += 1;
                Err(why)
            }
            None => Err("timeout".into()),
        }
    }

    fn checkin(&mut self, from: Ipv4Addr, uri: &str, body: &serde_json::Value) -> Result<(u16, Vec<u8>), String> {
        if self.daemon.is_none() {
            return Err("connection refused".into());
        }
        let token = uri.split("/checkin/host/").nth(1);
        let parsed = parse_checkin(body.to_string().as_bytes(), token, IpAddr::V4(from));
        let Parsed::Report(report) = parsed? else { return Ok((409, Vec::new())) };
        let event = Event::CheckedIn(report);
        match self.tell(&event) {
            Some(Verdict::Ok) => Ok((200, Vec::new())),
            Some(Verdict::Refused(why)) => {
                self.say(|| format!("refused: {why}"));
                self.told.refused_checkins += 1;
                Ok((409, Vec::new()))
            }
            None => Err("timeout".into()),
        }
    }

    // ---- what actions do ----------------------------------------------------------------------------------------

    fn effect(&mut self, action: Action, world: &Arc<World>, plan: &Arc<Plan>) {
        let result = match &action {
            Action::Adopt => self.adopt(),
            Action::Fetch => Ok(Outcome::Fetched(self.fetch(world))),
            Action::Publish { moves_upto, .. } => self.publish(world, plan, *moves_upto),
            Action::Notify { .. } => Ok(Outcome::Notified),
            Action::Run { .. } if self.now < TROUBLES && self.dice.roll(60) => {
                Err(Fault::transient("Unreachable", "the hook's server does not answer"))
            }
            Action::Run { .. } => Ok(Outcome::TaskDone),
            Action::Probe { host } | Action::Prepare { host } | Action::Arm { host, .. }
            | Action::PowerCycle { host } | Action::Finish { host, .. } => self.bmc(&host.clone(), &action),
        };
        let slow = action.host().is_some_and(|host| {
            self.machines.get_mut(host).is_some_and(|machine| machine.faults().fires(Trouble::BmcSlow))
        });
        let (life, delay) = (self.life, if slow { 100_000 } else { 500 });
        self.later(delay, delay + 5_000, Item::Report(life, action, result));
    }

    fn bmc(&mut self, id: &HostId, action: &Action) -> Result<Outcome, Fault> {
        if !self.rack.has_bmc(id) {
            return Ok(Outcome::Finished(PowerState::Unknown));
        }
        let machine = self.machines.get_mut(id).expect("a machine for every host");
        if machine.faults().fires(Trouble::BmcBusy) {
            return Err(Fault::transient("BmcBusy", "the BMC is busy"));
        }
        let broken = machine.faults().fires(Trouble::BmcError) || machine.faults().fires(Trouble::BmcLostAnswer);
        let inventory = Inventory {
            serial: Some(format!("S-{}", id.host)),
            boot_mac: Some(machine.config().boot_mac),
            power: Some(machine.power()),
            ..Inventory::default()
        };
        let start = if machine.power() == PowerState::Off { Power::On } else { Power::ForceRestart };
        let outcome = match action {
            Action::Probe { .. } => Outcome::Probed { inventory, pin: Some("aa".repeat(32)) },
            Action::Prepare { .. } => Outcome::Prepared,
            Action::Arm { .. } => {
                if machine.faults().fires(Trouble::IgnoresBootOverride) {
                    return Err(Fault::transient("BootOverrideNotKept", "the override does not read back"));
                }
                self.machine(id, MachineEvent::SetOverride(Some(Override { network: true, once: true })));
                self.machine(id, MachineEvent::Power(start));
                if broken {
                    return Err(Fault::transient(Fault::OUTCOME_UNKNOWN, "no answer"));
                }
                Outcome::Armed
            }
            Action::PowerCycle { .. } => {
                self.machine(id, MachineEvent::SetOverride(None));
                self.machine(id, MachineEvent::Power(start));
                Outcome::PowerCycled
            }
            Action::Finish { power_off: true, .. } => {
                self.machine(id, MachineEvent::Power(Power::ForceOff));
                Outcome::Finished(PowerState::Off)
            }
            _ => Outcome::Finished(PowerState::On),
        };
        if broken { Err(Fault::transient("BmcError", "no answer")) } else { Ok(outcome) }
    }

    fn adopt(&mut self) -> Result<Outcome, Fault> {
        match &self.status {
            None => Ok(Outcome::Adopted(None)),
            Some(files) => Ok(Outcome::Adopted(Some(report::adoption(files).expect("our own status is readable")))),
        }
    }

    fn fetch(&mut self, world: &World) -> Fetched {
        let (head, loaded) = &self.head;
        let rejected = world.rejected.as_ref().map(|rejected| &rejected.revision);
        let in_force = world.desired.as_ref().and_then(|desired| desired.revision.as_ref());
        if rejected.or(in_force) == Some(head) {
            return Fetched::Unchanged;
        }
        match loaded {
            Ok(desired) => Fetched::Loaded { revision: head.clone(), desired: Some(desired.clone()) },
            Err(findings) => Fetched::Rejected { revision: head.clone(), findings: findings.clone() },
        }
    }

    fn publish(&mut self, world: &Arc<World>, plan: &Arc<Plan>, moves_upto: u64) -> Result<Outcome, Fault> {
        let raced = self.now < TROUBLES && self.dice.roll(30);
        let lost = raced && self.dice.roll(128);
        if raced {
            self.told.races += 1;
        }
        if !raced || lost {
            let carried = self.status.as_ref().map_or(0, |it| report::sequence(it.get("rack.yaml").map(String::as_str)));
            let after = if world.git.publish_failure.is_some() { carried.max(world.moves.published) } else { world.moves.published };
            let files = report::report(world, plan);
            if self.status.as_ref() != Some(&files) {
                self.commits.push(report::commit_message(world, after, moves_upto));
                self.status = Some(files);
            }
        }
        match raced {
            true => Err(Fault::transient("Unreachable", "the forge does not answer")),
            false => Ok(Outcome::Published(None)),
        }
    }

    // ---- what people do -----------------------------------------------------------------------------------------

    fn start(&mut self, first_run: bool) {
        let first_run = first_run || (self.journal.is_empty() && self.status.is_none());
        self.life += 1;
        self.say(|| format!("the daemon starts, life {}", self.life));
        self.daemon = Some(Daemon::start(&mut self.journal, &self.policy, &self.trees, self.now, first_run));
    }

    fn crash(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            let again = self.journal.fold(&self.policy, &self.trees);
            assert!(again == daemon.world, "replay differs from what was live");
            self.told.crashes += 1;
            self.life += 1;
            self.wake_at = None;
            self.later(1_000, 900_000, Item::Restart);
        }
    }

    fn push(&mut self) {
        let previous = self.daemon.as_ref().and_then(|daemon| daemon.world.desired.clone());
        let previous = previous.or_else(|| self.head.1.as_ref().ok().cloned());
        let revision = format!("{:040x}", u128::from(self.dice.draw()));
        let loaded = load(&self.rack, &self.policy.site, previous.as_deref(), revision.clone());
        self.say(|| format!("push {revision}: {:?}", loaded.as_ref().err()));
        if loaded.is_err() {
            self.told.rejected_pushes += 1;
        }
        self.head = (Revision::new(&revision), loaded);
        self.tell(&Event::Woken);
    }

    fn trouble(&mut self) {
        let ids: Vec<HostId> = self.machines.keys().cloned().collect();
        let id = ids[self.below(ids.len() as u64) as usize].clone();
        match self.below(10) {
            0 | 1 => self.crash(),
            2 => {
                self.crash();
                self.say(|| "the journal is lost".into());
                self.journal = Journal::default();
                self.told.journals_lost += 1;
            }
            3 | 4 => {
                self.rack.raise_generation(&id);
                self.push();
            }
            5 => {
                self.rack.change_spec(&id);
                self.push();
            }
            6 => {
                let good = self.rack.clone();
                self.rack.break_it();
                self.push();
                self.rack = good;
                let at = self.now.0 + 3_600_000;
                self.sequence += 1;
                // Somebody repairs it within the hour.
                self.queue.insert((Time(at), self.sequence), Item::Person);
            }
            7 => {
                self.rack.toggle_maintenance(&id);
                self.push();
            }
            8 => self.machine(&id, MachineEvent::Power(Power::ForceRestart)),
            _ => {
                self.machine(&id, MachineEvent::Power(Power::ForceOff));
                self.later(1_000, 60_000, Item::Answer(id, MachineEvent::Power(Power::On)));
            }
        }
    }

    /// Looks at the rack every half hour, reads what it says, and does that.
    fn person(&mut self) {
        self.later(1_800_000, 1_800_001, Item::Person);
        let Some(daemon) = &self.daemon else { return };
        let plan = plan::plan(&daemon.world, self.now);
        let mut news = self.head.1.is_err() || daemon.world.rejected.is_some();
        if self.now > TROUBLES {
            news |= self.rack.end_maintenance();
        }
        for host in plan.hosts {
            let bmc = self.rack.has_bmc(&host.id);
            let reason = match &host.step {
                Step::Stalled { reason, .. } => reason.as_str(),
                Step::Wait { reason, .. } if !bmc => reason,
                _ => continue,
            };
            match reason {
                "JournalLost" => {
                    self.rack.raise_generation(&host.id);
                    news = true;
                }
                "NetworkBoot" | "PowerOnByHand" | "InstallOverdue" | "NotSeen" if !bmc => {
                    self.machine(&host.id, MachineEvent::SetOverride(Some(Override { network: true, once: true })));
                    self.start_by_hand(&host.id);
                }
                "FirstBootOverdue" if !bmc => self.start_by_hand(&host.id),
                _ => {}
            }
        }
        if news {
            self.push();
        }
    }

    fn start_by_hand(&mut self, id: &HostId) {
        let start = if self.machines[id].power() == PowerState::Off { Power::On } else { Power::ForceRestart };
        self.machine(id, MachineEvent::Power(start));
    }

    // ---- at the end ---------------------------------------------------------------------------------------------

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
