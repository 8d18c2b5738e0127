//! Preparation over Redfish: settings of BIOS and BMC.

use std::collections::BTreeSet;

use rackwright::model::{DiskChoice, FaultClass, Prepare, Reason, Stage};
use rackwright::sim::fault::{Fault as SimFault, FaultPlan};
use rackwright::sim::machine::Power;
use rackwright::sim::tree::Vendor;
use serde_json::{Value, json};

use crate::rig::bmc_prepare::{Lab, config, detect_py, lsscsi, mirror, secrets};

/// Vendors whose services have BIOS settings.
const SET: [Vendor; 5] = [Vendor::Dell, Vendor::Hpe, Vendor::Supermicro, Vendor::Generic, Vendor::Lenovo];

/// Settings that differ from what a machine has: two, and one that is right already.
fn wanted(vendor: Vendor) -> Vec<(&'static str, &'static str, Value)> {
    match vendor {
        Vendor::Dell => vec![
            ("ProcVirtualization", "Enabled", json!("Enabled")),
            ("AcPwrRcvryUserDelay", "60", json!(60)),
            ("BootMode", "Uefi", json!("Uefi")),
        ],
        Vendor::Hpe => vec![
            ("ProcVirtualization", "Enabled", json!("Enabled")),
            ("AdminName", "on", json!("on")),
            ("BootMode", "Uefi", json!("Uefi")),
        ],
        Vendor::Supermicro => vec![
            ("ConsoleRedirection_0080", "off", json!(false)),
            ("CorrectableErrorThreshold_3C34", "100", json!(100)),
            ("AES_NI_3C75", "Enable", json!("Enable")),
        ],
        Vendor::Generic => vec![
            ("SRIOVEnable", "Enabled", json!("Enabled")),
            ("TPM0", "No", json!(false)),
            ("VMX", "Disable", json!("Disable")),
        ],
        _ => vec![
            ("DevicesandIOPorts_SRIOV", "Enabled", json!("Enabled")),
            ("Memory_MemorySpeed", "Balanced", json!("Balanced")),
            ("BootModes_SystemBootMode", "UEFIMode", json!("UEFIMode")),
        ],
    }
}

fn bios(pairs: &[(&str, &str)]) -> Prepare {
    Prepare::new(DiskChoice::Named, false, secrets(pairs), secrets(&[]))
}

fn manager(pairs: &[(&str, &str)]) -> Prepare {
    Prepare::new(DiskChoice::Named, false, secrets(&[]), secrets(pairs))
}

fn of(vendor: Vendor) -> Prepare {
    bios(&wanted(vendor).iter().map(|(name, text, _)| (*name, *text)).collect::<Vec<_>>())
}

