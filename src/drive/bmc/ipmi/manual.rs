//! What an operator asks of a BMC over IPMI by hand.

use super::super::manual::types::{Boot, Depth, Device, LogEntry, Look, Power, Sensors};
use super::boot::{self, BootFlags};
use super::power::{self, Control};
use super::tool::Ipmitool;
use super::{answer, look};
use crate::model::{Fault, PowerState, Protocol, Reason};

/// Reads what an operator wants to know. IPMI tells neither sessions nor a clock whose time zone is known.
pub async fn look(bmc: &Ipmitool, depth: Depth) -> Result<Look, Fault> {
    let inventory = look::inventory(bmc, None).await?;
    let flags = boot::flags(bmc).await?;
    let records = if depth.log > 0 { look::events(bmc, depth.log).await? } else { Vec::new() };
    // A walk over all of them takes its time: only where the log is asked for, too.
    let sensors = if depth.log > 0 { Some(summary(&look::sensors(bmc).await?)) } else { None };
    let entry = |it: answer::Record| LogEntry { at: Some(it.at), severity: None, message: it.event };
    Ok(Look {
        protocol: Protocol::Ipmi,
        certificate: None,
        macs: inventory.bmc_mac.into_iter().collect(),
        boot: flags.map(boot_of),
        led: None,
        clock_ahead: None,
        sessions: None,
        session_limit: None,
        sensors,
        log: records.into_iter().rev().map(entry).collect(),
        inventory,
    })
}

fn summary(sensors: &[answer::Sensor]) -> Sensors {
    let alarms = sensors.iter().filter(|sensor| sensor.is_alarm());
    Sensors {
        read: sensors.iter().filter(|sensor| sensor.status != "ns").count(),
        alarms: alarms.map(|sensor| format!("{} {}", sensor.name, sensor.reading)).collect(),
    }
}

fn boot_of(flags: BootFlags) -> Boot {
    let enabled = match (flags.valid && flags.device != answer::Device::None, flags.persistent) {
        (false, _) => "Disabled",
        (true, false) => "Once",
        (true, true) => "Continuous",
    };
    let target = match flags.device {
        answer::Device::None => "None".to_owned(),
        answer::Device::Pxe => "Pxe".to_owned(),
        answer::Device::Disk => "Hdd".to_owned(),
        answer::Device::Cdrom => "Cd".to_owned(),
        answer::Device::Bios => "BiosSetup".to_owned(),
        answer::Device::Other(bits) => format!("selector {bits}"),
    };
    Boot { enabled: enabled.to_owned(), target, mode: Some(if flags.efi { "UEFI" } else { "Legacy" }.to_owned()) }
}

/// Switches the machine as an operator says, and waits until it is so.
pub async fn power(bmc: &Ipmitool, word: Power) -> Result<PowerState, Fault> {
    let now = power::state(bmc).await?;
    let off = now == PowerState::Off;
    match word {
        Power::Status => return Ok(now),
        Power::On if now == PowerState::On => {}
        Power::On => power::on(bmc).await?,
        Power::Off | Power::Soft if off => {}
        Power::Off => power::off(bmc).await?,
        Power::Soft => power::soft(bmc).await?,
        Power::Cycle | Power::Reset if off => {
            let message = format!("{}: the machine is off: `power on` starts it", bmc.who());
            return Err(Fault::permanent(Reason::MachineIsOff, message));
        }
        Power::Cycle => {
            power::off(bmc).await?;
            power::on(bmc).await?;
        }
        Power::Reset => power::control(bmc, Control::Reset).await?,
    }
    power::state(bmc).await
}

/// Sets or clears a one-shot boot device, without restarting anything. The firmware mode stays as it is set.
pub async fn boot_once(bmc: &Ipmitool, device: Device) -> Result<Boot, Fault> {
    let wanted = match device {
        Device::Http => {
            let message = format!("{}: IPMI can order PXE, not UEFI HTTP boot", bmc.who());
            return Err(Fault::operator(Reason::HttpBootNotSupported, message));
        }
        Device::Pxe => answer::Device::Pxe,
        Device::Disk => answer::Device::Disk,
        Device::Bios => answer::Device::Bios,
        Device::None => answer::Device::None,
    };
    let efi = boot::flags(bmc).await?.is_none_or(|flags| flags.efi);
    let valid = device != Device::None;
    let flags = BootFlags { valid, persistent: false, efi, device: wanted };
    boot::set(bmc, flags).await?;
    Ok(boot_of(boot::flags(bmc).await?.unwrap_or(flags)))
}
