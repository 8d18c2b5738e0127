//! The whole rack as people are shown it; the API, the page and the metrics are made from this.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::status::{ClusterStatus, HostStatus, RejectedStatus, UnclaimedStatus};
use crate::model::{ActionKind, Consent, Finding, Lane, Mac, Reason, Revision, Stamp, World};
use crate::plan::Plan;
use crate::plan::report::{cluster_status, host_status, rejected, unclaimed};
use crate::serve::trace::Standing;

/// The rack as a whole.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "the fields' names say all where there is no comment")]
pub struct Rack {
    /// Whether installs are allowed.
    pub armed: bool,
    /// The revision in force.
    pub revision: Option<Revision>,
    pub rejected: Option<RejectedStatus>,
    /// Warnings about the revision in force.
    pub warnings: Vec<Finding>,
    pub foreign_dhcp: Option<ForeignDhcp>,
    pub full_ranges: Vec<FullRange>,
    /// By MAC.
    pub unclaimed: BTreeMap<Mac, UnclaimedStatus>,
    pub troubles: Vec<Trouble>,
    /// How many state changes there were so far.
    pub changes: u64,
    /// Every cluster with its hosts, in name order.
    #[serde(skip)]
    pub clusters: Vec<(ClusterStatus, Vec<HostStatus>)>,
    /// Where the network boots of machines stand that are not done, by boot MAC; only the page shows it here.
    #[serde(skip)]
    pub standings: BTreeMap<Mac, Standing>,
}

/// Another DHCP server on the network.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline)]
#[allow(missing_docs, reason = "the fields' names say all")]
pub struct ForeignDhcp {
    pub server: Ipv4Addr,
    pub seen: Stamp,
}

/// A subnet whose dynamic range is used up.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline)]
#[allow(missing_docs, reason = "the fields' names say all")]
pub struct FullRange {
    #[schemars(with = "String")]
    pub subnet: Ipv4Net,
    pub since: Stamp,
}

/// Something of the daemon's own that fails: fetching, publishing, telling the forge or a receiver.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline)]
#[allow(missing_docs, reason = "the fields' names say all where there is no comment")]
pub struct Trouble {
    pub action: ActionKind,
    pub reason: Reason,
    /// A sentence for people.
    pub message: String,
    /// How many times in a row.
    pub count: u32,
    /// When last.
    pub at: Stamp,
}

impl Rack {
    /// What concerns the rack as a whole.
    pub fn overview(world: &World) -> Rack {
        let desired = world.desired.as_deref();
        let full = world.full_ranges.iter();
        Rack {
            armed: world.consent == Consent::Open,
            revision: desired.and_then(|desired| desired.revision.clone()),
            rejected: rejected(world),
            warnings: desired.map(|desired| desired.warnings.clone()).unwrap_or_default(),
            foreign_dhcp: world.foreign_dhcp.map(|(server, at)| ForeignDhcp { server, seen: at.into() }),
            full_ranges: full.map(|(subnet, at)| FullRange { subnet: *subnet, since: (*at).into() }).collect(),
            unclaimed: unclaimed(world),
            troubles: troubles(world),
            changes: world.moves.last,
            ..Rack::default()
        }
    }

    /// That, with its clusters and hosts.
    pub fn of(world: &World, plan: &Plan) -> Rack {
        let desired = world.desired.as_deref();
        let clusters = desired.iter().flat_map(|desired| desired.clusters.keys()).filter_map(|name| {
            let status = cluster_status(world, plan, name)?;
            let hosts = desired.iter().flat_map(|desired| desired.hosts_of(name));
            Some((status, hosts.filter_map(|spec| host_status(world, plan, &spec.id)).collect()))
        });
        Rack { clusters: clusters.collect(), ..Rack::overview(world) }
    }
}

fn troubles(world: &World) -> Vec<Trouble> {
    let receivers = world.policy.receivers.iter().map(|it| Lane::Receiver(it.name.clone()));
    let lanes = [Lane::Fetch, Lane::Publish, Lane::Forge(None)].into_iter().chain(receivers);
    lanes
        .filter_map(|lane| world.lanes.failure(&lane))
        .map(|failure| Trouble {
            action: failure.action,
            reason: failure.fault.reason,
            message: failure.fault.message.clone(),
            count: failure.count,
            at: failure.at.into(),
        })
        .collect()
}
