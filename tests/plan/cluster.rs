//! The barrier and the tasks; check-ins; restarts; lost journals.

use std::sync::Arc;

use rackwright::model::{
    Action, CheckInAction as Say, ClusterState, Desired, Event, Fault, HookProgram, HostState, Outcome, Reason, Scope,
    TaskKind, Time, Verdict, World,
};
use rackwright::plan::{self, Step, report};

use crate::rig::plan::{Bench, rack};

#[test]
fn the_last_host_opens_the_barrier_once() {
    let mut bench = Bench::new(rack(3, 0, 1));
    for number in 1..=3 {
        bench.arm(number);
    }
    bench.install(1, 1);
    bench.install(2, 2);
    assert_eq!((bench.state(1), bench.reason(1).as_str()), (HostState::BootedInitial, "Peers"));
    assert_eq!(bench.actions(), []);
    bench.install(3, 3);
    // Repeated and reordered boots change nothing.
    for number in [2, 1, 3, 2] {
        bench.report(number, Say::BootInitial, number as u8);
    }
    let actions = bench.actions();
    assert_eq!(actions.len(), 1, "{actions:?}");
    bench.tell(Event::Started { action: actions[0].clone() });
    bench.report(1, Say::BootConfigured, 1);
    assert_eq!(bench.actions(), [], "one run at a time");
    bench.tell(Event::Ended { action: actions[0].clone(), result: Ok(Outcome::TaskDone) });
    assert_eq!(bench.actions().len(), 3);
    assert!(bench.actions().iter().all(|action| matches!(action, Action::Finish { .. })));
}

