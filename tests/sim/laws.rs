//! The laws, checked after every event.

pub mod bmc;
pub mod task;

use std::collections::{BTreeMap, BTreeSet};

use rackwright::model::{Generation, HostId, Lifecycle, Reason, Time, Token, TokenId, World};
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

/// What does not pass unless a person does something; everything else that a host is stalled by says until when.
const WAIT_FOR_PEOPLE: &[Reason] = &[
    Reason::AuthenticationFailed,
    Reason::CertificateChanged,
    Reason::FirstBootOverdue,
    Reason::ForeignVolume,
    Reason::GenerationLowered,
    Reason::InstallOverdue,
    Reason::Interrupted,
    Reason::JournalLost,
    Reason::NotSeen,
    Reason::PeersMissing,
    Reason::PowerOnByHand,
    Reason::AnsibleFailed,
    Reason::AnsibleTimedOut,
];

/// Every host has a reason, and no wait is overdue.
pub fn reasons(world: &World, plan: &Plan, now: Time) {
    for host in &plan.hosts {
        let in_order = match &host.step {
            Step::Act { until, message, .. } | Step::Wait { until, message, .. } => *until > now && !message.is_empty(),
            Step::Stalled { reason, message, until: None } => !message.is_empty() && WAIT_FOR_PEOPLE.contains(reason),
            Step::Stalled { message, until: Some(until), .. } => !message.is_empty() && *until > now,
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

/// The laws can be broken: each of them notices what it is there to notice.
#[test]
fn each_law_notices() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    let broken = |law: &dyn Fn()| catch_unwind(AssertUnwindSafe(law)).is_err();
    let id: HostId = "c1/hv1".parse().unwrap();
    let token = Token::from_random([7; 16]);
    let timings = rackwright::sim::machine::Timings::real();
    let config =
        rackwright::sim::machine::MachineConfig::new("hv1", None, "52:54:00:00:00:01".parse().unwrap(), timings);
    let wiped = |times: usize, text: Option<&str>| {
        let mut machine = Machine::new(config.clone());
        machine.wipes = vec![(Time(1), text.map(str::to_owned)); times];
        machine
    };
    let oracle = |owner: &HostId, acknowledged: Option<u32>| {
        let mut oracle = Oracle::default();
        oracle.claims.insert(token.id(), (owner.clone(), Generation(1)));
        oracle.acknowledged.extend(acknowledged.map(|generation| (id.clone(), Generation(generation))));
        oracle
    };
    let other: HostId = "c1/hv2".parse().unwrap();
    let text = Some(token.reveal());
    assert!(!broken(&|| oracle(&id, None).wipes(&id, &wiped(1, text))), "a lawful wipe");
    assert!(broken(&|| oracle(&id, None).wipes(&id, &wiped(1, None))), "without a token");
    assert!(broken(&|| Oracle::default().wipes(&id, &wiped(1, text))), "without a claim");
    assert!(broken(&|| oracle(&other, None).wipes(&id, &wiped(1, text))), "with another's token");
    assert!(broken(&|| oracle(&id, Some(1)).wipes(&id, &wiped(1, text))), "after it was acknowledged");
    assert!(broken(&|| oracle(&id, None).wipes(&id, &wiped(2, text))), "twice for one token");
    let mut bench = crate::rig::plan::Bench::completed();
    assert!(broken(&|| belief(&bench.world, &bench.id(1), &wiped(0, None))), "belief without a disk");
    bench.wait(1);
    let mut plan = bench.plan();
    plan.hosts[0].step = Step::Wait { reason: Reason::NotSeen, message: "nobody looks".into(), until: bench.now };
    assert!(broken(&|| reasons(&bench.world, &plan, bench.now)), "an overdue wait");
    plan.hosts[0].step = Step::Stalled { reason: Reason::Unreachable, message: "no answer".into(), until: None };
    assert!(broken(&|| reasons(&bench.world, &plan, bench.now)), "stuck for no time in particular");
}
