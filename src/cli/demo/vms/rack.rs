//! Many machines of real firmware, their BMCs, and the network they are plugged into.
#![allow(missing_docs, reason = "the names say the rest")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::machine::{Actor, Command, VmSpec, VmView};
use crate::drive::process::Run;
use crate::model::Mac;
use crate::sim::actor::{self, Views};
use crate::sim::https::{self, Identity};
use crate::sim::machine::{Override, Power};

/// Pause before a BMC that did not come up tries again.
const BMC_RETRY: Duration = Duration::from_secs(1);
/// Where an install leaves what its system needs to know, and how much that can be (`init.sh`).
const NOTE: std::ops::Range<usize> = 64 * 512..72 * 512;

/// What `udhcpc` runs when something happens to its lease: the address becomes the BMC's, and is told to us.
const LEASE_SCRIPT: &str = "#!/bin/sh
case $1 in
  deconfig) ip address flush dev \"$interface\" ;;
  bound | renew) ip address replace \"$ip/32\" dev \"$interface\" && echo \"address $ip\" ;;
esac
";

/// A running rack. Dropping it takes everybody's power.
pub struct VmRack {
    doors: BTreeMap<String, mpsc::Sender<Command>>,
    views: Views<VmView>,
    tasks: JoinSet<()>,
}

impl VmRack {
    /// Switches the rack's mains on: BMCs come up on the interfaces `bmc0`, `bmc1`, … and ask for addresses; machines
    /// stay off.
    #[allow(clippy::disallowed_methods, reason = "the JoinSet is the rack's own")]
    pub async fn start(dir: &Path, specs: Vec<VmSpec>) -> anyhow::Result<VmRack> {
        let script = dir.join("bmc-lease");
        std::fs::write(&script, LEASE_SCRIPT)?;
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let mut rack = VmRack { doors: BTreeMap::new(), views: Views::new(), tasks: JoinSet::new() };
        for (index, spec) in specs.into_iter().enumerate() {
            spec.hardware.assemble().with_context(|| spec.hardware.dir.display().to_string())?;
            let (door, commands) = mpsc::channel(64);
            if spec.bmc.is_some() {
                let identity = Identity::generate(&spec.name)?;
                let log = std::fs::File::create(spec.hardware.dir.join("bmc.log"))?;
                let lease = udhcpc(&format!("bmc{index}"), &script);
                rack.tasks.spawn(run_bmc(lease, log, identity, door.downgrade()));
            }
            let name = spec.name.clone();
            let actor = Actor::new(spec);
            let place = rack.views.add(actor.view());
            rack.tasks.spawn(actor.run(commands, place));
            rack.doors.insert(name, door);
        }
        Ok(rack)
    }

    pub fn machines(&self) -> Vec<VmView> {
        self.views.now()
    }

    pub fn watch(&self) -> watch::Receiver<Vec<VmView>> {
        self.views.watch()
    }

    /// Presses a button of a machine; says whether there is such a machine.
    pub async fn power(&self, name: &str, power: Power) -> bool {
        self.send(name, Command::Power(power)).await
    }

    /// Sets a machine's boot override by hand.
    pub async fn boot_from(&self, name: &str, wanted: Option<Override>) -> bool {
        self.send(name, Command::Override(wanted)).await
    }

    async fn send(&self, name: &str, command: Command) -> bool {
        match self.doors.get(name) {
            Some(door) => door.send(command).await.is_ok(),
            None => false,
        }
    }

    /// Pulls the plug and waits until nothing runs any more.
    pub async fn stop(mut self) {
        self.doors.clear();
        self.tasks.shutdown().await;
    }
}

/// What the last install wrote on a disk about itself: `host`, `uri`, and how many installs there were (`installs`).
pub fn disk_note(disk: &Path) -> std::io::Result<BTreeMap<String, String>> {
    let bytes = std::fs::read(disk)?;
    let text = String::from_utf8_lossy(bytes.get(NOTE).unwrap_or_default()).into_owned();
    let pairs = text.trim_end_matches('\0').lines().filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// busybox's DHCP client in the foreground, as long as the BMC has power.
fn udhcpc(interface: &str, script: &Path) -> Run {
    Run::new("busybox").args(["udhcpc", "-f", "-t", "5", "-T", "2", "-A", "2", "-i", interface, "-s"]).arg(script)
}

/// A BMC's network side: gets an address, serves Redfish there, keeps the address.
async fn run_bmc(lease: Run, log: std::fs::File, identity: Identity, door: mpsc::WeakSender<Command>) {
    let Ok(mut client) = lease.start(log) else { return };
    let mut serving: Option<(Ipv4Addr, https::Stop, JoinSet<()>)> = None;
    while let Ok(Some(line)) = client.stdout.next_line().await {
        let Some(ip) = line.strip_prefix("address ").and_then(|ip| ip.parse().ok()) else { continue };
        if serving.as_ref().is_some_and(|(at, ..)| *at == ip) {
            continue;
        }
        serving = None;
        for _ in 0..5 {
            match serve(ip, &identity, door.clone()) {
                Ok((stop, task)) => {
                    serving = Some((ip, stop, task));
                    break;
                }
                Err(error) => tracing::warn!(%ip, %error, "a BMC cannot listen there"),
            }
            tokio::time::sleep(BMC_RETRY).await;
        }
        if let Some(door) = door.upgrade() {
            let _ = door.send(Command::BmcAddress(ip)).await;
        }
    }
}

/// Redfish over TLS at the BMC's address.
#[allow(clippy::disallowed_methods, reason = "the JoinSet is the caller's")]
fn serve(
    ip: Ipv4Addr,
    identity: &Identity,
    door: mpsc::WeakSender<Command>,
) -> std::io::Result<(https::Stop, JoinSet<()>)> {
    let (stop, server) = actor::serve(SocketAddrV4::new(ip, 443), identity, door, Command::Redfish)?;
    let mut task = JoinSet::new();
    task.spawn(async move {
        if let Err(error) = server.await {
            tracing::warn!(%error, "a BMC stopped serving");
        }
    });
    Ok((stop, task))
}

/// A MAC of the demo's: `kind` in the fourth octet, then the machine's number.
pub fn mac(kind: u8, number: u32) -> Mac {
    let [_, _, high, low] = number.to_be_bytes();
    Mac([0x52, 0x54, 0x00, kind, high, low])
}
