//! What became of actions on a host through its BMC, and what is known of that BMC.

use super::{Touched, facts_of, host_mut, nics, set_boot_mac};
use crate::model::{
    Action, ActionKind, BmcFacts, Digest, Doing, Event, Failure, Fault, Generation, HostFacts, HostId, HostSpec,
    Outcome, Preparation, Reason, Time, World,
};
use crate::plan::bmc::{basis, credential};
use crate::plan::host;

/// Remarks kept of one BMC.
const REMARKS: usize = 8;

/// What a driver found while it was at work.
pub(super) fn told(world: &mut World, event: &Event) {
    match event {
        Event::BmcSession { host, session } => {
            let bmc = &mut host_mut(world, host).bmc;
            bmc.session.clone_from(session);
            bmc.left_open = false;
        }
        Event::BmcNoted { host, note } if facts_of(world, host).bmc.fallbacks.len() < REMARKS => {
            host_mut(world, host).bmc.fallbacks.insert(note.clone());
        }
        _ => {}
    }
}

/// After a restart nobody knows how what was under way ended, and the tokens of sessions are gone.
pub(super) fn interrupt(world: &mut World) {
    let touched = |facts: &HostFacts| facts.doing.is_some() || facts.bmc.session.is_some();
    let ids: Vec<HostId> = world.hosts.iter().filter(|(_, facts)| touched(facts)).map(|(id, _)| id.clone()).collect();
    for id in ids {
        let facts = host_mut(world, &id);
        facts.doing = None;
        facts.bmc.left_open = facts.bmc.session.is_some();
    }
}

pub(super) fn started(world: &mut World, id: &HostId, action: &Action, now: Time) {
    let credential = account(world, id);
    let facts = host_mut(world, id);
    facts.doing = Some(Doing { action: action.clone(), since: now, credential });
    match action {
        Action::Arm { generation, .. } => {
            let times = facts.armed.filter(|(armed, ..)| armed == generation).map_or(0, |(.., times)| times);
            facts.armed = Some((*generation, now, times + 1));
            nics::watch(world, id);
        }
        Action::PowerCycle { .. } => {
            let token = facts.installed.as_ref().map(|installed| installed.token.clone());
            let times = facts.cycled.as_ref().filter(|(of, ..)| Some(of) == token.as_ref());
            let times = times.map_or(0, |(.., times)| *times);
            facts.cycled = token.map(|token| (token, now, times + 1));
        }
        _ => {}
    }
}

/// The account that an action on this host's BMC is begun with.
fn account(world: &World, id: &HostId) -> Option<Digest> {
    let spec = world.spec(id)?;
    Some(credential(spec, facts_of(world, id))?.id.clone())
}

pub(super) fn ended(
    world: &mut World,
    id: &HostId,
    action: &Action,
    result: &Result<Outcome, Fault>,
    now: Time,
) -> Touched {
    let spec = world.spec(id).cloned();
    let facts = host_mut(world, id);
    let doing = facts.doing.take();
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(fault) => {
            failed(facts, spec.as_deref(), action, fault, doing, now);
            return Touched::Nobody;
        }
    };
    if facts
        .failure
        .as_ref()
        .is_none_or(|failure| !matches!(action, Action::Release { .. }) || failure.action == ActionKind::Release)
    {
        facts.failure = None;
    }
    if !matches!(outcome, Outcome::Released) {
        facts.bmc.accepted = doing.and_then(|doing| doing.credential).or(facts.bmc.accepted.take());
    }
    match outcome {
        Outcome::Probed { inventory, pin, protocol } => {
            facts.bmc.protocol = Some(*protocol);
            facts.power = inventory.power.map(|power| (power, now));
            facts.inventory = Some((inventory.clone(), now));
            facts.pin = pin.clone().or(facts.pin.take());
            if let Some(mac) = inventory.boot_mac {
                set_boot_mac(world, id, mac);
            }
        }
        Outcome::Prepared(preparation) => {
            // What was wanted when it was begun and is no longer wanted says nothing.
            if let Some(spec) = spec.filter(|spec| spec.prepare.id == preparation.of) {
                prepared(facts, action, preparation, spec.generation, now);
            }
        }
        Outcome::Finished(power) => {
            facts.power = Some((*power, now));
            facts.finished = host::running(facts).cloned().map(|token| (token, now));
        }
        _ => {}
    }
    Touched::Host(id.clone())
}

