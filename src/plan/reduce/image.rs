//! What became of fetching and verifying images.

use std::sync::Arc;

use super::change::{failed, forget_failure, lanes_mut};
use crate::model::{Action, Desired, Digest, Fault, ImageStamp, Lane, Outcome, Time, World};

fn images_mut(world: &mut World) -> &mut std::collections::BTreeMap<Digest, ImageStamp> {
    Arc::make_mut(&mut world.images)
}

pub(super) fn ended(world: &mut World, image: &Digest, action: &Action, result: &Result<Outcome, Fault>, now: Time) {
    let lane = Lane::Image(image.clone());
    let wanted = world.desired.as_ref().is_some_and(|desired| desired.images.contains_key(image));
    match result {
        Ok(Outcome::ImageVerified(stamp)) if wanted => {
            images_mut(world).insert(image.clone(), *stamp);
            forget_failure(world, &lane);
        }
        Err(fault) if wanted => {
            changed(world, image);
            failed(world, action, fault, image.clone(), now);
        }
        _ if wanted => {}
        // It has left the repository meanwhile.
        _ => {
            changed(world, image);
            forget_failure(world, &lane);
        }
    }
}

/// The file is not the one that was verified.
pub(super) fn changed(world: &mut World, image: &Digest) {
    if world.images.contains_key(image) {
        images_mut(world).remove(image);
    }
}

/// A restart: the files may be gone, and a person may have put right what failed.
pub(super) fn forget(world: &mut World) {
    world.images = Arc::default();
    lanes_mut(world).retain(|lane, _| !matches!(lane, Lane::Image(_)));
}

/// Of images that have left the repository nothing is known any more, except that some are being fetched.
pub(super) fn keep_wanted(world: &mut World, desired: &Desired) {
    images_mut(world).retain(|image, _| desired.images.contains_key(image));
    lanes_mut(world).retain(|lane, work| match lane {
        Lane::Image(image) => work.doing.is_some() || desired.images.contains_key(image),
        _ => true,
    });
}
