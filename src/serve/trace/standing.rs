//! Where a network boot stands, in one sentence: what was last heard, how long ago, and what that usually means.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::chain::{Chain, Dhcp};
use super::exchange::{BootFile, DhcpOutcome, Exchange, Grant, TftpOutcome};
use super::step::{Attempt, Step};
use crate::model::Time;

/// What is known of the machine besides its steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Since when an install is claimed and under way.
    pub claimed: Option<Time>,
    /// Its boot script tells it to boot its own disk.
    pub local: bool,
    /// Another server hands out the addresses: DHCP may not be ours to see.
    pub foreign_dhcp: bool,
    /// Since when the daemon listens, as far as that is known.
    pub since: Option<Time>,
}

/// Where a network boot stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// Whether the next step is overdue.
    pub stuck: bool,
    /// The sentence.
    pub sentence: String,
}

/// Firmware goes from one step to the next within seconds; EDK2 collects offers for four, and asks again after eight.
const FIRMWARE: Duration = Duration::from_secs(20);
/// iPXE starts, finds its driver, and waits for the link.
const IPXE: Duration = Duration::from_secs(45);
/// A kernel starts, finds its root, and the installer claims; servers with much memory take minutes.
const KERNEL: Duration = Duration::from_secs(300);

/// What is said when nothing more specific is: what happened, its usual reasons, and how long the next step may take.
struct Finding {
    what: String,
    likely: &'static str,
    patience: Duration,
}

/// Says where the newest attempt of a machine stands.
pub fn standing(attempt: Option<&Attempt>, known: Known, now: Time) -> Standing {
    let heard = attempt.and_then(|attempt| Some((attempt, attempt.heard()?)));
    let Some((attempt, heard)) = heard else { return unheard(known, now) };
    let chain = Chain::of(attempt);
    let settled = |sentence: String| Standing { stuck: false, sentence };
    if let Some(step) = chain.accepted {
        return settled(format!(
            "its {} check-in came at {}{}",
            step.exchange.asked(),
            clock(step.last),
            ago(step.last, now)
        ));
    }
    let began = attempt.steps.front().map_or(heard, |step| step.at);
    if let Some(claimed) = known.claimed.filter(|claimed| *claimed >= began) {
        return settled(format!(
            "its install was claimed at {}{}; the installer is running",
            clock(claimed),
            ago(claimed, now)
        ));
    }
    if let Some(step) = chain.checkin {
        return Standing {
            stuck: true,
            sentence: format!("its {} check-in was not accepted: {}", step.exchange.asked(), step.exchange.outcome()),
        };
    }
    if known.local && chain.script.is_some_and(|step| step.exchange.succeeded()) && !chain.loaded {
        let at = chain.script.map_or(heard, |step| step.last);
        return settled(format!("it was told to boot its own disk at {}{}", clock(at), ago(at, now)));
    }
    sentence(finding(&chain), heard, now)
}

fn sentence(finding: Finding, heard: Time, now: Time) -> Standing {
    let silence = now.since(heard);
    let Finding { what, likely, patience } = finding;
    if silence < patience {
        return Standing { stuck: false, sentence: format!("under way: {what} ({} ago)", span(silence)) };
    }
    Standing { stuck: true, sentence: format!("stuck {what}, and nothing since ({}). Likely: {likely}", span(silence)) }
}

fn unheard(known: Known, now: Time) -> Standing {
    let since = known.since.map(|at| format!(" since {}{}", clock(at), ago(at, now))).unwrap_or_default();
    let sentence = if known.foreign_dhcp {
        format!(
            "nothing was heard of its boot interface{since}; addresses are another server's. Likely: it is off, or that \
             server does not name our boot files, or boot_mac is another interface's"
        )
    } else {
        format!(
            "no DHCP request of its boot interface was heard{since}. Likely: it is off, network boot is not enabled or not \
             first, cable or VLAN are wrong, a relay is missing, or boot_mac is another interface's"
        )
    };
    Standing { stuck: true, sentence }
}

