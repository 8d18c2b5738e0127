//! What an operator asks of a Redfish service by hand.

use serde_json::Value;

use super::super::manual::types::{Boot, Depth, Device, LogEntry, Look, Power};
use super::boot;
use super::collection::Walk;
use super::inventory::inventory;
use super::json::{array, link, links, text};
use super::session::Session;
use super::system::System;
use crate::model::{BootMode, Fault, Mac, PowerState, Protocol, Reason, Time};

/// Reads what an operator wants to know. What a service does not have or does not tell is left out.
pub(crate) async fn look(session: &Session, depth: Depth) -> Result<Look, Fault> {
    let inventory = inventory(session, None).await?;
    let system = System::find(session).await?;
    let manager = session.get_if_any(system.manager(session).await?.as_deref()).await?;
    let clock = manager["DateTime"].as_str().and_then(Time::parse);
    let clock_ahead = clock.map(|says| (says.0 - (depth.clock)().0) / 1000);
    let (sessions, session_limit) = sessions(session, &manager).await?;
    Ok(Look {
        protocol: Protocol::Redfish,
        certificate: session.pin(),
        inventory,
        macs: macs(session, &manager).await?,
        boot: boot::current(session, &system).await?,
        led: led(system.body()),
        clock_ahead,
        sessions,
        session_limit,
        sensors: None,
        log: log(session, &manager, system.body(), depth.log).await?,
    })
}

fn led(system: &Value) -> Option<String> {
    // DSP0268: `IndicatorLED` is deprecated in favour of `LocationIndicatorActive`.
    match system["LocationIndicatorActive"].as_bool() {
        Some(active) => Some(if active { "on" } else { "off" }.to_owned()),
        None => text(&system["IndicatorLED"]),
    }
}

/// MACs of the manager's own interfaces.
async fn macs(session: &Session, manager: &Value) -> Result<Vec<Mac>, Fault> {
    let interfaces = Walk::new(session).all(link(&manager["EthernetInterfaces"])).await?;
    let told = interfaces.iter().flat_map(|(_, body)| [&body["MACAddress"], &body["PermanentMACAddress"]]);
    let mut macs: Vec<Mac> = told.filter_map(|mac| mac.as_str()?.parse().ok()).collect();
    macs.sort_unstable();
    macs.dedup();
    Ok(macs)
}

/// How many sessions are open, and how many may be. The standard has no word for the latter; an iDRAC says it among its
/// attributes (`WebServer.1.MaxNumberOfSessions`).
async fn sessions(session: &Session, manager: &Value) -> Result<(Option<usize>, Option<usize>), Fault> {
    let path = session.root.pointer("/Links/Sessions").and_then(link);
    let list = session.get_if_any(path).await?;
    let count = list["Members@odata.count"].as_u64().or_else(|| Some(list["Members"].as_array()?.len() as u64));
    let attributes = manager.pointer("/Links/Oem/Dell/DellAttributes/0").and_then(link);
    let attributes = session.get_if_any(attributes).await?;
    let limit = attributes["Attributes"]["WebServer.1.MaxNumberOfSessions"].as_u64();
    Ok((count.and_then(|it| usize::try_from(it).ok()), limit.and_then(|it| usize::try_from(it).ok())))
}

/// The newest entries of the system event log: the manager's or the system's, whoever has one.
async fn log(session: &Session, manager: &Value, system: &Value, most: usize) -> Result<Vec<LogEntry>, Fault> {
    if most == 0 {
        return Ok(Vec::new());
    }
    let mut services = Vec::new();
    for owner in [manager, system] {
        let list = session.get_if_any(link(&owner["LogServices"])).await?;
        services.extend(links(&list["Members"]));
    }
    // The one that holds hardware events goes by these names: `Sel` (iDRAC), `IML` (iLO), `Log1` (Supermicro), `SEL` (AMI).
    let name = |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let rank = |path: &String| ["sel", "iml", "log1"].iter().position(|known| name(path) == *known).unwrap_or(9);
    let Some(path) = services.iter().min_by_key(|path| rank(path)) else { return Ok(Vec::new()) };
    let service = session.get_if_any(Some(path)).await?;
    let entries = session.get_if_any(link(&service["Entries"])).await?;
    newest(session, array(&entries["Members"]), most).await
}

async fn newest(session: &Session, members: &[Value], most: usize) -> Result<Vec<LogEntry>, Fault> {
    let mut bodies = Vec::new();
    if members.iter().all(|member| member.get("Created").is_some() || member.get("Message").is_some()) {
        bodies.extend_from_slice(members);
    } else {
        // Links only: services list oldest first.
        for member in members.iter().rev().take(most) {
            bodies.push(session.get_if_any(link(member)).await?);
        }
    }
    // RFC 3339 in one time zone sorts as text.
    bodies.sort_by(|a, b| b["Created"].as_str().cmp(&a["Created"].as_str()));
    let entry = |body: Value| {
        let (at, severity) = (text(&body["Created"]), text(&body["Severity"]));
        Some(LogEntry { at, severity, message: text(&body["Message"])? })
    };
    Ok(bodies.into_iter().take(most).filter_map(entry).collect())
}

/// Switches the machine as an operator says, and waits until it is so.
pub(crate) async fn power(session: &Session, word: Power) -> Result<PowerState, Fault> {
    let mut system = System::find(session).await?;
    let off = system.settled(PowerState::Off);
    match word {
        Power::Status => {}
        Power::On if system.settled(PowerState::On) => {}
        // On its way there.
        Power::On if system.power() == PowerState::On => system.must_reach(session, PowerState::On).await?,
        // From off, a restart is a start.
        Power::On => system.restart(session).await?,
        Power::Off | Power::Soft if off => {}
        Power::Off => switch_off(session, &mut system).await?,
        Power::Soft => soft(session, &mut system).await?,
        Power::Cycle | Power::Reset if off => {
            return Err(session.permanent(Reason::MachineIsOff, "the machine is off: `power on` starts it"));
        }
        Power::Cycle => {
            switch_off(session, &mut system).await?;
            system.restart(session).await?;
        }
        Power::Reset => system.restart(session).await?,
    }
    Ok(system.power())
}

async fn switch_off(session: &Session, system: &mut System) -> Result<(), Fault> {
    let types = system.reset_types(session).await?;
    system.switch_off(session, &types).await
}

async fn soft(session: &Session, system: &mut System) -> Result<(), Fault> {
    let types = system.reset_types(session).await?;
    // A short press is how some boards ask the operating system (ACPI power button).
    let kind = if types.takes("GracefulShutdown") { "GracefulShutdown" } else { "PushPowerButton" };
    system.reset(session, kind).await?;
    if system.wait_power(session, PowerState::Off, session.timeouts().graceful).await? {
        return Ok(());
    }
    let waited = session.timeouts().graceful.as_secs();
    Err(session.transient(
        Reason::StillOn,
        format!("the operating system has not shut down within {waited} s; `power off` cuts"),
    ))
}

/// Sets or clears a one-shot boot device, without restarting anything.
pub(crate) async fn boot_once(session: &Session, device: Device) -> Result<Boot, Fault> {
    let system = System::find(session).await?;
    // DSP0268, ComputerSystem `BootSource`.
    let wanted = match device {
        Device::Pxe => "Pxe",
        Device::Http => "UefiHttp",
        Device::Disk => "Hdd",
        Device::Bios => "BiosSetup",
        Device::None => {
            boot::clear(session, &system).await?;
            return boot::cleared(session, &system).await;
        }
    };
    boot::set_once(session, &system, wanted, BootMode::AsIs).await
}
