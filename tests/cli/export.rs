//! `rackwright render --dhcp`: what other DHCP servers are given, checked by those servers and asked of them by clients.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use rackwright::model::{Mac, World};
use rackwright::plan::boot::{Firmware, dhcp};

use crate::rig::net_clients::{Net, can_run, until};
use crate::rig::repo::root;

const BOOT: &str = "52:54:00:bb:01:01";
const SETTINGS: &str = "\
repository: { url: /srv/git/infra.git }
network:
  address: 10.92.0.1
  dhcp:
    mode: off
    subnets:
      - subnet: 10.92.0.0/24
        range: 10.92.0.100-10.92.0.110
        gateway: 10.92.0.254
        dns: [10.92.0.1, 10.92.0.2]
        domain: boot.example.net
        ntp: [10.92.0.1]
      - { subnet: 10.93.0.0/24, range: 10.93.0.100-10.93.0.110, lease_time: 10m }
";
const HOSTS: &str = "\
bootstrap:
  \"52:54:00:aa:01:01\":
    node: { hostname: hv1 }
    config: { boot_mac: \"52:54:00:bb:01:01\", address: 10.92.0.5, system_disks: [/dev/sda] }
    bmc: { protocol: redfish, address: 10.92.0.6, username: admin, password: secret-word }
  \"52:54:00:aa:01:02\":
    node: { hostname: hv2 }
    config: { boot_mac: \"52:54:00:bb:01:02\", system_disks: [/dev/sda], local_boot: firmware }
    bmc: { protocol: none }
";

/// A repository of two hosts, and settings.
fn site(dir: &Path) {
    let write = |path: &str, text: &str| {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("repo/clusters.yml", "clusters: [c1]\n");
    write("repo/hosts", "[c1]\nhv1\nhv2\n");
    write("repo/group_vars/c1/base.yml", "local_domain: example.net\n");
    write("repo/group_vars/c1/bootstrap.yml", HOSTS);
    write("rackwright.yaml", SETTINGS);
}

fn render(dir: &Path, args: &[&str]) -> Output {
    let config = dir.join("rackwright.yaml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_rackwright"));
    command.current_dir(root()).arg("render").args(args).arg("--config").arg(config).env_remove("RUST_LOG");
    command.output().unwrap()
}

/// The configuration for one server, also as a file.
fn export(dir: &Path, server: &str) -> (String, String) {
    let output = render(dir, &["--dhcp", server, dir.join("repo").to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let file = dir.join(server);
    std::fs::write(&file, &text).unwrap();
    (text, file.display().to_string())
}

/// What our own server says, per firmware; and how udhcpc plays that firmware.
fn firmware(mac: &str) -> Vec<(String, Vec<&'static str>)> {
    let settings = rackwright::settings::parse(SETTINGS, Path::new("/")).unwrap();
    let world = World::new(Arc::new(settings.policy()));
    let plain = Firmware::default();
    let pxe = |arch| Firmware { arch: Some(arch), pxe: true, ..plain };
    let class = "PXEClient:Arch:00000:UNDI:003016";
    let kinds = [
        (pxe(0), vec!["-x", "93:0000", "-V", class]),
        (pxe(7), vec!["-x", "93:0007", "-V", class]),
        (pxe(9), vec!["-x", "93:0009", "-V", class]),
        (pxe(11), vec!["-x", "93:000b", "-V", class]),
        (Firmware { pxe: true, ..plain }, vec!["-V", class]),
        (
            Firmware { arch: Some(16), http: true, ..plain },
            vec!["-x", "93:0010", "-V", "HTTPClient:Arch:00016:UNDI:003001"],
        ),
        (
            Firmware { arch: Some(11), http: true, ..plain },
            vec!["-x", "93:000b", "-V", "HTTPClient:Arch:00011:UNDI:003001"],
        ),
        (
            Firmware { arch: Some(7), pxe: true, ipxe: true, ..plain },
            vec!["-x", "93:0007", "-V", class, "-x", "77:69505845", "-x", "175:b10501"],
        ),
    ];
    let ours = |firmware| dhcp(&world, mac.parse::<Mac>().unwrap(), firmware).unwrap().file;
    // iPXE puts its own address there.
    kinds.into_iter().map(|(firmware, args)| (ours(firmware).replace(mac, "${netX/mac}"), args)).collect()
}

#[test]
fn everything_is_in_the_export_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    site(dir.path());
    for server in ["dnsmasq", "kea", "isc"] {
        let (text, _) = export(dir.path(), server);
        for part in ["10.92.0.5", "10.92.0.6", "hv2", "52:54:00:bb:01:02", "/boot/${netX/mac}/boot.ipxe", "c1/hv2"] {
            assert!(text.contains(part), "{server}: no {part} in\n{text}");
        }
        assert!(text.starts_with(if server == "kea" { "// Made by" } else { "# Made by" }), "{text}");
        assert!(text.contains("/checkin/dnsmasq") && !text.contains("secret-word"), "{text}");
    }
    let wrong = render(dir.path(), &["--dhcp", "kea", "hv1", "repo"]);
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("leave HOST out"));
    let host = render(dir.path(), &["hv1", dir.path().join("repo").to_str().unwrap(), "--file", "boot.ipxe"]);
    assert!(host.status.success() && host.stdout.starts_with(b"#!ipxe"));
}

#[test]
fn the_servers_themselves_find_no_fault() {
    if !can_run(&["dnsmasq", "kea-dhcp4", "dhcpd"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    site(dir.path());
    let net = Net::new();
    let check = |server: &str, words: &[&str]| {
        let file = export(dir.path(), server).1;
        let (good, said) = net
            .run("server", &words.iter().map(|word| if *word == "FILE" { &file } else { *word }).collect::<Vec<_>>());
        assert!(good, "{server}: {said}");
    };
    check("dnsmasq", &["dnsmasq", "--test", "-C", "FILE"]);
    check("kea", &["kea-dhcp4", "-t", "FILE"]);
    check("isc", &["dhcpd", "-t", "-cf", "FILE"]);
}

/// Starts the server with its export and asks it as each firmware would.
fn asked(net: &mut Net, server: &str, words: &[&str], ready: &str) {
    net.begin("server", "other.log", words);
    net.says("other.log", ready);
    net.client("client");
    net.ip("client", "link set eth0 down");
    net.ip("client", &format!("link set eth0 address {BOOT}"));
    net.ip("client", "link set eth0 up");
    let (script, log) = (net.dir.path().join("tell.sh"), net.dir.path().join("told"));
    // dnsmasq leaves the header's field empty for clients that ask for the option.
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = bound ] && echo \"$ip|${{boot_file:-$bootfile}}|$siaddr|$hostname|$router|$dns|$domain|$ntpsrv\" > {}\nexit 0\n",
        log.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for (file, args) in firmware(BOOT) {
        let _ = std::fs::remove_file(&log);
        let once = ["udhcpc", "-f", "-n", "-q", "-t", "10", "-T", "1", "-i", "eth0", "-s", script.to_str().unwrap()];
        let more = ["-O", "hostname", "-O", "ntpsrv", "-O", "bootfile", "-O", "tftp"];
        let (good, said) = net.run("client", &[&once[..], &more, &args].concat());
        assert!(good, "{server} {args:?}: {said}\n{}", net.log("other.log"));
        let told = until("udhcpc was told", || std::fs::read_to_string(&log).ok().filter(|text| text.ends_with('\n')));
        let wanted =
            format!("10.92.0.5|{file}|10.92.0.1|hv1|10.92.0.254|10.92.0.1 10.92.0.2|boot.example.net|10.92.0.1\n");
        assert_eq!(told, wanted, "{server} {args:?}");
    }
}

#[test]
fn dnsmasq_gives_what_our_own_server_would() {
    if !can_run(&["dnsmasq", "udhcpc"]) {
        return;
    }
    let mut net = Net::new();
    let dir = net.dir.path().to_owned();
    site(&dir);
    let (conf, leases) =
        (format!("--conf-file={}", export(&dir, "dnsmasq").1), format!("--dhcp-leasefile={}/leases", dir.display()));
    let more = ["--keep-in-foreground", "--port=0", "--pid-file", "--user=root", "--log-facility=-", "--no-ping"];
    asked(&mut net, "dnsmasq", &[&["dnsmasq", &conf, &leases][..], &more].concat(), "started");
}

#[test]
fn isc_dhcpd_gives_what_our_own_server_would() {
    if !can_run(&["dhcpd", "udhcpc"]) {
        return;
    }
    let mut net = Net::new();
    let dir = net.dir.path().to_owned();
    site(&dir);
    let (conf, leases) = (export(&dir, "isc").1, format!("{}/leases", dir.display()));
    std::fs::write(&leases, "").unwrap();
    asked(
        &mut net,
        "isc",
        &["dhcpd", "-f", "-d", "-4", "-cf", &conf, "-lf", &leases, "--no-pid", "br0"],
        "Server starting service",
    );
}

#[test]
fn kea_gives_what_our_own_server_would() {
    if !can_run(&["kea-dhcp4", "udhcpc"]) {
        return;
    }
    let mut net = Net::new();
    let dir = net.dir.path().to_owned();
    site(&dir);
    let (text, file) = export(&dir, "kea");
    // As a network team would: their interface, and a place for the leases.
    let text = text.replace("\"*\"", "\"br0\"").replace(
        "\"type\": \"memfile\"",
        &format!("\"type\": \"memfile\", \"name\": \"{}/leases.csv\"", dir.display()),
    );
    std::fs::write(&file, text).unwrap();
    let places = [format!("KEA_PIDFILE_DIR={}", dir.display()), format!("KEA_LOCKFILE_DIR={}", dir.display())];
    asked(&mut net, "kea", &["env", &places[0], &places[1], "kea-dhcp4", "-c", &file], "DHCP4_STARTED");
}