#[test]
fn a_host_added_later_gets_its_tasks_and_the_others_are_left_alone() {
    let mut bench = Bench::new(rack(2, 0, 1));
    let each = |bench: &mut Bench, revision: &str| {
        let desired = with_tasks(bench, |task| {
            let TaskKind::Hook(hook) = &mut task.kind else { return };
            hook.program = Arc::new(HookProgram { scope: Scope::Each, ..(*hook.program).clone() });
        });
        bench.put_in_force(revision, desired);
    };
    let second = bench.rack.hosts.pop().unwrap();
    bench.push();
    each(&mut bench, "one");
    bench.arm(1);
    bench.install(1, 1);
    let run = bench.actions().pop().unwrap();
    bench.well(run);
    bench.well(Action::Finish { host: bench.id(1), power_off: true });
    bench.rack.hosts.push(second);
    bench.push();
    each(&mut bench, "two");
    assert_eq!(bench.state(1), HostState::Completed);
    bench.arm(2);
    bench.install(2, 2);
    assert_eq!(bench.state(1), HostState::Completed);
    let actions = bench.actions();
    let [Action::Run { covers, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(covers.keys().collect::<Vec<_>>(), [&bench.id(2)]);
}

pub fn with_tasks(bench: &Bench, change: impl Fn(&mut rackwright::model::TaskSpec)) -> Arc<Desired> {
    let desired = bench.world.desired.clone().unwrap();
    let mut clusters: Vec<_> = desired.clusters.values().map(|cluster| (**cluster).clone()).collect();
    clusters.iter_mut().flat_map(|cluster| &mut cluster.tasks).for_each(change);
    let hosts = desired.hosts.values().map(|host| (**host).clone());
    Arc::new(Desired::new(desired.revision.clone(), clusters, hosts, Vec::new()))
}

#[test]
fn a_task_that_must_not_run_twice_waits_for_a_person() {
    let mut bench = Bench::new(rack(1, 0, 1));
    let desired = with_tasks(&bench, |task| task.idempotent = false);
    bench.put_in_force("once", desired);
    bench.arm(1);
    bench.install(1, 1);
    assert_eq!((bench.actions(), bench.reason(1).as_str()), (vec![], "Announcing"));
    bench.publish();
    let run = bench.actions().pop().unwrap();
    bench.tell(Event::Started { action: run });
    bench.tell(Event::DaemonStarted);
    bench.wait(48 * 3600);
    assert_eq!((bench.actions(), bench.reason(1).as_str()), (vec![], "Interrupted"));
    let desired = bench.world.desired.clone().unwrap();
    let clusters = desired.clusters.values().map(|cluster| {
        let mut cluster = (**cluster).clone();
        cluster.run += 1;
        cluster
    });
    let hosts = desired.hosts.values().map(|host| (**host).clone());
    let raised = Arc::new(Desired::new(None, clusters, hosts, Vec::new()));
    bench.put_in_force("raised", raised);
    bench.publish();
    assert!(matches!(bench.actions()[..], [Action::Run { run: 2, .. }]));
}

#[test]
fn a_failing_hook_is_retried_and_its_cluster_says_so() {
    let mut bench = Bench::new(rack(1, 0, 1));
    bench.arm(1);
    bench.install(1, 1);
    for _ in 0..10 {
        let run = bench.actions().pop().expect("another try");
        bench.end(run, Err(Fault::transient(Reason::Unreachable, "hooks.example.net does not answer")));
        assert_eq!(bench.actions(), []);
        bench.now = bench.plan().wake_at.unwrap();
        while bench.actions().is_empty() {
            bench.now = bench.plan().wake_at.unwrap();
        }
    }
    let run = bench.actions().pop().unwrap();
    bench.end(run, Err(Fault::transient(Reason::Unreachable, "hooks.example.net does not answer")));
    let plan = bench.plan();
    assert!(matches!(&plan.clusters[0].step, Step::Stalled { message, .. } if message.contains("hook 0")));
    assert_eq!(plan.clusters[0].state, ClusterState::HooksRunning);
}

#[test]
fn check_ins_are_believed_by_token_first() {
    let mut bench = Bench::new(rack(2, 0, 0));
    bench.arm(1);
    bench.arm(2);
    bench.claim(1, 1);
    bench.claim(2, 2);
    // Without the BMC's MAC, without anything but the token: fine.
    let mut bare = bench.checkin(1, Say::InstallStart, Some(Bench::token(1).id()));
    bare.bmc_mac = None;
    bare.host_mac = None;
    bare.hostname = None;
    assert_eq!(bench.tell(Event::CheckedIn(bare.clone())), Verdict::Ok);
    // A token that contradicts its source address or MAC is not.
    let mut foreign = bench.checkin(2, Say::InstallComplete, Some(Bench::token(1).id()));
    assert!(matches!(bench.tell(Event::CheckedIn(foreign.clone())), Verdict::Refused(_)));
    foreign.host_mac = None;
    foreign.bmc_mac = None;
    assert!(matches!(bench.tell(Event::CheckedIn(foreign)), Verdict::Refused(_)), "the source address gives it away");
    // Neither is a completion without a token, or with an unknown one.
    let silent = bench.checkin(1, Say::InstallComplete, None);
    assert!(matches!(bench.tell(Event::CheckedIn(silent)), Verdict::Refused(_)));
    assert!(matches!(bench.report(1, Say::InstallComplete, 77), Verdict::Refused(_)));
    assert_eq!(bench.state(1), HostState::Installing);
    assert!(bench.plan().hosts[0].notes.iter().any(|note| note.contains("refused")));
    // A claim that is replaced is worth nothing; repetition of the right word is harmless.
    bench.claim(1, 3);
    assert!(matches!(bench.report(1, Say::InstallComplete, 1), Verdict::Refused(_)));
    assert_eq!(bench.report(1, Say::InstallComplete, 3), Verdict::Ok);
    assert_eq!(bench.report(1, Say::InstallComplete, 3), Verdict::Ok);
    assert_eq!(bench.report(1, Say::InstallStart, 3), Verdict::Ok);
    assert_eq!(bench.state(1), HostState::Installed, "an old word does not take it back");
}

#[test]
fn a_boot_of_the_installed_system_proves_an_install_whose_completion_was_lost() {
    let mut bench = Bench::new(rack(1, 0, 0));
    bench.arm(1);
    bench.claim(1, 1);
    assert_eq!(bench.report(1, Say::BootInitial, 1), Verdict::Ok);
    assert_eq!(bench.state(1), HostState::Completed);
    // And one without a token, from the right address, is believed only of what is installed.
    let plain = bench.checkin(1, Say::BootConfigured, None);
    assert_eq!(bench.tell(Event::CheckedIn(plain)), Verdict::Ok);
}

#[test]
fn a_lost_journal_is_made_up_for_by_the_status_branch() {
    let bench = Bench::completed();
    let again = bench.amnesiac();
    assert_eq!(again.actions(), []);
    assert_eq!((again.state(1), again.reason(1).as_str()), (HostState::Completed, "Done"));
    let (before, after) = (&bench.world.hosts[&bench.id(1)], &again.world.hosts[&bench.id(1)]);
    assert_eq!(before.installed.as_ref().map(|it| &it.token), after.installed.as_ref().map(|it| &it.token));
    assert_eq!((before.pin.clone(), before.boot_mac), (after.pin.clone(), after.boot_mac));
}

#[test]
fn an_install_whose_outcome_is_unknown_is_not_repeated_unasked() {
    let mut bench = Bench::new(rack(1, 0, 0));
    bench.arm(1);
    let again = bench.amnesiac();
    assert_eq!((again.actions(), again.reason(1).as_str()), (vec![], "JournalLost"));
    // Its claim was announced too: the real machine can still report.
    bench.claim(1, 1);
    let mut again = bench.amnesiac();
    assert_eq!((again.actions(), again.reason(1).as_str()), (vec![], "JournalLost"));
    assert_eq!(again.report(1, Say::InstallComplete, 1), Verdict::Ok);
    assert_eq!(again.state(1), HostState::Installed);
    // Otherwise a raised generation is consent.
    let mut again = bench.amnesiac();
    again.rack.hosts[0].generation = 2;
    again.push();
    again.arm(1);
    again.install(1, 2);
}

#[test]
fn a_restart_forgets_nothing() {
    let mut bench = Bench::new(rack(2, 1, 1));
    bench.arm(1);
    bench.claim(1, 1);
    bench.bmc_seen(2);
    let mut again = World::new(bench.world.policy.clone());
    for (at, event) in &bench.journal {
        let mut event: Event = serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
        if event.missing_revision().is_some() {
            event.hydrate(bench.world.desired.clone().unwrap());
        }
        plan::reduce(&mut again, &event, *at);
    }
    assert!(again == bench.world);
    let kept = serde_json::to_string(&bench.world.snapshot()).unwrap();
    let back =
        World::restore(bench.world.policy.clone(), serde_json::from_str(&kept).unwrap(), bench.world.desired.clone());
    assert!(back == bench.world);
}

#[test]
fn a_refused_revision_leaves_the_last_good_one_in_force() {
    let mut bench = Bench::completed();
    let finding = rackwright::model::Finding::error("hosts", (3, 1), "bad", "bad");
    let fetched = rackwright::model::Fetched::Rejected {
        revision: rackwright::model::Revision::new("f00"),
        findings: vec![finding],
    };
    bench.end(Action::Fetch, Ok(Outcome::Fetched(fetched)));
    let plan = bench.plan();
    assert_eq!((plan.hosts.len(), bench.actions()), (1, vec![]));
    let files = report::report(&bench.world, &plan);
    assert!(files["rejected.yaml"].contains("f00") && files["README.md"].contains("Refused"));
    bench.push();
    let plan = bench.plan();
    assert!(!report::report(&bench.world, &plan).contains_key("rejected.yaml"));
}

#[test]
fn the_status_commit_names_what_moved() {
    let mut bench = Bench::new(rack(1, 0, 0));
    bench.bmc_seen(1);
    let text = report::commit_message(&bench.world, 0, bench.world.moves.last);
    assert!(text.lines().next().unwrap().contains("hv1"), "{text}");
    assert!(text.contains("\nTransition: c1/hv1 init -> characterizing\n"), "{text}");
    assert!(text.contains("\nObserved-Revision: "), "{text}");
    assert!(text.lines().next().unwrap().len() <= 72, "{text}");
    assert_eq!(bench.world.moves.recent.front().map(|entry| entry.at), Some(Time::from_secs(1_000_000)));
}
