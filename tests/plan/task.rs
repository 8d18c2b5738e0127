//! Tasks: when they begin, for whom, what they wait for, and what is never done twice.

use std::sync::Arc;

use rackwright::model::{
    Action, AnsibleTask, CheckInAction as Say, ClusterState, Desired, Event, Fault, HookProgram, OnFailure, Outcome,
    Place, Progress, Reason, Rerun, Scope, TaskId, TaskKind, TaskNews, TaskSpec,
};
use rackwright::plan::{Step, report};

use crate::rig::plan::{Bench, KEY, policy, rack};

/// A revision with PVC's playbook before one hook on the hosts; `run` is the cluster's, `change` may alter any task.
pub fn revision(bench: &Bench, run: u32, change: impl Fn(&mut TaskSpec)) -> Arc<Desired> {
    let desired = bench.world.desired.clone().unwrap();
    let mut clusters: Vec<_> = desired.clusters.values().map(|cluster| (**cluster).clone()).collect();
    for cluster in &mut clusters {
        cluster.run = run;
        cluster.tasks.retain(|task| !task.is_ansible());
        let hook = cluster.tasks.first_mut().expect("a hook");
        let TaskKind::Hook(task) = &mut hook.kind else { panic!() };
        let (scope, place) = (Scope::Each, Place::Host);
        task.program = Arc::new(HookProgram { scope, place, ..(*task.program).clone() });
        hook.idempotent = false;
        let targets: std::collections::BTreeSet<_> = desired.hosts.keys().cloned().collect();
        hook.targets.clone_from(&targets);
        let kind = TaskKind::Ansible(AnsibleTask {
            playbook: "pvc.yml".into(),
            reboots: true,
            order: targets.iter().cloned().collect(),
            generated: "files/c1".into(),
            encrypt_generated: false,
        });
        let hook = cluster.tasks[0].clone();
        cluster.tasks.insert(0, TaskSpec { id: TaskId::new("ansible"), name: "ansible".into(), kind, ..hook });
        cluster.tasks.iter_mut().for_each(&change);
    }
    let hosts = desired.hosts.values().map(|host| (**host).clone());
    Arc::new(Desired::new(desired.revision.clone(), clusters, hosts, Vec::new()))
}

pub fn force(bench: &mut Bench, run: u32, change: impl Fn(&mut TaskSpec)) {
    let desired = revision(bench, run, change);
    let name = format!("r{}", bench.journal.len());
    bench.put_in_force(&name, desired);
}

/// A cluster whose hosts are up; nothing of its tasks has begun.
pub fn up(hosts: usize, change: impl Fn(&mut TaskSpec)) -> Bench {
    let mut bench = Bench::new(rack(hosts, 0, 1));
    force(&mut bench, 1, change);
    for number in 1..=hosts {
        bench.arm(number);
        bench.install(number, number as u8);
    }
    bench
}

fn reached(bench: &mut Bench, number: usize, boot: &str) {
    let outcome = Outcome::Reached { key: KEY.into(), boot: boot.into() };
    bench.end(Action::Reach { host: bench.id(number) }, Ok(outcome));
}

/// Carries out what leads to the next task: announcements, and hosts to be reached in the boot of that name.
pub fn run(bench: &mut Bench, boot: &str) -> Action {
    for _ in 0..20 {
        let plan = bench.plan();
        if let Some(run) = plan.actions.iter().find(|action| matches!(action, Action::Run { .. })) {
            return run.clone();
        }
        if let Some(publish) = plan.actions.iter().find(|action| matches!(action, Action::Publish { .. })) {
            bench.well(publish.clone());
        }
        for action in bench.actions() {
            match action {
                Action::Reach { host } => {
                    let outcome = Outcome::Reached { key: KEY.into(), boot: boot.into() };
                    bench.end(Action::Reach { host }, Ok(outcome));
                }
                Action::Finish { .. } => bench.well(action),
                _ => {}
            }
        }
    }
    panic!("no task is begun: {:?}", bench.plan().clusters)
}

pub fn bootstraps(action: &Action) -> (usize, bool) {
    let Action::Run { covers, do_bootstrap, .. } = action else { panic!("{action:?}") };
    (covers.len(), *do_bootstrap)
}

pub fn cluster_reason(bench: &Bench) -> String {
    match &bench.plan().clusters[0].step {
        Step::Act { reason, .. } | Step::Wait { reason, .. } => reason.to_string(),
        Step::Stalled { reason, .. } => reason.to_string(),
        Step::Done { .. } => "Done".to_owned(),
    }
}

