//! The daemon's own life: what it must know, what it may lose, and what it must not believe.

use std::process::Stdio;
use std::time::Duration;

use rackwright::model::status::HostStatus;
use rackwright::model::{ConditionStatus, HostState, Reason};
use rackwright::sim::machine::{Disk, Stage, Timings};
use rackwright::sim::rack::MachineView;
use tokio::time::timeout;

use crate::rig::e2e::{Rig, hasty, network_boot, second_takes_long, slow};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_a_lost_state_directory_comes_back_from_the_status_branch_without_any_action() {
    let mut rig = Rig::completed(3).await;
    let (before, machines) = (rig.status().unwrap(), rig.rack().machines());
    assert_eq!(rig.stop().await.code(), Some(0));
    std::fs::remove_dir_all(rig.stage.state_dir()).unwrap();
    rig.start(&[]).await;
    let known = async || rig.api("hosts").await.as_array().is_some_and(|hosts| hosts.len() == 3);
    rig.until("the hosts are known again", known).await;
    let after = rig.stays_as_it_is().await;
    for host in before.hosts() {
        assert_eq!(after.the(&format!("cluster1/{}", host.host)), host);
    }
    assert_eq!(after.files, before.files, "the status is what it was");
    assert_eq!(after.head, before.head, "and nothing had to be committed");
    assert_eq!(rig.rack().machines(), machines, "nothing was done to a machine");
    assert_eq!(rig.sink.heard("/cluster1"), 1, "nor was the hook run again");
    let rack = rig.api("rack").await;
    assert_eq!((rack["armed"].as_bool(), rack["troubles"].as_array().map(Vec::len)), (Some(true), Some(0)), "{rack}");
    // The consent is back too: a raised generation is obeyed.
    rig.edit("node: { hostname: hv1 }", "node: { hostname: hv1, generation: 2 }");
    rig.push("Reinstall hv1").await;
    rig.until_completed().await;
    assert_eq!(rig.wipes(), [2, 1, 1]);
    rig.check_history().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_a_state_directory_lost_in_mid_install_never_costs_a_second_wipe() {
    let mut rig = Rig::new(2).await;
    rig.start(&["--first-run"]).await;
    rig.machines(slow(), |all| second_takes_long(all)).await;
    rig.push("Define the cluster").await;
    let claimed = |host: &HostStatus| host.state == HostState::Installing && host.claim.is_some();
    rig.until_status("both claims are published", |status| {
        let hosts = status.hosts();
        hosts.len() == 2 && hosts.iter().all(claimed)
    })
    .await;
    let writing = |view: &MachineView| matches!(view.disk, Disk::Installing { .. });
    rig.until_rack("a disk is being written", |machines| machines.iter().any(writing)).await;
    rig.kill().await;
    std::fs::remove_dir_all(rig.stage.state_dir()).unwrap();
    rig.start(&[]).await;
    // The branch has the digest of each token: the machines' own reports are believed again.
    rig.until_completed().await;
    assert_eq!(rig.wipes(), [1, 1]);
    rig.check_history().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_an_install_whose_end_nobody_heard_is_left_to_a_person_when_the_state_is_lost_too() {
    let mut rig = Rig::new(1).await;
    rig.start(&["--first-run"]).await;
    // The installer takes longer than the test.
    let endless = Timings { write: Duration::from_secs(3600), ..hasty() };
    rig.machines(endless, |_| {}).await;
    rig.push("Define the cluster").await;
    let claimed = |host: &HostStatus| host.state == HostState::Installing && host.claim.is_some();
    rig.until_status("the claim is published", |status| status.hosts().iter().any(claimed)).await;
    rig.until_rack("the disk is being written", |machines| machines[0].wipes.len() == 1).await;
    rig.kill().await;
    std::fs::remove_dir_all(rig.stage.state_dir()).unwrap();
    rig.start(&[]).await;
    let held = |host: &HostStatus| {
        host.condition.status == ConditionStatus::Stalled && host.condition.reason == Reason::JournalLost
    };
    let status = rig.until_status("a person is asked", |status| held(&status.the("cluster1/hv1"))).await;
    let message = status.the("cluster1/hv1").condition.message;
    assert!(message.contains("raise its generation to 2"), "{message}");
    // Whatever the machine does now, it is not wiped again unasked.
    rig.rack().tell("cluster1/hv1", network_boot()).await;
    rig.rack().reset("cluster1/hv1").await;
    rig.until_rack("it finds nothing to boot", |machines| machines[0].stage == Stage::NoBootDevice).await;
    assert_eq!((rig.wipes(), rig.machine("cluster1/hv1").installer_boots), (vec![1], 1));
    rig.edit("node: { hostname: hv1 }", "node: { hostname: hv1, generation: 2 }");
    rig.push("Yes, install it again").await;
    rig.until_rack("it is installed again", |machines| machines[0].wipes.len() == 2).await;
    rig.check_history().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_without_journal_and_status_branch_nothing_is_armed_until_the_first_run_is_said() {
    let mut rig = Rig::new(3).await;
    rig.push("Define the cluster").await;
    rig.start(&[]).await;
    rig.machines(hasty(), |_| {}).await;
    let locked = |host: &HostStatus| host.state == HostState::PxeBooting && host.condition.reason == Reason::FirstRun;
    let status = rig.until_status("every host waits for --first-run", |status| {
        let hosts = status.hosts();
        hosts.len() == 3 && hosts.iter().all(locked)
    });
    let status = status.await;
    assert!(status.the("cluster1/hv1").condition.message.contains("--first-run"));
    assert!(status.files["README.md"].contains("--first-run"));
    // The third has no BMC and was switched on by hand: it goes round in its firmware, and gets no installer.
    rig.until_rack("the machine that is on finds nothing to boot", |it| it[2].stage == Stage::NoBootDevice).await;
    assert!(rig.rack().machines().iter().all(|view| view.installer_boots == 0 && view.wipes.is_empty()));
    assert!(rig.rack().machines()[..2].iter().all(|view| view.starts == 0));
    // A restart does not open the lock; saying so does.
    assert_eq!(rig.stop().await.code(), Some(0));
    rig.start(&[]).await;
    assert_eq!(rig.api("rack").await["armed"], false);
    assert!(rig.rack().machines().iter().all(|view| view.installer_boots == 0));
    assert_eq!(rig.stop().await.code(), Some(0));
    rig.start(&["--first-run"]).await;
    rig.until_completed().await;
    assert_eq!(rig.wipes(), [1, 1, 1]);
    rig.check_history().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_a_second_daemon_is_refused_and_the_first_one_stops_cleanly() {
    let mut rig = Rig::new(1).await;
    rig.start(&["--first-run"]).await;
    let mut second = rig.run(&[]);
    let second = second.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
    let second = timeout(Duration::from_secs(10), second).await.expect("the second one does not stay").unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("in use by another rackwright") && said.contains("state"), "{said}");
    assert_eq!(rig.ask("/healthz").await.map(|reply| reply.code), Some(200), "the first one is not disturbed");
    assert_eq!(rig.stop().await.code(), Some(0));
    rig.start(&[]).await;
    // A daemon that is killed leaves no lock behind either.
    rig.kill().await;
    rig.start(&[]).await;
    assert_eq!(rig.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_an_unreachable_repository_is_told_and_does_not_stop_installs() {
    let mut rig = Rig::new(2).await;
    rig.start(&["--first-run"]).await;
    rig.machines(slow(), |_| {}).await;
    rig.push("Define the cluster").await;
    let installing = |view: &MachineView| view.installer_boots == 1;
    rig.until_rack("every machine is being installed", |machines| machines.iter().all(installing)).await;
    let (here, gone) = (rig.stage.repository(), rig.stage.dir.join("gone.git"));
    std::fs::rename(&here, &gone).unwrap();
    rig.until("the trouble is told", async || {
        let rack = rig.api("rack").await;
        rack["troubles"].as_array().is_some_and(|list| list.iter().any(|it| it["action"] == "fetch"))
    })
    .await;
    let page = rig.ask("/").await.unwrap();
    assert!(page.code == 200 && page.body.contains("infra.git"), "{}", page.body);
    rig.until("every host is completed, says the API", async || {
        let hosts = rig.api("hosts?state=completed").await;
        hosts.as_array().is_some_and(|hosts| hosts.len() == 2)
    })
    .await;
    assert_eq!(rig.ask("/readyz").await.map(|reply| reply.code), Some(200));
    assert!(rig.status().is_none(), "the repository is still away");
    std::fs::rename(&gone, &here).unwrap();
    rig.until_completed().await;
    rig.until("the trouble is over", async || rig.api("rack").await["troubles"] == serde_json::json!([])).await;
    assert_eq!(rig.wipes(), [1, 1]);
    rig.check_history().await;
}
