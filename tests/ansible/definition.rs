//! `cluster.ansible` as it is read: order of hosts, where files are written, what is said of restarts and encryption.

use rackwright::model::{AnsibleTask, TaskKind};
use rackwright::repo::Tree;

use crate::rig::repo::{c1, errors, file, valid};

fn bootstrap(ansible: &str) -> String {
    let host = |n: u32| {
        format!(
            "  52:54:00:aa:00:0{n}:\n    node: {{ hostname: hv{n} }}\n    config: {{ system_disks: [/dev/sda] }}\n    \
             bmc: {{ protocol: none }}\n"
        )
    };
    format!("cluster: {{ ansible: {ansible} }}\nbootstrap:\n{}", (1..=4).map(host).collect::<String>())
}

fn task(tree: &Tree) -> AnsibleTask {
    let desired = valid(tree);
    let task = desired.clusters.values().next().unwrap().tasks[0].clone();
    let TaskKind::Ansible(task) = task.kind else { panic!("not Ansible") };
    task
}

fn tree(ansible: &str, pvc: &str, base: &str) -> Tree {
    let mut tree = c1(&bootstrap(ansible));
    tree.insert("pvc.yml".into(), file("[]\n"));
    tree.insert("group_vars/c1/pvc.yml".into(), file(pvc));
    tree.insert("group_vars/c1/base.yml".into(), file(format!("local_domain: c1.example.net\n{base}")));
    tree
}

fn order(task: &AnsibleTask) -> Vec<&str> {
    task.order.iter().map(|id| &*id.host).collect()
}

#[test]
fn coordinators_come_first_by_their_number() {
    let nodes = "pvc_nodes:\n- { hostname: hv1, is_coordinator: no, node_id: 1 }\n\
                 - { hostname: hv2, is_coordinator: yes, node_id: 10 }\n- { hostname: hv3, is_coordinator: true, node_id: '9' }\n\
                 - { hostname: gone, is_coordinator: yes, node_id: 1 }\n";
    let task = task(&tree("{ playbook: pvc.yml }", nodes, "cluster_group: \"{{ 'group' ~ 1 }}\"\n"));
    assert_eq!(order(&task), ["hv3", "hv2", "hv1", "hv4"]);
    assert_eq!(task.generated, "files/group1");
    assert!(task.reboots && !task.encrypt_generated);
}

#[test]
fn without_nodes_they_are_in_the_order_of_their_names() {
    for (pvc, base) in [("", ""), ("pvc_nodes: \"{{ nowhere }}\"\n", "cluster_group: ../c\n"), ("pvc_nodes: 7\n", "")] {
        let task = task(&tree("{ playbook: pvc.yml, reboots: no, encrypt_generated: yes }", pvc, base));
        assert_eq!(order(&task), ["hv1", "hv2", "hv3", "hv4"], "{pvc}");
        assert_eq!(task.generated, "files/c1", "{base}");
        assert!(!task.reboots && task.encrypt_generated);
    }
}

#[test]
fn mistakes_are_told_where_they_are() {
    let codes = |ansible: &str| {
        errors(&bootstrap(ansible)).into_iter().map(|(line, code)| format!("{line} {code}")).collect::<Vec<_>>()
    };
    assert!(
        codes("{ playbook: none.yml, reboots: maybe }")
            .iter()
            .any(|it| it.starts_with("1 ") && !it.contains("missing-file"))
    );
    assert!(codes("{ playbook: none.yml, reboot: yes }").contains(&"1 unknown-key".to_owned()));
}
