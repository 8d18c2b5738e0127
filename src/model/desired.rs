//! What the repository wants at one revision: validated, resolved, and with every boot file already rendered.
//!
//! Made by `repo::load`; no later stage reads YAML, Git or templates.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::bmc::{BmcFacts, BmcSpec, DiskChoice, Prepare, Protocol, chosen_disk};
use super::fault::Finding;
use super::id::{ClusterName, Digest, Generation, HostId, Mac, Revision};
use super::image::ImageSpec;
use super::task::TaskSpec;
use super::words::words;

/// Placeholder for the claim's token in a rendered boot file, replaced when a machine claims. Shell- and URL-safe.
pub const TOKEN_MARK: &str = "RACKWRIGHT-TOKEN";

/// Placeholder for the disk in the rendered boot files of a host whose disk is chosen by chassis slot, replaced once
/// its BMC has said which disk that is. Shell- and URL-safe.
pub const DISK_MARK: &str = "RACKWRIGHT-DISK";

/// A whole valid revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// The commit it was read from.
    pub revision: Option<Revision>,
    /// Every cluster of `clusters.yml`.
    pub clusters: BTreeMap<ClusterName, Arc<ClusterSpec>>,
    /// Every host of those clusters.
    pub hosts: BTreeMap<HostId, Arc<HostSpec>>,
    /// Every image that a host's installer announces, by its definition's digest.
    pub images: BTreeMap<Digest, Arc<ImageSpec>>,
    /// What `validate` would warn about.
    pub warnings: Vec<Finding>,
    macs: BTreeMap<Mac, (HostId, MacRole)>,
    addresses: BTreeMap<Ipv4Addr, HostId>,
}

/// Which of a host's interfaces a MAC names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacRole {
    /// The BMC's own interface.
    Bmc,
    /// The interface the machine network-boots from, as written in the repository.
    Boot,
}

impl Desired {
    /// Indexes MACs and addresses. The caller checks that no MAC is used twice.
    pub fn new(
        revision: Option<Revision>,
        clusters: impl IntoIterator<Item = ClusterSpec>,
        hosts: impl IntoIterator<Item = HostSpec>,
        warnings: Vec<Finding>,
    ) -> Self {
        let clusters = clusters.into_iter().map(|spec| (spec.name.clone(), Arc::new(spec))).collect();
        let hosts: BTreeMap<_, _> = hosts.into_iter().map(|spec| (spec.id.clone(), Arc::new(spec))).collect();
        let images = hosts.values().flat_map(|spec| spec.images.iter());
        let images = images.map(|image| (image.id.clone(), image.clone())).collect();
        let mut macs = BTreeMap::new();
        let mut addresses = BTreeMap::new();
        for spec in hosts.values() {
            if let Some(address) = spec.address {
                addresses.insert(address, spec.id.clone());
            }
            if let Some(mac) = spec.boot_mac {
                macs.insert(mac, (spec.id.clone(), MacRole::Boot));
            }
            if spec.has_bmc() {
                macs.insert(spec.bmc_mac, (spec.id.clone(), MacRole::Bmc));
            }
        }
        Desired { revision, clusters, hosts, images, warnings, macs, addresses }
    }

    /// Whose MAC this is, according to the repository.
    pub(crate) fn by_mac(&self, mac: Mac) -> Option<(&HostId, MacRole)> {
        self.macs.get(&mac).map(|(id, role)| (id, *role))
    }

    /// Whose fixed address on the boot network this is.
    pub(crate) fn by_address(&self, address: Ipv4Addr) -> Option<&Arc<HostSpec>> {
        self.hosts.get(self.addresses.get(&address)?)
    }

    /// The hosts of one cluster, in name order.
    pub(crate) fn hosts_of<'a>(&'a self, cluster: &ClusterName) -> impl Iterator<Item = &'a Arc<HostSpec>> + 'a {
        let cluster = cluster.clone();
        self.hosts
            .range(HostId::new(&cluster, "")..)
            .take_while(move |(id, _)| id.cluster == cluster)
            .map(|(_, spec)| spec)
    }
}

/// A cluster: what happens to its hosts together.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterSpec {
    pub name: ClusterName,
    /// `local_domain` of `base.yml`.
    pub domain: String,
    /// Ansible (unless `none`) and then the hooks, in the order in which they run.
    pub tasks: Vec<TaskSpec>,
    /// `cluster.run`: raised by a person to let a failed task run again.
    pub run: u32,
    /// `cluster.on_complete`.
    pub on_complete: OnComplete,
    /// `cluster.retries`: quick attempts before a person is asked to look.
    pub retries: u32,
}

words! {
    /// What happens to a host once its cluster is complete.
    OnComplete {
        /// Shut down gracefully, LED off (as PVC does: the machine is then carried to its rack).
        PowerOff "power-off"
        /// LED off, left running.
        None "none"
    }
}

