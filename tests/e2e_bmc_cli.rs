//! `rackwright bmc`, from outside: a real daemon at work, simulated BMCs, and a person at the command line.

use std::process::Output;

use rackwright::model::PowerState;
use rackwright::sim::rack::MachineView;
use serde_json::Value;

use crate::e2e_rig::{Rig, program};

/// What a run of the program gave.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

async fn bmc(rig: &Rig, args: &[&str]) -> Said {
    let config = rig.stage.dir.join("rackwright.yaml");
    let output: Output =
        program().arg("bmc").args(args).arg("--config").arg(config).env_remove("RUST_LOG").output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

const HOST: &str = "cluster1/hv1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_looks_and_switches_while_the_daemon_runs() {
    let rig = Rig::completed(2).await;

    let said = bmc(&rig, &["hv1", "info"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    for part in ["cluster1/hv1 by Redfish at 127.", "serial", "boots from here", "power"] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    let look = bmc(&rig, &["hv1", "info", "--format", "json"]).await.json();
    let boot_mac = look["inventory"]["boot_mac"].as_str().unwrap();
    assert_eq!(
        Some(boot_mac),
        rig.desired().hosts[&HOST.parse().unwrap()].boot_mac.map(|it| it.to_string()).as_deref()
    );

    let said = bmc(&rig, &["--all", "diag"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.out.contains("2 of 2 BMCs answered and let us in."), "{}", said.out);
    assert_eq!(said.out.matches(" pinned ").count(), 2, "{}", said.out);
    assert_eq!(said.out.matches(" matches ").count(), 2, "{}", said.out);
    assert_eq!(
        bmc(&rig, &["--cluster", "cluster1", "diag", "--format", "json"]).await.json().as_array().unwrap().len(),
        2
    );

    let power = async |word: &str| bmc(&rig, &[HOST, "power", word]).await;
    assert!(power("on").await.out.contains("power is on"));
    let refused = power("off").await;
    assert_eq!(refused.code, Some(2), "nobody agreed: {}", refused.out);
    assert!(refused.err.contains("--yes"), "{}", refused.err);
    assert!(power("status").await.out.contains("power is on"), "what nobody agreed to is not done");
    assert!(bmc(&rig, &[HOST, "power", "off", "--yes"]).await.out.contains("power is off"));
    assert_eq!(rig.machine(HOST).power, PowerState::Off);
    let said = bmc(&rig, &[HOST, "power", "reset", "--yes"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("MachineIsOff"), "{}", said.err);

    let said = bmc(&rig, &["hv1", "boot", "pxe"]).await;
    assert!(said.out.contains("Pxe once"), "{}{}", said.out, said.err);
    assert_eq!(bmc(&rig, &["hv1", "info", "--format", "json"]).await.json()["boot"]["target"], "Pxe");
    assert!(bmc(&rig, &["hv1", "boot", "none"]).await.out.contains("boots as its firmware says"));

    let none_left = |machines: &[MachineView]| machines.iter().all(|view| view.sessions == 0);
    rig.rack().wait_until(none_left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_bmc_is_told_with_what_to_do() {
    let mut rig = Rig::completed(1).await;
    // The account in the repository is no longer the BMC's.
    rig.edit("password: simulated", "password: another");
    rig.push("Change the password").await;
    let revision = rig.stage.git(&rig.stage.repository(), &["rev-parse", "main"]).await.unwrap();
    rig.until("the revision is in force", async || {
        let clusters = rig.api("clusters").await;
        clusters[0]["revision"] == revision.trim()
    })
    .await;
    let said = bmc(&rig, &["hv1", "diag"]).await;
    assert_eq!(said.code, Some(1), "{}", said.out);
    for part in ["REFUSED", "AuthenticationFailed", "What you can do: correct bmc.username"] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    assert!(!said.out.contains("another") && !said.err.contains("another"), "{}{}", said.out, said.err);

    let said = bmc(&rig, &["--all", "info"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("name a host"), "{}", said.err);
    let said = bmc(&rig, &["hv9", "diag"]).await;
    assert!(said.err.contains("did you mean `hv1`"), "{}", said.err);
}
