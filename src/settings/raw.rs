//! From the text of `rackwright.yaml` to [`Settings`]: every key, its default, and what must fit together.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::section::{Findings, Section};
use super::{
    Ansible, Bmc, BmcTls, Debian, Deploy, DhcpMode, Limits, Network, Repository, SecretSources, Settings, outward,
    parse,
};
use crate::model::{Finding, Policy, Severity, Subnet};
use crate::yaml;

/// Where Debian's package `ipxe` has its binaries.
const IPXE: &str = "/usr/lib/ipxe";
const HOUR: Duration = Duration::from_secs(3600);
/// Reads the whole file. What comes back means nothing when there is an error among the findings.
pub fn settings(mut file: Section<'_>, base: &Path) -> Settings {
    let defaults = Policy::default();
    let settings = Settings {
        repository: repository(file.section("repository"), base, &defaults),
        state_dir: file.parse("state_dir", parse::path(base)).unwrap_or_else(|| "/var/lib/rackwright".into()),
        network: network(file.section("network"), base),
        deploy: deploy(file.section("deploy"), base),
        debian: debian(file.section("debian")),
        ansible: ansible(file.section("ansible"), base),
        bmc: bmc(file.section("bmc"), base, &defaults),
        limits: limits(file.section("limits"), &defaults),
        secrets: secrets(file.section("secrets"), base),
        notifications: file
            .present("notifications")
            .map_or_else(Vec::new, |section| outward::notifications(section, base)),
        commit_status: file.present("commit_status").map(|section| outward::forge(section, base)),
    };
    file.finish();
    settings
}

fn repository(mut at: Section<'_>, base: &Path, defaults: &Policy) -> Repository {
    let repository = Repository {
        url: at.require("url", parse::repository(base)).unwrap_or_default(),
        branch: at.parse("branch", parse::branch).unwrap_or_else(|| "main".into()),
        status_branch: at.parse("status_branch", parse::branch).unwrap_or_else(|| "rackwright/status".into()),
        poll_interval: at.parse("poll_interval", parse::pause).unwrap_or(defaults.poll_interval),
        ssh_key: at.parse("ssh_key", parse::path(base)),
        known_hosts: at.parse("known_hosts", parse::path(base)),
        webhook_secret_file: at.parse("webhook_secret_file", parse::path(base)),
        allowed_signers: at.parse("allowed_signers", parse::path(base)),
        signing_key: at.parse("signing_key", parse::path(base)),
    };
    let (watched, status) = (format!("{}/", repository.branch), format!("{}/", repository.status_branch));
    if watched.starts_with(&status) || status.starts_with(&watched) {
        let message = format!(
            "the status branch `{}` and the watched branch `{}` cannot exist beside each other",
            repository.status_branch, repository.branch
        );
        at.findings().error(at.place("status_branch"), "branch-conflict", message, None);
    }
    if repository.allowed_signers.is_some() && repository.signing_key.is_none() {
        let message =
            "without `signing_key` files that playbooks make cannot be committed: the commit would be refused";
        at.findings().warning(at.place("allowed_signers"), "no-signing-key", message);
    }
    if repository.url.starts_with("http://") {
        let message = "`http://` shows the repository to everybody on the way, and lets them change it";
        at.findings().warning(at.place("url"), "clear-text", message);
    }
    at.finish();
    repository
}

fn network(mut at: Section<'_>, base: &Path) -> Network {
    let address = at.require("address", parse::unicast).unwrap_or(Ipv4Addr::LOCALHOST);
    let mut dhcp = at.section("dhcp");
    let mut tftp = at.section("tftp");
    let mut http = at.section("http");
    // `off` is YAML 1.1's false, so some write that.
    let alias = Some(("false", DhcpMode::Off));
    let network = Network {
        address,
        listen: at.parse("listen", parse::listen).unwrap_or(address),
        interface: at.parse("interface", parse::text),
        dhcp_mode: dhcp.choice("mode", &DhcpMode::WORDS, alias).unwrap_or(DhcpMode::Full),
        dhcp_port: dhcp.number("port", 0, u16::MAX.into()).unwrap_or(67),
        subnets: subnets(&mut dhcp, address),
        tftp_port: tftp.number("port", 0, u16::MAX.into()).unwrap_or(69),
        tftp_root: tftp.parse("root", parse::path(base)),
        ipxe: at.parse("ipxe", parse::path(base)).unwrap_or_else(|| IPXE.into()),
        http_port: http.number("port", 0, u16::MAX.into()).unwrap_or(9999),
    };
    if network.dhcp_mode != DhcpMode::Off && network.dhcp_port != 0 && network.dhcp_port == network.tftp_port {
        let message = format!("DHCP and TFTP both want UDP port {}", network.dhcp_port);
        tftp.findings().error(tftp.place("port"), "port-conflict", message, None);
    }
    if network.dhcp_mode == DhcpMode::Full && dhcp.get("subnets").is_none() {
        let hint = "add network.dhcp.subnets, or set network.dhcp.mode to proxy or off";
        let message = "DHCP in full mode has no subnet to hand out addresses from";
        dhcp.findings().error(dhcp.place("mode"), "no-subnet", message, Some(hint.into()));
    } else if network.dhcp_mode == DhcpMode::Full && !network.subnets.iter().any(|s| s.net.contains(&address)) {
        let message = format!("no subnet holds network.address ({address}): only relayed requests can be answered");
        dhcp.findings().warning(dhcp.place("subnets"), "relayed-only", message);
    }
    [dhcp, tftp, http, at].into_iter().for_each(Section::finish);
    network
}

