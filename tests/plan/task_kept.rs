//! What survives a lost journal, a host that leaves, and check-ins in any order.

use std::sync::Arc;

use rackwright::model::{
    Action, CheckInAction as Say, Event, Fault, Fetched, HookProgram, Outcome, Place, Reason, Scope, TaskKind,
    TaskSpec, Verdict,
};
use rackwright::plan::ssh;

use crate::plan::task::{cluster_reason, complete, force, revision, run, up};
use crate::rig::plan::{Bench, KEY, rack};

#[test]
fn a_lost_journal_begins_nothing_twice() {
    // Announced, begun or not: nobody knows any more.
    let mut bench = up(2, |_| {});
    let _ = run(&mut bench, "first");
    let again = bench.amnesiac();
    assert_eq!((again.actions(), cluster_reason(&again).as_str()), (vec![], "JournalLost"));
    // A failure stays one, whatever the journal.
    let mut bench = up(1, |_| {});
    let ansible = run(&mut bench, "first");
    bench.end(ansible, Err(Fault::operator(Reason::AnsibleFailed, "a role failed")));
    let mut again = bench.amnesiac();
    again.wait(48 * 3600);
    assert_eq!((again.actions(), cluster_reason(&again).as_str()), (vec![], "AnsibleFailed"));
    // What is done is done, with its host key and the restart.
    let mut bench = up(2, |_| {});
    complete(&mut bench, 2);
    let again = bench.amnesiac();
    assert_eq!(cluster_reason(&again), "Done");
    let spec = again.world.spec(&again.id(1)).unwrap();
    assert_eq!(ssh::host_key(&again.world, spec).as_deref(), Some(KEY));
    assert_eq!(again.state(1), bench.state(1));
}

#[test]
fn a_host_that_left_and_comes_back_is_not_blank() {
    let mut bench = up(2, |_| {});
    complete(&mut bench, 2);
    let both = bench.rack.clone();
    bench.rack.hosts.pop();
    bench.push();
    let mut again = bench.amnesiac();
    again.rack = both;
    again.push();
    assert_eq!(again.state(2).as_str(), bench.state(1).as_str());
    // Likewise one that left while it was being installed.
    let mut bench = Bench::new(rack(2, 0, 0));
    bench.arm(2);
    let both = bench.rack.clone();
    bench.rack.hosts.pop();
    bench.push();
    let mut again = bench.amnesiac();
    again.rack = both;
    again.push();
    assert_eq!(again.reason(2), "JournalLost");
}

#[test]
fn check_ins_pin_the_host_key_and_none_contradicts_its_own_address() {
    let mut bench = up(1, |_| {});
    let checkin = |bench: &Bench, key: &str| {
        let mut checkin = bench.checkin(1, Say::BootInitial, Some(Bench::token(1).id()));
        checkin.ssh_host_key = Some(key.to_owned());
        Event::CheckedIn(checkin)
    };
    let told = checkin(&bench, "ssh-ed25519 not-base64 root@hv1");
    assert_eq!(bench.tell(told), Verdict::Ok, "what is no key is not taken for one");
    let spec = bench.world.spec(&bench.id(1)).unwrap().clone();
    assert_eq!(ssh::host_key(&bench.world, &spec), None);
    let told = checkin(&bench, &format!("{KEY} root@hv1"));
    assert_eq!(bench.tell(told), Verdict::Ok);
    assert_eq!(ssh::host_key(&bench.world, &spec).as_deref(), Some(KEY));
    let told = checkin(&bench, &KEY.replace("AAAAIAABAg", "AAAAIAABAw"));
    assert!(matches!(bench.tell(told), Verdict::Refused(_)));
    assert_eq!(ssh::host_key(&bench.world, &spec).as_deref(), Some(KEY));
    let mut elsewhere = bench.checkin(1, Say::BootInitial, Some(Bench::token(1).id()));
    elsewhere.host_ip = Some("10.255.255.77".parse().unwrap());
    assert!(matches!(bench.tell(Event::CheckedIn(elsewhere)), Verdict::Refused(_)));
}

#[test]
fn check_ins_of_one_millisecond_in_any_order_start_one_run() {
    let orders = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
    for order in orders.iter().cycle().take(100) {
        let mut bench = Bench::new(rack(3, 0, 1));
        force(&mut bench, 1, |_| {});
        for number in 1..=3 {
            bench.arm(number);
            bench.claim(number, number as u8);
            bench.report(number, Say::InstallComplete, number as u8);
        }
        let mut runs = 0;
        // Each of them three times, planned and acted upon after every one.
        for number in order.iter().cycle().take(9) {
            bench.report(*number, Say::BootInitial, *number as u8);
            for _ in 0..8 {
                for action in bench.plan().actions {
                    match action {
                        Action::Publish { .. } | Action::Reach { .. } => bench.well(action),
                        Action::Run { .. } => {
                            runs += 1;
                            bench.tell(Event::Started { action });
                        }
                        _ => {}
                    }
                }
            }
        }
        assert_eq!(runs, 1, "{order:?}");
    }
}

/// pvcbootstrapd sleeps 842 s on this way; machines that answer at once are not waited for.
#[test]
fn the_way_through_twelve_hooks_is_not_spent_waiting() {
    let mut bench = Bench::new(rack(3, 0, 12));
    let on_hosts = |task: &mut TaskSpec| {
        if let TaskKind::Hook(hook) = &mut task.kind {
            hook.program = Arc::new(HookProgram { place: Place::Host, scope: Scope::Each, ..(*hook.program).clone() });
            task.idempotent = false;
        }
    };
    let desired = revision(&bench, 1, on_hosts);
    bench.put_in_force("twelve", desired);
    for number in 1..=3 {
        bench.arm(number);
        bench.install(number, number as u8);
    }
    let (begun, mut runs) = (bench.now, 0);
    while (1..=3).any(|number| bench.reason(number) != "Done") {
        let plan = bench.plan();
        if plan.actions.is_empty() {
            bench.now = plan.wake_at.expect("something is due");
        }
        for action in plan.actions {
            let configures = matches!(&action, Action::Run { task, .. } if task.as_str() == "ansible");
            runs += u32::from(matches!(&action, Action::Run { .. }));
            match action {
                Action::Fetch => bench.end(action, Ok(Outcome::Fetched(Fetched::Unchanged))),
                action => bench.well(action),
            }
            for number in (1..=3).filter(|_| configures) {
                bench.report(number, Say::BootConfigured, number as u8);
            }
        }
    }
    let waited = bench.now.since(begun);
    println!("{runs} tasks, {waited:?} of waiting");
    assert_eq!(runs, 13);
    assert!(waited < std::time::Duration::from_secs(5), "{waited:?}");
}
