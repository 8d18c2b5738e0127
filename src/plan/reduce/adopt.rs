//! Adoption: a daemon whose journal is empty believes what the status branch says, and nothing beyond it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::change::{cluster_mut, forget_failure, host_mut, set_boot_mac};
use super::task;
use crate::model::status::{Endpoint, HostStatus, TaskStatus};
use crate::model::{
    ActionKind, Claim, ClusterName, ConditionStatus, Consent, Failure, Fault, FaultClass, Generated, HostState, Lane,
    Lease, LeaseOrigin, OfInstall, Reason, Stamp, StatusBranch, TaskFailure, TaskRecord, Time, World,
};
use crate::plan::view::task_basis;

/// How long an address read from the status branch is kept for its MAC, until that renews it.
const LEASE_GRACE: Duration = Duration::from_secs(3600);

pub(super) fn adopt(world: &mut World, branch: Option<&StatusBranch>, now: Time) {
    world.adopted = true;
    forget_failure(world, &Lane::Fetch);
    let Some(branch) = branch else { return };
    if branch.rack.armed {
        world.consent = Consent::Open;
    }
    let moves = Arc::make_mut(&mut world.moves);
    moves.last = moves.last.max(branch.rack.sequence);
    moves.published = moves.last;
    for host in &branch.hosts {
        adopt_host(world, host, now);
    }
    for cluster in &branch.clusters {
        for task in &cluster.tasks {
            adopt_task(world, &cluster.cluster, task);
        }
        let facts = cluster_mut(world, &cluster.cluster);
        facts.shown = Some((cluster.state, cluster.since.time()));
        facts.generated = cluster.write_back.as_ref().map(|it| Generated {
            id: it.id.clone(),
            revision: it.revision.clone(),
            run: it.run,
            since: it.since.time(),
            pushed: None,
        });
    }
}

fn adopt_host(world: &mut World, host: &HostStatus, now: Time) {
    let (id, since) = (host.id(), host.since.time());
    for endpoint in host.bmc.iter().chain([&host.boot]) {
        adopt_lease(world, endpoint, now);
    }
    if let Some(mac) = host.boot.mac {
        set_boot_mac(world, &id, mac);
    }
    let facts = host_mut(world, &id);
    facts.shown = Some((host.state, since));
    facts.inventory = host.inventory.clone().map(|inventory| (inventory, since));
    facts.power = host.power.map(|power| (power, since));
    if let Some(bmc) = &host.bmc {
        facts.pin.clone_from(&bmc.certificate);
        facts.bmc.protocol = bmc.protocol;
        facts.bmc_seen = bmc.address.map(|ip| (ip, since));
    }
    facts.host_seen = host.boot.address.map(|ip| (ip, since));
    facts.installed = host.installed.as_ref().map(Into::into);
    facts.intent = host.announced;
    facts.claim = host.claim.as_ref().map(|claim| Claim {
        token: claim.id.clone(),
        generation: claim.generation,
        spec: claim.spec.clone(),
        at: claim.at.time(),
        last_seen: claim.at.time().max(since),
        confirmed: false,
    });
    let installed = facts.installed.as_ref();
    if let (Some(installed), Some(ssh)) = (installed, &host.ssh) {
        let of = |text: &String| OfInstall::new(&installed.token, text.clone());
        facts.ssh.key = ssh.host_key.as_ref().map(of);
        facts.ssh.before = ssh.boot_before.as_ref().map(of);
        facts.ssh.configured = ssh.configured.map(|at| OfInstall::new(&installed.token, at.time()));
    }
    // An announced install that the branch does not show as done may have happened since: never repeat it unasked.
    facts.held = host.announced.filter(|announced| installed.is_none_or(|it| it.generation < *announced));
    if let Some(installed) = installed.filter(|_| host.state >= HostState::BootedInitial) {
        facts.booted = Some(OfInstall::new(&installed.token, since));
        if host.state == HostState::Completed && host.condition.status == ConditionStatus::Ready {
            facts.finished = Some(OfInstall::new(&installed.token, since));
        }
    }
}

fn adopt_lease(world: &mut World, endpoint: &Endpoint, now: Time) {
    if let Endpoint { mac: Some(mac), address: Some(IpAddr::V4(ip)), .. } = *endpoint
        && world.policy.site.subnet_of(ip).is_some()
    {
        let lease = Lease { ip, mac: Some(mac), until: now + LEASE_GRACE, by: LeaseOrigin::Own };
        Arc::make_mut(&mut world.leases).insert(lease);
    }
}

fn adopt_task(world: &mut World, cluster: &ClusterName, task: &TaskStatus) {
    // Without a definition nothing of it was run or announced.
    let Some(definition) = &task.definition else { return };
    let at = task.at.map_or_else(Time::default, Stamp::time);
    let failed = |run: u32, fault: Fault| {
        let basis = task_basis(definition, run);
        TaskFailure { failure: Failure { action: ActionKind::Run, fault, count: 1, at, basis }, run }
    };
    // What was announced and is not shown as done may have been begun since: never repeated unasked.
    let open = task.announced.as_ref().filter(|said| {
        let done = |(id, token)| task.covers.get(id) == Some(token);
        !said.covers.iter().all(done)
    });
    let lost = open.map(|said| {
        let bootstrap = task.id.as_str() == "ansible" && task.covers.is_empty();
        let message = format!("the journal was lost when it was about to run, {}", task::unknown(bootstrap));
        failed(said.run, Fault::operator(Reason::JournalLost, message))
    });
    let failure = task.failed_at_run.zip(task.fault.clone()).map(|(run, fault)| failed(run, fault));
    // After a failure that passes by itself it may have been begun once more.
    let later = |one: &TaskFailure, other: &TaskFailure| {
        one.run >= other.run && one.failure.fault.class != FaultClass::Transient
    };
    let failure = match (failure, lost) {
        (Some(failure), Some(lost)) => Some(if later(&failure, &lost) { failure } else { lost }),
        (failure, lost) => failure.or(lost),
    };
    let record = TaskRecord {
        definition: definition.clone(),
        covers: task.covers.clone(),
        failure,
        failed: Default::default(),
        at,
        announced: task.announced.clone(),
    };
    cluster_mut(world, cluster).tasks.insert(task.id.clone(), record);
}
