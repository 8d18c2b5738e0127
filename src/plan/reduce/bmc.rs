//! What became of actions on a host through its BMC, and what is known of that BMC.

use super::change::{Touched, failed, forget_failure, host_mut, set_boot_mac};
use super::nics;
use crate::model::{
    Action, Armed, BmcFacts, Digest, Doing, Event, Fault, Generation, HostFacts, HostId, HostSpec, Lane, OfInstall,
    Outcome, Preparation, Preparing, Reason, Time, Tries, World,
};
use crate::plan::bmc::{basis, credential};
use crate::plan::install::running;

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
        Event::BmcNoted { host, note } if world.facts_of(host).bmc.fallbacks.len() < REMARKS => {
            host_mut(world, host).bmc.fallbacks.insert(note.clone());
        }
        _ => {}
    }
}

/// After a restart the tokens of sessions are gone.
pub(super) fn interrupt(world: &mut World) {
    let open = world.hosts.iter().filter(|(_, facts)| facts.bmc.session.is_some());
    for id in open.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
        host_mut(world, &id).bmc.left_open = true;
    }
}

/// A network boot is ordered.
pub(super) fn arming(world: &mut World, id: &HostId, generation: Generation, now: Time) {
    let facts = host_mut(world, id);
    let before = facts.armed.filter(|armed| armed.generation == generation).map(|armed| armed.tries);
    facts.armed = Some(Armed { generation, tries: once_more(before, now) });
    nics::watch(world, id);
}

/// A restart is ordered of a machine whose first boot is overdue.
pub(super) fn cycling(world: &mut World, id: &HostId, now: Time) {
    let facts = host_mut(world, id);
    let Some(installed) = &facts.installed else { return };
    let before = OfInstall::get(&facts.cycled, &installed.token).copied();
    facts.cycled = Some(OfInstall::new(&installed.token, once_more(before, now)));
}

fn once_more(before: Option<Tries>, now: Time) -> Tries {
    Tries { at: now, times: before.map_or(0, |tries| tries.times) + 1 }
}

/// The account that an action on a host's BMC is begun with.
pub(super) fn account(world: &World, action: &Action) -> Option<Digest> {
    let Some(Lane::Bmc(id)) = Lane::of(action) else { return None };
    let spec = world.spec(&id)?;
    Some(credential(spec, world.facts_of(&id))?.id.clone())
}

pub(super) fn ended(
    world: &mut World,
    id: &HostId,
    action: &Action,
    doing: Option<Doing>,
    result: &Result<Outcome, Fault>,
    now: Time,
) -> Touched {
    let spec = world.spec(id).cloned();
    let lane = Lane::Bmc(id.clone());
    let tried = doing.and_then(|doing| doing.credential);
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(fault) => {
            bmc_failed(world, id, spec.as_deref(), action, fault, tried, now);
            return Touched::Nobody;
        }
    };
    let last = world.lanes.failure(&lane);
    if last.is_none_or(|last| !matches!(action, Action::Release { .. }) || last.action == action.kind()) {
        forget_failure(world, &lane);
    }
    let facts = host_mut(world, id);
    if !matches!(outcome, Outcome::Released) {
        facts.bmc.accepted = tried.or(facts.bmc.accepted.take());
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
            facts.finished = running(facts).map(|token| OfInstall::new(token, now));
        }
        _ => {}
    }
    Touched::Host(id.clone())
}

fn bmc_failed(
    world: &mut World,
    id: &HostId,
    spec: Option<&HostSpec>,
    action: &Action,
    fault: &Fault,
    tried: Option<Digest>,
    now: Time,
) {
    // The machine may be on its way: wait for it as if all had gone well, and order it again only when overdue.
    if fault.reason == Reason::OutcomeUnknown && matches!(action, Action::Arm { .. } | Action::PowerCycle { .. }) {
        return forget_failure(world, &Lane::Bmc(id.clone()));
    }
    let facts = world.facts_of(id);
    // Tied to the account it was tried with, which need not be the one that would be tried now.
    let now_tried = spec.and_then(|spec| credential(spec, facts)).map(|account| account.id.clone());
    let basis = match (spec, &tried) {
        (Some(spec), tried) if *tried == now_tried => basis(spec, facts),
        (_, Some(tried)) => tried.clone(),
        _ => Digest::new(""),
    };
    if let Some(tried) = tried.filter(|_| fault.reason == Reason::AuthenticationFailed) {
        host_mut(world, id).bmc.refused.insert(tried);
    }
    failed(world, action, fault, basis, now);
}

fn prepared(facts: &mut HostFacts, action: &Action, preparation: &Preparation, generation: Generation, now: Time) {
    facts.bmc.notes.clone_from(&preparation.notes);
    let before = facts.bmc.pending.take();
    match &preparation.pending {
        None => {
            facts.prepared = Some(generation);
            // A disk is that of the slots it was found for, and of no others.
            facts.bmc.prepared_as.clone_from(&preparation.of);
            facts.bmc.disk.clone_from(&preparation.disk);
        }
        Some(pending) => {
            let begun = matches!(action, Action::Prepare { apply: true, .. });
            let (since, times) = match before {
                Some(before) if !begun => (before.since, before.times),
                before => (now, before.map_or(0, |before| before.times) + 1),
            };
            facts.bmc.pending = Some(Preparing { pending: pending.clone(), since, times, looked: now });
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
