//! A Redfish service on loopback, over real TLS: a simulated BMC, or whatever a test puts in its place.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rackwright::drive::bmc::Endpoint;
use rackwright::model::{Fault, FaultClass, Mac, Secret, Time};
use rackwright::sim::bmc::{Bmc, BmcConfig, Request, Response};
use rackwright::sim::fault::FaultPlan;
use rackwright::sim::https::{self, Identity, Stop};
use rackwright::sim::machine::{BootOrder, Firmware, Machine, MachineConfig, Timings};
use rackwright::sim::tree::Vendor;
use serde_json::Value;

use crate::rig::bmc::{PASSWORD, target};

pub const BOOT_MAC: Mac = Mac([0x52, 0x54, 0, 0xaa, 0xbb, 0x11]);

/// What was asked, and how many at once at most.
#[derive(Default)]
pub struct Log {
    pub requests: Mutex<Vec<Request>>,
    now: AtomicUsize,
    pub most: AtomicUsize,
}

pub struct Rig {
    pub state: Arc<Mutex<(Bmc, Machine)>>,
    pub target: Endpoint,
    pub identity: Identity,
    pub log: Arc<Log>,
    _stop: Stop,
    pub server: tokio::task::JoinSet<()>,
}

pub fn machine(faults: FaultPlan) -> Machine {
    Machine::new(MachineConfig {
        name: "hv1".into(),
        bmc_mac: Some(Mac([0x52, 0x54, 0, 0xaa, 0xbb, 1])),
        boot_mac: BOOT_MAC,
        firmware: Firmware::Uefi,
        order: BootOrder::DiskFirst,
        loads_ipxe: false,
        timings: Timings::real(),
        faults,
    })
}

pub fn config(vendor: Vendor) -> BmcConfig {
    BmcConfig::new(vendor, "root", Secret::new(PASSWORD))
}

/// A service that answers from a simulated BMC, unless `instead` has an answer of its own.
pub fn rig_with(
    vendor: Vendor,
    faults: FaultPlan,
    instead: impl Fn(&Request) -> Option<Response> + Clone + Send + Sync + 'static,
) -> Rig {
    rig_of(config(vendor), faults, instead)
}

pub fn rig_of(
    config: BmcConfig,
    faults: FaultPlan,
    instead: impl Fn(&Request) -> Option<Response> + Clone + Send + Sync + 'static,
) -> Rig {
    let state = Arc::new(Mutex::new((Bmc::new(config), machine(faults))));
    let identity = Identity::generate("bmc").unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let log = Arc::new(Log::default());
    let (shared, seen) = (state.clone(), log.clone());
    let answer = move |request: Request| {
        let (shared, instead, seen) = (shared.clone(), instead.clone(), seen.clone());
        async move {
            let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
            seen.most.fetch_max(now, Ordering::SeqCst);
            // Whoever else has something to ask gets the chance to.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            seen.requests.lock().unwrap().push(request.clone());
            let answer = match instead(&request) {
                Some(response) => (Duration::ZERO, Some(response)),
                None => {
                    let mut guard = shared.lock().unwrap();
                    let (bmc, machine) = &mut *guard;
                    let answer = bmc.handle(machine, Time(0), &request);
                    (answer.delay, answer.response)
                }
            };
            seen.now.fetch_sub(1, Ordering::SeqCst);
            answer
        }
    };
    let (stop, serving) = https::serve(socket, &identity, answer).unwrap();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move { serving.await.unwrap() });
    Rig { state, target: target(port), identity, log, _stop: stop, server }
}

pub fn rig(vendor: Vendor) -> Rig {
    rig_with(vendor, FaultPlan::none(), |_| None)
}

impl Rig {
    pub fn sessions(&self) -> usize {
        self.state.lock().unwrap().0.open_sessions()
    }
    pub fn logins(&self) -> u32 {
        self.state.lock().unwrap().0.logins
    }
    pub fn led(&self) -> bool {
        self.state.lock().unwrap().0.led_on()
    }
    pub fn resets(&self) -> Vec<String> {
        self.state.lock().unwrap().0.resets.clone()
    }
    pub fn with_machine<T>(&self, look: impl FnOnce(&mut Machine) -> T) -> T {
        look(&mut self.state.lock().unwrap().1)
    }
    /// Paths that were asked with this method, and bodies, in their order.
    pub fn asked(&self, method: &str) -> Vec<(String, Value)> {
        let requests = self.log.requests.lock().unwrap();
        let with = requests.iter().filter(|request| request.method == method);
        with.map(|request| (request.path.clone(), serde_json::from_slice(&request.body).unwrap_or_default())).collect()
    }
}

pub fn said(status: u16, body: Value) -> Option<Response> {
    Some(Response { status, headers: Vec::new(), body: Some(body) })
}

#[track_caller]
pub fn assert_fault<T: std::fmt::Debug>(result: Result<T, Fault>, class: FaultClass, reason: &str) -> Fault {
    let fault = result.unwrap_err();
    assert_eq!((fault.class, fault.reason.as_str()), (class, reason), "{fault}");
    assert!(!fault.message.contains(PASSWORD), "{fault}");
    fault
}
