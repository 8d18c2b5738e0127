//! Check-ins: whose they are, whether they are believed, and what they tell. Order and repetition are harmless.

use std::net::IpAddr;

use super::change::{Touched, forget_failure, host_mut, owner};
use super::{nics, ssh};
use crate::model::{
    CheckIn, CheckInAction, HostFacts, HostId, Installed, Lane, OfInstall, SshFacts, Time, TokenId, Verdict, World,
};

pub(super) fn fold(world: &mut World, checkin: &CheckIn, now: Time) -> (Verdict, Touched) {
    let named = named_by(world, checkin);
    match identify(world, checkin, &named) {
        Ok(id) => match apply(world, &id, checkin, now) {
            Ok(()) => (Verdict::Ok, Touched::Host(id)),
            Err(why) => refuse(world, Some(id), why, now),
        },
        Err(why) => refuse(world, named.first().cloned(), why, now),
    }
}

fn refuse(world: &mut World, id: Option<HostId>, why: String, now: Time) -> (Verdict, Touched) {
    if let Some(id) = id {
        host_mut(world, &id).refused = Some((why.clone(), now));
    }
    (Verdict::Refused(why), Touched::Nobody)
}

/// The hosts that the check-in's own words and its source address point to, best first, each once.
fn named_by(world: &World, checkin: &CheckIn) -> Vec<HostId> {
    let by_bmc = checkin.bmc_mac.and_then(|mac| owner(world, mac)).map(|(id, _)| id);
    let by_nic = checkin.host_mac.and_then(|mac| owner(world, mac)).map(|(id, _)| id);
    let mut named = Vec::new();
    for id in [by_bmc, by_nic, by_source(world, checkin.source)].into_iter().flatten() {
        if !named.contains(&id) {
            named.push(id);
        }
    }
    named
}

/// The address the machine itself says it has, when it is no other than the one it speaks from. From a segment that is
/// served here nothing stands between: another address is a contradiction. From elsewhere it came through a router or
/// proxy, and what the machine says can be held against the leases.
fn own_address(world: &World, id: &HostId, checkin: &CheckIn) -> Result<IpAddr, String> {
    let source = checkin.source.to_canonical();
    let Some(said) = checkin.host_ip.map(|ip| ip.to_canonical()) else { return Ok(source) };
    if said == source || said.is_ipv4() != source.is_ipv4() {
        return Ok(source);
    }
    if world.policy.site.serves(source) {
        return Err(format!("it says that its address is {said}, but comes from {source}"));
    }
    match by_source(world, said) {
        Some(owner) if owner == *id => Ok(said),
        Some(other) => Err(format!("it says that its address is {said}, which is {other}'s")),
        None => Ok(source),
    }
}

fn by_source(world: &World, source: IpAddr) -> Option<HostId> {
    let IpAddr::V4(ip) = source.to_canonical() else { return None };
    owner(world, world.leases.holder(ip)?.mac?).map(|(id, _)| id)
}

/// Whose check-in this is: by token first; without one by MACs and source address, which must then agree.
fn identify(world: &World, checkin: &CheckIn, named: &[HostId]) -> Result<HostId, String> {
    let Some(token) = &checkin.token else { return without_token(world, checkin, named) };
    let holder = named.iter().find(|id| knows(world.facts_of(id), token)).cloned();
    let holder = holder.or_else(|| world.hosts.iter().find(|(_, facts)| knows(facts, token)).map(|(id, _)| id.clone()));
    let Some(holder) = holder else {
        return Err("this is not the token of the newest install".to_owned());
    };
    if let Some(other) = named.iter().find(|id| **id != holder) {
        return Err(format!("the token is {holder}'s, but MAC or source address is {other}'s"));
    }
    Ok(holder)
}

fn knows(facts: &HostFacts, token: &TokenId) -> bool {
    facts.claim.as_ref().is_some_and(|claim| claim.token == *token)
        || facts.installed.as_ref().is_some_and(|installed| installed.token == *token)
}