fn subnets(dhcp: &mut Section<'_>, address: Ipv4Addr) -> Vec<Subnet> {
    let findings = dhcp.findings();
    let mut list: Vec<Subnet> = Vec::new();
    for at in dhcp.sections("subnets") {
        let place = at.place("");
        let Some(subnet) = subnet(at, address) else { continue };
        let overlaps = |other: &&Subnet| other.net.contains(&subnet.net) || subnet.net.contains(&other.net);
        if let Some(other) = list.iter().find(overlaps) {
            let message = format!("subnet {} overlaps {}", subnet.net, other.net);
            findings.error(place, "subnet-overlap", message, None);
        }
        list.push(subnet);
    }
    list
}

fn subnet(mut at: Section<'_>, address: Ipv4Addr) -> Option<Subnet> {
    let net = at.require("subnet", parse::subnet);
    let range = at.require("range", parse::range);
    let gateway = at.parse("gateway", parse::unicast);
    let (dns, domain) = (at.parse_list("dns", parse::unicast), at.parse("domain", parse::text));
    let (ntp, lease_time) = (at.parse_list("ntp", parse::unicast), at.parse("lease_time", parse::pause));
    let subnet = net.zip(range).map(|(net, (first, last))| {
        let lease_time = lease_time.unwrap_or(HOUR);
        Subnet { net, first, last, gateway, dns, domain, ntp, lease_time }
    });
    if let Some(subnet) = &subnet {
        check_subnet(&at, subnet, address);
    }
    at.finish();
    subnet
}

fn check_subnet(at: &Section<'_>, subnet: &Subnet, address: Ipv4Addr) {
    let Subnet { net, first, last, .. } = subnet;
    let wrong = |key: &str, code: &str, message: String| at.findings().error(at.place(key), code, message, None);
    if !net.contains(first) || !net.contains(last) {
        wrong("range", "range-off-subnet", format!("the range {first}-{last} is not inside {net}"));
    } else if net.prefix_len() < 31 && (*first == net.network() || *last == net.broadcast()) {
        wrong("range", "range-off-subnet", format!("the range holds the network or broadcast address of {net}"));
    }
    let in_range = |ip: &Ipv4Addr| (first..=last).contains(&ip);
    if in_range(&address) {
        wrong("range", "address-in-range", format!("the range holds our own address {address}"));
    }
    match &subnet.gateway {
        Some(gateway) if !net.contains(gateway) => {
            wrong("gateway", "gateway-off-subnet", format!("the gateway {gateway} is not inside {net}"));
        }
        Some(gateway) if in_range(gateway) => {
            wrong("gateway", "address-in-range", format!("the range holds the gateway {gateway}"));
        }
        _ => {}
    }
}

fn deploy(mut at: Section<'_>, base: &Path) -> Deploy {
    let deploy = Deploy {
        username: at.parse("username", parse::text).unwrap_or_else(|| "deploy".into()),
        ssh_key: at.parse("ssh_key", parse::path(base)),
        ssh_port: at.number("ssh_port", 0, u16::MAX.into()).unwrap_or(22),
    };
    at.finish();
    deploy
}

fn debian(mut at: Section<'_>) -> Debian {
    let debian = Debian {
        mirror: at.parse("mirror", parse::http_url).unwrap_or_default(),
        release: at.parse("release", parse::text).unwrap_or_else(|| "bookworm".into()),
    };
    at.finish();
    debian
}

fn ansible(mut at: Section<'_>, base: &Path) -> Ansible {
    let ansible = Ansible {
        playbook: at.parse("playbook", parse::program(base)).unwrap_or_else(|| "ansible-playbook".into()),
        vault_password_file: at.parse("vault_password_file", parse::path(base)),
        vault_ids: vault_ids(&mut at, base),
        timeout: at.parse("timeout", parse::pause).unwrap_or(2 * HOUR),
    };
    at.finish();
    ansible
}

