//! Checks across hosts and clusters: MACs, names and addresses used twice, and consent taken back.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use super::Context;
use super::cluster::ClusterDraft;
use super::host::Draft;
use crate::model::{Finding, HostId, Mac, Protocol};
use crate::yaml::Place;

/// Where something was first seen: file, line, and what it is there.
type First<'a> = (&'a str, u32, String);

/// Checks everything that one host alone cannot know.
pub fn across(clusters: &[ClusterDraft], context: &Context<'_>, found: &mut Vec<Finding>) {
    macs(clusters, found);
    names(clusters, found);
    addresses(clusters, context, found);
    generations(clusters, context, found);
    capacity(clusters, context, found);
}

fn each(clusters: &[ClusterDraft]) -> impl Iterator<Item = (&ClusterDraft, &Draft)> {
    clusters.iter().flat_map(|cluster| cluster.hosts.iter().map(move |draft| (cluster, draft)))
}

fn who(cluster: &ClusterDraft, draft: &Draft) -> String {
    match &draft.hostname {
        Some((name, _)) => format!("{}/{name}", cluster.spec.name),
        None => format!("a host of {}", cluster.spec.name),
    }
}

fn macs(clusters: &[ClusterDraft], found: &mut Vec<Finding>) {
    let mut seen: HashMap<Mac, First<'_>> = HashMap::new();
    for (cluster, draft) in each(clusters) {
        let boot = draft.config.boot_mac;
        // Without BMC the key may well be the boot MAC, written twice.
        let same = draft.bmc.protocol == Protocol::None && boot.map(|(mac, _)| mac) == draft.key;
        let key = draft.key.filter(|_| !same).map(|mac| (mac, draft.place, "the key"));
        let boot = boot.map(|(mac, place)| (mac, place, "the boot MAC"));
        for (mac, place, role) in key.into_iter().chain(boot) {
            match seen.get(&mac) {
                Some((path, line, other)) => {
                    let message = format!("`{mac}` is used twice: it is {other} in {path}, line {line}");
                    let hint = "every interface has an address of its own; look at the machines' labels";
                    found.push(Finding::error(&cluster.path, place, "duplicate-mac", message).hint(hint));
                }
                None => {
                    seen.insert(mac, (&cluster.path, place.0, format!("{role} of {}", who(cluster, draft))));
                }
            }
        }
    }
}

fn names(clusters: &[ClusterDraft], found: &mut Vec<Finding>) {
    let mut seen: HashMap<String, First<'_>> = HashMap::new();
    for (cluster, draft) in each(clusters) {
        let Some((name, place)) = &draft.hostname else { continue };
        let fqdn = format!("{name}.{}", cluster.spec.domain).to_lowercase();
        match seen.get(&fqdn) {
            Some((path, line, other)) => {
                let message = format!("`{fqdn}` is used twice: it is {other} in {path}, line {line}");
                let hint = "give this host another name, or its cluster another `local_domain`";
                found.push(Finding::error(&cluster.path, *place, "duplicate-hostname", message).hint(hint));
            }
            None => {
                seen.insert(fqdn, (&cluster.path, place.0, who(cluster, draft)));
            }
        }
    }
}

fn addresses(clusters: &[ClusterDraft], context: &Context<'_>, found: &mut Vec<Finding>) {
    let mut seen: HashMap<IpAddr, First<'_>> = HashMap::new();
    for (cluster, draft) in each(clusters) {
        let host = draft.config.address.map(|(ip, place)| (IpAddr::V4(ip), place, true));
        let bmc = draft.bmc.address.filter(|_| draft.bmc.protocol != Protocol::None);
        let bmc = bmc.map(|(ip, place)| (ip, place, false));
        for (ip, place, is_host) in host.into_iter().chain(bmc) {
            let mut error = |code: &str, message: String, hint: &str| {
                found.push(Finding::error(&cluster.path, place, code, message).hint(hint));
            };
            let problem = match ip {
                IpAddr::V4(v4) => usable(v4, is_host, context),
                IpAddr::V6(_) => None,
            };
            if let Some((code, message, hint)) = problem {
                error(code, message, hint);
            }
            match seen.get(&ip) {
                Some((path, line, other)) => {
                    let message = format!("`{ip}` is used twice: it is the address of {other} in {path}, line {line}");
                    error("duplicate-address", message, "give this one another address");
                }
                None => {
                    let role = if is_host { "" } else { "the BMC of " };
                    seen.insert(ip, (&cluster.path, place.0, format!("{role}{}", who(cluster, draft))));
                }
            }
        }
    }
}

