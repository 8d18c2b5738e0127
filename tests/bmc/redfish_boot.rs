//! LED, boot override and power by Redfish, against simulated services and against single oddities.

use std::sync::{Arc, Mutex};

use rackwright::drive::bmc::Order;
use rackwright::model::{BootMode, FaultClass, NetworkBoot, Outcome, PowerState, Time};
use rackwright::sim::bmc::{Request, Response};
use rackwright::sim::fault::{Fault as SimFault, FaultPlan};
use rackwright::sim::machine::{MachineEvent, Override, Power, Stage};
use rackwright::sim::tree::Vendor;
use serde_json::{Value, json};

use crate::rig::bmc::{self, once};
use crate::rig::bmc_redfish::{assert_fault, config, rig, rig_of, rig_with, said};

const ONCE: Option<Override> = Some(Override { network: true, once: true });

#[tokio::test]
async fn led_goes_on_and_off_in_every_vendors_words() {
    for vendor in Vendor::ALL {
        let rig = rig(vendor);
        bmc::prepare(&rig.target).await.unwrap();
        assert!(rig.led(), "{vendor:?}");
        assert_eq!(bmc::finish(&rig.target, false).await, Ok(PowerState::Off));
        assert!(!rig.led(), "{vendor:?}");
        assert_eq!(rig.sessions(), 0);
    }
}

#[tokio::test]
async fn arm_sets_one_network_boot_and_starts_or_restarts() {
    for vendor in Vendor::ALL {
        let rig = rig(vendor);
        bmc::arm(&rig.target, BootMode::Uefi).await.unwrap();
        let once = Some(Override { network: true, once: true });
        assert_eq!(rig.with_machine(|machine| (machine.boot_override(), machine.power())), (once, PowerState::On));
        assert_eq!(rig.resets(), ["On"]);
        bmc::arm(&rig.target, BootMode::Legacy).await.unwrap();
        let restart: &[&str] =
            if vendor == Vendor::Generic { &["On", "ForceOff", "On"] } else { &["On", "ForceRestart"] };
        assert_eq!(rig.resets(), restart, "{vendor:?}");
        assert_eq!(rig.state.lock().unwrap().0.mode(), "Legacy");
        assert_eq!(rig.with_machine(|machine| machine.starts), 2);
        assert_eq!(rig.sessions(), 0);
    }
}

#[tokio::test]
async fn power_cycle_clears_the_override_first() {
    for vendor in Vendor::ALL {
        let rig = rig(vendor);
        rig.with_machine(|machine| {
            machine.step(Time(0), MachineEvent::SetOverride(Some(Override { network: true, once: false })))
        });
        bmc::power_cycle(&rig.target).await.unwrap();
        assert_eq!(rig.with_machine(|machine| (machine.boot_override(), machine.power())), (None, PowerState::On));
        assert_eq!(rig.sessions(), 0);
    }
}

#[tokio::test]
async fn finish_cuts_power_when_nobody_listens_to_the_button() {
    for vendor in Vendor::ALL {
        let rig = rig(vendor);
        rig.with_machine(|machine| machine.step(Time(0), MachineEvent::Power(Power::On)));
        assert_eq!(rig.with_machine(|machine| machine.stage()), Stage::Post);
        assert_eq!(bmc::finish(&rig.target, true).await, Ok(PowerState::Off));
        assert_eq!(rig.resets(), ["GracefulShutdown", "ForceOff"]);
        assert_eq!(bmc::finish(&rig.target, true).await, Ok(PowerState::Off), "already off is fine");
        assert_eq!((rig.resets().len(), rig.sessions()), (2, 0));
    }
}

#[tokio::test]
async fn lost_and_failed_answers_are_transient_and_trying_again_works() {
    let faults = [SimFault::BmcLostAnswer, SimFault::BmcError, SimFault::BmcBusy, SimFault::IgnoresBootOverride];
    for vendor in Vendor::ALL {
        for (seed, fault) in (0..4).flat_map(|seed| faults.map(|fault| (seed, fault))) {
            let rig = rig_with(vendor, FaultPlan::new([fault], 3, seed), |_| None);
            let mut failures = 0;
            while let Err(fault) = bmc::arm(&rig.target, BootMode::Uefi).await {
                assert_eq!(fault.class, FaultClass::Transient, "{fault}");
                assert_eq!(rig.sessions(), 0, "closed after {fault}");
                failures += 1;
                assert!(failures <= 3, "a fault that happens three times at most: {fault}");
            }
            let (set, power) = rig.with_machine(|machine| (machine.boot_override(), machine.power()));
            assert_eq!((set, power), (Some(Override { network: true, once: true }), PowerState::On));
            assert_eq!(rig.sessions(), 0);
        }
    }
}

