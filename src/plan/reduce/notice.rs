//! Telling people: how far each receiver is, and what is known to be stalled.

use std::sync::Arc;

use super::shown::{note_with, trim};
use crate::model::{
    ActionKind, Change, ConditionChange, FaultClass, NoticeFacts, Outcome, Policy, ReceiverFacts, Time, World,
};
use crate::plan::rack::count_failure;

/// How often a message that a receiver refuses is tried before it goes without: it must not hold up the next ones.
const TRIES: u32 = 5;

fn receiver_mut<'w>(world: &'w mut World, name: &str) -> &'w mut ReceiverFacts {
    Arc::make_mut(&mut world.notices).receivers.entry(name.to_owned()).or_default()
}

/// After a restart nobody knows whether the message arrived. It is sent again: twice is better than never.
pub(super) fn interrupt(world: &mut World) {
    if world.notices.receivers.values().any(|receiver| receiver.sending.is_some()) {
        Arc::make_mut(&mut world.notices).receivers.values_mut().for_each(|receiver| receiver.sending = None);
    }
}

pub(super) fn started(world: &mut World, name: &str, now: Time) {
    receiver_mut(world, name).sending = Some(now);
}

pub(super) fn ended(
    world: &mut World,
    name: &str,
    result: &Result<Outcome, crate::model::Fault>,
    upto: u64,
    now: Time,
) {
    let receiver = receiver_mut(world, name);
    receiver.sending = None;
    match result {
        Ok(_) => {
            receiver.told = receiver.told.max(upto);
            receiver.failure = None;
            receiver.refused = 0;
        }
        Err(fault) => {
            let failure = count_failure(receiver.failure.as_ref(), ActionKind::Notify, fault, now);
            let refused = fault.class != FaultClass::Transient && failure.count >= TRIES;
            if refused {
                receiver.told = receiver.told.max(upto);
                receiver.refused += 1;
            }
            receiver.failure = (!refused).then_some(failure);
        }
    }
    let told = told(&world.notices, &world.policy);
    trim(Arc::make_mut(&mut world.moves), told);
}

/// The newest change that every receiver was told of.
pub(super) fn told(facts: &NoticeFacts, policy: &Policy) -> u64 {
    let told = policy.receivers.iter().map(|it| facts.receivers.get(&it.name).map_or(0, |facts| facts.told));
    told.min().unwrap_or(u64::MAX)
}

/// Conditions that changed are remembered, and become changes that people are told of.
pub(super) fn noted(world: &mut World, changes: &[ConditionChange], now: Time) {
    for ConditionChange { subject, stalled, message } in changes {
        let known = &mut Arc::make_mut(&mut world.notices).stalled;
        let before = match stalled {
            Some(stalled) => known.insert(subject.clone(), stalled.clone()),
            None => known.remove(subject),
        };
        let from = before.map(|before| before.reason);
        let change = Change::Condition { from, to: stalled.as_ref().map(|stalled| stalled.reason) };
        note_with(world, subject, change, message.clone(), now);
    }
}
