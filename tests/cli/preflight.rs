//! `rackwright preflight`, from outside: on loopback, beside a running daemon, and on a segment with another DHCP server.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::rig::git::{Rig, git};
use crate::rig::net_clients::can_run;

const PATIENCE: Duration = Duration::from_secs(30);

/// A forge, and settings on loopback with free high ports.
struct Site {
    rig: Rig,
    config: PathBuf,
    ports: [u16; 3],
}

impl Site {
    fn new() -> Site {
        let rig = Rig::pushed();
        // All three at once, so that they differ.
        let sockets: Vec<_> = (0..3).map(|_| UdpSocket::bind(("127.0.0.1", 0)).unwrap()).collect();
        let ports: Vec<u16> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        let [dhcp, tftp, http] = ports[..] else { unreachable!("three were bound") };
        let dir = rig.dir.path();
        std::fs::create_dir(dir.join("root")).unwrap();
        for file in ["undionly.kpxe", "ipxe.efi", "ipxe-arm64.efi"] {
            std::fs::write(dir.join("root").join(file), file.repeat(1000)).unwrap();
        }
        let text = format!(
            "repository: {{ url: {} }}\nstate_dir: {}\nnetwork:\n  address: 127.0.0.1\n  dhcp:\n    port: {dhcp}\n    \
             subnets: [{{ subnet: 127.0.0.0/8, range: 127.1.0.1-127.1.0.9 }}]\n  tftp: {{ port: {tftp}, root: {} }}\n  \
             http: {{ port: {http} }}\n",
            rig.remote.display(),
            rig.state().display(),
            dir.join("root").display()
        );
        let config = dir.join("rackwright.yaml");
        std::fs::write(&config, text).unwrap();
        Site { rig, config, ports: [dhcp, tftp, http] }
    }

    fn preflight(&self) -> (Option<i32>, Value) {
        judged(&run(&["preflight", "--format", "json", "--config", self.config.to_str().unwrap()]))
    }
}

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rackwright")).args(args).env_remove("RUST_LOG").output().unwrap()
}

fn judged(output: &Output) -> (Option<i32>, Value) {
    let document = serde_json::from_slice(&output.stdout);
    (output.status.code(), document.unwrap_or_else(|error| panic!("{error}: {output:?}")))
}

/// Grade and words of a check.
fn check<'v>(document: &'v Value, name: &str) -> (&'v str, &'v str) {
    let found = document["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no check `{name}` in {document:#}"));
    (found["grade"].as_str().unwrap(), found["found"].as_str().unwrap())
}

#[test]
fn a_fit_machine_is_told_so_and_nothing_is_changed() {
    let site = Site::new();
    let (code, document) = site.preflight();
    assert_eq!((code, &document["fit"]), (Some(0), &Value::Bool(true)), "{document:#}");
    for name in ["settings", "DHCP port", "TFTP port", "HTTP port", "network.listen", "repository", "state_dir", "git"]
    {
        assert_eq!(check(&document, name).0, "ok", "{name}");
    }
    assert!(check(&document, "iPXE for UEFI x64").1.ends_with("root/ipxe.efi"));
    assert!(check(&document, "status branch").1.contains("not there yet and may be made"));
    assert!(!site.rig.state().exists(), "no state is made");
    assert_eq!(
        git(&site.rig.remote, &["branch", "--list", "rackwright/status"]),
        "",
        "a rehearsed push pushes nothing"
    );
    let table = run(&["preflight", "--config", site.config.to_str().unwrap()]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("\nFit to run: ") && table.contains("ok"), "{table}");
    assert!(table.lines().all(|line| line.trim_end() == line), "no trailing blanks:\n{table}");
}

