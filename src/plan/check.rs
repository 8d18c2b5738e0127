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
            match action {
                Action::Reach { .. } => reach(world, host, &mut wrong),
                _ => host_action(world, host, action, &mut wrong),
            }
            // SSH and the BMC are two ways to a machine that do not get in each other's way.
            if !touched.insert((host, matches!(action, Action::Reach { .. }))) {
                wrong.push(format!("{host}: two actions at once"));
            }
        }
        rack_action(world, action, &mut wrong);
    }
    one_for_each_cluster(plan, &mut wrong);
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
        Action::Notify { receiver, .. }
            if world.notices.receivers.get(receiver).is_some_and(|facts| facts.sending.is_some()) =>
        {
            wrong.push(format!("two notifications of {receiver} at once"));
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
        Action::Run { .. } => run(world, action, wrong),
        _ => {}
    }
}

/// Only hosts that are up are reached, and only with a key.
fn reach(world: &World, id: &HostId, wrong: &mut Vec<String>) {
    let facts = facts_of(world, id);
    let mut deny = |why: &str| wrong.push(format!("{id}: reached {why}"));
    match world.spec(id) {
        None => deny("although it is not in the repository"),
        Some(spec) if spec.state != Lifecycle::Present => deny("although it is to be left alone"),
        Some(_) if super::host::running(facts).is_none() => deny("before it was up"),
        Some(_) if facts.ssh.reaching.is_some() => deny("twice at once"),
        Some(_) if !world.policy.ssh => deny("without a key"),
        Some(_) => {}
    }
}

fn run(world: &World, action: &Action, wrong: &mut Vec<String>) {
    let Action::Run { cluster, task, covers, run, do_bootstrap, definition } = action else { return };
    let mut deny = |why: String| wrong.push(format!("{cluster}: {task} {why}"));
    let facts = world.clusters.get(cluster);
    if facts.is_some_and(|facts| facts.doing.is_some()) {
        deny("while another task runs".to_owned());
    }
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
        let facts = facts_of(world, id);
        if super::host::running(facts) != Some(token) {
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
        let installed = facts_of(world, id).installed.as_ref();
        world.spec(id).is_some() && installed.is_some_and(|installed| installed.token == *token)
    });
    if *do_bootstrap && (carried || !spec.is_ansible()) {
        deny("makes a cluster anew that somebody carries".to_owned());
    }
    // A person may give up files that were lost or that somebody else has written: by raising `run`.
    let kept = facts.and_then(|facts| facts.generated.as_ref()).is_some_and(|kept| kept.run >= *run);
    if spec.is_ansible() && kept {
        deny("before the files of the last run are on the watched branch".to_owned());
    }
}

/// No cluster is given two tasks, two pushes or two statuses by one plan.
fn one_for_each_cluster(plan: &Plan, wrong: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for action in &plan.actions {
        let cluster = match action {
            Action::Run { cluster, .. } | Action::WriteBack { cluster, .. } => Some(cluster),
            Action::TellForge { cluster, .. } => cluster.as_ref(),
            _ => continue,
        };
        if !seen.insert((cluster, action.kind())) {
            wrong.push(format!("{} twice for one cluster", action.kind()));
        }
    }
}

fn limits(world: &World, plan: &Plan, wrong: &mut Vec<String>) {
    let reached = |action: &&Action| matches!(action, Action::Reach { .. });
    let reaching = world.hosts.values().filter(|facts| facts.ssh.reaching.is_some()).count();
    let reaches = plan.actions.iter().filter(reached).count();
    if reaches > 0 && reaching + reaches > super::ssh::AT_ONCE {
        wrong.push("more SSH connections than allowed".to_owned());
    }
    let begun = plan.actions.iter().filter(|it| it.host().is_some() && !reached(it)).count();
    let busy = world.hosts.values().filter(|facts| facts.doing.is_some()).count();
    let bmcless = |action: &&Action| action.host().and_then(|id| world.spec(id)).is_some_and(|spec| !spec.has_bmc());
    let free = plan.actions.iter().filter(|it| bmcless(it) && !reached(it)).count();
    if begun - free > 0 && busy + begun - free > world.policy.concurrent_bmc {
        wrong.push("more BMC connections than allowed".to_owned());
    }
}
