//! BMCs within the process that count, and a pool before them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rackwright::drive::JournalFact;
use rackwright::drive::bmc::transport::{Exchange, LocalBmc, NoResponse, Request, Response};
use rackwright::drive::bmc::{BmcPool, Endpoint, Limits, PoolConfig, Transport};
use rackwright::model::{Action, Event, Fault, HostId, Outcome, Secret, Time};
use rackwright::settings::BmcTls;
use rackwright::sim::bmc::{self, Bmc, BmcConfig};
use rackwright::sim::machine::{Machine, MachineConfig, Timings};
use rackwright::sim::tree::Vendor;

use crate::rig::plan::{Bench, rack};

/// Operations at once, and the most there ever were.
#[derive(Debug, Default)]
pub struct Count(AtomicUsize, AtomicUsize);

impl Count {
    fn enter(self: &Arc<Self>) -> Inside {
        let now = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.1.fetch_max(now, Ordering::SeqCst);
        Inside(self.clone())
    }

    pub fn most(&self) -> usize {
        self.1.load(Ordering::SeqCst)
    }
}

struct Inside(Arc<Count>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One BMC that counts.
pub struct Line {
    unit: Mutex<(Machine, Bmc)>,
    /// Requests to it at once.
    pub here: Arc<Count>,
    /// Requests at once to all of them.
    all: Arc<Count>,
    /// Sessions that were opened.
    opened: AtomicUsize,
    /// Sessions open at once, at most.
    pub sessions: AtomicUsize,
    /// Whether it still answers.
    pub dead: std::sync::atomic::AtomicBool,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a line")
    }
}

impl Line {
    pub fn with<T>(&self, look: impl FnOnce(&mut Bmc) -> T) -> T {
        look(&mut self.unit.lock().unwrap().1)
    }

    pub fn open(&self) -> usize {
        self.with(|bmc| bmc.open_sessions())
    }

    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

impl LocalBmc for Line {
    fn redfish(&self, request: Request) -> Exchange<'_> {
        Box::pin(async move {
            let _counted = (self.here.enter(), self.all.enter());
            tokio::time::sleep(Duration::from_millis(50)).await;
            if self.dead.load(Ordering::SeqCst) {
                return Err(NoResponse::Connection);
            }
            let request = bmc::Request {
                method: request.method.to_string(),
                path: request.path,
                headers: request.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                body: request.body.unwrap_or_default(),
            };
            let mut unit = self.unit.lock().unwrap();
            let (machine, bmc) = &mut *unit;
            let answer = bmc.handle(machine, Time(1_000), &request).response.expect("an answer");
            let login = request.method == "POST" && request.path.ends_with("/Sessions");
            self.opened.fetch_add(usize::from(login && answer.status == 201), Ordering::SeqCst);
            self.sessions.fetch_max(bmc.open_sessions(), Ordering::SeqCst);
            let headers = answer.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
            let body = answer.body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
            Ok(Response { status: answer.status, headers: headers.collect(), body })
        })
    }

    fn certificate(&self) -> String {
        "ab".repeat(32)
    }
}

/// A World, its BMCs, and what a pool has told.
pub struct Rig {
    pub bench: Bench,
    pub lines: BTreeMap<HostId, Arc<Line>>,
    pub all: Arc<Count>,
    pub told: Arc<Mutex<Vec<Event>>>,
}

impl Rig {
    /// This many hosts whose BMCs have been seen.
    pub fn new(hosts: usize, config: impl Fn(BmcConfig) -> BmcConfig) -> Rig {
        let mut bench = Bench::new(rack(hosts, 0, 0));
        let all = Arc::new(Count::default());
        let mut lines = BTreeMap::new();
        for number in 1..=hosts {
            bench.bmc_seen(number);
            let mac = bench.rack.hosts[number - 1].boot_mac;
            let machine = Machine::new(MachineConfig::new("hv", None, mac, Timings::real()));
            let bmc = Bmc::new(config(BmcConfig::new(Vendor::Hpe, "admin", Secret::new("secret"))));
            let line = Line {
                unit: Mutex::new((machine, bmc)),
                here: Arc::default(),
                all: all.clone(),
                opened: AtomicUsize::new(0),
                sessions: AtomicUsize::new(0),
                dead: false.into(),
            };
            lines.insert(bench.id(number), Arc::new(line));
        }
        Rig { bench, lines, all, told: Arc::default() }
    }

    pub fn line(&self) -> &Arc<Line> {
        &self.lines[&self.bench.id(1)]
    }

    /// A pool, as a daemon makes it when it starts.
    pub fn pool(&self, limits: Limits) -> Arc<BmcPool> {
        self.pool_in(limits, None)
    }

    /// The same, whose BMCs are locked in this state directory.
    pub fn pool_in(&self, limits: Limits, state_dir: Option<&Path>) -> Arc<BmcPool> {
        let (told, lines) = (self.told.clone(), self.lines.clone());
        let tell: JournalFact = Arc::new(move |event| {
            told.lock().unwrap().push(event);
            Box::pin(std::future::ready(()))
        });
        let transport = Box::new(move |host: &HostId, _: IpAddr| Transport::Local(lines[host].clone()));
        let state_dir = state_dir.map(Path::to_owned);
        let config = PoolConfig { limits, state_dir, transport, ..PoolConfig::new(BmcTls::Pin) };
        Arc::new(BmcPool::new(config, tell))
    }

    /// The first host's BMC, as a command by hand speaks to it beside a daemon with this state directory.
    pub fn by_hand(&self, state_dir: &Path) -> Endpoint {
        let host = self.bench.id(1);
        let (spec, facts) = (self.bench.world.spec(&host).unwrap(), self.bench.world.facts(&host).unwrap());
        Endpoint {
            transport: Transport::Local(self.line().clone()),
            state_dir: Some(state_dir.to_owned()),
            ..Endpoint::of(spec, facts, &BmcTls::Pin).unwrap()
        }
    }

    /// What was told since, as the journal and the World hear of it.
    pub fn hear(&mut self) -> Vec<Event> {
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        told.iter().for_each(|event| _ = self.bench.tell(event.clone()));
        told
    }

    /// Carries out an action as the daemon does: begun, done, ended.
    pub async fn act(&mut self, pool: &BmcPool, action: Action) -> Result<Outcome, Fault> {
        let world = self.bench.world.clone();
        self.bench.tell(Event::Started { action: action.clone() });
        let result = pool.perform(&action, &world).await;
        self.hear();
        self.bench.tell(Event::Ended { action, result: result.clone() });
        result
    }

    pub fn probe(&self, number: usize) -> Action {
        Action::Probe { host: self.bench.id(number) }
    }
}
