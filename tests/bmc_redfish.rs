//! The Redfish driver against simulated services of several vendors, over real TLS on loopback.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rackwright::drive::bmc::{BODY_CAP, Target, Tls};
use rackwright::model::{BootMode, Fault, FaultClass, Mac, PowerState, Secret, Time};
use rackwright::sim::bmc::{Bmc, BmcConfig, Request, Response};
use rackwright::sim::fault::{Fault as SimFault, FaultPlan};
use rackwright::sim::https::{self, Identity, Stop};
use rackwright::sim::machine::{
    BootOrder, Firmware, Machine, MachineConfig, MachineEvent, Override, Power, Stage, Timings,
};
use rackwright::sim::tree::Vendor;
use serde_json::json;

use crate::bmc_rig::{self as bmc, PASSWORD, target};

const BOOT_MAC: Mac = Mac([0x52, 0x54, 0, 0xaa, 0xbb, 0x11]);

struct Rig {
    state: Arc<Mutex<(Bmc, Machine)>>,
    target: Target,
    identity: Identity,
    _stop: Stop,
    server: tokio::task::JoinSet<()>,
}

fn machine(faults: FaultPlan) -> Machine {
    Machine::new(MachineConfig {
        name: "hv1".into(),
        bmc_mac: Some(Mac([0x52, 0x54, 0, 0xaa, 0xbb, 1])),
        boot_mac: BOOT_MAC,
        firmware: Firmware::Uefi,
        order: BootOrder::DiskFirst,
        loads_ipxe: false,
        timings: Timings::real(),
        faults,
    })
}

/// A service that answers from a simulated BMC, unless `instead` has an answer of its own.
fn rig_with(
    vendor: Vendor,
    faults: FaultPlan,
    instead: impl Fn(&Request) -> Option<Response> + Clone + Send + Sync + 'static,
) -> Rig {
    let bmc = Bmc::new(BmcConfig::new(vendor, "root", Secret::new(PASSWORD)));
    let state = Arc::new(Mutex::new((bmc, machine(faults))));
    let identity = Identity::generate("bmc").unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let shared = state.clone();
    let answer = move |request: Request| {
        let (shared, instead) = (shared.clone(), instead.clone());
        async move {
            if let Some(response) = instead(&request) {
                return (Duration::ZERO, Some(response));
            }
            let mut guard = shared.lock().unwrap();
            let (bmc, machine) = &mut *guard;
            let answer = bmc.handle(machine, Time(0), &request);
            (answer.delay, answer.response)
        }
    };
    let (stop, serving) = https::serve(socket, &identity, answer).unwrap();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move { serving.await.unwrap() });
    Rig { state, target: target(port), identity, _stop: stop, server }
}

fn rig(vendor: Vendor) -> Rig {
    rig_with(vendor, FaultPlan::none(), |_| None)
}

impl Rig {
    fn sessions(&self) -> usize {
        self.state.lock().unwrap().0.open_sessions()
    }
    fn logins(&self) -> u32 {
        self.state.lock().unwrap().0.logins
    }
    fn led(&self) -> bool {
        self.state.lock().unwrap().0.led_on()
    }
    fn resets(&self) -> Vec<String> {
        self.state.lock().unwrap().0.resets.clone()
    }
    fn with_machine<T>(&self, look: impl FnOnce(&mut Machine) -> T) -> T {
        look(&mut self.state.lock().unwrap().1)
    }
}

fn said(status: u16, body: serde_json::Value) -> Option<Response> {
    Some(Response { status, headers: Vec::new(), body: Some(body) })
}

#[track_caller]
fn assert_fault<T: std::fmt::Debug>(result: Result<T, Fault>, class: FaultClass, reason: &str) -> Fault {
    let fault = result.unwrap_err();
    assert_eq!((fault.class, fault.reason.as_str()), (class, reason), "{fault}");
    assert!(!fault.message.contains(PASSWORD), "{fault}");
    fault
}

