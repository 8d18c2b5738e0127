//! A separate checker of plans: what no plan may ever contain, stated without looking at how plans are made.

use std::collections::BTreeSet;
use std::mem::discriminant;

use super::context::at_once;
use super::install::running;
use super::step::Plan;
use crate::model::{Action, Consent, Generation, HostId, Lane, Lifecycle, World};

/// Everything that is wrong with a plan; empty for every plan that `plan` makes.
pub fn check(world: &World, plan: &Plan) -> Vec<String> {
    let mut wrong = Vec::new();
    every_host_has_a_reason(world, plan, &mut wrong);
    for action in &plan.actions {
        match (action, action.host()) {
            (Action::Reach { host }, _) => reach(world, host, &mut wrong),
            (_, Some(host)) => host_action(world, host, action, &mut wrong),
            _ => rack_action(world, action, &mut wrong),
        }
    }
    one_on_each_lane(world, plan, &mut wrong);
    limits(world, plan, &mut wrong);
    wrong
}

fn every_host_has_a_reason(world: &World, plan: &Plan, wrong: &mut Vec<String>) {
    let wanted = world.desired.iter().filter(|_| world.adopted).flat_map(|desired| desired.hosts.keys());
    if !wanted.eq(plan.hosts.iter().map(|host| &host.id)) {
        wrong.push("the plan does not name every host of the repository exactly once".to_owned());
    }
}

fn host_action(world: &World, id: &HostId, action: &Action, wrong: &mut Vec<String>) {
    let Some(spec) = world.spec(id) else {
        return wrong.push(format!("{id}: {} on a host that is not in the repository", action.kind()));
    };
    let facts = world.facts_of(id);
    if spec.state != Lifecycle::Present {
        wrong.push(format!("{id}: {} on a host that is to be left alone", action.kind()));
    }
    match action {
        Action::Arm { generation, .. } => arm(world, id, *generation, wrong),
        Action::PowerCycle { .. } if facts.installed.as_ref().is_none_or(|it| it.generation < spec.generation) => {
            wrong.push(format!("{id}: power cycle of a host that is not installed"));
        }
        Action::Finish { .. } if running(facts).is_none() => {
            wrong.push(format!("{id}: finish of a host that is not up"));
        }
        _ => {}
    }
}

fn arm(world: &World, id: &HostId, generation: Generation, wrong: &mut Vec<String>) {
    let facts = world.facts_of(id);
    let mut deny = |why: &str| wrong.push(format!("{id}: armed {why}"));
    if world.consent != Consent::Open {
        deny("while the rack is locked");
    }
    if world.spec(id).is_some_and(|spec| spec.generation != generation) {
        deny("for a generation the repository does not ask for");
    }
    if facts.installed.as_ref().is_some_and(|installed| installed.generation >= generation) {
        deny("without consent: that generation is installed");
    }
    if facts.intent.is_none_or(|intent| intent < generation) {
        deny("before the status branch announced it");
    }
    if world.spec(id).is_some_and(|spec| !super::image::all_verified(world, spec)) {
        deny("before the images of its installer were verified");
    }
    if facts.held.is_some_and(|held| held >= generation) {
        deny("although the outcome of an earlier install is unknown");
    }
}

fn rack_action(world: &World, action: &Action, wrong: &mut Vec<String>) {
    match action {
        Action::Adopt if world.adopted => wrong.push("adopting twice".to_owned()),
        Action::FetchImage { image }
            if !world.desired.as_ref().is_some_and(|desired| desired.images.contains_key(image)) =>
        {
            wrong.push("an image that nobody announces".to_owned());
        }
        Action::WriteBack { cluster, .. } => {
            let generated = world.clusters.get(cluster).and_then(|facts| facts.generated.as_ref());
            if generated.is_none_or(|it| it.pushed.is_some()) {
                wrong.push(format!("{cluster}: files written back that do not wait for it"));
            }
        }
        Action::Run { .. } => run(world, action, wrong),
        _ => {}
    }
}

