//! The pool before BMCs that count: one operation at a time, one session, one failed login.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use rackwright::drive::bmc::manual::types::{Depth, Device, Power};
use rackwright::drive::bmc::{BmcLock, Limits, manual};
use rackwright::model::{Action, Event, FaultClass, HostState, Lane, Outcome, Reason, Secret, Time};
use rackwright::sim::bmc::BmcConfig;
use tokio::time::{Instant, sleep};

use crate::rig::bmc_pool::Rig;

fn same(config: BmcConfig) -> BmcConfig {
    config
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Which sessions were told: `true` for opened, `false` for closed.
fn sessions(events: &[Event]) -> Vec<bool> {
    let of = |event: &Event| match event {
        Event::BmcSession { session, .. } => Some(session.is_some()),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn a_flow_shares_a_session_and_an_idle_one_is_closed() {
    let mut rig = Rig::new(1, same);
    let pool = rig.pool(Limits::default());
    let probe = rig.probe(1);
    rig.act(&pool, probe.clone()).await.unwrap();
    let host = rig.bench.id(1);
    let uri = rig.bench.world.facts(&host).unwrap().bmc.session.clone().expect("journaled").0;
    assert_eq!(rig.line().with(|bmc| bmc.session_uris().collect::<Vec<_>>()), [uri]);
    sleep(secs(10)).await;
    rig.act(&pool, Action::Prepare { host: host.clone(), apply: true }).await.unwrap();
    sleep(secs(10)).await;
    rig.act(&pool, probe).await.unwrap();
    assert_eq!((rig.line().opened(), rig.line().open()), (1, 1), "also after the certificate was pinned");
    sleep(secs(21)).await;
    assert_eq!(rig.line().open(), 0);
    assert_eq!(sessions(&rig.hear()), [false]);
    assert_eq!(rig.bench.world.facts(&host).unwrap().bmc.session, None);
}

#[tokio::test(start_paused = true)]
async fn finishing_and_stopping_close_the_session() {
    let mut rig = Rig::new(2, same);
    let pool = rig.pool(Limits::default());
    for number in [1, 2] {
        let probe = rig.probe(number);
        rig.act(&pool, probe).await.unwrap();
    }
    let finish = Action::Finish { host: rig.bench.id(1), power_off: false };
    rig.act(&pool, finish).await.unwrap();
    let open: Vec<_> = rig.lines.values().map(|line| line.open()).collect();
    assert_eq!(open, [0, 1]);
    pool.close().await;
    assert!(rig.lines.values().all(|line| line.open() == 0));
    assert_eq!(sessions(&rig.hear()), [false]);
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_on_each_few_over_all_and_no_long_queues() {
    let rig = Rig::new(6, same);
    let pool = rig.pool(Limits { at_once: 2, queue: 3, ..Limits::default() });
    let world = &rig.bench.world;
    // A probe asks for many things at once; this asks for one after the other.
    let orders: Vec<_> = (1..=6).map(|number| Action::Prepare { host: rig.bench.id(number), apply: true }).collect();
    let begun = Instant::now();
    let results = join_all(orders.iter().cycle().take(18).map(|order| pool.perform(order, world))).await;
    assert!(results.iter().all(Result::is_ok), "three for each BMC: one at work and two that wait");
    let counts: Vec<_> = rig.lines.values().map(|line| (line.here.most(), line.opened())).collect();
    assert_eq!(counts, [(1, 1); 6], "requests at once, and sessions");
    assert_eq!(rig.all.most(), 2);
    assert!(begun.elapsed() >= Duration::from_millis(400), "a pause after each of three operations on a BMC");
    let results = join_all((0..6).map(|_| pool.perform(&orders[0], world))).await;
    let refused = results.iter().filter_map(|result| result.as_ref().err());
    assert_eq!(refused.map(|fault| fault.reason.as_str()).collect::<Vec<_>>(), ["BmcInUse"; 2]);
}

#[tokio::test(start_paused = true)]
async fn sessions_beyond_the_places_are_closed_at_once() {
    let mut rig = Rig::new(3, same);
    let pool = rig.pool(Limits { kept: 2, ..Limits::default() });
    for number in [1, 2, 3] {
        let probe = rig.probe(number);
        rig.act(&pool, probe).await.unwrap();
    }
    let open: Vec<_> = rig.lines.values().map(|line| line.open()).collect();
    assert_eq!(open, [1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_leaves_open_is_closed_before_another_is_opened() {
    for basic in [true, false] {
        let mut rig = Rig::new(1, |config| BmcConfig { basic, ..config });
        let pool = rig.pool(Limits::default());
        let world = rig.bench.world.clone();
        let probe = rig.probe(1);
        rig.bench.tell(Event::Started { action: probe.clone() });
        // In the middle of the probe, with the session open.
        tokio::select! {
            _ = pool.perform(&probe, &world) => panic!("done already"),
            () = sleep(Duration::from_millis(260)) => {}
        }
        drop(pool);
        assert_eq!(sessions(&rig.hear()), [true]);
        sleep(secs(60)).await;
        assert_eq!(rig.line().open(), 1, "nobody is left to close it");
        rig.bench.tell(Event::DaemonStarted);
        assert_eq!(rig.bench.actions(), std::slice::from_ref(&probe), "the probe comes first, and closes it");
        let pool = rig.pool(Limits::default());
        rig.act(&pool, probe).await.unwrap();
        assert_eq!((rig.line().opened(), rig.line().open()), (2, 1));
        let most = if basic { 1 } else { 2 };
        assert_eq!(rig.line().sessions.load(Ordering::SeqCst), most, "Basic is understood: {basic}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_leaves_open_is_closed_although_nothing_else_is_to_be_done() {
    for basic in [true, false] {
        let mut rig = Rig::new(1, |config| BmcConfig { basic, ..config });
        let pool = rig.pool(Limits::default());
        let host = rig.bench.id(1);
        rig.bench.arm(1);
        rig.bench.install(1, 1);
        let probe = rig.probe(1);
        rig.act(&pool, probe).await.unwrap();
        rig.bench.well(Action::Finish { host: host.clone(), power_off: true });
        drop(pool);
        assert_eq!(rig.bench.actions(), [], "as long as the daemon lives, it closes it itself");
        rig.bench.tell(Event::DaemonStarted);
        let release = Action::Release { host: host.clone() };
        assert_eq!(rig.bench.actions(), std::slice::from_ref(&release));
        let pool = rig.pool(Limits::default());
        rig.line().dead.store(true, Ordering::SeqCst);
        rig.act(&pool, release.clone()).await.unwrap_err();
        assert_eq!(rig.bench.actions(), []);
        assert_eq!((rig.bench.state(1), rig.bench.reason(1).as_str()), (HostState::Completed, "Done"));
        let notes = rig.bench.plan().host(&host).unwrap().notes.clone();
        assert!(notes.iter().any(|note| note.starts_with("degraded: Unreachable")), "{notes:?}");
        rig.line().dead.store(false, Ordering::SeqCst);
        rig.bench.wait(60);
        assert_eq!(rig.bench.actions(), std::slice::from_ref(&release), "once more");
        assert_eq!(rig.act(&pool, release).await, Ok(Outcome::Released));
        assert_eq!((rig.line().open(), rig.bench.actions()), (0, vec![]));
        let facts = rig.bench.world.facts(&host).unwrap();
        assert_eq!(
            (facts.bmc.session.clone(), facts.bmc.left_open, rig.bench.world.lanes.failure(&Lane::Bmc(host))),
            (None, false, None)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_did_not_answer_is_closed_before_another_is_opened() {
    let mut rig = Rig::new(1, same);
    let pool = rig.pool(Limits::default());
    let probe = rig.probe(1);
    rig.act(&pool, probe.clone()).await.unwrap();
    rig.line().dead.store(true, Ordering::SeqCst);
    sleep(secs(30)).await;
    assert_eq!((sessions(&rig.hear()), rig.line().open()), (vec![], 1), "the journal keeps it");
    rig.line().dead.store(false, Ordering::SeqCst);
    rig.act(&pool, probe).await.unwrap();
    assert_eq!((rig.line().opened(), rig.line().open()), (2, 1));
    assert_eq!(rig.line().sessions.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_one_failed_login_until_the_repository_changes() {
    let mut rig = Rig::new(1, |config| BmcConfig { password: Secret::new("other"), ..config });
    let pool = rig.pool(Limits::default());
    let probe = rig.probe(1);
    let fault = rig.act(&pool, probe.clone()).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::AuthenticationFailed));
    for restart in [false, true] {
        if restart {
            rig.bench.tell(Event::DaemonStarted);
        }
        rig.bench.wait(1_000_000);
        assert_eq!((rig.bench.actions(), rig.bench.reason(1).as_str()), (vec![], "AuthenticationFailed"));
        // Nor by anybody who asks the pool all the same.
        rig.pool(Limits::default()).perform(&probe, &rig.bench.world).await.unwrap_err();
    }
    assert_eq!(rig.line().with(|bmc| bmc.tally.failed.len()), 1);
    rig.bench.rack.hosts[0].password = "other".into();
    rig.bench.push();
    assert_eq!(rig.bench.actions(), std::slice::from_ref(&probe));
    assert!(
        rig.bench.world.facts(&rig.bench.id(1)).unwrap().bmc.refused.is_empty(),
        "what no longer occurs is forgotten"
    );
    rig.act(&pool, probe).await.unwrap();
    assert_eq!(rig.line().with(|bmc| bmc.tally.failed.len()), 1);
}

#[tokio::test(start_paused = true)]
async fn another_process_waits_as_long_as_a_session_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::new(1, same);
    let limits = |wait| Limits { wait: secs(wait), ..Limits::default() };
    let make = |wait| rig.pool_in(limits(wait), Some(dir.path()));
    let (ours, hasty, patient) = (make(45), make(5), make(45));
    let (probe, world) = (rig.probe(1), &rig.bench.world);
    ours.perform(&probe, world).await.unwrap();
    assert_eq!(hasty.perform(&probe, world).await.unwrap_err().reason, Reason::BmcInUse);
    patient.perform(&probe, world).await.unwrap();
    assert_eq!((rig.line().open(), rig.line().sessions.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn commands_by_hand_and_operations_of_the_daemon_never_overlap() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::new(1, same);
    let (pool, endpoint) = (rig.pool_in(Limits::default(), Some(dir.path())), rig.by_hand(dir.path()));
    let (probe, world) = (rig.probe(1), &rig.bench.world);
    let prepare = Action::Prepare { host: rig.bench.id(1), apply: true };
    let depth = Depth { log: 5, clock: || Time(0) };
    for first_by_hand in [false, true] {
        if first_by_hand {
            pool.close().await;
        }
        let daemon = async {
            let first = pool.perform(&probe, world).await;
            (first, pool.perform(&prepare, world).await)
        };
        let by_hand = async {
            tokio::join!(
                manual::look(&endpoint, depth),
                manual::power(&endpoint, Power::Status),
                manual::boot(&endpoint, Device::Disk),
            )
        };
        let ((first, second), (look, power, boot)) = match first_by_hand {
            true => {
                let (by_hand, daemon) = tokio::join!(by_hand, daemon);
                (daemon, by_hand)
            }
            false => tokio::join!(daemon, by_hand),
        };
        let faults = [first.err(), second.err(), look.err(), power.err(), boot.err()];
        assert_eq!(faults, [None, None, None, None, None]);
    }
    assert_eq!(rig.line().opened(), 8, "one for two operations of the daemon, one for each command");
    assert_eq!(rig.line().sessions.load(Ordering::SeqCst), 1, "never one beside another");
}

#[tokio::test(start_paused = true)]
async fn no_command_by_hand_goes_past_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::new(1, same);
    let endpoint = rig.by_hand(dir.path());
    let lock = BmcLock::take(dir.path(), endpoint.address, secs(0)).await.unwrap();
    let depth = Depth { log: 0, clock: || Time(0) };
    let faults = [
        manual::look(&endpoint, depth).await.unwrap_err(),
        manual::power(&endpoint, Power::On).await.unwrap_err(),
        manual::boot(&endpoint, Device::Pxe).await.unwrap_err(),
        manual::console(&endpoint).await.err().unwrap(),
    ];
    assert_eq!(faults.map(|fault| fault.reason), [Reason::BmcInUse; 4]);
    assert_eq!(rig.line().here.most(), 0, "and nothing was asked");
    drop(lock);
    manual::power(&endpoint, Power::Status).await.unwrap();
}
