//! The settings file: its defaults, everything it can say, and how its mistakes are told.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use rackwright::settings::{self, BmcTls, DhcpMode, Settings};

fn parse(text: &str) -> Settings {
    settings::parse(text, Path::new("/etc/rack")).unwrap_or_else(|findings| panic!("{findings:#?}"))
}

/// `line code` of every finding.
fn wrong(text: &str) -> Vec<String> {
    let findings = settings::parse(text, Path::new("/etc/rack")).expect_err("it must be refused");
    findings.iter().map(|finding| format!("{} {}", finding.line, finding.code)).collect()
}

const SMALL: &str = "
repository: { url: repo.git }
network:
  address: 10.255.255.1
  dhcp: { subnets: [ { subnet: 10.255.255.0/24, range: 10.255.255.100-10.255.255.199 } ] }
";

#[test]
fn a_small_file_gets_every_default() {
    let settings = parse(SMALL);
    let (repository, network) = (&settings.repository, &settings.network);
    assert_eq!(repository.url, "/etc/rack/repo.git");
    assert_eq!((repository.branch.as_str(), repository.status_branch.as_str()), ("main", "rackwright/status"));
    assert_eq!(repository.poll_interval, Duration::from_secs(30));
    assert_eq!(settings.state_dir, Path::new("/var/lib/rackwright"));
    assert_eq!((network.address, network.listen), (Ipv4Addr::new(10, 255, 255, 1), Ipv4Addr::new(10, 255, 255, 1)));
    assert_eq!((network.dhcp_port, network.tftp_port, network.http_port), (67, 69, 9999));
    assert_eq!((network.tftp_root.as_deref(), network.ipxe.as_path()), (None, Path::new("/usr/lib/ipxe")));
    assert_eq!((network.dhcp_mode, network.subnets[0].lease_time), (DhcpMode::Full, Duration::from_secs(3600)));
    assert_eq!((&settings.bmc.tls, settings.bmc.concurrency), (&BmcTls::Pin, 32));
    assert_eq!((settings.bmc.port, settings.bmc.ipmi_port), (443, 623));
    assert_eq!(settings.limits.concurrent_installs, 64);
    assert_eq!((settings.deploy.username.as_str(), settings.debian.release.as_str()), ("deploy", "bookworm"));
    assert_eq!((settings.ansible.playbook.as_str(), settings.ansible.timeout.as_secs()), ("ansible-playbook", 7200));
    assert!(settings.notifications.is_empty());

    let (policy, default) = (settings.policy(), rackwright::model::Policy::default());
    assert_eq!(policy.boot_timeout, default.boot_timeout);
    assert_eq!(policy.site.http_base(), "http://10.255.255.1:9999");
    assert!(policy.site.leases_are_ours && policy.receivers.is_empty());
}

const LARGE: &str = r##"
repository:
  url: ssh://git@forge.example.net/infra.git
  branch: production
  status_branch: rackwright/status
  poll_interval: 1m30s
  ssh_key: id_ed25519
  known_hosts: /etc/ssh/known
  webhook_secret_file: hook
  allowed_signers: signers
state_dir: state
network:
  address: 10.255.255.1
  listen: 0.0.0.0
  interface: br-boot
  dhcp:
    mode: proxy
    port: 0
    subnets:
      - subnet: 10.255.255.0/24
        range: 10.255.255.100-10.255.255.199
        gateway: 10.255.255.1
        dns: [10.255.255.1, 10.255.255.2]
        domain: boot.example.net
        ntp: 10.255.255.3
        lease_time: 2h
  tftp: { port: 0, root: /srv/tftp }
  http: { port: 0 }
