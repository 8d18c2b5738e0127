//! `rackwright demo --vms N`: the same demo with real firmware. SeaBIOS, OVMF and iPXE in QEMU boot from the daemon's
//! DHCP, TFTP and HTTP, a real kernel runs a small installer, and the disk it wrote is booted; only the BMCs are simulated.
//!
//! Everything happens in a network and process namespace of its own: when the program ends, however it ends, the kernel
//! removes bridge, taps and machines.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::stage::Stage;
use super::{DemoArgs, racks, show, spawn_daemon, why};
use crate::daemon::{Options, clock};
use crate::drive::process::Run;
use crate::settings;
use crate::sim::fault::Fault;
use crate::sim::machine::{BootOrder, Firmware};

pub mod ground;
pub mod machine;
pub mod need;
pub mod qemu;
pub mod rack;
pub mod site;

use rack::VmRack;
use site::Make;

/// `--firmware`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum FirmwareKind {
    /// SeaBIOS, with iPXE in the NIC's ROM
    Bios,
    /// OVMF with its own PXE client
    Uefi,
    /// OVMF with UEFI HTTP boot
    UefiHttp,
    /// One after the other
    #[default]
    Mixed,
}

/// What the machines are: of the wanted firmware, every fourth set to try the network first always, or all of them.
fn makes(kind: FirmwareKind, count: u32, network_first: bool) -> Vec<Make> {
    let mixed = [Firmware::Bios, Firmware::Uefi, Firmware::UefiHttp];
    let make = |index: usize| Make {
        firmware: match kind {
            FirmwareKind::Bios => Firmware::Bios,
            FirmwareKind::Uefi => Firmware::Uefi,
            FirmwareKind::UefiHttp => Firmware::UefiHttp,
            FirmwareKind::Mixed => mixed[index % 3],
        },
        order: if network_first || index % 4 == 3 { BootOrder::NetworkFirst } else { BootOrder::DiskFirst },
    };
    (0..count as usize).map(make).collect()
}

/// Starts this program once more in namespaces of its own, and waits for it. Ctrl-C or SIGTERM end everything in there.
pub(super) async fn outside(args: &DemoArgs, dir: &Path) -> anyhow::Result<u8> {
    if let Some(fault) = args.faults.iter().find(|fault| **fault != Fault::PxeFirst) {
        bail!("`{fault}` cannot be had of machines with real firmware; `{}` can", Fault::PxeFirst);
    }
    need::check(&args.kernel)?;
    let kind = clap::ValueEnum::to_possible_value(&args.firmware).context("a firmware without a name")?;
    let run = Run::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"])
        .arg(std::env::current_exe()?)
        .args(["demo", "--inside", "--vms", &args.vms.unwrap_or(1).to_string(), "--firmware", kind.get_name()])
        .args(["--timeout", &args.timeout.to_string(), "--kernel"])
        .arg(args.kernel.canonicalize()?)
        .arg("--keep")
        .arg(dir)
        .args(args.faults.iter().map(|fault| format!("--fault={fault}")));
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        status = run.attached() => Ok(status?.and_then(|status| u8::try_from(status).ok()).unwrap_or(1)),
        _ = term.recv() => bail!("stopped; the machines are gone"),
        _ = int.recv() => bail!("stopped; the machines are gone"),
    }
}

/// The demo itself, inside its namespaces.
pub(super) async fn play(args: &DemoArgs, dir: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    let began = clock::now();
    let makes = makes(args.firmware, args.vms.unwrap_or(1), args.faults.contains(&Fault::PxeFirst));
    let stage = Stage::alone(dir).await?;
    let specs = site::machines(&stage.dir, &makes);
    let bmcs: Vec<_> = specs.iter().enumerate().filter_map(|(i, spec)| Some((i, spec.bmc.as_ref()?.1))).collect();
    ground::lay(site::SERVER, specs.len(), &bmcs).await?;
    site::media(&stage.dir.join("tftp"), &args.kernel).await?;
    let settings = settings::load(&site::write_settings(&stage)?)?;
    let files = site::files(&makes, "power-off");
    let desired = racks::read(&files, &settings)?;
    writeln!(out, "{} machines on 10.77.0.0/24, serial consoles in {}/machines", specs.len(), stage.dir.display())?;
    stage
        .push(&std::collections::BTreeMap::from([("clusters.yml".into(), "clusters: []\n".into())]), "An empty rack")
        .await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, view) = oneshot::channel();
    let mut tasks = JoinSet::new();
    spawn_daemon(&mut tasks, settings, Options { first_run: true, ready: Some(ready) }, stopped);
    let mut view = tokio::select! {
        view = view => view.context("the daemon did not start")?,
        ended = tasks.join_next() => bail!("the daemon did not start: {}", why(ended)),
    };
    let rack = VmRack::start(&stage.dir, specs).await?;
    writeln!(
        out,
        "the daemon serves http://{}:9999; pushing the definition of {} hosts",
        site::SERVER,
        desired.hosts.len()
    )?;
    stage.push(&files, "Define the cluster").await?;
    let follow = show::follow(&mut view, began, out, async |_| {
        match rack.machines().into_iter().find_map(|machine| Some((machine.name, machine.trouble?))) {
            Some((name, trouble)) => bail!("{name} cannot run: {trouble}"),
            None => Ok(()),
        }
    });
    let ended = tokio::time::timeout(Duration::from_secs(args.timeout), async {
        tokio::select! {
            ended = follow => ended,
            ended = tasks.join_next() => bail!("the daemon stopped: {}", why(ended)),
            ended = ground::advertise(ground::BRIDGE) => ended,
        }
    })
    .await;
    let completed = ended.is_ok();
    ended.unwrap_or(Ok(()))?;
    let world = view.borrow().clone();
    let _ = stop.send(());
    while tasks.join_next().await.is_some() {}
    let consoles = rack.machines();
    rack.stop().await;
    let code = show::finale(&stage, &world, completed, began, out).await?;
    if !completed {
        for machine in consoles {
            writeln!(out, "\n--- {}, started {} times, last on its console:", machine.name, machine.starts)?;
            out.write_all(tail(&machine.serial).as_bytes())?;
        }
    }
    Ok(code)
}

/// The end of what a machine said on its serial port, without control characters.
pub fn tail(serial: &Path) -> String {
    const LINES: usize = 25;
    let text = String::from_utf8_lossy(&std::fs::read(serial).unwrap_or_default()).into_owned();
    let mut plain = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            // A terminal's control sequence ends with its first letter.
            '\u{1b}' => while rest.next().is_some_and(|c| !c.is_ascii_alphabetic()) {},
            '\n' => plain.push('\n'),
            c if !c.is_control() => plain.push(c),
            _ => {}
        }
    }
    let lines: Vec<&str> = plain.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| format!("{line}\n")).collect()
}
