//! What is known of hosts over SSH.

use std::collections::BTreeMap;

use super::{Touched, host_mut};
use crate::model::{
    Action, Digest, Failure, Fault, HostFacts, HostId, Outcome, Reason, SshFacts, Time, TokenId, World,
};
use crate::plan::cluster::facts_of;
use crate::plan::ssh::{key, pinned};

pub(super) fn started(world: &mut World, id: &HostId, now: Time) {
    host_mut(world, id).ssh.reaching = Some(now);
}

/// After a restart nobody knows who was being reached; to look once more is harmless.
pub(super) fn interrupt(world: &mut World) {
    let busy = world.hosts.iter().filter(|(_, facts)| facts.ssh.reaching.is_some());
    for id in busy.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
        host_mut(world, &id).ssh.reaching = None;
    }
}

pub(super) fn ended(
    world: &mut World,
    id: &HostId,
    action: &Action,
    result: &Result<Outcome, Fault>,
    now: Time,
) -> Touched {
    let facts = host_mut(world, id);
    let Some(began) = facts.ssh.reaching.take() else { return Touched::Nobody };
    let Some(installed) = facts.installed.as_ref().filter(|installed| installed.at <= began) else {
        // It was another install that was reached.
        return Touched::Nobody;
    };
    let token = installed.token.clone();
    let fault = match result {
        Ok(Outcome::Reached { key: shown, .. }) if pinned(facts).is_some_and(|pinned| pinned != shown) => {
            changed(pinned(facts).unwrap_or_default(), shown)
        }
        Ok(Outcome::Reached { key, boot }) => {
            let ssh = &mut facts.ssh;
            ssh.key = Some((token.clone(), key.clone()));
            ssh.reached = Some((boot.clone(), began));
            ssh.failure = None;
            if ssh.before.as_ref().is_some_and(|(of, before)| *of == token && before != boot) {
                configured(ssh, token, now);
            }
            return Touched::Host(id.clone());
        }
        Ok(_) => return Touched::Nobody,
        Err(fault) => fault.clone(),
    };
    let count = facts.ssh.failure.as_ref().map_or(0, |last| last.count) + 1;
    let action = action.kind();
    facts.ssh.failure = Some(Failure { action, fault, count, at: now, basis: Digest::new("") });
    Touched::Nobody
}

fn changed(pinned: &str, shown: &str) -> Fault {
    let (pinned, shown) = (key::fingerprint(pinned), key::fingerprint(shown));
    Fault::operator(
        Reason::HostKeyChanged,
        format!("it shows the host key {shown}, and {pinned} is the one of its install"),
    )
}

/// It is up again after its configuration began.
pub(super) fn configured(ssh: &mut SshFacts, token: TokenId, now: Time) {
    if ssh.configured.as_ref().is_none_or(|(configured, _)| *configured != token) {
        ssh.configured = Some((token, now));
    }
}

/// A host key from a check-in of an install; the error is why it is not believed.
pub(super) fn reported(facts: &mut HostFacts, token: &TokenId, text: &str) -> Result<(), String> {
    let Some(shown) = key::parse(text) else { return Ok(()) };
    match pinned(facts) {
        None => facts.ssh.key = Some((token.clone(), shown)),
        Some(pinned) if pinned != shown && key::kind(pinned) == key::kind(&shown) => {
            let (pinned, shown) = (key::fingerprint(pinned), key::fingerprint(&shown));
            return Err(format!("it reports the SSH host key {shown}, and {pinned} is the one of its install"));
        }
        Some(_) => {}
    }
    Ok(())
}

/// The configuration of these installs begins: a later boot than this one will be the restart that is part of it.
pub(super) fn configuring(world: &mut World, covers: &BTreeMap<HostId, TokenId>) {
    for (id, token) in covers {
        let ssh = &facts_of(world, id).ssh;
        let Some((boot, _)) = ssh.reached.clone() else { continue };
        if ssh.before.as_ref().is_none_or(|(of, _)| of != token) {
            host_mut(world, id).ssh.before = Some((token.clone(), boot));
        }
    }
}

/// It did not begin after all: a boot since then was none of its doing.
pub(super) fn not_begun(world: &mut World, covers: &BTreeMap<HostId, TokenId>) {
    for (id, token) in covers {
        let ssh = &facts_of(world, id).ssh;
        let mine = ssh.before.as_ref().is_some_and(|(of, _)| of == token);
        if mine && ssh.configured.as_ref().is_none_or(|(configured, _)| configured != token) {
            host_mut(world, id).ssh.before = None;
        }
    }
}