deploy: { username: ops, ssh_key: id_ed25519 }
debian: { mirror: http://mirror.example.net/debian/, release: trixie }
ansible: { playbook: ./venv/bin/ansible-playbook, vault_password_file: null, timeout: 3h }
bmc: { tls: { ca: ca.pem }, concurrency: 5, port: 8443 }
limits: { concurrent_installs: 2, boot_timeout: 3m, backoff: 100ms, publish_debounce: 0s }
notifications:
  uri: https://chat.example.net/hooks/geheim
  action: put
  icons: { info: "i" }
  completed_triggerword: "#done"
  body: { text: "{icon} {message}", depth: { n: [1, true, null] } }
"##;

#[test]
fn a_large_file_says_everything() {
    let settings = parse(LARGE);
    assert_eq!(settings.repository.poll_interval, Duration::from_secs(90));
    assert_eq!(settings.repository.ssh_key.as_deref(), Some(Path::new("/etc/rack/id_ed25519")));
    assert_eq!(settings.repository.known_hosts.as_deref(), Some(Path::new("/etc/ssh/known")));
    assert_eq!(settings.state_dir, Path::new("/etc/rack/state"));
    let network = &settings.network;
    assert_eq!((network.listen, network.dhcp_port), (Ipv4Addr::UNSPECIFIED, 0));
    assert_eq!(network.dhcp_mode, DhcpMode::Proxy);
    assert_eq!((network.subnets[0].dns.len(), network.subnets[0].ntp.len()), (2, 1));
    assert_eq!(settings.debian.mirror, "http://mirror.example.net/debian");
    assert_eq!(settings.ansible.playbook, "/etc/rack/./venv/bin/ansible-playbook");
    assert_eq!(settings.bmc.tls, BmcTls::Ca("/etc/rack/ca.pem".into()));
    let notifications = &settings.notifications[0];
    assert_eq!(notifications.method, "PUT");
    assert_eq!((notifications.icons["info"].as_str(), notifications.icons["begin"].as_str()), ("i", "🤞"));
    assert_eq!(notifications.body["depth"]["n"], serde_json::json!([1, true, null]));
    let policy = settings.policy();
    assert_eq!((policy.concurrent_bmc, policy.backoff_base), (5, Duration::from_millis(100)));
    assert!(!policy.receivers.is_empty() && !policy.site.leases_are_ours);
    assert!(!format!("{settings:?}").contains("geheim"));
}

#[test]
fn certificates_are_checked_as_asked() {
    for (written, read) in [
        ("pin", BmcTls::Pin),
        ("insecure", BmcTls::Insecure),
        ("'ca:/x.pem'", BmcTls::Ca("/x.pem".into())),
        ("'ca: x.pem'", BmcTls::Ca("/etc/rack/x.pem".into())),
    ] {
        assert_eq!(parse(&format!("{SMALL}bmc: {{ tls: {written} }}\n")).bmc.tls, read, "{written}");
    }
    assert_eq!(wrong(&format!("{SMALL}bmc: {{ tls: off }}\n")), ["6 bad-value"]);
}

#[test]
fn every_mistake_is_told_at_once_with_its_line() {
    let text = "\
repository:
  branch: 'two words'
  poll_intervall: 30s
network:
  address: 10.255.255.1
  dhcp:
    mode: ful
    port: 70000
    subnets:
      - subnet: 10.0.0.5/24
        range: 10.0.0.1-10.0.0.9
      - subnet: 10.1.0.0/24
        range: 10.1.1.1-10.1.1.9
        gateway: 10.2.0.1
      - subnet: 10.1.0.0/16
        range: 10.1.2.9-10.1.2.1
limits: { boot_timeout: 10 }
colour: red
bmc: [pin]
";
    let expected = [
        "2 missing-key",
        "2 bad-value",
        "3 unknown-key",
        "7 bad-value",
        "8 bad-value",
        "10 bad-value",
        "13 range-off-subnet",
        "14 gateway-off-subnet",
        "16 bad-value",
        "17 bad-value",
        "18 unknown-key",
        "19 wrong-type",
    ];
    let mut found = wrong(text);
    let mut expected = expected.map(String::from).to_vec();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let findings = settings::parse(text, Path::new("/")).unwrap_err();
    let typo = findings.iter().find(|finding| finding.line == 3).unwrap();
    assert_eq!(typo.hint.as_deref(), Some("did you mean `poll_interval`?"));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let base = "repository: { url: /r }\nnetwork:\n  address: 10.0.0.1\n";
    let with = |rest: &str| wrong(&format!("{base}{rest}"));
    assert_eq!(with(""), ["3 no-subnet"]);
    assert_eq!(
        with("  dhcp: { subnets: [{ subnet: 10.0.0.0/24, range: 10.0.0.1-10.0.0.9 }] }"),
        ["4 address-in-range"]
    );
    assert_eq!(with("  dhcp: { mode: proxy, port: 69 }"), ["3 port-conflict"]);
    let overlapping = "  dhcp:
    subnets:
      - { subnet: 10.0.0.0/24, range: 10.0.0.10-10.0.0.20 }
      - { subnet: 10.0.0.0/25, range: 10.0.0.30-10.0.0.40 }";
    assert_eq!(with(overlapping), ["7 subnet-overlap"]);
    let ends = "  dhcp: { subnets: [{ subnet: 10.0.1.0/24, range: 10.0.1.10-10.0.1.255 }] }";
    assert_eq!(with(ends), ["4 range-off-subnet"]);
    let branches =
        wrong("repository: { url: /r, branch: rackwright }\nnetwork: { address: 10.0.0.1, dhcp: { mode: off } }");
    assert_eq!(branches, ["1 branch-conflict"]);
    parse(&format!("{base}  dhcp: {{ mode: off }}"));
}

#[test]
fn nonsense_is_a_finding_and_never_a_panic() {
    for text in ["", "- a", "a: [", "repository", "\u{0}", "repository: { url: &a [*a] }", "? {a: b}\n: c", "1: 2"] {
        assert!(settings::parse(text, Path::new("/")).is_err(), "{text:?}");
    }
    assert_eq!(wrong("repository: { url: /r }\nrepository: { url: /s }\n"), ["2 yaml"]);
    let secret = wrong_text(&format!("{SMALL}notifications: {{ uri: 'geheim' }}"));
    assert!(secret.contains("notifications.uri") && !secret.contains("geheim"), "{secret}");
    let fraction =
        wrong_text("repository: { url: /r, branch: 1.10 }\nnetwork: { address: 10.0.0.1, dhcp: { mode: off } }");
    assert!(fraction.contains("quotes"), "{fraction}");
}

fn wrong_text(text: &str) -> String {
    let findings = settings::parse(text, Path::new("/")).expect_err("it must be refused");
    findings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_is_read_with_its_directory_as_base() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rackwright.yaml");
    std::fs::write(&file, SMALL).unwrap();
    assert_eq!(settings::load(&file).unwrap().repository.url, dir.path().join("repo.git").to_str().unwrap());
    std::fs::write(&file, "repository: {}\n").unwrap();
    let error = settings::load(&file).unwrap_err().to_string();
    assert!(error.contains("rackwright.yaml:1:") && error.contains("`repository.url` is required"), "{error}");
    assert!(settings::load(Path::new("/no/such/file")).unwrap_err().to_string().starts_with("/no/such/file: "));
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let _ = settings::parse(&text, Path::new("/"));
    }
}
