//! A simulated machine with its BMC on virtual time, and somebody who prepares it as the plan does.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rackwright::drive::bmc::transport::{Exchange, LocalBmc, NoResponse, Request, Response};
use rackwright::drive::bmc::{Endpoint, Order, Transport};
use rackwright::model::{
    DiskChoice, Fault, FaultClass, Mac, Outcome, Pending, Preparation, Prepare, Secret, Stage, Time,
};
use rackwright::sim::bmc::{self, Bmc, BmcConfig, Drive};
use rackwright::sim::fault::FaultPlan;
use rackwright::sim::machine::{Machine, MachineConfig, MachineEvent, Power, Timings};
use rackwright::sim::tree::Vendor;
use serde_json::Value;
use tokio::time::Instant;

use crate::rig::bmc::{PASSWORD, once, target};

/// Changes what the BMC says.
pub type Twist = Box<dyn Fn(&str, &mut Value) + Send + Sync>;

pub struct Inside {
    pub bmc: Bmc,
    pub machine: Machine,
    pub twist: Option<Twist>,
    /// Method and path of each request but those about sessions.
    pub asked: Vec<(String, String)>,
    /// Bodies of what was written.
    pub written: Vec<Value>,
}

pub struct Simulated {
    inside: Mutex<Inside>,
    began: Instant,
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a simulated BMC")
    }
}

impl LocalBmc for Simulated {
    fn redfish(&self, request: Request) -> Exchange<'_> {
        Box::pin(async move {
            let now = Time::from_secs(1000) + self.began.elapsed();
            let answer = {
                let inside = &mut *self.inside.lock().unwrap();
                let method = request.method.as_str().to_owned();
                if !request.path.contains("SessionService") {
                    inside.asked.push((method.clone(), request.path.clone()));
                    let body = request.body.as_deref().and_then(|body| serde_json::from_slice(body).ok());
                    inside.written.extend(body);
                }
                let headers = request.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
                let (path, body) = (request.path.clone(), request.body.unwrap_or_default());
                let mut answer = inside.bmc.handle(
                    &mut inside.machine,
                    now,
                    &bmc::Request { method, path: path.clone(), headers, body },
                );
                if let (Some(twist), Some(response)) = (&inside.twist, &mut answer.response)
                    && let Some(body) = &mut response.body
                {
                    twist(&path, body);
                }
                answer
            };
            tokio::time::sleep(answer.delay).await;
            let response = answer.response.ok_or(NoResponse::Connection)?;
            let headers = response.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
            let body = response.body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
            Ok(Response { status: response.status, headers: headers.collect(), body })
        })
    }

    fn certificate(&self) -> String {
        String::new()
    }
}

/// What a preparation came to, and what it took.
#[derive(Debug)]
pub struct Done {
    pub preparation: Preparation,
    /// Faults on the way.
    pub faults: Vec<Fault>,
    /// What was waited for on the way.
    pub waited: Vec<Pending>,
}

pub struct Lab {
    pub inside: Arc<Simulated>,
    pub target: Endpoint,
}

impl Lab {
    pub fn with(config: BmcConfig, faults: FaultPlan) -> Lab {
        let mac = |last| Mac([0x52, 0x54, 0, 0xaa, 0, last]);
        let mut machine = MachineConfig::new("hv1", Some(mac(1)), mac(2), Timings::real());
        machine.faults = faults;
        let inside = Inside {
            bmc: Bmc::new(config),
            machine: Machine::new(machine),
            twist: None,
            asked: Vec::new(),
            written: Vec::new(),
        };
        let inside = Arc::new(Simulated { inside: Mutex::new(inside), began: Instant::now() });
        let mut target = target(443);
        target.transport = Transport::Local(inside.clone());
        target.timeouts = rackwright::drive::bmc::Timeouts::default();
        Lab { inside, target }
    }

