//! The World: what has been observed. Facts only; what they mean is derived by `plan`.
//!
//! Only `plan::reduce` changes a World. Its parts are shared behind `Arc`, so that cloning it costs nothing at
//! 10,000 hosts and every reader may keep a copy as long as it likes.

#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::bmc::BmcFacts;
use super::desired::{Desired, HostSpec};
use super::fault::Finding;
use super::id::{ClusterName, Digest, Generation, HostId, Mac, Revision, TaskId, TokenId};
use super::image::ImageStamp;
use super::inventory::{Inventory, PowerState};
use super::lease::Leases;
use super::moves::Moves;
use super::notice::NoticeFacts;
use super::policy::Policy;
use super::state::{ClusterState, HostState};
use super::task::{ForgeTold, Generated, Progress, SshFacts, TaskRecord};
use super::time::Time;
use super::words::words;
use super::work::Lanes;

/// Everything that is known, what is wanted, and the limits that hold: all that a plan is made from.
///
/// It dereferences to [`Facts`], so that `world.hosts` reads `world.facts.hosts`. To write there copies [`Facts`] first
/// when a reader still holds the World before it.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// Limits and deadlines (not a fact; given when the World is made).
    pub policy: Arc<Policy>,
    pub desired: Option<Arc<Desired>>,
    /// What is journaled, but for the leases.
    pub facts: Arc<Facts>,
    /// Addresses handed out. Apart from the rest, because they change often and nothing planned depends on them.
    pub leases: Arc<Leases>,
    /// `facts.boot_mac` -> host: an index over `hosts`, maintained by `reduce`, so that a network boot finds its host
    /// without looking at all of them.
    pub boot_macs: Arc<BTreeMap<Mac, HostId>>,
    /// NICs of hosts that were ordered to boot from the network and are not installed yet, as their BMCs list them: an
    /// index over `hosts` likewise.
    pub nics: Arc<BTreeSet<(Mac, HostId)>>,
}

/// What was observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The watched head, while it is refused.
    pub rejected: Option<Arc<Rejected>>,
    /// Each host. One that has left the repository keeps its facts (it may come back).
    pub hosts: Arc<BTreeMap<HostId, Arc<HostFacts>>>,
    pub clusters: Arc<BTreeMap<ClusterName, Arc<ClusterFacts>>>,
    /// What is under way, and what failed last.
    pub lanes: Arc<Lanes>,
    /// Machines and BMCs on the network that the repository does not name: for people to see, never touched.
    pub unclaimed: Arc<BTreeMap<Mac, Unclaimed>>,
    /// The repository, seen from here.
    pub git: GitFacts,
    /// Whether anything may be armed at all (law 11).
    pub consent: Consent,
    /// Whether the status branch has been looked at since the journal was empty. Nothing else is done before.
    pub adopted: bool,
    /// State changes: not yet published ones and the most recent others.
    pub moves: Arc<Moves>,
    /// What receivers of notifications were told.
    pub notices: Arc<NoticeFacts>,
    /// Another DHCP server seen on a segment of ours, and when.
    pub foreign_dhcp: Option<(Ipv4Addr, Time)>,
    /// Subnets whose dynamic range is used up, and since when.
    pub full_ranges: Arc<BTreeMap<Ipv4Net, Time>>,
    /// Images that were verified since the daemon started, by their definitions' digests, and which file that was.
    pub images: Arc<BTreeMap<Digest, ImageStamp>>,
}

impl Deref for World {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Facts {
        Arc::make_mut(&mut self.facts)
    }
}

impl World {
    /// A World in which nothing has been observed.
    pub fn new(policy: Arc<Policy>) -> Self {
        World::restore(policy, Snapshot::default(), None)
    }

    /// What is journaled of it. The desired state is kept as its revision only.
    pub fn snapshot(&self) -> Snapshot {
        let revision = self.desired.as_ref().and_then(|desired| desired.revision.clone());
        Snapshot { revision, leases: self.leases.clone(), facts: self.facts.clone() }
    }

