//! A status branch of another version, adopted by a daemon without a journal; and a journal in which 0.1.0 adopted one.
//! `tests/fixtures/status-0.1.0` is what the 0.1.0 binary published of a rack, and what it journaled when it adopted that.

use std::path::Path;
use std::sync::Arc;

use rackwright::model::status::{FORMAT, Files};
use rackwright::model::{
    Action, Consent, Event, Generation, HostId, HostState, Lease, Outcome, StatusBranch, Time, World,
};
use rackwright::plan::reduce;

use crate::rig::plan::policy;

const NOW: Time = Time::from_secs(1_800_000_000);

fn read(dir: &Path, prefix: &str, files: &mut Files) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => read(&entry.path(), &format!("{path}/"), files),
            false => _ = files.insert(path, std::fs::read_to_string(entry.path()).unwrap()),
        }
    }
}

fn published() -> Files {
    let mut files = Files::new();
    read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/status-0.1.0")), "", &mut files);
    files
}

fn adopted(branch: StatusBranch) -> World {
    let mut policy = policy();
    policy.site.subnets[0].net = "127.46.0.0/16".parse().unwrap();
    let mut world = World::new(Arc::new(policy));
    let result = Ok(Outcome::Adopted(Some(branch)));
    reduce(&mut world, &Event::Ended { action: Action::Adopt, result }, NOW);
    world
}

#[test]
fn what_0_1_0_published_is_adopted() {
    let branch = StatusBranch::read(&published()).unwrap();
    assert_eq!((branch.rack.format, branch.clusters.len(), branch.hosts.len()), (1, 2, 5));
    let world = adopted(branch);
    assert_eq!((world.consent, world.moves.last, world.moves.published), (Consent::Open, 26, 26));
    let host = |name: &str| world.facts(&name.parse::<HostId>().unwrap()).unwrap();
    let done = host("cluster1/hv1");
    assert_eq!(done.shown, Some((HostState::Completed, Time::parse("2026-12-01T03:10:08Z").unwrap())));
    let installed = done.installed.as_ref().unwrap();
    assert_eq!(installed.token.to_string(), "18e08a6721eece416e4b06d9172e123a");
    assert_eq!(installed.spec.as_str(), "3a78e41c25f24d4ddef10b05e3498134d86dc8a014691bc3626bd3acb0da090d");
    assert_eq!((installed.generation, installed.at), (Generation(1), Time::parse("2026-12-01T03:10:07Z").unwrap()));
    assert!(done.booted.is_some() && done.finished.is_some() && done.claim.is_none() && done.held.is_none());
    assert_eq!(done.bmc_seen.unwrap().0.to_string(), "127.89.147.174");
    assert!(done.pin.as_ref().unwrap().starts_with("eb645a68b75a835c"));
    assert_eq!(done.inventory.as_ref().unwrap().0.drives.len(), 5);
    let under_way = host("cluster2/hv4");
    let claim = under_way.claim.as_ref().unwrap();
    assert_eq!(
        (claim.token.to_string().as_str(), claim.generation),
        ("afac64db093d2c4321759d8f217c435e", Generation(1))
    );
    // It may have been installed since: only a person lets it be wiped again.
    assert_eq!((under_way.held, under_way.installed.is_none()), (Some(Generation(1)), true));
    let (name, facts) = world.clusters.first_key_value().unwrap();
    let (task, record) = facts.tasks.first_key_value().unwrap();
    assert_eq!((name.as_str(), task.as_str(), record.covers.len()), ("cluster1", "hook-tell-the-sink", 2));
    assert!(record.failure.is_none() && record.definition.as_str().starts_with("21346a2a2110"));
    let lease = |lease: &&Lease| lease.mac.is_some_and(|mac| mac.to_string() == "52:54:00:bb:00:04");
    assert!(world.leases.iter().find(lease).is_some(), "its address is kept");
}

#[test]
fn what_0_1_0_journaled_of_an_adoption_is_read() {
    let mut files = published();
    let event: Event = serde_json::from_str(&files.remove("adopted.json").unwrap()).unwrap();
    let Event::Ended { result: Ok(Outcome::Adopted(Some(journaled))), .. } = &event else { panic!("{event:?}") };
    let mut branch = StatusBranch::read(&files).unwrap();
    // 0.1.0 did not journal when a claim was made.
    for host in &mut branch.hosts {
        let since = host.since;
        host.claim.iter_mut().for_each(|claim| claim.at = since);
    }
    assert!(adopted(journaled.clone()) == adopted(branch.clone()));
    // and what is journaled now
    let result = Ok(Outcome::Adopted(Some(branch)));
    let event = Event::Ended { action: Action::Adopt, result };
    assert_eq!(serde_json::from_str::<Event>(&serde_json::to_string(&event).unwrap()).unwrap(), event);
}

#[test]
fn what_a_newer_version_published_is_refused_and_so_is_what_cannot_be_read() {
    let mut files = published();
    let newer = format!("format: {}\nconsent: by-plan\n", FORMAT + 1);
    let rack = files.insert("rack.yaml".into(), newer).unwrap();
    let why = StatusBranch::read(&files).unwrap_err();
    assert!(why.contains("made by a newer rackwright") && why.contains("Install the newer version"), "{why}");
    files.insert("rack.yaml".into(), rack);
    let host = files.get_mut("hosts/cluster2/hv6.yaml").unwrap();
    *host = host.replace("generation: 1\n", "generation: one\n");
    let why = StatusBranch::read(&files).unwrap_err();
    assert!(why.starts_with("hosts/cluster2/hv6.yaml of the status branch: "), "{why}");
}
