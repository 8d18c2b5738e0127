//! Images over HTTP: only verified ones, and only the very file that was verified.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rackwright::model::{Action, Event, Fault, Fetched, ImageStamp, Outcome, Policy, Revision, Time, World};
use rackwright::plan::reduce;

use crate::rig::http::{Rig, settings};
use crate::{images::repo as images_repo, rig::repo as repo_support};

const SHA: &str = "10834fae6832b550b9210227cd27ed3300f4589857215bb2eb264d08bb97ec68";

fn tell(world: &mut World, action: Action, result: Result<Outcome, Fault>) {
    reduce(world, &Event::Ended { action, result }, Time::from_secs(5));
}

#[tokio::test]
async fn only_the_very_file_that_was_verified_is_served() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("images")).unwrap();
    let file = dir.path().join("images").join(SHA);
    std::fs::write(&file, "a kernel").unwrap();
    let mut settings = settings();
    settings.state_dir = dir.path().into();
    let mut world = World::new(Arc::new(Policy::default()));
    let tree = images_repo::tree(&format!("  - {{ name: vmlinuz, path: vmlinuz, sha256: {SHA} }}\n"));
    let desired = Arc::new(repo_support::valid(&tree));
    let image = desired.images.keys().next().unwrap().clone();
    let loaded = Fetched::Loaded { revision: Revision::new("0"), desired: Some(desired) };
    tell(&mut world, Action::Adopt, Ok(Outcome::Adopted(None)));
    tell(&mut world, Action::Fetch, Ok(Outcome::Fetched(loaded)));
    let rig = Rig::living(settings, world.clone()).await;

    let path = format!("/images/{SHA}/vmlinuz");
    let early = rig.get(&path).await;
    assert_eq!((early.code, early.header("retry-after").is_some()), (503, true), "there, and not verified");
    assert_eq!(rig.get("/images/0123/vmlinuz").await.code, 404);
    assert_eq!(rig.get(&format!("/images/{SHA}/other")).await.code, 404);
    assert_eq!(rig.get(&format!("/images/..%2fjournal.db/{SHA}")).await.code, 404);

    let data = std::fs::metadata(&file).unwrap();
    let stamp = ImageStamp { size: data.len(), inode: data.ino(), modified: (data.mtime(), data.mtime_nsec()) };
    tell(&mut world, Action::FetchImage { image: image.clone() }, Ok(Outcome::ImageVerified(stamp)));
    rig.world.send_replace(Arc::new(world));
    let whole = rig.get(&path).await;
    assert_eq!((whole.code, whole.text().as_str()), (200, "a kernel"));
    assert!(whole.header("cache-control").unwrap().contains("immutable"));
    assert_eq!(rig.ask("GET", &path, &[("Range", "bytes=2-")], b"").await.text(), "kernel");
    assert_eq!(rig.events(), []);

    std::fs::write(&file, "b kernel").unwrap();
    assert_eq!(rig.get(&path).await.code, 503);
    let told = async {
        while rig.events() != [Event::ImageChanged { image: image.clone() }] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::rig::http::PATIENCE, told).await.expect("the change is reported");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(rig.get(&path).await.code, 503);
}
