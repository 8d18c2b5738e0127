//! The World: what has been observed. Facts only; what they mean is derived by `plan`.
//!
//! Only `plan::reduce` changes a World. Its parts are shared behind `Arc`, so that cloning it costs nothing at
//! 10,000 hosts and every reader may keep a copy as long as it likes.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::action::{Action, ActionKind};
use super::bmc::BmcFacts;
use super::desired::{Desired, HostSpec};
use super::fault::{Fault, Finding};
use super::id::{ClusterName, Digest, Generation, HostId, Mac, Revision, TaskId, TokenId};
use super::image::ImageFacts;
use super::inventory::{Inventory, PowerState};
use super::lease::Leases;
use super::moves::Moves;
use super::notice::NoticeFacts;
use super::policy::Policy;
use super::state::{ClusterState, HostState};
use super::task::{CommitStatusFacts, Generated, Progress, SshFacts, TaskRecord};
use super::time::Time;
use super::words::words;

/// Everything that is known.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// Limits and deadlines (not a fact; given when the World is made).
    pub policy: Arc<Policy>,
    /// The last good revision, in force.
    pub desired: Option<Arc<Desired>>,
    /// The watched head, while it is refused.
    pub rejected: Option<Arc<Rejected>>,
    /// What was observed of each host. A host that has left the repository keeps its facts (it may come back).
    pub hosts: Arc<BTreeMap<HostId, Arc<HostFacts>>>,
    /// `facts.boot_mac` -> host: an index over `hosts`, maintained by `reduce`, so that a network boot finds its host
    /// without looking at all of them.
    pub boot_macs: Arc<BTreeMap<Mac, HostId>>,
    /// NICs of hosts that were ordered to boot from the network and are not installed yet, as their BMCs list them: an
    /// index over `hosts` likewise.
    pub nics: Arc<BTreeSet<(Mac, HostId)>>,
    /// What was observed of each cluster.
    pub clusters: Arc<BTreeMap<ClusterName, Arc<ClusterFacts>>>,
    /// Addresses handed out.
    pub leases: Arc<Leases>,
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
    /// Telling people of them.
    pub notices: Arc<NoticeFacts>,
    /// Another DHCP server seen on a segment of ours, and when.
    pub foreign_dhcp: Option<(Ipv4Addr, Time)>,
    /// Subnets whose dynamic range is used up, and since when.
    pub full_ranges: Arc<BTreeMap<Ipv4Net, Time>>,
    /// What is known of the images that installers announce, by their definitions' digests.
    pub images: Arc<BTreeMap<Digest, ImageFacts>>,
}

impl World {
    /// A World in which nothing has been observed.
    pub fn new(policy: Arc<Policy>) -> Self {
        World {
            policy,
            desired: None,
            rejected: None,
            hosts: Arc::default(),
            boot_macs: Arc::default(),
            nics: Arc::default(),
            unclaimed: Arc::default(),
            clusters: Arc::default(),
            leases: Arc::default(),
            git: GitFacts::default(),
            consent: Consent::Locked,
            adopted: false,
            moves: Arc::default(),
            notices: Arc::default(),
            foreign_dhcp: None,
            full_ranges: Arc::default(),
            images: Arc::default(),
        }
    }

    /// The wanted side of a host.
    pub fn spec(&self, id: &HostId) -> Option<&Arc<HostSpec>> {
        self.desired.as_ref()?.hosts.get(id)
    }

    /// Whether everything but the leases is still the very same as in `earlier`, a copy kept since: what is planned does
    /// not depend on leases, so that nothing needs to be planned anew. Says no when in doubt.
    pub fn differs_only_in_leases(&self, earlier: &World) -> bool {
        fn same<T>(one: &Option<Arc<T>>, other: &Option<Arc<T>>) -> bool {
            one.as_ref().map(Arc::as_ptr) == other.as_ref().map(Arc::as_ptr)
        }
        // Taken apart so that a new part cannot be forgotten here.
        let World {
            policy,
            desired,
            rejected,
            hosts,
            boot_macs,
            nics,
            unclaimed,
            clusters,
            leases: _,
            git,
            consent,
            adopted,
            moves,
            notices,
            foreign_dhcp,
            full_ranges,
            images,
        } = self;
        Arc::ptr_eq(policy, &earlier.policy)
            && same(desired, &earlier.desired)
            && same(rejected, &earlier.rejected)
            && Arc::ptr_eq(hosts, &earlier.hosts)
            && Arc::ptr_eq(boot_macs, &earlier.boot_macs)
            && Arc::ptr_eq(nics, &earlier.nics)
            && Arc::ptr_eq(unclaimed, &earlier.unclaimed)
            && Arc::ptr_eq(clusters, &earlier.clusters)
            && Arc::ptr_eq(moves, &earlier.moves)
            && Arc::ptr_eq(notices, &earlier.notices)
            && Arc::ptr_eq(full_ranges, &earlier.full_ranges)
            && Arc::ptr_eq(images, &earlier.images)
            && *git == earlier.git
            && (*consent, *adopted, *foreign_dhcp) == (earlier.consent, earlier.adopted, earlier.foreign_dhcp)
    }

    /// The observed side of a host.
    pub fn facts(&self, id: &HostId) -> Option<&Arc<HostFacts>> {
        self.hosts.get(id)
    }
}

