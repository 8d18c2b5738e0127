//! The ladder, rung by rung, and what happens when a rung does not come.

use std::time::Duration;

use rackwright::model::{Action, CheckInAction as Say, Fault, HostState, Reason, Time, Verdict};
use rackwright::plan::Step;

use crate::rig::plan::{Bench, rack};

#[test]
fn a_host_with_bmc_climbs_every_rung() {
    let mut bench = Bench::new(rack(1, 0, 1));
    let host = bench.id(1);
    assert_eq!((bench.state(1), bench.reason(1).as_str()), (HostState::Init, "NotSeen"));
    bench.bmc_seen(1);
    assert_eq!(bench.state(1), HostState::Characterizing);
    assert_eq!(bench.actions(), [Action::Probe { host: host.clone() }]);
    bench.well(Action::Probe { host: host.clone() });
    assert_eq!(bench.state(1), HostState::Preparing);
    assert_eq!(bench.actions(), [Action::Prepare { host: host.clone(), apply: true }]);
    bench.well(Action::Prepare { host: host.clone(), apply: true });
    assert_eq!((bench.state(1), bench.reason(1).as_str()), (HostState::PxeBooting, "Announcing"));
    assert_eq!(bench.actions(), [], "nothing is armed before the status branch announces it");
    bench.publish();
    let generation = bench.world.spec(&host).unwrap().generation;
    assert_eq!(bench.actions(), [Action::Arm { host: host.clone(), generation }]);
    bench.well(Action::Arm { host: host.clone(), generation });
    assert_eq!((bench.state(1), bench.reason(1).as_str()), (HostState::PxeBooting, "NetworkBoot"));
    assert_eq!(bench.claim(1, 1), Verdict::Ok);
    assert_eq!(bench.state(1), HostState::Installing);
    assert_eq!(bench.report(1, Say::InstallComplete, 1), Verdict::Ok);
    assert_eq!((bench.state(1), bench.actions()), (HostState::Installed, vec![]));
    assert_eq!(bench.report(1, Say::BootInitial, 1), Verdict::Ok);
    assert_eq!(bench.state(1), HostState::BootedConfigured, "no Ansible here: on to the hooks");
    let run = bench.actions().pop().unwrap();
    assert!(matches!(&run, Action::Run { covers, .. } if covers.len() == 1), "{run:?}");
    bench.well(run);
    assert_eq!(bench.actions(), [Action::Finish { host: host.clone(), power_off: true }]);
    bench.well(Action::Finish { host, power_off: true });
    assert_eq!((bench.state(1), bench.reason(1).as_str()), (HostState::Completed, "Done"));
    assert_eq!(bench.actions(), []);
}

#[test]
fn a_host_without_bmc_climbs_by_check_ins_alone() {
    let mut bench = Bench::new(rack(0, 1, 0));
    assert_eq!(bench.state(1), HostState::Init);
    bench.host_seen(1);
    assert_eq!(bench.state(1), HostState::PxeBooting);
    assert!(matches!(bench.claim(1, 1), Verdict::Refused(_)), "not announced yet");
    bench.publish();
    assert_eq!(bench.reason(1), "NetworkBoot");
    bench.install(1, 2);
    assert_eq!(bench.state(1), HostState::Completed);
}

#[test]
fn an_order_is_repeated_only_when_overdue_since_the_last_one() {
    let mut bench = Bench::new(rack(1, 0, 0));
    bench.arm(1);
    let (patience, began) = (bench.world.policy.boot_timeout, bench.now);
    let (mut orders, mut then) = (Vec::new(), String::new());
    while bench.now.since(began) < Duration::from_secs(24 * 3600) {
        if let Some(action) = bench.actions().pop() {
            orders.push(bench.now);
            bench.well(action);
            then = bench.reason(1);
        }
        let Some(wake) = bench.plan().wake_at else { panic!("nobody wakes") };
        assert!(wake > bench.now);
        bench.now = wake;
    }
    let gaps: Vec<Duration> = orders.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(gaps.iter().all(|gap| *gap >= patience), "{gaps:?}");
    let slowest = patience + bench.world.policy.backoff_cap.mul_f64(1.2);
    assert!(gaps.iter().all(|gap| *gap <= slowest + Duration::from_secs(1)), "{gaps:?}");
    assert_eq!(then, "NetworkBootOverdue", "a person is asked to look");
}