#[tokio::test]
async fn a_machine_that_cannot_boot_from_the_network_is_a_refusal() {
    let rig = rig_with(Vendor::Hpe, FaultPlan::none(), |request| {
        let boot = json!({ "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Hdd"] });
        (request.path == "/redfish/v1/Systems/1").then(|| said(200, json!({ "Boot": boot }))).flatten()
    });
    assert_fault(bmc::arm(&rig.target, BootMode::Uefi).await, FaultClass::Permanent, "PxeNotSupported");
    assert_eq!((rig.resets().len(), rig.sessions()), (0, 0));
}

#[tokio::test]
async fn a_refused_graceful_shutdown_is_followed_by_the_other_kind() {
    let rig = rig_with(Vendor::Dell, FaultPlan::none(), |request| {
        let graceful = String::from_utf8_lossy(&request.body).contains("GracefulShutdown");
        graceful.then(|| said(400, json!({ "error": { "message": "no ACPI here" } }))).flatten()
    });
    rig.with_machine(|machine| machine.step(Time(0), MachineEvent::Power(Power::On)));
    assert_eq!(bmc::finish(&rig.target, true).await, Ok(PowerState::Off));
    assert_eq!(rig.resets(), ["ForceOff"]);
}

/// A system with this boot override, whose PATCH is answered by `answer`; what is taken goes where it was sent to.
fn stub(
    vendor: Vendor,
    system: &'static str,
    bodies: Vec<(String, Value)>,
    answer: impl Fn(&str, &Value) -> u16 + Send + Sync + 'static,
) -> impl Fn(&Request) -> Option<Response> + Clone + Send + Sync + 'static {
    let state = Arc::new(Mutex::new(bodies));
    let answer = Arc::new(answer);
    move |request: &Request| {
        assert!(system.starts_with(vendor.system_path()));
        let mut state = state.lock().unwrap();
        let (_, body) = state.iter_mut().find(|(path, _)| *path == request.path.trim_end_matches('/'))?;
        match request.method.as_str() {
            "GET" => said(200, body.clone()),
            "PATCH" => {
                let wanted: Value = serde_json::from_slice(&request.body).unwrap();
                let status = answer(&request.path, &wanted["Boot"]);
                if status < 300 {
                    for (name, value) in wanted["Boot"].as_object().unwrap() {
                        body["Boot"][name] = value.clone();
                    }
                }
                let later = json!([{ "MessageId": "iLO.2.37.UnableToModifyDuringSystemPOST" }]);
                let error = json!({ "error": { "@Message.ExtendedInfo": later } });
                said(if status == 499 { 400 } else { status }, if status == 499 { error } else { json!({}) })
            }
            _ => None,
        }
    }
}

fn system(boot: Value) -> Value {
    let reset = json!({ "target": "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset" });
    json!({ "PowerState": "On", "Boot": boot, "Actions": { "#ComputerSystem.Reset": reset } })
}

const DISABLED: [&str; 3] = ["Disabled", "None", "Legacy"];

fn boot([enabled, target, mode]: [&str; 3]) -> Value {
    json!({ "BootSourceOverrideEnabled": enabled, "BootSourceOverrideTarget": target, "BootSourceOverrideMode": mode })
}

const SYSTEM: &str = "/redfish/v1/Systems/1";

/// The boots that were set, by the last part of the path.
fn patched(rig: &crate::rig::bmc_redfish::Rig) -> Vec<(String, Value)> {
    let last = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    rig.asked("PATCH").into_iter().map(|(path, body)| (last(&path), body["Boot"].clone())).collect()
}

