//! What became of fetching and verifying images.

use std::sync::Arc;

use crate::model::{ActionKind, Desired, Digest, Failure, Fault, ImageFacts, Outcome, Time, World};

fn facts<'w>(world: &'w mut World, image: &Digest) -> &'w mut ImageFacts {
    Arc::make_mut(&mut world.images).entry(image.clone()).or_default()
}

pub(super) fn started(world: &mut World, image: &Digest, now: Time) {
    facts(world, image).doing = Some(now);
}

pub(super) fn ended(world: &mut World, image: &Digest, result: &Result<Outcome, Fault>, now: Time) {
    let wanted = world.desired.as_ref().is_some_and(|desired| desired.images.contains_key(image));
    if !wanted {
        Arc::make_mut(&mut world.images).remove(image);
        return;
    }
    let facts = facts(world, image);
    facts.doing = None;
    match result {
        Ok(Outcome::ImageVerified(stamp)) => {
            facts.verified = Some(*stamp);
            facts.failure = None;
        }
        Ok(_) => {}
        Err(fault) => {
            facts.verified = None;
            let count = facts.failure.as_ref().map_or(0, |last| last.count) + 1;
            let fault = fault.clone();
            facts.failure =
                Some(Failure { action: ActionKind::FetchImage, fault, count, at: now, basis: image.clone() });
        }
    }
}

/// The file is not the one that was verified.
pub(super) fn changed(world: &mut World, image: &Digest) {
    if world.images.get(image).is_some_and(|facts| facts.verified.is_some()) {
        facts(world, image).verified = None;
    }
}

/// A restart: the files may be gone, and nobody knows how what was under way ended. A person may have put right what
/// failed.
pub(super) fn forget(world: &mut World) {
    world.images = Arc::default();
}

/// Of images that have left the repository nothing is known any more, except that some are being fetched.
pub(super) fn keep_wanted(world: &mut World, desired: &Desired) {
    if world.images.keys().any(|image| !desired.images.contains_key(image)) {
        let images = Arc::make_mut(&mut world.images);
        images.retain(|image, facts| desired.images.contains_key(image) || facts.doing.is_some());
    }
}
