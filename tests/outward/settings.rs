//! Settings of notifications and commit statuses.

use std::path::Path;

use rackwright::model::{ClusterName, NoticeKind};
use rackwright::settings::{self, ForgeKind, Settings, Uri};

const SMALL: &str = "repository: { url: /srv/infra.git }\nnetwork:\n  address: 10.255.255.1\n  dhcp: { mode: off }\n";

fn parse(more: &str) -> Settings {
    settings::parse(&format!("{SMALL}{more}"), Path::new("/etc/rack")).unwrap_or_else(|wrong| panic!("{wrong:#?}"))
}

fn wrong(more: &str) -> Vec<String> {
    let findings = settings::parse(&format!("{SMALL}{more}"), Path::new("/etc/rack")).unwrap_err();
    findings.iter().map(|finding| format!("{} {} {}", finding.line, finding.code, finding.message)).collect()
}

#[test]
fn pvc_s_block_is_a_receiver_of_everything_that_matters() {
    let settings = parse(
        "notifications:\n  enabled: yes\n  uri: https://chat.example.net/hooks/geheim\n  action: post\n  \
         icons: { info: i }\n  completed_triggerword: done\n  body: { text: '{icon} {message}' }\n",
    );
    let [block] = &settings.notifications[..] else { panic!("{:?}", settings.notifications) };
    assert_eq!((block.receiver.name.as_str(), block.method.as_str()), ("default", "POST"));
    assert!(block.receiver.clusters.is_empty());
    let events: Vec<_> = block.receiver.events.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(events, ["begin", "success", "failure", "completed"]);
    assert_eq!(settings.policy().receivers, std::slice::from_ref(&block.receiver));
    assert!(!settings.policy().commit_status && !format!("{settings:?}").contains("geheim"));
    assert_eq!(parse("notifications: { enabled: false }\n").notifications, []);
}

#[test]
fn receivers_take_what_they_do_not_say_from_the_block() {
    let settings = parse(
        "notifications:\n  uri_file: chat.uri\n  events: [begin, completed]\n  action: put\n  body: { a: '{message}' }\n  \
         completed_triggerword: done\n  receivers:\n    - name: storage\n      clusters: [c1, c2]\n      events: failure\n      \
         uri: https://storage.example.net/x\n      icons: { failure: F }\n    - { name: all, uri_file: /run/all, body: { b: 1 } }\n",
    );
    let names: Vec<_> = settings.notifications.iter().map(|it| it.receiver.name.as_str()).collect();
    assert_eq!(names, ["default", "storage", "all"]);
    let [block, storage, all] = &settings.notifications[..] else { panic!() };
    assert_eq!(block.uri, Uri::File("/etc/rack/chat.uri".into()));
    assert_eq!(storage.receiver.clusters, ["c1", "c2"].map(ClusterName::new).into());
    assert_eq!(storage.receiver.events, [NoticeKind::Failure].into());
    assert_eq!((storage.method.as_str(), &storage.body), ("PUT", &block.body));
    assert_eq!((storage.icons["failure"].as_str(), storage.icons["begin"].as_str()), ("F", "🤞"));
    assert_eq!((all.completed_triggerword.as_str(), &all.receiver.events), ("done", &block.receiver.events));
    assert_eq!(all.body, serde_json::json!({ "b": 1 }));
    // Without an address of its own the block only gives defaults.
    let only = parse("notifications: { receivers: [{ name: a, uri: 'https://a.example.net' }] }\n");
    assert_eq!(only.notifications.len(), 1);
}

#[test]
fn mistakes_are_told_with_their_line_and_without_the_address() {
    assert_eq!(
        wrong("notifications: { action: post }\n"),
        ["5 missing-key `notifications` needs `uri`, `uri_file` or `receivers`"]
    );
    let told = wrong(
        "notifications:\n  uri: geheim\n  uri_file: x\n  events: [begin, sometimes]\n  receivers:\n    - { name: a }\n    \
         - { name: a, uri: 'https://a.example.net', event: begin }\n    - { uri: 'https://a.example.net' }\n    \
         - { name: default, uri: 'https://a.example.net', events: [] }\n",
    );
    let codes: Vec<_> = told.iter().map(|text| text.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        codes,
        [
            "6 bad-value",
            "8 bad-value",
            "10 missing-key",
            "11 duplicate-name",
            "11 unknown-key",
            "12 missing-key",
            "13 duplicate-name",
            "13 bad-value",
        ],
        "{told:#?}"
    );
    assert!(!told.concat().contains("geheim"), "{told:#?}");
    let both = "notifications: { uri: 'https://a.example.net', uri_file: x }\n";
    assert!(wrong(both)[0].contains("both-given"));
}

#[test]
fn a_forge_is_named_with_everything_it_takes() {
    let text = "commit_status: { forge: gitea, api: 'https://forge.example.net/api/v1/', repository: ops/infra, token_file: t }\n";
    let settings = parse(text);
    assert!(settings.policy().commit_status);
    let forge = settings.commit_status.unwrap();
    assert_eq!((forge.kind, forge.api.as_str()), (ForgeKind::Gitea, "https://forge.example.net/api/v1"));
    assert_eq!(forge.token_file, Path::new("/etc/rack/t"));
    let deep = text.replace("gitea", "gitlab").replace("ops/infra", "a/b/c");
    assert_eq!(parse(&deep).commit_status.unwrap().kind, ForgeKind::Gitlab);
    for (from, to, told) in [
        ("gitea", "svn", "none of github, gitlab, gitea"),
        ("ops/infra", "infra", "is not owner/name"),
        ("ops/infra", "a/b/c", "is not owner/name"),
        ("ops/infra", "a/../b", "is not owner/name"),
        ("https://forge", "https://me:geheim@forge", "credentials"),
        ("https://forge", "forge", "not a http:// or https:// URL"),
        (", token_file: t", "", "`commit_status.token_file` is required"),
    ] {
        let findings = wrong(&text.replace(from, to));
        assert!(findings.len() == 1 && findings[0].contains(told), "{findings:#?}");
        assert!(!findings[0].contains("geheim"));
    }
}

#[test]
fn allowed_signers_without_a_key_of_our_own_are_warned_of_and_with_one_not() {
    let signing = |more: &str| {
        let text = SMALL.replace("infra.git }", &format!("infra.git, allowed_signers: s{more} }}"));
        settings::parse(&text, Path::new("/etc/rack")).unwrap().repository.signing_key
    };
    assert_eq!(signing(""), None, "a warning does not stop the daemon");
    assert_eq!(signing(", signing_key: k").as_deref(), Some(Path::new("/etc/rack/k")));
}