/// Configured, restarted and with its hook done.
pub fn complete(bench: &mut Bench, hosts: usize) {
    let ansible = run(bench, "first");
    bench.well(ansible);
    for number in 1..=hosts {
        bench.report(number, Say::BootConfigured, number as u8);
    }
    let hook = run(bench, "second");
    bench.well(hook);
}

#[test]
fn hosts_are_reached_and_the_run_is_announced_before_anything_begins() {
    let mut bench = up(2, |_| {});
    assert_eq!(cluster_reason(&bench), "Announcing");
    assert_eq!(bench.actions(), []);
    let publish = bench.plan().actions.into_iter().find(|it| matches!(it, Action::Publish { .. })).unwrap();
    let Action::Publish { tasks, .. } = &publish else { panic!() };
    assert_eq!(tasks.len(), 2, "all that is due is announced at once: {tasks:?}");
    bench.well(publish);
    let actions = bench.actions();
    assert!(actions.len() == 2 && actions.iter().all(|it| matches!(it, Action::Reach { .. })), "{actions:?}");
    reached(&mut bench, 1, "first");
    bench.tell(Event::Started { action: Action::Reach { host: bench.id(2) } });
    assert_eq!(bench.actions(), [], "one host is still being reached");
    let result = Err(Fault::transient(Reason::Unreachable, "connection refused"));
    bench.tell(Event::Ended { action: Action::Reach { host: bench.id(2) }, result });
    assert_eq!((bench.actions(), cluster_reason(&bench).as_str()), (vec![], "Retrying"));
    let at = bench.plan().wake_at.unwrap();
    assert!(at.since(bench.now).as_secs() <= 3, "a machine whose sshd comes up is found soon");
    bench.now = at;
    reached(&mut bench, 2, "first");
    assert_eq!(bootstraps(&run(&mut bench, "first")), (2, true));
}

#[test]
fn a_host_that_stays_silent_is_shown_with_what_to_do_and_the_next_try() {
    let mut bench = up(1, |_| {});
    bench.publish();
    for _ in 0..12 {
        let fault = Fault::transient(Reason::Unreachable, "no route to host");
        bench.end(Action::Reach { host: bench.id(1) }, Err(fault));
        bench.now = bench.plan().wake_at.unwrap();
        while bench.actions().is_empty() {
            bench.now = bench.plan().wake_at.unwrap();
        }
    }
    bench.end(Action::Reach { host: bench.id(1) }, Err(Fault::transient(Reason::Unreachable, "no route to host")));
    let step = bench.step(1);
    let Step::Stalled { reason, message, until: Some(_) } = &step else { panic!("{step:?}") };
    assert_eq!(*reason, Reason::SshUnreachable);
    assert!(message.contains("hv1") && message.contains("no route to host") && message.contains("switched on"));
    // It reports: then it is worth a try at once.
    bench.wait(1);
    bench.report(1, Say::BootInitial, 1);
    assert_eq!(bench.actions(), [Action::Reach { host: bench.id(1) }]);
}

#[test]
fn another_host_key_than_that_of_the_install_stops_everything() {
    let mut bench = up(1, |_| {});
    bench.publish();
    reached(&mut bench, 1, "first");
    bench.wait(1);
    bench.report(1, Say::BootInitial, 1);
    let other = KEY.replace("AAAAIAABAg", "AAAAIAABAw");
    bench.end(Action::Reach { host: bench.id(1) }, Ok(Outcome::Reached { key: other, boot: "x".into() }));
    assert_eq!((bench.actions(), cluster_reason(&bench).as_str()), (vec![], "HostKeyChanged"));
    let Step::Stalled { message, .. } = bench.step(1) else { panic!() };
    assert_eq!(message.matches("SHA256:").count(), 2, "{message}");
    // A new install has a new key.
    bench.rack.hosts[0].generation = 2;
    bench.push();
    force(&mut bench, 1, |_| {});
    bench.arm(1);
    bench.install(1, 9);
    assert_eq!(bootstraps(&run(&mut bench, "first")), (1, true));
}

#[test]
fn without_a_key_of_our_own_a_person_is_told_which_setting_is_missing() {
    let mut bench = up(1, |_| {});
    bench.world.policy = Arc::new(rackwright::model::Policy { ssh: false, ..policy() });
    let Step::Stalled { reason, message, .. } = bench.step(1) else { panic!() };
    assert!(reason == Reason::NoDeployKey && message.contains("deploy.ssh_key"), "{message}");
}

