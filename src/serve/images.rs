//! Images of installers, for machines: only those that the World says are verified, and only the very file that was.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::Context;
use super::files::Held;
use crate::model::{Event, ImageSpec, ImageStamp, Lane};

/// What a digest stands for.
#[derive(Debug)]
pub enum Image {
    File(Arc<Held>),
    /// Announced, and not verified yet (or not any more); why, for people.
    Waiting(String),
    Unknown,
}

/// The image with this SHA-256 and name. A file that is not the one that was verified is not given, and reported.
pub async fn find(ctx: &Context, sha256: &str, name: &str) -> Image {
    let world = ctx.world();
    let announced = |image: &&Arc<ImageSpec>| *image.sha256 == *sha256 && *image.name == *name;
    let specs: Vec<&Arc<ImageSpec>> =
        world.desired.iter().flat_map(|it| it.images.values()).filter(announced).collect();
    let Some(first) = specs.first() else { return Image::Unknown };
    let verified = specs.iter().find_map(|spec| Some((spec, *world.images.get(&spec.id)?)));
    let Some((spec, wanted)) = verified else {
        let failure = world.lanes.failure(&Lane::Image(first.id.clone()));
        let why =
            failure.map_or_else(|| "it is being fetched and verified".into(), |failure| failure.fault.to_string());
        return Image::Waiting(why);
    };
    let path = ctx.settings.state_dir.join("images").join(&*spec.sha256);
    let opened = tokio::task::spawn_blocking(move || {
        let file = File::open(path)?;
        let data = file.metadata()?;
        std::io::Result::Ok((file, data))
    });
    match opened.await {
        Ok(Ok((file, data))) if stamp(&data) == wanted => Image::File(ctx.library.hold(file, &data)),
        _ => {
            tracing::warn!(image = %spec.name, "the file of a verified image was changed or is gone: verifying anew");
            ctx.inbox.hint(Event::ImageChanged { image: spec.id.clone() });
            Image::Waiting("its file has changed and is being verified anew".into())
        }
    }
}

fn stamp(data: &Metadata) -> ImageStamp {
    ImageStamp { size: data.len(), inode: data.ino(), modified: (data.mtime(), data.mtime_nsec()) }
}
