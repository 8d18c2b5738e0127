//! A separate checker of plans: what no plan may ever contain, stated without looking at how plans are made.

use std::collections::BTreeSet;

use super::Plan;
use super::cluster::facts_of;
use crate::model::{Action, Consent, Generation, HostId, Lifecycle, World};

/// Everything that is wrong with a plan; empty for every plan that `plan` makes.
pub fn check(world: &World, plan: &Plan) -> Vec<String> {
    let mut wrong = Vec::new();
    every_host_has_a_reason(world, plan, &mut wrong);
    let mut touched = BTreeSet::new();
    for action in &plan.actions {
        if let Some(host) = action.host() {
            host_action(world, host, action, &mut wrong);
            if !touched.insert(host) {
                wrong.push(format!("{host}: two actions at once"));
            }
        }
        rack_action(world, action, &mut wrong);
    }
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
    let facts = facts_of(world, id);
    if facts.doing.is_some() {
        wrong.push(format!("{id}: {} while something is under way", action.kind()));
    }
    if spec.state != Lifecycle::Present {
        wrong.push(format!("{id}: {} on a host that is to be left alone", action.kind()));
    }
    match action {
        Action::Arm { generation, .. } => arm(world, id, *generation, wrong),
        Action::PowerCycle { .. } if facts.installed.as_ref().is_none_or(|it| it.generation < spec.generation) => {
            wrong.push(format!("{id}: power cycle of a host that is not installed"));
        }
        Action::Finish { .. } if super::host::running(facts).is_none() => {
            wrong.push(format!("{id}: finish of a host that is not up"));
        }
        _ => {}
    }
}

fn arm(world: &World, id: &HostId, generation: Generation, wrong: &mut Vec<String>) {
    let facts = facts_of(world, id);
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
    let git = &world.git;
    match action {
        Action::Adopt if world.adopted => wrong.push("adopting twice".to_owned()),
        Action::Adopt | Action::Fetch if git.fetching.is_some() => wrong.push("two fetches at once".to_owned()),
        Action::FetchImage { image } => {
            if world.images.get(image).is_some_and(|facts| facts.doing.is_some()) {
                wrong.push("an image fetched twice at once".to_owned());
            }
            if !world.desired.as_ref().is_some_and(|desired| desired.images.contains_key(image)) {
                wrong.push("an image that nobody announces".to_owned());
            }
        }
        Action::Publish { .. } if git.publishing.is_some() => wrong.push("two publishes at once".to_owned()),
        Action::Notify { receiver, .. } => {
            if world.notices.receivers.get(receiver).is_some_and(|facts| facts.sending.is_some()) {
                wrong.push(format!("two notifications of {receiver} at once"));
            }
        }
        Action::TellForge { cluster, .. } => {
            let facts = match cluster {
                Some(cluster) => world.clusters.get(cluster).map(|facts| &facts.commit_status),
                None => Some(&git.commit_status),
            };
            if facts.is_some_and(|facts| facts.telling.is_some()) {
                wrong.push("the forge told twice at once".to_owned());
            }
        }
        Action::WriteBack { cluster, .. } => {
            let generated = world.clusters.get(cluster).and_then(|facts| facts.generated.as_ref());
            if generated.is_none_or(|it| it.pushing.is_some() || it.pushed.is_some()) {
                wrong.push(format!("{cluster}: files written back that do not wait for it"));
            }
        }
        Action::Run { cluster, task, covers, .. } => {
            if world.clusters.get(cluster).is_some_and(|facts| facts.doing.is_some()) {
                wrong.push(format!("{cluster}: {task} while another task runs"));
            }
            if covers.is_empty() {
                wrong.push(format!("{cluster}: {task} for nobody"));
            }
            for (id, token) in covers {
                if super::host::running(facts_of(world, id)) != Some(token) {
                    wrong.push(format!("{cluster}: {task} for {id}, which is not up"));
                }
            }
        }
        _ => {}
    }
}

fn limits(world: &World, plan: &Plan, wrong: &mut Vec<String>) {
    let begun = plan.actions.iter().filter(|action| action.host().is_some()).count();
    let busy = world.hosts.values().filter(|facts| facts.doing.is_some()).count();
    let bmcless = |action: &&Action| action.host().and_then(|id| world.spec(id)).is_some_and(|spec| !spec.has_bmc());
    let free = plan.actions.iter().filter(bmcless).count();
    if begun - free > 0 && busy + begun - free > world.policy.concurrent_bmc {
        wrong.push("more BMC connections than allowed".to_owned());
    }
}