    /// A machine of this vendor that is on.
    pub fn new(vendor: Vendor) -> Lab {
        let lab = Lab::with(config(vendor), FaultPlan::none());
        lab.power(Power::On);
        lab
    }

    pub fn look<T>(&self, look: impl FnOnce(&mut Inside) -> T) -> T {
        look(&mut self.inside.inside.lock().unwrap())
    }

    pub fn power(&self, power: Power) {
        self.look(|inside| inside.machine.step(Time::from_secs(1000), MachineEvent::Power(power)));
    }

    pub fn twist(&self, twist: impl Fn(&str, &mut Value) + Send + Sync + 'static) {
        self.look(|inside| inside.twist = Some(Box::new(twist)));
    }

    /// Forgets what was asked so far.
    pub fn forget(&self) {
        self.look(|inside| {
            inside.asked.clear();
            inside.written.clear();
        });
    }

    /// Requests that wanted to change something.
    pub fn writes(&self) -> Vec<(String, String)> {
        self.look(|inside| inside.asked.iter().filter(|(method, _)| method != "GET").cloned().collect())
    }

    pub fn resets(&self) -> Vec<String> {
        self.look(|inside| inside.bmc.resets.clone())
    }

    pub async fn once(&self, prepare: &Prepare, apply: bool, pending: Option<Pending>) -> Result<Preparation, Fault> {
        let order = Order::Prepare { prepare: Arc::new(prepare.clone()), apply, pending };
        match once(&self.target, &order).await? {
            Outcome::Prepared(preparation) => Ok(preparation),
            other => panic!("{other:?}"),
        }
    }

    /// Prepares as the plan does, until it is done or a fault says that a person is needed.
    pub async fn prepare(&self, prepare: &Prepare) -> Result<Done, Fault> {
        let (mut faults, mut waited) = (Vec::new(), Vec::new());
        let mut pending: Option<(Pending, Instant)> = None;
        for _ in 0..400 {
            let overdue = pending.as_ref().is_some_and(|(_, since)| since.elapsed() > Duration::from_secs(45 * 60));
            let next = pending.as_ref().is_some_and(|(pending, _)| pending.stage == Stage::Next);
            let apply = pending.is_none() || overdue || next;
            let before = self.writes().len();
            match self.once(prepare, apply, pending.as_ref().map(|(pending, _)| pending.clone())).await {
                Ok(preparation) => {
                    assert!(apply || self.writes().len() == before, "a look wrote: {:?}", self.writes());
                    assert_eq!(preparation.of, prepare.id);
                    let Some(now) = preparation.pending.clone() else {
                        return Ok(Done { preparation, faults, waited });
                    };
                    let since = pending.filter(|_| !apply).map_or_else(Instant::now, |(_, since)| since);
                    waited.push(now.clone());
                    pending = Some((now, since));
                    tokio::time::sleep(Duration::from_secs(30)).await;
                }
                Err(fault) => {
                    assert!(apply || self.writes().len() == before, "a look wrote: {:?}", self.writes());
                    assert!(!fault.message.contains(PASSWORD), "{fault}");
                    let wait = match fault.class {
                        FaultClass::Operator => return Err(fault),
                        FaultClass::Permanent if faults.iter().filter(|before| **before == fault).count() > 6 => {
                            return Err(fault);
                        }
                        FaultClass::Permanent => {
                            // A task that has failed is not waited for any longer.
                            pending = None;
                            15 * 60
                        }
                        FaultClass::Transient => 10,
                    };
                    faults.push(fault);
                    tokio::time::sleep(Duration::from_secs(wait)).await;
                }
            }
        }
        panic!("no end: {faults:?} {waited:?}");
    }
}

pub fn config(vendor: Vendor) -> BmcConfig {
    BmcConfig::new(vendor, "root", Secret::new(PASSWORD))
}

/// The bays of a machine's two system drives.
pub fn bays(vendor: Vendor) -> [u32; 2] {
    let drives = config(vendor).drives;
    [drives[0].bay, drives[1].bay]
}

