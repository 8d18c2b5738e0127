//! One-shot network boot, restart from the machine's own disk, and the end of it all.

use serde_json::json;

use super::led::led;
use super::session::Session;
use super::strings;
use super::system::System;
use crate::model::{BootMode, Fault, FaultClass, PowerState};

/// Looks at a boot override that was just set, before it counts as not kept.
const READBACKS: u32 = 3;

pub(super) async fn boot_from_network(session: &Session, mode: BootMode) -> Result<(), Fault> {
    let mut system = System::find(session).await?;
    let targets = strings(&system.body()["Boot"]["BootSourceOverrideTarget@Redfish.AllowableValues"]);
    if targets.is_some_and(|targets| !targets.iter().any(|target| target == "Pxe")) {
        return Err(session.permanent("PxeNotSupported", "the system cannot be told to boot from the network"));
    }
    let plain = json!({ "BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe" });
    let mut refused = None;
    if let Some(word) = mode_to_set(&system, mode) {
        let mut with_mode = plain.clone();
        with_mode["BootSourceOverrideMode"] = json!(word);
        refused = system.patch(session, &json!({ "Boot": with_mode })).await?;
        if refused.is_some() {
            // Some services list a mode that they do not take (Supermicro X10); the boot itself still works.
            refused = system.patch(session, &json!({ "Boot": plain })).await?;
        }
    } else if !overridden(&system) {
        refused = system.patch(session, &json!({ "Boot": plain })).await?;
    }
    if let Some(fault) = refused {
        return Err(fault);
    }
    // A service that answers 202 may need a moment.
    for _ in 0..READBACKS {
        system.refresh(session).await?;
        let enabled = system.boot("BootSourceOverrideEnabled");
        if system.boot("BootSourceOverrideTarget") == Some("Pxe") && enabled != Some("Disabled") {
            return system.restart(session).await.map_err(may_have_happened);
        }
        tokio::time::sleep(session.patience().poll).await;
    }
    Err(session.transient("BootOverrideNotKept", "the boot override was taken and does not read back"))
}

/// From here on the machine may be on its way, whatever the BMC said: restarting it again at once could interrupt the
/// very boot that was ordered.
fn may_have_happened(fault: Fault) -> Fault {
    match fault.class {
        FaultClass::Transient => Fault::transient(Fault::OUTCOME_UNKNOWN, fault.message),
        FaultClass::Permanent | FaultClass::Operator => fault,
    }
}

/// Whether a one-shot network boot is already set.
fn overridden(system: &System) -> bool {
    system.boot("BootSourceOverrideTarget") == Some("Pxe") && system.boot("BootSourceOverrideEnabled") == Some("Once")
}

/// The mode to ask for, when it differs from what is set and the service takes it.
fn mode_to_set(system: &System, mode: BootMode) -> Option<&'static str> {
    let word = match mode {
        BootMode::Uefi => "UEFI",
        BootMode::Legacy => "Legacy",
        BootMode::AsIs => return None,
    };
    let current = system.boot("BootSourceOverrideMode")?;
    let known = strings(&system.body()["Boot"]["BootSourceOverrideMode@Redfish.AllowableValues"]);
    let takes = known.is_none_or(|known| known.iter().any(|known| known == word));
    (current != word && takes).then_some(word)
}

pub(super) async fn boot_normally(session: &Session) -> Result<(), Fault> {
    let mut system = System::find(session).await?;
    if !matches!(system.boot("BootSourceOverrideEnabled"), None | Some("Disabled")) {
        let boot = json!({ "BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None" });
        if let Some(fault) = system.patch(session, &json!({ "Boot": boot })).await? {
            return Err(fault);
        }
        system.refresh(session).await?;
    }
    system.restart(session).await
}

pub(super) async fn wind_down(session: &Session, power_off: bool) -> Result<PowerState, Fault> {
    led(session, false).await?;
    let mut system = System::find(session).await?;
    if !power_off || system.settled(PowerState::Off) {
        return Ok(system.power());
    }
    let types = system.reset_types(session).await?;
    if types.is_none_or(|types| types.iter().any(|kind| kind == "GracefulShutdown")) {
        match system.reset(session, "GracefulShutdown").await {
            Ok(()) => {
                if system.wait_power(session, PowerState::Off, session.patience().graceful).await? {
                    return Ok(PowerState::Off);
                }
            }
            // Some services refuse it when no operating system listens.
            Err(fault) if fault.class == FaultClass::Permanent => {}
            Err(fault) => return Err(fault),
        }
    }
    system.reset(session, "ForceOff").await?;
    system.must_reach(session, PowerState::Off).await?;
    Ok(PowerState::Off)
}
