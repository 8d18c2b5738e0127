//! The layout that PVC's users have: submodules, links, an empty inventory, every documented key.

use std::collections::BTreeSet;

use rackwright::model::{ClusterName, DiskChoice, Protocol, Severity, TaskKind};
use rackwright::repo::{Entry, Tree};

use crate::rig::repo::{load, read_tree, root};

fn sample() -> Tree {
    let mut tree = read_tree(&root().join("tests/fixtures/pvc-sample"));
    for path in ["pvc-ansible", "pvc-installer"] {
        tree.insert(path.into(), Entry::Submodule);
    }
    for (path, target) in [
        ("roles/base", "../pvc-ansible/roles/base"),
        ("roles/pvc", "../pvc-ansible/roles/pvc"),
        ("group_vars/default", "../pvc-ansible/group_vars/default"),
        ("files/default", "../pvc-ansible/files/default"),
        ("ceph", "files"),
    ] {
        tree.insert(path.into(), Entry::Link(target.into()));
    }
    tree.insert("hosts".into(), Entry::File(std::sync::Arc::from([])));
    tree
}

#[test]
fn the_layout_of_pvcs_local_repository_is_accepted() {
    let loaded = load(&sample());
    let codes: BTreeSet<_> = loaded.findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(
        codes,
        BTreeSet::from(["boot-mac-from-key", "empty-inventory", "no-production-account"]),
        "{:#?}",
        loaded.findings
    );
    assert!(loaded.findings.iter().all(|finding| finding.severity == Severity::Warning));
    let desired = loaded.desired.expect("valid");
    assert_eq!(desired.hosts.len(), 3);
    assert!(desired.hosts.values().all(|host| host.blocked.is_empty()));
    let hosts: Vec<_> = desired.hosts.values().collect();
    assert_eq!(hosts[0].prepare.disk, DiskChoice::Named);
    assert_eq!(hosts[1].prepare.disk, DiskChoice::Mirror(["0".into(), "1".into()]));
    assert_eq!(hosts[0].prepare.manager.len(), 2);
    let bios = |name: &str| hosts[0].prepare.bios[name].reveal();
    assert_eq!((bios("LogicalProc"), bios("NumberOfCores"), bios("SysProfile")), ("On", "8", "PerfOptimized"));
    let protocols: Vec<_> = hosts.iter().map(|host| host.bmc.protocol).collect();
    assert_eq!(protocols, [Protocol::Redfish, Protocol::Auto, Protocol::None]);
}

#[test]
fn its_tasks_are_read() {
    let desired = load(&sample()).desired.expect("valid");
    let cluster = &desired.clusters[&ClusterName::new("pvc1")];
    assert_eq!(cluster.tasks.len(), 13);
    let hooks = cluster.tasks.iter().filter_map(|task| match &task.kind {
        TaskKind::Hook(hook) => Some((task.id.as_str(), hook)),
        TaskKind::Ansible(_) => None,
    });
    let webhooks: Vec<_> = hooks.filter(|(_, hook)| hook.program.name == "webhook").collect();
    let ids: Vec<_> = webhooks.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, ["hook-tell-the-team", "hook-tell-the-team-2"]);
    let args: serde_json::Value = serde_json::from_str(webhooks[0].1.args.reveal()).unwrap();
    let body = serde_json::json!({ "text": "pvc1.example.net is complete", "count": 3, "icons": [true, "on"] });
    let expected = serde_json::json!({ "uri": "https://hooks.example.net/pvc1", "action": "POST", "body": body });
    assert_eq!(args, expected);
    let targets: Vec<_> = cluster.tasks.iter().map(|task| task.targets.len()).collect();
    assert_eq!(targets, [3, 2, 3, 3, 3, 1, 3, 3, 1, 3, 3, 3, 3]);
}

#[test]
fn a_cluster_inside_a_submodule_is_refused_with_a_reason() {
    let mut tree = sample();
    tree.insert("clusters.yml".into(), crate::rig::repo::file("clusters: [default]\n"));
    let loaded = load(&tree);
    assert!(loaded.desired.is_none());
    assert!(loaded.findings.iter().any(|finding| finding.code == "in-submodule" && finding.line == 1));
}

#[test]
fn links_are_followed_inside_the_tree_only() {
    let mut tree = sample();
    tree.insert("group_vars/pvc2".into(), Entry::Link("pvc1".into()));
    tree.insert("group_vars/out".into(), Entry::Link("../../etc".into()));
    tree.insert("group_vars/loop".into(), Entry::Link("loop".into()));
    tree.insert("clusters.yml".into(), crate::rig::repo::file("clusters: [pvc2, out, loop]\n"));
    let loaded = load(&tree);
    let left_out: Vec<_> = loaded.findings.iter().filter(|it| it.code == "no-bootstrap").map(|it| it.line).collect();
    assert_eq!(left_out, [1, 1]);
    assert_eq!(loaded.desired.expect("valid").hosts.len(), 3);
}
