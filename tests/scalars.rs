//! Settings and repository read the same scalars the same way: one table, both readers.

use std::path::Path;

use rackwright::model::Severity;
use rackwright::{repo, settings};

use crate::rig::repo::{c1, context};

/// A kind of value: the lines of a settings file and of a `bootstrap.yml` that want one, with `@` for the value.
struct Kind {
    settings: &'static str,
    repository: &'static str,
}

static TEXT: Kind = Kind { settings: "deploy: { username: @ }", repository: "    bmc: { username: @ }" };
static BOOLEAN: Kind = Kind { settings: "notifications: { enabled: @ }", repository: "    bmc: { redfish: @ }" };
static NUMBER: Kind = Kind {
    settings: "limits: { concurrent_installs: @ }",
    repository: "    node: { hostname: h1, generation: @ }\n    bmc: { protocol: none }",
};
static DURATION: Kind =
    Kind { settings: "limits: { boot_timeout: @ }", repository: "hooks: [ { name: n, type: script, time_limit: @ } ]" };
static ADDRESS: Kind = Kind {
    settings: "network: { address: @, dhcp: { mode: off } }",
    repository: "    bmc: { protocol: none }\n    config: { address: @ }",
};

/// Scalars as written, and whether they are accepted.
static TABLE: &[(&Kind, &str, bool)] = &[
    (&TEXT, "deploy", true),
    (&TEXT, "'deploy'", true),
    (&TEXT, "12", true),
    (&TEXT, "'yes'", true),
    (&TEXT, "!!str yes", true),
    (&TEXT, "yes", false),
    (&TEXT, "Off", false),
    (&TEXT, "true", false),
    (&TEXT, "1.10", false),
    (&TEXT, "0644", false),
    (&TEXT, "0x1f", false),
    (&TEXT, "1_000", false),
    (&TEXT, "12:30", false),
    (&TEXT, "52:54:00:12:34:56", false),
    (&TEXT, "'52:54:00:12:34:56'", true),
    (&TEXT, "52:54:00:ab:cd:ef", true),
    (&TEXT, "[a]", false),
    (&TEXT, "{ a: b }", false),
    (&BOOLEAN, "yes", true),
    (&BOOLEAN, "No", true),
    (&BOOLEAN, "ON", true),
    (&BOOLEAN, "off", true),
    (&BOOLEAN, "true", true),
    (&BOOLEAN, "'yes'", false),
    (&BOOLEAN, "\"true\"", false),
    (&BOOLEAN, "1", false),
    (&BOOLEAN, "y", false),
    (&BOOLEAN, "~", true),
    (&BOOLEAN, "Null", true),
    (&NUMBER, "3", true),
    (&NUMBER, "null", true),
    (&NUMBER, "'3'", true),
    (&NUMBER, "0", false),
    (&NUMBER, "03", false),
    (&NUMBER, "0x3", false),
    (&NUMBER, "0o3", false),
    (&NUMBER, "1_0", false),
    (&NUMBER, "+3", false),
    (&NUMBER, "-3", false),
    (&NUMBER, "3.0", false),
    (&NUMBER, "yes", false),
    (&NUMBER, "99999999999999999999", false),
    (&DURATION, "30s", true),
    (&DURATION, "1h", true),
    (&DURATION, "2h30m", true),
    (&DURATION, "2d", true),
    (&DURATION, "1500ms", true),
    (&DURATION, "'5m'", true),
    (&DURATION, "0s", false),
    (&DURATION, "30", false),
    (&DURATION, "1.5h", false),
    (&DURATION, "1y", false),
    (&DURATION, "1:30", false),
    (&DURATION, "-1s", false),
    (&ADDRESS, "192.0.2.9", true),
    (&ADDRESS, "'192.0.2.9'", true),
    (&ADDRESS, "192.0.2", false),
    (&ADDRESS, "192.0.2.256", false),
    (&ADDRESS, "192.0.2.010", false),
    (&ADDRESS, "2001:db8::1", false),
    (&ADDRESS, "no", false),
];

