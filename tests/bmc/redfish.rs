//! Inventories by Redfish, of simulated services of several vendors and of careless ones.

use std::sync::atomic::Ordering;

use rackwright::model::{FaultClass, Mac, PowerState};
use rackwright::sim::bmc::Response;
use rackwright::sim::fault::{Fault as SimFault, FaultPlan};
use rackwright::sim::tree::Vendor;
use serde_json::json;

use crate::rig::bmc;
use crate::rig::bmc_redfish::{BOOT_MAC, assert_fault, rig, rig_with, said};

const DELL: &str = "/redfish/v1/Systems/System.Embedded.1";

#[tokio::test]
async fn probe_reads_every_vendors_shape() {
    for vendor in Vendor::EVERY {
        let rig = rig(vendor);
        let (inventory, pin) = bmc::probe(&rig.target, None).await.unwrap();
        // Marked as embedded, by `HostCorrelation`, or the only one; else nobody can say it until one asks.
        let told = matches!(vendor, Vendor::Dell | Vendor::OldHp | Vendor::Generic);
        assert_eq!(inventory.boot_mac, told.then_some(BOOT_MAC), "{vendor:?}");
        assert!(vendor == Vendor::OldHp || inventory.nic(BOOT_MAC).is_some(), "{vendor:?}");
        assert_eq!(inventory.system.as_deref(), Some(vendor.system_path()), "not the GPU board");
        assert_eq!(inventory.serial.as_deref(), Some("525400AABB11"));
        assert_eq!(inventory.sku.is_none(), vendor == Vendor::Generic);
        assert_eq!(inventory.bmc_version.as_deref(), Some("6.00.30.00"));
        assert_eq!(inventory.power, Some(PowerState::Off));
        let about = inventory.hardware().unwrap();
        assert!(about.starts_with("2 x Simulated CPU @ 2.40GHz (32 cores), 256 GiB, "), "{about}");
        assert!(
            inventory.nics.iter().all(|nic| !nic.name.contains("ToManager") && !nic.mac.is_zero()),
            "{inventory:?}"
        );
        assert_eq!(pin, Some(rig.identity.fingerprint()));
        let logins_by_request = vendor == Vendor::OldHp;
        assert!(rig.sessions() == 0 && (rig.logins() == 1 || logins_by_request), "{vendor:?}");
        assert!(!inventory.incomplete && rig.log.requests.lock().unwrap().len() < 40, "{vendor:?}");
    }
}

#[tokio::test]
async fn drives_are_found_with_their_bays() {
    for vendor in Vendor::EVERY {
        let rig = rig(vendor);
        let (inventory, _) = bmc::probe(&rig.target, None).await.unwrap();
        let wanted = rig.state.lock().unwrap().0.config().drives.clone();
        assert!(!wanted.is_empty() && inventory.drives.len() == wanted.len(), "{vendor:?} {:?}", inventory.drives);
        for drive in &wanted {
            // An enclosure may stand in front.
            let bay = |slot: &str| slot.rsplit(':').next() == Some(&drive.bay.to_string());
            let found = inventory
                .drives
                .iter()
                .find(|found| found.slot.as_deref().is_some_and(bay) && found.bytes == Some(drive.bytes));
            let found =
                found.unwrap_or_else(|| panic!("{vendor:?}: no drive in bay {} of {:?}", drive.bay, inventory.drives));
            assert_eq!(found.model.as_deref(), Some(drive.model));
            let old = vendor == Vendor::OldHp;
            assert_eq!((found.serial.is_none(), found.protocol.is_none(), found.media.is_none()), (old, old, old));
            assert!(found.controller.is_some());
        }
        assert_eq!(inventory.volumes, [], "drives shown as volumes are none");
    }
}

#[tokio::test]
async fn the_repositorys_boot_mac_wins() {
    let rig = rig(Vendor::Dell);
    let wanted = Mac([2, 0, 0, 0, 0, 9]);
    let (inventory, _) = bmc::probe(&rig.target, Some(wanted)).await.unwrap();
    assert_eq!(inventory.boot_mac, Some(wanted));
}