/// What is wrong with a fixed address.
fn usable(ip: Ipv4Addr, is_host: bool, context: &Context<'_>) -> Option<(&'static str, String, &'static str)> {
    if ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() {
        return Some(("bad-address", format!("`{ip}` is not the address of a machine"), "choose another"));
    }
    if ip == context.address && !context.subnets.is_empty() {
        return Some(("address-taken", format!("`{ip}` is the bootstrap host's own address"), "choose another"));
    }
    let Some(subnet) = context.subnets.iter().find(|subnet| subnet.net.contains(&ip)) else {
        // A BMC may well live on a management network of its own.
        let off = is_host && !context.subnets.is_empty();
        let nets: Vec<_> = context.subnets.iter().map(|subnet| subnet.net.to_string()).collect();
        let message = format!("`{ip}` is on none of the subnets that are served ({})", nets.join(", "));
        return off.then_some(("address-off-subnet", message, "use an address of the boot network"));
    };
    if (subnet.first..=subnet.last).contains(&ip) {
        let message = format!("`{ip}` is inside the dynamic range {}-{}", subnet.first, subnet.last);
        return Some(("address-in-range", message, "fixed addresses lie outside of the range that is leased"));
    }
    let edge = subnet.net.prefix_len() < 31 && (ip == subnet.net.network() || ip == subnet.net.broadcast());
    if edge || subnet.gateway == Some(ip) {
        let what = if edge { "not the address of a machine" } else { "the gateway's address" };
        return Some(("address-taken", format!("`{ip}` is {what} on {}", subnet.net), "choose another"));
    }
    None
}

fn generations(clusters: &[ClusterDraft], context: &Context<'_>, found: &mut Vec<Finding>) {
    let Some(previous) = context.previous else { return };
    for (cluster, draft) in each(clusters) {
        let Some((name, _)) = &draft.hostname else { continue };
        let Some(before) = previous.hosts.get(&HostId::new(&cluster.spec.name, name)) else { continue };
        let (wanted, place): (u32, Place) = draft.generation;
        if wanted < before.generation.0 {
            let message = format!("the generation of `{name}` is lowered from {} to {wanted}", before.generation);
            let hint = "an install cannot be taken back; keep the number, or raise it to reinstall";
            found.push(Finding::error(&cluster.path, place, "lowered-generation", message).hint(hint));
        }
    }
}

/// Warns when the dynamic ranges cannot hold everybody who needs a lease.
fn capacity(clusters: &[ClusterDraft], context: &Context<'_>, found: &mut Vec<Finding>) {
    if context.subnets.is_empty() {
        return;
    }
    let size =
        |subnet: &crate::model::Subnet| u64::from(u32::from(subnet.last).saturating_sub(subnet.first.into())) + 1;
    let room: u64 = context.subnets.iter().map(size).sum();
    let needs = |draft: &Draft| {
        let bmc = draft.bmc.protocol != Protocol::None && draft.bmc.address.is_none();
        u64::from(bmc) + u64::from(draft.config.address.is_none())
    };
    let wanted: u64 = each(clusters).map(|(_, draft)| needs(draft)).sum();
    if wanted > room {
        let message = format!("{wanted} BMCs and machines need a lease, but the dynamic ranges hold {room} addresses");
        let finding = Finding::warning(super::cluster::CLUSTERS, (0, 0), "range-too-small", message);
        found.push(finding.hint("enlarge `network.dhcp.subnets[].range`, or give machines fixed addresses"));
    }
}
