//! `rackwright demo`: a whole simulated rack on loopback. The daemon is the real one; machines, BMCs and the people who
//! press buttons are simulated; Git, DHCP, TFTP, HTTP and Redfish over TLS are real packets.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::daemon::{self, Options, clock};
use crate::model::{Desired, Time, World};
use crate::plan::{self, Step};
use crate::settings::{self, Settings};
use crate::sim::fault::Fault;
use crate::sim::machine::{MachineEvent, Override, Timings};
use crate::sim::rack::{Rack, RackConfig};

pub mod racks;
mod show;
mod sink;
pub mod stage;
pub mod vms;

use stage::{Stage, port};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// How many machines to simulate; without it, those of the example repository
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub hosts: Option<u32>,
    /// Over how many clusters they are spread
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub clusters: Option<u32>,
    /// Let this go wrong; can be given several times. An unknown name lists the known ones
    #[arg(long = "fault", value_name = "NAME")]
    pub faults: Vec<Fault>,
    /// Keep repository, settings and state in this directory
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// Real firmware instead: this many QEMU machines, which boot, are installed and boot from their disks in a network
    /// namespace of their own. Needs root and QEMU
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=32), conflicts_with_all = ["hosts", "clusters"])]
    pub vms: Option<u32>,
    /// With `--vms`: which firmware the machines have
    #[arg(long, value_enum, value_name = "KIND", default_value_t, requires = "vms")]
    pub firmware: vms::FirmwareKind,
    /// With `--vms`: where a Debian kernel package is installed or unpacked
    #[arg(long, value_name = "DIR", default_value = "/", requires = "vms")]
    pub kernel: PathBuf,
    /// We are inside the namespace already.
    #[arg(long, hide = true, requires = "vms")]
    pub inside: bool,
}

/// Plays the demo. 0 when every host is completed, 1 otherwise.
pub fn demo(args: &DemoArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let temporary = tempfile::Builder::new().prefix("rackwright-demo-").tempdir()?;
    let dir = match &args.keep {
        Some(dir) => {
            std::fs::create_dir_all(dir)?;
            if std::fs::read_dir(dir)?.next().is_some() {
                bail!("{} is not empty", dir.display());
            }
            dir.clone()
        }
        None => temporary.path().to_owned(),
    };
    let done = match (args.vms, args.inside) {
        (None, _) => runtime.block_on(play(args, &dir, out)),
        (Some(_), true) => runtime.block_on(vms::play(args, &dir, out)),
        (Some(_), false) => runtime.block_on(vms::outside(args, &dir)),
    };
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

async fn play(args: &DemoArgs, dir: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    let began = clock::now();
    let stage = Stage::new(dir, std::process::id().to_le_bytes()[0]).await?;
    let files = match (args.hosts, args.clusters) {
        (None, None) => racks::example(&stage),
        (hosts, clusters) => {
            let clusters = clusters.unwrap_or(1);
            racks::generated(&stage, hosts.unwrap_or(3 * clusters).max(clusters), clusters)
        }
    };
    let settings = settings::load(&stage.write_settings("")?)?;
    let desired = racks::read(&files, &settings)?;
    writeln!(
        out,
        "{} machines in {} clusters on {}/16; everything is in {}",
        desired.hosts.len(),
        desired.clusters.len(),
        stage.address(0, 0),
        stage.dir.display()
    )?;
    stage
        .push(&std::collections::BTreeMap::from([("clusters.yml".into(), "clusters: []\n".into())]), "An empty rack")
        .await?;

    let sink = sink::start(&stage).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, view) = oneshot::channel();
    let mut tasks = JoinSet::new();
    let options = Options { first_run: true, ready: Some(ready) };
    spawn_daemon(&mut tasks, settings, options, stopped);
    let mut view = tokio::select! {
        view = view => view.context("the daemon did not start")?,
        ended = tasks.join_next() => bail!("the daemon did not start: {}", why(ended)),
    };
    let rack = Rack::start(RackConfig {
        dhcp: std::net::SocketAddrV4::new(stage.server(), port::DHCP),
        relay: stage.relay(),
        tftp_port: port::TFTP,
        bmc_port: port::BMC,
        machines: racks::machines(&desired, &args.faults, &Timings::quick()),
    })
    .await
    .context("the simulated rack did not start")?;
    writeln!(out, "the daemon serves http://{}:{}; pushing the cluster definition", stage.server(), port::HTTP)?;
    stage.push(&files, "Define the clusters").await?;
    let mut people = People::new(&desired);
    let limit = Duration::from_secs(args.timeout);
    let follow = show::follow(&mut view, began, out, async |world| {
        people.help(world, &rack, clock::now()).await;
        Ok(())
    });
    let ended = tokio::time::timeout(limit, async {
        tokio::select! {
            ended = follow => ended,
            ended = tasks.join_next() => Err(anyhow::anyhow!("the daemon stopped: {}", why(ended))),
        }
    })
    .await;
    let completed = match ended {
        Ok(ended) => {
            ended?;
            true
        }
        Err(_) => false,
    };
    let world = view.borrow().clone();
    let _ = stop.send(());
    while tasks.join_next().await.is_some() {}
    rack.stop().await;
    sink.stop().await;
    show::finale(&stage, &world, completed, began, out).await
}

fn why(ended: Option<Result<Result<(), daemon::DaemonError>, tokio::task::JoinError>>) -> String {
    match ended {
        Some(Ok(Err(error))) => error.to_string(),
        Some(Err(error)) => error.to_string(),
        Some(Ok(Ok(()))) | None => "it ended".to_owned(),
    }
}

#[allow(clippy::disallowed_methods, reason = "the JoinSet is the demo's own")]
fn spawn_daemon(
    tasks: &mut JoinSet<Result<(), daemon::DaemonError>>,
    settings: Settings,
    options: Options,
    stopped: oneshot::Receiver<()>,
) {
    tasks.spawn(daemon::run(settings, options, async {
        let _ = stopped.await;
    }));
}

/// The people who press the buttons of machines without a BMC.
struct People {
    by_hand: Vec<String>,
    switched_on: bool,
}

impl People {
    fn new(desired: &Desired) -> Self {
        let by_hand = desired.hosts.values().filter(|spec| !spec.has_bmc()).map(|spec| spec.id.to_string()).collect();
        People { by_hand, switched_on: false }
    }

    /// Does what `explain` asks people to do.
    async fn help(&mut self, world: &World, rack: &Rack, now: Time) {
        if !self.switched_on {
            for name in &self.by_hand {
                rack.power_button(name).await;
            }
            self.switched_on = true;
        }
        let plan = plan::plan(world, now);
        for host in &plan.hosts {
            let name = host.id.to_string();
            if self.by_hand.contains(&name) && matches!(host.step, Step::Stalled { .. }) {
                rack.tell(&name, MachineEvent::SetOverride(Some(Override { network: true, once: true }))).await;
                rack.reset(&name).await;
            }
        }
    }
}
