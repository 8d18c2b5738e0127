//! A thousand BMCs at once: one real daemon in a process of its own, and a simulated Redfish service over TLS for each
//! host, with an address, a certificate and a machine of its own, in this process. The definition is pushed; then every
//! BMC is logged in to, asked who and what its machine is, and its LED switched on. Nothing is armed: the daemon is started
//! without `--first-run`.
//!
//! `cargo bench --bench bmc`, with `RACKWRIGHT_BMC_HOSTS` (1,000), `RACKWRIGHT_BMC_DELAY` (milliseconds that a BMC takes
//! for each answer: 0; real ones take 50 to 500), `RACKWRIGHT_BMC_AT_ONCE` (`bmc.concurrency`: what the settings say by
//! themselves) and `RACKWRIGHT` (the program). It fails when a BMC is left out.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rackwright::cli::demo::racks;
use rackwright::cli::demo::stage::{Stage, port};
use rackwright::model::{Mac, Time};
use rackwright::settings;
use rackwright::sim::bmc::Bmc;
use rackwright::sim::https::{self, Identity, Stop};
use rackwright::sim::machine::{Machine, Timings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(900);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// Clock ticks of `/proc/PID/stat` a second; Linux shows 100 everywhere.
const TICKS: f64 = 100.0;
/// What NVIDIA publishes of its own controller: endpoints explored in a minute.
const PUBLISHED: f64 = 64.0;

#[allow(clippy::disallowed_methods, reason = "a benchmark is told by its environment what to measure")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Option<u32> {
    variable(name).and_then(|text| text.parse().ok())
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(measure(number("RACKWRIGHT_BMC_HOSTS").unwrap_or(1_000))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bmc: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A machine with its BMC.
struct Unit {
    bmc: Mutex<(Bmc, Machine)>,
    _stop: Stop,
}

/// All of them. Their servers end with it.
struct Bmcs {
    units: Vec<Arc<Unit>>,
    _servers: JoinSet<()>,
}

impl Bmcs {
    fn start(
        stage: &Stage,
        machines: Vec<rackwright::sim::rack::RackMachine>,
        delay: Duration,
    ) -> anyhow::Result<Bmcs> {
        let (begun, mut units, mut servers) = (Instant::now(), Vec::new(), JoinSet::new());
        for spec in machines {
            let Some(mac) = spec.machine.bmc_mac else { continue };
            let address = address(stage, mac);
            let (Some(config), machine) = (spec.bmc, Machine::new(spec.machine)) else { continue };
            let door: Arc<Mutex<Option<Arc<Unit>>>> = Arc::default();
            let at = door.clone();
            let answer = move |request| {
                let unit = at.lock().unwrap_or_else(PoisonError::into_inner).clone();
                async move {
                    let Some(unit) = unit else { return (Duration::ZERO, None) };
                    let now = Time(i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX));
                    let (bmc, machine) = &mut *unit.bmc.lock().unwrap_or_else(PoisonError::into_inner);
                    let answer = bmc.handle(machine, now, &request);
                    (answer.delay + delay, answer.response)
                }
            };
            let listener = TcpListener::bind((address, port::BMC))?;
            let (stop, server) = https::serve(listener, &Identity::generate(&address.to_string())?, answer)?;
            servers.spawn(async move {
                let _ = server.await;
            });
            let unit = Arc::new(Unit { bmc: Mutex::new((Bmc::new(config), machine)), _stop: stop });
            *door.lock().unwrap_or_else(PoisonError::into_inner) = Some(unit.clone());
            units.push(unit);
        }
        Ok(Bmcs { units, _servers: servers })
    }

    fn sum(&self, count: impl Fn(&Bmc) -> u64) -> u64 {
        let each = |unit: &Arc<Unit>| count(&unit.bmc.lock().unwrap_or_else(PoisonError::into_inner).0);
        self.units.iter().map(each).sum()
    }

    fn most(&self, count: impl Fn(&Bmc) -> usize) -> usize {
        let each = |unit: &Arc<Unit>| count(&unit.bmc.lock().unwrap_or_else(PoisonError::into_inner).0);
        self.units.iter().map(each).max().unwrap_or_default()
    }
}

/// Where the BMC with this MAC stands: outside the dynamic range.
fn address(stage: &Stage, mac: Mac) -> Ipv4Addr {
    let [.., high, low] = mac.0;
    stage.address(254 - high, low)
}

/// The daemon's process.
struct Daemon {
    child: Child,
    stage: Stage,
}

/// What the kernel says of it.
struct Usage {
    resident: f64,
    peak: f64,
    cpu: f64,
}

impl Daemon {
    async fn start(stage: &Stage, config: &Path) -> anyhow::Result<Daemon> {
        let program =
            variable("RACKWRIGHT").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_rackwright")), PathBuf::from);
        let log = std::fs::File::create(stage.dir.join("daemon.log"))?;
        #[allow(clippy::disallowed_methods, reason = "the program under test")]
        let mut command = Command::new(program);
        command.args(["run", "--config"]).arg(config).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let daemon = Daemon { child: command.spawn()?, stage: stage.clone() };
        let begun = Instant::now();
        while daemon.get("/readyz").await.is_none() {
            anyhow::ensure!(begun.elapsed() < Duration::from_secs(30), "the daemon does not start");
            sleep(LOOK).await;
        }
        Ok(daemon)
    }

    /// The body of a 200.
    async fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect((self.stage.server(), port::HTTP)).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: daemon\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await.ok()?.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
    }

    fn usage(&self) -> Usage {
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.child.id().unwrap_or_default());
            std::fs::read_to_string(path).unwrap_or_default()
        };
        let status = read("status");
        let mib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / 1024.0
        };
        let stat = read("stat");
        let fields: Vec<f64> = stat.rsplit(')').next().unwrap_or_default().split(' ').flat_map(str::parse).collect();
        let ticks = fields.get(10).zip(fields.get(11)).map_or(0.0, |(user, system)| user + system);
        Usage { resident: mib("VmRSS:"), peak: mib("VmHWM:"), cpu: ticks / TICKS }
    }

    /// Hosts whose machine is known, and hosts that are prepared as well.
    async fn known(&self) -> (usize, usize) {
        let body = self.get("/api/v1/hosts").await.unwrap_or_default();
        let body: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let hosts = body.as_array().or_else(|| body.get("hosts")?.as_array()).cloned().unwrap_or_default();
        let count = |is: &dyn Fn(&serde_json::Value) -> bool| hosts.iter().filter(|host| is(host)).count();
        let serial = |host: &serde_json::Value| host.pointer("/inventory/serial").is_some();
        (count(&serial), count(&|host| host["condition"]["reason"] == "FirstRun"))
    }
}

