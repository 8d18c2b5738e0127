//! Any facts in any order: nothing panics, every plan is lawful, a replay gives the same World.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proptest::prelude::*;
use rackwright::model::{
    Action, CheckIn, CheckInAction, Event, Fault, HostState, ImageStamp, Inventory, LeaseOrigin, Mac, Outcome,
    PowerState, Protocol, Reason, StatusBranch, World,
};
use rackwright::plan::{self, Step};

use crate::rig::plan::{Bench, rack};

/// What may happen next.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "made one at a time")]
enum Next {
    Fact(Event),
    /// The plan's nth action begins and, if it says so, ends.
    Act(usize, Option<bool>),
    Raise(usize),
    Maintenance(usize),
    Wait(u64),
}

fn mac() -> impl Strategy<Value = Mac> {
    (0u8..2, 0u8..4).prop_map(|(kind, at)| Mac([0x52, 0x54, 0, 0xaa + 0x11 * kind, 0, at]))
}

fn ip() -> impl Strategy<Value = Ipv4Addr> {
    (98u8..108).prop_map(|last| Ipv4Addr::new(10, 255, 255, last))
}

fn checkin() -> impl Strategy<Value = Event> {
    let action = prop::sample::select(vec![
        CheckInAction::InstallStart,
        CheckInAction::InstallComplete,
        CheckInAction::BootInitial,
        CheckInAction::BootConfigured,
    ]);
    let token = prop::option::of((0u8..4).prop_map(|seed| Bench::token(seed).id()));
    (token, action, prop::option::of(mac()), prop::option::of(mac()), ip()).prop_map(
        |(token, action, host_mac, bmc_mac, source)| {
            let source = IpAddr::V4(source);
            let hostname = Some("hv1".to_owned());
            Event::CheckedIn(CheckIn {
                token,
                action,
                hostname,
                host_mac,
                host_ip: None,
                bmc_mac,
                bmc_ip: None,
                ssh_host_key: None,
                source,
            })
        },
    )
}

fn next() -> impl Strategy<Value = Next> {
    let until = rackwright::model::Time::from_secs(1_100_000);
    let fact = prop_oneof![
        (mac(), ip()).prop_map(move |(mac, ip)| Event::Leased { mac, ip, until, by: LeaseOrigin::Own }),
        (mac(), ip()).prop_map(|(mac, ip)| Event::Released { mac, ip }),
        (mac(), ip()).prop_map(move |(mac, ip)| Event::Declined { mac, ip, until }),
        (mac(), 0u8..4, ip()).prop_map(|(mac, seed, ip)| Event::Claimed {
            mac,
            token: Bench::token(seed).id(),
            peer: (ip, 9).into()
        }),
        checkin(),
        Just(Event::DaemonStarted),
        Just(Event::Woken),
    ];
    prop_oneof![
        6 => fact.prop_map(Next::Fact),
        6 => (0usize..4, prop::option::of(any::<bool>())).prop_map(|(nth, well)| Next::Act(nth, well)),
        1 => (0usize..3).prop_map(Next::Raise),
        1 => (0usize..3).prop_map(Next::Maintenance),
        2 => (1u64..5000).prop_map(Next::Wait),
    ]
}

fn outcome(action: &Action) -> Outcome {
    match action {
        Action::Adopt => Outcome::Adopted(None),
        Action::Fetch => Outcome::Fetched(rackwright::model::Fetched::Unchanged),
        Action::Publish { .. } => Outcome::Published(None),
        Action::Probe { .. } => {
            Outcome::Probed { inventory: Inventory::default(), pin: None, protocol: Protocol::Redfish }
        }
        Action::Prepare { .. } => Outcome::Prepared(Default::default()),
        Action::Arm { .. } => Outcome::Armed,
        Action::PowerCycle { .. } => Outcome::PowerCycled,
        Action::Run { .. } => Outcome::TaskDone,
        Action::Reach { .. } => Outcome::Reached { key: "ssh-ed25519 AAAA".into(), boot: "1".into() },
        Action::WriteBack { .. } => Outcome::WrittenBack(None),
        Action::TellForge { .. } => Outcome::ForgeTold,
        Action::Finish { .. } => Outcome::Finished(PowerState::On),
        Action::Release { .. } => Outcome::Released,
        Action::Notify { .. } => Outcome::Notified,
        Action::Note { .. } => Outcome::Noted,
        Action::FetchImage { .. } => Outcome::ImageVerified(ImageStamp { size: 1, inode: 1, modified: (1, 0) }),
    }
}

fn play(bench: &mut Bench, next: Next) {
    match next {
        Next::Fact(event) => _ = bench.tell(event),
        Next::Act(nth, well) => {
            let Some(action) = bench.plan().actions.into_iter().nth(nth) else { return };
            bench.tell(Event::Started { action: action.clone() });
            let result = match well {
                None => return,
                Some(true) => Ok(outcome(&action)),
                Some(false) => Err(Fault::transient(Reason::Unreachable, "no answer")),
            };
            bench.tell(Event::Ended { action, result });
        }
        Next::Raise(nth) => {
            bench.rack.hosts[nth].generation += 1;
            bench.push();
        }
        Next::Maintenance(nth) => {
            let host = &mut bench.rack.hosts[nth];
            host.maintenance = !host.maintenance;
            bench.push();
        }
        Next::Wait(seconds) => bench.wait(seconds),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_facts_in_any_order(story in prop::collection::vec(next(), 1..80)) {
        let mut bench = Bench::new(rack(2, 1, 1));
        for next in story {
            play(&mut bench, next);
            // `plan` checks its own laws on the bench; here: deadlines and reasons.
            let plan = bench.plan();
            for host in &plan.hosts {
                if let Step::Act { until, message, .. } | Step::Wait { until, message, .. } = &host.step {
                    // An action that this very plan begins is counted from now.
                    prop_assert!(*until > bench.now && !message.is_empty(), "{:?} at {}", host, bench.now);
                }
                let facts = bench.world.facts(&host.id);
                let consent = facts.and_then(|facts| facts.installed.as_ref()).is_none_or(|installed| {
                    installed.generation < bench.world.spec(&host.id).unwrap().generation
                });
                prop_assert_eq!(consent, host.state < HostState::Installed, "{:?}", host);
            }
        }
        let files = plan::report::report(&bench.world, &bench.plan());
        prop_assert!(StatusBranch::read(&files).is_ok());
    }

    #[test]
    fn a_replay_gives_the_same_world(story in prop::collection::vec(next(), 1..60)) {
        let mut bench = Bench::new(rack(2, 1, 1));
        let start = bench.world.clone();
        let from = bench.journal.len();
        for next in story {
            play(&mut bench, next);
        }
        let mut again: World = start;
        for (at, event) in &bench.journal[from..] {
            let mut copy: Event = serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
            if copy.missing_revision().is_some() {
                copy = event.clone();
            }
            plan::reduce(&mut again, &copy, *at);
        }
        prop_assert!(again == bench.world);
    }
}

#[test]
fn cloning_a_world_shares_it() {
    let bench = Bench::completed();
    let copy = bench.world.clone();
    assert!(std::sync::Arc::ptr_eq(&copy.hosts, &bench.world.hosts));
    assert!(bench.now.since(bench.now) == Duration::ZERO);
}