/// The furthest thing that happened, asked for from the end of the chain.
fn finding(chain: &Chain<'_>) -> Finding {
    if let Some(step) = chain.payload {
        return payload(step);
    }
    if let Some(step) = chain.script {
        return script(step);
    }
    if chain.ipxe.heard() {
        let sent = chain.firmware.heard() || chain.loader.is_some();
        return dhcp(&chain.ipxe, if sent { Stage::Ipxe } else { Stage::CardIpxe });
    }
    if let Some(step) = chain.loader {
        return loader(step);
    }
    if chain.firmware.heard() {
        return dhcp(&chain.firmware, Stage::Firmware);
    }
    dhcp(&chain.system, Stage::System)
}

/// Whose DHCP it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Firmware,
    /// iPXE that our TFTP or HTTP server sent.
    Ipxe,
    /// iPXE in the network card's own ROM.
    CardIpxe,
    System,
}

impl Stage {
    fn place(self) -> &'static str {
        match self {
            Stage::Firmware => "in the firmware's DHCP",
            Stage::Ipxe => "in iPXE's own DHCP (the second of this boot)",
            Stage::CardIpxe => "in the DHCP of the network card's iPXE",
            Stage::System => "in DHCP without network boot",
        }
    }

    fn patience(self) -> Duration {
        if matches!(self, Stage::Ipxe | Stage::CardIpxe) { IPXE } else { FIRMWARE }
    }
}

fn dhcp(said: &Dhcp<'_>, stage: Stage) -> Finding {
    let place = stage.place();
    let finding = |what: String, likely| Finding { what, likely, patience: FIRMWARE };
    match (said.refused, said.ack, said.discover) {
        (Some(step), ..) => match &step.exchange {
            Exchange::Dhcp { outcome: outcome @ DhcpOutcome::OtherServer { .. }, .. } => finding(
                format!("{place}: it took another server's offer at {} ({outcome})", clock(step.last)),
                "a second DHCP server on this segment answers faster; switch it off, or use network.dhcp.mode: proxy",
            ),
            exchange => finding(
                format!("{place}: {} was answered `{}`", repeated(step), exchange.outcome()),
                "no subnet of the settings holds the segment it asks from, or its range is used up",
            ),
        },
        (None, Some(step), _) => acknowledged(step, stage),
        (None, None, Some(step)) => finding(
            format!("{place}: {}; it was offered {} and never requested it", repeated(step), address(&grant(step))),
            "another DHCP server won, or our offers do not reach it (VLAN, relay, spanning tree, a firewall)",
        ),
        (None, None, None) => finding(format!("{place}: nothing was heard"), "it is off"),
    }
}

/// What the step offered or granted.
fn grant(step: &Step) -> Grant {
    match &step.exchange {
        Exchange::Dhcp { outcome: DhcpOutcome::Offer(grant) | DhcpOutcome::Ack(grant), .. } => grant.clone(),
        _ => Grant::default(),
    }
}

fn address(grant: &Grant) -> String {
    // Beside another server only boot options are given.
    grant.address.map_or_else(|| "boot options".to_owned(), |ip| ip.to_string())
}

fn acknowledged(step: &Step, stage: Stage) -> Finding {
    let (at, grant) = (clock(step.last), grant(step));
    let got = address(&grant);
    let (what, likely) = match grant.boot {
        None if stage == Stage::System => (
            format!("after it got {got} at {at} without asking for network boot"),
            "it booted its own disk; put network boot first in the firmware's boot order, if it should not have",
        ),
        None => (
            format!(
                "{}: it got {got} at {at}, but was not told {}",
                stage.place(),
                if stage == Stage::Firmware { "its boot file" } else { "the boot script's URL" }
            ),
            "its architecture is not one that is network-booted here, or the host boots its disk (local_boot: firmware)",
        ),
        Some(BootFile::Url(url)) if url.as_str().contains("/boot.ipxe") => (
            format!("after the second DHCP reply: iPXE was told {url} at {at} and has asked for nothing"),
            "the HTTP port is blocked, network.address is not reachable from there, or this iPXE has no HTTP",
        ),
        Some(BootFile::Url(url)) => (
            format!("after the DHCP reply: it was offered {url} at {at} and has asked for nothing"),
            "the HTTP port is blocked, or the firmware takes HTTPS only",
        ),
        Some(BootFile::Tftp { name, .. }) => (
            format!("after the DHCP reply: it was offered {name} at {at} and has asked for nothing"),
            "the TFTP port is blocked, or the firmware wants HTTP",
        ),
    };
    Finding { what, likely, patience: stage.patience() }
}

