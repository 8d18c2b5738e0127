//! Real DHCP clients, relays and servers against the real daemon, in network namespaces of the test's own.

use crate::rig::net_clients::*;

const NEAR: &str = "    subnets:
      - { subnet: 10.92.0.0/24, range: 10.92.0.100-10.92.0.120, gateway: 10.92.0.1, lease_time: 8s }
";
const BOTH: &str = "    subnets:
      - { subnet: 10.92.0.0/24, range: 10.92.0.100-10.92.0.120, gateway: 10.92.0.1, lease_time: 8s }
      - { subnet: 10.92.1.0/24, range: 10.92.1.100-10.92.1.120, gateway: 10.92.1.1, lease_time: 8s }
      - { subnet: 10.92.2.0/24, range: 10.92.2.100-10.92.2.120, gateway: 10.92.2.1, lease_time: 8s }
";
const UEFI: [&str; 6] = ["-x", "93:0007", "-V", "PXEClient:Arch:00007:UNDI:003000", "-O", "bootfile"];

/// `udhcpc` once, in the foreground.
fn udhcpc<'a>(script: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["udhcpc", "-f", "-n", "-q", "-t", "10", "-T", "1", "-i", "eth0", "-s", script], more].concat()
}

/// The destination of the first frame from a DHCP server that tcpdump saw: hardware address, and address with port.
fn first_answer(log: &str) -> Option<(String, String)> {
    let lines: Vec<_> = log.lines().collect();
    let at = lines.windows(2).position(|pair| pair[1].trim().starts_with("10.92.") && pair[1].contains(".67 > "))?;
    let hardware = lines[at].split(" > ").nth(1)?.split(',').next()?.to_owned();
    let address = lines[at + 1].split(" > ").nth(1)?.split(':').next()?.to_owned();
    Some((hardware, address))
}

#[test]
fn udhcpc_gets_an_address_by_unicast_and_renews() {
    if !can_run(&["udhcpc", "tcpdump", "busybox"]) {
        return;
    }
    let mut net = Net::new();
    net.client("client");
    net.daemon(NEAR);
    net.watch("client", "wire.log");
    let script = net.script("client.log");
    net.begin("client", "client.out", &["udhcpc", "-f", "-i", "eth0", "-s", &script]);
    net.says("client.log", "bound 10.92.0.1");
    // No address yet and no broadcast flag: the frame is for the client alone, and for the address it is to have.
    let (hardware, address) = until("an answer", || first_answer(&net.log("wire.log")));
    assert!(!net.log("wire.log").contains("who-has"), "nobody had to be asked");
    let own = net.run("client", &["cat", "/sys/class/net/eth0/address"]).1;
    assert_eq!(hardware, own.trim());
    let bound = net.log("client.log").lines().find_map(|line| Some(line.strip_prefix("bound ")?.trim().to_owned()));
    assert_eq!(address, format!("{}.68", bound.unwrap()));
    // RENEWING is unicast both ways.
    net.says("client.log", "renew 10.92.0.1");
    until("a second ACK", || net.metric("rackwright_dhcp_request_total{outcome=\"ack\"}").filter(|acks| *acks >= 2.0));
}

#[test]
fn a_client_that_wants_broadcasts_gets_them() {
    if !can_run(&["udhcpc", "tcpdump"]) {
        return;
    }
    let mut net = Net::new();
    net.client("client");
    net.daemon(NEAR);
    net.watch("client", "wire.log");
    let script = net.script("client.log");
    let (got, said) = net.run("client", &udhcpc(&script, &["-B"]));
    assert!(got, "{said}");
    let (hardware, address) = until("an answer", || first_answer(&net.log("wire.log")));
    assert_eq!((hardware.as_str(), address.as_str()), ("ff:ff:ff:ff:ff:ff", "255.255.255.255.68"));
}

#[test]
fn without_the_capability_answers_are_broadcast() {
    if !can_run(&["udhcpc", "tcpdump", "setpriv"]) {
        return;
    }
    let mut net = Net::new();
    net.client("client");
    net.daemon_under(&["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"], NEAR);
    net.watch("client", "wire.log");
    let script = net.script("client.log");
    let (got, said) = net.run("client", &udhcpc(&script, &[]));
    assert!(got, "{said}");
    let (hardware, address) = until("an answer", || first_answer(&net.log("wire.log")));
    assert_eq!((hardware.as_str(), address.as_str()), ("ff:ff:ff:ff:ff:ff", "255.255.255.255.68"));
    assert_eq!(net.log("daemon.log").matches("no packet socket (CAP_NET_RAW)").count(), 1);
}

