//! Check-ins as they really arrive: upper case, fields empty, headers missing, tokens wrong, late or old.

use std::net::Ipv4Addr;

use rackwright::model::{Generation, HostState};
use serde_json::{Value, json};

use crate::e2e::http::{self, Reply};
use crate::rig::e2e::{Rig, hasty};

const JSON: &str = "Content-Type: application/json\r\n";

/// What pvc-installer and the system it installs would say of hv1.
fn report(rig: &Rig, action: &str) -> Value {
    let machine = rig.machine("cluster1/hv1");
    json!({
        "action": action,
        "hostname": "hv1.cluster1.example.net",
        "host_macaddr": "52:54:00:bb:00:01",
        "host_ipaddr": machine.ip.unwrap(),
        "bmc_macaddr": "52:54:00:aa:00:01",
        "bmc_ipaddr": machine.bmc_ip.unwrap(),
    })
}

fn with(mut report: Value, field: &str, value: &str) -> Value {
    report[field] = value.into();
    report
}

fn address(rig: &Rig) -> Ipv4Addr {
    rig.machine("cluster1/hv1").ip.unwrap()
}

async fn post(rig: &Rig, token: &str, headers: &str, body: &str) -> Reply {
    let path = if token.is_empty() { "/checkin/host".into() } else { format!("/checkin/host/{token}") };
    http::post(address(rig), rig.http(), &path, headers, body).await
}

/// Sends a check-in as curl would; gives code and message.
async fn check_in(rig: &Rig, token: &str, body: &Value) -> (u16, String) {
    post(rig, token, JSON, &body.to_string()).await.message()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_check_ins_are_read_kindly_and_believed_only_with_the_newest_token() {
    let mut rig = Rig::new(1).await;
    rig.edit("ansible: none }", "ansible: none, on_complete: none }");
    rig.start(&["--first-run"]).await;
    rig.machines(hasty(), |_| {}).await;
    rig.push("Define the cluster").await;
    rig.until_completed().await;
    let token = rig.machine("cluster1/hv1").wipes[0].clone().expect("a token");

    kindly(&rig, &token).await;
    nonsense(&rig, &token).await;
    // A token that is none of ours, one that nobody was given, and none where one is needed.
    let complete = report(&rig, "install-complete");
    for wrong in ["nonsense", "0123456789abcdef0123456789abcdef", "%00%ff", ""] {
        let (code, why) = check_in(&rig, wrong, &complete).await;
        assert!(code == 409 && why.contains("token"), "{wrong:?}: {code} {why}");
    }
    // A machine that reports for another's address is not believed without a token.
    let boot = report(&rig, "system-boot_initial").to_string();
    let elsewhere = http::post(rig.stage.sink(), rig.http(), "/checkin/host", JSON, &boot).await;
    assert_eq!(elsewhere.message().0, 409);

    let installed = rig.status().unwrap().the("cluster1/hv1").installed;
    rig.edit("node: { hostname: hv1 }", "node: { hostname: hv1, generation: 2 }");
    rig.push("Reinstall").await;
    let status = rig.until_completed().await;
    let newest = rig.machine("cluster1/hv1").wipes[1].clone().expect("a token");
    let now = status.the("cluster1/hv1").installed;
    assert_ne!(now, installed);
    for action in ["install-start", "install-complete", "system-boot_initial"] {
        let (code, why) = check_in(&rig, &token, &report(&rig, action)).await;
        assert!(code == 409 && why.contains("newest"), "the superseded token, {action}: {code} {why}");
        assert_eq!(check_in(&rig, &newest, &report(&rig, action)).await.0, 200, "{action}");
    }
    assert_eq!(rig.wipes(), [2]);
    let host = rig.status().unwrap().the("cluster1/hv1");
    assert_eq!((&host.installed, host.generation.installed), (&now, Some(Generation(2))));
    assert_eq!(host.state, HostState::Completed);
    assert!(!format!("{host:?}").contains(&newest));
    rig.check_history().await;
}

/// Everything here is a good check-in in bad clothes, and changes nothing that is known already.
async fn kindly(rig: &Rig, token: &str) {
    let boot = report(rig, "system-boot_initial");
    let before = rig.status();
    let upper = with(boot.clone(), "host_macaddr", "52:54:00:BB:00:01");
    let good = [
        boot.clone(),
        with(upper.clone(), "bmc_macaddr", "52:54:00:AA:00:01"),
        with(boot.clone(), "bmc_macaddr", ""),
        with(with(boot.clone(), "bmc_macaddr", ""), "bmc_ipaddr", ""),
        with(boot.clone(), "hostname", "hv1"),
        json!({ "action": "system-boot_initial" }),
    ];
    for body in &good {
        for token in [token, ""] {
            assert_eq!(check_in(rig, token, body).await.0, 200, "{body} with token {token:?}");
        }
        assert_eq!(post(rig, token, "", &body.to_string()).await.message().0, 200, "no Content-Type: {body}");
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        assert_eq!(post(rig, token, form, &body.to_string()).await.message().0, 200, "a form, says curl -d: {body}");
    }
    // Replayed while it is still the newest: heard, and nothing comes of it.
    for _ in 0..3 {
        assert_eq!(check_in(rig, token, &report(rig, "install-complete")).await.0, 200);
    }
    assert_eq!(rig.status(), before, "a repeated check-in changes nothing");
}

/// What cannot be understood is answered with 400 and a sentence, and never believed.
async fn nonsense(rig: &Rig, token: &str) {
    let boot = report(rig, "system-boot_initial");
    let bad = [
        String::new(),
        "{".into(),
        "[]".into(),
        "null".into(),
        "action=install-complete".into(),
        "{}".into(),
        with(boot.clone(), "action", "make-coffee").to_string(),
        with(boot.clone(), "host_macaddr", "52:54:00:bb:00").to_string(),
        with(boot.clone(), "host_macaddr", "01:00:5e:00:00:01").to_string(),
        with(boot.clone(), "host_ipaddr", "ten dot one").to_string(),
        json!({ "action": 7 }).to_string(),
    ];
    for body in &bad {
        for token in [token, "", "nonsense"] {
            let (code, why) = post(rig, token, JSON, body).await.message();
            assert!(code == 400 && !why.is_empty(), "{body:?} with token {token:?}: {code} {why}");
        }
    }
    let huge = post(rig, token, JSON, &" ".repeat(100_000)).await.message();
    assert_eq!(huge.0, 413);
}
