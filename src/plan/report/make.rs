//! World and plan, put into the words of the status files.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::status::{
    ClusterStatus, Condition, Endpoint, FORMAT, Files, GenerationStatus, HostStatus, InstallStatus, PreparingStatus,
    RackStatus, RejectedStatus, SshStatus, TaskStatus, UnclaimedStatus, WriteBackStatus,
};
use crate::model::{
    Action, Announced, ClusterName, ClusterSpec, ConditionStatus, Consent, HostFacts, HostId, HostSpec, HostState,
    Lane, Mac, OfInstall, Reason, Stamp, TaskId, TaskResult, TaskSpec, World,
};
use crate::plan::bmc;
use crate::plan::install::{has_drift, may_install};
use crate::plan::ssh::key;
use crate::plan::step::{HostPlan, Plan, Step};
use crate::plan::task::announcements;
use crate::plan::view::ClusterView;

/// The status of one host: of every host in the repository, and of an installed one that has left it.
pub fn host_status(world: &World, plan: &Plan, id: &HostId) -> Option<HostStatus> {
    match (world.spec(id), plan.host(id)) {
        (Some(spec), Some(host)) => Some(present(spec, world.facts_of(id), host)),
        _ => removed(id, world.facts(id)?),
    }
}

fn present(spec: &HostSpec, facts: &HostFacts, host: &HostPlan) -> HostStatus {
    HostStatus {
        cluster: spec.id.cluster.clone(),
        host: spec.id.host.to_string(),
        state: host.state,
        generation: GenerationStatus {
            wanted: spec.generation,
            installed: facts.installed.as_ref().map(|installed| installed.generation),
        },
        announced: announced(spec, facts, host),
        bmc: spec.has_bmc().then(|| Endpoint {
            mac: Some(spec.bmc_mac),
            address: bmc::address(spec, facts),
            certificate: facts.pin.clone(),
            protocol: facts.bmc.protocol,
        }),
        boot: Endpoint { mac: spec.boot_mac.or(facts.boot_mac), ..boot_endpoint(facts) },
        drift: has_drift(spec, facts),
        notes: host.notes.clone(),
        ..observed(&spec.id, facts, condition(&host.step))
    }
}

/// The generation whose install this file announces: written before the machine is armed, so that a lost journal can
/// never make an installed disk look blank.
fn announced(spec: &HostSpec, facts: &HostFacts, host: &HostPlan) -> Option<crate::model::Generation> {
    let next = host.state == HostState::PxeBooting && may_install(spec, facts);
    if next { Some(spec.generation) } else { facts.intent }
}

/// A host that has left the repository, as long as its disk holds a system of ours or may hold one: should it come back,
/// it must not look blank to a daemon that has lost its journal meanwhile.
fn removed(id: &HostId, facts: &HostFacts) -> Option<HostStatus> {
    let installed = facts.installed.as_ref().map(|installed| installed.generation);
    let announced = facts.intent.max(facts.held);
    let wanted = installed.max(announced).max(facts.claim.as_ref().map(|claim| claim.generation))?;
    let message = "no longer in the repository: left alone".to_owned();
    let condition = Condition { status: ConditionStatus::Ready, reason: Reason::Removed, message, until: None };
    Some(HostStatus { announced, generation: GenerationStatus { wanted, installed }, ..observed(id, facts, condition) })
}

/// The part of a host's status that does not depend on the repository.
fn observed(id: &HostId, facts: &HostFacts, condition: Condition) -> HostStatus {
    let (state, since) = facts.shown.map_or((HostState::Init, Stamp::default()), |(state, at)| (state, at.into()));
    HostStatus {
        cluster: id.cluster.clone(),
        host: id.host.to_string(),
        state,
        since,
        condition,
        generation: GenerationStatus { wanted: crate::model::Generation(0), installed: None },
        installed: facts.installed.as_ref().map(Into::into),
        claim: facts.claim.as_ref().map(|claim| InstallStatus {
            id: claim.token.clone(),
            generation: claim.generation,
            spec: claim.spec.clone(),
            at: claim.at.into(),
        }),
        announced: facts.intent,
        bmc: None,
        boot: boot_endpoint(facts),
        power: facts.power.map(|(power, _)| power),
        ssh: ssh_status(facts),
        preparing: facts.bmc.pending.as_ref().map(|it| PreparingStatus {
            what: it.pending.what.clone(),
            since: it.since.into(),
            times: it.times,
        }),
        disk: facts.bmc.disk.clone(),
        inventory: facts.inventory.as_ref().map(|(inventory, _)| inventory.clone()),
        drift: false,
        notes: Vec::new(),
    }
}

fn ssh_status(facts: &HostFacts) -> Option<SshStatus> {
    let token = &facts.installed.as_ref()?.token;
    let host_key = OfInstall::get(&facts.ssh.key, token).cloned();
    let status = SshStatus {
        fingerprint: host_key.as_deref().map(key::fingerprint),
        host_key,
        boot_before: OfInstall::get(&facts.ssh.before, token).cloned(),
        configured: OfInstall::get(&facts.ssh.configured, token).map(|at| (*at).into()),
    };
    let known = status.host_key.is_some() || status.boot_before.is_some() || status.configured.is_some();
    known.then_some(status)
}

