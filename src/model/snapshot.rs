//! The World as the journal keeps it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::desired::Desired;
use super::id::{ClusterName, Digest, HostId, Mac, Revision};
use super::image::ImageFacts;
use super::lease::Leases;
use super::moves::Moves;
use super::notice::NoticeFacts;
use super::observed::{ClusterFacts, Consent, GitFacts, HostFacts, Rejected, Unclaimed, World};
use super::policy::Policy;
use super::time::Time;

impl World {
    /// Its facts, for keeping. The desired state is kept as its revision only.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            revision: self.desired.as_ref().and_then(|desired| desired.revision.clone()),
            rejected: self.rejected.clone(),
            hosts: self.hosts.clone(),
            clusters: self.clusters.clone(),
            leases: self.leases.clone(),
            git: self.git.clone(),
            consent: self.consent,
            adopted: self.adopted,
            moves: self.moves.clone(),
            notices: self.notices.clone(),
            foreign_dhcp: self.foreign_dhcp,
            full_ranges: self.full_ranges.clone(),
            images: self.images.clone(),
            unclaimed: self.unclaimed.clone(),
        }
    }

    /// The World of a snapshot, given the tree of the snapshot's revision.
    pub fn restore(policy: Arc<Policy>, snapshot: Snapshot, desired: Option<Arc<Desired>>) -> Self {
        let boot_macs = snapshot.hosts.iter().filter_map(|(id, facts)| Some((facts.boot_mac?, id.clone()))).collect();
        let expected = snapshot.hosts.iter().filter(|(_, facts)| facts.is_expected());
        let nics = expected.flat_map(|(id, facts)| facts.nics().map(move |mac| (mac, id.clone()))).collect();
        World {
            policy,
            desired,
            rejected: snapshot.rejected,
            hosts: snapshot.hosts,
            boot_macs: Arc::new(boot_macs),
            nics: Arc::new(nics),
            unclaimed: snapshot.unclaimed,
            clusters: snapshot.clusters,
            leases: snapshot.leases,
            git: snapshot.git,
            consent: snapshot.consent,
            adopted: snapshot.adopted,
            moves: snapshot.moves,
            notices: snapshot.notices,
            foreign_dhcp: snapshot.foreign_dhcp,
            full_ranges: snapshot.full_ranges,
            images: snapshot.images,
        }
    }
}

/// The facts of a World, as the journal keeps them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of World")]
pub struct Snapshot {
    pub revision: Option<Revision>,
    pub rejected: Option<Arc<Rejected>>,
    pub hosts: Arc<BTreeMap<HostId, Arc<HostFacts>>>,
    pub clusters: Arc<BTreeMap<ClusterName, Arc<ClusterFacts>>>,
    pub leases: Arc<Leases>,
    pub git: GitFacts,
    pub consent: Consent,
    pub adopted: bool,
    pub moves: Arc<Moves>,
    pub foreign_dhcp: Option<(Ipv4Addr, Time)>,
    #[serde(default)]
    pub notices: Arc<NoticeFacts>,
    #[serde(default)]
    pub full_ranges: Arc<BTreeMap<Ipv4Net, Time>>,
    #[serde(default)]
    pub images: Arc<BTreeMap<Digest, ImageFacts>>,
    #[serde(default)]
    pub unclaimed: Arc<BTreeMap<Mac, Unclaimed>>,
}
