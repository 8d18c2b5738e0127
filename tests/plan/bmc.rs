//! What the plan makes of BMCs: accounts, certificates, preparations that take their time, and who is not in the
//! repository.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use rackwright::model::{
    Action, ClusterSpec, Credential, CredentialKind, Desired, Digest, Event, Fault, HostSpec, HostState, Lane,
    LeaseOrigin, Mac, Outcome, Pending, Preparation, Reason, Secret, Stage, StatusBranch, Verdict,
};
use rackwright::plan::{Step, report};

use crate::rig::plan::{Bench, rack};

/// Puts a changed host 1 in force.
fn respecify(bench: &mut Bench, change: impl Fn(&mut HostSpec)) {
    let desired = bench.world.desired.clone().unwrap();
    let id = bench.id(1);
    let hosts = desired.hosts.values().map(|spec| {
        let mut spec = HostSpec::clone(spec);
        if spec.id == id {
            change(&mut spec);
        }
        spec
    });
    let clusters = desired.clusters.values().map(|spec| ClusterSpec::clone(spec));
    let desired = Desired::new(desired.revision.clone(), clusters, hosts, Vec::new());
    bench.put_in_force(&"e".repeat(40), Arc::new(desired));
}

fn account(kind: CredentialKind, username: &str, run: u32) -> Credential {
    let id = Digest::new(format!("{username} {run}"));
    Credential { kind, username: username.into(), password: Secret::new("planted"), id }
}

fn both(run: u32) -> impl Fn(&mut HostSpec) {
    move |spec| {
        let production = account(CredentialKind::Production, "admin", run);
        spec.bmc.credentials = Arc::new([account(CredentialKind::Initial, "root", run), production]);
    }
}

fn seen(change: impl Fn(&mut HostSpec)) -> (Bench, Action) {
    let mut bench = Bench::new(rack(1, 0, 0));
    bench.bmc_seen(1);
    respecify(&mut bench, change);
    let probe = Action::Probe { host: bench.id(1) };
    (bench, probe)
}

fn refused() -> Fault {
    Fault::operator(Reason::AuthenticationFailed, "refused")
}

fn tried(bench: &Bench) -> String {
    bench.world.lanes.get(&Lane::Bmc(bench.id(1))).doing.clone().unwrap().credential.unwrap().as_str().to_owned()
}

#[test]
fn each_account_is_tried_once_until_the_repository_changes() {
    let (mut bench, probe) = seen(both(1));
    for user in ["root 1", "admin 1"] {
        assert_eq!(bench.actions(), std::slice::from_ref(&probe), "at once");
        bench.tell(Event::Started { action: probe.clone() });
        assert_eq!(tried(&bench), user);
        bench.tell(Event::Ended { action: probe.clone(), result: Err(refused()) });
    }
    bench.tell(Event::DaemonStarted);
    bench.wait(10_000_000);
    assert_eq!(bench.actions(), []);
    let Step::Stalled { reason, message, until: None } = bench.step(1) else { panic!("{:?}", bench.step(1)) };
    assert!(reason == Reason::AuthenticationFailed && message.contains("`root` and the user `admin`"), "{message}");
    assert!(
        message.contains("bmc.password") && message.contains("ipmi.users.admin") && message.contains("cluster.run")
    );
    respecify(&mut bench, both(2));
    assert!(bench.world.facts(&bench.id(1)).unwrap().bmc.refused.is_empty());
    assert_eq!(bench.actions(), [probe]);
}

#[test]
fn a_refusal_of_an_account_that_was_changed_meanwhile_says_nothing_of_the_new_one() {
    let (mut bench, probe) = seen(both(1));
    bench.tell(Event::Started { action: probe.clone() });
    respecify(&mut bench, both(2));
    bench.tell(Event::Ended { action: probe.clone(), result: Err(refused()) });
    assert_eq!(bench.actions(), std::slice::from_ref(&probe));
    bench.tell(Event::Started { action: probe });
    assert_eq!(tried(&bench), "root 2");
}

#[test]
fn the_account_that_was_accepted_comes_first() {
    let (mut bench, probe) = seen(both(1));
    bench.end(probe.clone(), Err(refused()));
    bench.well(probe.clone());
    let notes = bench.plan().host(&bench.id(1)).unwrap().notes.clone();
    assert!(notes.iter().any(|note| note == "the BMC has refused the user `root`"), "{notes:?}");
    bench.tell(Event::Started { action: Action::Prepare { host: bench.id(1), apply: true } });
    assert_eq!(tried(&bench), "admin 1");
    let text = format!("{:?}{:?}", report::report(&bench.world, &bench.plan()), bench.journal);
    assert!(!text.contains("planted"));
}

