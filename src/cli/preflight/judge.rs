//! What the machine's state means for these settings. Pure: what it is like comes from `machine`.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::Value;

use super::Check;
use super::machine::{Link, Machine};
use crate::model::{Subnet, Time};
use crate::settings::{DhcpMode, Settings};

/// capabilities(7)
pub const BIND_SERVICE: u32 = 10;
/// capabilities(7)
pub const NET_RAW: u32 = 13;
/// 2026-01-01: a clock before this program was written is wrong.
const WRITTEN: Time = Time::from_secs(1_767_225_600);

/// As whom we run, and whether that is enough.
pub fn user(settings: &Settings, machine: &Machine) -> Check {
    let has = [(BIND_SERVICE, "CAP_NET_BIND_SERVICE"), (NET_RAW, "CAP_NET_RAW")];
    let words: Vec<&str> = has.iter().filter(|(number, _)| machine.can(*number)).map(|(_, word)| *word).collect();
    let words = if words.is_empty() { "no capabilities that matter".to_owned() } else { words.join(", ") };
    let found = format!("uid {}, {words}", machine.user);
    let network = &settings.network;
    let serves = network.dhcp_mode != DhcpMode::Off && network.dhcp_port == 67;
    if (serves || network.interface.is_some()) && !machine.can(NET_RAW) {
        let advice = "DHCP to machines without an address and network.interface need CAP_NET_RAW: run this check as the \
                      daemon's user, and give that AmbientCapabilities=CAP_NET_BIND_SERVICE CAP_NET_RAW";
        return Check::fail("user", found, advice);
    }
    Check::ok("user", found)
}

/// The addresses and the interface that the settings name.
pub fn interfaces(settings: &Settings, machine: &Machine) -> Vec<Check> {
    let network = &settings.network;
    if machine.links.is_none() {
        return vec![Check::warning("interfaces", "not known: `ip` could not be run", "install iproute2")];
    }
    let mut checks = Vec::new();
    let (listen, address) = (network.listen, network.address);
    match machine.holds(listen) {
        _ if listen.is_unspecified() => {}
        Some(link) => checks.push(Check::ok("network.listen", format!("{listen} is on {}", link.name))),
        None => checks.push(Check::fail(
            "network.listen",
            format!("no interface has {listen}"),
            format!("give it to the boot interface (ip address add {listen}/24 dev …), or correct the settings"),
        )),
    }
    if address != listen && machine.holds(address).is_none() {
        let advice = "machines are told this address; that is right only behind address translation";
        checks.push(Check::warning("network.address", format!("no interface has {address}"), advice));
    }
    checks.extend(network.interface.as_ref().map(|name| interface(settings, machine, name)));
    checks
}

fn interface(settings: &Settings, machine: &Machine, name: &str) -> Check {
    let links: Vec<&Link> = machine.links.iter().flatten().collect();
    let Some(link) = links.iter().find(|link| link.name == name) else {
        let known: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
        let advice = format!("network.interface must be one of {}", known.join(", "));
        return Check::fail("network.interface", format!("there is no interface {name}"), advice);
    };
    let addresses: Vec<Ipv4Net> = link.addresses().collect();
    let served = |net: &Ipv4Net| settings.network.subnets.iter().any(|subnet| subnet.net.contains(&net.addr()));
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let found = |what: &str| {
        format!("{name} {what}{}", if shown.is_empty() { String::new() } else { format!(", {}", shown.join(", ")) })
    };
    if !link.is("UP") {
        Check::fail("network.interface", found("is down"), format!("ip link set {name} up"))
    } else if addresses.is_empty() {
        Check::fail("network.interface", format!("{name} has no IPv4 address"), "give it network.address")
    } else if !link.is("LOWER_UP") {
        Check::warning("network.interface", found("has no carrier"), "look at the cable and the switch port")
    } else if settings.network.dhcp_mode == DhcpMode::Full && !addresses.iter().any(served) {
        let advice = "none of its addresses is in a subnet of the settings: only relayed requests are answered";
        Check::warning("network.interface", found("is up"), advice)
    } else {
        Check::ok("network.interface", found("is up"))
    }
}

/// Whether each subnet is ours to reach, and as large as the interface thinks.
pub fn subnets(settings: &Settings, machine: &Machine) -> Vec<Check> {
    match machine.links {
        Some(_) => settings.network.subnets.iter().map(|it| subnet(it, machine)).collect(),
        None => Vec::new(),
    }
}

