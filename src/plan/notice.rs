//! Telling people: which changes become messages, who gets them, and when. Receivers do not wait for each other, and
//! nothing waits for a receiver.

use std::collections::BTreeMap;

use super::context::PlanContext;
use super::step::{ClusterPlan, HostPlan, Plan, Step};
use super::view::given_up;
use crate::model::{
    Action, Change, ClusterName, ClusterState, ConditionChange, HeadState, HostId, HostSpec, HostState, Lane, Move,
    MoveKind, Notice, NoticeKind, OnComplete, Receiver, ReceiverFacts, Stalled, TaskResult, TaskSpec, Time, World,
};

/// Messages that wait for a receiver at most; the oldest are dropped, with a count.
const QUEUE: usize = 200;
/// How long a message waits for a receiver at most.
const STALE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
/// Changes that are of no interest to a receiver before that is remembered.
const SKIPPED: u64 = 100;
/// Changes of conditions that are remembered in one go.
const CHANGES: usize = 500;

/// Sends each receiver the next message it has not been told, and remembers what became stalled.
pub(super) fn notify(ctx: &mut PlanContext<'_>, plan: &Plan) {
    let world = ctx.world;
    if ctx.policy.receivers.is_empty() {
        return;
    }
    let changes = changes(world, plan);
    if !changes.is_empty() {
        ctx.begin(Action::Note { changes });
    }
    for receiver in &ctx.policy.receivers {
        if !ctx.is_due(&Lane::Receiver(receiver.name.clone()), &receiver.name) {
            continue;
        }
        let newest = world.moves.last;
        let (moves_upto, notices) = match world.notices.receivers.get(&receiver.name) {
            // Whoever is new is told of what comes, not of what was.
            None => (newest, Vec::new()),
            Some(facts) if facts.told >= newest => continue,
            Some(facts) => match next(world, ctx.now, receiver, facts) {
                Some((moves_upto, notice)) => (moves_upto, vec![notice]),
                None if newest - facts.told >= SKIPPED => (newest, Vec::new()),
                None => continue,
            },
        };
        ctx.begin(Action::Notify { receiver: receiver.name.clone(), moves_upto, notices });
    }
}

/// The next message for a receiver, and the change it is about.
fn next(world: &World, now: Time, receiver: &Receiver, facts: &ReceiverFacts) -> Option<(u64, Notice)> {
    let news = world.moves.recent.iter().filter(|entry| entry.seq > facts.told);
    let all: Vec<(&Move, Notice)> = news.filter_map(|entry| Some((entry, wanted(world, receiver, entry)?))).collect();
    let fresh = |(entry, _): &&(&Move, Notice)| entry.at + STALE > now;
    let kept = all.iter().rev().take(QUEUE).filter(fresh).count();
    let dropped = all.len() - kept;
    // When all of them are stale the newest is told, so that the receiver hears of the others.
    let (entry, notice) = all.get(dropped).or(all.last())?;
    let dropped = (dropped as u64).min(all.len() as u64 - 1) + facts.refused;
    let mut notice = notice.clone();
    if dropped > 0 {
        let what = if dropped == 1 { "earlier message" } else { "earlier messages" };
        notice.message.push_str(&format!(" ({dropped} {what} could not be delivered)"));
    }
    Some((entry.seq, notice))
}

fn wanted(world: &World, receiver: &Receiver, entry: &Move) -> Option<Notice> {
    let cluster = entry.subject.split('/').next().unwrap_or_default();
    let of_repository = entry.change.kind() == MoveKind::Repository;
    let theirs = |name: &str| receiver.clusters.iter().any(|it| it.as_str() == name);
    if !receiver.clusters.is_empty() && (of_repository || !theirs(cluster)) {
        return None;
    }
    notice(world, entry).filter(|notice| receiver.events.contains(&notice.kind))
}

