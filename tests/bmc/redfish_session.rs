//! Logging in and out by Redfish, TLS, and what a service's refusals come to.

use std::net::TcpListener;
use std::time::Duration;

use rackwright::drive::bmc::Tls;
use rackwright::drive::bmc::redfish::Session;
use rackwright::model::{BootMode, FaultClass, Secret, Time};
use rackwright::sim::bmc::{Request, Response};
use rackwright::sim::fault::FaultPlan;
use rackwright::sim::tree::Vendor;
use serde_json::json;

use crate::rig::bmc::{self, PASSWORD, target};
use crate::rig::bmc_redfish::{BOOT_MAC, assert_fault, rig, rig_with, said};

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
    assert_fault(bmc::probe(&target(port), None).await, FaultClass::Transient, "ConnectionRefused");

    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = target(plain.local_addr().unwrap().port());
    let talk = async {
        let (mut peer, _) = plain.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut peer, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut peer, &mut rest).await;
    };
    let (result, ()) = tokio::join!(bmc::probe(&at, None), talk);
    assert_fault(result, FaultClass::Permanent, "NoTls");
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
    assert_fault(bmc::probe(&rig.target, None).await, FaultClass::Transient, "TooManySessions");
    assert_eq!(rig.sessions(), 6);
}

#[tokio::test]
async fn without_a_session_service_credentials_go_with_each_request() {
    let rig = rig_with(Vendor::Hpe, FaultPlan::none(), |request| {
        (request.path.contains("SessionService")).then(|| said(404, json!({}))).flatten()
    });
    let (inventory, _) = bmc::probe(&rig.target, None).await.unwrap();
    assert!(inventory.nic(BOOT_MAC).is_some());
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
    refused.target.timeouts.action = Duration::from_millis(1);
    assert_fault(bmc::finish(&refused.target, true).await, FaultClass::Transient, "BmcTooSlow");
    assert_eq!(refused.sessions(), 0);
    refused.server.abort_all();
}

#[tokio::test]
async fn a_root_that_wants_credentials_gets_them() {
    let rig = rig_with(Vendor::Hpe, FaultPlan::none(), |request| {
        let open = request.path.trim_end_matches('/') != "/redfish/v1" || request.headers.contains_key("x-auth-token");
        (!open).then(|| said(401, json!({}))).flatten()
    });
    let (inventory, _) = bmc::probe(&rig.target, None).await.unwrap();
    assert!(inventory.nic(BOOT_MAC).is_some());
    assert_eq!((rig.sessions(), rig.logins()), (0, 1));
}

#[tokio::test]
async fn a_bmc_whose_tls_is_too_old_is_told_from_one_that_has_none() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = target(listener.local_addr().unwrap().port());
    let talk = async {
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut hello = [0; 64];
        let _ = tokio::io::AsyncReadExt::read(&mut peer, &mut hello).await.unwrap();
        // A TLS 1.0 record with the fatal alert `handshake_failure` (RFC 2246 section 7.2).
        tokio::io::AsyncWriteExt::write_all(&mut peer, &[0x15, 3, 1, 0, 2, 2, 40]).await.unwrap();
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut peer, &mut rest).await;
    };
    let (result, ()) = tokio::join!(bmc::probe(&at, None), talk);
    let fault = assert_fault(result, FaultClass::Permanent, "TlsTooOld");
    assert!(fault.message.contains("firmware") && fault.message.contains("bmc.protocol: ipmi"), "{fault}");
}

#[tokio::test]
async fn a_full_table_is_known_by_its_message_and_says_when_it_empties() {
    for (status, id) in [(503, "IDRAC.2.4.RAC0218"), (400, "Base.1.8.SessionLimitExceeded")] {
        let rig = rig_with(Vendor::Dell, FaultPlan::none(), move |request| {
            let info = json!({ "error": { "@Message.ExtendedInfo": [{ "MessageId": id }] } });
            (request.path.ends_with("/Sessions")).then(|| said(status, info)).flatten()
        });
        let fault = assert_fault(bmc::probe(&rig.target, None).await, FaultClass::Transient, "TooManySessions");
        assert!(fault.message.contains("30 minutes"), "{fault}");
    }
}