fn subnet(subnet: &Subnet, machine: &Machine) -> Check {
    let name = format!("subnet {}", subnet.net);
    let links = machine.links.iter().flatten();
    let on = links.flat_map(|link| link.addresses().map(move |net| (link, net)));
    let here = on.into_iter().find(|(_, net)| subnet.net.contains(&net.addr()));
    if let Some((link, net)) = here {
        return match net.trunc() == subnet.net {
            true => Check::ok(name, format!("on {}", link.name)),
            false => Check::warning(
                name,
                format!("{} has {net}", link.name),
                format!("the prefix differs: machines would be told {}", subnet.net.netmask()),
            ),
        };
    }
    let through = |dst: &str| machine.routes.iter().find(move |route| route.dst == dst);
    let inside = machine.routes.iter().find(|route| {
        let net = route.dst.parse::<Ipv4Net>().or_else(|_| route.dst.parse().map(|ip: Ipv4Addr| ip.into()));
        net.is_ok_and(|net| net.prefix_len() > 0 && net.contains(&subnet.first))
    });
    match (inside, through("default")) {
        (Some(route), _) => Check::ok(name, format!("behind a router, by {} (a relay must ask for it)", route.dev)),
        (None, Some(route)) => Check::warning(
            name,
            format!("only the default route ({}) leads there", route.dev),
            "if it is behind a relay, see that its answers find their way: ip route add …",
        ),
        (None, None) => {
            Check::fail(name, "no interface is on it and no route leads there", "add an address or a route")
        }
    }
}

/// What nftables does with the ports; only a hint, for rules can be written in many ways.
pub fn firewall(settings: &Settings, machine: &Machine) -> Vec<Check> {
    let Some(ruleset) = &machine.ruleset else { return Vec::new() };
    let network = &settings.network;
    let mut ports = vec![("tcp", network.http_port), ("udp", network.tftp_port)];
    if network.dhcp_mode != DhcpMode::Off {
        ports.push(("udp", network.dhcp_port));
    }
    let items: Vec<&Value> = ruleset["nftables"].as_array().into_iter().flatten().collect();
    let drops = |chain: &&Value| chain["hook"] == "input" && chain["policy"] == "drop";
    let chains: Vec<&Value> = items.iter().map(|item| &item["chain"]).filter(drops).collect();
    let mut shut: Vec<String> = Vec::new();
    for (protocol, port) in ports {
        let opens = |item: &&&Value| accepts(&item["rule"], protocol, port);
        if !chains.is_empty() && !items.iter().any(|item| opens(&item)) {
            shut.push(format!("{protocol} {port}"));
        }
    }
    match (chains.first(), shut.is_empty()) {
        (Some(chain), false) => {
            let chain = format!("{} {}", chain["table"].as_str().unwrap_or("?"), chain["name"].as_str().unwrap_or("?"));
            let found = format!("nft chain `{chain}` drops, and no rule seems to accept {}", shut.join(", "));
            vec![Check::warning("firewall", found, "accept them on the boot interface, if no rule does in another way")]
        }
        (Some(_), true) => vec![Check::ok("firewall", "nftables drops by default, and accepts our ports")],
        (None, _) => vec![Check::ok("firewall", "nftables does not drop by default")],
    }
}

/// Whether a rule accepts the port, or a whole interface.
fn accepts(rule: &Value, protocol: &str, port: u16) -> bool {
    let parts: Vec<&Value> = rule["expr"].as_array().into_iter().flatten().collect();
    if !parts.iter().any(|part| part.get("accept").is_some()) {
        return false;
    }
    parts.iter().map(|part| &part["match"]).any(|test| {
        let (left, right) = (&test["left"], &test["right"]);
        let named = left["payload"]["field"] == "dport"
            && (left["payload"]["protocol"] == protocol || left["payload"]["protocol"] == "th");
        let whole =
            matches!(left["meta"]["key"].as_str(), Some("iifname" | "iif")) && right != "lo" && parts.len() <= 3;
        (named && names(right, port)) || whole
    })
}

/// `67`, `{"range": [60, 70]}`, `{"set": […]}`
fn names(right: &Value, port: u16) -> bool {
    let number = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
    match right {
        Value::Number(_) => number(right) == u64::from(port),
        Value::Array(list) => list.iter().any(|one| names(one, port)),
        Value::Object(map) => match (map.get("set"), map.get("range")) {
            (Some(set), _) => names(set, port),
            (None, Some(range)) => (number(&range[0])..=number(&range[1])).contains(&u64::from(port)),
            (None, None) => false,
        },
        _ => false,
    }
}