/// Only hosts that are up are reached, and only with a key.
fn reach(world: &World, id: &HostId, wrong: &mut Vec<String>) {
    let facts = world.facts_of(id);
    let mut deny = |why: &str| wrong.push(format!("{id}: reached {why}"));
    match world.spec(id) {
        None => deny("although it is not in the repository"),
        Some(spec) if spec.state != Lifecycle::Present => deny("although it is to be left alone"),
        Some(_) if running(facts).is_none() => deny("before it was up"),
        Some(_) if !world.policy.ssh => deny("without a key"),
        Some(_) => {}
    }
}

fn run(world: &World, action: &Action, wrong: &mut Vec<String>) {
    let Action::Run { cluster, task, covers, run, do_bootstrap, definition } = action else { return };
    let mut deny = |why: String| wrong.push(format!("{cluster}: {task} {why}"));
    let facts = world.clusters.get(cluster);
    if covers.is_empty() {
        deny("for nobody".to_owned());
    }
    let spec = world.desired.as_ref().and_then(|desired| desired.clusters.get(cluster));
    let Some(spec) = spec.and_then(|spec| spec.tasks.iter().find(|it| it.id == *task)) else {
        return deny("which is not in the repository".to_owned());
    };
    if spec.definition != *definition {
        deny("as it is not written".to_owned());
    }
    for (id, token) in covers {
        let facts = world.facts_of(id);
        if running(facts) != Some(token) {
            deny(format!("for {id}, which is not up"));
        } else if spec.needs_ssh() && !super::ssh::is_reached(facts) {
            deny(format!("for {id}, which was not reached since it reported"));
        }
        if world.spec(id).is_none_or(|spec| spec.state != Lifecycle::Present) {
            deny(format!("for {id}, which is to be left alone"));
        }
    }
    let record = facts.and_then(|facts| facts.tasks.get(task));
    let said = record.and_then(|record| record.announced.as_ref());
    let announced = said
        .is_some_and(|said| said.run == *run && covers.iter().all(|(id, token)| said.covers.get(id) == Some(token)));
    if !spec.idempotent && !announced {
        deny("before the status branch announced it".to_owned());
    }
    let carried = record.into_iter().flat_map(|record| &record.covers).any(|(id, token)| {
        let installed = world.facts_of(id).installed.as_ref();
        world.spec(id).is_some() && installed.is_some_and(|installed| installed.token == *token)
    });
    if *do_bootstrap && (carried || !spec.is_ansible()) {
        deny("would bootstrap a cluster that already has members".to_owned());
    }
    // A person may give up files that were lost or that somebody else has written: by raising `run`.
    let kept = facts.and_then(|facts| facts.generated.as_ref()).is_some_and(|kept| kept.run >= *run);
    if spec.is_ansible() && kept {
        deny("before the files of the last run are on the watched branch".to_owned());
    }
}

/// Nothing is begun twice at once, and nothing beside what excludes it.
fn one_on_each_lane(world: &World, plan: &Plan, wrong: &mut Vec<String>) {
    let mut begun = BTreeSet::new();
    for action in &plan.actions {
        let Some(lane) = Lane::of(action) else { continue };
        if world.lanes.is_busy(&lane) {
            wrong.push(format!("{} while something is under way on {lane:?}", action.kind()));
        }
        if !begun.insert(lane.clone()) {
            wrong.push(format!("two actions at once on {lane:?}"));
        }
    }
}

fn limits(world: &World, plan: &Plan, wrong: &mut Vec<String>) {
    let counts = |lane: &Lane| match lane {
        Lane::Bmc(id) => world.spec(id).is_some_and(|spec| spec.has_bmc()),
        _ => true,
    };
    let begun: Vec<Lane> = plan.actions.iter().filter_map(Lane::of).filter(counts).collect();
    for lane in &begun {
        let same = |other: &&Lane| discriminant(*other) == discriminant(lane);
        let busy = world.lanes.under_way().map(|(lane, _)| lane).filter(same).count();
        let (all, limit) = (busy + begun.iter().filter(same).count(), at_once(&world.policy, lane));
        if all > limit {
            wrong.push(format!("{all} at once of such as {lane:?}, and {limit} are allowed"));
        }
    }
}
