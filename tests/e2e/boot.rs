//! What machines on the network are told when they should not be installed.

use std::net::Ipv4Addr;

use rackwright::model::{HostState, Mac};
use rackwright::sim::machine::{BootOrder, Disk, Firmware, MachineConfig, Stage, Timings};
use rackwright::sim::rack::RackMachine;

use crate::rig::e2e::{Rig, hasty, slow};

/// Restarts of each machine.
const RESTARTS: u32 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_machines_that_boot_the_network_first_never_see_an_installer_again() {
    let mut rig = Rig::new(3).await;
    rig.edit("ansible: none }", "ansible: none, on_complete: none }");
    rig.start(&["--first-run"]).await;
    let ms = std::time::Duration::from_millis;
    let timings = Timings { post: ms(2), os_boot: ms(2), settle: ms(2), ..hasty() };
    rig.machines(timings, |machines| {
        for spec in machines {
            spec.machine.order = BootOrder::NetworkFirst;
        }
    })
    .await;
    rig.push("Define the cluster").await;
    rig.until_completed().await;
    let before = rig.rack().machines();
    for round in 1..=RESTARTS {
        for view in &before {
            assert!(rig.rack().reset(&view.name).await);
        }
        let what = format!("every machine runs again after restart {round}");
        rig.until_rack(&what, |machines| {
            let pairs = machines.iter().zip(&before);
            pairs.clone().all(|(now, was)| now.os_boots == was.os_boots + round && now.stage == Stage::Running)
        })
        .await;
    }
    for (now, was) in rig.rack().machines().iter().zip(&before) {
        assert_eq!(now.starts, was.starts + RESTARTS);
        assert_eq!((now.installer_boots, now.wipes.len()), (1, 1), "{}: no installer, no wipe", now.name);
        assert_eq!(now.disk, was.disk);
    }
    let status = rig.status().unwrap();
    assert!(status.hosts().iter().all(|host| host.state == HostState::Completed));
    rig.check_history().await;
}

fn stranger() -> RackMachine {
    let mut machine = MachineConfig::new("stranger", None, Mac([0x52, 0x54, 0, 0xcc, 0, 1]), hasty());
    machine.firmware = Firmware::Uefi;
    machine.loads_ipxe = true;
    RackMachine { machine, bmc: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_strangers_get_an_address_and_their_own_disk_and_nobody_reads_anothers_files() {
    let mut rig = Rig::new(2).await;
    rig.start(&["--first-run"]).await;
    // The stranger's power button is pressed like that of any machine without a BMC.
    rig.machines(slow(), |machines| machines.push(stranger())).await;
    rig.push("Define the cluster").await;
    let booted = |view: &rackwright::sim::rack::MachineView| view.name == "stranger" && view.ip.is_some();
    rig.until_rack("the stranger has an address", |machines| machines.iter().any(booted)).await;
    let address = rig.machine("stranger").ip.unwrap();
    assert!(in_range(&rig, address));
    let script = rig.get_as(address, "/boot/52:54:00:cc:00:01/boot.ipxe").await;
    assert_eq!(script.code, 200);
    assert!(script.body.starts_with("#!ipxe") && script.body.contains("sanboot"), "{}", script.body);
    assert!(!script.body.contains("kernel") && !script.body.contains("chain"), "{}", script.body);
    for name in ["mac-525400cc0001.ipxe", "mac-525400cc0001.preseed"] {
        assert_eq!(rig.get_as(address, &format!("/boot/52:54:00:cc:00:01/{name}")).await.code, 404);
    }

    rig.until_rack("hv1's disk is being written", |machines| matches!(machines[0].disk, Disk::Installing { .. })).await;
    let own = rig.machine("cluster1/hv1").ip.unwrap();
    for name in ["boot.ipxe", "mac-525400bb0001.ipxe", "mac-525400bb0001.preseed"] {
        let path = format!("/boot/52:54:00:bb:00:01/{name}");
        for other in [address, rig.stage.sink(), rig.stage.server()] {
            let reply = rig.get_as(other, &path).await;
            assert_eq!(reply.code, 403, "{path} from {other}: {}", reply.body);
            assert!(!reply.body.contains("hv1"), "{}", reply.body);
        }
        if !name.ends_with("preseed") {
            assert_eq!(rig.get_as(own, &path).await.code, 200, "{path} from its own address");
        }
    }
    rig.until("the cluster is completed", async || {
        let status = rig.status();
        status.is_some_and(|status| status.cluster_is_completed("cluster1"))
    })
    .await;
    let stranger = rig.machine("stranger");
    assert_eq!((stranger.installer_boots, stranger.wipes.len(), &stranger.disk), (0, 0, &Disk::Blank));
    assert_eq!(rig.wipes(), [1, 1, 0], "the attempts to read another's answer file were no claims");
    let status = rig.status().unwrap();
    let telling = status.files.iter().filter(|(_, text)| text.contains("52:54:00:cc:00:01"));
    let telling: Vec<_> = telling.map(|(name, _)| name.as_str()).collect();
    assert_eq!(telling, ["rack.yaml"], "listed as unclaimed, and nothing else");
    rig.check_history().await;
}

fn in_range(rig: &Rig, address: Ipv4Addr) -> bool {
    (rig.stage.address(1, 0)..=rig.stage.address(254, 255)).contains(&address)
}
