//! A boot storm: every machine of a rack is switched on at the same moment, installs, and reboots; then all are
//! reinstalled at once, to see whether the daemon's memory grows. The daemon is the real program in a process of its own,
//! so that its memory and CPU time are its own; DHCP, TFTP, HTTP and check-ins are real packets over loopback.
//!
//! `cargo bench --bench storm`, with `RACKWRIGHT_STORM_HOSTS` (1,000) and `RACKWRIGHT` (the program). It ends by itself
//! within half an hour, whatever happens, and mostly within three minutes, and fails when a machine is lost.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use rackwright::cli::demo::racks;
use rackwright::cli::demo::stage::{Stage, port};
use rackwright::settings;
use rackwright::sim::machine::{MachineEvent, Override, Stage as At, Timings};
use rackwright::sim::rack::{MachineView, Rack, RackConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long one round may take.
const PATIENCE: Duration = Duration::from_secs(280);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// Clock ticks of `/proc/PID/stat` a second; Linux shows 100 everywhere.
const TICKS: f64 = 100.0;

#[allow(clippy::disallowed_methods, reason = "a benchmark is told by its environment what to measure")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let hosts = variable("RACKWRIGHT_STORM_HOSTS").and_then(|text| text.parse().ok()).unwrap_or(1_000);
    match runtime.block_on(storm(hosts)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("storm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The daemon's process.
struct Daemon {
    child: Child,
    stage: Stage,
}

/// What the kernel says of it.
#[derive(Clone, Copy)]
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
        command.args(["run", "--first-run", "--config"]).arg(config).env("NO_COLOR", "1");
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
}

/// A stage whose deadlines suit two cores that simulate a whole rack beside the daemon.
async fn stage(dir: &Path, hosts: u32) -> anyhow::Result<(Stage, PathBuf)> {
    let stage = Stage::new(dir, std::process::id().to_le_bytes()[0]).await?;
    let config = stage.write_settings("")?;
    let text = std::fs::read_to_string(&config)?;
    let text = text
        .replace("boot_timeout: 8s", "boot_timeout: 200s")
        .replace("first_boot_timeout: 6s", "first_boot_timeout: 200s");
    let text = text.replace("install_timeout: 8s", &format!("install_timeout: 200s\n  concurrent_installs: {hosts}"));
    let text: String =
        text.lines().filter(|line| !line.starts_with("notifications:")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&config, text)?;
    stage.push(&BTreeMap::from([("clusters.yml".into(), "clusters: []\n".into())]), "An empty rack").await?;
    Ok((stage, config))
}

/// Hosts without BMC, so that nothing staggers them: people press all buttons at once.
fn definition(stage: &Stage, hosts: u32, generation: u32) -> BTreeMap<String, String> {
    let mut files = racks::generated(stage, hosts, hosts.div_ceil(50));
    for (path, text) in &mut files {
        if path.ends_with("bootstrap.yml") {
            *text =
                text.replace("bmc: { username: admin, password: simulated, redfish: yes }", "bmc: { protocol: none }");
            *text = text.replace("installer: pvc,", &format!("installer: pvc, generation: {generation},"));
            // No hooks: nobody listens here.
            text.truncate(text.find("hooks:").unwrap_or(text.len()));
        }
    }
    files
}

/// How many hosts the daemon says are completed.
async fn completed(daemon: &Daemon) -> usize {
    let Some(body) = daemon.get("/api/v1/clusters").await else { return 0 };
    let body: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let clusters = body.as_array().or_else(|| body.get("clusters")?.as_array()).cloned().unwrap_or_default();
    let count = |cluster: &serde_json::Value| cluster["hosts"]["completed"].as_u64().unwrap_or_default();
    clusters.iter().map(count).sum::<u64>() as usize
}

/// Waits until every machine was wiped `wipes` times and runs from its disk, and the daemon says so. Gives the daemon's
/// greatest memory meanwhile, and how many machines never came.
async fn until_all_run(daemon: &Daemon, rack: &Rack, wipes: usize) -> (f64, usize) {
    let (begun, mut most) = (Instant::now(), 0.0_f64);
    let here = |view: &MachineView| view.wipes.len() == wipes && matches!(view.stage, At::Off | At::Running);
    loop {
        most = most.max(daemon.usage().resident);
        let machines = rack.machines();
        let running = machines.iter().filter(|view| here(view)).count();
        if running == machines.len() && completed(daemon).await == machines.len() {
            return (most, 0);
        }
        if begun.elapsed() > PATIENCE {
            let lost: Vec<_> = machines.iter().filter(|view| !here(view)).take(3).collect();
            let told = completed(daemon).await;
            println!(
                "storm: {running} of {} machines run, {told} are completed; for example: {lost:#?}",
                machines.len()
            );
            return (most, machines.len() - running.min(told));
        }
        sleep(LOOK).await;
    }
}

fn timings() -> Timings {
    let ms = Duration::from_millis;
    Timings {
        post: ms(200),
        live_boot: ms(300),
        write: ms(1000),
        os_boot: ms(200),
        settle: ms(100),
        network: ms(20_000),
        ..Timings::quick()
    }
}

async fn storm(hosts: u32) -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("rackwright-storm-").tempdir()?;
    let (stage, config) = stage(dir.path(), hosts).await?;
    let daemon = Daemon::start(&stage, &config).await?;
    let files = definition(&stage, hosts, 1);
    let desired = racks::read(&files, &settings::load(&config)?)?;
    println!("storm: {hosts} machines in {} clusters", desired.clusters.len());
    let empty = daemon.usage();
    stage.push(&files, "Define the clusters").await?;
    let rack = Rack::start(RackConfig {
        dhcp: SocketAddrV4::new(stage.server(), port::DHCP),
        relay: stage.relay(),
        tftp_port: port::TFTP,
        bmc_port: port::BMC,
        machines: racks::machines(&desired, &[], &timings()),
    })
    .await?;
    let names: Vec<String> = rack.machines().into_iter().map(|view| view.name).collect();
    until_armed(&daemon, names.len()).await?;
    let mut before = daemon.usage();
    println!("storm: {:.1} MiB with an empty rack, {:.1} MiB with the definition", empty.resident, before.resident);
    let (mut peaks, mut lost) = (Vec::new(), 0);
    for round in 1..=3_u32 {
        let begun = Instant::now();
        if round == 1 {
            for name in &names {
                rack.power_button(name).await;
            }
        } else {
            stage.push(&definition(&stage, hosts, round), "Install everything anew").await?;
            until_armed(&daemon, names.len()).await?;
            for name in &names {
                rack.tell(name, MachineEvent::SetOverride(Some(Override { network: true, once: true }))).await;
                rack.reset(name).await;
            }
        }
        let (most, missing) = until_all_run(&daemon, &rack, round as usize).await;
        lost += missing;
        let after = daemon.usage();
        peaks.push(most);
        println!(
            "storm: round {round}: {} of {hosts} installed and running after {:.1} s; daemon: {:.1} MiB at most, {:.1} MiB after, CPU {:.1} s; {}",
            names.len() - missing,
            begun.elapsed().as_secs_f64(),
            most,
            after.resident,
            after.cpu - before.cpu,
            kept(&stage).await?
        );
        before = after;
    }
    rack.stop().await;
    ratio("boot storm, memory of the third round to the second", peaks[2] / peaks[1], 1.1);
    ratio("boot storm, machines lost", lost as f64, 0.0);
    println!("storm: {:.1} MiB at most ever", before.peak);
    anyhow::ensure!(lost == 0, "{lost} machines were lost");
    Ok(())
}

/// A line like those of `net/lib.sh`.
fn ratio(name: &str, value: f64, most: f64) {
    let met = if value <= most { "met" } else { "MISSED" };
    println!("ratio {name:<58} {value:>10.2} (wanted <={most}: {met})");
}

/// Waits until the definition is in force: every host may be installed.
async fn until_armed(daemon: &Daemon, hosts: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    while waiting(daemon).await != hosts {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "the definition is not in force");
        sleep(LOOK).await;
    }
    Ok(())
}

/// How many hosts wait for somebody to start them. A machine that is started before its install was announced on the status
/// branch is told to boot its disk, and without a BMC nobody starts it again.
async fn waiting(daemon: &Daemon) -> usize {
    let Some(body) = daemon.get("/api/v1/hosts").await else { return 0 };
    let body: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let hosts = body.as_array().or_else(|| body.get("hosts")?.as_array()).cloned().unwrap_or_default();
    let reasons = hosts.iter().filter_map(|host| host["condition"]["reason"].as_str());
    reasons.filter(|reason| matches!(*reason, "NotSeen" | "NetworkBoot" | "PowerOnByHand")).count()
}

/// What it wrote down: commits on the status branch, and the journal.
async fn kept(stage: &Stage) -> anyhow::Result<String> {
    let commits = stage.git(&stage.repository(), &["rev-list", "--count", "rackwright/status"]).await?;
    let sizes = ["journal.db", "journal.db-wal"].map(|name| {
        std::fs::metadata(stage.state_dir().join(name)).map_or(0.0, |meta| meta.len() as f64 / f64::from(1 << 20))
    });
    Ok(format!("{} status commits, journal {:.1} MiB and {:.1} MiB ahead of it", commits.trim(), sizes[0], sizes[1]))
}
