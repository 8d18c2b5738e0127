//! What people see of a demo: every change of state as it happens, and at the end the status branch's log.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anstyle::AnsiColor;
use anyhow::Context as _;
use tokio::sync::watch;

use super::stage::Stage;
use crate::daemon::clock;
use crate::model::{Change, ClusterState, HostState, Time, World};
use crate::plan::{self, Step};

/// Prints every change of state as it happens, until all is completed and published.
/// From time to time `help` looks at the World: whoever plays the people around the rack.
pub(super) async fn follow(
    view: &mut watch::Receiver<Arc<World>>,
    began: Time,
    out: &mut dyn Write,
    mut help: impl AsyncFnMut(&World) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut seen = 0;
    let mut look = tokio::time::interval(Duration::from_secs(3));
    loop {
        let world = view.borrow_and_update().clone();
        for entry in world.moves.recent.iter().filter(|entry| entry.seq > seen) {
            let after = entry.at.since(began).as_secs_f64();
            let colour = match entry.change {
                Change::Host { to: HostState::Completed, .. } | Change::Cluster { to: ClusterState::Completed, .. } => {
                    AnsiColor::Green.on_default()
                }
                _ => anstyle::Style::new(),
            };
            let (from, to) = entry.change.words();
            writeln!(out, "{after:6.1}s  {:<24} {from} -> {colour}{to}{colour:#}", entry.subject)?;
        }
        seen = world.moves.last;
        if all_done(&world) {
            return Ok(());
        }
        tokio::select! {
            changed = view.changed() => changed.context("the daemon stopped")?,
            _ = look.tick() => help(&world).await?,
        }
    }
}

fn all_done(world: &World) -> bool {
    let Some(desired) = world.desired.as_ref().filter(|desired| !desired.hosts.is_empty()) else { return false };
    let plan = plan::plan(world, clock::now());
    plan.hosts.len() == desired.hosts.len()
        && plan.hosts.iter().all(|host| host.state == HostState::Completed && matches!(host.step, Step::Done { .. }))
        && plan.clusters.iter().all(|cluster| cluster.state == ClusterState::Completed)
        && world.moves.published == world.moves.last
        && world.git.published == Some(plan.fingerprint)
}

/// Prints the status branch's log, and who is not completed. 0 when everybody is, 1 otherwise.
pub(super) async fn finale(
    stage: &Stage,
    world: &World,
    completed: bool,
    began: Time,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    writeln!(out, "\nThe status branch, oldest first (git log --reverse rackwright/status):")?;
    let format = "--format=%h%x09%s%x09%(trailers:key=Transition,valueonly,separator=%x09)";
    let log = stage.git(&stage.repository(), &["log", "--reverse", format, "rackwright/status"]).await?;
    for line in log.lines() {
        let mut parts = line.split('\t');
        let (hash, subject) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let transitions: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        if transitions.is_empty() {
            writeln!(out, "{hash} {subject}")?;
        }
        for transition in transitions {
            writeln!(out, "{hash} {transition}")?;
        }
    }
    let plan = plan::plan(world, clock::now());
    let total = plan.hosts.len();
    let done = plan.hosts.iter().filter(|host| host.state == HostState::Completed).count();
    let took = clock::now().since(began).as_secs_f64();
    writeln!(out, "\n{done} of {total} hosts completed in {took:.1} s")?;
    if !completed {
        for host in plan.hosts.iter().filter(|host| !matches!(host.step, Step::Done { .. })) {
            writeln!(out, "{} {}: {:?}", host.id, host.state, host.step)?;
        }
        for cluster in plan.clusters.iter().filter(|cluster| !matches!(cluster.step, Step::Done { .. })) {
            writeln!(out, "{} {}: {:?}", cluster.name, cluster.state, cluster.step)?;
        }
    }
    Ok(u8::from(!completed))
}
