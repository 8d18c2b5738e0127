//! From `git push` to `completed`, and what must not disturb it on the way.

use std::collections::BTreeSet;

use rackwright::model::status::HostStatus;
use rackwright::model::{ConditionStatus, Generation, HostState, Reason};
use rackwright::sim::machine::{Disk, Stage};
use rackwright::sim::rack::MachineView;

use crate::e2e::status::Status;
use crate::rig::e2e::{Rig, network_boot, second_takes_long, slow};

/// Whether some machine's disk is half written.
fn is_writing(rig: &Rig) -> bool {
    rig.rack().machines().iter().any(|view| matches!(view.disk, Disk::Installing { .. }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_a_push_becomes_a_completed_cluster_and_a_readable_history() {
    let mut rig = Rig::completed(4).await;
    assert_eq!(rig.wipes(), [1, 1, 1, 1]);
    assert_eq!(rig.sink.heard("/cluster1"), 1, "the hook ran once");
    let status = rig.status().unwrap();
    assert!(status.files["README.md"].contains("| hv1 | completed |"), "{}", status.files["README.md"]);
    assert_eq!(status.rejected(), None);
    for (number, host) in (1..).zip(status.hosts()) {
        assert_eq!((host.cluster.as_str(), host.host), ("cluster1", format!("hv{number}")));
        assert_eq!((host.state, host.condition.status), (HostState::Completed, ConditionStatus::Ready));
        assert_eq!((host.generation.wanted, host.generation.installed), (Generation(1), Some(Generation(1))));
        assert!(
            host.since.to_string().ends_with('Z') && host.installed.is_some() && !host.drift && host.notes.is_empty()
        );
        assert_eq!(host.boot.mac.unwrap().to_string(), format!("52:54:00:bb:00:{number:02x}"));
        assert!(host.boot.address.is_some());
        // The last one has no BMC that could say anything.
        assert_eq!((host.bmc.is_some(), host.inventory.is_some()), (number < 4, number < 4));
        if let Some(bmc) = &host.bmc {
            assert_eq!(bmc.mac.unwrap().to_string(), format!("52:54:00:aa:00:{number:02x}"));
            assert!(bmc.address.is_some() && bmc.certificate.as_ref().is_some_and(|pin| pin.len() == 64));
        }
        let boot = format!("boot/cluster1/hv{number}/");
        let preseed = format!("{boot}mac-525400bb00{number:02x}.preseed");
        assert!(status.files.contains_key(&format!("{boot}boot.ipxe")), "{:?}", status.files.keys());
        assert!(status.files[&preseed].contains(&format!("hv{number}.cluster1.example.net")));
    }

    let before = rig.stays_as_it_is().await;
    for _ in 0..2 {
        assert_eq!(rig.stop().await.code(), Some(0));
        rig.start(&[]).await;
        assert_eq!(rig.stays_as_it_is().await, before, "a restart without news makes no commit");
    }
    assert_eq!(rig.sink.heard("/cluster1"), 1, "nor does it run anything again");

    let history = rig.check_history().await;
    let told: BTreeSet<_> = history.iter().flat_map(|commit| &commit.transitions).map(|(host, ..)| host).collect();
    assert_eq!(told.len(), 4);
    assert!(history.last().is_some_and(|commit| commit.observed.is_some()));
    assert!(history.iter().any(|commit| commit.subject.starts_with("cluster1: hv")), "{history:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_a_daemon_killed_in_mid_install_goes_on_where_it_was() {
    let mut rig = Rig::new(3).await;
    rig.start(&["--first-run"]).await;
    rig.machines(slow(), |all| second_takes_long(all)).await;
    rig.push("Define the cluster").await;
    let is_installing = |host: &HostStatus| host.state == HostState::Installing;
    rig.until_status("a host is installing", |status| status.hosts().iter().any(is_installing)).await;
    // No order is under way any more, for each is over before its machine's installer begins: one that was cut off is
    // taken as given, and given again when it had no effect, which takes as long as a network boot may take.
    let begun = |view: &MachineView| view.installer_boots == 1 && !matches!(view.disk, Disk::Blank);
    rig.until_rack("every installer runs", |machines| machines.iter().all(begun)).await;
    assert!(is_writing(&rig), "in mid-install");
    rig.kill().await;
    assert!(is_writing(&rig), "still in mid-install");
    rig.start(&[]).await;
    // Once more, when an install has ended.
    let installed = |view: &MachineView| matches!(view.disk, Disk::Installed { .. });
    rig.until_rack("a disk is written", |machines| machines.iter().any(installed)).await;
    rig.kill().await;
    rig.start(&[]).await;
    rig.until_completed().await;
    assert_eq!(rig.wipes(), [1, 1, 1], "every disk was wiped exactly once");
    rig.check_history().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_a_rejected_push_does_not_disturb_installs_and_a_good_one_clears_it() {
    let mut rig = Rig::new(2).await;
    rig.start(&["--first-run"]).await;
    rig.machines(slow(), |all| second_takes_long(all)).await;
    rig.push("Define the cluster").await;
    rig.until_rack("a disk is being written", |_| is_writing(&rig)).await;
    let good = rig.files.clone();
    rig.edit("node: { hostname: hv2 }", "node: { hostname: hv2, colour: blue }");
    rig.edit("52:54:00:bb:00:01", "53:54:00:bb:00:01");
    rig.push("Two mistakes").await;
    let refused = rig.until_status("the push is refused", |status| status.rejected().is_some()).await;
    assert!(is_writing(&rig), "the refusal is told while machines are installed");
    let rejected = refused.rejected().unwrap();
    let head = rig.stage.git(&rig.stage.repository(), &["rev-parse", "main"]).await.unwrap();
    assert_eq!(rejected.revision.as_str(), head.trim());
    let text = &rig.files["group_vars/cluster1/bootstrap.yml"];
    for mistake in ["colour", "53:54:00:bb:00:01"] {
        let line = 1 + text.lines().position(|line| line.contains(mistake)).unwrap();
        let finding = rejected.findings.iter().find(|it| it.line as usize == line);
        let finding = finding.unwrap_or_else(|| panic!("{mistake} in line {line}: {:?}", rejected.findings));
        assert_eq!(finding.path, "group_vars/cluster1/bootstrap.yml");
        assert!(finding.column > 0 && !finding.message.is_empty(), "{finding:?}");
    }
    rig.files = good;
    rig.until_completed().await;
    assert!(rig.status().unwrap().rejected().is_some(), "it is still refused");
    rig.push("As it was").await;
    rig.until_status("the refusal is gone", |status| status.rejected().is_none()).await;
    assert_eq!(rig.wipes(), [1, 1]);
    rig.check_history().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_a_raised_generation_reinstalls_one_host_and_leaves_the_others() {
    let mut rig = Rig::completed(2).await;
    let before = rig.machine("cluster1/hv2");
    rig.edit("node: { hostname: hv1 }", "node: { hostname: hv1, generation: 2 }");
    rig.push("Reinstall hv1").await;
    let status = rig.until_completed().await;
    assert_eq!(rig.wipes(), [2, 1]);
    assert_eq!(status.the("cluster1/hv1").generation.installed, Some(Generation(2)));
    assert_eq!(rig.machine("cluster1/hv2"), before, "nothing was done to the other machine");
    let tokens = rig.machine("cluster1/hv1").wipes;
    assert_ne!(tokens[0], tokens[1], "every install has a token of its own");
    rig.check_history().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_drift_is_reported_and_nothing_is_wiped() {
    let mut rig = Rig::completed(2).await;
    let before = rig.rack().machines();
    rig.edit("boot_mac: \"52:54:00:bb:00:01\"", "boot_mac: \"52:54:00:bb:00:01\", kernel_options: [quiet]");
    rig.push("Another kernel option for hv1").await;
    rig.until_status("the drift is reported", |status| status.the("cluster1/hv1").drift).await;
    let status = rig.stays_as_it_is().await;
    let host = status.the("cluster1/hv1");
    assert!(host.state == HostState::Completed && host.notes.iter().any(|note| note.contains("drift")), "{host:?}");
    assert!(!status.the("cluster1/hv2").drift);
    // Not even a network boot gets the new kernel option onto the disk.
    assert_eq!(rig.rack().machines(), before);
    rig.rack().tell("cluster1/hv1", network_boot()).await;
    rig.rack().power_button("cluster1/hv1").await;
    rig.until_rack("it runs", |machines| machines[0].stage == Stage::Running).await;
    assert_eq!((rig.wipes(), rig.machine("cluster1/hv1").installer_boots), (vec![1, 1], 1));
    rig.check_history().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_deleted_hosts_and_clusters_are_forgotten_without_touching_a_machine() {
    let mut rig = Rig::completed(2).await;
    let before = rig.rack().machines();
    let whole = rig.files.clone();
    let text = whole["group_vars/cluster1/bootstrap.yml"].clone();
    let (first, second) =
        (text.find("  \"52:54:00:aa:00:01\"").unwrap(), text.find("  \"52:54:00:aa:00:02\"").unwrap());
    let without = format!("{}{}", &text[..first], &text[second..]);
    rig.files.insert("group_vars/cluster1/bootstrap.yml".into(), without);
    let inventory = whole["hosts"].replace("hv1.cluster1.example.net\n", "");
    rig.files.insert("hosts".into(), inventory);
    let removed = |status: &Status, name: &str| status.the(name).condition.reason == Reason::Removed;
    rig.push("Without hv1").await;
    let status = rig.until_status("hv1 is removed", |status| removed(status, "cluster1/hv1")).await;
    assert!(!removed(&status, "cluster1/hv2"));
    assert_eq!(status.the("cluster1/hv1").generation.installed, Some(Generation(1)));
    rig.files.insert("clusters.yml".into(), "clusters: []\n".into());
    rig.push("Without any cluster").await;
    rig.until_status("hv2 is removed", |status| removed(status, "cluster1/hv2")).await;
    rig.stays_as_it_is().await;
    assert_eq!(rig.rack().machines(), before, "no machine was touched");
    // A machine that nobody knows any more still gets its own disk.
    rig.rack().tell("cluster1/hv2", network_boot()).await;
    rig.rack().power_button("cluster1/hv2").await;
    rig.until_rack("it runs", |machines| machines[1].stage == Stage::Running).await;
    assert_eq!(rig.machine("cluster1/hv2").installer_boots, 1);
    // And when it comes back, it is what it was.
    rig.files = whole;
    rig.push("As it was").await;
    rig.until_completed().await;
    assert_eq!(rig.wipes(), [1, 1]);
    rig.check_history().await;
}