#[test]
fn dhclient_gets_renews_and_releases() {
    if !can_run(&["dhclient", "busybox"]) {
        return;
    }
    let mut net = Net::new();
    net.client("client");
    net.daemon(NEAR);
    let script = net.script("client.log");
    let path = |name: &str| net.dir.path().join(name).display().to_string();
    let (leases, pid) = (path("dhclient.leases"), path("dhclient.pid"));
    let words = ["dhclient", "-4", "-d", "-sf", &script, "-lf", &leases, "-pf", &pid, "eth0"];
    net.begin("client", "client.out", &words);
    net.says("client.log", "BOUND 10.92.0.1");
    net.says("client.log", "RENEW 10.92.0.1");
    let (_, said) = net.run("client", &["dhclient", "-4", "-r", "-sf", &script, "-lf", &leases, "-pf", &pid, "eth0"]);
    until(&format!("the release is recorded: {said}"), || {
        net.metric("rackwright_dhcp_release_total{outcome=\"recorded\"}").filter(|count| *count >= 1.0)
    });
}

#[test]
fn nmaps_probe_is_answered() {
    if !can_run(&["nmap"]) {
        return;
    }
    let mut net = Net::new();
    net.client("client");
    net.daemon(NEAR);
    net.ip("client", "addr add 10.92.0.50/24 dev eth0");
    let (_, said) = net.run("client", &["nmap", "--script", "broadcast-dhcp-discover", "-e", "eth0"]);
    assert!(said.contains("DHCPOFFER") && said.contains("Server Identifier: 10.92.0.1"), "{said}");
    assert!(said.contains("IP Offered: 10.92.0.1"), "{said}");
}

#[test]
fn every_interface_on_a_served_segment_is_served_in_its_own_name() {
    if !can_run(&["udhcpc", "tcpdump"]) {
        return;
    }
    let mut net = Net::new();
    net.namespace("client");
    net.wire("server", "seg1", "client", "eth0");
    net.ip("server", "addr add 10.92.1.1/24 dev seg1");
    net.namespace("stranger");
    net.wire("server", "seg9", "stranger", "eth0");
    net.ip("server", "addr add 203.0.113.1/24 dev seg9");
    net.daemon(BOTH);
    net.watch("client", "wire.log");
    let script = net.script("client.log");
    net.begin("client", "client.out", &["udhcpc", "-f", "-i", "eth0", "-s", &script]);
    net.says("client.log", "bound 10.92.1.1");
    net.says("wire.log", "Server-ID (54), length 4: 10.92.1.1");
    net.says("client.log", "renew 10.92.1.1");
    // An interface on no served segment hears nothing of us.
    let other = net.script("stranger.log");
    let (got, said) =
        net.run("stranger", &["udhcpc", "-f", "-n", "-q", "-t", "2", "-T", "1", "-i", "eth0", "-s", &other]);
    assert!(!got, "{said}");
}

