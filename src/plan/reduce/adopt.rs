//! Adoption: a daemon whose journal is empty believes what the status branch says, and nothing beyond it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{cluster_mut, host_mut, set_boot_mac, task};
use crate::model::{
    ActionKind, AdoptedHost, AdoptedTask, Adoption, Claim, Consent, Failure, Fault, FaultClass, HostState, Lease,
    LeaseOrigin, Mac, Reason, TaskRecord, Time, World,
};
use crate::plan::task::task_basis;

/// How long an address read from the status branch is kept for its MAC, until that renews it.
const LEASE_GRACE: Duration = Duration::from_secs(3600);

pub(super) fn adopt(world: &mut World, adoption: Option<&Adoption>, now: Time) {
    world.adopted = true;
    world.git.fetch_failure = None;
    let Some(adoption) = adoption else { return };
    if adoption.armed {
        world.consent = Consent::Open;
    }
    let moves = Arc::make_mut(&mut world.moves);
    moves.last = moves.last.max(adoption.sequence);
    moves.published = moves.last;
    for host in &adoption.hosts {
        adopt_host(world, host, now);
    }
    for task in &adoption.tasks {
        adopt_task(world, task);
    }
    for (name, generated) in &adoption.generated {
        cluster_mut(world, name).generated = Some(generated.clone());
    }
    for (name, state, since) in &adoption.clusters {
        cluster_mut(world, name).shown = Some((*state, *since));
    }
}

fn adopt_host(world: &mut World, host: &AdoptedHost, now: Time) {
    for (mac, ip) in [host.bmc, host.boot] {
        adopt_lease(world, mac, ip, now);
    }
    if let Some(mac) = host.boot.0 {
        set_boot_mac(world, &host.id, mac);
    }
    let facts = host_mut(world, &host.id);
    facts.shown = Some((host.state, host.since));
    facts.inventory = host.inventory.clone().map(|inventory| (inventory, host.since));
    facts.power = host.power.map(|power| (power, host.since));
    facts.pin.clone_from(&host.pin);
    facts.bmc.protocol = host.protocol;
    facts.bmc_seen = host.bmc.1.map(|ip| (ip, host.since));
    facts.host_seen = host.boot.1.map(|ip| (ip, host.since));
    facts.installed.clone_from(&host.installed);
    facts.intent = host.announced;
    facts.claim = host.claim.clone().map(|(token, generation, spec)| Claim {
        token,
        generation,
        spec,
        at: host.since,
        last_seen: host.since,
        confirmed: false,
    });
    if let Some(installed) = &host.installed {
        let of = |text: &String| (installed.token.clone(), text.clone());
        facts.ssh.key = host.ssh_key.as_ref().map(of);
        facts.ssh.before = host.boot_before.as_ref().map(of);
        facts.ssh.configured = host.configured.map(|at| (installed.token.clone(), at));
    }
    let installed = host.installed.as_ref();
    // An announced install that the branch does not show as done may have happened since: never repeat it unasked.
    facts.held = host.announced.filter(|announced| installed.is_none_or(|it| it.generation < *announced));
    if let Some(installed) = installed.filter(|_| host.state >= HostState::BootedInitial) {
        facts.booted = Some((installed.token.clone(), host.since));
        if host.state == HostState::Completed && host.ready {
            facts.finished = Some((installed.token.clone(), host.since));
        }
    }
}

fn adopt_lease(world: &mut World, mac: Option<Mac>, ip: Option<IpAddr>, now: Time) {
    if let (Some(mac), Some(IpAddr::V4(ip))) = (mac, ip)
        && world.policy.site.subnet_of(ip).is_some()
    {
        let lease = Lease { ip, mac: Some(mac), until: now + LEASE_GRACE, by: LeaseOrigin::Own };
        Arc::make_mut(&mut world.leases).insert(lease);
    }
}

fn adopt_task(world: &mut World, task: &AdoptedTask) {
    let failed = |run: u32, fault: Fault| {
        let basis = task_basis(&task.definition, run);
        (Failure { action: ActionKind::Run, fault, count: 1, at: task.at, basis }, run)
    };
    // What was announced and is not shown as done may have been begun since: never repeated unasked.
    let open = task.announced.as_ref().filter(|said| {
        let done = |(id, token)| task.covers.get(id) == Some(token);
        !said.covers.iter().all(done)
    });
    let lost = open.map(|said| {
        let bootstrap = task.task.as_str() == "ansible" && task.covers.is_empty();
        let message = format!("the journal was lost when it was about to run, {}", task::unknown(bootstrap));
        failed(said.run, Fault::operator(Reason::JournalLost, message))
    });
    let failure = task.failed.clone().map(|(run, fault)| failed(run, fault));
    // After a failure that passes by itself it may have been begun once more.
    let later =
        |one: &(Failure, u32), other: &(Failure, u32)| one.1 >= other.1 && one.0.fault.class != FaultClass::Transient;
    let failure = match (failure, lost) {
        (Some(failure), Some(lost)) => Some(if later(&failure, &lost) { failure } else { lost }),
        (failure, lost) => failure.or(lost),
    };
    let record = TaskRecord {
        definition: task.definition.clone(),
        covers: task.covers.clone(),
        failure,
        failed: Default::default(),
        at: task.at,
        announced: task.announced.clone(),
    };
    cluster_mut(world, &task.cluster).tasks.insert(task.task.clone(), record);
}
