//! What `ipmitool` prints, read tolerantly: vendors leave lines out, pad them, and put text where numbers belong.

use super::super::text::meaningful;
use crate::model::{Mac, PowerState};

/// Lines of one answer that are read; a system event log has the most.
const LINES: usize = 4096;

/// Boot flags: parameter 5 of Get System Boot Options (IPMI 2.0 section 28.13, table 28-14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootFlags {
    /// Whether the firmware is to look at them.
    pub valid: bool,
    /// For every start, not only the next.
    pub persistent: bool,
    pub efi: bool,
    pub device: Device,
}

/// Boot device selector, of those that can be told (table 28-14, data 2, bits 5 to 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    None,
    Pxe,
    Disk,
    Cdrom,
    Bios,
    Other(u8),
}

impl Device {
    pub fn selector(self) -> u8 {
        match self {
            Device::None => 0,
            Device::Pxe => 1,
            Device::Disk => 2,
            Device::Cdrom => 5,
            Device::Bios => 6,
            Device::Other(bits) => bits & 0xf,
        }
    }

    fn from_selector(bits: u8) -> Self {
        let known = [Device::None, Device::Pxe, Device::Disk, Device::Cdrom, Device::Bios];
        known.into_iter().find(|device| device.selector() == bits).unwrap_or(Device::Other(bits))
    }
}

impl BootFlags {
    /// Five bytes of parameter data, as Set System Boot Options takes them (section 28.12).
    pub fn bytes(self) -> [u8; 5] {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let first = bit(self.valid, 0x80) | bit(self.persistent, 0x40) | bit(self.efi, 0x20);
        [first, self.device.selector() << 2, 0, 0, 0]
    }

    /// Reads the answer to `raw 0x00 0x09 0x05 0x00 0x00`: version, parameter, data. Nothing when there is no data or the
    /// parameter is marked invalid.
    pub fn read(raw: &str) -> Option<Self> {
        let bytes = bytes(raw);
        let [_version, parameter, first, second, ..] = bytes[..] else { return None };
        if parameter & 0x80 != 0 {
            return None;
        }
        Some(BootFlags {
            valid: first & 0x80 != 0,
            persistent: first & 0x40 != 0,
            efi: first & 0x20 != 0,
            device: Device::from_selector(second >> 2 & 0xf),
        })
    }
}

/// The hexadecimal bytes of an answer to `raw`.
fn bytes(raw: &str) -> Vec<u8> {
    raw.split_whitespace().map_while(|word| u8::from_str_radix(word, 16).ok()).take(64).collect()
}

/// `Chassis Power is on`
pub fn power(text: &str) -> PowerState {
    let said =
        lines(text).find_map(|line| line.trim().to_ascii_lowercase().strip_prefix("chassis power is ").map(on_off));
    said.unwrap_or(PowerState::Unknown)
}

/// `on` and `off`, whatever follows.
pub fn on_off(word: &str) -> PowerState {
    match word.trim().to_ascii_lowercase().as_str() {
        "on" => PowerState::On,
        "off" => PowerState::Off,
        _ => PowerState::Unknown,
    }
}

/// The lines `name : value` of an answer, in order: `mc info`, `chassis status`, `lan print`, `fru print`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Reads them; lines without a value are left out.
    pub fn read(text: &str) -> Self {
        let pair = |line: &str| {
            // Values have colons too, names do not; `lan print` continues a value under an empty name.
            let (name, value) = line.split_once(':')?;
            let (name, value) = (meaningful(name)?, meaningful(value)?);
            Some((name, value))
        };
        Pairs(lines(text).filter_map(|line| pair(&line)).collect())
    }

    /// The first value under a name, whatever its case, unless it only says that there is none.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.find_map(|(_, value)| said(value))
    }

    /// The first of these names that has a value.
    pub fn any(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.get(name)).map(str::to_owned)
    }

    /// The MAC under a name, unless it is all zeros.
    pub fn mac(&self, name: &str) -> Option<Mac> {
        self.get(name)?.parse::<Mac>().ok().filter(|mac| !mac.is_zero())
    }

    /// The same without one name.
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A value that says something: factories leave placeholders in.
fn said(value: &str) -> Option<&str> {
    const NOTHING: [&str; 8] =
        ["unspecified", "not available", "n/a", "none", "unknown", "to be filled by o.e.m.", "default string", "empty"];
    let word = value.to_ascii_lowercase();
    let nothing = NOTHING.contains(&word.as_str())
        || word.starts_with("unknown (")
        || word.bytes().all(|b| b == b'0' || b == b'.');
    (!nothing).then_some(value)
}

/// One sensor of `sdr list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sensor {
    pub name: String,
    /// Its reading, with its unit.
    pub reading: String,
    /// `ok`, `ns` (no reading), `nc`, `cr`, `nr`: not, non-critical, critical, non-recoverable.
    pub status: String,
}

impl Sensor {
    /// Whether it reads something that it should not.
    pub fn is_alarm(&self) -> bool {
        ["nc", "cr", "nr"].iter().any(|bad| self.status.ends_with(bad))
    }
}

/// `Inlet Temp       | 23 degrees C      | ok`
pub fn sensors(text: &str) -> Vec<Sensor> {
    let sensor = |line: &str| {
        let mut columns = line.split('|').map(|column| meaningful(column).unwrap_or_default());
        let (name, reading, status) = (columns.next()?, columns.next()?, columns.next()?);
        (!name.is_empty()).then_some(Sensor { name, reading, status })
    };
    lines(text).filter_map(|line| sensor(&line)).collect()
}

/// One record of the system event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, in hexadecimal.
    pub id: String,
    /// Date and time as the BMC has them, which need not be right.
    pub at: String,
    /// What happened: sensor, event, direction.
    pub event: String,
}

/// `   2 | 11/21/2026 | 07:48:00 | Temperature Inlet Temp | Upper Critical going high | Asserted`
pub fn records(text: &str) -> Vec<Record> {
    let record = |line: &str| {
        let columns: Vec<_> = line.split('|').filter_map(meaningful).collect();
        let [id, date, time, event @ ..] = &columns[..] else { return None };
        u16::from_str_radix(id, 16).ok()?;
        Some(Record { id: id.clone(), at: format!("{date} {time}"), event: event.join(", ") })
    };
    lines(text).filter_map(|line| record(&line)).collect()
}

/// The lines of an answer, as many as are read, without control characters.
pub fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().take(LINES).map(|line| line.chars().filter(|c| !c.is_control()).collect())
}