#[tokio::test]
async fn the_mode_is_set_together_alone_or_not_at_all() {
    type Takes = fn(&Value) -> bool;
    let cases: [(Takes, &[usize]); 3] = [
        (|_| true, &[3]),
        // Not together.
        (|boot| boot.as_object().unwrap().len() < 3, &[3, 1, 2]),
        // Not at all (an iLO; a Supermicro X10): the boot counts more.
        (|boot| boot.get("BootSourceOverrideMode").is_none(), &[3, 1, 2]),
    ];
    for (takes, sizes) in cases {
        let bodies = vec![(SYSTEM.to_owned(), system(boot(DISABLED)))];
        let answer = move |_: &str, boot: &Value| if takes(boot) { 204 } else { 400 };
        let rig = rig_with(Vendor::Hpe, FaultPlan::none(), stub(Vendor::Hpe, SYSTEM, bodies, answer));
        rig.with_machine(|machine| machine.step(Time(0), MachineEvent::Power(Power::On)));
        bmc::arm(&rig.target, BootMode::Uefi).await.unwrap();
        let found: Vec<_> = patched(&rig).iter().map(|(_, boot)| boot.as_object().unwrap().len()).collect();
        assert_eq!(found, sizes);
        assert_eq!(rig.resets(), ["ForceRestart"]);
    }
}

#[tokio::test]
async fn an_override_lies_in_the_settings_where_the_system_is_read_only() {
    // As an iDRAC10, which names its settings object; and as some of AMI's, which do not.
    let mut named = system(boot(DISABLED));
    named["@Redfish.Settings"] = json!({ "SettingsObject": { "@odata.id": format!("{SYSTEM}/Settings") } });
    let mut ami = system(boot(DISABLED));
    ami["Manufacturer"] = json!("ASRockRack");
    for (body, place, vendor, attempts) in
        [(named, "Settings", Vendor::Hpe, &["Settings"] as &[&str]), (ami, "SD", Vendor::Hpe, &["1", "1", "1", "SD"])]
    {
        let bodies = vec![(SYSTEM.to_owned(), body), (format!("{SYSTEM}/{place}"), json!({ "Boot": boot(DISABLED) }))];
        let answer = |path: &str, _: &Value| if path == SYSTEM { 400 } else { 204 };
        let rig = rig_with(vendor, FaultPlan::none(), stub(vendor, SYSTEM, bodies, answer));
        rig.with_machine(|machine| machine.step(Time(0), MachineEvent::Power(Power::On)));
        bmc::arm(&rig.target, BootMode::Uefi).await.unwrap();
        let (places, boots): (Vec<_>, Vec<_>) = patched(&rig).into_iter().unzip();
        assert_eq!(places, attempts);
        assert_eq!(boots.last(), Some(&boot(["Once", "Pxe", "UEFI"])));
        assert_eq!(rig.resets(), ["ForceRestart"]);
    }
}

#[tokio::test]
async fn not_during_the_self_test_is_not_never() {
    let bodies = vec![(SYSTEM.to_owned(), system(boot(DISABLED)))];
    let rig = rig_with(Vendor::Hpe, FaultPlan::none(), stub(Vendor::Hpe, SYSTEM, bodies, |_, _| 499));
    assert_fault(bmc::arm(&rig.target, BootMode::Uefi).await, FaultClass::Transient, "BmcBusy");
    assert_eq!((patched(&rig).len(), rig.resets().len(), rig.sessions()), (1, 0, 0));
}

#[tokio::test]
async fn some_want_everything_said_each_time() {
    let set = boot(["Once", "Pxe", "UEFI"]);
    for (vendor, wanted) in [(Vendor::Hpe, 0), (Vendor::Supermicro, 1)] {
        let bodies = vec![(SYSTEM.to_owned(), system(set.clone()))];
        let rig = rig_with(vendor, FaultPlan::none(), stub(vendor, SYSTEM, bodies, |_, _| 204));
        rig.with_machine(|machine| machine.step(Time(0), MachineEvent::Power(Power::On)));
        bmc::arm(&rig.target, BootMode::AsIs).await.unwrap();
        assert_eq!(patched(&rig), vec![("1".to_owned(), set.clone()); wanted], "{vendor:?}");
    }
}