#[tokio::test]
async fn a_session_that_is_forgotten_and_a_missing_privilege_are_no_wrong_passwords() {
    for (status, class, reason) in
        [(401, FaultClass::Transient, "SessionLost"), (403, FaultClass::Permanent, "Forbidden")]
    {
        let rig = rig_with(Vendor::Dell, FaultPlan::none(), move |request| {
            let reset = request.path.ends_with("ComputerSystem.Reset");
            reset.then(|| said(status, json!({}))).flatten()
        });
        let fault = bmc::power_cycle(&rig.target).await;
        assert_fault(fault, class, reason);
        let refused = rig_with(Vendor::Dell, FaultPlan::none(), move |request| {
            (request.path.ends_with("System.Embedded.1")).then(|| said(status, json!({}))).flatten()
        });
        assert_fault(bmc::arm(&refused.target, BootMode::Uefi).await, class, reason);
    }
}

#[tokio::test]
async fn redirects_to_the_same_place_are_followed_once() {
    let to = |path: String, status| Some(Response { status, headers: vec![("Location", path)], body: None });
    // As an old Supermicro, which wants a slash at the end, and an iLO 4, which wants one at its root.
    let rig = rig_with(Vendor::Supermicro, FaultPlan::none(), move |request| {
        let wants = matches!(request.path.as_str(), "/redfish/v1/SessionService/Sessions" | "/redfish/v1/Systems");
        wants.then(|| to(format!("{}/", request.path), 308)).flatten()
    });
    bmc::probe(&rig.target, None).await.unwrap();
    assert_eq!((rig.sessions(), rig.logins()), (0, 1));

    let port = |url: &'static str| {
        rig_with(Vendor::Dell, FaultPlan::none(), move |request| {
            (request.path == "/redfish/v1/Systems").then(|| to(url.to_owned(), 301)).flatten()
        })
    };
    for elsewhere in
        ["https://127.0.0.1:8443/redfish/v1/Systems/", "//other.example.net/redfish/v1/Systems/", "/login.html"]
    {
        let rig = port(elsewhere);
        assert_fault(bmc::probe(&rig.target, None).await, FaultClass::Permanent, "BmcRefused");
        assert_eq!(rig.sessions(), 0);
    }
    let circle = rig_with(Vendor::Dell, FaultPlan::none(), move |request| {
        let other = if request.path.ends_with('/') { "/redfish/v1/Systems" } else { "/redfish/v1/Systems/" };
        (request.path.trim_end_matches('/') == "/redfish/v1/Systems").then(|| to(other.to_owned(), 301)).flatten()
    });
    assert_fault(bmc::probe(&circle.target, None).await, FaultClass::Permanent, "BmcRefused");
    assert_eq!(circle.asked("GET").iter().filter(|(path, _)| path.contains("Systems")).count(), 2);
}

#[tokio::test]
async fn a_session_left_behind_is_closed_without_opening_another() {
    let rig = rig(Vendor::Dell);
    let left = Session::open(rig.target.clone()).await.unwrap().uri().unwrap().to_owned();
    assert_eq!(rig.sessions(), 1, "whoever opened it is gone");
    let mut wrong = rig.target.clone();
    wrong.password = Secret::new("wrong");
    let fault = Session::end_by_password(wrong, &left).await;
    assert_fault(fault, FaultClass::Operator, "AuthenticationFailed");
    assert_eq!(Session::end_by_password(rig.target.clone(), &left).await, Ok(true));
    assert_eq!(rig.sessions(), 0);
    assert_eq!(Session::end_by_password(rig.target.clone(), &left).await, Ok(true), "gone is fine");

    // Without Basic authentication nothing was judged, and the way is a new session.
    let token_only = self::rig(Vendor::Lenovo);
    let left = Session::open(token_only.target.clone()).await.unwrap().uri().unwrap().to_owned();
    assert_eq!(Session::end_by_password(token_only.target.clone(), &left).await, Ok(false));
    let session = Session::open(token_only.target.clone()).await.unwrap();
    session.end(&left).await.unwrap();
    session.close().await;
    assert_eq!((token_only.sessions(), token_only.logins()), (0, 2));
}