fn boot_endpoint(facts: &HostFacts) -> Endpoint {
    Endpoint { mac: facts.boot_mac, address: facts.host_seen.map(|(ip, _)| ip), certificate: None, protocol: None }
}

fn condition(step: &Step) -> Condition {
    let until = match step {
        Step::Act { until, .. } | Step::Wait { until, .. } => Some(until),
        Step::Stalled { until, .. } => until.as_ref(),
        Step::Done { .. } => None,
    };
    Condition {
        status: step.status(),
        reason: step.reason(),
        message: step.message().to_owned(),
        until: until.map(|at| (*at).into()),
    }
}

/// The status of one cluster, when it is in the repository.
pub fn cluster_status(world: &World, plan: &Plan, name: &ClusterName) -> Option<ClusterStatus> {
    let spec = world.desired.as_ref()?.clusters.get(name)?;
    let cluster = plan.cluster(name)?;
    let mut hosts = BTreeMap::new();
    for host in plan.hosts.iter().filter(|host| host.id.cluster == *name) {
        *hosts.entry(host.state.as_str().to_owned()).or_insert(0) += 1;
    }
    let facts = world.clusters.get(name);
    let shown = facts.and_then(|facts| facts.shown.as_ref());
    let view = ClusterView::new(world, spec);
    let announced: BTreeMap<&TaskId, Announced> = announcements(&view).map(|(task, said)| (&task.id, said)).collect();
    let generated = facts.and_then(|facts| facts.generated.as_ref());
    Some(ClusterStatus {
        cluster: name.clone(),
        state: cluster.state,
        since: shown.map(|(_, at)| (*at).into()).unwrap_or_default(),
        condition: condition(&cluster.step),
        revision: world.desired.as_ref().and_then(|desired| desired.revision.clone()),
        hosts,
        tasks: spec.tasks.iter().map(|task| task_status(world, spec, task, announced.get(&task.id))).collect(),
        write_back: generated.map(|it| WriteBackStatus {
            id: it.id.clone(),
            revision: it.revision.clone(),
            run: it.run,
            since: it.since.into(),
            message: world.lanes.failure(&Lane::WriteBack(name.clone())).map(|failure| failure.fault.to_string()),
        }),
        progress: facts.and_then(|facts| facts.progress.clone()),
        notes: cluster.notes.clone(),
    })
}

fn task_status(world: &World, cluster: &ClusterSpec, task: &TaskSpec, announced: Option<&Announced>) -> TaskStatus {
    let record = world.clusters.get(&cluster.name).and_then(|facts| facts.tasks.get(&task.id));
    let doing = world.lanes.get(&Lane::Task(cluster.name.clone())).doing.as_ref().map(|doing| &doing.action);
    let running = matches!(doing, Some(Action::Run { task: running, .. }) if *running == task.id);
    let failure = record.and_then(|record| record.failure.as_ref());
    let (result, message) = match (&task.blocked, failure, record) {
        _ if running => (TaskResult::Running, None),
        (Some(why), ..) => (TaskResult::Blocked, Some(why.clone())),
        (_, Some(last), _) => (TaskResult::Failed, Some(last.failure.fault.to_string())),
        (_, None, Some(record)) if !record.covers.is_empty() => (TaskResult::Done, None),
        _ => (TaskResult::Pending, None),
    };
    let begun = running || record.is_some_and(|record| failure.is_some() || !record.covers.is_empty());
    let failed = record.map(|record| &record.failed).into_iter().flatten();
    TaskStatus {
        id: task.id.clone(),
        name: task.name.clone(),
        result,
        message,
        at: record.map(|record| record.at.into()),
        definition: record.map(|record| &record.definition).or(announced.map(|_| &task.definition)).cloned(),
        covers: record.map(|record| record.covers.clone()).unwrap_or_default(),
        failed: failed.map(|(id, fault)| (id.clone(), fault.to_string())).collect(),
        fault: failure.map(|last| last.failure.fault.clone()),
        failed_at_run: failure.map(|last| last.run),
        announced: announced.or(record.and_then(|record| record.announced.as_ref())).cloned(),
        log: begun.then(|| format!("runs/{}/{}/", cluster.name, task.id)),
    }
}

/// Everybody on the network whom the repository does not name.
pub fn unclaimed(world: &World) -> BTreeMap<Mac, UnclaimedStatus> {
    let all = world.unclaimed.iter();
    all.map(|(mac, it)| (*mac, UnclaimedStatus { address: it.ip, since: it.since.into() })).collect()
}

/// The watched head, while it is refused.
pub fn rejected(world: &World) -> Option<RejectedStatus> {
    world.rejected.as_ref().map(|it| RejectedStatus {
        revision: it.revision.clone(),
        since: it.at.into(),
        findings: it.findings.clone(),
    })
}

