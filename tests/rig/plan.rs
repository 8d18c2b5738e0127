//! A World to put into situations: facts in, plan out, all by hand.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rackwright::model::{
    Action, CheckIn, CheckInAction, Desired, Event, Fault, Fetched, HostId, HostState, Inventory, LeaseOrigin, Mac,
    Outcome, Policy, PowerState, Protocol, Revision, Site, StatusBranch, Subnet, Time, Token, TokenId, Verdict, World,
};
use rackwright::plan::{self, Plan, Step, check, reduce, report};

use crate::rig::racks::{Cluster, Host, Rack, Wishes, load};

pub struct Bench {
    pub world: World,
    pub rack: Rack,
    pub now: Time,
    pub journal: Vec<(Time, Event)>,
    revisions: u32,
}

/// A host key.
pub const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

pub fn policy() -> Policy {
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
    let address = Ipv4Addr::new(10, 255, 255, 1);
    let site = Site { address, http_port: 9999, tftp_port: 69, subnets: vec![subnet], leases_are_ours: true };
    Policy { site, ..Policy::default() }
}

/// One cluster of `with` hosts with BMC, then `without` hosts without.
pub fn rack(with: usize, without: usize, hooks: usize) -> Rack {
    let host = |number: usize| Host {
        cluster: "c1".into(),
        name: format!("hv{}", number + 1),
        bmc: number < with,
        bmc_mac: Mac([0x52, 0x54, 0, 0xaa, 0, number as u8]),
        boot_mac: Mac([0x52, 0x54, 0, 0xbb, 0, number as u8]),
        generation: 1,
        maintenance: false,
        options: 0,
        password: "secret".into(),
        wishes: Wishes::default(),
        hidden: false,
    };
    let cluster = Cluster::plain("c1", hooks, true);
    Rack::of(vec![cluster], (0..with + without).map(host).collect())
}

impl Bench {
    /// A bench whose rack is in force and may be armed; nothing has been seen yet.
    pub fn new(rack: Rack) -> Bench {
        let mut bench = Bench::bare(rack);
        bench.tell(Event::FirstRun);
        bench.push();
        bench
    }

    /// A bench on which nothing has happened but a look at a status branch that is not there.
    pub fn bare(rack: Rack) -> Bench {
        let world = World::new(Arc::new(policy()));
        let mut bench = Bench { world, rack, now: Time::from_secs(1_000_000), journal: Vec::new(), revisions: 0 };
        bench.end(Action::Adopt, Ok(Outcome::Adopted(None)));
        bench
    }

    pub fn id(&self, number: usize) -> HostId {
        self.rack.hosts[number - 1].id()
    }

    pub fn tell(&mut self, event: Event) -> Verdict {
        self.journal.push((self.now, event.clone()));
        reduce(&mut self.world, &event, self.now)
    }

    pub fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    pub fn end(&mut self, action: Action, result: Result<Outcome, Fault>) {
        self.tell(Event::Started { action: action.clone() });
        self.tell(Event::Ended { action, result });
    }

    /// Pushes the rack as it is now.
    pub fn push(&mut self) {
        self.revisions += 1;
        let previous = self.world.desired.clone();
        let revision = format!("{:040x}", self.revisions);
        let site = self.world.policy.site.clone();
        let desired = load(&self.rack, &site, previous.as_deref(), revision.clone()).expect("a valid revision");
        self.put_in_force(&revision, desired);
    }

    pub fn put_in_force(&mut self, revision: &str, desired: Arc<Desired>) {
        let fetched = Fetched::Loaded { revision: Revision::new(revision), desired: Some(desired) };
        self.end(Action::Fetch, Ok(Outcome::Fetched(fetched)));
    }

    /// The plan, lawful as every plan.
    pub fn plan(&self) -> Plan {
        let plan = plan::plan(&self.world, self.now);
        assert_eq!(check(&self.world, &plan), Vec::<String>::new());
        assert_eq!(plan, plan::plan(&self.world, self.now), "the same World and time give the same plan");
        plan
    }

    /// The plan's actions on hosts and clusters (not on the repository).
    pub fn actions(&self) -> Vec<Action> {
        let rack_wide = |it: &Action| {
            matches!(it, Action::Fetch | Action::Publish { .. } | Action::Notify { .. } | Action::Note { .. })
        };
        self.plan().actions.into_iter().filter(|action| !rack_wide(action)).collect()
    }

    pub fn state(&self, number: usize) -> HostState {
        self.plan().host(&self.id(number)).unwrap().state
    }

    pub fn step(&self, number: usize) -> Step {
        self.plan().host(&self.id(number)).unwrap().step.clone()
    }

    /// The word for machines of a host's step.
    pub fn reason(&self, number: usize) -> String {
        match self.step(number) {
            Step::Act { reason, .. } | Step::Wait { reason, .. } => reason.to_string(),
            Step::Stalled { reason, .. } => reason.to_string(),
            Step::Done { .. } => "Done".to_owned(),
        }
    }

    pub fn bmc_seen(&mut self, number: usize) {
        let (mac, ip) = (self.rack.hosts[number - 1].bmc_mac, Ipv4Addr::new(10, 255, 255, 100 + number as u8));
        self.lease(mac, ip);
    }

