//! The line between the daemon's driver and the simulated BMCs, on tokio's paused clock: what the driver sends takes
//! time, and the daemon may crash while it waits for the answer.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rackwright::drive::bmc::Transport;
use rackwright::drive::bmc::transport::{IpmiCall, LocalBmc, NoResponse, Request, Response};
use rackwright::drive::process::Output;
use rackwright::model::{Event, Secret, Time};
use rackwright::sim::bmc::{self, Bmc, FailedLogin};
use rackwright::sim::fault::Dice;
use rackwright::sim::ipmi::{self, IpmiBmc};
use rackwright::sim::machine::Machine;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep};

/// A machine with its BMC.
pub struct Unit {
    pub machine: Machine,
    /// Its BMC, if it speaks Redfish.
    pub bmc: Option<Bmc>,
    /// Its BMC, if it speaks IPMI.
    pub ipmi: Option<IpmiBmc>,
    /// Logins over IPMI that were refused.
    pub refused: Vec<FailedLogin>,
}

/// Many look at it: the rack's clock, and the driver.
pub type Shared = Arc<Mutex<Unit>>;

pub fn look(unit: &Shared) -> MutexGuard<'_, Unit> {
    unit.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Unit {
    pub fn bmc(&self) -> &Bmc {
        self.bmc.as_ref().expect("a host with a BMC")
    }

    /// Logins that were refused, whatever the protocol.
    pub fn failed(&self) -> &[FailedLogin] {
        self.bmc.as_ref().map_or(&self.refused, |bmc| &bmc.tally.failed)
    }
}

type Exchange<'a> = Pin<Box<dyn Future<Output = Result<Response, NoResponse>> + Send + 'a>>;

/// How long the driver waits for an answer (`Timeouts::request`).
const PATIENCE: Duration = Duration::from_secs(15);

/// What all lines share.
pub struct Hub {
    origin: Instant,
    /// Something happened that the rack's clock does not know of.
    pub poke: Notify,
    /// The daemon crashes when that many more requests have been heard; negative: it does not.
    fuse: AtomicI64,
    crash: AtomicBool,
    /// Facts on their way to the journal.
    told: Mutex<Vec<(Event, oneshot::Sender<()>)>>,
    /// Logins that were answered when the driver no longer listened: the session, or nothing for a refusal.
    unheard: Mutex<Vec<(IpAddr, Option<String>)>>,
    lines: Mutex<BTreeMap<IpAddr, Arc<Line>>>,
}

impl Hub {
    pub fn new() -> Arc<Hub> {
        Arc::new(Hub {
            origin: Instant::now(),
            poke: Notify::new(),
            fuse: AtomicI64::new(-1),
            crash: AtomicBool::new(false),
            told: Mutex::default(),
            unheard: Mutex::default(),
            lines: Mutex::default(),
        })
    }

    pub fn now(&self) -> Time {
        Time(self.origin.elapsed().as_millis() as i64)
    }

    pub fn at(&self, time: Time) -> Instant {
        self.origin + time.since(Time(0))
    }

    /// The daemon crashes when this many more requests have reached BMCs.
    pub fn light(&self, requests: i64) {
        self.fuse.store(requests, Ordering::Relaxed);
    }

    /// Whether it is time to crash.
    pub fn crashes(&self) -> bool {
        self.crash.swap(false, Ordering::Relaxed)
    }

    fn burn(&self) -> bool {
        let burnt = self.fuse.load(Ordering::Relaxed) >= 0 && self.fuse.fetch_sub(1, Ordering::Relaxed) == 0;
        if burnt {
            self.crash.store(true, Ordering::Relaxed);
        }
        burnt
    }

    /// Takes a fact; what is returned resolves when it is durable.
    pub async fn tell(&self, event: Event) {
        let (done, durable) = oneshot::channel();
        self.told.lock().unwrap().push((event, done));
        self.poke.notify_one();
        // Nobody answers any more after a crash, and by then nobody asks.
        let _ = durable.await;
    }

    pub fn facts(&self) -> Vec<(Event, oneshot::Sender<()>)> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    pub fn unheard(&self) -> Vec<(IpAddr, Option<String>)> {
        std::mem::take(&mut self.unheard.lock().unwrap())
    }

    /// Whoever holds this address has this BMC.
    pub fn connect(self: &Arc<Self>, address: IpAddr, unit: &Shared, seed: u64) {
        let line = Line { hub: self.clone(), unit: unit.clone(), address, dice: Mutex::new(Dice::new(seed)) };
        self.lines.lock().unwrap().insert(address, Arc::new(line));
    }

    pub fn disconnect(&self, address: IpAddr) {
        self.lines.lock().unwrap().remove(&address);
    }

