//! Real firmware, from `git push` to `completed`: SeaBIOS with iPXE in the NIC, OVMF's own PXE client, OVMF's HTTP boot;
//! and what finished machines are told afterwards.

use std::path::Path;

use rackwright::cli::demo::vms::site::Make;
use rackwright::sim::machine::{BootOrder, Firmware, Override, Power};

use crate::rig::e2e_vm::{VmRig, within};

/// The machines by what they are for.
const BIOS: &str = "vms/hv1";
const UEFI: &str = "vms/hv2";
const UEFI_HTTP: &str = "vms/hv3";
const BIOS_NETWORK_FIRST: &str = "vms/hv4";
const UEFI_NETWORK_FIRST: &str = "vms/hv5";
const ALL: [&str; 5] = [BIOS, UEFI, UEFI_HTTP, BIOS_NETWORK_FIRST, UEFI_NETWORK_FIRST];

fn digest(disk: &Path) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(std::fs::read(disk).unwrap()))
}

#[test]
fn e2e_vm_every_firmware_is_installed_once_and_boots_its_disk_ever_after() {
    within("e2e::vm::e2e_vm_every_firmware_is_installed_once_and_boots_its_disk_ever_after", async {
        let make = |firmware, order| Make { firmware, order };
        let makes = [
            make(Firmware::Bios, BootOrder::DiskFirst),
            make(Firmware::Uefi, BootOrder::DiskFirst),
            make(Firmware::UefiHttp, BootOrder::DiskFirst),
            make(Firmware::Bios, BootOrder::NetworkFirst),
            make(Firmware::Uefi, BootOrder::NetworkFirst),
        ];
        let mut rig = VmRig::new(&makes, &[], async || {}).await;
        rig.push("Define the cluster").await;
        rig.until_completed().await;
        installed_by_its_own_way(&rig);
        stays_installed(&mut rig).await;
    });
}

/// Each machine was installed once, by the way its firmware has, and came up from its disk.
fn installed_by_its_own_way(rig: &VmRig) {
    for name in ALL {
        assert_eq!((rig.installs(name).as_deref(), rig.disk_boots(name)), (Some("1"), 1), "{name}");
        let (view, first) = (rig.machine(name), [BIOS_NETWORK_FIRST, UEFI_NETWORK_FIRST].contains(&name));
        assert_eq!((view.starts, view.network_starts), (2, 1 + u32::from(first)), "{name}");
    }
    for (name, said) in [
        (BIOS, "SeaBIOS"),
        (BIOS, "iPXE (PCI 00:01.0) starting execution"),
        (UEFI, "Start PXE over IPv4"),
        (UEFI, "NBP filename is ipxe.efi"),
        (UEFI_HTTP, "Start HTTP Boot over IPv4"),
        (UEFI_HTTP, "/assets/ipxe.efi"),
    ] {
        assert!(rig.serial(name).contains(said), "{name} did not say {said}");
    }
}

/// However often they start, and although some ask the network each time: nothing is written to any disk again.
async fn stays_installed(rig: &mut VmRig) {
    let disks: Vec<_> = ALL.iter().map(|name| digest(&rig.machine(name).disk)).collect();
    let network = Some(Override { network: true, once: true });
    for round in 1..=3 {
        for name in ALL {
            rig.rack.boot_from(name, network).await;
            rig.power(name, Power::ForceRestart).await;
        }
        let up = async |rig: &VmRig| ALL.iter().all(|name| rig.disk_boots(name) == 1 + round);
        rig.until("every machine came up from its disk", up).await;
        let status = rig.until_completed().await;
        for (name, before) in ALL.iter().zip(&disks) {
            assert_eq!(digest(&rig.machine(name).disk), *before, "{name}: its disk was written to");
            assert_eq!(rig.machine(name).starts as usize, 2 + round, "{name}");
            assert_eq!(status.the(name).generation.installed.map(|it| it.to_string()).as_deref(), Some("1"), "{name}");
        }
    }
}
