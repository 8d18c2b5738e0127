//! Preparation over Redfish: disks by slot, RAID-1, LED. Against simulated services of every vendor.

use rackwright::model::{DiskChoice, FaultClass, PowerState, Prepare, Reason, Stage};
use rackwright::sim::fault::{Fault as SimFault, FaultPlan};
use rackwright::sim::machine::Power;
use rackwright::sim::tree::Vendor;
use serde_json::{Value, json};

use crate::rig::bmc_prepare::{Lab, bays, config, detect_py, disk, lsscsi, mirror};

/// Vendors whose services have `Storage`.
const STORED: [Vendor; 5] = [Vendor::Dell, Vendor::Hpe, Vendor::Supermicro, Vendor::Generic, Vendor::Lenovo];

fn slot(bay: u32) -> DiskChoice {
    DiskChoice::Slot(bay.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_what_the_installer_finds_in_it_and_costs_no_write() {
    for vendor in STORED {
        let lab = Lab::new(vendor);
        lab.once(&Prepare::default(), true, None).await.unwrap();
        assert!(lab.look(|inside| inside.bmc.led_on()), "{vendor:?}");
        lab.forget();
        for drive in config(vendor).drives {
            let preparation = lab.once(&disk(slot(drive.bay), false), true, None).await.unwrap();
            assert_eq!(preparation.pending, None);
            let text = preparation.disk.expect("resolved");
            let list = lsscsi(&lab);
            let found = detect_py(&text, &list).unwrap_or_else(|| panic!("{vendor:?}: {text} finds nothing"));
            assert_eq!(found.bays, [drive.bay], "{vendor:?}: {text}");
        }
        assert_eq!(lab.writes(), [], "{vendor:?}");
        assert!(lab.resets().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_has_a_name_costs_no_look_at_storage() {
    let lab = Lab::new(Vendor::Dell);
    let preparation = lab.once(&disk(DiskChoice::Named, false), true, None).await.unwrap();
    assert_eq!((preparation.disk, preparation.pending, preparation.of), (None, None, None));
    assert!(!lab.look(|inside| inside.asked.iter().any(|(_, path)| path.contains("Storage"))));
}

#[tokio::test(start_paused = true)]
async fn a_mirror_is_made_once_and_found_again() {
    for vendor in STORED {
        for power in [Power::On, Power::ForceOff] {
            let lab = Lab::new(vendor);
            lab.power(power);
            let wanted = disk(mirror(vendor), false);
            let done = lab.prepare(&wanted).await.unwrap();
            assert!(done.faults.is_empty(), "{vendor:?}: {:?}", done.faults);
            let made = lab.look(|inside| inside.bmc.tally.made.clone());
            assert_eq!(made.len(), 1, "{vendor:?}");
            assert_eq!((made[0].raid.as_str(), made[0].bays.as_slice()), ("RAID1", &bays(vendor)[..]), "{vendor:?}");
            let text = done.preparation.disk.expect("resolved");
            let list = lsscsi(&lab);
            assert_eq!(detect_py(&text, &list).expect(&text).bays, bays(vendor), "{vendor:?}: {text}");
            assert!(lab.resets().iter().all(|reset| reset == "On"), "no restart for a volume: {:?}", lab.resets());
            lab.forget();
            let again = lab.once(&wanted, true, None).await.unwrap();
            assert_eq!((again.disk, again.pending), (Some(text), None));
            assert_eq!(lab.writes(), [], "{vendor:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_is_there_is_used_in_either_spelling() {
    for vendor in STORED {
        for spelling in ["RAIDType", "VolumeType"] {
            let lab = Lab::with(config(vendor).with_foreign_volume("RAID1", &bays(vendor)), FaultPlan::none());
            lab.twist(move |path, body| {
                if let Some(body) = body.as_object_mut().filter(|_| path.contains("/Volumes/")) {
                    body.remove("RAIDType");
                    body.remove("VolumeType");
                    let word = if spelling == "RAIDType" { "RAID1" } else { "Mirrored" };
                    body.insert(spelling.into(), json!(word));
                }
            });
            let done = lab.once(&disk(mirror(vendor), true), true, None).await.unwrap();
            assert!(done.disk.is_some() && done.pending.is_none(), "{vendor:?} {spelling}: {done:?}");
            let tally = lab.look(|inside| inside.bmc.tally.clone());
            assert!(tally.made.is_empty() && tally.deleted.is_empty(), "{vendor:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_volume_is_deleted_with_consent_only() {
    for vendor in STORED {
        let [first, second] = bays(vendor);
        let old = [("RAID0", vec![first, second]), ("RAID1", vec![first, second + 1])];
        for (raid, drives) in old {
            let lab = Lab::with(config(vendor).with_foreign_volume(raid, &drives), FaultPlan::none());
            lab.power(Power::On);
            let fault = lab.prepare(&disk(mirror(vendor), false)).await.unwrap_err();
            assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::ForeignVolume), "{fault}");
            // Firmware of before `RAIDType` has words of its own.
            let kind = match (vendor, raid) {
                (Vendor::Supermicro, "RAID0") => "NonRedundant",
                _ => raid,
            };
            for part in ["`old 0`", kind, "config.wipe: volumes"] {
                assert!(fault.message.contains(part), "{fault}");
            }
            let touched = lab.writes().into_iter().filter(|(_, path)| path.contains("Storage"));
            assert_eq!(touched.count(), 0);
            let done = lab.prepare(&disk(mirror(vendor), true)).await.unwrap();
            let tally = lab.look(|inside| inside.bmc.tally.clone());
            assert_eq!((tally.made.len(), tally.deleted.len()), (1, 1), "{vendor:?} {raid}");
            let list = lsscsi(&lab);
            let text = done.preparation.disk.expect("resolved");
            assert_eq!(detect_py(&text, &list).expect(&text).bays, bays(vendor));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_in_a_volume_of_its_own_is_that_volume_and_in_a_greater_one_it_is_in_the_way() {
    let [first, second] = bays(Vendor::Dell);
    let own = Lab::with(config(Vendor::Dell).with_foreign_volume("RAID0", &[first]), FaultPlan::none());
    let text = own.once(&disk(slot(first), false), true, None).await.unwrap().disk.unwrap();
    let list = lsscsi(&own);
    assert_eq!(detect_py(&text, &list).expect(&text).bays, [first]);
    assert!(text.starts_with("detect:PERC:"), "{text}");
    let part = Lab::with(config(Vendor::Dell).with_foreign_volume("RAID1", &[first, second]), FaultPlan::none());
    part.power(Power::On);
    assert_eq!(part.prepare(&disk(slot(first), false)).await.unwrap_err().reason, Reason::ForeignVolume);
    let text = part.prepare(&disk(slot(first), true)).await.unwrap().preparation.disk.unwrap();
    let list = lsscsi(&part);
    assert_eq!(detect_py(&text, &list).expect(&text).bays, [first]);
    assert!(part.look(|inside| inside.bmc.volumes().is_empty()));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_said() {
    let lab = Lab::new(Vendor::Dell);
    let fault = lab.once(&disk(slot(77), false), true, None).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Permanent, Reason::NoDriveInSlot));
    assert!(fault.message.contains("slot 77") && fault.message.contains("0, 1, 2, 3, 8"), "{fault}");
    // Bay 8 has no RAID controller.
    let apart = DiskChoice::Mirror(["0".into(), "8".into()]);
    let fault = lab.once(&disk(apart, true), true, None).await.unwrap_err();
    assert_eq!(fault.reason, Reason::RaidNotSupported, "{fault}");
    let old = Lab::new(Vendor::OldHp);
    let fault = old.once(&disk(mirror(Vendor::OldHp), true), true, None).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Permanent, Reason::RaidNotSupported), "{fault}");
    assert!(fault.message.contains("config.system_disks"), "{fault}");
    let text = old.once(&disk(slot(2), true), true, None).await.unwrap().disk.unwrap();
    let list = lsscsi(&old);
    assert_eq!(detect_py(&text, &list).expect(&text).bays, [2]);
    assert!(old.resets().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_controller_without_volumes_makes_none() {
    for vendor in [Vendor::Hpe, Vendor::Supermicro] {
        let lab = Lab::new(vendor);
        lab.twist(|_, body| {
            if let Some(body) = body.as_object_mut() {
                body.remove("Volumes");
            }
        });
        let fault = lab.once(&disk(mirror(vendor), true), true, None).await.unwrap_err();
        assert_eq!((fault.class, fault.reason), (FaultClass::Permanent, Reason::RaidNotSupported), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_boxes_with_the_same_bay_are_told_apart() {
    let lab = Lab::new(Vendor::Hpe);
    lab.twist(|path, body| {
        if path.contains("/Drives/") && body["Model"].as_str().is_some_and(|model| model.contains("NVMe")) {
            body["Location"] = json!([{ "Info": "2:1", "InfoFormat": "Box:Bay" }]);
        }
    });
    let fault = lab.once(&disk(slot(1), false), true, None).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::SlotNotUnique), "{fault}");
    let text = |slot: &str| disk(DiskChoice::Slot(slot.into()), false);
    assert!(lab.once(&text("2:1"), true, None).await.unwrap().disk.unwrap().contains("1.92TB"));
    assert!(lab.once(&text("3:1"), true, None).await.unwrap().disk.unwrap().contains("480GB"));
}

#[tokio::test(start_paused = true)]
async fn half_of_the_drives_are_not_taken_for_all() {
    let lab = Lab::new(Vendor::Dell);
    lab.twist(|path, body| {
        if path.ends_with("/Storage") {
            let member = json!({ "@odata.id": format!("{path}/NoResponse") });
            if let Some(list) = body["Members"].as_array_mut() {
                list.push(member);
            }
        }
    });
    // A member that is not there is none; the others are read.
    assert!(lab.once(&disk(slot(0), false), true, None).await.unwrap().disk.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_is_said_and_tried_anew() {
    for vendor in [Vendor::Dell, Vendor::Supermicro] {
        let lab = Lab::new(vendor);
        lab.look(|inside| inside.machine.faults().give(SimFault::BmcTaskFails, 1));
        let done = lab.prepare(&disk(mirror(vendor), false)).await.unwrap();
        let failed: Vec<_> = done.faults.iter().filter(|fault| fault.reason == Reason::BmcTaskFailed).collect();
        if lab.look(|inside| inside.machine.faults().remaining()) == 0 {
            assert_eq!(failed.len(), 1, "{vendor:?}: {:?}", done.faults);
            assert!(
                failed[0].class == FaultClass::Permanent && failed[0].message.contains("The task failed"),
                "{}",
                failed[0]
            );
        }
        assert_eq!(lab.look(|inside| inside.bmc.tally.made.len()), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_finds_what_may_be_begun_and_begins_nothing() {
    let lab = Lab::new(Vendor::Generic);
    let look = lab.once(&disk(mirror(Vendor::Generic), false), false, None).await.unwrap();
    assert_eq!(look.pending.map(|pending| pending.stage), Some(Stage::Next));
    assert_eq!(lab.writes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_an_led_is_prepared_all_the_same() {
    let lab = Lab::new(Vendor::Dell);
    lab.twist(|_, body| {
        if let Some(body) = body.as_object_mut() {
            body.remove("IndicatorLED");
            body.remove("LocationIndicatorActive");
        }
    });
    let done = lab.once(&Prepare::default(), true, None).await.unwrap();
    assert!(done.notes.iter().any(|note| note.contains("no LED")), "{:?}", done.notes);
    let slotted = lab.once(&disk(slot(0), false), false, None).await.unwrap();
    assert!(slotted.notes.iter().any(|note| note.contains("no LED")), "{:?}", slotted.notes);
    let stubborn = Lab::new(Vendor::Generic);
    stubborn.twist(|_, body| {
        if body["LocationIndicatorActive"].is_boolean() {
            body["LocationIndicatorActive"] = json!(false);
        }
    });
    let done = stubborn.once(&Prepare::default(), true, None).await.unwrap();
    assert!(done.notes.iter().any(|note| note.contains("does not switch its LED")), "{:?}", done.notes);
}

/// A drive that says so is part of a volume, whatever the volume says.
#[tokio::test(start_paused = true)]
async fn volumes_that_do_not_name_their_drives_are_in_the_way_nevertheless() {
    let vendor = Vendor::Generic;
    let lab = Lab::with(config(vendor).with_foreign_volume("RAID5", &[0, 1, 2]), FaultPlan::none());
    lab.twist(|path, body| {
        if path.contains("/Volumes/") {
            body["Links"] = Value::Null;
        }
    });
    for choice in [mirror(vendor), slot(0)] {
        let fault = lab.once(&disk(choice, false), true, None).await.unwrap_err();
        assert_eq!(fault.reason, Reason::ForeignVolume, "{fault}");
    }
    assert_eq!(lab.look(|inside| rackwright::sim::chassis::Chassis::power(&inside.machine)), PowerState::Off);
}
