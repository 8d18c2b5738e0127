//! The checker of plans notices what no plan may contain.

use std::sync::Arc;

use rackwright::model::{Action, Consent, Generation, TaskId};
use rackwright::plan::{Plan, check};

use crate::rig::plan::{Bench, rack};

/// The complaints about the bench's plan with these actions in place of its own.
fn complaints(bench: &Bench, actions: Vec<Action>) -> String {
    check(&bench.world, &Plan { actions, ..bench.plan() }).join("; ")
}

fn arm(bench: &Bench, generation: u32) -> Action {
    Action::Arm { host: bench.id(1), generation: Generation(generation) }
}

#[test]
fn a_lawful_order_is_not_complained_about() {
    let mut bench = Bench::new(rack(1, 0, 0));
    bench.arm(1);
    assert_eq!(complaints(&bench, vec![arm(&bench, 1)]), "");
}

#[test]
fn an_order_without_consent_is() {
    let mut bench = Bench::new(rack(1, 0, 0));
    assert!(complaints(&bench, vec![arm(&bench, 1)]).contains("before the status branch announced it"));
    bench.arm(1);
    assert!(complaints(&bench, vec![arm(&bench, 2)]).contains("does not ask for"));
    bench.world.consent = Consent::Locked;
    assert!(complaints(&bench, vec![arm(&bench, 1)]).contains("while the rack is locked"));
    let bench = Bench::completed();
    assert!(complaints(&bench, vec![arm(&bench, 1)]).contains("without consent"));
    let mut bench = Bench::new(rack(1, 0, 0));
    bench.arm(1);
    let host = bench.id(1);
    let facts = Arc::make_mut(Arc::make_mut(&mut bench.world.hosts).get_mut(&host).unwrap());
    facts.held = Some(Generation(1));
    assert!(complaints(&bench, vec![arm(&bench, 1)]).contains("outcome of an earlier install is unknown"));
}

#[test]
fn doing_two_things_at_once_is() {
    let mut bench = Bench::new(rack(1, 0, 1));
    bench.arm(1);
    assert!(complaints(&bench, vec![arm(&bench, 1), arm(&bench, 1)]).contains("two actions at once"));
    bench.tell(rackwright::model::Event::Started { action: arm(&bench, 1) });
    assert!(complaints(&bench, vec![arm(&bench, 1)]).contains("while something is under way"));
    bench.tell(rackwright::model::Event::Started { action: Action::Fetch });
    assert!(complaints(&bench, vec![Action::Fetch]).contains("fetch while something is under way"));
}

#[test]
fn touching_what_is_not_there_is() {
    let mut bench = Bench::new(rack(1, 0, 1));
    let host = "c9/hv9".parse().unwrap();
    assert!(complaints(&bench, vec![Action::Probe { host }]).contains("not in the repository"));
    assert!(complaints(&bench, vec![Action::PowerCycle { host: bench.id(1) }]).contains("not installed"));
    assert!(complaints(&bench, vec![Action::Finish { host: bench.id(1), power_off: true }]).contains("not up"));
    let run = |covers| Action::Run {
        cluster: bench.id(1).cluster,
        task: TaskId::new("hook-hook-0"),
        definition: bench.world.desired.as_ref().unwrap().clusters.values().next().unwrap().tasks[0].definition.clone(),
        covers,
        run: 1,
        do_bootstrap: false,
    };
    assert!(complaints(&bench, vec![run(Default::default())]).contains("for nobody"));
    let early = [(bench.id(1), Bench::token(1).id())].into();
    assert!(complaints(&bench, vec![run(early)]).contains("which is not up"));
    bench.rack.hosts[0].maintenance = true;
    bench.push();
    assert!(complaints(&bench, vec![Action::Probe { host: bench.id(1) }]).contains("to be left alone"));
    let silent = Plan { hosts: Vec::new(), ..bench.plan() };
    assert!(!check(&bench.world, &silent).is_empty(), "a host without a reason");
}
