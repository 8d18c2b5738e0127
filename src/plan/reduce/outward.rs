//! What is told and given to the forge: files that playbooks made, and how revisions stand.

use super::cluster_mut;
use crate::model::{Action, Digest, Failure, Fault, Outcome, Time, World};

/// After a restart nobody knows how the things under way ended; doing them again is harmless.
pub(super) fn interrupt(world: &mut World) {
    let busy = |facts: &crate::model::ClusterFacts| {
        facts.commit_status.telling.is_some() || facts.generated.as_ref().is_some_and(|it| it.pushing.is_some())
    };
    let names: Vec<_> = world.clusters.iter().filter(|(_, facts)| busy(facts)).map(|(name, _)| name.clone()).collect();
    for name in names {
        let facts = cluster_mut(world, &name);
        facts.commit_status.telling = None;
        facts.generated.iter_mut().for_each(|generated| generated.pushing = None);
    }
}

pub(super) fn started(world: &mut World, action: &Action, now: Time) {
    match action {
        Action::WriteBack { cluster, .. } => {
            cluster_mut(world, cluster).generated.iter_mut().for_each(|generated| generated.pushing = Some(now));
        }
        Action::TellForge { cluster, .. } => cluster_mut(world, cluster).commit_status.telling = Some(now),
        _ => {}
    }
}

pub(super) fn ended(world: &mut World, action: &Action, result: &Result<Outcome, Fault>, now: Time) {
    let failed = |last: Option<&Failure>, fault: &Fault| Failure {
        action: action.kind().to_owned(),
        fault: fault.clone(),
        count: last.map_or(0, |last| last.count) + 1,
        at: now,
        basis: Digest::new(""),
    };
    match action {
        Action::WriteBack { cluster, generated, .. } => {
            let facts = cluster_mut(world, cluster);
            let Some(kept) = facts.generated.as_mut().filter(|kept| kept.id == *generated) else { return };
            kept.pushing = None;
            match result {
                Ok(_) => facts.generated = None,
                Err(fault) => kept.failure = Some(failed(kept.failure.as_ref(), fault)),
            }
        }
        Action::TellForge { cluster, status } => {
            let facts = &mut cluster_mut(world, cluster).commit_status;
            facts.telling = None;
            match result {
                Ok(_) => {
                    facts.told = Some(status.clone());
                    facts.failure = None;
                }
                Err(fault) => facts.failure = Some(failed(facts.failure.as_ref(), fault)),
            }
        }
        _ => {}
    }
}
