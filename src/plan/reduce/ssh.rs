//! What is known of hosts over SSH.

use super::{Touched, host_mut};
use crate::model::{Action, Digest, Doing, Failure, Fault, HostId, Outcome, Time, World};

pub(super) fn started(world: &mut World, id: &HostId, action: &Action, now: Time) {
    host_mut(world, id).doing = Some(Doing { action: action.clone(), since: now, credential: None });
}

pub(super) fn ended(
    world: &mut World,
    id: &HostId,
    action: &Action,
    result: &Result<Outcome, Fault>,
    now: Time,
) -> Touched {
    let facts = host_mut(world, id);
    facts.doing = None;
    match result {
        Ok(Outcome::Reached { key, boot }) => {
            facts.ssh.key = facts.installed.as_ref().map(|installed| (installed.token.clone(), key.clone()));
            facts.ssh.reached = Some((boot.clone(), now));
            facts.failure = None;
        }
        Ok(_) => {}
        Err(fault) => {
            let last = facts.failure.as_ref().filter(|last| last.action == action.kind());
            let count = last.map_or(0, |last| last.count) + 1;
            let (action, fault, basis) = (action.kind().to_owned(), fault.clone(), Digest::new(""));
            facts.failure = Some(Failure { action, fault, count, at: now, basis });
        }
    }
    Touched::Host(id.clone())
}
