//! Files that playbooks made: when they are pushed, what waits for them, and what a person is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use rackwright::model::{
    Action, AnsibleTask, ClusterFacts, ClusterName, ClusterSpec, Desired, Digest, Event, Fault, Fetched, Finding,
    Generation, HostSpec, Outcome, Reason, Revision, TaskId, TaskKind, TaskSpec,
};
use rackwright::plan::Step;

use crate::rig::plan::{Bench, rack};

fn changed(bench: &Bench, cluster: impl Fn(&mut ClusterSpec), host: impl Fn(&mut HostSpec)) -> Arc<Desired> {
    let desired = bench.world.desired.clone().unwrap();
    let mut clusters: Vec<_> = desired.clusters.values().map(|spec| (**spec).clone()).collect();
    let mut hosts: Vec<_> = desired.hosts.values().map(|spec| (**spec).clone()).collect();
    clusters.iter_mut().for_each(cluster);
    hosts.iter_mut().for_each(host);
    Arc::new(Desired::new(desired.revision.clone(), clusters, hosts, Vec::new()))
}

fn ansible(like: &TaskSpec) -> TaskSpec {
    let kind = TaskKind::Ansible(AnsibleTask {
        playbook: "site.yml".into(),
        reboots: false,
        order: like.targets.iter().cloned().collect(),
        generated: "files/c1".into(),
        encrypt_generated: false,
    });
    TaskSpec { id: TaskId::new("ansible"), name: "ansible".into(), kind, idempotent: false, ..like.clone() }
}

/// One installed host whose cluster has Ansible and a hook; the revision in force is `r1`.
fn bench() -> Bench {
    let mut bench = Bench::new(rack(1, 0, 1));
    let desired = changed(&bench, |it| it.tasks.insert(0, ansible(&it.tasks[0])), |_| {});
    bench.put_in_force("r1", with_revision(&desired, "r1"));
    bench.arm(1);
    bench.install(1, 1);
    bench
}

fn with_revision(desired: &Desired, revision: &str) -> Arc<Desired> {
    let clusters = desired.clusters.values().map(|spec| (**spec).clone());
    let hosts = desired.hosts.values().map(|spec| (**spec).clone());
    Arc::new(Desired::new(Some(Revision::new(revision)), clusters, hosts, Vec::new()))
}

fn c1() -> ClusterName {
    ClusterName::new("c1")
}

fn facts(bench: &Bench) -> &ClusterFacts {
    &bench.world.clusters[&c1()]
}

fn run_of(bench: &Bench, index: usize) -> Action {
    let spec = &bench.world.desired.as_ref().unwrap().clusters[&c1()];
    let task = &spec.tasks[index];
    let token = bench.world.facts(&bench.id(1)).unwrap().installed.as_ref().unwrap().token.clone();
    Action::Run {
        cluster: c1(),
        task: task.id.clone(),
        definition: task.definition.clone(),
        covers: BTreeMap::from([(bench.id(1), token)]),
        run: spec.run,
        do_bootstrap: index == 0,
    }
}

/// The playbook was run and made files.
fn configured(bench: &mut Bench, id: &str) {
    let run = run_of(bench, 0);
    bench.end(run, Ok(Outcome::Configured { generated: Some(Digest::new(id)) }));
}

fn write_back(id: &str, revision: &str) -> Action {
    Action::WriteBack { cluster: c1(), generated: Digest::new(id), revision: Some(Revision::new(revision)) }
}

fn write_backs(bench: &Bench) -> Vec<Action> {
    bench.plan().actions.into_iter().filter(|action| matches!(action, Action::WriteBack { .. })).collect()
}

fn begins_ansible(bench: &Bench) -> bool {
    let is_ansible = |action: &Action| matches!(action, Action::Run { task, .. } if task.as_str() == "ansible");
    bench.plan().actions.iter().any(is_ansible)
}

/// What the cluster says: the message of its step, and its notes.
fn said(bench: &Bench) -> String {
    let plan = bench.plan();
    let cluster = plan.cluster(&c1()).unwrap();
    let step = match &cluster.step {
        Step::Act { message, .. } | Step::Wait { message, .. } | Step::Done { message } => message.clone(),
        Step::Stalled { reason, message, .. } => format!("Stalled {reason}: {message}"),
    };
    format!("{step} | {}", cluster.notes.join(" | "))
}