/// Hosts with a BMC at an address of their own.
fn definition(stage: &Stage, hosts: u32) -> BTreeMap<String, String> {
    let mut files = racks::generated(stage, hosts, hosts.div_ceil(50));
    for (path, text) in &mut files {
        if !path.ends_with("bootstrap.yml") {
            continue;
        }
        let mut lines = Vec::new();
        let mut last = Mac([0; 6]);
        for line in text.lines().take_while(|line| !line.starts_with("hooks:")) {
            if let Some(mac) = line.trim().strip_suffix(':').and_then(|key| key.trim_matches('"').parse::<Mac>().ok()) {
                last = mac;
            }
            lines.push(if line.trim_start().starts_with("bmc:") {
                let address = address(stage, last);
                format!("    bmc: {{ username: admin, password: simulated, redfish: yes, address: {address} }}")
            } else {
                line.to_owned()
            });
        }
        *text = lines.join("\n") + "\n";
    }
    files
}

async fn measure(hosts: u32) -> anyhow::Result<()> {
    let delay = Duration::from_millis(number("RACKWRIGHT_BMC_DELAY").unwrap_or(0).into());
    let dir = tempfile::Builder::new().prefix("rackwright-bmc-").tempdir()?;
    let stage = Stage::new(dir.path(), std::process::id().to_le_bytes()[0]).await?;
    let config = stage.write_settings("")?;
    let mut text = std::fs::read_to_string(&config)?;
    // The upper part of the network is the BMCs'.
    text = text.replace(&format!("-{}", stage.address(254, 255)), &format!("-{}", stage.address(199, 255)));
    if let Some(at_once) = number("RACKWRIGHT_BMC_AT_ONCE") {
        text = text.replace("bmc: { tls: pin,", &format!("bmc: {{ tls: pin, concurrency: {at_once},"));
    }
    let text: String =
        text.lines().filter(|line| !line.starts_with("notifications:")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&config, text)?;
    stage.push(&BTreeMap::from([("clusters.yml".into(), "clusters: []\n".into())]), "An empty rack").await?;
    let files = definition(&stage, hosts);
    let settings = settings::load(&config)?;
    let desired = racks::read(&files, &settings)?;
    let bmcs = Bmcs::start(&stage, racks::machines(&desired, &[], &Timings::quick()), delay)?;
    anyhow::ensure!(bmcs.units.len() == hosts as usize, "{} of {hosts} hosts have a BMC", bmcs.units.len());
    let daemon = Daemon::start(&stage, &config).await?;
    let before = daemon.usage();
    println!(
        "bmc: {hosts} BMCs, {} at once, {} ms for each answer; the daemon has {:.1} MiB",
        settings.bmc.concurrency,
        delay.as_millis(),
        before.resident
    );
    let begun = Instant::now();
    stage.push(&files, "Define the clusters").await?;
    let (mut characterized, mut done) = (None, (0, 0));
    while done.1 < hosts as usize {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "{} of {hosts} are characterized, {} prepared", done.0, done.1);
        sleep(LOOK).await;
        done = daemon.known().await;
        if done.0 == hosts as usize && characterized.is_none() {
            characterized = Some(begun.elapsed());
        }
    }
    let (all, characterized) = (begun.elapsed().as_secs_f64(), characterized.unwrap_or_default().as_secs_f64());
    let after = daemon.usage();
    println!(
        "bmc: all characterized after {characterized:.1} s, all prepared after {all:.1} s; {} requests; daemon: {:.1} MiB at \
         most, CPU {:.1} s; at most {} sessions open at one BMC, {} logins refused",
        bmcs.sum(|bmc| bmc.tally.requests),
        after.peak,
        after.cpu - before.cpu,
        bmcs.most(|bmc| bmc.tally.most_sessions),
        bmcs.sum(|bmc| bmc.tally.failed.len() as u64),
    );
    let minute = f64::from(hosts) / characterized * 60.0;
    let met = if minute >= 10.0 * PUBLISHED { "met" } else { "MISSED" };
    println!(
        "ratio {:<58} {:>10.1} (wanted >=10: {met})",
        "BMCs characterized a minute, to NVIDIA's 64",
        minute / PUBLISHED
    );
    println!("bmc: {minute:.0} BMCs a minute");
    Ok(())
}
