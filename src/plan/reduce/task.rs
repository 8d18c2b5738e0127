//! Tasks of a cluster: begun, news of them, and how they ended.

use std::collections::BTreeMap;

use super::change::{Touched, cluster_mut};
use super::shown::note;
use super::{outward, ssh};
use crate::model::{
    Action, ActionKind, Change, ClusterFacts, ClusterName, ClusterSpec, Digest, Doing, Failure, Fault, FaultClass,
    HostId, Lane, Outcome, Reason, Rerun, TaskFailure, TaskId, TaskIntent, TaskNews, TaskRecord, TaskResult, TaskSpec,
    Time, TokenId, World,
};
use crate::plan::install::running;
use crate::plan::view::{ClusterView, task_basis};

pub(super) fn started(world: &mut World, action: &Action, now: Time) {
    let Action::Run { cluster, task, definition, covers, .. } = action else { return };
    let spec = spec(world, cluster, task);
    let anew = spec.as_ref().is_some_and(|spec| spec.rerun == Rerun::OnChange);
    if spec.as_ref().is_some_and(|spec| spec.is_ansible()) {
        ssh::configuring(world, covers);
    }
    let facts = cluster_mut(world, cluster);
    facts.progress = None;
    let anew = anew && facts.tasks.get(task).is_some_and(|record| record.definition != *definition);
    let record = record(facts, task, definition, now);
    // What was done as it was written before is not done as it is written now, also for a host that is left out of this
    // run.
    if anew {
        record.covers.clear();
    }
    record.failed.retain(|id, _| !covers.contains_key(id));
}

fn spec(world: &World, cluster: &ClusterName, task: &TaskId) -> Option<TaskSpec> {
    let cluster = world.desired.as_ref()?.clusters.get(cluster)?;
    cluster.tasks.iter().find(|it| it.id == *task).cloned()
}

/// What a status commit announced.
pub(super) fn announced(world: &mut World, intent: &TaskIntent, now: Time) {
    let facts = cluster_mut(world, &intent.cluster);
    record(facts, &intent.task, &intent.definition, now).announced = Some(intent.announced.clone());
}

/// Takes newly installed hosts into what was done for their cluster as a whole, once all of it is up again
/// ([`Rerun`] says why).
pub(super) fn take_in(world: &mut World, touched: &Touched) {
    let Some(desired) = world.desired.clone() else { return };
    let names: Vec<ClusterName> = match touched {
        Touched::Nobody => Vec::new(),
        Touched::Host(id) => running(world.facts_of(id)).map(|_| id.cluster.clone()).into_iter().collect(),
        Touched::Cluster(name) => vec![name.clone()],
        Touched::Everybody => desired.clusters.keys().cloned().collect(),
    };
    for name in names {
        let Some(cluster) = desired.clusters.get(&name) else { continue };
        for (task, covers) in newcomers(world, cluster) {
            if let Some(record) = cluster_mut(world, &name).tasks.get_mut(&task) {
                record.covers.extend(covers);
            }
        }
    }
}

/// The installs that are to be taken in, by task.
fn newcomers(world: &World, cluster: &ClusterSpec) -> Vec<(TaskId, BTreeMap<HostId, TokenId>)> {
    let records = world.clusters.get(&cluster.name).map(|facts| &facts.tasks);
    let done = |task: &TaskSpec| {
        let record = records.and_then(|records| records.get(&task.id));
        task.is_for_cluster() && record.is_some_and(|record| !record.covers.is_empty())
    };
    if !cluster.tasks.iter().any(done) {
        return Vec::new();
    }
    let view = ClusterView::new(world, cluster);
    if !view.is_open() {
        return Vec::new();
    }
    let tasks = cluster.tasks.iter().filter(|task| done(task) && view.is_carried(task));
    let tasks = tasks.map(|task| (task.id.clone(), view.not_yet_in(task)));
    tasks.filter(|(_, covers)| !covers.is_empty()).collect()
}

