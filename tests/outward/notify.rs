//! Telling people: what becomes a message, who gets it, once, and never in anything's way.

use std::collections::BTreeSet;
use std::sync::Arc;

use rackwright::model::{
    Action, ClusterName, Desired, Event, Fault, Fetched, Finding, HostState, Notice, NoticeKind, OnFailure, Outcome,
    Reason, Receiver, Revision, Snapshot, World,
};
use rackwright::plan::Step;

use crate::rig::plan::{Bench, rack};

fn receiver(name: &str, clusters: &[&str], events: &[NoticeKind]) -> Receiver {
    let clusters: BTreeSet<_> = clusters.iter().map(ClusterName::new).collect();
    Receiver { name: name.into(), clusters, events: events.iter().copied().collect() }
}

const TOLD: [NoticeKind; 4] = [NoticeKind::Begin, NoticeKind::Success, NoticeKind::Failure, NoticeKind::Completed];

/// A rack whose receivers have said that they are there.
fn bench(with: usize, without: usize, hooks: usize, receivers: Vec<Receiver>) -> Bench {
    let mut bench = Bench::bare(rack(with, without, hooks));
    Arc::make_mut(&mut bench.world.policy).receivers = receivers;
    tell(&mut bench);
    bench.tell(Event::FirstRun);
    bench.push();
    bench
}

/// Carries out everything that is about messages; gives those that were sent, by receiver.
fn tell(bench: &mut Bench) -> Vec<(String, Notice)> {
    tell_with(bench, |_| Ok(Outcome::Notified))
}

fn tell_with(bench: &mut Bench, answer: impl Fn(&str) -> Result<Outcome, Fault>) -> Vec<(String, Notice)> {
    let mut sent = Vec::new();
    loop {
        let actions = bench.plan().actions;
        let ours: Vec<Action> = actions
            .into_iter()
            .filter(|action| matches!(action, Action::Notify { .. } | Action::Note { .. }))
            .collect();
        if ours.is_empty() {
            return sent;
        }
        for action in ours {
            let result = match &action {
                Action::Notify { receiver, notices, .. } => {
                    assert!(notices.len() <= 1, "one message at a time: none is sent twice because a later one failed");
                    sent.extend(notices.iter().map(|notice| (receiver.clone(), notice.clone())));
                    answer(receiver)
                }
                _ => Ok(Outcome::Noted),
            };
            bench.end(action, result);
        }
    }
}

fn texts(sent: &[(String, Notice)]) -> Vec<String> {
    sent.iter().map(|(_, notice)| format!("{}: {}", notice.kind.as_str(), notice.message)).collect()
}

#[test]
fn what_matters_is_told_and_steps_of_hosts_only_to_those_who_ask() {
    let all = [receiver("people", &[], &TOLD), receiver("log", &[], &NoticeKind::ALL)];
    let mut bench = bench(1, 1, 1, all.into());
    let mut sent = tell(&mut bench);
    bench.host_seen(2);
    bench.arm(1);
    for number in [1, 2] {
        bench.install(number, number as u8);
    }
    sent.extend(tell(&mut bench));
    let run = bench.actions().into_iter().find(|action| matches!(action, Action::Run { .. })).unwrap();
    bench.well(run);
    sent.extend(tell(&mut bench));
    let of = |name: &str| -> Vec<String> { texts(&sent.iter().filter(|it| it.0 == name).cloned().collect::<Vec<_>>()) };
    assert_eq!(
        of("people"),
        [
            "begin: c1: provisioning begins".to_owned(),
            "success: c1/hook-hook-0: done".to_owned(),
            "completed: c1: completed; its hosts are shut down; without BMC, make sure of it by hand: hv2".to_owned(),
        ]
    );
    let log = of("log");
    assert!(log.contains(&"info: c1/hv1: network boot ordered".to_owned()), "{log:#?}");
    assert!(of("people").iter().all(|text| log.contains(text)), "{log:#?}");
}

#[test]
fn routes_by_cluster_and_event() {
    let receivers = [
        receiver("c1", &["c1"], &NoticeKind::ALL),
        receiver("c9", &["c9"], &NoticeKind::ALL),
        receiver("failures", &[], &[NoticeKind::Failure]),
    ];
    let mut bench = bench(1, 0, 0, receivers.into());
    let findings = vec![
        Finding::error("clusters.yml", (3, 1), "yaml", "not YAML"),
        Finding::warning("x", (1, 1), "w", "warned"),
        Finding::error("bootstrap.yml", (9, 1), "yaml", "nor this"),
    ];
    let rejected = Fetched::Rejected { revision: Revision::new("0123456789abcdef"), findings };
    bench.end(Action::Fetch, Ok(Outcome::Fetched(rejected)));
    let sent = tell(&mut bench);
    let of = |name: &str| -> Vec<String> { texts(&sent.iter().filter(|it| it.0 == name).cloned().collect::<Vec<_>>()) };
    assert_eq!(of("c1"), ["begin: c1: provisioning begins"], "the repository is nobody's cluster");
    assert_eq!(of("c9"), Vec::<String>::new());
    assert_eq!(
        of("failures"),
        [
            "failure: the head 0123456789 of the repository is refused; correct it: clusters.yml:3:1: error: not YAML (and 1 more)"
        ]
    );
}