#[tokio::test]
async fn what_a_service_leaves_out_is_done_without() {
    for vendor in Vendor::EVERY {
        let rig = rig_with(vendor, FaultPlan::new([SimFault::BmcMissing, SimFault::BmcDuplicates], 1, 0), |_| None);
        let (inventory, _) = bmc::probe(&rig.target, None).await.unwrap();
        assert_eq!(inventory.serial, None, "{vendor:?}");
        let drives = rig.state.lock().unwrap().0.config().drives.len();
        assert_eq!(inventory.drives.len(), drives, "each once");
        assert_eq!(rig.sessions(), 0);
    }
    let nulls = rig_with(Vendor::Dell, FaultPlan::none(), |request| {
        let nulls = json!({ "SKU": null, "Status": null, "PowerState": null, "EthernetInterfaces": null });
        (request.path.contains("System.Embedded.1")).then(|| said(200, nulls)).flatten()
    });
    let (inventory, _) = bmc::probe(&nulls.target, None).await.unwrap();
    assert_eq!((inventory.sku, inventory.power, inventory.boot_mac), (None, Some(PowerState::Unknown), None));
}

#[tokio::test]
async fn collections_may_page_repeat_themselves_and_list_what_is_not_there() {
    let rig = rig_with(Vendor::Dell, FaultPlan::none(), |request| {
        let nic = |name: &str| json!({ "@odata.id": format!("{DELL}/EthernetInterfaces/{name}") });
        let first = json!({ "Members": [nic("NIC.Slot.5-1"), nic("gone"), nic("NIC.Slot.5-1/")],
            "Members@odata.nextLink": format!("{DELL}/EthernetInterfaces/page2") });
        let second = json!({ "Members": [nic("broken"), null, {}, nic("NIC.Embedded.1-1-1")] });
        match request.path.strip_prefix(&format!("{DELL}/EthernetInterfaces")) {
            Some("") => said(200, first),
            Some("/page2") => said(200, second),
            Some("/broken") => said(500, json!({ "error": { "message": "cannot read it" } })),
            _ => None,
        }
    });
    let (inventory, _) = bmc::probe(&rig.target, None).await.unwrap();
    let names: Vec<_> = inventory.nics.iter().map(|nic| nic.name.as_str()).collect();
    assert_eq!(names, ["NIC.Slot.5-1", "NIC.Embedded.1-1-1"]);
    assert_eq!(inventory.boot_mac, Some(BOOT_MAC));
    assert!(inventory.incomplete, "something could not be read");
    assert_eq!(rig.asked("GET").iter().filter(|(path, _)| path.contains("NIC.Slot.5-1")).count(), 1);
}

#[tokio::test]
async fn however_much_there_is_a_bmc_is_asked_with_moderation() {
    let rig = rig_with(Vendor::Dell, FaultPlan::none(), |request| {
        let path = request.path.as_str();
        let many = |what: &str| {
            let members: Vec<_> = (0..500).map(|n| json!({ "@odata.id": format!("{DELL}/{what}/{n}") })).collect();
            json!({ "Members": members, "Drives": members, "Members@odata.nextLink": format!("{DELL}/{what}") })
        };
        let last = path.rsplit('/').next().unwrap_or_default();
        let what = path.strip_prefix(DELL)?.split('/').nth(1).unwrap_or_default();
        match (what, last.parse::<u8>()) {
            ("EthernetInterfaces", Ok(n)) => said(200, json!({ "MACAddress": Mac([2, 0, 0, 0, 1, n]).to_string() })),
            ("EthernetInterfaces" | "Storage", Err(_)) => said(200, many(what)),
            ("Storage", Ok(_)) => said(200, many("Storage")),
            _ => None,
        }
    });
    let (inventory, _) = bmc::probe(&rig.target, None).await.unwrap();
    let (asked, most) = (rig.asked("GET").len(), rig.log.most.load(Ordering::SeqCst));
    assert!(inventory.incomplete && inventory.nics.len() == 64, "{}", inventory.nics.len());
    assert!(asked <= 210, "{asked} requests");
    assert!((2..=3).contains(&most), "{most} at once");
}