#[test]
fn hooks_begin_when_the_restart_was_seen() {
    for by_check_in in [true, false] {
        let mut bench = up(1, |_| {});
        let ansible = run(&mut bench, "first");
        bench.tell(Event::Started { action: ansible.clone() });
        bench.wait(600);
        bench.tell(Event::Ended { action: ansible, result: Ok(Outcome::Configured { generated: None }) });
        assert_eq!(bench.state(1).as_str(), "booted-initial", "success is the result and the restart seen");
        assert_eq!(bench.actions(), [Action::Reach { host: bench.id(1) }]);
        reached(&mut bench, 1, "first");
        assert_eq!((bench.actions(), cluster_reason(&bench).as_str()), (vec![], "Restart"));
        match by_check_in {
            true => _ = bench.report(1, Say::BootConfigured, 1),
            false => {
                bench.now = bench.plan().wake_at.unwrap();
                reached(&mut bench, 1, "second");
            }
        }
        assert_eq!(bench.state(1).as_str(), "booted-configured");
        let Action::Run { task, .. } = run(&mut bench, "second") else { panic!() };
        assert_ne!(task.as_str(), "ansible");
    }
}

#[test]
fn a_restart_that_is_not_seen_is_a_persons_business_and_still_looked_for() {
    let mut bench = up(1, |_| {});
    let ansible = run(&mut bench, "first");
    bench.well(ansible);
    let mut looks = 0;
    while cluster_reason(&bench) != "RestartNotSeen" {
        match bench.actions().pop() {
            Some(_) => reached(&mut bench, 1, "first"),
            None => bench.now = bench.plan().wake_at.unwrap(),
        }
        looks += 1;
        assert!(looks < 100, "looks are far between when it takes long");
    }
    let Step::Stalled { until: Some(_), .. } = bench.step(1) else { panic!("{:?}", bench.step(1)) };
    bench.report(1, Say::BootConfigured, 1);
    assert_eq!(bench.state(1).as_str(), "booted-configured");
}

#[test]
fn a_configured_boot_never_means_success_by_itself() {
    let mut bench = up(1, |_| {});
    let ansible = run(&mut bench, "first");
    bench.tell(Event::Started { action: ansible.clone() });
    bench.report(1, Say::BootConfigured, 1);
    let fault = Fault::operator(Reason::AnsibleFailed, "hv1: role pvc: no such disk");
    bench.tell(Event::Ended { action: ansible, result: Err(fault) });
    assert_eq!(bench.state(1).as_str(), "booted-initial");
    let Step::Stalled { reason, message, until: None } = bench.step(1) else { panic!() };
    assert!(
        reason == Reason::AnsibleFailed && message.contains("ansible") && message.contains("no such disk"),
        "{message}"
    );
    // Another playbook does not help; a raised `run` does, and then it is still a new cluster.
    force(&mut bench, 1, |task| task.definition = rackwright::model::Digest::new("other"));
    bench.wait(48 * 3600);
    assert_eq!(bench.actions(), []);
    force(&mut bench, 2, |_| {});
    assert_eq!(bootstraps(&run(&mut bench, "second")), (1, true));
}

#[test]
fn whoever_comes_later_joins_and_nobody_makes_the_cluster_anew() {
    let mut bench = up(2, |_| {});
    complete(&mut bench, 2);
    bench.rack.hosts[0].generation = 2;
    bench.push();
    force(&mut bench, 1, |_| {});
    bench.arm(1);
    bench.install(1, 7);
    assert_eq!(bootstraps(&run(&mut bench, "third")), (1, false), "one host was reinstalled");
    // The other one in maintenance carries the cluster as well.
    bench.rack.hosts[1].maintenance = true;
    bench.push();
    force(&mut bench, 1, |_| {});
    assert_eq!(bootstraps(&run(&mut bench, "third")), (1, false));
    // Both of them anew: a new cluster.
    bench.rack.hosts.iter_mut().for_each(|host| (host.generation, host.maintenance) = (3, false));
    bench.push();
    force(&mut bench, 1, |_| {});
    for number in [1, 2] {
        bench.arm(number);
        bench.install(number, 20 + number as u8);
    }
    assert_eq!(bootstraps(&run(&mut bench, "fourth")), (2, true));
}

