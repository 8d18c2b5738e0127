//! The real `ipmitool` against OpenIPMI's `ipmi_sim`, neither of which we wrote.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rackwright::drive::bmc::Order;
use rackwright::drive::bmc::ipmi::{Ipmitool, boot, look, power};
use rackwright::model::{BootMode, FaultClass, Mac, NetworkBoot, Outcome, PowerState, Reason, Secret};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::bmc::ipmi_bench::{Bench, PASSWORD, PATIENCE, Watch, can_run};
use crate::rig::bmc::once;
use crate::rig::git::Rig;

fn probe() -> Order {
    Order::Probe { boot_mac: Some(Mac([0x52, 0x54, 0, 0xbb, 0, 1])) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_is_probed_armed_and_powered_off() {
    if !can_run() {
        return;
    }
    let (bench, watch) = (Bench::start().await, Watch::start());
    let target = bench.target();
    let Outcome::Probed { inventory, .. } = once(&target, &probe()).await.unwrap() else { panic!() };
    assert_eq!(inventory.manufacturer.as_deref(), Some("Example Works"));
    assert_eq!((inventory.model.as_deref(), inventory.serial.as_deref()), (Some("Model One"), Some("SER0001")));
    assert_eq!((inventory.bmc_version.as_deref(), inventory.power), (Some("9.08"), Some(PowerState::Off)));
    assert_eq!(inventory.bmc_mac.map(|mac| mac.to_string()).as_deref(), Some("52:54:00:77:aa:01"));

    let prepare = Order::Prepare { prepare: Arc::default(), apply: true, pending: None };
    let Outcome::Prepared(done) = once(&target, &prepare).await.unwrap() else { panic!() };
    assert_eq!((done.pending, done.notes.len()), (None, 0));

    let arm = Order::Arm { network_boot: NetworkBoot::Pxe, mode: BootMode::Uefi };
    assert_eq!(once(&target, &arm).await, Ok(Outcome::Armed));
    assert_eq!((bench.file("power").trim(), bench.file("boot").trim()), ("1", "pxe"));
    let talk = Ipmitool::new(target.clone());
    assert_eq!(boot::flags(&talk).await.unwrap().map(|flags| flags.device), Some(boot::Device::Pxe));
    assert_eq!(talk.suite(), Some(3), "ipmi_sim has no suite 17");
    assert_eq!(power::state(&talk).await, Ok(PowerState::On));
    // Of a machine that runs.
    assert_eq!(once(&target, &arm).await, Ok(Outcome::Armed));
    assert_eq!(once(&target, &Order::PowerCycle).await, Ok(Outcome::PowerCycled));
    assert_eq!(bench.file("boot").trim(), "none");
    assert_eq!(once(&target, &Order::Finish { power_off: true }).await, Ok(Outcome::Finished(PowerState::Off)));
    let told: Vec<_> = bench.told().into_iter().filter(|told| !told.starts_with("identify")).collect();
    let (arming, cycling) =
        (["boot pxe", "power 1", "boot pxe", "power 0", "power 1"], ["boot none", "power 0", "power 1"]);
    let expected: Vec<_> = arming.into_iter().chain(cycling).chain(["shutdown 1"]).collect();
    assert_eq!(told, expected);

    assert_eq!(look::events(&talk, 5).await.unwrap()[0].event, "Processor #0x01, Presence detected, Asserted");
    assert_eq!(look::lan(&talk).await.unwrap().get("MAC Address"), Some("52:54:00:77:aa:01"));
    assert_eq!(look::sensors(&talk).await, Ok(Vec::new()), "it has none");
    assert!(watch.end().iter().any(|call| call.contains(" -E ")), "the watch has seen nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_account_is_refused_once_and_silence_is_not_taken_for_it() {
    if !can_run() {
        return;
    }
    let bench = Bench::start().await;
    for (user, password) in [("admin", "not it"), ("somebody", PASSWORD), ("admin", "")] {
        let mut target = bench.target();
        (target.username, target.password) = (user.into(), Secret::new(password));
        let before = bench.logins();
        let fault = once(&target, &Order::PowerCycle).await.unwrap_err();
        assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::AuthenticationFailed), "{fault}");
        assert_eq!(bench.logins() - before, 1, "{user}");
    }
    let before = bench.logins();
    assert!(once(&bench.target(), &probe()).await.is_ok());
    assert!(bench.logins() > before, "logins are counted");

    let mut target = bench.target();
    // The discard port: nobody answers, and nothing says so.
    (target.ipmi_port, target.timeouts.request) = (9, Duration::from_secs(1));
    let fault = once(&target, &probe()).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::Unreachable), "{fault}");
}

/// A repository with the bench's BMC, and a daemon's settings.
struct Site {
    rig: Rig,
    bench: Bench,
}