#[test]
fn a_changed_certificate_is_looked_at_again_at_the_slowest_pace_or_when_one_is_written_down() {
    let (mut bench, probe) = seen(|_| ());
    let changed = Fault::operator(Reason::CertificateChanged, "aa is trusted, but bb was shown");
    bench.end(probe.clone(), Err(changed.clone()));
    bench.wait(14 * 60);
    let Step::Stalled { reason, message, until: Some(_) } = bench.step(1) else { panic!("{:?}", bench.step(1)) };
    assert!(
        reason == Reason::CertificateChanged && message.contains("aa is") && message.contains("bb was"),
        "{message}"
    );
    assert_eq!(bench.actions(), []);
    bench.wait(2 * 60);
    assert_eq!(bench.actions(), std::slice::from_ref(&probe), "the old one may be back");
    bench.end(probe.clone(), Err(changed));
    assert_eq!(bench.actions(), []);
    respecify(&mut bench, |spec| spec.bmc.fingerprint = Some("bb".into()));
    assert_eq!(bench.actions(), [probe]);
}

fn begun(stage: Stage) -> Outcome {
    let what = "BIOS settings take effect in the restart under way".to_owned();
    let pending = Some(Pending { what, task: Some("/redfish/v1/TaskService/Tasks/1".into()), stage });
    Outcome::Prepared(Preparation { pending, ..Preparation::default() })
}

fn prepare(bench: &Bench, apply: bool) -> Action {
    Action::Prepare { host: bench.id(1), apply }
}

fn preparing() -> Bench {
    let (mut bench, probe) = seen(|_| ());
    bench.well(probe);
    let action = prepare(&bench, true);
    assert_eq!(bench.actions(), std::slice::from_ref(&action));
    bench.end(action, Ok(begun(Stage::Settings)));
    bench
}

#[test]
fn what_was_begun_is_looked_at_until_it_is_in_effect() {
    let mut bench = preparing();
    let look = prepare(&bench, false);
    for restart in [false, true] {
        assert_eq!((bench.actions(), bench.reason(1).as_str()), (vec![], "Preparing"));
        if restart {
            bench.tell(Event::DaemonStarted);
        }
        bench.wait(30);
        assert_eq!(bench.actions(), std::slice::from_ref(&look));
        bench.end(look.clone(), Ok(begun(Stage::Settings)));
    }
    let status = report::host_status(&bench.world, &bench.plan(), &bench.id(1)).unwrap();
    let shown = status.preparing.expect("what is under way");
    assert!((shown.what.starts_with("BIOS settings"), shown.times) == (true, 1), "{shown:?}");
    bench.wait(30);
    bench.well(look);
    assert_eq!(bench.state(1), HostState::PxeBooting);
    assert_eq!(bench.world.facts(&bench.id(1)).unwrap().bmc.pending, None);
}

#[test]
fn a_bmc_that_is_silent_meanwhile_is_no_failure_before_the_deadline() {
    let mut bench = preparing();
    let look = prepare(&bench, false);
    let mut looks = 0;
    for _ in 0..(44 * 60) {
        bench.wait(1);
        match bench.actions().as_slice() {
            [] => assert!(matches!(bench.step(1), Step::Wait { reason: Reason::Preparing, .. }), "{:?}", bench.step(1)),
            [action] => {
                assert_eq!(*action, look);
                bench.end(look.clone(), Err(Fault::transient(Reason::Unreachable, "no answer")));
                looks += 1;
            }
            more => panic!("{more:?}"),
        }
    }
    assert!((80..=88).contains(&looks), "every 30 seconds: {looks}");
    bench.wait(20 * 60);
    assert_eq!(bench.actions(), [prepare(&bench, true)], "once more from the beginning, at the slowest pace");
}

#[test]
fn what_never_comes_into_effect_is_begun_ever_more_slowly() {
    let mut bench = preparing();
    let mut applied = 0;
    for _ in 0..2_000 {
        bench.wait(60);
        for action in bench.actions() {
            applied += usize::from(action == prepare(&bench, true));
            bench.end(action, Ok(begun(Stage::Settings)));
        }
    }
    assert!((20..=50).contains(&applied), "in 33 hours: {applied}");
    let overdue = (0..60).any(|_| {
        bench.wait(60);
        let stalled = bench.reason(1) == "SettingsOverdue";
        for action in bench.actions() {
            bench.end(action, Ok(begun(Stage::Settings)));
        }
        stalled
    });
    assert!(overdue);
}