/// A host whose BMC refuses our account.
fn stall(bench: &mut Bench) {
    bench.bmc_seen(1);
    let host = bench.id(1);
    bench.end(Action::Probe { host }, Err(Fault::permanent(Reason::NotRedfish, "it speaks something else")));
}

#[test]
fn a_stalled_host_is_told_once_for_each_reason_and_when_it_goes_on() {
    let mut bench = bench(1, 0, 0, vec![receiver("people", &[], &TOLD)]);
    tell(&mut bench);
    stall(&mut bench);
    assert_eq!(texts(&tell(&mut bench)), ["failure: c1/hv1: stalled: NotRedfish: it speaks something else"]);
    // Tried again and again, restarted in between: nothing more is told.
    for _ in 0..5 {
        bench.wait(3600);
        bench.tell(Event::DaemonStarted);
        let host = bench.id(1);
        bench.tell(Event::Started { action: Action::Probe { host: host.clone() } });
        assert_eq!(texts(&tell(&mut bench)), Vec::<String>::new(), "a try is no progress");
        let again = Err(Fault::permanent(Reason::NotRedfish, "it speaks something else"));
        bench.tell(Event::Ended { action: Action::Probe { host }, result: again });
        assert_eq!(texts(&tell(&mut bench)), Vec::<String>::new());
    }
    // Another reason is news; so is getting on.
    let host = bench.id(1);
    bench.end(Action::Probe { host: host.clone() }, Err(Fault::permanent(Reason::NoSystem, "no machine behind it")));
    assert_eq!(texts(&tell(&mut bench)), ["failure: c1/hv1: stalled: NoSystem: no machine behind it"]);
    bench.well(Action::Probe { host });
    assert_ne!(bench.state(1), HostState::Characterizing);
    assert_eq!(texts(&tell(&mut bench)), ["success: c1/hv1: no longer stalled (NoSystem)"]);
}

#[test]
fn once_holds_over_a_restart_from_the_journal_and_from_its_snapshot() {
    let mut first = bench(1, 0, 0, vec![receiver("people", &[], &TOLD)]);
    tell(&mut first);
    stall(&mut first);
    assert_eq!(tell(&mut first).len(), 1);
    // Every event again, as after a kill; then from a snapshot.
    let mut replayed = World::new(first.world.policy.clone());
    for (at, event) in &first.journal {
        rackwright::plan::reduce(&mut replayed, event, *at);
    }
    assert_eq!(replayed.notices, first.world.notices);
    let text = serde_json::to_string(&replayed.snapshot()).unwrap();
    let snapshot: Snapshot = serde_json::from_str(&text).unwrap();
    let restored = World::restore(first.world.policy.clone(), snapshot, first.world.desired.clone());
    for world in [replayed, restored] {
        let mut second = Bench::bare(rack(1, 0, 0));
        (second.world, second.now) = (world, first.now);
        second.tell(Event::DaemonStarted);
        assert_eq!(texts(&tell(&mut second)), Vec::<String>::new());
    }
}

#[test]
fn a_message_on_its_way_when_the_daemon_was_killed_is_sent_again_and_then_not() {
    let mut bench = bench(1, 0, 0, vec![receiver("people", &[], &TOLD)]);
    let sending = bench.plan().actions.into_iter().find(|action| matches!(action, Action::Notify { .. })).unwrap();
    bench.tell(Event::Started { action: sending.clone() });
    assert!(!bench.plan().actions.contains(&sending), "one at a time");
    bench.tell(Event::DaemonStarted);
    assert_eq!(texts(&tell(&mut bench)), ["begin: c1: provisioning begins"]);
    bench.tell(Event::DaemonStarted);
    assert_eq!(tell(&mut bench), []);
}

#[test]
fn a_dead_receiver_delays_neither_an_install_nor_the_others() {
    let receivers = [receiver("dead", &[], &NoticeKind::ALL), receiver("people", &[], &TOLD)];
    let mut bench = bench(2, 0, 1, receivers.into());
    let away = |name: &str| match name {
        "dead" => Err(Fault::transient(Reason::Unreachable, "cannot connect")),
        _ => Ok(Outcome::Notified),
    };
    let mut sent = tell_with(&mut bench, away);
    for number in [1, 2] {
        bench.arm(number);
        sent.extend(tell_with(&mut bench, away));
        bench.install(number, number as u8);
        sent.extend(tell_with(&mut bench, away));
    }
    let run = bench.actions().into_iter().find(|action| matches!(action, Action::Run { .. })).expect("at once");
    bench.well(run);
    sent.extend(tell_with(&mut bench, away));
    assert!(matches!(bench.plan().clusters[0].step, Step::Done { .. }));
    let people: Vec<_> = sent.iter().filter(|(name, _)| name == "people").cloned().collect();
    assert_eq!(people.last().unwrap().1.kind, NoticeKind::Completed);

    // The dead one was tried with growing pauses, always with its oldest message; back, it hears them all in order.
    let dead: Vec<_> = sent.iter().filter(|(name, _)| name == "dead").collect();
    assert!(dead.len() < 5 && dead.iter().all(|it| it.1 == dead[0].1), "{dead:?}");
    bench.wait(3600);
    let heard = tell(&mut bench);
    let expected: Vec<_> = people.iter().map(|(_, notice)| notice.clone()).collect();
    let important: Vec<_> = heard.into_iter().map(|it| it.1).filter(|it| it.kind != NoticeKind::Info).collect();
    assert_eq!(important, expected);
}