const SITE: &str = "repository: { url: /r }\n";
const NETWORK: &str = "network: { address: 192.0.2.1, dhcp: { mode: off } }\n";

/// Errors of a settings file that ends with these lines.
fn in_settings(lines: &str) -> Vec<String> {
    let network = if lines.contains("network:") { "" } else { NETWORK };
    let lines = lines.replace("notifications: {", "notifications: { uri: 'http://chat.example.net/',");
    let read = settings::parse(&format!("{SITE}{network}{lines}\n"), Path::new("/"));
    read.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// Errors of a `bootstrap.yml` whose machine or end these lines are.
fn in_repository(lines: &str) -> Vec<String> {
    let machine = match lines.starts_with(' ') {
        true if lines.contains("node:") => lines.to_owned(),
        true => format!("    node: {{ hostname: h1 }}\n{lines}"),
        false => format!("    node: {{ hostname: h1 }}\n    bmc: {{ protocol: none }}\n{lines}"),
    };
    let tree = c1(&format!("cluster: {{ ansible: none }}\nbootstrap:\n  \"52:54:00:00:00:01\":\n{machine}\n"));
    let subnets = [crate::rig::repo::subnet([192, 0, 2])];
    let loaded = repo::load(&tree, &repo::Context { subnets: &subnets, ..context() });
    let errors = loaded.findings.into_iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| finding.message).collect()
}

/// Errors that these lines have and those others have not: what else the machine lacks does not matter here.
fn new_in_repository(lines: &str, good: &str) -> Vec<String> {
    let known = in_repository(good);
    in_repository(lines).into_iter().filter(|error| !known.contains(error)).collect()
}

#[test]
fn settings_and_repository_accept_and_refuse_the_same_scalars() {
    let mut wrong = Vec::new();
    for (kind, written, accepted) in TABLE {
        let settings = in_settings(&kind.settings.replace('@', written));
        let (_, good, _) = TABLE.iter().find(|(of, _, _)| std::ptr::eq(*of, *kind)).unwrap();
        let repository = new_in_repository(&kind.repository.replace('@', written), &kind.repository.replace('@', good));
        if settings.is_empty() != *accepted {
            wrong.push(format!("settings, {written} in {}: {settings:?}", kind.settings));
        }
        if repository.is_empty() != *accepted {
            wrong.push(format!("repository, {written} in {}: {repository:?}", kind.repository));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn both_refuse_the_same_mappings() {
    for (settings, repository, told) in [
        ("deploy: { usrname: a }", "    bmc: { usrname: a }", "usrname"),
        (
            "deploy: { username: a, username: b }",
            "    bmc: { username: a, username: b }",
            "`username` is written twice",
        ),
        ("deploy: [a]", "    bmc: [a]", "must be a mapping, not a list"),
        ("deploy: yes", "    bmc: yes", "must be a mapping, not a boolean"),
        ("deploy: { [a]: b }", "    bmc: { [a]: b }", "cannot be a key"),
        ("deploy: *a", "    bmc: *a", "not valid YAML"),
        ("---\ndeploy: {}", "---\nbootstrap: {}", "second YAML document"),
    ] {
        for found in [in_settings(settings), in_repository(repository)] {
            assert!(found.iter().any(|finding| finding.contains(told)), "{told}: {found:#?}");
        }
    }
    // A merge key works in both.
    assert_eq!(in_settings("deploy: { <<: { username: a } }"), Vec::<String>::new());
    let (merged, plain) = ("    bmc: { <<: { protocol: none } }", "    bmc: { protocol: none }");
    assert_eq!(in_repository(merged), in_repository(plain));
}

#[test]
fn a_vaulted_value_is_refused_in_settings_without_being_shown() {
    let found = in_settings("deploy: { username: !vault geheim }");
    assert!(found.len() == 1 && found[0].contains("encrypted") && !found[0].contains("geheim"), "{found:?}");
}