/// A segment 10.92.2.0/24 behind a router, with a client on it; `relay` is begun on the router.
fn behind_a_relay(relay: &[&str]) {
    let mut net = Net::new();
    net.namespace("router");
    net.namespace("client");
    net.wire("server", "up0", "router", "up0");
    net.wire("router", "down0", "client", "eth0");
    net.ip("server", "addr add 10.92.1.1/24 dev up0");
    net.ip("router", "addr add 10.92.1.2/24 dev up0");
    net.ip("router", "addr add 10.92.2.1/24 dev down0");
    net.ip("router", "route add 10.92.0.0/24 via 10.92.1.1");
    net.ip("server", "route add 10.92.2.0/24 via 10.92.1.2");
    assert!(net.run("router", &["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]).0);
    net.daemon(BOTH);
    net.begin("router", "other.log", relay);
    let script = net.script("client.log");
    net.begin("client", "client.out", &["udhcpc", "-f", "-i", "eth0", "-s", &script]);
    net.says("client.log", "bound 10.92.2.1");
    net.says("client.log", "renew 10.92.2.1");
}

#[test]
fn a_segment_behind_isc_dhcrelay() {
    if can_run(&["udhcpc", "dhcrelay"]) {
        // -a adds option 82; it must come back, or the relay drops the answer.
        behind_a_relay(&["dhcrelay", "-4", "-d", "-a", "--no-pid", "-id", "down0", "-iu", "up0", "10.92.0.1"]);
    }
}

#[test]
fn a_segment_behind_dnsmasqs_relay() {
    if can_run(&["udhcpc", "dnsmasq"]) {
        let relay = "--dhcp-relay=10.92.2.1,10.92.1.1";
        behind_a_relay(&["dnsmasq", "--keep-in-foreground", "--port=0", "--user=root", "--pid-file=", relay]);
    }
}

/// dnsmasq as the DHCP server of the segment, in a namespace of its own.
fn dnsmasq(net: &mut Net) {
    net.client("other");
    net.ip("other", "addr add 10.92.0.66/24 dev eth0");
    let leases = format!("--dhcp-leasefile={}", net.dir.path().join("dnsmasq.leases").display());
    net.begin(
        "other",
        "other.log",
        &[
            "dnsmasq",
            "--keep-in-foreground",
            "--port=0",
            "--user=root",
            "--pid-file=",
            "--no-ping",
            "--log-dhcp",
            &leases,
            "--bind-interfaces",
            "--interface=eth0",
            "--except-interface=lo",
            "--log-facility=-",
            "--dhcp-range=10.92.0.200,10.92.0.220,2m",
        ],
    );
    net.says("other.log", "DHCP, IP range");
}

#[test]
fn a_second_server_on_the_wire_is_noticed() {
    if !can_run(&["udhcpc", "dnsmasq", "busybox"]) {
        return;
    }
    let mut net = Net::new();
    net.client("client");
    net.daemon(NEAR);
    assert_eq!(until("metrics", || net.metric("rackwright_foreign_dhcp")), 0.0);
    dnsmasq(&mut net);
    // Its OFFER is broadcast; which of the two the client takes does not matter.
    let script = net.script("client.log");
    let (got, said) = net.run("client", &udhcpc(&script, &["-B"]));
    assert!(got, "{said}");
    until("it is in the metrics", || net.metric("rackwright_foreign_dhcp").filter(|seen| *seen == 1.0));
    let log = net.says("daemon.log", "another DHCP server answers on this segment");
    assert!(log.contains("10.92.0.66"), "{log}");
}

#[test]
fn beside_another_server_only_firmware_is_answered() {
    if !can_run(&["udhcpc", "dnsmasq", "tcpdump", "busybox"]) {
        return;
    }
    let mut net = Net::new();
    net.client("client");
    net.daemon("    mode: proxy\n");
    dnsmasq(&mut net);
    let script = net.script("client.log");
    let (got, said) = net.run("client", &udhcpc(&script, &[]));
    assert!(got && said.contains("from 10.92.0.66"), "{said}");
    let offers = |net: &Net| net.metric("rackwright_dhcp_discover_total{outcome=\"offer\"}");
    assert_eq!(until("metrics", || offers(&net)), 0.0, "not ours to answer");
    // udhcpc knows nothing of boot servers, and may take ours for an empty offer: what counts is what is on the wire.
    net.watch("client", "wire.log");
    net.run("client", &udhcpc(&script, &UEFI));
    net.says("wire.log", "file \"ipxe.efi\"");
    net.says("wire.log", "Vendor-Class (60), length 9: \"PXEClient\"");
    until("it is counted", || offers(&net).filter(|count| *count >= 1.0));
    assert!(!net.log("daemon.log").contains("another DHCP server"), "that there is one is known");
}

#[test]
fn a_range_that_is_used_up_is_told() {
    if !can_run(&["udhcpc", "busybox"]) {
        return;
    }
    let mut net = Net::new();
    net.client("first");
    net.client("second");
    net.daemon("    subnets:\n      - { subnet: 10.92.0.0/24, range: 10.92.0.100-10.92.0.100, lease_time: 10m }\n");
    let script = net.script("client.log");
    assert!(net.run("first", &udhcpc(&script, &[])).0);
    let (got, said) =
        net.run("second", &["udhcpc", "-f", "-n", "-q", "-t", "3", "-T", "1", "-i", "eth0", "-s", &script]);
    assert!(!got, "{said}");
    let log = net.says("daemon.log", "no address is free in the dynamic range");
    assert_eq!(log.matches("no address is free").count(), 1, "{log}");
    let exhausted = || net.metric("rackwright_dhcp_discover_total{outcome=\"exhausted\"}");
    until("each is counted", || exhausted().filter(|count| *count >= 2.0));
}

/// Firmware nobody here wrote takes its address from one server and its boot file from the other.
#[test]
fn firmware_boots_beside_another_server() {
    const CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
    const VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
    if !can_run(&["dnsmasq", "busybox", "qemu-system-x86_64"]) {
        return;
    }
    let mut net = Net::new();
    net.daemon("    mode: proxy\n");
    dnsmasq(&mut net);
    net.machine("bios", "52:54:00:00:00:a1", &[]);
    net.says("bios.log", "Filename: http://10.92.0.1:9999/boot/52:54:00:00:00:a1/boot.ipxe");
    net.says("bios.log", "boot.ipxe... ok");
    assert!(net.log("bios.log").contains("net0: 10.92.0.2"), "the address is the other server's");
    if !std::path::Path::new(CODE).exists() || !std::path::Path::new(VARS).exists() {
        println!("SKIPPED no UEFI firmware (Debian package ovmf)");
        return;
    }
    let vars = net.dir.path().join("vars.fd");
    std::fs::copy(VARS, &vars).unwrap();
    let code = format!("if=pflash,format=raw,readonly=on,file={CODE}");
    let vars = format!("if=pflash,format=raw,file={}", vars.display());
    net.machine("uefi", "52:54:00:00:00:a2", &["-drive", &code, "-drive", &vars]);
    net.says("uefi.log", "NBP filename is ipxe.efi");
    let log = net.log("uefi.log");
    assert!(log.contains("Server IP address is 10.92.0.1"), "{log}");
    assert!(log.contains("Station IP address is 10.92.0.2"), "{log}");
}