fn notice(world: &World, entry: &Move) -> Option<Notice> {
    let (subject, (from, to)) = (&entry.subject, entry.change.words());
    let (kind, message) = match entry.change {
        Change::Host { to: HostState::Init, .. } => return None,
        Change::Host { to: HostState::PxeBooting, .. } => {
            (NoticeKind::Info, format!("{subject}: network boot ordered"))
        }
        Change::Cluster { to: ClusterState::Completed, .. } => (NoticeKind::Completed, completed(world, subject)),
        Change::Cluster { to: ClusterState::Provisioning, .. } => {
            (NoticeKind::Begin, format!("{subject}: provisioning begins"))
        }
        Change::Cluster { to: ClusterState::AnsibleRunning, .. } => {
            (NoticeKind::Begin, format!("{subject}: all hosts are up, configuration begins"))
        }
        Change::Host { .. } | Change::Cluster { .. } => (NoticeKind::Info, format!("{subject}: {from} -> {to}")),
        Change::Condition { to: None, .. } => (NoticeKind::Success, format!("{subject}: no longer stalled ({from})")),
        Change::Condition { .. } => (NoticeKind::Failure, format!("{subject}: stalled: {to}: {}", entry.message)),
        // What a failure means is told once the plan has judged it: as a condition.
        Change::Task { to: TaskResult::Done, .. } => (NoticeKind::Success, format!("{subject}: done")),
        Change::Task { .. } => (NoticeKind::Info, format!("{subject}: {to}")),
        Change::Repository { to: HeadState::Rejected, .. } => (NoticeKind::Failure, rejected(world)),
        Change::Repository { to: HeadState::Accepted, .. } => {
            (NoticeKind::Success, "the head of the repository is accepted again".to_owned())
        }
    };
    Some(Notice { kind, message })
}

fn rejected(world: &World) -> String {
    let Some(rejected) = &world.rejected else {
        return "a head of the repository was refused; it has been replaced since".to_owned();
    };
    let head = rejected.revision.short();
    format!("the head {head} of the repository is refused; correct it: {}", first_finding(&rejected.findings))
}

/// The first error, and how many there are.
pub(super) fn first_finding(findings: &[crate::model::Finding]) -> String {
    let errors: Vec<_> = findings.iter().filter(|it| it.severity == crate::model::Severity::Error).collect();
    match (errors.first(), errors.len().saturating_sub(1)) {
        (None, _) => "see rejected.yaml".to_owned(),
        (Some(first), 0) => first.to_string(),
        (Some(first), more) => format!("{first} (and {more} more)"),
    }
}

/// A cluster is complete: what is left to be done by hand?
fn completed(world: &World, cluster: &str) -> String {
    let desired = world.desired.as_ref();
    let spec = desired.and_then(|desired| desired.clusters.values().find(|spec| spec.name.as_str() == cluster));
    let (Some(desired), Some(spec)) = (desired, spec) else { return format!("{cluster}: completed") };
    let powered_off = spec.on_complete == OnComplete::PowerOff;
    let without: Vec<&str> =
        desired.hosts_of(&spec.name).filter(|host| by_hand(host)).map(|host| &*host.id.host).collect();
    let facts = world.clusters.get(&spec.name);
    let record = |task: &TaskSpec| facts.and_then(|facts| facts.tasks.get(&task.id));
    let failed = spec.tasks.iter().filter(|task| given_up(task, record(task), spec));
    let failed: Vec<String> = failed.map(|task| format!("`{}`", task.name)).collect();
    let mut text = format!("{cluster}: completed");
    if !failed.is_empty() {
        text.push_str(&format!(", although {} failed", failed.join(", ")));
    }
    if powered_off {
        text.push_str("; its hosts are shut down");
    }
    if powered_off && !without.is_empty() {
        // Over SSH, where that works; nobody can look from outside.
        text.push_str(&format!("; without BMC, make sure of it by hand: {}", without.join(", ")));
    }
    text
}

fn by_hand(host: &HostSpec) -> bool {
    !host.has_bmc() && host.state == crate::model::Lifecycle::Present
}

