//! The boot-chain trace beside the status: what a machine asked the boot servers for, and where that stands. It is in
//! the daemon's memory only, so it is in these answers and not on the status branch.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rack::Rack;
use crate::model::status::HostStatus;
use crate::model::{ConditionStatus, Mac, Time, World};
use crate::plan::boot::{Decision, decide};
use crate::serve::Context;
use crate::serve::trace::{Attempt, Known, Standing, standing};
use crate::settings::DhcpMode;

/// What a machine asked the boot servers for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BootChain {
    /// Where the newest attempt stands.
    pub standing: Standing,
    /// What is remembered, the newest last.
    pub attempts: Vec<Attempt>,
}

/// A host's status, and its boot chain.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TracedHost")]
pub struct Traced {
    /// The fields of its status file.
    #[serde(flatten)]
    pub status: HostStatus,
    /// `None` while its boot MAC is not known.
    pub boot_chain: Option<BootChain>,
}

impl Traced {
    /// The status, with what the trace says of its boot MAC.
    pub fn of(ctx: &Context, world: &World, status: HostStatus, now: Time) -> Traced {
        let boot_chain = status.boot.mac.map(|mac| {
            let attempts = ctx.trace.attempts(mac);
            BootChain { standing: standing(attempts.last(), known(ctx, world, &status, mac), now), attempts }
        });
        Traced { status, boot_chain }
    }
}

/// Where the machines stand that are not done and have been heard, for the page.
pub fn standings(ctx: &Context, world: &World, rack: &Rack, now: Time) -> BTreeMap<Mac, Standing> {
    let hosts = rack
        .clusters
        .iter()
        .flat_map(|(_, hosts)| hosts)
        .filter(|host| host.condition.status != ConditionStatus::Ready);
    let spoken = hosts.filter_map(|host| {
        let mac = host.boot.mac?;
        let attempt = ctx.trace.last(mac)?;
        Some((mac, standing(Some(&attempt), known(ctx, world, host, mac), now)))
    });
    spoken.collect()
}

fn known(ctx: &Context, world: &World, status: &HostStatus, mac: Mac) -> Known {
    Known {
        claimed: status.claim.as_ref().map(|claim| claim.at.time()),
        local: matches!(decide(world, mac), Decision::Local { .. }),
        foreign_dhcp: ctx.settings.network.dhcp_mode != DhcpMode::Full,
        since: Some(ctx.trace.since()),
    }
}