fn loader(step: &Step) -> Finding {
    let (file, at, outcome) = (step.exchange.file(), clock(step.last), step.exchange.outcome());
    let ended = match &step.exchange {
        Exchange::Tftp { outcome, .. } => Some(outcome),
        _ => None,
    };
    let (what, likely, patience) = match ended {
        _ if step.exchange.succeeded() => (
            format!("after it fetched {file} at {at}: iPXE's own DHCP (the second of this boot) did not come"),
            "Secure Boot refuses this iPXE, it has no driver for the network card (snponly.efi and undionly.kpxe use the \
             firmware's), or the switch port is not forwarding yet (spanning tree: portfast)",
            IPXE,
        ),
        Some(TftpOutcome::Sending { .. }) => (
            format!("while {file} is sent to it since {at}"),
            "the link is lost, or the machine was switched off",
            IPXE,
        ),
        Some(TftpOutcome::Aborted { .. } | TftpOutcome::Closed { .. }) => (
            format!("after it asked for {file} and aborted at {at}, as firmware does that asks for the size first"),
            "the file is larger than the firmware's memory for it, or its second request is lost (a firewall with state)",
            FIRMWARE,
        ),
        Some(TftpOutcome::TimedOut { .. }) => (
            format!("while {file} was sent to it: {outcome} at {at}"),
            "packets of this size do not arrive (MTU, VLAN tag), a firewall drops the transfer's ports, or it was \
             switched off",
            FIRMWARE,
        ),
        _ => (
            format!("at {file}: {outcome} at {at}"),
            "iPXE's binaries are neither in network.tftp.root nor in network.ipxe; `rackwright preflight` looks for them",
            FIRMWARE,
        ),
    };
    Finding { what, likely, patience }
}

fn script(step: &Step) -> Finding {
    let (file, at) = (step.exchange.file(), clock(step.last));
    let (what, likely) = if step.exchange.succeeded() {
        (
            format!("after it read its boot script ({file}) at {at}: no kernel was asked for"),
            "the script names a server that it cannot reach, or this iPXE is too old for it; look at its console",
        )
    } else {
        (
            format!("at its boot script: {file} was answered `{}` at {at}", step.exchange.outcome()),
            "it asks from an address that is not leased to its boot MAC, or it is not to be installed",
        )
    };
    Finding { what, likely, patience: IPXE }
}

fn payload(step: &Step) -> Finding {
    let (file, at) = (step.exchange.file(), clock(step.last));
    let (what, likely, patience) = if step.exchange.succeeded() {
        (
            format!("after it fetched {file} at {at}: no claim came"),
            "the kernel has no driver for the network card or the disk, the installer got no address, or it waits for \
             an answer at its console",
            KERNEL,
        )
    } else if step.exchange.sending() {
        (format!("while {file} is sent to it since {at}"), "the link is lost, or it was switched off", IPXE)
    } else {
        (
            format!("at {file}: {} at {at}", step.exchange.outcome()),
            "the installer's kernel and images are not in network.tftp.root; `rackwright preflight` looks for them",
            IPXE,
        )
    };
    Finding { what, likely, patience }
}

/// `discover (BIOS PXE) ×5 over 21 s`
fn repeated(step: &Step) -> String {
    match step.count {
        1 => format!("{} at {}", step.exchange.asked(), clock(step.at)),
        count => format!("{} ×{count} over {}", step.exchange.asked(), span(step.last.since(step.at))),
    }
}

/// The time of day (UTC).
fn clock(at: Time) -> String {
    at.to_string().split_once('T').map(|(_, time)| time.trim_end_matches('Z').to_owned()).unwrap_or_default()
}

fn ago(at: Time, now: Time) -> String {
    format!(" ({} ago)", span(now.since(at)))
}

fn span(length: Duration) -> String {
    match length.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