fn ready(bench: &Bench) -> bool {
    matches!(bench.plan().cluster(&c1()).unwrap().step, Step::Done { .. })
}

#[test]
fn files_are_pushed_from_the_revision_the_playbook_began_at_and_hooks_go_on_meanwhile() {
    let mut bench = bench();
    let run = run_of(&bench, 0);
    bench.tell(Event::Started { action: run.clone() });
    // The head moves while the playbook runs.
    let desired = bench.world.desired.clone().unwrap();
    bench.put_in_force("r2", with_revision(&desired, "r2"));
    bench.tell(Event::Ended { action: run, result: Ok(Outcome::Configured { generated: Some(Digest::new("g1")) }) });
    assert_eq!(write_backs(&bench), [write_back("g1", "r1")]);
    bench.tell(Event::Started { action: write_back("g1", "r1") });
    assert_eq!(write_backs(&bench), [], "one push at a time");
    let hook = run_of(&bench, 1);
    bench.end(hook, Ok(Outcome::TaskDone));
    assert!(!ready(&bench), "{}", said(&bench));
    assert!(said(&bench).contains("generated files are not pushed yet: under way"), "{}", said(&bench));

    // A restart in the middle: again, harmlessly.
    bench.tell(Event::DaemonStarted);
    assert_eq!(write_backs(&bench), [write_back("g1", "r1")]);
    bench.end(write_back("g1", "r1"), Ok(Outcome::WrittenBack(Some(Revision::new("r3")))));
    assert_eq!(write_backs(&bench), []);
    assert!(!ready(&bench), "they are not read back yet");
    assert!(bench.plan().actions.contains(&Action::Fetch), "our own commit is looked for at once");

    // The new revision has the same definitions: no drift, nothing is run again.
    bench.put_in_force("r3", with_revision(&desired, "r3"));
    assert_eq!(facts(&bench).generated, None);
    assert!(ready(&bench), "{}", said(&bench));
    let plan = bench.plan();
    assert!(!plan.actions.iter().any(|action| matches!(action, Action::Run { .. } | Action::Arm { .. })));
    assert!(plan.hosts[0].notes.iter().all(|note| !note.contains("drift")), "{:?}", plan.hosts[0].notes);
}

#[test]
fn a_push_that_fails_is_tried_again_with_growing_pauses_and_said() {
    let mut bench = bench();
    configured(&mut bench, "g1");
    let hook = run_of(&bench, 1);
    bench.end(hook, Ok(Outcome::TaskDone));
    let (mut last, mut pauses) = (bench.now, Vec::new());
    for _ in 0..6 {
        assert_eq!(write_backs(&bench), [write_back("g1", "r1")]);
        bench.end(
            write_back("g1", "r1"),
            Err(Fault::transient(Reason::Unreachable, "forge.example.net does not answer")),
        );
        assert!(said(&bench).contains("not pushed yet: forge.example.net does not answer"), "{}", said(&bench));
        assert!(!ready(&bench));
        while write_backs(&bench).is_empty() {
            bench.now = bench.plan().wake_at.expect("an alarm");
        }
        pauses.push(bench.now.since(last));
        last = bench.now;
    }
    assert!(pauses.windows(2).all(|pair| pair[0] < pair[1]), "{pauses:?}");
    assert!(said(&bench).contains("trying again"), "{}", said(&bench));

    // What a person must see to is tried again as well, slowly; it lies outside the repository.
    bench.end(
        write_back("g1", "r1"),
        Err(Fault::operator(Reason::AuthenticationFailed, "the forge does not let us in")),
    );
    assert!(said(&bench).starts_with("Stalled AuthenticationFailed: "), "{}", said(&bench));
    let raised = changed(&bench, |it| it.run += 1, |_| {});
    bench.put_in_force("r2", raised);
    assert!(said(&bench).contains("does not let us in"), "`run` gives files up only where that was offered");
    bench.wait(3600);
    assert_eq!(write_backs(&bench), [write_back("g1", "r1")]);
}