#[test]
fn what_is_done_for_the_cluster_is_not_done_again_for_a_newcomer() {
    let once = |task: &mut TaskSpec| {
        if let TaskKind::Hook(hook) = &mut task.kind {
            hook.program = Arc::new(HookProgram { scope: Scope::Once, ..(*hook.program).clone() });
        }
    };
    let mut bench = up(2, once);
    complete(&mut bench, 2);
    // One after the other is installed anew: the pool is there all the time.
    for (number, generation, seed) in [(1usize, 2, 11), (2, 2, 12), (1, 3, 13)] {
        bench.rack.hosts[number - 1].generation = generation;
        bench.push();
        force(&mut bench, 1, once);
        bench.arm(number);
        bench.install(number, seed);
        let ansible = run(&mut bench, "again");
        assert_eq!(bootstraps(&ansible), (1, false));
        bench.well(ansible);
        bench.report(number, Say::BootConfigured, seed);
        assert!(matches!(cluster_reason(&bench).as_str(), "Done"), "{:?}", bench.plan().clusters);
    }
    // Both at once: a new cluster, whose pool is still to be made.
    bench.rack.hosts.iter_mut().for_each(|host| host.generation = 4);
    bench.push();
    force(&mut bench, 1, once);
    for number in [1, 2] {
        bench.arm(number);
        bench.install(number, 30 + number as u8);
    }
    let ansible = run(&mut bench, "anew");
    bench.well(ansible);
    for number in [1, 2] {
        bench.report(number, Say::BootConfigured, 30 + number as u8);
    }
    assert_eq!(bootstraps(&run(&mut bench, "anew")), (2, false));
}

#[test]
fn a_changed_definition_is_run_again_only_where_that_is_declared() {
    for (rerun, again) in [(Rerun::OnReinstall, false), (Rerun::OnChange, true)] {
        let with = |task: &mut TaskSpec| task.rerun = if task.is_ansible() { Rerun::OnReinstall } else { rerun };
        let mut bench = up(1, with);
        complete(&mut bench, 1);
        force(&mut bench, 1, |task| {
            with(task);
            task.definition = rackwright::model::Digest::new("changed");
        });
        assert_eq!(cluster_reason(&bench) != "Done", again);
    }
}

#[test]
fn targets_that_are_done_are_not_run_again_and_a_passed_over_failure_is_shown() {
    let mut bench = up(2, |task| task.on_failure = OnFailure::Continue);
    let ansible = run(&mut bench, "first");
    bench.well(ansible);
    for number in [1, 2] {
        bench.report(number, Say::BootConfigured, number as u8);
    }
    let hook = run(&mut bench, "second");
    let Action::Run { cluster, task, .. } = hook.clone() else { panic!() };
    bench.tell(Event::Started { action: hook.clone() });
    let news = |host, result| Event::TaskTold {
        cluster: cluster.clone(),
        task: task.clone(),
        news: TaskNews::Target { host, result },
    };
    let fault = Fault::operator(Reason::AnsibleFailed, "no such disk");
    bench.tell(news(bench.id(1), Ok(())));
    bench.tell(news(bench.id(2), Err(fault.clone())));
    bench.tell(Event::Ended { action: hook, result: Err(fault) });
    let plan = bench.plan();
    assert_eq!(plan.clusters[0].state, ClusterState::Completed);
    assert!(plan.clusters[0].notes[0].contains("no such disk"), "{:?}", plan.clusters[0]);
    let status = report::cluster_status(&bench.world, &plan, &cluster).unwrap();
    assert!(status.tasks[1].failed.contains_key(&bench.id(2)) && status.tasks[1].covers.contains_key(&bench.id(1)));
    force(&mut bench, 2, |task| task.on_failure = OnFailure::Continue);
    let Action::Run { covers, .. } = run(&mut bench, "second") else { panic!() };
    assert_eq!(covers.keys().collect::<Vec<_>>(), [&bench.id(2)]);
}

#[test]
fn how_far_a_playbook_is_costs_no_commit() {
    let mut bench = up(1, |_| {});
    let ansible = run(&mut bench, "first");
    bench.tell(Event::Started { action: ansible });
    bench.publish();
    let (before, name) = (bench.plan(), bench.id(1).cluster);
    let progress = Progress { task: "install ceph".into(), tasks: 7, ..Progress::default() };
    let news = TaskNews::Progress(progress.clone());
    bench.tell(Event::TaskTold { cluster: name.clone(), task: TaskId::new("ansible"), news });
    let after = bench.plan();
    assert_eq!(before.fingerprint, after.fingerprint);
    assert_eq!(report::cluster_status(&bench.world, &after, &name).unwrap().progress, Some(progress));
    assert!(!report::report(&bench.world, &after)["clusters/c1.yaml"].contains("install ceph"));
}