#[test]
fn other_wishes_begin_anew() {
    let mut bench = preparing();
    respecify(&mut bench, |spec| spec.generation.0 += 1);
    assert_eq!(bench.actions(), [prepare(&bench, true)]);
    let mut bench = preparing();
    respecify(&mut bench, |spec| spec.state = rackwright::model::Lifecycle::Maintenance);
    bench.wait(10_000);
    assert_eq!((bench.actions(), bench.reason(1).as_str()), (vec![], "Done"), "left alone meanwhile");
}

#[test]
fn every_bmc_starts_when_it_appears() {
    let mut bench = Bench::new(rack(3, 0, 0));
    bench.arm(1);
    bench.install(1, 1);
    assert_eq!(bench.actions(), []);
    bench.wait(30 * 24 * 3600);
    bench.bmc_seen(2);
    assert_eq!(bench.actions(), [Action::Probe { host: bench.id(2) }], "by a lease of ours");
    let (mac, until) = (bench.rack.hosts[2].bmc_mac, bench.now + Duration::from_secs(60));
    let ip = Ipv4Addr::new(10, 255, 255, 77);
    assert_eq!(bench.tell(Event::Leased { mac, ip, until, by: LeaseOrigin::Dnsmasq }), Verdict::Ok);
    assert!(bench.actions().contains(&Action::Probe { host: bench.id(3) }), "by dnsmasq's");
    let mut bench = Bench::new(rack(1, 0, 0));
    respecify(&mut bench, |spec| spec.bmc.address = Some([192, 0, 2, 9].into()));
    assert_eq!(bench.actions(), [Action::Probe { host: bench.id(1) }], "by its address in the repository");
}

fn stranger(number: u16) -> Mac {
    let [high, low] = number.to_be_bytes();
    Mac([2, 0, 0, 9, high, low])
}

fn lease(bench: &mut Bench, mac: Mac, ip: [u8; 4]) {
    let until = bench.now + Duration::from_secs(3600);
    bench.tell(Event::Leased { mac, ip: ip.into(), until, by: LeaseOrigin::Dnsmasq });
}

#[test]
fn who_is_not_in_the_repository_is_listed_and_left_alone() {
    let mut bench = Bench::new(rack(1, 0, 0));
    lease(&mut bench, stranger(1), [10, 1, 0, 1]);
    assert_eq!(bench.actions(), []);
    let files = report::report(&bench.world, &bench.plan());
    assert!(files["rack.yaml"].contains(&stranger(1).to_string()) && files["rack.yaml"].contains("10.1.0.1"));
    assert!(files["README.md"].contains("1 machines or BMCs"));
    assert!(StatusBranch::read(&files).is_ok());
    let before = bench.world.clone();
    bench.wait(600);
    lease(&mut bench, stranger(1), [10, 1, 0, 1]);
    assert!(bench.world.differs_only_in_leases(&before), "a renewal is no news");
    let shown = bench.plan().fingerprint;
    lease(&mut bench, stranger(2), [10, 1, 0, 2]);
    assert_ne!(bench.plan().fingerprint, shown);
    // The repository names it: it is one of ours now, with the address that it has had all along.
    bench.rack.hosts[0].bmc_mac = stranger(1);
    bench.push();
    assert_eq!(bench.world.unclaimed.keys().collect::<Vec<_>>(), [&stranger(2)]);
    assert_eq!(bench.actions(), [Action::Probe { host: bench.id(1) }]);
    bench.tell(Event::Released { mac: stranger(2), ip: [10, 1, 0, 2].into() });
    assert!(bench.world.unclaimed.is_empty());
}

#[test]
fn the_list_of_strangers_is_bounded_and_forgets() {
    let mut bench = Bench::new(rack(1, 0, 0));
    for number in 0..1_500_u16 {
        let [high, low] = number.to_be_bytes();
        lease(&mut bench, stranger(number), [10, 1, high, low]);
    }
    assert_eq!(bench.world.unclaimed.len(), 1_000);
    bench.wait(26 * 3600);
    lease(&mut bench, stranger(2_000), [10, 2, 0, 0]);
    assert_eq!(bench.world.unclaimed.len(), 1, "a day after their addresses ran out");
    bench.wait(26 * 3600);
    bench.tell(Event::DaemonStarted);
    assert!(bench.world.unclaimed.is_empty());
}
