//! A machine with a simulated BMC that speaks IPMI, within the process.

use std::sync::{Arc, Mutex};

use rackwright::drive::bmc::ipmi::Ipmitool;
use rackwright::drive::bmc::transport::{Exchange, IpmiCall, LocalBmc, NoResponse, Request};
use rackwright::drive::bmc::{Endpoint, Order, Transport};
use rackwright::drive::process::Output;
use rackwright::model::{Fault, Mac, Outcome, PowerState, Protocol, Secret, Time};
use rackwright::sim::chassis::Chassis;
use rackwright::sim::fault::{Fault as Trouble, FaultPlan};
use rackwright::sim::ipmi::{Habit, IpmiBmc, IpmiConfig};
use rackwright::sim::machine::{Override, Power};

use crate::rig::bmc::once;

pub const BOOT_MAC: Mac = Mac([0x52, 0x54, 0, 0xbb, 0, 1]);
pub const BMC_MAC: Mac = Mac([0x52, 0x54, 0, 0xaa, 0, 1]);
pub const PASSWORD: &str = "correct horse";

/// A machine that does at once what its buttons say.
pub struct Crate {
    pub power: PowerState,
    pub set: Option<Override>,
    pub faults: FaultPlan,
    /// Whether an operating system listens to a shutdown.
    pub willing: bool,
    pub started_with: Vec<Option<Override>>,
}

impl Chassis for Crate {
    fn boot_mac(&self) -> Mac {
        BOOT_MAC
    }
    fn bmc_mac(&self) -> Option<Mac> {
        Some(BMC_MAC)
    }
    fn power(&self) -> PowerState {
        self.power
    }
    fn boot_override(&self) -> Option<Override> {
        self.set
    }
    fn set_override(&mut self, _now: Time, wanted: Option<Override>) {
        self.set = wanted;
    }
    fn switch(&mut self, _now: Time, power: Power) {
        match power {
            Power::On if self.power == PowerState::Off => {
                self.power = PowerState::On;
                self.started_with.push(self.set);
            }
            Power::ForceOff => self.power = PowerState::Off,
            Power::GracefulShutdown if self.willing => self.power = PowerState::Off,
            _ => {}
        }
    }
    fn faults(&mut self) -> &mut FaultPlan {
        &mut self.faults
    }
}

pub struct Inside {
    pub bmc: IpmiBmc,
    pub machine: Crate,
    pub calls: Vec<String>,
}

pub struct Simulated(Mutex<Inside>);

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a simulated BMC")
    }
}

impl LocalBmc for Simulated {
    fn redfish(&self, _request: Request) -> Exchange<'_> {
        Box::pin(std::future::ready(Err(NoResponse::Connection)))
    }
    fn certificate(&self) -> String {
        String::new()
    }
    fn ipmitool<'a>(&'a self, args: &'a [String], password: &'a Secret) -> IpmiCall<'a> {
        Box::pin(async move {
            assert!(!args.iter().any(|arg| arg.contains(password.reveal())), "a password among {args:?}");
            let answer = {
                let inside = &mut *self.0.lock().unwrap();
                inside.calls.push(args.join(" "));
                inside.bmc.handle(&mut inside.machine, Time::from_secs(1000), args, password.reveal())
            };
            tokio::time::sleep(answer.delay).await;
            let said = answer.said;
            let (status, stdout) = (Some(said.status), said.stdout.into_bytes());
            Ok(Output { status, stdout, stderr: said.stderr, truncated: false })
        })
    }
}

pub struct Desk {
    inside: Arc<Simulated>,
    pub target: Endpoint,
}

impl Desk {
    pub fn new(habits: &[Habit]) -> Self {
        let mut config = IpmiConfig::new("root", Secret::new(PASSWORD));
        config.habits = habits.to_vec();
        let machine = Crate {
            power: PowerState::Off,
            set: None,
            faults: FaultPlan::none(),
            willing: true,
            started_with: Vec::new(),
        };
        let inside = Arc::new(Simulated(Mutex::new(Inside { bmc: IpmiBmc::new(config), machine, calls: Vec::new() })));
        let (host, address) = ("cluster1/hv1".parse().unwrap(), "192.0.2.20".parse().unwrap());
        let target = Endpoint {
            ipmi_port: 6230,
            protocol: Protocol::Ipmi,
            transport: Transport::Local(inside.clone()),
            ..Endpoint::new(host, address, "root", Secret::new(PASSWORD))
        };
        Desk { inside, target }
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut Inside) -> T) -> T {
        change(&mut self.inside.0.lock().unwrap())
    }

    pub fn on(self) -> Self {
        self.with(|inside| inside.machine.power = PowerState::On);
        self
    }

    /// Makes a fault happen at its first opportunity, once.
    pub fn trouble(self, fault: Trouble) -> Self {
        self.with(|inside| {
            let seed = (0..).find(|seed| FaultPlan::new([fault], 1, *seed).fires(fault)).unwrap();
            inside.machine.faults = FaultPlan::new([fault], 1, seed);
        });
        self
    }

    pub fn did(&self) -> Vec<String> {
        self.with(|inside| inside.bmc.commands.clone())
    }

    pub fn talk(&self) -> Ipmitool {
        Ipmitool::new(self.target.clone())
    }

    pub async fn once(&self, order: Order) -> Result<Outcome, Fault> {
        once(&self.target, &order).await
    }
}
