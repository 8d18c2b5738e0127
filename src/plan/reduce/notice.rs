//! Telling people: how far each receiver is, and what is known to be stalled.

use std::sync::Arc;

use super::change::{failed_outside, forget_failure};
use super::shown::{forget_told, note_with};
use crate::model::{Action, Change, ConditionChange, Fault, FaultClass, Lane, Outcome, ReceiverFacts, Time, World};

/// How often a message that a receiver refuses is tried before it goes without: it must not hold up the next ones.
const TRIES: u32 = 5;

fn receiver_mut<'w>(world: &'w mut World, name: &str) -> &'w mut ReceiverFacts {
    Arc::make_mut(&mut world.notices).receivers.entry(name.to_owned()).or_default()
}

pub(super) fn ended(
    world: &mut World,
    name: &str,
    action: &Action,
    result: &Result<Outcome, Fault>,
    upto: u64,
    now: Time,
) {
    let lane = Lane::Receiver(name.to_owned());
    let refused = result.as_ref().err().is_some_and(|fault| {
        failed_outside(world, action, fault, now);
        let count = world.lanes.failure(&lane).map_or(0, |failure| failure.count);
        fault.class != FaultClass::Transient && count >= TRIES
    });
    if result.is_ok() || refused {
        forget_failure(world, &lane);
        let receiver = receiver_mut(world, name);
        receiver.told = receiver.told.max(upto);
        receiver.refused = if refused { receiver.refused + 1 } else { 0 };
    }
    forget_told(world);
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
