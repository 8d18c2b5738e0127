//! What the words of a step mean: who spoke, and how far it came.
//!
//! The servers note their steps in words for people (`discover (UEFI x64 PXE)`, `ack 192.0.2.7, ipxe.efi from 192.0.2.1`,
//! `sent 174592 octets`); this is the one place that reads them back, and `tests/trace/chain.rs` holds it to their words.

use super::{Attempt, Service, Step};

/// Who sent a DHCP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client<'s> {
    /// A machine's firmware: its kind, `UEFI x64 PXE`.
    Firmware(&'s str),
    /// iPXE: the one we sent, or one in the network card.
    Ipxe,
    /// An operating system, an installer, a BMC.
    System,
}

/// Who sent the DHCP message that the step is about.
pub fn client(step: &Step) -> Option<Client<'_>> {
    if step.by != Service::Dhcp {
        return None;
    }
    let kind = step.asked.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(kind, _)| kind);
    Some(match kind {
        Some("iPXE") => Client::Ipxe,
        Some(kind) => Client::Firmware(kind),
        None => Client::System,
    })
}

/// How one client's DHCP went.
#[derive(Clone, Debug, Default)]
pub struct Dhcp<'s> {
    /// Its newest DISCOVER.
    pub discover: Option<&'s Step>,
    /// Its newest REQUEST that was acknowledged.
    pub ack: Option<&'s Step>,
    /// Its newest message that was not granted.
    pub refused: Option<&'s Step>,
}

impl<'s> Dhcp<'s> {
    /// Whether the client was heard at all.
    pub fn heard(&self) -> bool {
        self.discover.is_some() || self.ack.is_some() || self.refused.is_some()
    }

    fn add(&mut self, step: &'s Step) {
        if step.outcome.starts_with("ack") {
            self.ack = Some(step);
            self.refused = None;
        } else if step.asked.starts_with("discover") {
            self.discover = Some(step);
            if step.outcome.starts_with("dropped") {
                self.refused = Some(step);
            }
        } else {
            self.refused = Some(step);
        }
    }
}

/// The address that was granted, or offered: the second word of `ack 192.0.2.7, …`.
pub fn address(outcome: &str) -> &str {
    outcome.split([' ', ',']).nth(1).unwrap_or_default()
}

/// The file that was named with it: what follows the comma, without its server.
pub fn file(outcome: &str) -> Option<&str> {
    let (_, rest) = outcome.split_once(", ")?;
    Some(rest.split_once(" from ").map_or(rest, |(file, _)| file))
}

/// A name without TFTP's options, method and leading slashes.
pub fn name(asked: &str) -> &str {
    let asked = asked.strip_prefix("GET ").or_else(|| asked.strip_prefix("HEAD ")).unwrap_or(asked);
    asked.split(' ').next().unwrap_or(asked).trim_start_matches('/')
}

/// Whether the step brought what was asked for.
pub fn succeeded(step: &Step) -> bool {
    match step.by {
        Service::Tftp => step.outcome.starts_with("sent "),
        Service::Http => ["200", "206", "304"].iter().any(|code| step.outcome.starts_with(code)),
        Service::Checkin => step.outcome == "accepted",
        Service::Dhcp => step.outcome.starts_with("ack"),
    }
}

/// An attempt, taken apart.
#[derive(Clone, Debug, Default)]
pub struct Chain<'s> {
    /// The firmware's DHCP.
    pub firmware: Dhcp<'s>,
    /// The firmware's fetch of the file it was offered: the newest step of it.
    pub loader: Option<&'s Step>,
    /// iPXE's own DHCP.
    pub ipxe: Dhcp<'s>,
    /// The newest read of a boot script.
    pub script: Option<&'s Step>,
    /// The newest fetch of something that a script names.
    pub payload: Option<&'s Step>,
    /// Whether anything that a script names was sent whole.
    pub loaded: bool,
    /// The DHCP of what was started.
    pub system: Dhcp<'s>,
    /// The newest check-in, and the newest that was accepted.
    pub checkin: Option<&'s Step>,
    /// The newest check-in that was accepted.
    pub accepted: Option<&'s Step>,
}

impl<'s> Chain<'s> {
    /// Takes an attempt apart.
    pub fn of(attempt: &'s Attempt) -> Chain<'s> {
        let mut chain = Chain::default();
        attempt.steps.iter().for_each(|step| chain.add(step));
        chain
    }

    fn add(&mut self, step: &'s Step) {
        match (client(step), step.by) {
            (Some(Client::Firmware(_)), _) => self.firmware.add(step),
            (Some(Client::Ipxe), _) => self.ipxe.add(step),
            (Some(Client::System), _) => self.system.add(step),
            (None, Service::Checkin) => {
                self.checkin = Some(step);
                self.accepted = if succeeded(step) { Some(step) } else { self.accepted };
            }
            (None, _) if is_loader(step) => self.loader = Some(step),
            (None, _) if is_script(step) => self.script = Some(step),
            (None, _) => {
                self.payload = Some(step);
                self.loaded |= succeeded(step);
            }
        }
    }
}

fn is_loader(step: &Step) -> bool {
    let name = name(&step.asked);
    ["undionly.kpxe", "ipxe.efi", "ipxe-arm64.efi"].iter().any(|loader| name.ends_with(loader))
}

fn is_script(step: &Step) -> bool {
    name(&step.asked).ends_with(".ipxe")
}