    /// The World of a snapshot, given the tree of the snapshot's revision.
    pub fn restore(policy: Arc<Policy>, snapshot: Snapshot, desired: Option<Arc<Desired>>) -> Self {
        let Snapshot { revision: _, leases, facts } = snapshot;
        let boot_macs = facts.hosts.iter().filter_map(|(id, facts)| Some((facts.boot_mac?, id.clone()))).collect();
        let expected = facts.hosts.iter().filter(|(_, facts)| facts.is_expected());
        let nics = expected.flat_map(|(id, facts)| facts.nics().map(move |mac| (mac, id.clone()))).collect();
        World { policy, desired, boot_macs: Arc::new(boot_macs), nics: Arc::new(nics), leases, facts }
    }

    /// The wanted side of a host.
    pub fn spec(&self, id: &HostId) -> Option<&Arc<HostSpec>> {
        self.desired.as_ref()?.hosts.get(id)
    }

    /// The observed side of a host, if anything was observed of it.
    pub fn facts(&self, id: &HostId) -> Option<&Arc<HostFacts>> {
        self.hosts.get(id)
    }

    /// The observed side of a host: empty, if nothing was observed of it.
    pub fn facts_of(&self, id: &HostId) -> &HostFacts {
        match self.hosts.get(id) {
            Some(facts) => facts,
            None => HostFacts::none(),
        }
    }

    /// Whether everything but the leases is still the very same as in `earlier`, a copy kept since: then the plan is the
    /// same, too. Says no when in doubt.
    pub fn differs_only_in_leases(&self, earlier: &World) -> bool {
        // Taken apart so that a new part cannot be forgotten here.
        let World { policy, desired, facts, leases: _, boot_macs, nics } = self;
        Arc::ptr_eq(policy, &earlier.policy)
            && desired.as_ref().map(Arc::as_ptr) == earlier.desired.as_ref().map(Arc::as_ptr)
            && Arc::ptr_eq(facts, &earlier.facts)
            && Arc::ptr_eq(boot_macs, &earlier.boot_macs)
            && Arc::ptr_eq(nics, &earlier.nics)
    }
}

/// What the journal keeps of a World.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of World")]
pub struct Snapshot {
    pub revision: Option<Revision>,
    pub leases: Arc<Leases>,
    pub facts: Arc<Facts>,
}

/// Somebody on the network whom the repository does not name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unclaimed {
    pub ip: Ipv4Addr,
    pub since: Time,
}

words! {
    /// Whether anything may be armed (law 11: an empty journal must not look like a rack of blank machines).
    #[derive(Default)]
    Consent {
        /// Neither journal nor status branch nor `--first-run`: nothing is armed, everything boots its disk.
        #[default]
        Locked "locked"
        /// Normal.
        Open "open"
    }
}

/// A refused head of the watched branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    pub revision: Revision,
    pub findings: Vec<Finding>,
    pub at: Time,
}

/// What was observed of one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFacts {
    /// The BMC's address, and when it was first seen there.
    pub bmc_seen: Option<(IpAddr, Time)>,
    /// The machine's own address on the boot network, and when it was first seen there, or last checked in from there.
    pub host_seen: Option<(IpAddr, Time)>,
    /// The NIC it boots from, as observed (inventory, claim, check-in).
    pub boot_mac: Option<Mac>,
    pub bmc: BmcFacts,
    pub ssh: SshFacts,
    /// Who and what the machine is, and when that was read.
    pub inventory: Option<(Inventory, Time)>,
    /// The BMC certificate pinned on first use (SHA-256, hex).
    pub pin: Option<String>,
    /// The generation for which LED and settings were last read back as wanted.
    pub prepared: Option<Generation>,
    /// The status branch announced that this generation would be installed.
    pub intent: Option<Generation>,
    /// Adopted while an install of this generation had been announced and its outcome is unknown: it is not installed at
    /// this or a lower generation without a person's renewed consent.
    pub held: Option<Generation>,
    /// The network boot that was ordered last.
    pub armed: Option<Armed>,
    pub claim: Option<Claim>,
    pub installed: Option<Installed>,
    /// When the installed system's first boot was seen.
    pub booted: Option<OfInstall<Time>>,
    /// The power cycles ordered because the first boot was overdue.
    pub cycled: Option<OfInstall<Tries>>,
    /// Since when LED and power are as wanted at the end.
    pub finished: Option<OfInstall<Time>>,
    /// The power state last read, and when.
    pub power: Option<(PowerState, Time)>,
    /// A check-in that was refused, why, and when (the last one).
    pub refused: Option<(String, Time)>,
    /// The state it showed last and since when; history for people, never consulted for decisions.
    pub shown: Option<(HostState, Time)>,
}