#[test]
fn another_run_of_the_playbook_waits_until_the_files_are_in_force() {
    let mut bench = bench();
    configured(&mut bench, "g1");
    let hook = run_of(&bench, 1);
    bench.end(hook, Ok(Outcome::TaskDone));
    bench.end(write_back("g1", "r1"), Err(Fault::transient(Reason::Unreachable, "forge.example.net does not answer")));
    bench.well(Action::Finish { host: bench.id(1), power_off: true });
    let again = changed(&bench, |_| {}, |host| host.generation = Generation(2));
    bench.put_in_force("r2", again);
    bench.arm(1);
    bench.install(1, 2);
    assert!(!begins_ansible(&bench), "{}", said(&bench));
    assert!(said(&bench).contains("generated files are not pushed yet"), "{}", said(&bench));

    // A fetch that was under way during the push may not have seen it.
    bench.wait(3600);
    bench.tell(Event::Started { action: Action::Fetch });
    bench.end(write_back("g1", "r1"), Ok(Outcome::WrittenBack(Some(Revision::new("r3")))));
    bench.tell(Event::Ended { action: Action::Fetch, result: Ok(Outcome::Fetched(Fetched::Unchanged)) });
    assert!(!begins_ansible(&bench) && facts(&bench).generated.is_some(), "{}", said(&bench));

    // The head is refused: the files are there and cannot be read.
    bench.wait(1);
    assert!(bench.plan().actions.contains(&Action::Fetch));
    let findings = vec![Finding::error("clusters.yml", (1, 1), "yaml", "not YAML")];
    let rejected = Fetched::Rejected { revision: Revision::new("r4"), findings };
    bench.end(Action::Fetch, Ok(Outcome::Fetched(rejected)));
    assert!(!begins_ansible(&bench) && said(&bench).contains("the head r4 is refused"), "{}", said(&bench));
    bench.end(Action::Fetch, Ok(Outcome::Fetched(Fetched::Unchanged)));
    assert!(facts(&bench).generated.is_some());

    let desired = bench.world.desired.clone().unwrap();
    bench.put_in_force("r5", with_revision(&desired, "r5"));
    assert_eq!(facts(&bench).generated, None);
    assert!(!said(&bench).contains("generated"), "{}", said(&bench));
}

#[test]
fn a_conflict_waits_for_a_person_who_may_give_the_files_up() {
    for reason in [Reason::WriteBackConflict, Reason::GeneratedFilesLost] {
        let mut bench = bench();
        configured(&mut bench, "g1");
        let hook = run_of(&bench, 1);
        bench.end(hook, Ok(Outcome::TaskDone));
        bench.end(write_back("g1", "r1"), Err(Fault::operator(reason, "somebody changed files/c1/key")));
        assert!(said(&bench).starts_with(&format!("Stalled {reason}: ")), "{}", said(&bench));
        // It is looked at again, slowly: the branch may have been put right.
        bench.now = bench.now + bench.world.policy.backoff_cap;
        assert_eq!(write_backs(&bench), [write_back("g1", "r1")]);
        let raised = changed(&bench, |it| it.run += 1, |_| {});
        bench.put_in_force("r2", raised);
        assert_eq!(write_backs(&bench), []);
        assert!(ready(&bench) && !said(&bench).contains("generated"), "{}", said(&bench));
    }
}

#[test]
fn files_that_wait_survive_the_journal() {
    let mut bench = bench();
    configured(&mut bench, "g1");
    bench.tell(Event::Started { action: write_back("g1", "r1") });
    let text = serde_json::to_string(facts(&bench)).unwrap();
    assert_eq!(&serde_json::from_str::<ClusterFacts>(&text).unwrap(), facts(&bench));
    let (mut first, mut second) = (bench.world.clone(), bench.world.clone());
    for world in [&mut first, &mut second] {
        rackwright::plan::reduce(world, &Event::DaemonStarted, bench.now);
    }
    assert_eq!(first, second);
    assert_eq!(first.clusters[&c1()].generated.as_ref().unwrap().revision, Some(Revision::new("r1")));
}
