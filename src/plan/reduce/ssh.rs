//! What is known of hosts over SSH.

use std::collections::BTreeMap;

use super::change::{Touched, failed_outside, forget_failure, host_mut};
use crate::model::{
    Action, Fault, HostFacts, HostId, Lane, OfInstall, Outcome, Reason, SshFacts, Time, TokenId, World,
};
use crate::plan::ssh::{key, pinned};

pub(super) fn ended(
    world: &mut World,
    id: &HostId,
    action: &Action,
    began: Option<Time>,
    result: &Result<Outcome, Fault>,
    now: Time,
) -> Touched {
    let Some(began) = began else { return Touched::Nobody };
    let facts = host_mut(world, id);
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
            ssh.key = Some(OfInstall::new(&token, key.clone()));
            ssh.reached = Some((boot.clone(), began));
            if OfInstall::get(&ssh.before, &token).is_some_and(|before| before != boot) {
                configured(ssh, &token, now);
            }
            forget_failure(world, &Lane::Ssh(id.clone()));
            return Touched::Host(id.clone());
        }
        Ok(_) => return Touched::Nobody,
        Err(fault) => fault.clone(),
    };
    failed_outside(world, action, &fault, now);
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
pub(super) fn configured(ssh: &mut SshFacts, token: &TokenId, now: Time) {
    if OfInstall::get(&ssh.configured, token).is_none() {
        ssh.configured = Some(OfInstall::new(token, now));
    }
}

/// A host key from a check-in of an install; the error is why it is not believed.
pub(super) fn reported(facts: &mut HostFacts, token: &TokenId, text: &str) -> Result<(), String> {
    let Some(shown) = key::parse(text) else { return Ok(()) };
    match pinned(facts) {
        None => facts.ssh.key = Some(OfInstall::new(token, shown)),
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
        let ssh = &world.facts_of(id).ssh;
        let Some((boot, _)) = ssh.reached.clone() else { continue };
        if OfInstall::get(&ssh.before, token).is_none() {
            host_mut(world, id).ssh.before = Some(OfInstall::new(token, boot));
        }
    }
}

/// It did not begin after all: a boot since then was none of its doing.
pub(super) fn not_begun(world: &mut World, covers: &BTreeMap<HostId, TokenId>) {
    for (id, token) in covers {
        let ssh = &world.facts_of(id).ssh;
        if OfInstall::get(&ssh.before, token).is_some() && OfInstall::get(&ssh.configured, token).is_none() {
            host_mut(world, id).ssh.before = None;
        }
    }
}