impl HostFacts {
    /// Of a host of which nothing was observed.
    pub fn none() -> &'static HostFacts {
        static NONE: LazyLock<HostFacts> = LazyLock::new(HostFacts::default);
        &NONE
    }

    /// The NICs that its BMC lists, as far as they can be a machine's.
    pub fn nics(&self) -> impl Iterator<Item = Mac> + '_ {
        let listed = self.inventory.iter().flat_map(|(inventory, _)| &inventory.nics).map(|nic| nic.mac);
        listed.filter(|mac| !mac.is_zero() && !mac.is_multicast())
    }

    /// Whether it was ordered to boot from the network, and is not installed yet.
    pub(crate) fn is_expected(&self) -> bool {
        let installed = self.installed.as_ref().map(|installed| installed.generation);
        self.armed.map(|armed| armed.generation) > installed
    }
}

/// A network boot that was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Armed {
    pub generation: Generation,
    /// When and how often it was ordered for that generation. A machine may ask before the order has ended: it counts
    /// from its start.
    #[serde(flatten)]
    pub tries: Tries,
}

/// Orders given in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    pub at: Time,
    pub times: u32,
}

/// Something that holds for one install only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OfInstall<T> {
    pub install: TokenId,
    pub value: T,
}

impl<T> OfInstall<T> {
    /// Holds for this install.
    pub fn new(install: &TokenId, value: T) -> Self {
        OfInstall { install: install.clone(), value }
    }

    /// What holds, if it is for this install.
    pub fn get<'f>(fact: &'f Option<Self>, install: &TokenId) -> Option<&'f T> {
        fact.as_ref().filter(|fact| fact.install == *install).map(|fact| &fact.value)
    }
}

/// A claim: an installer was given a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub token: TokenId,
    pub generation: Generation,
    /// Digest of the install inputs it was given.
    pub spec: Digest,
    pub at: Time,
    /// The last sign of life with this token.
    pub last_seen: Time,
    /// Whether the installer has said `install-start` with it.
    pub confirmed: bool,
}

/// What is on a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    pub generation: Generation,
    pub token: TokenId,
    /// Digest of the install inputs.
    pub spec: Digest,
    pub at: Time,
}

/// What was observed of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterFacts {
    pub tasks: BTreeMap<TaskId, TaskRecord>,
    /// How far the task that is running is.
    pub progress: Option<Progress>,
    /// Files that its playbook made and that are not on the watched branch yet.
    pub generated: Option<Generated>,
    /// The commit status that the forge was told last.
    pub commit_status: Option<ForgeTold>,
    /// The state it showed last and since when; history for people.
    pub shown: Option<(ClusterState, Time)>,
}

/// The repository, seen from here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GitFacts {
    pub fetched_at: Option<Time>,
    /// Somebody says there is news, since.
    pub woken_at: Option<Time>,
    /// The fingerprint of the plan the status branch shows.
    pub published: Option<u64>,
    pub published_at: Option<Time>,
    /// The commit last made on the status branch.
    pub status_commit: Option<Revision>,
    /// The commit status that the forge was told last of a revision as a whole: `rackwright`.
    pub commit_status: Option<ForgeTold>,
}