    pub fn host_ip(number: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 255, 255, 150 + number as u8)
    }

    pub fn host_seen(&mut self, number: usize) {
        self.lease(self.rack.hosts[number - 1].boot_mac, Bench::host_ip(number));
    }

    fn lease(&mut self, mac: Mac, ip: Ipv4Addr) {
        let until = self.now + Duration::from_secs(3600);
        let verdict = self.tell(Event::Leased { mac, ip, until, by: LeaseOrigin::Own });
        assert_eq!(verdict, Verdict::Ok);
    }

    /// Ends a host's action well.
    pub fn well(&mut self, action: Action) {
        let outcome = match &action {
            Action::Probe { .. } => Outcome::Probed {
                inventory: Inventory::default(),
                pin: Some("ab".repeat(32)),
                protocol: Protocol::Redfish,
            },
            Action::Prepare { .. } => Outcome::Prepared(Default::default()),
            Action::Arm { .. } => Outcome::Armed,
            Action::PowerCycle { .. } => Outcome::PowerCycled,
            Action::Finish { .. } => Outcome::Finished(PowerState::Off),
            Action::Release { .. } => Outcome::Released,
            Action::Run { .. } => Outcome::TaskDone,
            Action::Reach { .. } => Outcome::Reached { key: KEY.into(), boot: "first".into() },
            Action::Publish { .. } => Outcome::Published(None),
            other => panic!("{other:?}"),
        };
        self.end(action, Ok(outcome));
    }

    /// Publishes what there is to publish.
    pub fn publish(&mut self) {
        self.wait(5);
        let publish = self.plan().actions.into_iter().find(|action| matches!(action, Action::Publish { .. }));
        self.well(publish.expect("something to publish"));
    }

    /// Takes a host with BMC to `pxe-booting`, armed.
    pub fn arm(&mut self, number: usize) {
        let host = self.id(number);
        if self.world.facts(&host).is_none_or(|facts| facts.bmc_seen.is_none()) {
            self.bmc_seen(number);
        }
        if self.state(number) == HostState::Characterizing {
            self.well(Action::Probe { host: host.clone() });
        }
        self.well(Action::Prepare { host: host.clone(), apply: true });
        self.publish();
        let generation = self.world.spec(&host).unwrap().generation;
        assert!(self.actions().contains(&Action::Arm { host: host.clone(), generation }), "{:?}", self.step(number));
        self.well(Action::Arm { host, generation });
    }

    pub fn token(seed: u8) -> Token {
        Token::from_random([seed; 16])
    }

    pub fn claim(&mut self, number: usize, seed: u8) -> Verdict {
        self.host_seen(number);
        let mac = self.rack.hosts[number - 1].boot_mac;
        let peer = (Bench::host_ip(number), 1024).into();
        self.tell(Event::Claimed { mac, token: Bench::token(seed).id(), peer })
    }

    /// A check-in as the machine itself would make it.
    pub fn checkin(&self, number: usize, action: CheckInAction, token: Option<TokenId>) -> CheckIn {
        let host = &self.rack.hosts[number - 1];
        CheckIn {
            token,
            action,
            hostname: Some(host.name.clone()),
            host_mac: Some(host.boot_mac),
            host_ip: Some(IpAddr::V4(Bench::host_ip(number))),
            bmc_mac: host.bmc.then_some(host.bmc_mac),
            bmc_ip: None,
            ssh_host_key: None,
            source: IpAddr::V4(Bench::host_ip(number)),
        }
    }

    pub fn report(&mut self, number: usize, action: CheckInAction, seed: u8) -> Verdict {
        let checkin = self.checkin(number, action, Some(Bench::token(seed).id()));
        self.tell(Event::CheckedIn(checkin))
    }

    /// Installs a host that is armed (or has no BMC), up to its first boot.
    pub fn install(&mut self, number: usize, seed: u8) {
        assert_eq!(self.claim(number, seed), Verdict::Ok);
        for action in [CheckInAction::InstallStart, CheckInAction::InstallComplete, CheckInAction::BootInitial] {
            assert_eq!(self.report(number, action, seed), Verdict::Ok);
        }
    }

    /// A daemon that lost its journal and finds this one's status branch.
    pub fn amnesiac(&self) -> Bench {
        let files = report::report(&self.world, &self.plan());
        let branch = StatusBranch::read(&files).expect("our own status is readable");
        let mut again = Bench::bare(self.rack.clone());
        again.now = self.now;
        again.world = World::new(Arc::new(policy()));
        again.end(Action::Adopt, Ok(Outcome::Adopted(Some(branch))));
        again.put_in_force("same", self.world.desired.clone().unwrap());
        again
    }

    /// A cluster of one host with BMC, completed.
    pub fn completed() -> Bench {
        let mut bench = Bench::new(rack(1, 0, 0));
        bench.arm(1);
        bench.install(1, 1);
        bench.well(Action::Finish { host: bench.id(1), power_off: true });
        assert_eq!(bench.reason(1), "Done");
        bench
    }
}
