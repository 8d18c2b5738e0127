//! Hooks: what a `hook.yaml` may say, and what a `bootstrap.yml` may say to it.

use std::time::Duration;

use rackwright::model::{
    ClusterName, HookFile, HookTask, OnFailure, Place, Rerun, Scope, Severity, TaskKind, TaskSpec,
};
use rackwright::repo::hook::directory::{all, shipped};
use rackwright::repo::{Entry, Tree};
use serde_json::{Value, json};

use crate::rig::repo::{c1, file, load, places, root, valid};

/// A cluster with one host and these hooks; `hooks` begins in line 4.
pub fn with_hooks(hooks: &str) -> Tree {
    let host = r#""52:54:00:aa:00:01": { node: { hostname: hv1 }, config: { system_disks: [/dev/sda] }, bmc: { protocol: none } }"#;
    let mut tree = c1(&format!("bootstrap:\n  {host}\nhooks:\n{hooks}"));
    tree.insert("files/motd".into(), file("Welcome\n"));
    tree.insert("files/setup.sh".into(), file("#!/bin/sh\n"));
    tree.insert("roles".into(), Entry::Submodule);
    tree
}

/// A hook of this type with these arguments, as YAML on one line.
pub fn hook(kind: &str, args: &str) -> String {
    format!("- name: x\n  type: {kind}\n  args: {args}\n")
}

/// The hooks of a valid tree.
pub fn tasks(tree: &Tree) -> Vec<TaskSpec> {
    let tasks = valid(tree).clusters[&ClusterName::new("c1")].tasks.clone();
    tasks.into_iter().filter(|task| !task.is_ansible()).collect()
}

/// What a hook runs.
pub fn task(task: &TaskSpec) -> &HookTask {
    match &task.kind {
        TaskKind::Hook(hook) => hook,
        TaskKind::Ansible(_) => panic!("not a hook"),
    }
}

fn args(task_spec: &TaskSpec) -> Value {
    serde_json::from_str(task(task_spec).args.reveal()).unwrap()
}

/// Files, lines and codes of the errors.
fn errors(tree: &Tree) -> Vec<(String, u32, String)> {
    let found = load(tree).findings;
    let errors: Vec<_> = found.into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    for error in &errors {
        assert!(error.hint.as_ref().is_some_and(|hint| !hint.is_empty()), "{error} has no hint");
    }
    places(&errors).into_iter().map(|(path, line, code)| (path.to_owned(), line, code.to_owned())).collect()
}

#[test]
fn the_shipped_hooks_are_sound_and_say_what_pvc_does() {
    let mut found = Vec::new();
    let hooks = all(&Tree::new(), &mut found);
    assert_eq!(found, []);
    assert_eq!(hooks.keys().collect::<Vec<_>>(), ["copy", "network", "osd", "osddb", "pool", "script", "webhook"]);
    let said = |name: &str| {
        let hook = hooks[name].as_ref().unwrap();
        (hook.program.scope, hook.program.place, hook.program.ready.is_some(), hook.retry, hook.sudo.is_some())
    };
    assert_eq!(said("osddb"), (Scope::Each, Place::Host, true, false, false));
    assert_eq!(said("osd"), (Scope::Each, Place::Host, true, false, false));
    assert_eq!(said("pool"), (Scope::Once, Place::Host, true, false, false));
    assert_eq!(said("network"), (Scope::Once, Place::Host, true, false, false));
    assert_eq!(said("copy"), (Scope::Each, Place::Host, false, true, true));
    assert_eq!(said("script"), (Scope::Each, Place::Host, false, false, true));
    assert_eq!(said("webhook"), (Scope::None, Place::Bootstrap, false, true, false));
    for (name, hook) in shipped() {
        let hook = hook.as_ref().unwrap();
        assert!(hook.time_limit.is_some_and(|limit| limit >= Duration::from_secs(60)), "{name}");
        assert_eq!(hook.rerun, Rerun::OnReinstall, "{name}");
        assert_eq!(*hook.program.run, *std::fs::read(root().join("hooks").join(name).join("run")).unwrap());
    }
}

#[test]
fn arguments_are_completed_typed_and_normalized() {
    let given = |kind: &str, written: &str| args(&tasks(&with_hooks(&hook(kind, written)))[0]);
    assert_eq!(
        given("osd", "{ disk: /dev/sdb }"),
        json!({ "disk": "/dev/sdb", "weight": 1, "osd_count": 1, "ext_db": false, "ext_db_ratio": 0.05 })
    );
    assert_eq!(
        given(
            "osd",
            "{ disk: \"detect:A:1TB:0\", weight: \"0.50\", osd_count: \"2\", ext_db: on, ext_db_ratio: 1e-1 }"
        ),
        json!({ "disk": "detect:A:1TB:0", "weight": 0.5, "osd_count": 2, "ext_db": true, "ext_db_ratio": 0.1 })
    );
    assert_eq!(
        given("pool", "{ name: vms }"),
        json!({ "name": "vms", "pgs": 64, "tier": "default", "replcfg": "copies=3,mincopies=2" })
    );
    // What does not count is neither looked at nor given.
    assert_eq!(
        given(
            "network",
            "{ vni: 10, description: a, type: bridged, mtu: auto, domain: 7.5, ip4: yes, ip4_network: x }"
        ),
        json!({ "vni": 10, "description": "a", "type": "bridged", "mtu": "auto" })
    );
    let managed = "vni: 10, description: a, type: managed, domain: d.example.net";
    assert_eq!(
        given("network", &format!("{{ {managed}, ip6: no, ip6_network: \"\", ip4: no, ip4_dhcp: yes }}")),
        json!({ "vni": 10, "description": "a", "type": "managed", "domain": "d.example.net", "ip4": false, "ip6": false })
    );
    assert_eq!(given("webhook", "{ uri: \"http://192.0.2.1\", action: PuT }")["action"], "PUT");
    let body = given("webhook", "{ uri: \"http://192.0.2.1\", action: get, body: [\"{{ local_domain }}\", no, 1.5] }");
    assert_eq!(body["body"], json!(["c1.example.net", false, 1.5]));
}