fn failed(
    facts: &mut HostFacts,
    spec: Option<&HostSpec>,
    action: &Action,
    fault: &Fault,
    doing: Option<Doing>,
    now: Time,
) {
    // The machine may be on its way: wait for it as if all had gone well, and order it again only when overdue.
    if fault.reason == Reason::OutcomeUnknown && matches!(action, Action::Arm { .. } | Action::PowerCycle { .. }) {
        facts.failure = None;
        return;
    }
    let tried = doing.and_then(|doing| doing.credential);
    // Tied to the account it was tried with, which need not be the one that would be tried now.
    let now_tried = spec.and_then(|spec| credential(spec, facts)).map(|account| account.id.clone());
    let basis = match (spec, &tried) {
        (Some(spec), tried) if *tried == now_tried => basis(spec, facts),
        (_, Some(tried)) => tried.clone(),
        _ => Digest::new(""),
    };
    if fault.reason == Reason::AuthenticationFailed {
        facts.bmc.refused.extend(tried);
    }
    let count = facts.failure.as_ref().filter(|last| last.action == action.kind()).map_or(0, |last| last.count);
    facts.failure = Some(Failure { action: action.kind(), fault: fault.clone(), count: count + 1, at: now, basis });
}

fn prepared(facts: &mut HostFacts, action: &Action, preparation: &Preparation, generation: Generation, now: Time) {
    facts.bmc.notes.clone_from(&preparation.notes);
    let before = facts.bmc.pending.take();
    match &preparation.pending {
        None => {
            facts.prepared = Some((generation, now));
            // A disk is that of the slots it was found for, and of no others.
            facts.bmc.prepared_as.clone_from(&preparation.of);
            facts.bmc.disk.clone_from(&preparation.disk);
        }
        Some(pending) => {
            let begun = matches!(action, Action::Prepare { apply: true, .. });
            let (since, times) = match before {
                Some((_, since, times, _)) if !begun => (since, times),
                before => (now, before.map_or(0, |(_, _, times, _)| times) + 1),
            };
            facts.bmc.pending = Some((pending.clone(), since, times, now));
        }
    }
}

/// Another revision says otherwise how this BMC is reached, or what is wanted of it.
pub(super) fn respecified(facts: &mut HostFacts, old: &HostSpec, new: &HostSpec) {
    if old.bmc_mac != new.bmc_mac {
        facts.bmc = BmcFacts::default();
    }
    if old.bmc.identity != new.bmc.identity || old.bmc_mac != new.bmc_mac {
        // Whoever changes how a BMC is spoken to has looked at it: its certificate is trusted on first use again.
        facts.pin = None;
    }
    if old.bmc.address != new.bmc.address {
        // Another BMC may answer there, with another's session of that name.
        (facts.bmc.session, facts.bmc.left_open) = (None, false);
    }
    let known = |id: &Digest| new.bmc.credentials.iter().any(|account| account.id == *id);
    facts.bmc.refused.retain(&known);
    facts.bmc.accepted = facts.bmc.accepted.take().filter(&known);
    if old.bmc.protocol != new.bmc.protocol {
        facts.bmc.protocol = None;
        facts.bmc.fallbacks.clear();
    }
    if old.generation != new.generation || old.prepare.id != new.prepare.id {
        // What was begun for other wishes is begun anew; that costs nothing where it is right already.
        facts.bmc.pending = None;
    }
}