#[track_caller]
fn assert_set(lab: &Lab, vendor: Vendor) {
    for (name, _, value) in wanted(vendor) {
        assert_eq!(lab.look(|inside| inside.bmc.bios()[name].clone()), value, "{vendor:?} {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_differ_go_in_one_patch_and_one_restart_and_are_read_back() {
    for vendor in SET {
        for power in [Power::On, Power::ForceOff] {
            let lab = Lab::new(vendor);
            lab.power(power);
            let done = lab.prepare(&of(vendor)).await.unwrap();
            assert!(done.faults.is_empty(), "{vendor:?}: {:?}", done.faults);
            assert_set(&lab, vendor);
            let patches = lab.look(|inside| {
                inside.written.iter().filter(|body| body["Attributes"].is_object()).cloned().collect::<Vec<_>>()
            });
            let names: BTreeSet<_> = patches[0]["Attributes"].as_object().unwrap().keys().cloned().collect();
            assert_eq!((patches.len(), names.len()), (1, 2), "{vendor:?}: {patches:?}");
            let resets = lab.resets();
            let starts = if matches!(power, Power::On) && vendor == Vendor::Generic { 2 } else { 1 };
            assert_eq!(resets.len(), starts, "{vendor:?} {power:?}: {resets:?}");
            assert!(done.waited.iter().all(|pending| pending.stage == Stage::Settings), "{:?}", done.waited);
            assert_eq!(lab.look(|inside| inside.bmc.tally.configured), 1);
            lab.forget();
            let again = lab.once(&of(vendor), true, None).await.unwrap();
            assert_eq!(again.pending, None);
            assert_eq!(lab.writes(), [], "{vendor:?}: right already costs no write");
            assert_eq!(lab.resets().len(), starts, "and no restart");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_attributes_are_noted_and_the_others_are_set() {
    for vendor in SET {
        let lab = Lab::new(vendor);
        let mut pairs: Vec<_> = wanted(vendor).iter().map(|(name, text, _)| (*name, *text)).collect();
        let slip = format!("{}x", pairs[0].0);
        pairs.push((&slip, "s3cret-value"));
        let done = lab.prepare(&bios(&pairs)).await.unwrap();
        assert_set(&lab, vendor);
        let note = done.preparation.notes.iter().find(|note| note.contains(&slip)).expect("a note");
        assert!(note.contains(&format!("did you mean `{}`?", pairs[0].0)), "{note}");
        assert!(!format!("{done:?}").contains("s3cret"), "{done:?}");
    }
    let old = Lab::new(Vendor::OldHp);
    let done = old.prepare(&bios(&[("A", "s3cret"), ("B", "1")])).await.unwrap();
    assert!(done.preparation.notes.iter().any(|note| note.contains("A, B")), "{done:?}");
    assert!(old.resets().is_empty());
}

#[tokio::test(start_paused = true)]
async fn refusals_name_attributes_and_never_values() {
    let lab = Lab::new(Vendor::Dell);
    let fault =
        lab.once(&bios(&[("ProcVirtualization", "s3cret-word"), ("BootMode", "Uefi")]), true, None).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Permanent, Reason::SettingsRefused), "{fault}");
    assert!(fault.message.contains("ProcVirtualization") && fault.message.contains("***"), "{fault}");
    assert!(!fault.message.contains("s3cret"), "{fault}");
    let spelt = lab.once(&bios(&[("ProcVirtualization", "disabled")]), true, None).await.unwrap_err();
    assert!(spelt.message.contains("upper and lower case"), "{spelt}");
    lab.forget();
    let unfit =
        lab.once(&bios(&[("AcPwrRcvryUserDelay", "s3cret"), ("ProcVirtualization", "Enabled")]), true, None).await;
    let unfit = unfit.unwrap_err();
    assert_eq!((unfit.class, unfit.reason), (FaultClass::Operator, Reason::SettingsNotValid), "{unfit}");
    assert!(
        unfit.message.contains("`AcPwrRcvryUserDelay` takes a number") && !unfit.message.contains("s3cret"),
        "{unfit}"
    );
    assert_eq!(lab.writes(), [], "before anything is written");
    assert!(lab.resets().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_not_set_for_ever() {
    let lab = Lab::new(Vendor::Dell);
    let done = lab.once(&bios(&[("SetupPassword", "s3cret")]), true, None).await.unwrap();
    assert_eq!(done.pending, None);
    assert!(done.notes.iter().any(|note| note.contains("`SetupPassword` cannot be read")), "{:?}", done.notes);
    assert!(!format!("{done:?}").contains("s3cret"));
}

#[tokio::test(start_paused = true)]
async fn settings_that_the_firmware_does_not_take_are_a_fault_by_name() {
    let lab = Lab::new(Vendor::Dell);
    let wanted = of(Vendor::Dell);
    let begun = lab.once(&wanted, true, None).await.unwrap().pending.expect("waits");
    assert!(begun.task.is_some() && begun.stage == Stage::Settings, "{begun:?}");
    // The firmware puts one of them back.
    lab.twist(|path, body| {
        if path.ends_with("/Bios") {
            body["Attributes"]["ProcVirtualization"] = json!("Disabled");
        }
    });
    tokio::time::sleep(std::time::Duration::from_secs(200)).await;
    let fault = lab.once(&wanted, false, Some(begun)).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Permanent, Reason::SettingsReverted), "{fault}");
    assert!(fault.message.contains("ProcVirtualization") && !fault.message.contains("AcPwrRcvry"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_patch_that_is_ignored_restarts_nothing() {
    for vendor in [Vendor::Generic, Vendor::Hpe] {
        let lab = Lab::new(vendor);
        lab.once(&Prepare::default(), true, None).await.unwrap();
        lab.look(|inside| inside.machine.faults().give(SimFault::BmcIgnoresPatch, 100));
        let mut kept = 0;
        for _ in 0..20 {
            match lab.once(&of(vendor), true, None).await {
                Err(fault) => assert_eq!(fault.reason, Reason::SettingsNotKept, "{fault}"),
                Ok(_) => kept += 1,
            }
            if kept > 0 {
                break;
            }
            assert!(lab.resets().is_empty());
        }
    }
}

/// An iDRAC that makes no job by itself is asked for one; one that is there is used.
#[tokio::test(start_paused = true)]
async fn an_idrac_without_apply_times_gets_a_job() {
    let lab = Lab::new(Vendor::Dell);
    let wanted = of(Vendor::Dell);
    // Staged by somebody, or by an order whose answer was lost.
    lab.look(|inside| {
        let body = json!({ "Attributes": { "ProcVirtualization": "Enabled", "AcPwrRcvryUserDelay": 60 } });
        let path = "/redfish/v1/Systems/System.Embedded.1/Bios/Settings".to_owned();
        // root:correct horse
        let headers = [("authorization".to_owned(), "Basic cm9vdDpjb3JyZWN0IGhvcnNl".to_owned())].into();
        let request = rackwright::sim::bmc::Request {
            method: "PATCH".into(),
            path,
            headers,
            body: body.to_string().into_bytes(),
        };
        let answer = inside.bmc.handle(&mut inside.machine, rackwright::model::Time::from_secs(1000), &request);
        assert_eq!(answer.response.unwrap().status, 200);
        assert_eq!(inside.bmc.tasks().count(), 0);
    });
    let done = lab.prepare(&wanted).await.unwrap();
    assert!(done.faults.is_empty(), "{:?}", done.faults);
    assert_set(&lab, Vendor::Dell);
    let posts: Vec<_> = lab.writes().into_iter().filter(|(_, path)| path.ends_with("/Jobs")).collect();
    assert_eq!(posts.len(), 1);
    let patches = lab.look(|inside| inside.written.iter().filter(|body| body["Attributes"].is_object()).count());
    assert_eq!(patches, 0, "what waits already is not handed over again");
}

#[tokio::test(start_paused = true)]
async fn settings_of_the_bmc_are_set_at_once_where_there_are_any() {
    let lab = Lab::new(Vendor::Dell);
    let wanted = manager(&[
        ("NTPConfigGroup.1.NTP1", "192.0.2.123"),
        ("WebServer.1.Timeout", "600"),
        ("Tine.1.Timezone", "x"),
        ("Time.1.Timezone", "UTC"),
    ]);
    let done = lab.prepare(&wanted).await.unwrap();
    assert!(done.waited.is_empty() && done.faults.is_empty(), "{done:?}");
    assert_eq!(lab.look(|inside| inside.bmc.manager()["WebServer.1.Timeout"].clone()), 600);
    assert!(
        done.preparation.notes.iter().any(|note| note.contains("did you mean `Time.1.Timezone`?")),
        "{:?}",
        done.preparation.notes
    );
    assert!(lab.resets().is_empty());
    lab.forget();
    lab.once(&wanted, true, None).await.unwrap();
    assert_eq!(lab.writes(), []);
    for vendor in [Vendor::Hpe, Vendor::Supermicro, Vendor::Generic, Vendor::OldHp] {
        let lab = Lab::new(vendor);
        let done = lab.prepare(&wanted).await.unwrap();
        assert!(
            done.preparation.notes.iter().any(|note| note.contains("no settings by name")),
            "{:?}",
            done.preparation
        );
    }
}

/// Disks first, then settings: one restart for everything.
#[tokio::test(start_paused = true)]
async fn everything_together_costs_one_restart() {
    for vendor in SET {
        let lab = Lab::with(
            config(vendor).with_foreign_volume("RAID0", &crate::rig::bmc_prepare::bays(vendor)),
            FaultPlan::none(),
        );
        lab.power(Power::On);
        let settings = of(vendor);
        let all = Prepare::new(mirror(vendor), true, settings.bios.clone(), secrets(&[("Time.1.Timezone", "CET")]));
        let done = lab.prepare(&all).await.unwrap();
        assert!(done.faults.is_empty(), "{vendor:?}: {:?}", done.faults);
        assert_set(&lab, vendor);
        let tally = lab.look(|inside| inside.bmc.tally.clone());
        assert_eq!((tally.made.len(), tally.deleted.len(), tally.configured), (1, 1, 1), "{vendor:?}");
        let starts = lab.resets().iter().filter(|reset| *reset != "ForceOff").count();
        assert_eq!(starts, 1, "{vendor:?}: {:?}", lab.resets());
        let text = done.preparation.disk.unwrap();
        let list = lsscsi(&lab);
        assert_eq!(detect_py(&text, &list).expect(&text).bays, crate::rig::bmc_prepare::bays(vendor));
    }
}

/// Whatever goes wrong on the way, it ends where it should, and nothing is done twice that must not be.
#[tokio::test(start_paused = true)]
async fn preparation_survives_every_fault() {
    let faults = [
        SimFault::BmcError,
        SimFault::BmcLostAnswer,
        SimFault::BmcBusy,
        SimFault::BmcReset,
        SimFault::BmcSlow,
        SimFault::BmcTask,
        SimFault::BmcTaskFails,
        SimFault::BmcEmptyAnswer,
        SimFault::BmcDropsSession,
        SimFault::BmcHtml,
        SimFault::BmcIgnoresPatch,
        SimFault::BmcReboots,
        SimFault::BmcDuplicates,
        SimFault::BmcMissing,
    ];
    for vendor in SET {
        for (number, fault) in faults.into_iter().enumerate() {
            for seed in 0..6 {
                let plan = FaultPlan::new([fault], 3, seed * 100 + number as u64);
                let bays = crate::rig::bmc_prepare::bays(vendor);
                let lab = Lab::with(config(vendor).with_foreign_volume("RAID0", &bays), plan);
                if seed % 2 == 0 {
                    lab.power(Power::On);
                }
                let all = Prepare::new(mirror(vendor), true, of(vendor).bios, secrets(&[]));
                let done = lab.prepare(&all).await;
                let done = done.unwrap_or_else(|fatal| panic!("{vendor:?} {fault} seed {seed}: {fatal}"));
                assert_set(&lab, vendor);
                let volumes = lab.look(|inside| inside.bmc.volumes().to_vec());
                let tally = lab.look(|inside| inside.bmc.tally.clone());
                assert_eq!(volumes.len(), 1, "{vendor:?} {fault} seed {seed}: {volumes:?}");
                assert_eq!((tally.made.len(), tally.deleted.len()), (1, 1), "{vendor:?} {fault} seed {seed}");
                assert!(!tally.made[0].foreign && volumes[0].bays == bays);
                let list = lsscsi(&lab);
                let text = done.preparation.disk.unwrap();
                assert_eq!(detect_py(&text, &list).expect(&text).bays, bays, "{vendor:?} {fault} seed {seed}");
                let starts = lab.resets().iter().filter(|reset| *reset != "ForceOff").count();
                assert!(starts <= 6, "{vendor:?} {fault} seed {seed}: {:?}", lab.resets());
            }
        }
    }
}