/// Whether the clock can be right.
pub fn time(now: Time, synchronized: Option<bool>) -> Check {
    match synchronized {
        _ if now < WRITTEN => {
            Check::fail("time", format!("{now} is in the past"), "set the clock: leases and certificates depend on it")
        }
        Some(false) => {
            let advice = "systemd says that it is not synchronised: enable NTP, or take no notice in a closed network";
            Check::warning("time", now.to_string(), advice)
        }
        Some(true) => Check::ok("time", format!("{now}, synchronised")),
        None => Check::ok("time", now.to_string()),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::cli::preflight::Grade;
    use serde_json::json;

    /// Settings of a rack on 10.255.255.0/24, with more under `network:`.
    pub fn settings(more: &str) -> Settings {
        let text = format!(
            "repository: {{ url: /r }}\nnetwork:\n  address: 10.255.255.1\n{more}  dhcp:\n    subnets:\n      \
             - {{ subnet: 10.255.255.0/24, range: 10.255.255.100-10.255.255.199 }}\n      \
             - {{ subnet: 10.9.0.0/24, range: 10.9.0.100-10.9.0.199 }}\n"
        );
        crate::settings::parse(&text, std::path::Path::new("/")).unwrap()
    }

    fn machine(flags: &[&str], local: &str, prefix: u8) -> Machine {
        let links = json!([{
            "ifname": "br0", "flags": flags,
            "addr_info": [{ "family": "inet", "local": local, "prefixlen": prefix }, { "family": "inet6", "local": "fd00::1" }]
        }]);
        let routes = json!([{ "dst": "10.9.0.0/16", "dev": "br0" }, { "dst": "default", "dev": "br0" }]);
        Machine {
            capabilities: 1 << NET_RAW,
            links: Some(serde_json::from_value(links).unwrap()),
            routes: serde_json::from_value(routes).unwrap(),
            ..Machine::default()
        }
    }

    fn grades(checks: &[Check]) -> Vec<Grade> {
        checks.iter().map(|check| check.grade).collect()
    }

    #[test]
    fn the_user_needs_raw_packets_for_dhcp() {
        let mut machine = machine(&[], "10.255.255.1", 24);
        assert_eq!(user(&settings(""), &machine).grade, Grade::Ok);
        machine.capabilities = 1 << BIND_SERVICE;
        let check = user(&settings(""), &machine);
        assert_eq!((check.grade, check.found.as_str()), (Grade::Fail, "uid 0, CAP_NET_BIND_SERVICE"));
    }

    #[test]
    fn interfaces_are_there_up_and_addressed() {
        let with = settings("  interface: br0\n");
        let up = ["UP", "LOWER_UP"];
        assert_eq!(grades(&interfaces(&with, &machine(&up, "10.255.255.1", 24))), [Grade::Ok, Grade::Ok]);
        assert_eq!(grades(&interfaces(&with, &machine(&[], "10.255.255.1", 24)))[1], Grade::Fail);
        assert_eq!(grades(&interfaces(&with, &machine(&["UP"], "10.255.255.1", 24)))[1], Grade::Warning);
        let elsewhere = interfaces(&with, &machine(&up, "192.0.2.1", 24));
        assert_eq!(grades(&elsewhere), [Grade::Fail, Grade::Warning]);
        let missing = interfaces(&settings("  interface: eth9\n"), &machine(&up, "10.255.255.1", 24));
        assert_eq!((missing[1].grade, missing[1].found.as_str()), (Grade::Fail, "there is no interface eth9"));
        let behind = interfaces(&settings("  listen: 0.0.0.0\n"), &machine(&up, "192.0.2.1", 24));
        assert_eq!((behind[0].name.as_str(), behind[0].grade), ("network.address", Grade::Warning));
    }

    #[test]
    fn subnets_are_on_an_interface_or_behind_a_route() {
        let mut machine = machine(&["UP"], "10.255.255.1", 24);
        let found = |machine: &Machine| subnets(&settings(""), machine);
        assert_eq!(grades(&found(&machine)), [Grade::Ok, Grade::Ok]);
        machine.routes.remove(0);
        assert_eq!(grades(&found(&machine)), [Grade::Ok, Grade::Warning]);
        machine.routes.clear();
        assert_eq!(grades(&found(&machine)), [Grade::Ok, Grade::Fail]);
        let wide = super::tests::machine(&["UP"], "10.255.255.1", 16);
        assert_eq!(found(&wide)[0].grade, Grade::Warning);
    }

    #[test]
    fn a_firewall_that_drops_must_name_our_ports() {
        let chain = json!({ "chain": { "table": "filter", "name": "input", "hook": "input", "policy": "drop" } });
        let rule = |protocol: &str, right: Value| {
            let left = json!({ "payload": { "protocol": protocol, "field": "dport" } });
            json!({ "rule": { "expr": [{ "match": { "op": "==", "left": left, "right": right } }, { "accept": null }] } })
        };
        let look = |rules: Vec<Value>| {
            let all: Vec<Value> = [chain.clone()].into_iter().chain(rules).collect();
            let machine = Machine { ruleset: Some(json!({ "nftables": all })), ..Machine::default() };
            firewall(&settings(""), &machine).remove(0)
        };
        assert!(look(vec![]).found.contains("accept tcp 9999, udp 69, udp 67"));
        let udp = rule("udp", json!({ "set": [67, { "range": [68, 70] }] }));
        assert!(look(vec![udp.clone()]).found.ends_with("accept tcp 9999"));
        assert_eq!(look(vec![udp, rule("tcp", json!(9999))]).grade, Grade::Ok);
        let open = Machine { ruleset: Some(json!({ "nftables": [] })), ..Machine::default() };
        assert_eq!(firewall(&settings(""), &open)[0].grade, Grade::Ok);
    }

    #[test]
    fn clocks_are_not_in_the_past() {
        assert_eq!(time(Time::from_secs(0), Some(true)).grade, Grade::Fail);
        let now = Time::from_secs(1_800_000_000);
        assert_eq!(
            [None, Some(true), Some(false)].map(|known| time(now, known).grade),
            [Grade::Ok, Grade::Ok, Grade::Warning]
        );
    }
}
