//! What a demo's repository says, and the machines that stand in for its hosts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::bail;
use include_dir::{Dir, include_dir};

use super::stage::{Stage, port};
use crate::cli::source;
use crate::model::{Desired, HostSpec, Mac, Secret};
use crate::repo::Entry;
use crate::settings::Settings;
use crate::sim::bmc::{BmcConfig, Pace};
use crate::sim::fault::{Fault, FaultPlan};
use crate::sim::machine::{BootOrder, Firmware, MachineConfig, Timings};
use crate::sim::rack::RackMachine;
use crate::sim::tree::Vendor;

static EXAMPLE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/repo-schema/example");

/// Where the example's hooks are sent in earnest.
const HOOKS: &str = "https://hooks.example.net";

/// What a daemon with these settings reads of a repository of these files.
pub fn read(files: &BTreeMap<String, String>, settings: &Settings) -> anyhow::Result<Arc<Desired>> {
    let entry = |text: &String| Entry::File(Arc::from(text.as_bytes()));
    let tree = files.iter().map(|(path, text)| (path.clone(), entry(text))).collect();
    let loaded = source::load(&tree, Some(settings), None, None);
    match loaded.desired {
        Some(desired) => Ok(Arc::new(desired)),
        None => {
            let findings: Vec<String> = loaded.findings.iter().map(ToString::to_string).collect();
            bail!("the demo's repository is refused:\n{}", findings.join("\n"))
        }
    }
}

/// The example repository, with its hooks sent to the stage's own sink.
pub fn example(stage: &Stage) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    collect(&EXAMPLE, &mut files);
    let sink = format!("http://{}:{}", stage.sink(), port::SINK);
    files.values_mut().for_each(|text| *text = text.replace(HOOKS, &sink));
    files
}

fn collect(dir: &Dir<'_>, files: &mut BTreeMap<String, String>) {
    for file in dir.files() {
        if let (Some(path), Some(text)) = (file.path().to_str(), file.contents_utf8()) {
            files.insert(path.to_owned(), text.to_owned());
        }
    }
    dir.dirs().for_each(|dir| collect(dir, files));
}

/// A repository of `hosts` hosts in `clusters` clusters, in the example's form. The last host of every cluster of at
/// least three has no BMC.
pub fn generated(stage: &Stage, hosts: u32, clusters: u32) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let names: Vec<String> = (1..=clusters).map(|number| format!("cluster{number}")).collect();
    files.insert("clusters.yml".to_owned(), format!("clusters: [{}]\n", names.join(", ")));
    let mut inventory = String::new();
    let mut next = 1;
    for (index, name) in names.iter().enumerate() {
        let index = index as u32;
        let size = hosts / clusters + u32::from(index < hosts % clusters);
        let members: Vec<u32> = (next..next + size).collect();
        next += size;
        _ = writeln!(inventory, "[{name}]");
        members.iter().for_each(|number| _ = writeln!(inventory, "hv{number}.{name}.example.net"));
        let dir = format!("group_vars/{name}");
        files.insert(format!("{dir}/base.yml"), format!("local_domain: {name}.example.net\n"));
        files.insert(format!("{dir}/pvc.yml"), "{}\n".to_owned());
        files.insert(format!("{dir}/bootstrap.yml"), bootstrap(stage, name, &members));
    }
    files.insert("hosts".to_owned(), inventory);
    files
}

fn bootstrap(stage: &Stage, name: &str, members: &[u32]) -> String {
    let mut text = String::from("cluster: { installer: pvc, ansible: none }\nbootstrap:\n");
    for number in members {
        let by_hand = members.len() > 2 && members.last() == Some(number);
        let (bmc_mac, boot_mac) = (mac(0xaa, *number), mac(0xbb, *number));
        let bmc = if by_hand { "{ protocol: none }" } else { "{ username: admin, password: simulated, redfish: yes }" };
        _ = write!(
            text,
            "  \"{bmc_mac}\":
    node: {{ hostname: hv{number} }}
    config: {{ system_disks: [\"/dev/sda\"], boot_mac: \"{boot_mac}\" }}
    bmc: {bmc}
"
        );
    }
    _ = write!(
        text,
        "hooks:
  - name: tell the sink
    type: webhook
    args: {{ uri: \"http://{}:{}/{name}\", action: post, body: {{ text: \"{name} is up\" }} }}
",
        stage.sink(),
        port::SINK
    );
    text
}

fn mac(kind: u8, number: u32) -> Mac {
    let [_, _, high, low] = number.to_be_bytes();
    Mac([0x52, 0x54, 0x00, kind, high, low])
}

/// A machine for every host, of mixed make: vendors, firmware, boot order.
pub fn machines(desired: &Desired, faults: &[Fault], timings: &Timings) -> Vec<RackMachine> {
    desired.hosts.values().enumerate().map(|(index, spec)| machine(index, spec, faults, timings)).collect()
}

/// Times each fault happens to each machine at most.
const FAULTS_EACH: u32 = 2;

fn machine(index: usize, spec: &HostSpec, faults: &[Fault], timings: &Timings) -> RackMachine {
    let boot_mac = spec.boot_mac.unwrap_or_else(|| mac(0xcc, index as u32));
    let bmc_mac = spec.has_bmc().then_some(spec.bmc_mac);
    let mut config = MachineConfig::new(&spec.id.to_string(), bmc_mac, boot_mac, timings.clone());
    config.firmware = [Firmware::Uefi, Firmware::Bios, Firmware::UefiHttp][index % 3];
    config.order = if index % 4 == 3 { BootOrder::NetworkFirst } else { BootOrder::DiskFirst };
    config.loads_ipxe = index.is_multiple_of(2);
    config.faults = FaultPlan::new(faults.iter().copied(), FAULTS_EACH, index as u64);
    let vendor = [Vendor::Dell, Vendor::Hpe, Vendor::Supermicro, Vendor::Generic][index % 4];
    let account = || {
        let account = spec.bmc.credentials.first().map(|it| (it.username.as_str(), it.password.clone()));
        let (username, password) = account.unwrap_or_else(|| ("", Secret::new("")));
        BmcConfig { pace: Pace::quick(), ..BmcConfig::new(vendor, username, password) }
    };
    RackMachine { machine: config, bmc: spec.has_bmc().then(account) }
}