fn without_token(world: &World, checkin: &CheckIn, named: &[HostId]) -> Result<HostId, String> {
    let id = match named {
        [id] => id.clone(),
        [] => return Err("neither token, MAC nor source address name a host of the repository".to_owned()),
        [a, b, ..] => return Err(format!("it names {a}, but also {b}")),
    };
    if matches!(checkin.action, CheckInAction::InstallStart | CheckInAction::InstallComplete) {
        return Err(format!("{} needs the token of the newest claim in its URI", checkin.action.as_str()));
    }
    if world.policy.site.leases_are_ours && by_source(world, checkin.source).as_ref() != Some(&id) {
        return Err(format!("it comes from {}, which is not leased to {id}", checkin.source));
    }
    Ok(id)
}

fn apply(world: &mut World, id: &HostId, checkin: &CheckIn, now: Time) -> Result<(), String> {
    let in_repository = world.spec(id).is_some();
    let address = own_address(world, id, checkin)?;
    let facts = host_mut(world, id);
    contradicts_key(facts, checkin)?;
    let before = (facts.installed.clone(), facts.booted.clone());
    let newest = facts.claim.as_ref().filter(|claim| checkin.token.as_ref() == Some(&claim.token)).cloned();
    match checkin.action {
        CheckInAction::InstallStart => {
            if let (Some(_), Some(claim)) = (newest, facts.claim.as_mut()) {
                claim.confirmed = true;
                claim.last_seen = now;
            }
        }
        CheckInAction::InstallComplete => {
            if let Some(claim) = newest {
                complete(facts, claim, now);
            }
        }
        CheckInAction::BootInitial | CheckInAction::BootConfigured => {
            // The installed system carries its install's token: hearing it proves the install, should "install
            // complete" have been lost.
            if let Some(claim) = newest {
                complete(facts, claim, now);
            }
            let Some(installed) = &facts.installed else {
                return Err("no install of this host is known to be complete".to_owned());
            };
            let token = installed.token.clone();
            if OfInstall::get(&facts.booted, &token).is_none() {
                facts.booted = Some(OfInstall::new(&token, now));
            }
            // The markers that it goes by are laid down when a role begins: that it is up again, not that all went well.
            if checkin.action == CheckInAction::BootConfigured {
                ssh::configured(&mut facts.ssh, &token, now);
            }
        }
    }
    let expected = facts.is_expected();
    if in_repository {
        facts.host_seen = Some((address, now));
    }
    facts.refused = None;
    learn_key(facts, checkin);
    let (installed, booted) = (facts.installed != before.0, facts.booted != before.1);
    if installed || booted {
        forget_failure(world, &Lane::Bmc(id.clone()));
    }
    if installed {
        forget_failure(world, &Lane::Ssh(id.clone()));
    }
    if !expected {
        nics::forget(world, id);
    }
    Ok(())
}

/// The host key that a check-in carries counts from the moment that the system is on the disk, and with its token only.
fn key_of<'c>(facts: &HostFacts, checkin: &'c CheckIn) -> Option<(TokenId, &'c str)> {
    let installed = facts.installed.as_ref().filter(|it| checkin.token.as_ref() == Some(&it.token))?;
    let late = checkin.action != CheckInAction::InstallStart;
    Some((installed.token.clone(), checkin.ssh_host_key.as_deref().filter(|_| late)?))
}

fn contradicts_key(facts: &mut HostFacts, checkin: &CheckIn) -> Result<(), String> {
    match key_of(facts, checkin) {
        Some((token, key)) => ssh::reported(facts, &token, key),
        None => Ok(()),
    }
}

fn learn_key(facts: &mut HostFacts, checkin: &CheckIn) {
    if let Some((token, key)) = key_of(facts, checkin) {
        // Whether it contradicts the one that is known was asked before.
        let _ = ssh::reported(facts, &token, key);
    }
}

fn complete(facts: &mut HostFacts, claim: crate::model::Claim, now: Time) {
    facts.installed = Some(Installed { generation: claim.generation, token: claim.token, spec: claim.spec, at: now });
    facts.claim = None;
    facts.held = None;
    facts.cycled = None;
    facts.bmc.pending = None;
    // Another system: another host key, and its first boot is still to come.
    facts.ssh = SshFacts::default();
}
