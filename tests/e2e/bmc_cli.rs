//! `rackwright bmc`, from outside: a real daemon at work, simulated BMCs, and a person at the command line.

use std::process::{Output, Stdio};
use std::time::Duration;

use rackwright::drive::bmc::BmcLock;
use rackwright::model::PowerState;
use rackwright::settings;
use rackwright::sim::rack::MachineView;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::rig::e2e::{Rig, program};

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

/// The same at a terminal, where somebody types `answer`.
async fn at_a_terminal(rig: &Rig, answer: &str, args: &[&str]) -> Said {
    let config = rig.stage.dir.join("rackwright.yaml");
    let line = format!("{} bmc {} --config {}", env!("CARGO_BIN_EXE_rackwright"), args.join(" "), config.display());
    let mut command = tokio::process::Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env_remove("RUST_LOG").env("NO_COLOR", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut typing = child.stdin.take().unwrap();
    typing.write_all(answer.as_bytes()).await.unwrap();
    // Nobody goes away from the terminal before the program has ended.
    let output = timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
    drop(typing);
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
    let said = at_a_terminal(&rig, "n\n", &[HOST, "power", "off"]).await;
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.err);
    assert!(said.out.contains("cluster1/hv1, completed, would lose power at once. Go on? [y/N]"), "{}", said.out);
    let said = at_a_terminal(&rig, "y\n", &[HOST, "power", "cycle"]).await;
    assert!(said.code == Some(0) && said.out.contains("power is on"), "{}{}", said.out, said.err);
    assert!(bmc(&rig, &[HOST, "power", "off", "--yes"]).await.out.contains("power is off"));
    assert_eq!(rig.machine(HOST).power, PowerState::Off);
    let said = bmc(&rig, &[HOST, "power", "reset", "--yes"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("MachineIsOff"), "{}", said.err);

    let said = bmc(&rig, &["hv1", "boot", "pxe"]).await;
    assert!(said.out.contains("Pxe once"), "{}{}", said.out, said.err);
    assert_eq!(bmc(&rig, &["hv1", "info", "--format", "json"]).await.json()["boot"]["target"], "Pxe");
    let said = bmc(&rig, &["hv1", "boot", "none"]).await;
    assert!(said.out.contains("boots as its firmware says"), "{}{}", said.out, said.err);

    // Preflight asks the same of all of them.
    let config = rig.stage.dir.join("rackwright.yaml");
    let preflight = async |more: &[&str]| {
        let mut command = program();
        command.args(["preflight", "--config"]).arg(&config).args(more).env_remove("RUST_LOG");
        let output = command.output().await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let document: Value = serde_json::from_str(&preflight(&["--format", "json"]).await).unwrap();
    let bmcs = document["bmcs"].as_array().unwrap();
    assert_eq!(bmcs.len(), 2, "{document:#}");
    for bmc in bmcs {
        let said = (&bmc["reachable"], &bmc["authenticated"], &bmc["mac_matches"], bmc["certificate"].as_str());
        assert_eq!(said, (&Value::Bool(true), &Value::Bool(true), &Value::Bool(true), Some("pinned")), "{bmc:#}");
    }
    let table = preflight(&[]).await;
    assert!(table.contains("2 of 2 answer and take their account") && table.contains("BMC OF"), "{table}");
    assert!(!preflight(&["--no-bmc"]).await.contains("BMC OF"));

    let none_left = |machines: &[MachineView]| machines.iter().all(|view| view.sessions == 0);
    rig.rack().wait_until(none_left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_waits_while_another_process_uses_the_bmc() {
    let rig = Rig::completed(1).await;
    let none_left = |machines: &[MachineView]| machines.iter().all(|view| view.sessions == 0);
    rig.rack().wait_until(none_left).await;
    let state_dir = settings::load(&rig.stage.dir.join("rackwright.yaml")).unwrap().state_dir;
    let address = rig.machine(HOST).bmc_ip.unwrap().into();
    let lock = BmcLock::take(&state_dir, address, Duration::from_secs(30)).await.unwrap();
    let commands: [&[&str]; 5] =
        [&[HOST, "info"], &[HOST, "diag"], &["--all", "diag"], &[HOST, "power", "status"], &[HOST, "boot", "none"]];
    let released = std::sync::atomic::AtomicBool::new(false);
    let waits = async |args: &[&str]| {
        let said = bmc(&rig, args).await;
        (args.join(" "), released.load(std::sync::atomic::Ordering::SeqCst), said.code)
    };
    let release = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(rig.machine(HOST).sessions, 0, "nobody has logged in beside the lock's holder");
        released.store(true, std::sync::atomic::Ordering::SeqCst);
        drop(lock);
    };
    let (ended, ()) = tokio::join!(futures_util::future::join_all(commands.map(waits)), release);
    for (command, after_release, code) in ended {
        assert!(after_release, "`{command}` went past the lock");
        assert_eq!(code, Some(0), "`{command}`");
    }
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