/// The whole status branch. Same World and plan, same bytes.
pub fn report(world: &World, plan: &Plan) -> Files {
    let mut files = Files::new();
    files.insert("README.md".to_owned(), readme(world, plan));
    let rack = RackStatus {
        format: FORMAT,
        armed: world.consent == Consent::Open,
        revision: world.desired.as_ref().and_then(|desired| desired.revision.clone()),
        sequence: world.moves.last,
        unclaimed: unclaimed(world),
    };
    put(&mut files, "rack.yaml".to_owned(), &rack);
    if let Some(rejected) = rejected(world) {
        put(&mut files, "rejected.yaml".to_owned(), &rejected);
    }
    for cluster in &plan.clusters {
        if let Some(status) = cluster_status(world, plan, &cluster.name) {
            let status = ClusterStatus { progress: None, ..status };
            put(&mut files, format!("clusters/{}.yaml", cluster.name), &status);
        }
    }
    for id in world.hosts.keys().chain(plan.hosts.iter().map(|host| &host.id)) {
        let path = format!("hosts/{id}.yaml");
        if !files.contains_key(&path)
            && let Some(status) = host_status(world, plan, id)
        {
            put(&mut files, path, &status);
        }
    }
    for host in &plan.hosts {
        boot_files(world, &host.id, &mut files);
    }
    files
}

fn put<T: serde::Serialize>(files: &mut Files, path: String, value: &T) {
    match serde_saphyr::to_string(value) {
        Ok(text) => files.insert(path, text),
        // Nothing we serialize can fail, and a status file that says so is better than none.
        Err(error) => files.insert(path, format!("error: {error}\n")),
    };
}

fn boot_files(world: &World, id: &HostId, files: &mut Files) {
    let (Some(spec), facts) = (world.spec(id), world.facts_of(id)) else { return };
    let mac = spec.boot_mac.or(facts.boot_mac).map(Mac::hex);
    for file in &spec.files {
        let name = match (&mac, file.name.contains("{mac}")) {
            (_, false) => file.name.to_string(),
            (Some(mac), true) => file.name.replace("{mac}", mac),
            (None, true) => continue,
        };
        let body = spec.body_for(file, &facts.bmc).unwrap_or_else(|| file.body.clone());
        files.insert(format!("boot/{id}/{name}"), body.to_string());
    }
}

fn readme(world: &World, plan: &Plan) -> String {
    let mut text = String::from("# The rack\n\nWritten by rackwright; edits here are lost.\n\n");
    let revision = world.desired.as_ref().and_then(|desired| desired.revision.as_ref());
    match revision {
        Some(revision) => _ = writeln!(text, "In force: `{revision}`\n"),
        None => text.push_str("No revision is in force yet.\n\n"),
    }
    if let Some(rejected) = &world.rejected {
        let count = rejected.findings.len();
        _ = writeln!(text, "**Refused:** `{}` ({count} findings, see rejected.yaml)\n", rejected.revision);
    }
    if world.consent == Consent::Locked {
        text.push_str("**Locked:** nothing is installed until rackwright is started once with `--first-run`.\n\n");
    }
    if let Some(failure) = world.lanes.failure(&Lane::Fetch) {
        _ = writeln!(text, "**The repository cannot be read:** {}\n", cell(&failure.fault.message));
    }
    if let Some((server, _)) = world.foreign_dhcp {
        _ = writeln!(text, "**Another DHCP server answers on this network:** {server}\n");
    }
    for (subnet, since) in world.full_ranges.iter() {
        _ = writeln!(
            text,
            "**No address is free in the dynamic range of {subnet}:** clients go without since {since}\n"
        );
    }
    if !world.unclaimed.is_empty() {
        _ = writeln!(
            text,
            "{} machines or BMCs on the network are not in the repository and left alone (`unclaimed` in rack.yaml).\n",
            world.unclaimed.len()
        );
    }
    for cluster in &plan.clusters {
        let state = condition(&cluster.step);
        _ = writeln!(text, "## {}\n\n{}: {}, {}\n", cluster.name, cluster.state, state.status, cell(&state.message));
        text.push_str("| host | state | condition | generation | message |\n|---|---|---|---|---|\n");
        for host in plan.hosts.iter().filter(|host| host.id.cluster == cluster.name) {
            readme_row(world, host, &mut text);
        }
        text.push('\n');
    }
    text
}

fn readme_row(world: &World, host: &HostPlan, text: &mut String) {
    let shown = condition(&host.step);
    let wanted = world.spec(&host.id).map_or(0, |spec| spec.generation.0);
    let installed = world.facts_of(&host.id).installed.as_ref();
    let installed = installed.map_or_else(|| "-".to_owned(), |installed| installed.generation.to_string());
    let message = cell(&shown.message);
    let (name, state, status) = (&host.id.host, host.state, shown.status);
    _ = writeln!(text, "| {name} | {state} | {status} ({}) | {installed}/{wanted} | {message} |", shown.reason);
}

/// Text made safe for a Markdown table.
fn cell(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('|', "\\|").replace('<', "&lt;")
}