/// News from a task: only of the one that is running.
pub(super) fn told(
    world: &mut World,
    cluster: &ClusterName,
    task: &TaskId,
    news: &TaskNews,
    now: Time,
) -> (crate::model::Verdict, Touched) {
    let doing = world.lanes.get(&Lane::Task(cluster.clone())).doing.clone();
    if let Some(Doing { action: Action::Run { task: running, definition, covers, .. }, .. }) = doing
        && running == *task
    {
        let facts = cluster_mut(world, cluster);
        match news {
            TaskNews::Progress(progress) => facts.progress = Some(progress.clone()),
            TaskNews::Target { host, result } => {
                let token = covers.get(host).cloned();
                target_ended(record(facts, task, &definition, now), host, token, result, now);
            }
        }
    }
    (crate::model::Verdict::Ok, Touched::Nobody)
}

fn target_ended(record: &mut TaskRecord, host: &HostId, token: Option<TokenId>, result: &Result<(), Fault>, now: Time) {
    record.at = now;
    match (result, token) {
        (Ok(()), Some(token)) => {
            record.covers.insert(host.clone(), token);
            record.failed.remove(host);
        }
        (Ok(()), None) => {}
        (Err(fault), _) => _ = record.failed.insert(host.clone(), fault.clone()),
    }
}

fn record<'f>(facts: &'f mut ClusterFacts, task: &TaskId, definition: &Digest, now: Time) -> &'f mut TaskRecord {
    let record = facts.tasks.entry(task.clone()).or_insert_with(|| TaskRecord {
        definition: definition.clone(),
        covers: Default::default(),
        failure: None,
        failed: Default::default(),
        at: now,
        announced: None,
    });
    record.definition = definition.clone();
    record
}

/// After a restart: what cannot be run twice waits for a person, for nobody knows how far it came.
pub(super) fn interrupted(world: &mut World, action: &Action, now: Time) {
    let Action::Run { cluster, task, do_bootstrap, .. } = action else { return };
    let spec = spec(world, cluster, task);
    let fault = if spec.is_some_and(|spec| spec.idempotent) {
        Fault::transient(Reason::Interrupted, "rackwright was restarted while it ran; its outcome is unknown")
    } else {
        Fault::operator(
            Reason::Interrupted,
            format!("rackwright was restarted while it ran, {}", unknown(*do_bootstrap)),
        )
    };
    ended(world, action, None, &Err(fault), now);
}

/// What is said of a run whose outcome is unknown and that must not be repeated unasked.
pub(super) fn unknown(do_bootstrap: bool) -> &'static str {
    if do_bootstrap {
        "and it is not known how far it came: read its log and look at the hosts; run again it would make the cluster \
         anew (do_bootstrap), so that half-made hosts should be installed anew first"
    } else {
        "and it is not known how far it came: read its log and look at the hosts before it is run again"
    }
}

pub(super) fn ended(
    world: &mut World,
    action: &Action,
    doing: Option<Doing>,
    result: &Result<Outcome, Fault>,
    now: Time,
) -> Touched {
    let Action::Run { cluster, task, definition, covers, run, .. } = action else { return Touched::Nobody };
    let facts = cluster_mut(world, cluster);
    facts.progress = None;
    let record = record(facts, task, definition, now);
    record.at = now;
    let to = match result {
        Ok(outcome) => {
            record.covers.extend(covers.iter().map(|(id, token)| (id.clone(), token.clone())));
            record.failure = None;
            record.failed.clear();
            record.announced = None;
            if let Outcome::Configured { generated: Some(id) } = outcome {
                let revision = doing.and_then(|doing| doing.revision);
                outward::generated(world, cluster, id.clone(), revision, *run, now);
            }
            TaskResult::Done
        }
        Err(fault) => {
            let begun = fault.class != FaultClass::Transient;
            let count = record.failure.as_ref().map_or(0, |last| last.failure.count) + 1;
            let basis = task_basis(definition, *run);
            let failure = Failure { action: ActionKind::Run, fault: fault.clone(), count, at: now, basis };
            record.failure = Some(TaskFailure { failure, run: *run });
            if !begun {
                ssh::not_begun(world, covers);
            }
            TaskResult::Failed
        }
    };
    note(world, &format!("{cluster}/{task}"), Change::Task { from: TaskResult::Running, to }, now);
    Touched::Cluster(cluster.clone())
}
