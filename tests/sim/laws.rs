//! The laws, checked after every event.

use std::collections::{BTreeMap, BTreeSet};

use rackwright::model::{Generation, HostId, Lifecycle, Time, Token, TokenId, World};
use rackwright::plan::{Plan, Step};
use rackwright::sim::machine::{Disk, Machine};

/// What truly happened, whatever rackwright remembers of it.
#[derive(Default)]
pub struct Oracle {
    /// The generation each claim was made for.
    pub claims: BTreeMap<TokenId, (HostId, Generation)>,
    /// The highest generation whose install was acknowledged to the machine.
    pub acknowledged: BTreeMap<HostId, Generation>,
    wiped_with: BTreeSet<TokenId>,
    wipes_seen: BTreeMap<HostId, usize>,
}

pub fn token_id(text: &str) -> TokenId {
    Token::parse(text).unwrap_or_else(|| panic!("`{text}` is no token")).id()
}

impl Oracle {
    /// No disk is wiped without consent, nor twice for one token.
    pub fn wipes(&mut self, id: &HostId, machine: &Machine) {
        let seen = self.wipes_seen.entry(id.clone()).or_default();
        for (at, token) in &machine.wipes[*seen..] {
            let token = token_id(token.as_deref().unwrap_or_else(|| panic!("{id} was wiped at {at} without a token")));
            let claim = self.claims.get(&token);
            let (owner, generation) = claim.unwrap_or_else(|| panic!("{id} was wiped at {at} for an unknown claim"));
            assert_eq!(owner, id, "{id} was wiped with another host's token");
            let acknowledged = self.acknowledged.get(id);
            assert!(
                acknowledged.is_none_or(|acknowledged| acknowledged < generation),
                "{id} was wiped at {at} for generation {generation} although {acknowledged:?} was acknowledged"
            );
            assert!(self.wiped_with.insert(token), "{id} was wiped twice for one token");
        }
        *seen = machine.wipes.len();
    }
}

/// What rackwright believes to be on a disk is on it, unless it knows of a newer claim.
pub fn belief(world: &World, id: &HostId, machine: &Machine) {
    let Some(facts) = world.hosts.get(id) else { return };
    let Some(installed) = &facts.installed else { return };
    if facts.claim.is_some() {
        return;
    }
    let on_disk = match machine.disk() {
        Disk::Installed { token: Some(token) } => Some(token_id(token)),
        Disk::Installed { token: None } | Disk::Installing { .. } | Disk::Blank => None,
    };
    assert_eq!(on_disk.as_ref(), Some(&installed.token), "{id}: belief and disk differ ({:?})", machine.disk());
}

/// Every host has a reason, and no wait is overdue.
pub fn reasons(world: &World, plan: &Plan, now: Time) {
    for host in &plan.hosts {
        let in_order = match &host.step {
            Step::Act { until, message, .. } | Step::Wait { until, message, .. } => *until > now && !message.is_empty(),
            Step::Stalled { message, until, .. } => !message.is_empty() && until.is_none_or(|until| until > now),
            Step::Done { message } => !message.is_empty(),
        };
        assert!(in_order, "{}: {:?} at {now}", host.id, host.step);
        let wakes = match &host.step {
            Step::Act { until, .. } | Step::Wait { until, .. } => plan.wake_at.is_some_and(|wake| wake <= *until),
            Step::Stalled { .. } | Step::Done { .. } => true,
        };
        assert!(wakes, "{}: nobody wakes for {:?}", host.id, host.step);
        let spec = world.spec(&host.id).unwrap();
        if spec.state == Lifecycle::Present && matches!(host.step, Step::Done { .. }) {
            assert_eq!(host.state.as_str(), "completed", "{}: done before its time", host.id);
        }
    }
}
