//! The whole rack as people are shown it; the API, the page and the metrics are made from this.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Serialize;

use crate::model::{ActionKind, Consent, Finding, Mac, Reason, Revision, World};
use crate::plan::Plan;
use crate::plan::report::{
    ClusterStatus, HostStatus, RejectedStatus, UnclaimedStatus, cluster_status, host_status, unclaimed,
};
use crate::serve::trace::Standing;

/// The whole rack.
#[derive(Clone, Debug, Default)]
pub struct Rack {
    /// Whether anything may be armed.
    pub armed: bool,
    /// The revision in force.
    pub revision: Option<Revision>,
    /// The watched head, while it is refused.
    pub rejected: Option<RejectedStatus>,
    /// Warnings about the revision in force.
    pub warnings: Vec<Finding>,
    /// Another DHCP server, and when it was seen, RFC 3339.
    pub foreign_dhcp: Option<(Ipv4Addr, String)>,
    /// Subnets whose dynamic range is used up, and since when, RFC 3339.
    pub full_ranges: Vec<(Ipv4Net, String)>,
    /// Who is on the network and not in the repository, by MAC.
    pub unclaimed: BTreeMap<Mac, UnclaimedStatus>,
    /// What fails around the repository: fetch, publish, notify.
    pub troubles: Vec<Trouble>,
    /// How many state changes there were so far.
    pub changes: u64,
    /// Every cluster with its hosts, in name order.
    pub clusters: Vec<(ClusterStatus, Vec<HostStatus>)>,
    /// Where the network boots of machines stand that are not done, by boot MAC; only the page shows it here.
    pub standings: BTreeMap<Mac, Standing>,
}

/// Something of the daemon's own that fails.
#[derive(Clone, Debug, Serialize)]
pub struct Trouble {
    /// Which action.
    pub action: ActionKind,
    /// The word for machines.
    pub reason: Reason,
    /// A sentence for people.
    pub message: String,
    /// How many times in a row.
    pub count: u32,
    /// When last, RFC 3339.
    pub at: String,
}

impl Rack {
    /// What this World and its plan show.
    pub fn of(world: &World, plan: &Plan) -> Rack {
        let desired = world.desired.as_deref();
        let clusters = desired.iter().flat_map(|desired| desired.clusters.keys()).filter_map(|name| {
            let status = cluster_status(world, plan, name)?;
            let hosts = desired.iter().flat_map(|desired| desired.hosts_of(name));
            Some((status, hosts.filter_map(|spec| host_status(world, plan, &spec.id)).collect()))
        });
        Rack {
            clusters: clusters.collect(),
            armed: world.consent == Consent::Open,
            revision: desired.and_then(|desired| desired.revision.clone()),
            rejected: world.rejected.as_ref().map(|rejected| RejectedStatus {
                revision: rejected.revision.clone(),
                since: rejected.at.to_string(),
                findings: rejected.findings.clone(),
            }),
            warnings: desired.map(|desired| desired.warnings.clone()).unwrap_or_default(),
            foreign_dhcp: world.foreign_dhcp.map(|(server, at)| (server, at.to_string())),
            full_ranges: world.full_ranges.iter().map(|(subnet, at)| (*subnet, at.to_string())).collect(),
            unclaimed: unclaimed(world),
            troubles: troubles(world),
            changes: world.moves.last,
            standings: BTreeMap::new(),
        }
    }

    /// The same without clusters and hosts, as JSON.
    pub fn summary(&self) -> serde_json::Value {
        let foreign =
            self.foreign_dhcp.as_ref().map(|(server, seen)| serde_json::json!({"server": server, "seen": seen}));
        let full = self.full_ranges.iter().map(|(subnet, since)| serde_json::json!({"subnet": subnet, "since": since}));
        let full: Vec<_> = full.collect();
        serde_json::json!({
            "armed": self.armed,
            "revision": self.revision,
            "rejected": self.rejected,
            "warnings": self.warnings,
            "foreign_dhcp": foreign,
            "full_ranges": full,
            "unclaimed": self.unclaimed,
            "troubles": self.troubles,
            "changes": self.changes,
        })
    }
}

fn troubles(world: &World) -> Vec<Trouble> {
    let git = &world.git;
    let receivers = world.policy.receivers.iter().filter_map(|it| world.notices.receivers.get(&it.name));
    let notify = receivers.filter_map(|receiver| receiver.failure.as_ref());
    let failing = [&git.fetch_failure, &git.publish_failure, &git.commit_status.failure].into_iter().flatten();
    failing
        .chain(notify)
        .map(|failure| Trouble {
            action: failure.action,
            reason: failure.fault.reason,
            message: failure.fault.message.clone(),
            count: failure.count,
            at: failure.at.to_string(),
        })
        .collect()
}