#[tokio::test]
async fn probe_reads_every_vendors_shape() {
    for vendor in Vendor::ALL {
        let rig = rig(vendor);
        let (inventory, pin) = bmc::probe(&rig.target, None).await.unwrap();
        assert_eq!(inventory.boot_mac, Some(BOOT_MAC), "{vendor:?}");
        assert_eq!(inventory.serial.as_deref(), Some("525400AABB11"));
        assert_eq!(inventory.sku.is_none(), vendor == Vendor::Generic);
        assert_eq!(inventory.bmc_version.as_deref(), Some("6.00.30.00"));
        assert_eq!(inventory.power, Some(PowerState::Off));
        assert!(
            inventory.nics.iter().all(|nic| !nic.name.contains("ToManager") && !nic.mac.is_zero()),
            "{inventory:?}"
        );
        assert_eq!(pin, Some(rig.identity.fingerprint()));
        assert_eq!((rig.sessions(), rig.logins()), (0, 1), "{vendor:?}");
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
async fn a_wrong_password_is_tried_exactly_once() {
    let mut rig = rig(Vendor::Dell);
    rig.target.password = Secret::new("wrong");
    for attempt in 1..=2 {
        let fault = assert_fault(bmc::probe(&rig.target, None).await, FaultClass::Operator, "AuthenticationFailed");
        assert!(fault.message.contains("cluster1/hv1") && !fault.message.contains("wrong"));
        assert_eq!((rig.logins(), rig.sessions()), (attempt, 0));
    }
}

#[tokio::test]
async fn a_changed_certificate_gets_no_credentials() {
    let mut rig = rig(Vendor::Hpe);
    let right = rig.identity.fingerprint();
    rig.target.tls = Tls::Pin(Some(right.to_uppercase()));
    bmc::probe(&rig.target, None).await.unwrap();
    let other = "0".repeat(64);
    rig.target.tls = Tls::Pin(Some(other.clone()));
    let fault = assert_fault(bmc::probe(&rig.target, None).await, FaultClass::Operator, "CertificateChanged");
    assert!(fault.message.contains(&right) && fault.message.contains(&other), "{fault}");
    assert_eq!(rig.logins(), 1);
}

#[tokio::test]
async fn a_certificate_authority_must_have_signed_for_the_address() {
    let mut rig = rig(Vendor::Hpe);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    rig.target.tls = Tls::Ca(path.clone());
    assert_fault(bmc::probe(&rig.target, None).await, FaultClass::Operator, "BadCertificateAuthority");
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&path, made.cert.pem()).unwrap();
    assert_fault(bmc::probe(&rig.target, None).await, FaultClass::Permanent, "TlsFailed");
    assert_eq!(rig.logins(), 0);
    rig.target.tls = Tls::Insecure;
    bmc::probe(&rig.target, None).await.unwrap();
}

#[tokio::test]
async fn nobody_there_and_no_tls_there() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    assert_fault(bmc::probe(&target(port), None).await, FaultClass::Transient, "Unreachable");

    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = target(plain.local_addr().unwrap().port());
    let talk = async {
        let (mut peer, _) = plain.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut peer, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut peer, &mut rest).await;
    };
    let (result, ()) = tokio::join!(bmc::probe(&at, None), talk);
    assert_fault(result, FaultClass::Permanent, "TlsFailed");
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
async fn a_full_session_table_is_transient() {
    let rig = rig(Vendor::Supermicro);
    for _ in 0..6 {
        let body = json!({ "UserName": "root", "Password": PASSWORD }).to_string().into_bytes();
        let path = "/redfish/v1/SessionService/Sessions".to_owned();
        let request = Request { method: "POST".into(), path, body, ..Request::default() };
        let mut guard = rig.state.lock().unwrap();
        let (bmc, machine) = &mut *guard;
        assert_eq!(bmc.handle(machine, Time(0), &request).response.unwrap().status, 201);
    }
    assert_fault(bmc::probe(&rig.target, None).await, FaultClass::Transient, "BmcError");
    assert_eq!(rig.sessions(), 6);
}

#[tokio::test]
async fn without_a_session_service_credentials_go_with_each_request() {
    let rig = rig_with(Vendor::Hpe, FaultPlan::none(), |request| {
        (request.path.contains("SessionService")).then(|| said(404, json!({}))).flatten()
    });
    let (inventory, _) = bmc::probe(&rig.target, None).await.unwrap();
    assert_eq!(inventory.boot_mac, Some(BOOT_MAC));
    assert_eq!(rig.sessions(), 0);
}