impl Site {
    async fn new() -> Site {
        let (rig, bench) = (Rig::new(), Bench::start().await);
        let bootstrap = format!(
            "cluster: {{ ansible: none }}\nbootstrap:\n  \"52:54:00:77:aa:01\":\n    node: {{ hostname: hv1 }}\n    \
             config: {{ boot_mac: \"52:54:00:bb:00:01\", system_disks: [/dev/sda] }}\n    \
             bmc: {{ protocol: ipmi, address: 127.0.0.1, username: admin, password: {PASSWORD} }}\n"
        );
        rig.commit("hosts", "[c1]\nhv1\n", "hosts");
        rig.commit("group_vars/c1/base.yml", "local_domain: c1.example.net\n", "base");
        rig.commit("group_vars/c1/bootstrap.yml", &bootstrap, "bootstrap");
        rig.commit("clusters.yml", "clusters: [c1]\n", "clusters");
        rig.push("main");
        let settings = format!(
            "repository: {{ url: {} }}\nstate_dir: {}\nnetwork: {{ address: 127.0.0.1, dhcp: {{ mode: \"off\" }} }}\n\
             bmc: {{ ipmi_port: {} }}\n",
            rig.remote.display(),
            rig.state().display(),
            bench.port()
        );
        std::fs::write(rig.dir.path().join("rackwright.yaml"), settings).unwrap();
        Site { rig, bench }
    }

    fn program(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rackwright"));
        command.args(words).arg("--config").arg(self.rig.dir.path().join("rackwright.yaml")).env_remove("RUST_LOG");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    async fn run(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.program(words).stdin(Stdio::null()).output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }
}

/// Types a line until the machine has heard it: `ipmi_sim` drops the first one after a console that was killed. Gives
/// what was read.
async fn converse(console: &mut Child, line: &str) -> String {
    let (mut said, mut buffer) = (String::new(), [0; 1024]);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut retype = tokio::time::interval(Duration::from_secs(2));
    let wanted = format!("the machine heard {line}");
    while !said.contains(&wanted) {
        let out = console.stdout.as_mut().unwrap();
        tokio::select! {
            _ = retype.tick() => {
                assert!(tokio::time::Instant::now() < deadline, "nothing was heard: {said}");
                type_in(console, &format!("{line}\r")).await;
            }
            count = out.read(&mut buffer) => match count.unwrap() {
                0 => {
                    let mut why = String::new();
                    console.stderr.take().unwrap().read_to_string(&mut why).await.unwrap();
                    panic!("it ended: {said}{why}");
                }
                count => said.push_str(&String::from_utf8_lossy(&buffer[..count])),
            },
        }
    }
    said
}

async fn type_in(console: &mut Child, text: &str) {
    let stdin = console.stdin.as_mut().unwrap();
    stdin.write_all(text.as_bytes()).await.unwrap();
    stdin.flush().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_console_carries_text_both_ways_and_a_killed_one_is_no_obstacle() {
    if !can_run() {
        return;
    }
    let (site, watch) = (Site::new().await, Watch::start());
    let mut killed = site.program(&["console", "hv1"]).spawn().unwrap();
    converse(&mut killed, "root").await;
    killed.kill().await.unwrap();

    for words in [&["console", "c1/hv1"][..], &["bmc", "hv1", "console"]] {
        let mut console = site.program(words).spawn().unwrap();
        let said = converse(&mut console, "root").await;
        type_in(&mut console, "\r~.").await;
        let output = tokio::time::timeout(PATIENCE, console.wait_with_output()).await.unwrap().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        assert!(told.contains("Serial console of c1/hv1 over its BMC at 127.0.0.1."), "{told}");
        assert!(told.contains("To leave: Enter, then ~"), "{told}");
        assert!(!told.contains(PASSWORD) && !said.contains(PASSWORD));
    }
    let seen = watch.end();
    assert!(seen.iter().any(|call| call.contains(" sol activate")), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_looks_and_switches_over_ipmi() {
    if !can_run() {
        return;
    }
    let site = Site::new().await;
    let (code, said) = site.run(&["bmc", "hv1", "info"]).await;
    assert_eq!(code, Some(0), "{said}");
    for part in ["c1/hv1 by IPMI at 127.0.0.1", "Example Works Model One", "SER0001"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    for (words, state) in [("on", "on"), ("status", "on"), ("cycle", "on"), ("soft", "off")] {
        let (code, said) = site.run(&["bmc", "hv1", "power", words, "--yes"]).await;
        assert_eq!((code, said.trim()), (Some(0), &*format!("c1/hv1: power is {state}")));
    }
    assert_eq!(site.run(&["bmc", "hv1", "boot", "pxe"]).await.0, Some(0));
    assert_eq!(site.bench.file("boot").trim(), "pxe");
    let (code, said) = site.run(&["console", "hv2"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("there is no host `hv2`"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_terminal_control_characters_go_to_the_machine() {
    if !can_run() {
        return;
    }
    let site = Site::new().await;
    let config = site.rig.dir.path().join("rackwright.yaml");
    // `script` makes a terminal; what it is told arrives there as if it were typed.
    let words = format!("{} console hv1 --config {}", env!("CARGO_BIN_EXE_rackwright"), config.display());
    let mut console = Command::new("script");
    console.args(["-qfec", &words, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut console = console.kill_on_drop(true).spawn().unwrap();
    converse(&mut console, "root").await;
    converse(&mut console, "\u{3}").await;
    type_in(&mut console, "\r~.").await;
    let output = tokio::time::timeout(PATIENCE, console.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
}
