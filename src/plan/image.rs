//! Images of installers: fetched and verified before the first host that needs one is announced or armed.

use super::Step;
use super::desk::Desk;
use super::host::may_install;
use crate::model::{Action, HostFacts, HostSpec, ImageSpec, Reason, World};

/// Images fetched or verified at once: each takes a disk and a line to itself.
const AT_ONCE: usize = 2;
/// Quick tries before a person is asked to look.
const RETRIES: u32 = 3;

/// Whether an image may be served.
pub fn verified(world: &World, image: &ImageSpec) -> bool {
    world.images.get(&image.id).is_some_and(|facts| facts.verified.is_some())
}

/// Whether every image of a host's installer may be served.
pub fn all_verified(world: &World, spec: &HostSpec) -> bool {
    spec.images.iter().all(|image| verified(world, image))
}

/// Notes what a host that is to be installed needs, however far it has come: its images are there when it is.
pub(super) fn want<'w>(desk: &mut Desk<'w>, spec: &'w HostSpec, facts: &HostFacts) {
    if !spec.images.is_empty() && may_install(spec, facts) {
        desk.images.extend(spec.images.iter().map(|image| (&image.id, &**image)));
    }
}

/// Begins to fetch what is wanted and not there.
pub(super) fn fetch(desk: &mut Desk<'_>) {
    let world = desk.world;
    let mut busy = world.images.values().filter(|facts| facts.doing.is_some()).count();
    for (id, image) in std::mem::take(&mut desk.images) {
        let facts = world.images.get(id);
        if verified(world, image) || facts.is_some_and(|facts| facts.doing.is_some()) {
            continue;
        }
        match held_back(desk, image) {
            Some(step) => desk.wake_for(&step),
            None if busy < AT_ONCE => {
                busy += 1;
                desk.actions.push(Action::FetchImage { image: id.clone() });
            }
            // Whoever ends before it wakes us.
            None => {}
        }
    }
}

/// What a host waits for because of its images, if anything: the one with a failure first.
pub(super) fn missing(desk: &Desk<'_>, spec: &HostSpec, facts: &HostFacts) -> Option<Step> {
    let lacking = || spec.images.iter().filter(|image| !verified(desk.world, image));
    if let Some(step) = lacking().find_map(|image| held_back(desk, image)) {
        return Some(step);
    }
    let image = lacking().next()?;
    let doing = desk.world.images.get(&image.id).and_then(|facts| facts.doing);
    let since = doing.unwrap_or_else(|| desk.since(facts));
    let what = if doing.is_some() { "is being fetched and verified" } else { "is to be fetched and verified" };
    let message = format!("{} {what}", named(image));
    Some(Step::wait(Reason::FetchingImages, message, desk.later(since + desk.policy.action_timeout, since)))
}

/// What an earlier failure of an image means for now.
fn held_back(desk: &Desk<'_>, image: &ImageSpec) -> Option<Step> {
    let facts = desk.world.images.get(&image.id)?;
    let failure = facts.failure.as_ref().filter(|_| facts.doing.is_none())?;
    let mut step = desk.verdict_on(failure, &image.id, RETRIES, desk.backoff_for(&image.sha256, failure.count))?;
    if let Step::Wait { message, .. } | Step::Stalled { message, .. } = &mut step {
        *message = format!("{}: {message}", named(image));
    }
    Some(step)
}

fn named(image: &ImageSpec) -> String {
    format!("image `{}` of installer `{}`", image.name, image.installer)
}
