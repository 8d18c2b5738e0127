//! Images of installers: fetched and verified before the first host that needs one is announced or armed.

use super::context::PlanContext;
use super::install::may_install;
use super::step::Step;
use super::view::HostView;
use crate::model::{Action, HostFacts, HostSpec, ImageSpec, Lane, Reason, World};

/// Quick tries before a person is asked to look.
const RETRIES: u32 = 3;

/// Whether an image may be served.
pub fn verified(world: &World, image: &ImageSpec) -> bool {
    world.images.contains_key(&image.id)
}

/// Whether every image of a host's installer may be served.
pub fn all_verified(world: &World, spec: &HostSpec) -> bool {
    spec.images.iter().all(|image| verified(world, image))
}

/// Notes what a host that is to be installed needs, however far it has come: its images are there when it is.
pub(super) fn want<'w>(ctx: &mut PlanContext<'w>, spec: &'w HostSpec, facts: &HostFacts) {
    if !spec.images.is_empty() && may_install(spec, facts) {
        ctx.images.extend(spec.images.iter().map(|image| (&image.id, &**image)));
    }
}

/// Begins to fetch what is wanted and not there.
pub(super) fn fetch(ctx: &mut PlanContext<'_>) {
    for (id, image) in std::mem::take(&mut ctx.images) {
        let lane = Lane::Image(id.clone());
        if verified(ctx.world, image) || ctx.world.lanes.is_busy(&lane) {
            continue;
        }
        match held_back(ctx, image) {
            Some(step) => ctx.wake_for(&step),
            None if ctx.has_room(&lane) => ctx.begin(Action::FetchImage { image: id.clone() }),
            None => {}
        }
    }
}

/// What a host waits for because of its images, if anything: the one with a failure first.
pub(super) fn missing(ctx: &PlanContext<'_>, host: &HostView<'_>) -> Option<Step> {
    let lacking = || host.spec.images.iter().filter(|image| !verified(ctx.world, image));
    if let Some(step) = lacking().find_map(|image| held_back(ctx, image)) {
        return Some(step);
    }
    let image = lacking().next()?;
    let fetching = ctx.world.lanes.get(&Lane::Image(image.id.clone())).since();
    let is = if fetching.is_some() { "is being" } else { "is to be" };
    let message = format!("{} {is} fetched and verified", named(image));
    Some(Step::wait(Reason::FetchingImages, message, ctx.action_deadline(fetching.unwrap_or_else(|| host.since(ctx)))))
}

/// What an earlier failure of an image means for now.
fn held_back(ctx: &PlanContext<'_>, image: &ImageSpec) -> Option<Step> {
    let work = ctx.world.lanes.get(&Lane::Image(image.id.clone()));
    let failure = work.failure.as_ref().filter(|_| work.doing.is_none())?;
    let mut step = ctx.held_back(failure, &image.id, RETRIES, ctx.backoff(&image.sha256, failure.count))?;
    if let Step::Wait { message, .. } | Step::Stalled { message, .. } = &mut step {
        *message = format!("{}: {message}", named(image));
    }
    Some(step)
}

fn named(image: &ImageSpec) -> String {
    format!("image `{}` of installer `{}`", image.name, image.installer)
}
