//! The JSON Schemas: as generated, and in step with the reader.

use rackwright::repo::file::{KEYS, schemas};
use rackwright::repo::hook::directory::shipped;
use serde_json::Value;

use crate::rig::repo::{c1, errors, load, root};

#[test]
fn the_schemas_are_those_of_the_code() {
    let directory = root().join("repo-schema/v1");
    let bless = std::env::var_os("RACKWRIGHT_BLESS").is_some();
    let mut names = Vec::new();
    for (name, text) in schemas() {
        let path = directory.join(format!("{name}.schema.json"));
        if bless {
            std::fs::write(&path, &text).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "{} is not what the code says; run this test with RACKWRIGHT_BLESS=1", path.display());
        names.push(format!("{name}.schema.json"));
    }
    let mut there: Vec<_> =
        std::fs::read_dir(&directory).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    assert_eq!(there, names);
}

fn definition(name: &str) -> Value {
    let bootstrap: Value = serde_json::from_str(&schemas()["bootstrap"]).unwrap();
    bootstrap["$defs"][name].clone()
}

fn properties(schema: &Value) -> Vec<String> {
    schema["properties"].as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn the_reader_knows_exactly_the_schemas_keys() {
    let pairs = [
        ("Host", &KEYS.host),
        ("HostNode", &KEYS.node),
        ("Config", &KEYS.config),
        ("DiskHints", &KEYS.disk_hints),
        ("Bmc", &KEYS.bmc),
        ("Cluster", &KEYS.cluster),
        ("Playbook", &KEYS.ansible),
        ("Hook", &KEYS.hook),
    ];
    for (name, known) in pairs {
        let schema = definition(name);
        assert_eq!(properties(&schema), *known, "{name}");
        assert_eq!(schema["additionalProperties"], false, "{name}");
        assert!(!known.is_empty(), "{name}");
    }
    let hook: Value = serde_json::from_str(&schemas()["hook"]).unwrap();
    assert_eq!(properties(&hook), KEYS.definition);
    assert_eq!(properties(&hook["$defs"]["Argument"]), KEYS.argument);
    assert_eq!(properties(&hook["$defs"]["Items"]), KEYS.items);
    assert_eq!(hook["$defs"]["Items"]["additionalProperties"], false);
}

/// An editor is told the arguments of every shipped hook, from the definitions that the reader uses.
#[test]
fn the_schema_has_the_arguments_of_every_shipped_hook() {
    let rules = definition("Hook")["allOf"].clone();
    let rules = rules.as_array().unwrap();
    assert_eq!(rules.len(), shipped().len());
    for (rule, (name, hook)) in rules.iter().zip(shipped()) {
        let hook = hook.as_ref().unwrap();
        assert_eq!(rule["if"]["properties"]["type"]["const"], **name);
        let there = rule["then"]["properties"]["args"]["$ref"].as_str().unwrap();
        let args = definition(there.strip_prefix("#/$defs/").unwrap());
        let known: Vec<_> = hook.args.iter().map(|argument| argument.name.clone()).collect();
        assert_eq!(properties(&args), known, "{name}");
        assert_eq!(args["additionalProperties"], false, "{name}");
        for argument in &hook.args {
            assert_eq!(args["properties"][&argument.name]["description"], argument.description, "{name}");
        }
    }
}

/// Every key is looked at: a value that no key of its kind can have is refused for each.
#[test]
fn every_key_is_read() {
    let config = |key: &str| {
        let text = if key == "system_disks" { "" } else { "system_disks: [/dev/sda], " };
        format!("config: {{ {text}{key}: {{ a: [] }} }}\n    bmc: {{ protocol: none }}")
    };
    let bmc = |key: &str| match key {
        "bios_settings" | "manager_settings" => {
            format!("config: {{ system_disks: [/dev/sda] }}\n    bmc: {{ protocol: none, {key}: [1] }}")
        }
        _ => {
            let text = if key == "protocol" { "" } else { "protocol: none, " };
            format!("config: {{ system_disks: [/dev/sda] }}\n    bmc: {{ {text}{key}: {{ a: [] }} }}")
        }
    };
    let hosts = KEYS.config.iter().map(|key| (key, config(key))).chain(KEYS.bmc.iter().map(|key| (key, bmc(key))));
    for (key, rest) in hosts {
        let text = format!(
            "cluster: {{ ansible: none }}\nbootstrap:\n  \"52:54:00:aa:00:01\":\n    node: {{ hostname: hv1 }}\n    {rest}\n"
        );
        assert!(load(&c1(&text)).desired.is_none(), "{key} is not read:\n{text}");
    }
    for key in &KEYS.cluster {
        let text = format!("cluster: {{ {key}: {{ a: [] }} }}\nbootstrap: {{}}\n");
        assert!(!errors(&text).is_empty(), "cluster.{key} is not read");
    }
}

#[test]
fn the_example_names_the_right_schemas() {
    let root = root().join("repo-schema/example");
    for name in ["clusters", "group_vars/cluster1/base", "group_vars/cluster1/pvc", "group_vars/edge/bootstrap"] {
        let path = root.join(format!("{name}.yml"));
        let text = std::fs::read_to_string(&path).unwrap();
        let hint = text.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema=")).unwrap();
        let schema = path.parent().unwrap().join(hint);
        assert!(schema.is_file(), "{} points to {hint}", path.display());
        let base = name.rsplit('/').next().unwrap();
        assert!(hint.ends_with(&format!("/{base}.schema.json")), "{hint}");
    }
}
