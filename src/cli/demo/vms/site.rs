//! What the demo's machines of real firmware boot from, and what its repository says about them.
#![allow(missing_docs, reason = "the names say the rest")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;

use super::ground::BRIDGE;
use super::machine::VmSpec;
use super::need::MBR;
use super::qemu::Hardware;
use super::rack::mac;
use crate::cli::demo::stage::Stage;
use crate::drive::process::Run;
use crate::model::Secret;
use crate::sim::bmc::BmcConfig;
use crate::sim::machine::{BootOrder, Firmware};
use crate::sim::tree::Vendor;

/// The server's address on the machines' segment.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The cluster that the machines form.
const CLUSTER: &str = "vms";
/// What their BMCs take.
const ACCOUNT: [&str; 2] = ["admin", "simulated"];

const BUILD: &str = include_str!("media.sh");
const INIT: &str = include_str!("init.sh");
const BOOT: &str = include_str!("boot.ipxe.j2");
const MANIFEST: &str = include_str!("installer.yaml");

/// One machine to be: firmware and habit.
#[derive(Clone, Copy, Debug)]
pub struct Make {
    pub firmware: Firmware,
    pub order: BootOrder,
}

/// Puts kernel, installer and disk image into the static root. iPXE is taken from its Debian package.
pub async fn media(root: &Path, kernel: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(root)?;
    let init = root.join(".init");
    std::fs::write(&init, INIT)?;
    let busybox = Run::new("sh").args(["-c", "command -v busybox"]).output().await?;
    let output = Run::new("sh")
        .args(["-c", BUILD])
        .env("OUT", root)
        .env("KERNEL", kernel)
        .env("INIT", &init)
        .env("MBR", MBR)
        .env("BUSYBOX", String::from_utf8_lossy(&busybox.stdout).trim())
        .time_limit(Duration::from_secs(120))
        .output()
        .await?;
    std::fs::remove_file(init)?;
    if !output.success() {
        bail!("the machines' boot media could not be made:\n{}", output.stderr.trim());
    }
    Ok(())
}

/// Settings for a stage in its namespace, on the ports that firmware knows.
pub fn write_settings(stage: &Stage) -> anyhow::Result<PathBuf> {
    let path = stage.dir.join("rackwright.yaml");
    let text = format!(
        "repository:
  url: {repository}
  poll_interval: 2s
state_dir: {state}
network:
  address: {SERVER}
  interface: {BRIDGE}
  dhcp:
    subnets:
      - {{ subnet: 10.77.0.0/24, range: 10.77.0.100-10.77.0.249, gateway: {SERVER}, lease_time: 1h }}
  tftp: {{ root: {root} }}
deploy: {{ username: deploy, ssh_key: {key} }}
limits:
  boot_timeout: 5m
  install_timeout: 5m
  first_boot_timeout: 5m
  publish_debounce: 200ms
  backoff: 300ms
",
        repository = stage.repository().display(),
        state = stage.state_dir().display(),
        root = stage.dir.join("tftp").display(),
        key = stage.dir.join("id_ed25519").display(),
    );
    std::fs::write(&path, text)?;
    Ok(path)
}

/// A repository of one cluster with a host for every machine, and its own installer.
pub fn files(makes: &[Make], on_complete: &str) -> BTreeMap<String, String> {
    let mut inventory = format!("[{CLUSTER}]\n");
    let mut bootstrap =
        format!("cluster: {{ installer: busybox, ansible: none, on_complete: {on_complete} }}\nbootstrap:\n");
    for number in 1..=makes.len() as u32 {
        _ = writeln!(inventory, "hv{number}.vms.example.net");
        _ = write!(
            bootstrap,
            "  \"{bmc}\":
    node: {{ hostname: hv{number} }}
    config: {{ system_disks: [\"/dev/vda\"], boot_mac: \"{boot}\" }}
    bmc: {{ username: {user}, password: {password}, protocol: redfish }}
",
            bmc = mac(0xaa, number),
            boot = mac(0xbb, number),
            user = ACCOUNT[0],
            password = ACCOUNT[1],
        );
    }
    BTreeMap::from([
        ("clusters.yml".into(), format!("clusters: [{CLUSTER}]\n")),
        ("hosts".into(), inventory),
        (format!("group_vars/{CLUSTER}/base.yml"), "local_domain: vms.example.net\n".into()),
        (format!("group_vars/{CLUSTER}/bootstrap.yml"), bootstrap),
        ("installers/busybox/installer.yaml".into(), MANIFEST.into()),
        ("installers/busybox/boot.ipxe.j2".into(), BOOT.into()),
    ])
}

/// The machines, each plugged into a tap of its number; the first has index 0 and is called `hv1`.
pub fn machines(dir: &Path, makes: &[Make]) -> Vec<VmSpec> {
    let machine = |(index, make): (usize, &Make)| {
        let number = index as u32 + 1;
        let vendor = [Vendor::Dell, Vendor::Hpe, Vendor::Supermicro, Vendor::Generic][index % 4];
        let bmc = BmcConfig::new(vendor, ACCOUNT[0], Secret::new(ACCOUNT[1]));
        VmSpec {
            name: format!("{CLUSTER}/hv{number}"),
            hardware: Hardware {
                dir: dir.join("machines").join(format!("hv{number}")),
                firmware: make.firmware,
                mac: mac(0xbb, number),
                tap: format!("tap{index}"),
            },
            order: make.order,
            bmc: Some((bmc, mac(0xaa, number))),
        }
    };
    makes.iter().enumerate().map(machine).collect()
}