#[test]
fn wrong_arguments_are_found_at_their_line() {
    let network = "vni: 1, description: a, type: managed, domain: a.example.net";
    let cases = [
        ("osddb", "{}", "missing-key"),
        ("osddb", "{ disk: \"0\" }", "bad-disk"),
        ("osddb", "{ disk: /dev/sda, sidk: 1 }", "unknown-key"),
        ("osd", "{ disk: sda }", "bad-disk"),
        ("osd", "{ disk: /dev/sda, weight: heavy }", "wrong-type"),
        ("osd", "{ disk: /dev/sda, weight: -1 }", "out-of-range"),
        ("osd", "{ disk: /dev/sda, osd_count: 0 }", "out-of-range"),
        ("osd", "{ disk: /dev/sda, ext_db: \"yes\" }", "wrong-type"),
        ("osd", "{ disk: /dev/sda, ext_db_ratio: 1.5 }", "out-of-range"),
        ("pool", "{ name: a b }", "bad-value"),
        ("pool", "{ name: --yes }", "bad-value"),
        ("pool", "{ name: vms, pgs: many }", "wrong-type"),
        ("pool", "{ name: vms, tier: fast }", "unknown-value"),
        ("pool", "{ name: vms, replcfg: \"copies=2,mincopies=3\" }", "bad-value"),
        ("network", "{ vni: 0, description: a, type: bridged }", "out-of-range"),
        ("network", "{ vni: 1, description: a b, type: bridged }", "bad-value"),
        ("network", "{ vni: 1, description: a, type: routed }", "unknown-value"),
        ("network", "{ vni: 1, description: a, type: bridged, mtu: big }", "wrong-type"),
        ("network", "{ vni: 1, description: a, type: managed }", "missing-key"),
        ("network", &format!("{{ {network}, dns_servers: [192.0.2.1, x] }}"), "bad-address"),
        ("network", &format!("{{ {network}, ip4: yes, ip4_network: 192.0.2.0/24 }}"), "missing-key"),
        (
            "network",
            &format!("{{ {network}, ip4: yes, ip4_network: 192.0.2.0/33, ip4_gateway: 192.0.2.1 }}"),
            "bad-address",
        ),
        (
            "network",
            &format!("{{ {network}, ip6: yes, ip6_network: \"2001:db8::/64\", ip6_gateway: 192.0.2.1 }}"),
            "bad-address",
        ),
        ("copy", "{ source: [files/motd], destination: [/a, /b], mode: [\"0600\"] }", "uneven-lists"),
        ("copy", "{ source: [files/motd], destination: [/a] }", "missing-key"),
        ("copy", "{ source: [files/motd], destination: [], mode: [\"0600\"] }", "empty-list"),
        ("copy", "{ source: [files/none], destination: [/a], mode: [\"0600\"] }", "missing-file"),
        ("copy", "{ source: [../motd], destination: [/a], mode: [\"0600\"] }", "missing-file"),
        ("copy", "{ source: [files], destination: [/a], mode: [\"0600\"] }", "missing-file"),
        ("copy", "{ source: [roles/a], destination: [/a], mode: [\"0600\"] }", "in-submodule"),
        ("copy", "{ source: [/dev/zero], destination: [/a], mode: [\"0600\"] }", "bad-path"),
        ("copy", "{ source: [/a/../b], destination: [/a], mode: [\"0600\"] }", "bad-path"),
        ("copy", "{ source: [files/motd], destination: [motd], mode: [\"0600\"] }", "bad-path"),
        ("copy", "{ source: [files/motd], destination: [/tmp/], mode: [\"0600\"] }", "bad-path"),
        ("copy", "{ source: [files/motd], destination: [/a], mode: [0600] }", "ambiguous-mode"),
        ("copy", "{ source: [files/motd], destination: [/a], mode: [\"0800\"] }", "bad-mode"),
        ("script", "{}", "missing-key"),
        ("script", "{ script: \"echo\" }", "bad-script"),
        ("script", "{ script: \"#!/bin/sh\", source: remote, path: /a }", "exclusive-keys"),
        ("script", "{ source: local }", "missing-key"),
        ("script", "{ path: /a }", "missing-key"),
        ("script", "{ source: local, path: files/none.sh }", "missing-file"),
        ("script", "{ source: elsewhere, path: /a }", "unknown-value"),
        ("script", "{ script: \"#!/bin/sh\", arguments: [\"a\\nb\"] }", "control-character"),
        ("webhook", "{ uri: \"ftp://example.net\", action: post }", "bad-uri"),
        ("webhook", "{ uri: \"http://example.net\", action: shout }", "unknown-value"),
        ("webhook", "{ uri: \"http://example.net\" }", "missing-key"),
    ];
    for (kind, written, code) in cases {
        let found = errors(&with_hooks(&hook(kind, written)));
        assert_eq!(found, [("group_vars/c1/bootstrap.yml".into(), 6, code.into())], "{kind} {written}");
    }
}

