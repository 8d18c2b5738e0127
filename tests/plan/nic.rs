//! A machine whose boot NIC the repository does not name.

use std::sync::Arc;

use rackwright::model::{Action, ClusterSpec, Desired, HostSpec, Inventory, Mac, Nic, Outcome, Protocol, Reason};
use rackwright::plan::{Step, boot, nic};

use crate::rig::plan::{Bench, rack};

const FIRST: Mac = Mac([2, 0, 0, 0, 0, 1]);
const SECOND: Mac = Mac([2, 0, 0, 0, 0, 2]);

/// Two hosts whose boot NICs nobody has written down, probed with these NICs each, and ordered to boot from the network.
fn probed(listed: [&[Mac]; 2], arm: bool) -> Bench {
    let mut bench = Bench::new(rack(2, 0, 0));
    for number in [1, 2] {
        bench.bmc_seen(number);
    }
    let desired = bench.world.desired.clone().unwrap();
    let hosts = desired.hosts.values().map(|spec| HostSpec { boot_mac: None, ..HostSpec::clone(spec) });
    let clusters = desired.clusters.values().map(|spec| ClusterSpec::clone(spec));
    bench.world.desired = Some(Arc::new(Desired::new(desired.revision.clone(), clusters, hosts, Vec::new())));
    for (number, macs) in [1, 2].into_iter().zip(listed) {
        let nic = |mac: &Mac| Nic { name: mac.to_string(), mac: *mac, link: None, mbps: None, about: None };
        let inventory = Inventory { nics: macs.iter().map(nic).collect(), ..Inventory::default() };
        let outcome = Outcome::Probed { inventory, pin: None, protocol: Protocol::Redfish };
        let (host, generation) = (bench.id(number), bench.world.spec(&bench.id(number)).unwrap().generation);
        bench.end(Action::Probe { host: host.clone() }, Ok(outcome));
        if arm {
            bench.end(Action::Arm { host, generation }, Ok(Outcome::Armed));
        }
    }
    bench
}

#[test]
fn it_is_recognised_by_any_that_its_bmc_lists() {
    let bench = probed([&[FIRST, SECOND], &[Mac([2, 0, 0, 0, 0, 3])]], true);
    let found = |mac| boot::host_by_mac(&bench.world, mac).map(|spec| spec.id.clone());
    assert_eq!((found(FIRST), found(SECOND)), (Some(bench.id(1)), Some(bench.id(1))));
    assert_eq!(found(Mac([2, 0, 0, 0, 0, 3])), Some(bench.id(2)));
    assert_eq!(found(Mac([2, 0, 0, 0, 0, 4])), None, "an unknown machine stays one");
    let idle = probed([&[FIRST], &[SECOND]], false);
    assert_eq!(boot::host_by_mac(&idle.world, FIRST), None, "nobody has ordered it to boot from the network");
}

#[test]
fn one_that_two_list_is_nobodys() {
    let bench = probed([&[FIRST, SECOND], &[FIRST]], true);
    assert_eq!(nic::lister(&bench.world, FIRST), None);
    assert_eq!(nic::lister(&bench.world, SECOND), Some(&bench.id(1)));
}

#[test]
fn without_any_the_host_waits_and_says_what_to_write() {
    let bench = probed([&[], &[FIRST]], false);
    let step = bench.plan().hosts.iter().find(|host| host.id == bench.id(1)).unwrap().step.clone();
    let Step::Stalled { reason, message, until: None } = step else { panic!("{step:?}") };
    assert!(reason == Reason::NoBootMac && message.contains("config.boot_mac"), "{message}");
    assert_ne!(bench.reason(2), "NoBootMac");
}