#[test]
fn an_order_with_unknown_outcome_is_waited_for() {
    let mut bench = Bench::new(rack(1, 0, 0));
    bench.arm(1);
    let (host, generation) = (bench.id(1), bench.world.spec(&bench.id(1)).unwrap().generation);
    bench.wait(3600);
    bench.end(Action::Arm { host, generation }, Err(Fault::transient(Reason::OutcomeUnknown, "no answer")));
    bench.wait(60);
    assert_eq!((bench.actions(), bench.reason(1).as_str()), (vec![], "NetworkBoot"));
    assert_eq!(bench.claim(1, 9), Verdict::Ok);
}

/// When a failing probe is tried, from its first failure on.
fn tries(fault: &Fault, hours: u64) -> (Vec<Duration>, Bench) {
    let mut bench = Bench::new(rack(1, 0, 0));
    bench.bmc_seen(1);
    let began = bench.now;
    let mut tries = Vec::new();
    while bench.now.since(began) < Duration::from_secs(hours * 3600) {
        if let Some(action) = bench.actions().pop() {
            tries.push(bench.now.since(began));
            bench.end(action, Err(fault.clone()));
        }
        bench.now = bench.plan().wake_at.unwrap();
    }
    (tries, bench)
}

#[test]
fn a_fault_that_may_pass_is_retried_with_doubling_and_a_cap() {
    let (tries, bench) = tries(&Fault::transient(Reason::Unreachable, "no answer"), 24);
    let gaps: Vec<f64> = tries.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    let (base, cap) = (bench.world.policy.backoff_base.as_secs_f64(), bench.world.policy.backoff_cap.as_secs_f64());
    for (index, gap) in gaps.iter().enumerate() {
        let least = (base * 2f64.powi(index as i32)).min(cap);
        assert!(*gap >= least && *gap <= least * 1.2 + 0.1, "gap {index} is {gap}, not about {least}");
    }
    assert!(gaps.len() > 50);
    assert!(matches!(bench.step(1), Step::Stalled { until: Some(_), .. }));
}

#[test]
fn wrong_credentials_are_tried_once_until_the_repository_changes() {
    let (tries, mut bench) = tries(&Fault::operator(Reason::AuthenticationFailed, "the BMC refuses the account"), 48);
    assert_eq!(tries.len(), 1, "a second try could lock the account");
    assert!(matches!(bench.step(1), Step::Stalled { until: None, .. }));
    bench.rack.hosts[0].password = "better".into();
    bench.push();
    assert_eq!(bench.actions(), [Action::Probe { host: bench.id(1) }]);
}

#[test]
fn limits_hold() {
    let mut bench = Bench::new(rack(8, 0, 0));
    let mut policy = (*bench.world.policy).clone();
    policy.concurrent_bmc = 3;
    policy.concurrent_installs = 2;
    bench.world.policy = policy.into();
    (1..=8).for_each(|number| bench.bmc_seen(number));
    assert_eq!(bench.actions().len(), 3);
    while let Some(action) = bench.actions().pop() {
        bench.well(action);
    }
    bench.publish();
    let mut armed = Vec::new();
    while let Some(action) = bench.actions().pop() {
        armed.push(action.host().unwrap().clone());
        bench.well(action);
    }
    assert_eq!(armed.len(), 2, "{armed:?}");
    let waiting = (1..=8).filter(|number| bench.reason(*number) == "InstallSlots").count();
    assert_eq!(waiting, 6);
}

#[test]
fn an_installer_that_falls_silent_is_started_over_and_a_first_boot_that_does_not_come_is_power_cycled() {
    let mut bench = Bench::new(rack(1, 0, 0));
    bench.arm(1);
    bench.claim(1, 1);
    bench.wait(bench.world.policy.install_timeout.as_secs() - 1);
    assert_eq!(bench.actions(), []);
    bench.wait(1);
    assert!(matches!(bench.actions()[..], [Action::Arm { .. }]));
    let again = bench.actions().pop().unwrap();
    bench.well(again);
    bench.wait(60);
    assert_eq!(bench.actions(), [], "counted from the new order, not from the old claim");
    assert_eq!(bench.claim(1, 2), Verdict::Ok);
    assert!(matches!(bench.report(1, Say::InstallComplete, 1), Verdict::Refused(_)), "the old token is dead");
    assert_eq!(bench.report(1, Say::InstallComplete, 2), Verdict::Ok);
    bench.wait(bench.world.policy.first_boot_timeout.as_secs());
    assert_eq!(bench.actions(), [Action::PowerCycle { host: bench.id(1) }]);
}