/// Somebody on the network whom the repository does not name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unclaimed {
    /// The address it was given.
    pub ip: Ipv4Addr,
    /// Since when it is known.
    pub since: Time,
}

words! {
    /// Whether anything may be armed (law 11: an empty journal must not look like a rack of blank machines).
    Consent {
        /// Neither journal nor status branch nor `--first-run`: nothing is armed, everything boots its disk.
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
    /// What was observed of its BMC.
    pub bmc: BmcFacts,
    /// What was observed of it over SSH.
    pub ssh: SshFacts,
    /// Who and what the machine is, and when that was read.
    pub inventory: Option<(Inventory, Time)>,
    /// The BMC certificate pinned on first use (SHA-256, hex).
    pub pin: Option<String>,
    /// LED and settings were read back as wanted, for which generation, and when.
    pub prepared: Option<(Generation, Time)>,
    /// The status branch announced that this generation would be installed.
    pub intent: Option<Generation>,
    /// Adopted while an install of this generation had been announced and its outcome is unknown: it is not installed at
    /// this or a lower generation without a person's renewed consent.
    pub held: Option<Generation>,
    /// The generation it was last armed for, when (the start of the action: a machine may ask before it ends), and
    /// how many times in a row for that generation.
    pub armed: Option<(Generation, Time, u32)>,
    /// The newest claim.
    pub claim: Option<Claim>,
    /// What is on the disk.
    pub installed: Option<Installed>,
    /// The installed system's first boot was seen, of which install, and when.
    pub booted: Option<(TokenId, Time)>,
    /// A power cycle was made because the first boot was overdue: when, and how many times for this install.
    pub cycled: Option<(TokenId, Time, u32)>,
    /// LED off and power as wanted, for which install, and when.
    pub finished: Option<(TokenId, Time)>,
    /// The power state last read, and when.
    pub power: Option<(PowerState, Time)>,
    /// What is being done to it.
    pub doing: Option<Doing>,
    /// What failed last, until it succeeds.
    pub failure: Option<Failure>,
    /// A check-in that was refused, why, and when (the last one).
    pub refused: Option<(String, Time)>,
    /// The state it showed last and since when; history for people, never consulted for decisions.
    pub shown: Option<(HostState, Time)>,
}

impl HostFacts {
    /// The NICs that its BMC lists, as far as they can be a machine's.
    pub fn nics(&self) -> impl Iterator<Item = Mac> + '_ {
        let listed = self.inventory.iter().flat_map(|(inventory, _)| &inventory.nics).map(|nic| nic.mac);
        listed.filter(|mac| !mac.is_zero() && !mac.is_multicast())
    }

    /// Whether it was ordered to boot from the network, and is not installed yet.
    pub(crate) fn is_expected(&self) -> bool {
        let installed = self.installed.as_ref().map(|installed| installed.generation);
        self.armed.map(|(generation, ..)| generation) > installed
    }
}

/// A claim: an installer was given a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The token's name.
    pub token: TokenId,
    /// The generation it installs.
    pub generation: Generation,
    /// Digest of the install inputs it was given.
    pub spec: Digest,
    /// When it was made.
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
    /// Which install.
    pub token: TokenId,
    /// Digest of the install inputs.
    pub spec: Digest,
    /// When it was acknowledged.
    pub at: Time,
}

/// Something under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doing {
    pub action: Action,
    pub since: Time,
    /// The account on the BMC that it is done with ([`Credential::id`](super::Credential::id)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Digest>,
}

/// An action that failed and has not succeeded since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which kind of action.
    pub action: ActionKind,
    pub fault: Fault,
    /// How many times in a row.
    pub count: u32,
    /// When last.
    pub at: Time,
    /// Digest of what it was tried with (BMC identity, task definition): a change lets an `Operator` fault be retried.
    pub basis: Digest,
}

/// What was observed of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterFacts {
    /// Each task's record.
    pub tasks: BTreeMap<TaskId, TaskRecord>,
    /// The task being run.
    pub doing: Option<Doing>,
    /// The revision that was in force when it began.
    pub doing_at: Option<Revision>,
    /// How far it is.
    pub progress: Option<Progress>,
    /// Files that its playbook made and that are not on the watched branch yet.
    pub generated: Option<Generated>,
    /// What the forge is told.
    pub commit_status: CommitStatusFacts,
    /// The state it showed last and since when; history for people.
    pub shown: Option<(ClusterState, Time)>,
}

/// The repository, seen from here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GitFacts {
    /// When the last fetch ended.
    pub fetched_at: Option<Time>,
    /// Somebody says there is news, since.
    pub woken_at: Option<Time>,
    /// A fetch is under way, since.
    pub fetching: Option<Time>,
    /// The last fetch failed.
    pub fetch_failure: Option<Failure>,
    /// The fingerprint of the plan the status branch shows.
    pub published: Option<u64>,
    /// When the last publish ended.
    pub published_at: Option<Time>,
    /// The commit last made on the status branch.
    pub status_commit: Option<Revision>,
    /// A publish is under way, since.
    pub publishing: Option<Time>,
    /// The last publish failed.
    pub publish_failure: Option<Failure>,
    /// What the forge is told of revisions as a whole: commit status `rackwright`.
    pub commit_status: CommitStatusFacts,
}
