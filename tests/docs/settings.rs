//! The settings that documents show are good; `docs/reference/settings.md` names every key, with the default it has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rackwright::settings::{Settings, parse};

use super::blocks::fenced;
use super::page;

/// The keys that must be there, with DHCP on.
const LEAST: &str = "repository.url: /srv/git/infra.git
network.address: 10.0.0.1
network.dhcp.subnets[].subnet: 10.0.0.0/24
network.dhcp.subnets[].range: 10.0.0.100-10.0.0.199
";

fn settings(text: &str) -> Settings {
    parse(text, Path::new("/etc/rackwright")).unwrap_or_else(|findings| panic!("{findings:#?}\n{text}"))
}

#[test]
fn the_settings_shown_are_good() {
    let text = page("docs/how-to/install-a-first-machine.md");
    let shown = fenced(&text).into_iter().find(|block| block.info == "yaml settings").expect("a settings file");
    let settings = settings(&shown.text);
    assert_eq!(settings.network.subnets.len(), 1);
    assert_eq!(settings.repository.branch, "main");
}

/// `a.b: c` lines as YAML in flow style, nested as the keys say; `[]` is a list of one.
fn nested(lines: &str) -> String {
    let mut tree = serde_json::Value::Null;
    for (key, value) in lines.lines().filter_map(|line| line.split_once(": ")) {
        let mut at = &mut tree;
        for part in key.split('.') {
            at = match part.strip_suffix("[]") {
                Some(list) => &mut at[list],
                None => &mut at[part],
            };
            if part.ends_with("[]") {
                if at.is_null() {
                    *at = serde_json::json!([null]);
                }
                at = &mut at[0];
            }
        }
        *at = serde_json::Value::String(value.to_owned());
    }
    flow(&tree)
}

/// Values as they are written on the page.
fn flow(tree: &serde_json::Value) -> String {
    match tree {
        serde_json::Value::String(written) => written.clone(),
        serde_json::Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        serde_json::Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        _ => String::new(),
    }
}

/// Key -> default, as the page's tables say.
fn documented() -> BTreeMap<String, String> {
    let text = page("docs/reference/settings.md");
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let key = cells.next()?.strip_suffix('`')?;
        let words = ["full", "proxy", "off"];
        (!words.contains(&key)).then_some((key.to_owned(), cells.next()?.to_owned()))
    });
    rows.collect()
}

#[test]
fn every_setting_is_documented() {
    let documented: BTreeSet<String> = documented().into_keys().collect();
    let mut sections: BTreeSet<String> = BTreeSet::from([String::new()]);
    for key in &documented {
        sections.extend(key.match_indices('.').map(|(at, _)| key[..at].to_owned()));
    }
    for section in sections {
        let prefix = if section.is_empty() { String::new() } else { format!("{section}.") };
        let text = nested(&format!("{LEAST}{prefix}qqqqqqqqqqqq: x\n"));
        let findings = parse(&text, Path::new("/")).expect_err("an unknown key");
        let hint = findings.iter().find(|it| it.code == "unknown-key").and_then(|it| it.hint.clone());
        let hint = hint.unwrap_or_else(|| panic!("{section}: {findings:#?}"));
        let (_, known) = hint.split_once(": ").expect("the known keys");
        let known: BTreeSet<String> = known.split(", ").map(|key| format!("{prefix}{key}")).collect();
        let head = |key: &String| {
            let rest = key.strip_prefix(&prefix)?;
            Some(format!("{prefix}{}", rest.split('.').next()?.trim_end_matches("[]")))
        };
        let told: BTreeSet<String> = documented.iter().filter_map(head).collect();
        assert_eq!(told, known, "keys of `{section}` on the page, and those that the program knows");
    }
}

#[test]
fn the_defaults_shown_are_the_programs() {
    let least = settings(&nested(LEAST));
    let mut tried = 0;
    for (key, default) in documented() {
        let Some(value) = default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) else { continue };
        assert_eq!(settings(&nested(&format!("{LEAST}{key}: {value}\n"))), least, "{key}: {value}");
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
}