/// What became stalled since people were told, and what goes on.
fn changes(world: &World, plan: &Plan) -> Vec<ConditionChange> {
    let known = &world.notices.stalled;
    let now = stalled(world, plan);
    let mut changes: Vec<ConditionChange> = Vec::new();
    for (subject, (stalled, message)) in &now {
        if known.get(subject) != Some(stalled) {
            let (subject, stalled, message) = (subject.clone(), Some(stalled.clone()), message.clone());
            changes.push(ConditionChange { subject, stalled, message });
        }
    }
    for (subject, before) in known.iter().filter(|(subject, _)| !now.contains_key(*subject)) {
        if is_over(world, plan, subject, before) {
            changes.push(ConditionChange { subject: subject.clone(), stalled: None, message: String::new() });
        }
    }
    changes.truncate(CHANGES);
    changes
}

/// Whether something that is not stalled now has got further. A retry that is under way has not: its failure would be
/// told again and again.
fn is_over(world: &World, plan: &Plan, subject: &str, before: &Stalled) -> bool {
    let host = subject.split_once('/').map(|(cluster, host)| HostId::new(&ClusterName::new(cluster), host));
    let cluster = plan.clusters.iter().find(|cluster| cluster.name.as_str() == subject);
    match (host.and_then(|id| plan.host(&id)), cluster) {
        (Some(host), _) => matches!(host.step, Step::Done { .. }) || place_of_host(world, host) != before.place,
        (_, Some(cluster)) => {
            matches!(cluster.step, Step::Done { .. }) || place_of_cluster(world, cluster) != before.place
        }
        // A task, or nothing that the repository still has.
        _ => true,
    }
}

fn place_of_host(world: &World, host: &HostPlan) -> String {
    let generation = world.spec(&host.id).map_or(0, |spec| spec.generation.0);
    format!("{} {generation}", host.state)
}

fn place_of_cluster(world: &World, cluster: &ClusterPlan) -> String {
    let run = world.desired.as_ref().and_then(|it| it.clusters.get(&cluster.name)).map_or(0, |spec| spec.run);
    let tasks = world.clusters.get(&cluster.name).into_iter().flat_map(|facts| &facts.tasks);
    let failed: Vec<&str> = tasks.filter(|(_, record)| record.failure.is_some()).map(|(id, _)| id.as_str()).collect();
    format!("{} {run} {}", cluster.state, failed.join(","))
}

/// Everything that waits for a person, with what to say of it.
pub(super) fn stalled(world: &World, plan: &Plan) -> BTreeMap<String, (Stalled, String)> {
    let mut all = BTreeMap::new();
    let steps: BTreeMap<_, _> = plan.clusters.iter().map(|cluster| (&cluster.name, &cluster.step)).collect();
    for cluster in &plan.clusters {
        if let Step::Stalled { reason, message, .. } = &cluster.step {
            let stalled = Stalled { reason: *reason, place: place_of_cluster(world, cluster) };
            all.insert(cluster.name.to_string(), (stalled, message.clone()));
        }
        failed_aside(world, cluster, &mut all);
    }
    for host in &plan.hosts {
        let Step::Stalled { reason, message, .. } = &host.step else { continue };
        // A host that waits for its cluster has its cluster's step.
        if steps.get(&host.id.cluster).is_none_or(|step| **step != host.step) {
            let stalled = Stalled { reason: *reason, place: place_of_host(world, host) };
            all.insert(host.id.to_string(), (stalled, message.clone()));
        }
    }
    all
}

/// Tasks that failed for good and let the next ones go on.
fn failed_aside(world: &World, cluster: &ClusterPlan, all: &mut BTreeMap<String, (Stalled, String)>) {
    let desired = world.desired.as_ref().and_then(|desired| desired.clusters.get(&cluster.name));
    let (Some(spec), Some(facts)) = (desired, world.clusters.get(&cluster.name)) else { return };
    for task in &spec.tasks {
        let record = facts.tasks.get(&task.id).filter(|record| given_up(task, Some(record), spec));
        if let Some(last) = record.and_then(|record| record.failure.as_ref()) {
            let (failure, run) = (&last.failure, last.run);
            let stalled = Stalled { reason: failure.fault.reason, place: format!("run {run}") };
            let again = format!("raise the cluster's `run` above {run} to try it again");
            let message = format!("{}: {}; the tasks after it go on; {again}", task.name, failure.fault.message);
            all.insert(format!("{}/{}", spec.name, task.id), (stalled, message));
        }
    }
}