    pub fn via(&self, address: IpAddr) -> Transport {
        match self.lines.lock().unwrap().get(&address) {
            Some(line) => Transport::Local(line.clone()),
            None => Transport::Local(Arc::new(Nobody)),
        }
    }
}

/// An address at which nobody is.
#[derive(Debug)]
struct Nobody;

impl LocalBmc for Nobody {
    fn redfish(&self, _: Request) -> Exchange<'_> {
        Box::pin(async {
            sleep(PATIENCE).await;
            Err(NoResponse::Timeout)
        })
    }

    fn certificate(&self) -> String {
        fingerprint("nobody", 0)
    }
}

pub fn fingerprint(whose: &str, number: u32) -> String {
    hex::encode(Sha256::digest(format!("{whose} {number}")))
}

/// The way to one BMC.
pub struct Line {
    hub: Arc<Hub>,
    unit: Shared,
    address: IpAddr,
    dice: Mutex<Dice>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line to {}", self.address)
    }
}

impl Line {
    fn latency(&self) -> Duration {
        Duration::from_millis(5 + self.dice.lock().unwrap().draw() % 150)
    }

    /// A call of the program reaches the BMC.
    fn call(&self, args: &[String], password: &Secret) -> Option<ipmi::Answer> {
        let mut unit = look(&self.unit);
        let now = self.hub.now();
        let Unit { machine, ipmi, refused, .. } = &mut *unit;
        let ipmi = ipmi.as_mut()?;
        let before = ipmi.failed_logins;
        let answer = ipmi.handle(machine, now, args, password.reveal());
        if ipmi.failed_logins > before {
            let username = args.iter().skip_while(|arg| *arg != "-U").nth(1).cloned().unwrap_or_default();
            refused.push(FailedLogin { at: now, username, password: password.clone() });
        }
        Some(answer)
    }

    /// The request reaches the BMC.
    fn hand_over(&self, request: Request) -> (bmc::Answer, Option<Option<String>>) {
        let request = bmc::Request {
            method: request.method.to_string(),
            path: request.path,
            headers: request.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            body: request.body.unwrap_or_default(),
        };
        let mut unit = look(&self.unit);
        let Unit { machine, bmc, .. } = &mut *unit;
        let bmc = bmc.as_mut().expect("a line leads to a BMC");
        let answer = bmc.handle(machine, self.hub.now(), &request);
        let status = answer.response.as_ref().map_or(0, |response| response.status);
        let login = (request.method == "POST" && request.path.contains("/Sessions")) || status == 401;
        (answer, login.then(|| bmc.session_uris().last().filter(|_| status == 201)))
    }
}

impl LocalBmc for Line {
    fn redfish(&self, request: Request) -> Exchange<'_> {
        Box::pin(async move {
            sleep(self.latency()).await;
            if look(&self.unit).bmc.is_none() {
                return Err(NoResponse::Connection);
            }
            let (answer, login) = self.hand_over(request);
            self.hub.poke.notify_one();
            let late = answer.delay > PATIENCE;
            if let Some(session) = login.filter(|_| late) {
                self.hub.unheard.lock().unwrap().push((self.address, session));
            }
            if self.hub.burn() {
                std::future::pending::<()>().await;
            }
            sleep(answer.delay.min(PATIENCE) + self.latency()).await;
            match answer.response {
                _ if late => Err(NoResponse::Timeout),
                None => Err(NoResponse::Connection),
                Some(response) => Ok(heard(response)),
            }
        })
    }

    fn certificate(&self) -> String {
        let unit = look(&self.unit);
        fingerprint(&unit.machine.config().name, unit.bmc.as_ref().map_or(0, Bmc::certificate))
    }

    fn ipmitool<'a>(&'a self, args: &'a [String], password: &'a Secret) -> IpmiCall<'a> {
        Box::pin(async move {
            sleep(self.latency()).await;
            let answer = self.call(args, password);
            self.hub.poke.notify_one();
            if self.hub.burn() {
                std::future::pending::<()>().await;
            }
            let Some(answer) = answer else {
                return std::future::pending().await;
            };
            sleep(answer.delay + self.latency()).await;
            let ipmi::Said { status, stdout, stderr } = answer.said;
            Ok(Output { status: Some(status), stdout: stdout.into_bytes(), stderr, truncated: false })
        })
    }
}

fn heard(response: bmc::Response) -> Response {
    let headers = response.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    let body = match response.body {
        Some(serde_json::Value::String(page)) => page.into_bytes(),
        Some(body) => serde_json::to_vec(&body).expect("JSON"),
        None => Vec::new(),
    };
    Response { status: response.status, headers: headers.collect(), body }
}