#[tokio::test]
async fn an_override_is_taken_back_in_the_words_a_service_takes() {
    let bodies = vec![(SYSTEM.to_owned(), system(boot(["Continuous", "Pxe", "UEFI"])))];
    let answer = |_: &str, boot: &Value| if boot["BootSourceOverrideTarget"] == "None" { 400 } else { 200 };
    let rig = rig_with(Vendor::Hpe, FaultPlan::none(), stub(Vendor::Hpe, SYSTEM, bodies, answer));
    rig.with_machine(|machine| machine.step(Time(0), MachineEvent::Power(Power::On)));
    bmc::power_cycle(&rig.target).await.unwrap();
    assert_eq!(patched(&rig).last().unwrap().1, json!({ "BootSourceOverrideEnabled": "Disabled" }));
}

#[tokio::test]
async fn http_boot_is_asked_for_where_the_service_has_it() {
    let arm = Order::Arm { network_boot: NetworkBoot::Http, mode: BootMode::AsIs };
    for vendor in [Vendor::Hpe, Vendor::Lenovo] {
        let rig = rig(vendor);
        assert_eq!(once(&rig.target, &arm).await, Ok(Outcome::Armed), "{vendor:?}");
        assert_eq!(rig.with_machine(|machine| machine.boot_override()), ONCE);
        assert_eq!(rig.state.lock().unwrap().0.http_boot(), Some(""), "the firmware asks DHCP for the URL");
    }
    let rig = rig(Vendor::Dell);
    let fault = assert_fault(once(&rig.target, &arm).await, FaultClass::Permanent, "PxeNotSupported");
    assert!(fault.message.contains("bmc.network_boot: pxe"), "{fault}");
}

#[tokio::test]
async fn an_old_service_is_told_in_its_own_words() {
    let rig = rig(Vendor::OldHp);
    bmc::arm(&rig.target, BootMode::Uefi).await.unwrap();
    assert_eq!(rig.with_machine(|machine| (machine.boot_override(), machine.power())), (ONCE, PowerState::On));
    assert_eq!(patched(&rig).len(), 1, "without a mode, which it does not have");
    assert_eq!(bmc::finish(&rig.target, true).await, Ok(PowerState::Off));
    assert_eq!(rig.resets(), ["On", "PushPowerButton", "ForceOff"]);
}

#[tokio::test]
async fn a_machine_with_nothing_but_a_button_is_started_by_it() {
    let mut with = config(Vendor::Generic);
    with.reset_types = &["PushPowerButton"];
    let rig = rig_of(with, FaultPlan::none(), |_| None);
    bmc::arm(&rig.target, BootMode::AsIs).await.unwrap();
    assert_eq!(rig.with_machine(|machine| machine.power()), PowerState::On);
    // In its self test it does not listen, and nothing stronger is on offer.
    assert_fault(bmc::finish(&rig.target, true).await, FaultClass::Transient, "PowerStateNotReached");
    assert_eq!((rig.resets(), rig.sessions()), (vec!["PushPowerButton".to_owned(); 2], 0));
}

#[tokio::test]
async fn a_change_that_becomes_a_task_is_followed_to_its_end() {
    for (state, fails) in [("Completed", false), ("Exception", true)] {
        let rig = rig_with(Vendor::Dell, FaultPlan::none(), move |request| match request.path.as_str() {
            "/redfish/v1/TaskService/Tasks/7" => {
                said(200, json!({ "TaskState": state, "Messages": [{ "Message": "no lamp" }] }))
            }
            "/redfish/v1/Systems/System.Embedded.1" if request.method == "PATCH" => {
                let headers = vec![("Location", "/redfish/v1/TaskService/Tasks/7".to_owned())];
                Some(Response { status: 202, headers, body: None })
            }
            _ => None,
        });
        let result = bmc::arm(&rig.target, BootMode::Uefi).await;
        let reason = if fails { "BmcTaskFailed" } else { "BootOverrideNotKept" };
        let fault = assert_fault(result, FaultClass::Transient, reason);
        assert_eq!(fault.message.contains("no lamp"), fails, "{fault}");
        assert_eq!(rig.resets().len() + rig.sessions(), 0);
    }
}