#[test]
fn what_is_wrong_is_named_with_what_to_do() {
    let site = Site::new();
    let held = UdpSocket::bind(("127.0.0.1", site.ports[1])).unwrap();
    std::fs::rename(&site.rig.remote, site.rig.dir.path().join("gone.git")).unwrap();
    std::fs::remove_file(site.rig.dir.path().join("root/undionly.kpxe")).unwrap();
    let text = std::fs::read_to_string(&site.config).unwrap();
    std::fs::write(&site.config, text.replace("  dhcp:\n", "  ipxe: /nowhere\n  interface: nosuch0\n  dhcp:\n"))
        .unwrap();
    let (code, document) = site.preflight();
    assert_eq!((code, &document["fit"]), (Some(1), &Value::Bool(false)));
    let (grade, found) = check(&document, "TFTP port");
    let me = format!("(pid {})", std::process::id());
    assert!(grade == "fail" && found.contains("is held by") && found.contains(&me), "{found}");
    assert_eq!(check(&document, "network.interface"), ("fail", "there is no interface nosuch0"));
    assert_eq!(check(&document, "repository").0, "fail");
    assert_eq!(check(&document, "iPXE for BIOS").0, "fail");
    let failed = document["checks"].as_array().unwrap().iter().filter(|check| check["grade"] != "ok");
    failed.for_each(|check| assert!(check["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{check}"));
    drop(held);
}

#[test]
fn settings_that_cannot_be_read_are_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("rackwright.yaml");
    std::fs::write(&config, "network: { address: 10.0.0.1, adress: x }\n").unwrap();
    let (code, document) = judged(&run(&["preflight", "--format", "json", "--config", config.to_str().unwrap()]));
    assert_eq!((code, check(&document, "settings").0), (Some(1), "fail"));
    assert!(check(&document, "settings").1.contains("adress"));
}

#[test]
fn a_remote_that_takes_nothing_is_found_out() {
    let site = Site::new();
    site.rig.push("rackwright/status");
    let (_, document) = site.preflight();
    assert_eq!(check(&document, "status branch"), ("ok", "rackwright/status may be pushed to"));
    // A forge refuses a key that may only read before it looks at what would come; so does a remote without a program
    // to receive with.
    let wrapper = site.rig.dir.path().join("git");
    let real = git(site.rig.dir.path(), &["--exec-path"]);
    let script = "#!/bin/sh\nfor word; do [ \"$word\" = push ] && { echo 'fatal: you may only read' >&2; exit 128; }; done\n\
                  exec REAL/git \"$@\"\n";
    std::fs::write(&wrapper, script.replace("REAL", &real)).unwrap();
    std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", site.rig.dir.path().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_rackwright"));
    command.args(["preflight", "--format", "json", "--config", site.config.to_str().unwrap()]).env("PATH", path);
    let (code, document) = judged(&command.output().unwrap());
    assert_eq!((code, check(&document, "status branch").0), (Some(1), "fail"), "{document:#}");
    assert_eq!(check(&document, "repository").0, "ok");
}

/// The daemon, stopped with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_running_daemon_is_no_stranger_and_is_asked_for_a_file() {
    let site = Site::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rackwright"));
    let config = site.config.to_str().unwrap();
    command.args(["run", "--first-run", "--config", config]).stdout(Stdio::null()).stderr(Stdio::null());
    let _daemon = Daemon(command.spawn().unwrap());
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", site.ports[2])).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the daemon did not start");
        std::thread::yield_now();
    }
    let (code, document) = site.preflight();
    assert_eq!(code, Some(0), "{document:#}");
    for port in ["DHCP port", "TFTP port", "HTTP port"] {
        assert!(check(&document, port).1.contains("is held by a running rackwright"), "{document:#}");
    }
    let size = format!("{} octets", "ipxe.efi".len() * 1000);
    for way in ["fetch by TFTP", "fetch by HTTP"] {
        let (grade, found) = check(&document, way);
        assert!(grade == "ok" && found.contains(&size), "{way}: {found}");
    }
}

/// Two network namespaces with a cable between them, removed with the test.
struct Segment {
    ours: String,
    theirs: String,
}

