//! Loading repositories: what is accepted, and what comes out.

use std::fmt::Write as _;

use rackwright::model::{ClusterName, HostId, Lifecycle, LocalBoot, Mac, OnComplete, Protocol, TaskKind};
use rackwright::repo::{self, Context};

use crate::rig::repo::{c1, context, errors, file, load, places, read_tree, root, subnet, valid};

const ONE: &str = "cluster: { ansible: none }
bootstrap:
  \"52:54:00:aa:00:01\":
    node: { hostname: hv1 }
    config: { system_disks: [\"/dev/sda\"] }
    bmc: { username: admin, password: secret }
";

fn hv1() -> HostId {
    HostId::new(&ClusterName::new("c1"), "hv1")
}

#[test]
fn the_example_is_clean_with_and_without_subnets() {
    let tree = read_tree(&root().join("repo-schema/example"));
    let subnets = [subnet([10, 255, 255])];
    let address = "10.255.255.1".parse().unwrap();
    for context in [context(), Context { subnets: &subnets, address, ..context() }] {
        let loaded = repo::load(&tree, &context);
        assert_eq!(loaded.findings, []);
        let desired = loaded.desired.expect("valid");
        assert_eq!(desired.clusters.len(), 2);
        assert_eq!(desired.hosts.len(), 4);
        assert!(desired.hosts.values().all(|host| host.boot_mac.is_some() && host.address.is_none()));
        assert_eq!(desired.hosts.values().filter(|host| !host.has_bmc()).count(), 1);
    }
}

#[test]
fn nothing_is_a_valid_repository() {
    for text in ["", "clusters:\n", "clusters: []\n", "---\n# none\n"] {
        let loaded = load(&repo::Tree::from([("clusters.yml".into(), file(text))]));
        assert_eq!(loaded.findings, [], "{text:?}");
        assert!(loaded.desired.expect("valid").hosts.is_empty());
    }
    let loaded = load(&repo::Tree::new());
    assert_eq!(places(&loaded.findings), [("clusters.yml", 0, "no-clusters")]);
    assert!(loaded.desired.is_some());
}

#[test]
fn defaults() {
    let desired = valid(&c1(ONE));
    assert_eq!(desired.warnings, []);
    let host = &desired.hosts[&hv1()];
    assert_eq!(host.fqdn, "hv1.c1.example.net");
    assert_eq!(host.generation.0, 1);
    assert_eq!((host.state, host.local_boot, host.bmc.protocol), (Lifecycle::Present, LocalBoot::Auto, Protocol::Auto));
    assert_eq!((&*host.installer, host.boot_mac, host.address), ("pvc", None, None));
    assert_eq!((&*host.origin.0, host.origin.1), ("group_vars/c1/bootstrap.yml", 3));
    let cluster = &desired.clusters[&ClusterName::new("c1")];
    assert_eq!((cluster.run, cluster.retries, cluster.on_complete), (1, 3, OnComplete::PowerOff));
    assert_eq!(cluster.tasks, []);
    let ansible = valid(&c1(&ONE.replace("cluster: { ansible: none }\n", "")));
    let task = &ansible.clusters[&ClusterName::new("c1")].tasks[0];
    assert!(task.is_ansible() && !task.idempotent);
    assert!(matches!(&task.kind, TaskKind::Ansible(ansible) if ansible.playbook == "pvc.yml" && ansible.reboots));
    assert_eq!(ansible.warnings, []);
}

#[test]
fn every_usual_notation_of_a_mac() {
    for text in [
        "52:54:00:12:34:56",
        "\"52:54:00:12:34:56\"",
        "52-54-00-12-34-56",
        "5254.0012.3456",
        "\"525400123456\"",
        "525400123456",
        "52:54:0:12:34:56",
        "'52:54:00:12:34:56'",
    ] {
        let desired = load(&c1(&ONE.replace("\"52:54:00:aa:00:01\"", text))).desired;
        let Some(desired) = desired else {
            assert_eq!(text, "52:54:0:12:34:56", "refused");
            continue;
        };
        assert_eq!(desired.hosts[&hv1()].bmc_mac, Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]), "{text}");
    }
    let upper = valid(&c1(&ONE.replace("52:54:00:aa:00:01", "52:54:00:AA:00:01")));
    assert_eq!(upper.hosts[&hv1()].bmc_mac, valid(&c1(ONE)).hosts[&hv1()].bmc_mac);
}

#[test]
fn booleans_of_yaml_1_1() {
    for (word, protocol) in
        [("yes", Protocol::Redfish), ("On", Protocol::Redfish), ("no", Protocol::None), ("OFF", Protocol::None)]
    {
        let desired = valid(&c1(&ONE.replace("secret }", &format!("secret, redfish: {word} }}"))));
        assert_eq!(desired.hosts[&hv1()].bmc.protocol, protocol, "{word}");
    }
    for word in ["\"no\"", "maybe", "1"] {
        assert_eq!(
            errors(&ONE.replace("secret }", &format!("secret, redfish: {word} }}"))),
            [(6, "wrong-type".into())],
            "{word}"
        );
    }
}