/// A host: one machine.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSpec {
    /// Cluster and short name.
    pub id: HostId,
    /// The key of its entry in `bootstrap.yml`. For a host without BMC this is just a name (or its boot MAC).
    pub bmc_mac: Mac,
    /// `<hostname>.<local_domain>`.
    pub fqdn: String,
    pub generation: Generation,
    /// `node.state`.
    pub state: Lifecycle,
    /// `config.boot_mac`; for a host without BMC that names none, the key.
    pub boot_mac: Option<Mac>,
    /// Fixed address on the boot network, when one is wanted.
    pub address: Option<Ipv4Addr>,
    /// Installer's directory name.
    pub installer: Arc<str>,
    /// What counts as the claim with this installer.
    pub claim: ClaimBy,
    /// Digest of everything that decides what gets installed: a changed digest at the same generation is drift.
    pub spec: Digest,
    /// Rendered boot and answer files.
    pub files: Vec<BootFile>,
    /// What its installer boots; verified before the host is armed. Shared by the hosts of an installer.
    pub images: Arc<[Arc<ImageSpec>]>,
    /// How it is told to boot its own disk.
    pub local_boot: LocalBoot,
    /// The disks that would be wiped, as written (`system_disks`).
    pub disks: Vec<String>,
    pub bmc: BmcSpec,
    /// What is wanted of the machine before it is installed. Shared by hosts that want the same.
    pub prepare: Arc<Prepare>,
    /// Secrets it needs that cannot be read, as sentences that name the key. Until they can be read the host is
    /// `Stalled` with them.
    pub blocked: Vec<String>,
    /// Where in the repository it is written: path and line.
    pub origin: (Arc<str>, u32),
}

impl HostSpec {
    /// Whether the disk to install to is known.
    pub fn knows_disk(&self, facts: &BmcFacts) -> bool {
        self.prepare.disk == DiskChoice::Named || chosen_disk(&self.prepare, facts).is_some()
    }

    /// A boot file's contents with the disk in its place; `None` while that is not known.
    pub fn body_for(&self, file: &BootFile, facts: &BmcFacts) -> Option<Arc<str>> {
        if self.prepare.disk == DiskChoice::Named || !file.body.contains(DISK_MARK) {
            return Some(file.body.clone());
        }
        Some(file.body.replace(DISK_MARK, chosen_disk(&self.prepare, facts)?).into())
    }

    /// Whether it has a BMC that can be driven.
    pub fn has_bmc(&self) -> bool {
        self.bmc.protocol != Protocol::None
    }
}

words! {
    /// `node.state`.
    Lifecycle {
        /// Normal.
        Present "present"
        /// Left alone: no action, local boot only, not waited for by its cluster.
        Maintenance "maintenance"
        /// Out of service: as `maintenance`, for good.
        Retired "retired"
    }
}

words! {
    /// What counts as an installer's claim (law 8).
    ClaimBy {
        /// A check-in with action `claim`, answered with the token, before any disk is touched.
        CheckIn "check-in"
        /// The one read of the answer file, from the address leased to the MAC.
        AnswerFile "answer-file"
    }
}

words! {
    /// How a machine is told to boot its own disk when it asks the network.
    #[derive(Default)]
    LocalBoot {
        /// iPXE script: `sanboot` the first disk on BIOS, leave iPXE otherwise. Right for most machines.
        #[default]
        Auto "auto"
        /// iPXE script: `sanboot` only.
        Sanboot "sanboot"
        /// iPXE script: `exit` back to the firmware's next boot entry.
        Exit "exit"
        /// No boot file in DHCP at all: firmware that cannot come back from iPXE moves on by itself.
        Firmware "firmware"
    }
}

impl LocalBoot {
    /// The iPXE script that does it (`templates/local/`).
    pub fn script(self) -> &'static str {
        match self {
            LocalBoot::Auto => include_str!("../../templates/local/auto.ipxe"),
            LocalBoot::Sanboot => include_str!("../../templates/local/sanboot.ipxe"),
            LocalBoot::Exit => include_str!("../../templates/local/exit.ipxe"),
            LocalBoot::Firmware => include_str!("../../templates/local/firmware.ipxe"),
        }
    }
}

/// A rendered file of a host. `body` holds [`TOKEN_MARK`] and [`DISK_MARK`] where the claim's token and the disk go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootFile {
    /// Its name, with `{mac}` where the boot MAC's twelve hex digits go: `boot.ipxe`, `mac-{mac}.preseed`.
    pub name: Arc<str>,
    /// Its contents. Equal contents are shared between hosts.
    pub body: Arc<str>,
    /// Whether reading it is the claim (the answer file of a [`ClaimBy::AnswerFile`] installer).
    pub claims: bool,
}