impl Segment {
    fn new() -> Segment {
        let unique = std::process::id();
        let segment = Segment { ours: format!("rwpf{unique}a"), theirs: format!("rwpf{unique}b") };
        for ns in [&segment.ours, &segment.theirs] {
            ip(&["netns", "add", ns]);
            ip(&["-n", ns, "link", "set", "lo", "up"]);
        }
        let ends = ["boot0", "netns", &segment.ours, "type", "veth", "peer", "name", "wire0", "netns", &segment.theirs];
        ip(&[&["link", "add", "name"][..], &ends].concat());
        for (ns, link, address) in
            [(&segment.ours, "boot0", "10.255.255.1/24"), (&segment.theirs, "wire0", "10.255.255.66/24")]
        {
            ip(&["-n", ns, "address", "add", address, "dev", link]);
            ip(&["-n", ns, "link", "set", link, "up"]);
        }
        segment
    }

    /// Runs the built program on our end.
    fn run(&self, args: &[&str]) -> Output {
        let program = ["netns", "exec", &self.ours, env!("CARGO_BIN_EXE_rackwright")];
        Command::new("ip").args(program).args(args).env_remove("RUST_LOG").output().unwrap()
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        for ns in [&self.ours, &self.theirs] {
            let _ = Command::new("ip").args(["netns", "delete", ns]).output();
        }
    }
}

fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().unwrap();
    assert!(output.status.success(), "ip {args:?}: {output:?}");
}

#[test]
fn another_dhcp_server_on_the_segment_is_found() {
    if !can_run(&["dnsmasq"]) {
        return;
    }
    let (site, segment) = (Site::new(), Segment::new());
    let text = std::fs::read_to_string(&site.config).unwrap();
    let begin = text.find("network:").unwrap();
    let network = "network:\n  address: 10.255.255.1\n  interface: boot0\n  dhcp:\n    \
                   subnets: [{ subnet: 10.255.255.0/24, range: 10.255.255.100-10.255.255.199 }]\n  tftp: { root: ROOT }\n"
        .replace("ROOT", site.rig.dir.path().join("root").to_str().unwrap());
    std::fs::write(&site.config, format!("{}{network}", &text[..begin])).unwrap();
    let preflight =
        || judged(&segment.run(&["preflight", "--format", "json", "--config", site.config.to_str().unwrap()]));
    let (code, document) = preflight();
    let name = "other DHCP servers";
    assert_eq!(check(&document, name), ("ok", "none answered on this segment"), "{document:#}");
    assert_eq!((code, check(&document, "network.interface").0), (Some(0), "ok"), "{document:#}");
    assert_eq!(check(&document, "subnet 10.255.255.0/24"), ("ok", "on boot0"));

    let leases = site.rig.dir.path().join("leases");
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &segment.theirs, "dnsmasq", "--keep-in-foreground", "--port=0", "--no-ping"]);
    command.args(["--conf-file=/dev/null", "--dhcp-authoritative", "--interface=wire0", "--bind-interfaces"]);
    command.args(["--pid-file", "--dhcp-range=10.255.255.200,10.255.255.220,5m", "--user=root"]);
    command.arg(format!("--dhcp-leasefile={}", leases.display())).stdout(Stdio::null()).stderr(Stdio::null());
    let _dnsmasq = Daemon(command.spawn().unwrap());
    let begun = Instant::now();
    let (code, document) = loop {
        let (code, document) = preflight();
        if check(&document, name).0 == "fail" {
            break (code, document);
        }
        assert!(begun.elapsed() < PATIENCE, "it was never found: {document:#}");
    };
    assert_eq!((code, check(&document, name).1), (Some(1), "10.255.255.66 answers on this segment"));
    let given = std::fs::read_to_string(&leases).unwrap_or_default();
    assert_eq!(given, "", "an offer is never requested");
}
