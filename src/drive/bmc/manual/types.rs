//! What an operator asks of a BMC, and what is shown of its answer; the same for Redfish and IPMI.

use clap::ValueEnum;
use serde::Serialize;

use crate::model::{Inventory, Mac, Protocol, Time};

/// What to do with the power, in the words of `ipmitool chassis power`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Power {
    /// Only say what it is
    Status,
    /// Switch on
    On,
    /// Cut power
    Off,
    /// Ask the operating system to shut down
    Soft,
    /// Cut power, then switch on
    Cycle,
    /// Restart at once
    Reset,
}

/// What the next boot starts from, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// The network, by PXE
    Pxe,
    /// The network, by UEFI HTTP boot
    Http,
    /// The first disk
    Disk,
    /// The firmware's setup
    Bios,
    /// What the firmware's boot order says: clears what was set
    None,
}

/// How much is read.
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
    pub protocol: Protocol,
    /// The certificate it showed (SHA-256, hex).
    pub certificate: Option<String>,
    pub inventory: Inventory,
    /// MACs of the BMC's own interfaces.
    pub macs: Vec<Mac>,
    pub boot: Option<Boot>,
    /// The indicator LED, in the BMC's word.
    pub led: Option<String>,
    /// By how many seconds its clock is ahead of ours; negative when it is behind.
    pub clock_ahead: Option<i64>,
    /// Sessions that are open, ours among them.
    pub sessions: Option<usize>,
    pub session_limit: Option<usize>,
    /// IPMI only.
    pub sensors: Option<Sensors>,
    /// Newest entries of its event log, newest first.
    pub log: Vec<LogEntry>,
}

/// A summary of the sensors.
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
    pub message: String,
}
