//! Images in the plan: fetched first, few at a time; nobody is armed before; what fails is shown on those who wait.

use rackwright::model::{Action, Digest, Event, Fault, ImageStamp, Outcome, Reason, Verdict};
use rackwright::plan::Step;
use rackwright::repo::{self, Context};

use crate::rig::plan::{Bench, rack};
use crate::rig::repo::file;

const STAMP: ImageStamp = ImageStamp { size: 5, inode: 7, modified: (1, 2) };

/// Puts the rack in force with an installer of its own that announces `images`.
fn announce(bench: &mut Bench, revision: u8, images: &[&str]) {
    let mut tree = bench.rack.tree();
    let list: String = images.iter().map(|name| image(name)).collect();
    let text =
        format!("name: own\nclaim: check-in\nfiles: [{{ name: boot.ipxe, template: boot.j2 }}]\nimages:\n{list}");
    tree.insert("installers/own/installer.yaml".into(), file(text));
    tree.insert("installers/own/boot.j2".into(), file("#!ipxe\nboot\n"));
    let bootstrap = tree.get_mut("group_vars/c1/bootstrap.yml").unwrap();
    let repo::Entry::File(octets) = &bootstrap else { panic!("a file") };
    *bootstrap = file(String::from_utf8_lossy(octets).replace("installer: pvc", "installer: own"));
    let site = bench.world.policy.site.clone();
    let context = Context {
        http_base: site.http_base(),
        address: site.address,
        subnets: &site.subnets,
        deploy_username: "deploy".into(),
        mirror: "http://mirror.example.net/debian".into(),
        release: "bookworm".into(),
        previous: bench.world.desired.as_deref(),
        revision: None,
        secrets: Default::default(),
    };
    let loaded = repo::load(&tree, &context);
    let mut desired = loaded.desired.unwrap_or_else(|| panic!("{:#?}", loaded.findings));
    let revision = format!("{revision:040x}");
    desired.revision = Some(rackwright::model::Revision::new(&revision));
    bench.put_in_force(&revision, desired.into());
}

fn image(name: &str) -> String {
    let sha256: String =
        name.bytes().map(|byte| format!("{byte:02x}")).chain(std::iter::repeat_n("0".into(), 64)).collect();
    format!("  - {{ name: {name}, path: {name}, sha256: \"{}\" }}\n", &sha256[..64])
}

fn fetching(bench: &Bench) -> Vec<Digest> {
    let fetch = |action| match action {
        Action::FetchImage { image } => Some(image),
        _ => None,
    };
    bench.plan().actions.into_iter().filter_map(fetch).collect()
}

fn begin(bench: &mut Bench) -> Vec<Digest> {
    let images = fetching(bench);
    for image in &images {
        bench.tell(Event::Started { action: Action::FetchImage { image: image.clone() } });
    }
    images
}

fn end(bench: &mut Bench, image: &Digest, result: Result<Outcome, Fault>) {
    bench.tell(Event::Ended { action: Action::FetchImage { image: image.clone() }, result });
}

fn well(bench: &mut Bench, image: &Digest) {
    end(bench, image, Ok(Outcome::ImageVerified(STAMP)));
}

/// A host with BMC that lacks nothing but its images.
fn prepared(images: &[&str]) -> Bench {
    let mut bench = Bench::new(rack(1, 0, 0));
    announce(&mut bench, 9, images);
    bench.bmc_seen(1);
    let host = bench.id(1);
    bench.well(Action::Probe { host: host.clone() });
    bench.well(Action::Prepare { host, apply: true });
    bench
}

#[test]
fn a_host_is_announced_and_armed_only_when_every_image_is_verified() {
    let mut bench = prepared(&["vmlinuz", "initrd"]);
    let images = begin(&mut bench);
    assert_eq!((images.len(), bench.reason(1).as_str()), (2, "FetchingImages"));
    assert!(fetching(&bench).is_empty(), "not begun twice");
    well(&mut bench, &images[0]);
    assert_eq!(bench.reason(1), "FetchingImages");
    bench.publish();
    let armed = |bench: &Bench| bench.actions().iter().any(|action| matches!(action, Action::Arm { .. }));
    assert!(!armed(&bench));
    well(&mut bench, &images[1]);
    assert_eq!(bench.reason(1), "Announcing");
    bench.publish();
    assert!(armed(&bench));
    assert!(fetching(&bench).is_empty());
}

#[test]
fn few_images_are_fetched_at_once() {
    let mut bench = prepared(&["a", "b", "c", "d", "e"]);
    let mut left: usize = 5;
    while left > 0 {
        let images = begin(&mut bench);
        assert!(!images.is_empty() && images.len() <= 2, "{images:?}");
        left -= images.len();
        images.iter().for_each(|image| well(&mut bench, image));
    }
    assert!(fetching(&bench).is_empty());
}