#[test]
fn a_host_without_bmc_boots_from_its_key() {
    let text = ONE.replace("{ username: admin, password: secret }", "{ protocol: none }");
    let desired = valid(&c1(&text));
    let host = &desired.hosts[&hv1()];
    assert_eq!(desired.warnings, []);
    assert_eq!(host.boot_mac, Some(host.bmc_mac));
}

#[test]
fn a_lowered_generation_is_refused_and_a_raised_one_taken() {
    let with = |number: u32| c1(&ONE.replace("hostname: hv1", &format!("hostname: hv1, generation: {number}")));
    let three = valid(&with(3));
    for (number, expected) in
        [(2, vec![("group_vars/c1/bootstrap.yml", 4, "lowered-generation")]), (3, vec![]), (4, vec![])]
    {
        let loaded = repo::load(&with(number), &Context { previous: Some(&three), ..context() });
        assert_eq!(places(&loaded.findings), expected);
    }
    // Taking the line away lowers it as well; the finding is where the number then comes from.
    let loaded = repo::load(&c1(ONE), &Context { previous: Some(&three), ..context() });
    assert_eq!(places(&loaded.findings), [("group_vars/c1/bootstrap.yml", 3, "lowered-generation")]);
}

#[test]
fn the_spec_changes_with_what_gets_installed_only() {
    let spec = |text: &str, context: &Context<'_>| {
        let loaded = repo::load(&c1(text), context);
        loaded.desired.unwrap_or_else(|| panic!("{:#?}", loaded.findings)).hosts[&hv1()].spec.clone()
    };
    let before = spec(ONE, &context());
    let same = [
        ("admin", "root"),
        ("secret", "other"),
        ("hostname: hv1", "hostname: hv1, generation: 7"),
        ("hostname: hv1", "hostname: hv1, state: maintenance"),
        ("00:aa:00:01", "00:aa:00:09"),
        ("[\"/dev/sda\"]", "[\"/dev/sda\"], boot_mac: \"52:54:00:bb:00:01\", local_boot: exit"),
        ("ansible: none", "ansible: none, on_complete: none, run: 4"),
    ];
    for (old, new) in same {
        assert_eq!(spec(&ONE.replace(old, new), &context()), before, "{new}");
    }
    let moved = Context { http_base: "http://192.0.2.9:80".into(), address: "192.0.2.9".parse().unwrap(), ..context() };
    assert_eq!(spec(ONE, &moved), before);
    let changes = [
        "/dev/sdb\"]",
        "/dev/sda\"], packages: [tmux]",
        "/dev/sda\"], filesystem: xfs",
        "/dev/sda\"], kernel_options: [quiet]",
    ];
    for new in changes {
        assert_ne!(spec(&ONE.replace("/dev/sda\"]", new), &context()), before, "{new}");
    }
    assert_ne!(spec(ONE, &Context { release: "trixie".into(), ..context() }), before);
    assert_ne!(spec(ONE, &Context { mirror: String::new(), ..context() }), before);
}

#[test]
fn hooks_keep_their_identity_when_another_is_put_before_them() {
    let ids = |names: &[&str]| {
        let mut text = format!("{ONE}hooks:\n");
        for name in names {
            _ = writeln!(
                text,
                "  - {{ name: {name}, type: webhook, args: {{ uri: \"https://hooks.example.net/\", action: post }} }}"
            );
        }
        let tasks = valid(&c1(&text)).clusters[&ClusterName::new("c1")].tasks.clone();
        tasks.iter().map(|task| task.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["Tell us", "second"]), ["hook-tell-us", "hook-second"]);
    assert_eq!(ids(&["new", "Tell us", "second"]), ["hook-new", "hook-tell-us", "hook-second"]);
    assert_eq!(ids(&["a", "a", "a-2", "\"…\""]), ["hook-a", "hook-a-2", "hook-a-2-2", "hook"]);
}

#[test]
fn secrets_are_in_no_finding() {
    let text = ONE
        .replace("password: secret", "password: [hunter2]")
        .replace("username: admin", "username: \"{{ hunter2 }}\"");
    let loaded = load(&c1(&text));
    assert!(loaded.desired.is_none());
    assert!(!format!("{:?}", loaded.findings).contains("[hunter2]"));
    let hook =
        format!("{ONE}hooks:\n  - {{ name: x, type: webhook, args: {{ uri: \"ftp://hunter2\", action: post }} }}\n");
    assert!(!format!("{:?}", load(&c1(&hook)).findings).contains("hunter2"));
    assert!(!format!("{:?}", valid(&c1(ONE))).contains("secret"));
}

#[test]
fn encrypted_values_stop_the_host_and_not_the_revision() {
    let text = ONE.replace("password: secret }", "password: !vault \"$ANSIBLE_VAULT;1.1;AES256\" }");
    let loaded = load(&c1(&text));
    assert_eq!(places(&loaded.findings), [("group_vars/c1/bootstrap.yml", 6, "secrets-unread")]);
    assert_eq!(loaded.desired.expect("valid").hosts[&hv1()].blocked.len(), 1);
}

