//! What a person asks of a BMC by hand: a look that changes nothing, a power word, a one-shot boot device.
//!
//! One attempt each; nothing is decided or repeated here. The caller holds the BMC's [`Turn`](super::Turn).

use serde::Serialize;

use super::ipmi::{self, Conversation};
use super::redfish::{self, Session};
use super::target::Target;
use crate::model::{Fault, Inventory, Mac, PowerState, Protocol, Reason, Time};

/// What to do with the power, in the words of `ipmitool chassis power`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Only say what it is.
    Status,
    /// On.
    On,
    /// Off at once.
    Off,
    /// Ask the operating system to shut down.
    Soft,
    /// Off at once, then on.
    Cycle,
    /// A hard restart.
    Reset,
}

/// What the next boot starts from, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The network, by PXE.
    Pxe,
    /// The network, by UEFI HTTP boot.
    Http,
    /// The first disk.
    Disk,
    /// The firmware's setup.
    Bios,
    /// Whatever the firmware's boot order says: an override is cleared.
    None,
}

/// How far to look.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    /// Newest entries of the event log that are read.
    pub log: usize,
    /// What time it is, for comparing clocks.
    pub clock: fn() -> Time,
}

/// What a BMC says of itself and its machine. Absent where it says nothing.
#[derive(Clone, Debug, Serialize)]
pub struct Look {
    /// What it was spoken to in.
    pub protocol: Protocol,
    /// The certificate it showed (SHA-256, hex).
    pub certificate: Option<String>,
    /// Who and what the machine is.
    pub inventory: Inventory,
    /// MACs of the BMC's own interfaces.
    pub macs: Vec<Mac>,
    /// The boot override.
    pub boot: Option<Boot>,
    /// The indicator LED, in the BMC's word.
    pub led: Option<String>,
    /// By how many seconds its clock is ahead of ours; negative when it is behind.
    pub clock_ahead: Option<i64>,
    /// Sessions that are open, ours among them.
    pub sessions: Option<usize>,
    /// How many it allows.
    pub session_limit: Option<usize>,
    /// Sensors: how many there are, and those that read what they should not. IPMI only.
    pub sensors: Option<Sensors>,
    /// Newest entries of its event log, newest first.
    pub log: Vec<LogEntry>,
}

/// What the sensors come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sensors {
    /// How many have a reading.
    pub read: usize,
    /// Those beyond a threshold: name and reading.
    pub alarms: Vec<String>,
}

/// A boot override as the BMC reads it back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Boot {
    /// `Once`, `Continuous` or `Disabled`.
    pub enabled: String,
    /// `Pxe`, `Hdd`, …
    pub target: String,
    /// `UEFI` or `Legacy`.
    pub mode: Option<String>,
}

/// An entry of the system event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogEntry {
    /// When, as the BMC says.
    pub at: Option<String>,
    /// `OK`, `Warning`, `Critical`.
    pub severity: Option<String>,
    /// What happened.
    pub message: String,
}

/// A conversation in whichever protocol the BMC speaks.
enum Line {
    Redfish(Box<Session>),
    Ipmi(Box<Conversation>),
}

impl Line {
    fn ipmi(target: &Target) -> Line {
        Line::Ipmi(Box::new(Conversation::new(target.clone())))
    }

    /// Opens it. With an open protocol Redfish comes first, and IPMI where there is no Redfish.
    async fn open(target: &Target) -> Result<Line, Fault> {
        if target.protocol == Protocol::Ipmi {
            return Ok(Line::ipmi(target));
        }
        match Session::open(target.clone()).await {
            Ok(session) => Ok(Line::Redfish(Box::new(session))),
            Err(fault) if target.protocol == Protocol::Auto && is_no_redfish(&fault) => Ok(Line::ipmi(target)),
            Err(fault) => Err(fault),
        }
    }
}

/// Whether a fault leaves it possible that the BMC speaks IPMI only.
fn is_no_redfish(fault: &Fault) -> bool {
    matches!(fault.reason, Reason::NotRedfish | Reason::NoTls | Reason::ConnectionRefused | Reason::Unreachable)
}

/// Looks at everything and changes nothing.
pub async fn look(target: &Target, depth: Depth) -> Result<Look, Fault> {
    match Line::open(target).await? {
        Line::Ipmi(bmc) => within(target, ipmi::look_by_hand(&bmc, depth)).await,
        Line::Redfish(session) => {
            let result = redfish::look(&session, depth).await;
            session.close().await;
            result
        }
    }
}

/// Switches, waits until it is so, and gives the power state that was read back.
pub async fn power(target: &Target, word: Power) -> Result<PowerState, Fault> {
    match Line::open(target).await? {
        Line::Ipmi(bmc) => within(target, ipmi::power_by_hand(&bmc, word)).await,
        Line::Redfish(session) => {
            let result = redfish::power(&session, word).await;
            session.close().await;
            result
        }
    }
}

/// Sets or clears the one-shot boot device and reads it back.
pub async fn boot(target: &Target, device: Device) -> Result<Boot, Fault> {
    match Line::open(target).await? {
        Line::Ipmi(bmc) => within(target, ipmi::boot_once(&bmc, device)).await,
        Line::Redfish(session) => {
            let result = redfish::boot_once(&session, device).await;
            session.close().await;
            result
        }
    }
}

/// The time limit of one action, for what has none of its own.
async fn within<T>(target: &Target, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let limit = target.patience.action;
    let too_slow = || {
        let place = format!("the BMC of {} at {}", target.host, target.address);
        Fault::transient(Reason::BmcTooSlow, format!("{place}: it took longer than {} s", limit.as_secs()))
    };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(too_slow()))
}