#[test]
fn after_a_long_absence_the_old_ones_are_dropped_with_a_count() {
    let mut bench = bench(1, 0, 0, vec![receiver("people", &[], &[NoticeKind::Failure, NoticeKind::Success])]);
    let special = [Reason::NotRedfish, Reason::AuthenticationFailed, Reason::CertificateChanged];
    let other: Vec<Reason> = Reason::ALL.iter().copied().filter(|reason| !special.contains(reason)).collect();
    assert!(other.len() >= 150);
    for reason in other.into_iter().take(150) {
        stall(&mut bench);
        let gone = |_: &str| Err(Fault::transient(Reason::Unreachable, "cannot connect"));
        tell_with(&mut bench, gone);
        let host = bench.id(1);
        bench.end(Action::Probe { host }, Err(Fault::permanent(reason, "it speaks something else")));
        tell_with(&mut bench, gone);
    }
    bench.wait(1800);
    let heard = tell(&mut bench);
    assert_eq!(heard.len(), 200);
    assert!(heard[0].1.message.ends_with(" (100 earlier messages could not be delivered)"), "{}", heard[0].1.message);
    assert!(heard[1..].iter().all(|it| !it.1.message.contains("could not")));

    // What is older than a day is of no use; that there was something is.
    stall(&mut bench);
    tell_with(&mut bench, |_| Err(Fault::transient(Reason::Unreachable, "cannot connect")));
    bench.wait(25 * 3600);
    assert_eq!(tell(&mut bench).len(), 1);
}

#[test]
fn a_message_that_is_refused_for_good_makes_room_for_the_next() {
    let mut bench = bench(1, 0, 0, vec![receiver("people", &[], &TOLD)]);
    let refuse = |_: &str| Err(Fault::permanent(Reason::Refused, "400 Bad Request"));
    let mut tries = 0;
    while tries < 5 {
        tries += tell_with(&mut bench, refuse).len();
        bench.wait(3600);
    }
    // The next one (its BMC has not been seen for hours by now) says what was lost.
    let heard = texts(&tell(&mut bench));
    assert_eq!(heard.len(), 1);
    assert!(heard[0].ends_with(" (1 earlier message could not be delivered)"), "{heard:?}");
}

#[test]
fn without_receivers_nothing_is_remembered_and_a_new_one_hears_no_history() {
    let mut bench = Bench::new(rack(1, 0, 0));
    stall(&mut bench);
    assert!(!bench.plan().actions.iter().any(|it| matches!(it, Action::Note { .. } | Action::Notify { .. })));
    Arc::make_mut(&mut bench.world.policy).receivers = vec![receiver("new", &[], &TOLD)];
    let sent = texts(&tell(&mut bench));
    assert_eq!(
        sent,
        ["failure: c1/hv1: stalled: NotRedfish: it speaks something else"],
        "what holds now, not what was"
    );
}

#[test]
fn a_task_that_is_passed_over_is_told_and_again_when_its_cluster_is_complete_without_it() {
    let mut bench = bench(1, 0, 1, vec![receiver("people", &[], &TOLD)]);
    let desired = bench.world.desired.clone().unwrap();
    let mut clusters: Vec<_> = desired.clusters.values().map(|spec| (**spec).clone()).collect();
    clusters.iter_mut().flat_map(|spec| &mut spec.tasks).for_each(|task| task.on_failure = OnFailure::Continue);
    let hosts = desired.hosts.values().map(|spec| (**spec).clone());
    let desired = Desired::new(desired.revision.clone(), clusters, hosts, Vec::new());
    bench.put_in_force("continue", Arc::new(desired));
    bench.arm(1);
    bench.install(1, 1);
    tell(&mut bench);
    let run = bench.actions().into_iter().find(|action| matches!(action, Action::Run { .. })).unwrap();
    bench.end(run, Err(Fault::permanent(Reason::Refused, "the hook said no")));
    let sent = texts(&tell(&mut bench));
    let stalled =
        "failure: c1/hook-hook-0: stalled: Refused: hook 0: the hook said no; the tasks after it go on; raise";
    assert!(sent.iter().any(|text| text.starts_with(stalled)), "{sent:#?}");
    let completed = "completed: c1: completed, although `hook 0` failed; its hosts are shut down";
    assert!(sent.iter().any(|text| text == completed), "{sent:#?}");
    assert_eq!(sent.len(), 2, "{sent:#?}");
}
