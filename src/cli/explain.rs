//! `rackwright explain`: why a host is where it is, since when, on what it waits, until when, what a person can do.

use std::io::Write;

use anyhow::bail;

use super::runtime;
use super::source::{Asked, Rack, StatusSource};
use super::status::age;

mod boot;
mod task;
use crate::model::status::{ClusterStatus, Condition, Endpoint, HostStatus};
use crate::model::{ConditionStatus, HostState, Time, span};
use crate::yaml::word::nearest;
#[derive(clap::Args, Debug)]
pub struct ExplainArgs {
    /// The host: its name, or CLUSTER/HOST where the name is used twice
    pub host: String,
    /// Where from.
    #[command(flatten)]
    pub source: StatusSource,
}

/// Explains one host.
pub fn explain(args: &ExplainArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let runtime = runtime()?;
    let rack = runtime.block_on(args.source.read())?;
    let host = find(&rack, &args.host)?;
    let cluster = rack.clusters.iter().find(|cluster| cluster.cluster == host.cluster);
    out.write_all(story(host, cluster, &rack, super::now()).as_bytes())?;
    match runtime.block_on(args.source.boot_chain(&host.cluster, &host.host))? {
        Asked::Daemon(chain) => boot::print(chain.as_ref(), out)?,
        Asked::Branch if host.condition.status != ConditionStatus::Ready => writeln!(out, "{}", boot::elsewhere(host))?,
        Asked::Branch => {}
    }
    Ok(0)
}

fn find<'r>(rack: &'r Rack, name: &str) -> anyhow::Result<&'r HostStatus> {
    let named = |status: &&HostStatus| status.host == name || format!("{}/{}", status.cluster, status.host) == name;
    let found: Vec<_> = rack.hosts.iter().filter(named).collect();
    match found[..] {
        [one] => Ok(one),
        [] => {
            let known = rack.hosts.iter().map(|status| status.host.as_str());
            match nearest(name, known.clone()) {
                Some(near) => bail!("there is no host `{name}` in the status; did you mean `{near}`?"),
                None => bail!("there is no host `{name}` in the status (it has {})", known.len()),
            }
        }
        _ => {
            let names: Vec<_> = found.iter().map(|status| format!("{}/{}", status.cluster, status.host)).collect();
            bail!("`{name}` can be {}; say which", names.join(" or "))
        }
    }
}

fn story(host: &HostStatus, cluster: Option<&ClusterStatus>, rack: &Rack, now: Time) -> String {
    let mut lines = vec![
        format!("{}/{} is {}: {}.", host.cluster, host.host, host.state, stage(host.state)),
        format!("It has been in this state for {}, since {}.", age(host.since, now), host.since),
        consent(host),
    ];
    if host.since.is_empty() {
        lines[1] = "Nothing has been seen of it yet.".into();
    }
    lines.push(next(&host.condition, now));
    if host.condition.status != ConditionStatus::Ready {
        lines.push(format!("What you can do: {}", host.condition.reason.advice()));
    }
    if host.drift {
        lines.push(
            "Its definition changed after it was installed, at the same generation (drift). Nothing is done about \
             that; raise its generation to install it again."
                .into(),
        );
    }
    lines.extend(host.notes.iter().map(|note| format!("Note: {note}.")));
    if let Some(cluster) = cluster {
        lines.extend(task::about_cluster(cluster, now));
    }
    if let Some(rejected) = &rack.rejected {
        lines.push(format!(
            "The newest commit, {}, is refused ({} findings); the last good revision is in force. See `rackwright status`.",
            rejected.revision.short(),
            rejected.findings.len()
        ));
    }
    lines.extend(identity(host));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn stage(state: HostState) -> &'static str {
    match state {
        HostState::Init => "it has not been seen on the network",
        HostState::Characterizing => "its BMC was seen, and is being asked what the machine is",
        HostState::Preparing => "the machine is known, and is being set up for its install",
        HostState::PxeBooting => "it is to boot from the network and claim its install",
        HostState::Installing => "its installer is running",
        HostState::Installed => "its disk is installed, and its first boot is awaited",
        HostState::BootedInitial => "it is up, and waits for its cluster to be configured",
        HostState::BootedConfigured => "it is configured, and its cluster's hooks are running",
        HostState::Completed => "everything is done",
    }
}

fn consent(host: &HostStatus) -> String {
    let wanted = host.generation.wanted;
    match host.generation.installed {
        Some(installed) if installed == wanted => {
            format!("Generation {wanted} is installed, and that is what is wanted.")
        }
        Some(installed) if installed > wanted => {
            format!(
                "Generation {installed} is installed; the repository asks for {wanted}, a lower one: nothing is done."
            )
        }
        Some(installed) => {
            format!("Generation {installed} is installed; generation {wanted} is wanted, so it is installed again.")
        }
        None => format!("rackwright has not installed anything on it yet; generation {wanted} is wanted."),
    }
}

fn next(condition: &Condition, now: Time) -> String {
    let until = condition.until.map(|until| match until.time() {
        then if then > now => format!("{until}, in {}", span(then.since(now))),
        then => format!("{until}, {} ago", span(now.since(then))),
    });
    let message = condition.message.trim_end_matches('.');
    match (condition.status, until) {
        (ConditionStatus::Ready, _) => format!("Nothing is left to do: {message}."),
        (ConditionStatus::Stalled, Some(until)) => {
            format!("It is stalled ({}): {message}. It is tried again at {until}.", condition.reason)
        }
        (ConditionStatus::Stalled, None) => {
            format!("It is stalled ({}): {message}. Nothing happens until a person acts.", condition.reason)
        }
        (_, Some(until)) => {
            format!(
                "Now ({}): {message}. If nothing happens before, it is looked at again at {until}.",
                condition.reason
            )
        }
        (_, None) => format!("Now ({}): {message}.", condition.reason),
    }
}

fn identity(host: &HostStatus) -> Vec<String> {
    let endpoint = |name: &str, endpoint: &Endpoint| {
        let mac = endpoint.mac.map_or_else(|| "MAC not known".to_string(), |mac| mac.to_string());
        let address = endpoint.address.map_or_else(|| "address not known".to_string(), |ip| ip.to_string());
        format!("{name}: {mac}, {address}.")
    };
    let mut lines: Vec<String> = host.bmc.iter().map(|bmc| endpoint("BMC", bmc)).collect();
    lines.push(endpoint("Boot interface", &host.boot));
    if let Some(inventory) = &host.inventory {
        let parts = [&inventory.manufacturer, &inventory.model, &inventory.serial];
        let parts: Vec<_> = parts.into_iter().flatten().map(String::as_str).collect();
        if !parts.is_empty() {
            lines.push(format!("Machine: {}.", parts.join(", ")));
        }
        if let Some(hardware) = inventory.hardware() {
            let rest = if inventory.incomplete { "; the BMC could not tell all of it" } else { "" };
            lines.push(format!("It has {hardware}{rest}."));
        }
        if host.boot.mac.is_none() && !inventory.nics.is_empty() {
            let macs: Vec<_> = inventory.nics.iter().map(|nic| nic.mac.to_string()).collect();
            lines.push(format!(
                "Its BMC does not say which interface it boots from: it is recognised by any of {}.",
                macs.join(", ")
            ));
        }
    }
    lines
}