#[test]
fn what_is_completed_stays_completed() {
    let mut bench = Bench::completed();
    let quiet = bench.plan().fingerprint;
    bench.wait(7 * 24 * 3600);
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.plan().fingerprint, quiet, "time alone changes nothing that is published");
    // A board that is replaced, a BMC that moves, a late check-in: facts, but no fall down the ladder.
    bench.bmc_seen(1);
    assert_eq!(bench.report(1, Say::InstallStart, 1), Verdict::Ok);
    assert_eq!(bench.report(1, Say::BootConfigured, 1), Verdict::Ok);
    assert_eq!((bench.state(1), bench.actions()), (HostState::Completed, vec![]));
}

#[test]
fn a_changed_spec_is_drift_and_a_raised_generation_is_consent() {
    let mut bench = Bench::completed();
    bench.rack.hosts[0].options = 7;
    bench.push();
    let plan = bench.plan();
    assert!(plan.hosts[0].notes.iter().any(|note| note.starts_with("drift")), "{:?}", plan.hosts[0].notes);
    assert_eq!((bench.state(1), bench.actions()), (HostState::Completed, vec![]));
    bench.rack.hosts[0].generation = 2;
    bench.push();
    assert_eq!(bench.state(1), HostState::Preparing, "known, but the LED goes on again");
    bench.arm(1);
    bench.install(1, 2);
    assert!(bench.plan().hosts[0].notes.is_empty());
}

#[test]
fn hosts_that_leave_or_are_put_aside_are_left_alone() {
    let mut bench = Bench::new(rack(2, 0, 0));
    bench.arm(1);
    bench.bmc_seen(2);
    bench.rack.hosts[0].maintenance = true;
    bench.push();
    assert_eq!(bench.actions(), [Action::Probe { host: bench.id(2) }]);
    assert!(matches!(bench.claim(1, 1), Verdict::Refused(_)));
    bench.rack.hosts[0].maintenance = false;
    let gone = bench.rack.hosts.remove(1);
    bench.push();
    assert!(bench.actions().is_empty() && bench.plan().hosts.len() == 1);
    bench.rack.hosts.clear();
    bench.push();
    bench.wait(24 * 3600);
    assert_eq!(bench.actions(), []);
    bench.rack.hosts.push(gone);
    bench.push();
    assert_eq!(bench.actions(), [Action::Probe { host: bench.id(1) }], "it comes back with what is known of it");
}

#[test]
fn nothing_is_armed_without_a_first_run() {
    let mut bench = Bench::bare(rack(1, 1, 0));
    bench.push();
    bench.bmc_seen(1);
    bench.well(Action::Probe { host: bench.id(1) });
    bench.well(Action::Prepare { host: bench.id(1), apply: true });
    bench.host_seen(2);
    bench.publish();
    assert_eq!((bench.actions(), bench.reason(1).as_str()), (vec![], "FirstRun"));
    assert!(matches!(bench.claim(2, 1), Verdict::Refused(_)));
    bench.tell(rackwright::model::Event::FirstRun);
    bench.publish();
    assert!(matches!(bench.actions()[..], [Action::Arm { .. }]));
    assert_eq!(bench.claim(2, 1), Verdict::Ok);
}

#[test]
fn since_is_when_the_state_was_entered() {
    let mut bench = Bench::new(rack(1, 0, 0));
    bench.wait(100);
    bench.bmc_seen(1);
    let entered: Time = bench.now;
    bench.wait(100);
    bench.bmc_seen(1);
    assert_eq!(bench.world.facts(&bench.id(1)).unwrap().shown, Some((HostState::Characterizing, entered)));
}

#[test]
fn a_replaced_board_is_another_machine_and_keeps_its_name_and_generation() {
    let mut bench = Bench::completed();
    bench.rack.hosts[0].bmc_mac.0[4] = 9;
    bench.rack.hosts[0].boot_mac.0[4] = 9;
    bench.push();
    let facts = bench.world.facts(&bench.id(1)).unwrap();
    assert!(facts.pin.is_none() && facts.inventory.is_none() && facts.bmc_seen.is_none());
    assert_eq!(bench.actions(), [], "its disk is believed to be installed until somebody says otherwise");
    bench.rack.hosts[0].generation = 2;
    bench.push();
    assert_eq!(bench.state(1), HostState::Init);
    bench.wait(2 * 3600);
    bench.arm(1);
    bench.install(1, 2);
    assert_eq!(bench.state(1), HostState::Completed);
}