#[test]
fn the_inventory_may_be_ini_or_yaml_with_ranges_children_and_variables() {
    let inventories = [
        (
            "hosts",
            "# a comment\n[c1:children]\nwest\n\n[west]\nhv[1:2].c1.example.net ansible_host=192.0.2.7 # why\n[all:vars]\npw = fromini\n",
        ),
        ("hosts", "[c1]\nhv[01:10:3]\nrack[a:b]-hv1\nhv1:22 pw='fromini'\n"),
        ("hosts.yml", "all:\n  vars: { pw: fromini }\n  children:\n    c1:\n      hosts:\n        hv[1:3]:\n"),
        ("hosts", "c1:\n  hosts:\n    hv1.c1.example.net: { pw: fromini }\n"),
    ];
    for (name, inventory) in inventories {
        let mut tree = c1(&ONE.replace("password: secret", "password: \"{{ pw }}\""));
        tree.remove("hosts");
        tree.insert(name.into(), file(inventory));
        let desired = valid(&tree);
        assert_eq!(desired.warnings, [], "{inventory}");
        assert_eq!(desired.hosts[&hv1()].bmc.credentials[0].password.reveal(), "fromini", "{inventory}");
    }
    let mut tree = c1(ONE);
    tree.insert("hosts".into(), file("[c1]\nhv[2:3]\n"));
    assert_eq!(places(&load(&tree).findings), [("group_vars/c1/bootstrap.yml", 4, "not-in-inventory")]);
    for empty in ["", "# nothing yet\n\n"] {
        tree.insert("hosts".into(), file(empty));
        assert_eq!(places(&load(&tree).findings), [("hosts", 0, "empty-inventory")]);
        assert!(load(&tree).desired.is_some());
    }
}

#[test]
fn variables_come_from_every_layer_the_strongest_last() {
    let mut tree = c1(&ONE.replace("password: secret", "password: \"{{ prefix }}-{{ inventory_hostname_short }}\""));
    let password = |tree: &repo::Tree| valid(tree).hosts[&hv1()].bmc.credentials[0].password.reveal().to_string();
    tree.insert("group_vars/all.yml".into(), file("prefix: all\n"));
    assert_eq!(password(&tree), "all-hv1");
    tree.insert("group_vars/c1/vars.yml".into(), file("prefix: group\n"));
    assert_eq!(password(&tree), "group-hv1");
    tree.insert("host_vars/hv1.yml".into(), file("prefix: \"{{ 'HOST' | lower }}\"\n"));
    assert_eq!(password(&tree), "host-hv1");
    tree.insert("host_vars/hv1.yml".into(), file("prefix: \"{{ prefix }}\"\n"));
    assert_eq!(places(&load(&tree).findings), [("group_vars/c1/bootstrap.yml", 6, "template")]);
}

#[test]
fn hints_about_disks_become_one_disk() {
    let disk = |hints: &str| {
        let text = ONE.replace("system_disks: [\"/dev/sda\"]", &format!("disk_hints: {hints}"));
        load(&c1(&text)).desired.map(|desired| desired.hosts[&hv1()].disks.clone())
    };
    assert_eq!(disk("{ wwn: 0x5000c50015ea71ac }"), Some(vec!["/dev/disk/by-id/wwn-0x5000c50015ea71ac".into()]));
    assert_eq!(disk("{ model: INTEL, size: 480GB, index: 1 }"), Some(vec!["detect:INTEL:480GB:1".into()]));
    assert_eq!(disk("{ model: INTEL }"), None);
    assert_eq!(disk("{ model: \"two words\", size: 480GB }"), None);
}

#[test]
fn ten_thousand_hosts() {
    let mut text = String::from("cluster: { ansible: none }\nbootstrap:\n");
    for number in 0..10_000_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        _ = write!(
            text,
            "  \"52:54:00:aa:{high:02x}:{low:02x}\":\n    node: {{ hostname: hv{number} }}\n    config: {{ system_disks: [\"/dev/sda\"], boot_mac: \"52:54:00:bb:{high:02x}:{low:02x}\" }}\n    bmc: {{ username: a, password: \"p{number}\" }}\n"
        );
    }
    let mut tree = c1(&text);
    tree.insert("hosts".into(), file("[c1]\nhv[0:9999]\n"));
    let desired = valid(&tree);
    assert_eq!(desired.hosts.len(), 10_000);
    assert_eq!(desired.warnings, []);
    // What is the same for all is kept once.
    let boots: std::collections::HashSet<_> =
        desired.hosts.values().map(|host| std::sync::Arc::as_ptr(&host.files[0].body)).collect();
    assert_eq!(boots.len(), 1);
    // And every single one being wrong is still answered.
    tree.insert("hosts".into(), file("[c1]\nmachine[0:9999]\n"));
    assert_eq!(load(&tree).findings.len(), 10_000);
}
