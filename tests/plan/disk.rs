//! A disk chosen by its chassis slot: nothing is armed or served before the BMC has said which one that is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use rackwright::model::desired::DISK_MARK;
use rackwright::model::{
    Action, BootFile, ClusterSpec, Desired, DiskChoice, HostSpec, HostState, Outcome, Pending, Preparation, Prepare,
    Stage,
};
use rackwright::plan::boot::{self, Decision, FileAnswer};
use rackwright::plan::report::report;

use crate::rig::plan::{Bench, rack};

fn slot(slot: &str) -> Arc<Prepare> {
    Arc::new(Prepare::new(DiskChoice::Slot(slot.into()), false, BTreeMap::new(), BTreeMap::new()))
}

/// The repository as it is, with the disk of the one host in this slot.
fn choose(bench: &mut Bench, wanted: &Arc<Prepare>, revision: &str) {
    let desired = bench.world.desired.clone().unwrap();
    let clusters: Vec<_> = desired.clusters.values().map(|spec| ClusterSpec::clone(spec)).collect();
    let file = BootFile { name: Arc::from("disk.txt"), body: Arc::from(format!("disk={DISK_MARK}!")), claims: false };
    let hosts: Vec<_> = desired
        .hosts
        .values()
        .map(|spec| {
            let mut spec = HostSpec::clone(spec);
            spec.prepare = wanted.clone();
            spec.files.retain(|known| known.name != file.name);
            spec.files.push(file.clone());
            spec
        })
        .collect();
    let revision = revision.repeat(40);
    let desired = Desired::new(Some(rackwright::model::Revision::new(&revision)), clusters, hosts, Vec::new());
    bench.put_in_force(&revision, Arc::new(desired));
}

fn prepare(bench: &mut Bench, apply: bool, preparation: Preparation) {
    bench.end(Action::Prepare { host: bench.id(1), apply }, Ok(Outcome::Prepared(preparation)));
}

fn served(bench: &Bench) -> FileAnswer {
    let spec = bench.world.spec(&bench.id(1)).unwrap();
    let mac = spec.boot_mac.or(bench.world.facts(&spec.id).unwrap().boot_mac).unwrap();
    boot::file(&bench.world, mac, "disk.txt", IpAddr::V4(Bench::host_ip(1)))
}

fn installs(bench: &Bench) -> bool {
    let spec = bench.world.spec(&bench.id(1)).unwrap();
    let mac = spec.boot_mac.or(bench.world.facts(&spec.id).unwrap().boot_mac).unwrap();
    matches!(boot::decide(&bench.world, mac), Decision::Install { .. })
}

#[test]
fn it_is_known_before_anything_is_armed_and_stands_in_what_is_served() {
    let mut bench = Bench::new(rack(1, 0, 0));
    let (third, fourth) = (slot("3"), slot("4"));
    choose(&mut bench, &third, "a");
    let host = bench.id(1);
    bench.bmc_seen(1);
    bench.host_seen(1);
    bench.well(Action::Probe { host: host.clone() });
    let again = [Action::Prepare { host: host.clone(), apply: true }];
    assert_eq!((bench.state(1), bench.actions()), (HostState::Preparing, again.to_vec()));
    let begun = |stage| Some(Pending { what: "the RAID-1 is made".into(), task: None, stage });
    prepare(&mut bench, true, Preparation { of: third.id.clone(), pending: begun(Stage::Begun), ..Default::default() });
    assert_eq!(
        (bench.state(1), bench.actions(), bench.reason(1).as_str()),
        (HostState::Preparing, vec![], "Preparing")
    );
    bench.wait(60);
    assert_eq!(bench.actions(), [Action::Prepare { host: host.clone(), apply: false }]);
    prepare(&mut bench, false, Preparation { of: third.id.clone(), pending: begun(Stage::Next), ..Default::default() });
    assert_eq!(bench.actions(), again, "what comes next is begun at once");
    prepare(&mut bench, true, Preparation { of: third.id.clone(), ..Default::default() });
    assert_eq!(bench.state(1), HostState::Preparing, "nobody knows the disk");
    let found = |of: &Arc<Prepare>, disk: &str| Preparation {
        of: of.id.clone(),
        disk: Some(disk.into()),
        ..Default::default()
    };
    prepare(&mut bench, true, found(&third, "detect:MZ7KH480:480GB:1"));
    assert_eq!(bench.state(1), HostState::PxeBooting);
    bench.publish();
    assert!(!installs(&bench) && served(&bench) == FileAnswer::NotFound, "not armed: its own disk");
    let generation = bench.world.spec(&host).unwrap().generation;
    bench.well(Action::Arm { host: host.clone(), generation });
    assert!(installs(&bench));
    assert_eq!(served(&bench), FileAnswer::Body(Arc::from("disk=detect:MZ7KH480:480GB:1!")));
    let files = report(&bench.world, &bench.plan());
    assert_eq!(files[&format!("boot/{host}/disk.txt")], "disk=detect:MZ7KH480:480GB:1!");
    // Another slot is another disk: what was found for the first one is not served for it.
    choose(&mut bench, &fourth, "b");
    assert!(!installs(&bench) && served(&bench) == FileAnswer::NotFound);
    assert_eq!(bench.state(1), HostState::Preparing);
    let files = report(&bench.world, &bench.plan());
    assert_eq!(files[&format!("boot/{host}/disk.txt")], format!("disk={DISK_MARK}!"));
    prepare(&mut bench, true, found(&fourth, "detect:MZ7KH480:480GB:2"));
    assert_eq!(served(&bench), FileAnswer::Body(Arc::from("disk=detect:MZ7KH480:480GB:2!")));
}

/// Machines are restarted for their BIOS settings, and ask the network then: they are not armed, and boot their disks.
#[test]
fn a_machine_that_is_restarted_for_its_settings_is_given_its_own_disk() {
    let mut bench = Bench::new(rack(1, 0, 0));
    let wanted = slot("3");
    choose(&mut bench, &wanted, "a");
    bench.bmc_seen(1);
    bench.host_seen(1);
    bench.well(Action::Probe { host: bench.id(1) });
    let pending = Pending { what: "BIOS settings".into(), task: None, stage: Stage::Settings };
    let disk = Some("detect:MZ7KH480:480GB:1".to_owned());
    prepare(
        &mut bench,
        true,
        Preparation { of: wanted.id.clone(), pending: Some(pending), disk, ..Default::default() },
    );
    bench.publish();
    assert!(!installs(&bench), "neither while it waits");
    assert!(bench.actions().is_empty(), "{:?}", bench.actions());
}
