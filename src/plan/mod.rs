//! Floor 1: decisions. Pure, synchronous, total: no I/O, no clock, no await. Imports `model`.
//!
//! The files depend on each other one way, and a test keeps it so: [`step`] and the context of a plan; what the facts
//! mean ([`install`], [`bmc`], [`ssh`], [`view`]); what is done next to a host ([`host`]), to a cluster ([`cluster`]) and
//! to the rack.

pub mod bmc;
pub mod boot;
pub mod check;
pub mod cluster;
mod context;
pub mod diff;
mod finish;
mod forge;
pub mod host;
pub mod image;
pub mod install;
pub mod lease;
pub mod nic;
mod notice;
mod publish;
mod rack;
mod reach;
pub mod reduce;
pub mod report;
pub mod ssh;
pub mod step;
mod task;
pub mod view;
mod write_back;

pub use check::check;
pub use reduce::reduce;
pub use step::{ClusterPlan, HostPlan, Plan, Step};

use crate::model::{Time, World};
use context::PlanContext;
use view::ClusterView;

/// Decides everything. Same World and time, same Plan.
pub fn plan(world: &World, now: Time) -> Plan {
    let mut ctx = PlanContext::new(world, now);
    let mut plan = Plan::default();
    let mut shown = rack::Shown::new(world);
    if world.adopted {
        rack::fetch(&mut ctx);
        plan_clusters(&mut ctx, &mut plan, &mut shown);
        image::fetch(&mut ctx);
    } else {
        rack::adopt(&mut ctx);
    }
    plan.fingerprint = shown.finish();
    if world.adopted {
        publish::publish(&mut ctx, &plan);
        notice::notify(&mut ctx, &plan);
        forge::tell(&mut ctx, &plan);
    }
    Plan { actions: ctx.actions, wake_at: ctx.wake_at, ..plan }
}

fn plan_clusters(ctx: &mut PlanContext<'_>, plan: &mut Plan, shown: &mut rack::Shown) {
    let world = ctx.world;
    let Some(desired) = &world.desired else { return };
    let views: Vec<ClusterView<'_>> = desired.clusters.values().map(|spec| ClusterView::new(world, spec)).collect();
    ctx.installs = views.iter().flat_map(|view| &view.hosts).filter(|host| host.is_being_installed()).count();
    plan.hosts.reserve(desired.hosts.len());
    for view in &views {
        let outlook = view.is_open().then(|| task::outlook(ctx, view));
        for host in &view.hosts {
            let planned = host::plan(ctx, host, view, outlook.as_ref());
            image::want(ctx, host.spec, host.facts);
            shown.host(host, &planned);
            plan.hosts.push(planned);
        }
        let mut planned = cluster::plan(ctx, view, outlook);
        write_back::push(ctx, view, &mut planned);
        forge::note(ctx, &mut planned);
        shown.cluster(world, view, &planned);
        plan.clusters.push(planned);
    }
}