#[test]
fn a_wrong_digest_stalls_its_hosts_until_the_repository_changes() {
    let mut bench = prepared(&["vmlinuz"]);
    let images = begin(&mut bench);
    end(
        &mut bench,
        &images[0],
        Err(Fault::operator(Reason::DigestDiffers, "its SHA-256 is aa, and the manifest says bb")),
    );
    bench.wait(7 * 24 * 3600);
    assert!(fetching(&bench).is_empty(), "asking again would bring the same");
    let Step::Stalled { reason, message, until: None } = bench.step(1) else { panic!("{:?}", bench.step(1)) };
    assert_eq!(reason, Reason::DigestDiffers);
    assert_eq!(message, "image `vmlinuz` of installer `own`: its SHA-256 is aa, and the manifest says bb");
    announce(&mut bench, 10, &["vmlinux"]);
    let fresh = begin(&mut bench);
    assert!(fresh.len() == 1 && fresh != images);
    well(&mut bench, &fresh[0]);
    assert_eq!(bench.reason(1), "Announcing");
    assert_eq!(bench.world.images.len(), 1, "what has left the repository is forgotten");
}

#[test]
fn what_may_pass_by_itself_is_tried_again_ever_more_slowly() {
    let mut bench = prepared(&["vmlinuz"]);
    let mut pauses = Vec::new();
    for _ in 0..5 {
        let images = begin(&mut bench);
        assert_eq!(images.len(), 1);
        end(&mut bench, &images[0], Err(Fault::transient(Reason::Unreachable, "no route")));
        assert!(fetching(&bench).is_empty(), "not at once");
        let failed = bench.now;
        while fetching(&bench).is_empty() {
            bench.now = bench.plan().wake_at.expect("an alarm").max(bench.now + std::time::Duration::from_millis(1));
        }
        pauses.push(bench.now.since(failed));
    }
    assert!(pauses.is_sorted() && pauses[4] >= pauses[0] * 8, "{pauses:?}");
    let images = begin(&mut bench);
    end(&mut bench, &images[0], Err(Fault::transient(Reason::Unreachable, "no route")));
    assert!(
        matches!(bench.step(1), Step::Stalled { until: Some(_), .. }),
        "after some tries a person is asked to look"
    );
}

#[test]
fn a_restart_and_a_changed_file_mean_verifying_anew() {
    let mut bench = prepared(&["vmlinuz"]);
    let images = begin(&mut bench);
    well(&mut bench, &images[0]);
    assert!(fetching(&bench).is_empty());
    bench.tell(Event::DaemonStarted);
    assert_eq!(begin(&mut bench), images);
    assert_eq!(bench.reason(1), "FetchingImages");
    bench.tell(Event::DaemonStarted);
    assert_eq!(begin(&mut bench), images, "one that was under way as well");
    well(&mut bench, &images[0]);
    assert_eq!(bench.tell(Event::ImageChanged { image: images[0].clone() }), Verdict::Ok);
    assert_eq!(fetching(&bench), images);
    bench.tell(Event::ImageChanged { image: Digest::new("unknown") });
    assert!(bench.world.images.is_empty(), "neither this one nor the unknown one");
}

#[test]
fn a_machine_without_bmc_boots_its_disk_until_the_images_are_there() {
    use rackwright::plan::boot::{Decision, decide};
    let mut bench = Bench::new(rack(0, 1, 0));
    announce(&mut bench, 9, &["vmlinuz"]);
    bench.host_seen(1);
    let mac = bench.rack.hosts[0].boot_mac;
    let images = begin(&mut bench);
    assert_eq!(bench.reason(1), "FetchingImages");
    assert!(matches!(decide(&bench.world, mac), Decision::Local { .. }));
    well(&mut bench, &images[0]);
    bench.publish();
    assert!(matches!(decide(&bench.world, mac), Decision::Install { .. }));
    bench.tell(Event::DaemonStarted);
    let Decision::Local { why, .. } = decide(&bench.world, mac) else { panic!("nothing is verified after a restart") };
    assert_eq!(why, "an image of its installer is not verified yet");
    let images = begin(&mut bench);
    well(&mut bench, &images[0]);
    assert_eq!(bench.claim(1, 1), Verdict::Ok);
    bench.tell(Event::DaemonStarted);
    assert!(matches!(decide(&bench.world, mac), Decision::Install { .. }), "whoever has claimed goes on");
}

#[test]
fn nothing_is_fetched_for_hosts_that_need_no_install() {
    let mut bench = Bench::new(rack(1, 0, 0));
    bench.rack.hosts[0].maintenance = true;
    announce(&mut bench, 9, &["vmlinuz"]);
    assert!(fetching(&bench).is_empty());
}

#[test]
fn a_snapshot_keeps_what_is_known_of_images() {
    let mut bench = prepared(&["vmlinuz"]);
    let images = begin(&mut bench);
    well(&mut bench, &images[0]);
    let text = serde_json::to_string(&bench.world.snapshot()).unwrap();
    let snapshot = serde_json::from_str(&text).unwrap();
    let back = rackwright::model::World::restore(bench.world.policy.clone(), snapshot, bench.world.desired.clone());
    assert_eq!(back.images, bench.world.images);
}