/// `<id>: <file>`, in the order in which they are written.
fn vault_ids(at: &mut Section<'_>, base: &Path) -> Vec<(String, PathBuf)> {
    let Some(node) = at.get("vault_ids") else { return Vec::new() };
    let Some(entries) = node.map() else {
        let message = "`ansible.vault_ids` must be a mapping of ids to password files";
        at.findings().error(node.place, "wrong-type", message, None);
        return Vec::new();
    };
    let mut ids = Vec::new();
    for (key, value) in entries {
        let id = &*key.text;
        // What stands in a header between semicolons, and on Ansible's command line before an `@`.
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if id.is_empty() || id.starts_with('-') || !id.chars().all(fits) {
            let message = "a vault id is made of letters, digits, `.`, `_` and `-`";
            at.findings().error(key.place, "bad-value", message, None);
        } else if let Some(file) = at.read_text(&format!("ansible.vault_ids.{id}"), value, parse::path(base)) {
            ids.push((id.to_owned(), file));
        }
    }
    ids
}

fn secrets(mut at: Section<'_>, base: &Path) -> SecretSources {
    let mut sops = at.section("sops");
    let name = |text: &str| match text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        true => parse::text(text),
        false => Err(format!("`{text}` is not the name of an environment variable")),
    };
    let sources = SecretSources {
        sops: sops.parse("program", parse::program(base)).unwrap_or_else(|| "sops".into()),
        age_key_file: sops.parse("age_key_file", parse::path(base)),
        sops_environment: sops.parse_list("environment", name),
    };
    [sops, at].into_iter().for_each(Section::finish);
    sources
}

fn bmc(mut at: Section<'_>, base: &Path, defaults: &Policy) -> Bmc {
    let bmc = Bmc {
        tls: bmc_tls(&mut at, base),
        concurrency: at.number("concurrency", 1, 100_000).unwrap_or(defaults.concurrent_bmc),
        port: at.number("port", 0, u16::MAX.into()).unwrap_or(443),
        ipmi_port: at.number("ipmi_port", 0, u16::MAX.into()).unwrap_or(623),
    };
    at.finish();
    bmc
}

/// `pin`, `insecure`, `ca:FILE`, or a mapping with `ca`.
fn bmc_tls(at: &mut Section<'_>, base: &Path) -> BmcTls {
    let Some(node) = at.get("tls") else { return BmcTls::Pin };
    if node.map().is_some() {
        let mut section = at.section("tls");
        let file = section.require("ca", parse::path(base)).unwrap_or_default();
        section.finish();
        return BmcTls::Ca(file);
    }
    if let Some(file) = node.scalar().and_then(|(text, _)| text.strip_prefix("ca:")) {
        let file = at.parse("tls", |_| parse::path(base)(file.trim()));
        return file.map_or(BmcTls::Pin, BmcTls::Ca);
    }
    let insecure = at.choice("tls", &[("pin", false), ("insecure", true), ("ca:FILE", false)], None);
    if insecure == Some(true) { BmcTls::Insecure } else { BmcTls::Pin }
}

fn limits(mut at: Section<'_>, defaults: &Policy) -> Limits {
    let limits = Limits {
        concurrent_installs: at.number("concurrent_installs", 1, 100_000).unwrap_or(defaults.concurrent_installs),
        boot_timeout: at.parse("boot_timeout", parse::pause).unwrap_or(defaults.boot_timeout),
        install_timeout: at.parse("install_timeout", parse::pause).unwrap_or(defaults.install_timeout),
        first_boot_timeout: at.parse("first_boot_timeout", parse::pause).unwrap_or(defaults.first_boot_timeout),
        publish_debounce: at.parse("publish_debounce", parse::duration).unwrap_or(defaults.publish_debounce),
        backoff: at.parse("backoff", parse::duration).unwrap_or(defaults.backoff_base),
    };
    at.finish();
    limits
}

/// Checks that the whole is a mapping, reads it, and gives every finding.
pub fn read(text: &str, base: &Path, path: &str) -> (Option<Settings>, Vec<Finding>) {
    let mut found = Vec::new();
    let document = yaml::parse(path, text.as_bytes(), &mut found).filter(|_| found.is_empty());
    let Some(document) = document else {
        found.iter_mut().for_each(|finding| finding.code = "yaml".into());
        return (None, found);
    };
    let findings = Findings::new(path);
    let settings = settings(Section::new("", Some(&document), (1, 1), &findings), base);
    let findings = findings.into_sorted();
    let failed = findings.iter().any(|finding| finding.severity == Severity::Error);
    ((!failed).then_some(settings), findings)
}
