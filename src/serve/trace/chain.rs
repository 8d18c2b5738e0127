//! How far an attempt came: its steps by the part of the boot chain that they belong to.
#![allow(missing_docs, reason = "names that say all have no comment")]

use super::exchange::{Client, DhcpOutcome, Exchange};
use super::step::{Attempt, Step};

/// How one client's DHCP went.
#[derive(Clone, Debug, Default)]
pub(super) struct Dhcp<'s> {
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

    fn add(&mut self, step: &'s Step, outcome: &DhcpOutcome) {
        match outcome {
            DhcpOutcome::Ack(_) => (self.ack, self.refused) = (Some(step), None),
            DhcpOutcome::Offer(_) => self.discover = Some(step),
            _ => {
                self.refused = Some(step);
                if step.exchange.discovers() {
                    self.discover = Some(step);
                }
            }
        }
    }
}

/// An attempt, taken apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain<'s> {
    pub firmware: Dhcp<'s>,
    /// The firmware's fetch of the file it was offered: the newest step of it.
    pub loader: Option<&'s Step>,
    pub ipxe: Dhcp<'s>,
    /// The newest read of a boot script.
    pub script: Option<&'s Step>,
    /// The newest fetch of something that a script names.
    pub payload: Option<&'s Step>,
    /// Whether anything that a script names was sent whole.
    pub loaded: bool,
    pub system: Dhcp<'s>,
    /// The newest check-in.
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
        let succeeded = step.exchange.succeeded();
        match &step.exchange {
            Exchange::Dhcp { asked, outcome } => match asked.client {
                Client::Firmware { .. } => self.firmware.add(step, outcome),
                Client::Ipxe => self.ipxe.add(step, outcome),
                Client::System => self.system.add(step, outcome),
            },
            Exchange::Checkin { .. } => {
                self.checkin = Some(step);
                self.accepted = if succeeded { Some(step) } else { self.accepted };
            }
            exchange if is_loader(exchange.file()) => self.loader = Some(step),
            exchange if exchange.file().ends_with(".ipxe") => self.script = Some(step),
            _ => {
                self.payload = Some(step);
                self.loaded |= succeeded;
            }
        }
    }
}

fn is_loader(name: &str) -> bool {
    crate::serve::files::IPXE.iter().any(|(loader, _)| name.ends_with(loader))
}