pub fn mirror(vendor: Vendor) -> DiskChoice {
    DiskChoice::Mirror(bays(vendor).map(|bay| bay.to_string()))
}

pub fn secrets(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, Secret> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect()
}

pub fn disk(choice: DiskChoice, replace: bool) -> Prepare {
    Prepare::new(choice, replace, secrets(&[]), secrets(&[]))
}

/// What the installer's kernel sees: a line of `lsscsi -s` for each disk, and what it is.
pub struct Seen {
    pub line: String,
    pub size: String,
    /// Bays: of a drive, or of the drives of a volume.
    pub bays: Vec<u32>,
}

/// The disks of a machine as `lsscsi -s` lists them: drives that are in no volume, volumes, then NVMe drives.
pub fn lsscsi(lab: &Lab) -> Vec<Seen> {
    let (config, volumes) = lab.look(|inside| (inside.bmc.config().clone(), inside.bmc.volumes().to_vec()));
    let free = |drive: &&Drive| !volumes.iter().any(|volume| volume.bays.contains(&drive.bay));
    let row = |name: String, device: &str, bytes: u64, bays: Vec<u32>| {
        let size = lsscsi_size(bytes);
        Seen { line: format!("[0:0:0:0]    disk    {name}  /dev/{device}  {size}"), size, bays }
    };
    let sata = config.drives.iter().filter(|drive| drive.raid).filter(free);
    // INQUIRY has sixteen characters for the product.
    let sata = sata.map(|drive| row(format!("ATA      {:.16}", drive.model), "sdx", drive.bytes, vec![drive.bay]));
    let made = volumes.iter().map(|volume| {
        let least =
            config.drives.iter().filter(|drive| volume.bays.contains(&drive.bay)).map(|drive| drive.bytes).min();
        let name = match config.vendor {
            Vendor::Dell => "DELL     PERC H755 Front",
            Vendor::Hpe => "HPE      LOGICAL VOLUME",
            Vendor::Supermicro => "AVAGO    SMC3108",
            Vendor::Lenovo => "Lenovo   RAID 930-8i-2GB",
            _ => "BROADCOM MR9560-8i",
        };
        let bytes = least.unwrap_or(0);
        row(name.to_owned(), "sdx", bytes - bytes % (1 << 20), volume.bays.clone())
    });
    let nvme = config.drives.iter().filter(|drive| !drive.raid).filter(free);
    let nvme = nvme.map(|drive| row(format!("{}__1", drive.model), "nvme0n1", drive.bytes, vec![drive.bay]));
    sata.chain(made).chain(nvme).collect()
}

/// As `lsscsi -s` prints sizes (seen with version 0.31): three digits, cut.
fn lsscsi_size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB", "PB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    let digits = format!("{value:.9}");
    let cut = if digits.find('.') == Some(3) { &digits[..3] } else { &digits[..4] };
    format!("{cut}{unit}")
}

/// What PVC's `detect.py` finds: four parts at colons, the name in the line in any case, the size equal to the last column
/// unless it is within three per cent of the *last* line's (numbers without units), the index among what fits.
pub fn detect_py<'s>(text: &str, list: &'s [Seen]) -> Option<&'s Seen> {
    assert!(!text.contains(char::is_whitespace), "the installer's shell would split `{text}`");
    let parts: Vec<_> = text.split(':').collect();
    let ["detect", name, size, index] = parts.as_slice() else { panic!("`{text}` has not four parts") };
    let number = |size: &str| size.trim_end_matches(char::is_alphabetic).parse::<f64>().unwrap();
    let last = &list.last()?.size;
    let wanted = if (number(last) - number(size)).abs() <= 0.03 * number(size) { last.as_str() } else { size };
    let fits = |seen: &&Seen| seen.line.to_lowercase().contains(&name.to_lowercase()) && seen.size == wanted;
    list.iter().filter(fits).nth(index.parse().unwrap())
}
