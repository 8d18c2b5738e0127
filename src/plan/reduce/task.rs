//! Tasks of a cluster: begun, news of them, and how they ended.

use super::shown::note;
use super::{Touched, cluster_mut, outward};
use crate::model::{
    Action, ClusterFacts, ClusterName, Digest, Doing, Failure, Fault, FaultClass, HostId, MoveKind, Outcome, TaskId,
    TaskNews, TaskRecord, Time, TokenId, World,
};
use crate::plan::cluster::task_basis;

pub(super) fn started(world: &mut World, cluster: &ClusterName, action: &Action, now: Time) {
    let revision = world.desired.as_ref().and_then(|desired| desired.revision.clone());
    let facts = cluster_mut(world, cluster);
    facts.doing_at = revision;
    facts.doing = Some(Doing { action: action.clone(), since: now, credential: None });
    facts.progress = None;
}

/// News from a task: only of the one that is running.
pub(super) fn told(
    world: &mut World,
    cluster: &ClusterName,
    task: &TaskId,
    news: &TaskNews,
    now: Time,
) -> (crate::model::Verdict, Touched) {
    let facts = cluster_mut(world, cluster);
    if let Some(Doing { action: Action::Run { task: running, definition, covers, .. }, .. }) = facts.doing.clone()
        && running == *task
    {
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
    });
    record.definition = definition.clone();
    record
}

/// After a restart: what cannot be run twice waits for a person, for nobody knows how far it came.
pub(super) fn interrupted(world: &mut World, cluster: &ClusterName, action: &Action, fault: &Fault, now: Time) {
    let mut fault = fault.clone();
    if let Action::Run { task, .. } = action
        && !is_idempotent(world, cluster, task)
    {
        fault.class = FaultClass::Operator;
    }
    ended(world, cluster, action, &Err(fault), now);
}

fn is_idempotent(world: &World, cluster: &ClusterName, task: &TaskId) -> bool {
    let spec = world.desired.as_ref().and_then(|desired| desired.clusters.get(cluster));
    spec.and_then(|spec| spec.tasks.iter().find(|it| it.id == *task)).is_some_and(|it| it.idempotent)
}

pub(super) fn ended(
    world: &mut World,
    cluster: &ClusterName,
    action: &Action,
    result: &Result<Outcome, Fault>,
    now: Time,
) -> Touched {
    let Action::Run { task, definition, covers, run, .. } = action else { return Touched::Nobody };
    let facts = cluster_mut(world, cluster);
    facts.doing = None;
    let revision = facts.doing_at.take();
    facts.progress = None;
    let record = record(facts, task, definition, now);
    record.at = now;
    let to = match result {
        Ok(outcome) => {
            record.covers.extend(covers.iter().map(|(id, token)| (id.clone(), token.clone())));
            record.failure = None;
            record.failed.clear();
            if let Outcome::Configured { generated: Some(id) } = outcome {
                facts.generated = Some(outward::generated(id.clone(), revision, *run, now));
            }
            "done"
        }
        Err(fault) => {
            let count = record.failure.as_ref().map_or(0, |(last, _)| last.count) + 1;
            let basis = task_basis(definition, *run);
            let failure = Failure { action: "run".to_owned(), fault: fault.clone(), count, at: now, basis };
            record.failure = Some((failure, *run));
            "failed"
        }
    };
    note(world, MoveKind::Task, &format!("{cluster}/{task}"), "running", to, now);
    Touched::Cluster(cluster.clone())
}