#[tokio::test]
async fn sessions_are_closed_when_the_action_fails_or_hangs() {
    let mut refused = rig_with(Vendor::Dell, FaultPlan::none(), |request| {
        (request.path == "/redfish/v1/Systems").then(|| said(404, json!({}))).flatten()
    });
    assert_fault(bmc::arm(&refused.target, BootMode::Uefi).await, FaultClass::Permanent, "BmcRefused");
    assert_eq!(refused.sessions(), 0);

    refused = rig_with(Vendor::Dell, FaultPlan::none(), |request| {
        let off = json!({ "Members": [{ "@odata.id": "/redfish/v1/Systems/stuck" }] });
        let stuck = json!({ "PowerState": "PoweringOn", "Boot": {
            "BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe" } });
        match request.path.as_str() {
            "/redfish/v1/Systems" => said(200, off),
            "/redfish/v1/Systems/stuck" => said(200, stuck),
            _ => None,
        }
    });
    assert_fault(bmc::arm(&refused.target, BootMode::Uefi).await, FaultClass::Permanent, "ResetNotSupported");
    assert_eq!(refused.sessions(), 0);
    refused.target.patience.action = Duration::from_millis(1);
    assert_fault(bmc::finish(&refused.target, true).await, FaultClass::Transient, "BmcTooSlow");
    assert_eq!(refused.sessions(), 0);
    refused.server.abort_all();
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
        let body = json!({ "Members": "x".repeat(BODY_CAP) });
        (request.path == "/redfish/v1/Systems").then(|| said(200, body)).flatten()
    });
    assert_fault(bmc::probe(&huge.target, None).await, FaultClass::Permanent, "BmcNonsense");
    assert_eq!((away.sessions(), huge.sessions()), (0, 0));

    let nulls = rig_with(Vendor::Dell, FaultPlan::none(), |request| {
        let nulls = json!({ "SKU": null, "Status": null, "PowerState": null, "EthernetInterfaces": null });
        (request.path.contains("System.Embedded.1")).then(|| said(200, nulls)).flatten()
    });
    let (inventory, _) = bmc::probe(&nulls.target, None).await.unwrap();
    assert_eq!((inventory.sku, inventory.power, inventory.boot_mac), (None, Some(PowerState::Unknown), None));
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

/// Trees recorded from real services: one `index.json` per resource under `<dir>/<vendor>/redfish/v1/…`.
#[tokio::test]
async fn recorded_trees_are_understood() {
    let Some(dir) = std::env::var_os("RACKWRIGHT_REDFISH_TREES").map(std::path::PathBuf::from) else {
        eprintln!("skipped: RACKWRIGHT_REDFISH_TREES names no directory with recorded trees");
        return;
    };
    for vendor in std::fs::read_dir(&dir).unwrap() {
        let tree = vendor.unwrap().path();
        let name = tree.display().to_string();
        let rig = rig_with(Vendor::Dell, FaultPlan::none(), move |request| {
            if request.path.contains("SessionService") {
                return None;
            }
            if request.method != "GET" {
                return Some(Response { status: 204, headers: Vec::new(), body: None });
            }
            let file = tree.join(request.path.trim_matches('/')).join("index.json");
            match std::fs::read(file) {
                Ok(bytes) => said(200, serde_json::from_slice(&bytes).unwrap()),
                Err(_) => said(404, json!({})),
            }
        });
        let (inventory, _) = bmc::probe(&rig.target, None).await.unwrap();
        assert!(inventory.serial.is_some() && inventory.model.is_some() && inventory.bmc_version.is_some(), "{name}");
        assert!(inventory.boot_mac.is_some() && !inventory.nics.is_empty(), "{name}: {inventory:?}");
        bmc::prepare(&rig.target).await.unwrap();
        // Nothing changes in a recording, so what was set does not read back.
        assert_fault(bmc::arm(&rig.target, BootMode::Uefi).await, FaultClass::Transient, "BootOverrideNotKept");
        bmc::power_cycle(&rig.target).await.unwrap();
        assert_eq!(rig.sessions(), 0);
    }
}

#[tokio::test]
async fn a_root_that_wants_credentials_gets_them() {
    let rig = rig_with(Vendor::Hpe, FaultPlan::none(), |request| {
        let open = request.path.trim_end_matches('/') != "/redfish/v1" || request.headers.contains_key("x-auth-token");
        (!open).then(|| said(401, json!({}))).flatten()
    });
    let (inventory, _) = bmc::probe(&rig.target, None).await.unwrap();
    assert_eq!((inventory.boot_mac, rig.sessions(), rig.logins()), (Some(BOOT_MAC), 0, 1));
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