#[tokio::test]
async fn two_machines_behind_one_bmc_are_nobodys_to_choose_between() {
    let rig = rig_with(Vendor::Generic, FaultPlan::none(), |request| {
        let members = ["Node1", "Node2", "Gone"].map(|id| json!({ "@odata.id": format!("/redfish/v1/Systems/{id}") }));
        let target = json!({ "#ComputerSystem.Reset": { "target": "/x" } });
        match request.path.as_str() {
            "/redfish/v1/Systems" => said(200, json!({ "Members": members })),
            "/redfish/v1/Systems/Node1" | "/redfish/v1/Systems/Node2" => {
                said(200, json!({ "SystemType": "Physical", "Boot": {}, "Actions": target }))
            }
            _ => None,
        }
    });
    let fault = assert_fault(bmc::probe(&rig.target, None).await, FaultClass::Permanent, "SeveralSystems");
    assert!(fault.message.contains("Systems/Node1, /redfish/v1/Systems/Node2"), "{fault}");
    assert_eq!(rig.sessions(), 0);
}

#[tokio::test]
async fn nics_are_found_by_their_adapters_where_the_system_lists_none() {
    let rig = rig_with(Vendor::Lenovo, FaultPlan::none(), |request| {
        let link = |path: &str| json!({ "@odata.id": format!("/redfish/v1/Chassis/1{path}") });
        match request.path.as_str() {
            "/redfish/v1/Systems/1/EthernetInterfaces" => said(200, json!({ "Members": [] })),
            "/redfish/v1/Chassis/1" => said(200, json!({ "NetworkAdapters": link("/NetworkAdapters") })),
            "/redfish/v1/Chassis/1/NetworkAdapters" => said(200, json!({ "Members": [link("/NetworkAdapters/ob-1")] })),
            "/redfish/v1/Chassis/1/NetworkAdapters/ob-1" => {
                said(200, json!({ "Model": "X722", "Ports": link("/NetworkAdapters/ob-1/Ports") }))
            }
            "/redfish/v1/Chassis/1/NetworkAdapters/ob-1/Ports" => {
                said(200, json!({ "Members": [link("/NetworkAdapters/ob-1/Ports/1")] }))
            }
            "/redfish/v1/Chassis/1/NetworkAdapters/ob-1/Ports/1" => {
                let oem = json!({ "Lenovo": { "PhysicalPortMacAddress": BOOT_MAC.to_string() } });
                said(200, json!({ "LinkStatus": "LinkUp", "CurrentSpeedGbps": 2.5, "Oem": oem }))
            }
            _ => None,
        }
    });
    let (inventory, _) = bmc::probe(&rig.target, None).await.unwrap();
    assert_eq!(inventory.boot_mac, Some(BOOT_MAC), "the only one");
    let nic = inventory.nic(BOOT_MAC).unwrap();
    assert_eq!((nic.name.as_str(), nic.mbps, nic.about.as_deref()), ("ob-1/1", Some(2500), Some("X722")));
}

#[tokio::test]
async fn nonsense_is_refused_without_following_it() {
    let elsewhere = rig_with(Vendor::Dell, FaultPlan::none(), |request| {
        let link = json!({ "Members": [{ "@odata.id": "https://other.example.net/redfish/v1/Systems/1" }] });
        (request.path == "/redfish/v1/Systems").then(|| said(200, link)).flatten()
    });
    assert_fault(bmc::probe(&elsewhere.target, None).await, FaultClass::Permanent, "BmcNonsense");
    assert_eq!(elsewhere.sessions(), 0);

    let away = rig_with(Vendor::Dell, FaultPlan::none(), |request| {
        let headers = vec![("Location", "https://other.example.net/".to_owned())];
        (request.path == "/redfish/v1/Systems").then(|| Response { status: 302, headers, body: None })
    });
    assert_fault(bmc::probe(&away.target, None).await, FaultClass::Permanent, "BmcRefused");

    let huge = rig_with(Vendor::Dell, FaultPlan::none(), |request| {
        let body = json!({ "Members": "x".repeat(rackwright::drive::bmc::transport::BODY_CAP) });
        (request.path == "/redfish/v1/Systems").then(|| said(200, body)).flatten()
    });
    assert_fault(bmc::probe(&huge.target, None).await, FaultClass::Permanent, "BmcNonsense");
    assert_eq!((away.sessions(), huge.sessions()), (0, 0));

    let page = rig_with(Vendor::Dell, FaultPlan::none(), |request| {
        let headers = vec![("Content-Type", "text/html".to_owned())];
        let response = Response { status: 200, headers, body: Some(json!("<html>Loading</html>")) };
        (request.path.ends_with("/EthernetInterfaces")).then_some(response)
    });
    assert_fault(bmc::probe(&page.target, None).await, FaultClass::Transient, "BmcNotReady");
    assert_eq!(page.sessions(), 0);
}