#[test]
fn what_is_said_about_running_is_read() {
    let text = "- name: a\n  type: script\n  args: { source: remote, path: x }\n";
    let plain = &tasks(&with_hooks(text))[0];
    assert_eq!((plain.idempotent, plain.rerun, plain.on_failure), (false, Rerun::OnReinstall, OnFailure::Stop));
    assert_eq!(plain.time_limit, Some(Duration::from_secs(3600)));
    let more = format!("{text}  on_failure: continue\n  retry: yes\n  rerun: on-change\n  time_limit: 1h30m\n");
    let said = &tasks(&with_hooks(&more))[0];
    assert_eq!((said.idempotent, said.rerun, said.on_failure), (true, Rerun::OnChange, OnFailure::Continue));
    assert_eq!(said.time_limit, Some(Duration::from_secs(5400)));
    for (key, code) in [
        ("on_failure: go", "unknown-value"),
        ("retry: \"yes\"", "wrong-type"),
        ("rerun: always", "unknown-value"),
        ("time_limit: soon", "bad-value"),
        ("time_limit: 0s", "bad-value"),
        ("time_limit: 999999h", "bad-value"),
        ("sudo: yes", "unknown-key"),
        ("target: hv2", "unknown-target"),
        ("target: []", "null-target"),
    ] {
        let found = errors(&with_hooks(&format!("{text}  {key}\n")));
        assert_eq!(found, [("group_vars/c1/bootstrap.yml".into(), 7, code.into())], "{key}");
    }
}

#[test]
fn files_are_carried_and_root_is_asked_for() {
    let copy =
        "{ source: [files/motd, /etc/motd], destination: [/etc/motd, /b], mode: [\"0o644\", \"0600\"], use_sudo: yes }";
    let spec = &tasks(&with_hooks(&hook("copy", copy)))[0];
    let expected = json!({ "source": ["files/0", "files/1"], "destination": ["/etc/motd", "/b"],
        "mode": ["0644", "0600"], "use_sudo": true });
    assert_eq!(args(spec), expected);
    assert_eq!(task(spec).files, [HookFile::Bytes((*b"Welcome\n").into()), HookFile::Path("/etc/motd".into())]);
    assert!(task(spec).sudo);
    let inline = "{ script: \"#!/bin/sh\\necho {{ .Names }} {% x\" }";
    let spec = &tasks(&with_hooks(&hook("script", inline)))[0];
    assert_eq!(args(spec), json!({ "script": "files/0", "use_sudo": false }));
    assert_eq!(task(spec).files, [HookFile::Bytes((*b"#!/bin/sh\necho {{ .Names }} {% x").into())]);
    assert!(!task(spec).sudo);
    let local = &tasks(&with_hooks(&hook("script", "{ source: local, path: files/setup.sh }")))[0];
    assert_eq!(args(local)["path"], "files/0");
    let remote = &tasks(&with_hooks(&hook("script", "{ source: remote, path: files/setup.sh }")))[0];
    assert_eq!((args(remote)["path"].clone(), task(remote).files.len()), (json!("files/setup.sh"), 0));
}

#[test]
fn the_digest_covers_arguments_files_and_program_and_nothing_else() {
    let digest = |tree: &Tree| tasks(tree)[0].definition.clone();
    let copy = "{ source: [files/motd], destination: [/a], mode: [\"0600\"] }";
    let tree = with_hooks(&hook("copy", copy));
    let before = digest(&tree);
    assert_eq!(digest(&with_hooks(&hook("copy", copy).replace("name: x", "name: y"))), before);
    assert_ne!(digest(&with_hooks(&hook("copy", &copy.replace("0600", "0644")))), before);
    let mut changed = tree.clone();
    changed.insert("files/motd".into(), file("Go away\n"));
    assert_ne!(digest(&changed), before);
    let mut own = tree;
    let read = |name: &str| file(std::fs::read_to_string(root().join("hooks/copy").join(name)).unwrap());
    own.insert("hooks/copy/hook.yaml".into(), read("hook.yaml"));
    own.insert("hooks/copy/run".into(), read("run"));
    assert_eq!(digest(&own), before);
    own.insert("hooks/copy/run".into(), file("#!/bin/sh\nexit 0\n"));
    assert_ne!(digest(&own), before);
}
