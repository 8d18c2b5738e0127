//! One-shot network boot, restart from the machine's own disk, and the end of it all.

use serde_json::{Value, json};

use super::super::endpoint::READBACKS;
use super::super::manual::types::Boot;
use super::json::{link, strings};
use super::led::led;
use super::quirk;
use super::session::{Reply, Session};
use super::system::System;
use crate::model::{BootMode, Fault, FaultClass, NetworkBoot, PowerState, Reason};

/// Where a boot override is set: the system, or the settings of it.
struct BootSettings {
    path: String,
    reply: Reply,
}

impl BootSettings {
    /// Nothing where nothing can be set.
    async fn at(session: &Session, path: &str) -> Result<Option<BootSettings>, Fault> {
        let reply = session.look(path).await?;
        let good = reply.status.is_success() && reply.body["Boot"]["BootSourceOverrideTarget"].is_string();
        Ok(good.then(|| BootSettings { path: path.to_owned(), reply }))
    }

    /// The system, unless it refers to a settings object that has an override of its own: an iDRAC10's is read-only in
    /// the system (ansible-collections/community.general #11297), as is that of some of AMI's (DMTF/Redfish-Tacklebox
    /// #111).
    async fn find(session: &Session, system: &System) -> Result<BootSettings, Fault> {
        if let Some(path) = link(&system.body()["@Redfish.Settings"]["SettingsObject"])
            && let Some(settings) = BootSettings::at(session, path).await?
        {
            return Ok(settings);
        }
        Ok(BootSettings { path: system.path.clone(), reply: system.reply().clone() })
    }

    /// Where to try when the system refuses and names no settings; the refusal where there is nothing else.
    async fn instead(&self, session: &Session, system: &System, refusal: Fault) -> Result<BootSettings, Fault> {
        if self.path != system.path {
            return Err(refusal);
        }
        let below = quirk::of(&session.root, system.body()).boot_settings;
        let path = format!("{}{below}", system.path.trim_end_matches('/'));
        BootSettings::at(session, &path).await?.ok_or(refusal)
    }

    fn boot(&self, name: &str) -> Option<&str> {
        self.reply.body["Boot"].get(name)?.as_str()
    }

    /// What is set, in words.
    fn found(&self) -> Boot {
        let word = |name: &str| self.boot(name).map(str::to_owned);
        Boot {
            enabled: word("BootSourceOverrideEnabled").unwrap_or_default(),
            target: word("BootSourceOverrideTarget").unwrap_or_else(|| "None".to_owned()),
            mode: word("BootSourceOverrideMode"),
        }
    }

    /// What a property takes, as far as the service says: here, else in the system.
    fn takes(&self, system: &System, name: &str) -> Option<Vec<String>> {
        let allowed = format!("{name}@Redfish.AllowableValues");
        let said = |body: &Value| {
            // Services from before the annotation (HP's iLO 4) have a property instead.
            let old =
                (name == "BootSourceOverrideTarget").then(|| strings(&body["Boot"]["BootSourceOverrideSupported"]));
            strings(&body["Boot"][allowed.as_str()]).or(old.flatten()).filter(|values| !values.is_empty())
        };
        said(&self.reply.body).or_else(|| said(system.body()))
    }

    async fn refresh(&mut self, session: &Session) -> Result<(), Fault> {
        self.reply = session.get(&self.path).await?;
        Ok(())
    }

    async fn patch(&self, session: &Session, boot: &Value) -> Result<Option<Fault>, Fault> {
        session.patch(&self.path, self.reply.etag.as_deref(), &json!({ "Boot": boot })).await
    }

    /// Tries these, the fullest first; gives the refusal of the last.
    async fn patch_any(&self, session: &Session, boots: &[Value]) -> Result<Option<Fault>, Fault> {
        let mut refused = None;
        for boot in boots {
            refused = self.patch(session, boot).await?;
            if refused.is_none() {
                break;
            }
        }
        Ok(refused)
    }
}

/// Sets a network boot for once, reads it back, and starts or restarts the machine.
pub(super) async fn boot_from_network(session: &Session, how: NetworkBoot, mode: BootMode) -> Result<(), Fault> {
    let mut system = System::find(session).await?;
    let target = match how {
        NetworkBoot::Pxe => "Pxe",
        NetworkBoot::Http => "UefiHttp",
    };
    set_once(session, &system, target, mode).await?;
    system.refresh(session).await?;
    system.restart(session).await.map_err(may_have_happened)
}

/// Sets a boot source (ComputerSystem `BootSource`) for once, and reads it back. Nothing is restarted.
pub(super) async fn set_once(session: &Session, system: &System, target: &str, mode: BootMode) -> Result<Boot, Fault> {
    let mut settings = BootSettings::find(session, system).await?;
    can_boot(session, system, &settings, target)?;
    if let Some(refusal) = set(session, system, &settings, target, mode).await? {
        settings = settings.instead(session, system, refusal).await?;
        set(session, system, &settings, target, mode).await?.map_or(Ok(()), Err)?;
    }
    // A service that answers 202 may need a moment.
    for _ in 0..READBACKS {
        settings.refresh(session).await?;
        let found = settings.found();
        if found.target == target && found.enabled != "Disabled" {
            return Ok(found);
        }
        tokio::time::sleep(session.timeouts().poll).await;
    }
    Err(session.transient(Reason::BootOverrideNotKept, "the boot override was taken and does not read back"))
}

/// Refused for good, and by a reason of its own, where the service has no such boot: IPMI may have it.
fn can_boot(session: &Session, system: &System, settings: &BootSettings, target: &str) -> Result<(), Fault> {
    let lacks = |why: &str| Err(session.permanent(Reason::PxeNotSupported, why));
    if !settings.reply.body["Boot"].is_object() {
        return lacks("the system has no boot override");
    }
    let known =
        |name: &str, word: &str| settings.takes(system, name).is_none_or(|all| all.iter().any(|one| one == word));
    if !known("BootSourceOverrideTarget", target) {
        return match target {
            "Pxe" => lacks("the system cannot be told to boot from the network"),
            "UefiHttp" => lacks("the system cannot be told to boot by UEFI HTTP; `bmc.network_boot: pxe` may do"),
            _ => {
                let message = format!("the system cannot be told to boot from {target}");
                Err(session.permanent(Reason::BootTargetNotSupported, message))
            }
        };
    }
    if !known("BootSourceOverrideEnabled", "Once") {
        return lacks("the system cannot be told what to boot from once");
    }
    Ok(())
}

/// Sets the override, if it is not set already; gives the refusal.
async fn set(
    session: &Session,
    system: &System,
    settings: &BootSettings,
    target: &str,
    mode: BootMode,
) -> Result<Option<Fault>, Fault> {
    let repeat = quirk::of(&session.root, system.body()).repeat_boot;
    let mode = mode_to_set(system, settings, mode, target, repeat);
    let mut plain = json!({ "BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": target });
    // Of an earlier HTTP boot; without a URI the firmware asks DHCP (ComputerSystem 1.9, `HttpBootUri`).
    if target == "UefiHttp" && settings.boot("HttpBootUri").is_some_and(|uri| !uri.is_empty()) {
        plain["HttpBootUri"] = Value::Null;
    }
    let already = settings.boot("BootSourceOverrideTarget") == Some(target)
        && settings.boot("BootSourceOverrideEnabled") == Some("Once")
        && plain.get("HttpBootUri").is_none();
    let Some(mode) = mode else {
        return if already && !repeat { Ok(None) } else { settings.patch(session, &plain).await };
    };
    let mut full = plain.clone();
    full["BootSourceOverrideMode"] = json!(mode);
    if settings.patch(session, &full).await?.is_none() {
        return Ok(None);
    }
    // Not together, then: some services list a mode that they do not take (iLO, ansible-collections/community.general
    // #3509; Supermicro X10, gacybercenter/kinetic #60). The boot itself still works, in the mode that is set.
    if settings.boot("BootSourceOverrideMode") != Some(mode) {
        let alone = json!({ "BootSourceOverrideMode": mode });
        if let Some(fault) = settings.patch(session, &alone).await? {
            tracing::warn!(%fault, "the boot mode stays as it is");
        }
    }
    settings.patch(session, &plain).await
}

/// The mode to ask for: when it differs from what is set, or must be repeated, and the service has and takes it.
fn mode_to_set(
    system: &System,
    settings: &BootSettings,
    mode: BootMode,
    target: &str,
    repeat: bool,
) -> Option<&'static str> {
    let current = settings.boot("BootSourceOverrideMode")?;
    let word = match mode {
        _ if target == "UefiHttp" => "UEFI",
        BootMode::Uefi => "UEFI",
        BootMode::Legacy => "Legacy",
        // What is not repeated would change.
        BootMode::AsIs => ["UEFI", "Legacy"].into_iter().find(|word| repeat && *word == current)?,
    };
    let known = settings.takes(system, "BootSourceOverrideMode");
    let takes = known.is_none_or(|known| known.iter().any(|known| known == word));
    ((current != word || repeat) && takes).then_some(word)
}

/// From here on the machine may be on its way, whatever the BMC said: restarting it again at once could interrupt the
/// very boot that was ordered.
fn may_have_happened(fault: Fault) -> Fault {
    match fault.class {
        FaultClass::Transient => Fault::transient(Reason::OutcomeUnknown, fault.message),
        FaultClass::Permanent | FaultClass::Operator => fault,
    }
}

/// Takes a boot override back and starts or restarts the machine.
pub(super) async fn boot_normally(session: &Session) -> Result<(), Fault> {
    let mut system = System::find(session).await?;
    if clear(session, &system).await? {
        system.refresh(session).await?;
    }
    system.restart(session).await
}

/// Takes a boot override back; says whether there was one.
pub(super) async fn clear(session: &Session, system: &System) -> Result<bool, Fault> {
    let settings = BootSettings::find(session, system).await?;
    if matches!(settings.boot("BootSourceOverrideEnabled"), None | Some("Disabled")) {
        return Ok(false);
    }
    let full = json!({ "BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None" });
    // An iLO takes no target of `None` (ironcore-dev/metal-operator #998), others want the mode repeated
    // (ansible-collections/community.general #11542).
    let plain = json!({ "BootSourceOverrideEnabled": "Disabled" });
    let mut moded = full.clone();
    moded["BootSourceOverrideMode"] = json!(settings.boot("BootSourceOverrideMode"));
    let boots = [full, plain, moded];
    if let Some(refusal) = settings.patch_any(session, &boots).await? {
        let instead = settings.instead(session, system, refusal).await?;
        instead.patch_any(session, &boots).await?.map_or(Ok(()), Err)?;
    }
    Ok(true)
}

pub(super) async fn cleared(session: &Session, system: &System) -> Result<Boot, Fault> {
    let mut settings = BootSettings::find(session, system).await?;
    for _ in 0..READBACKS {
        settings.refresh(session).await?;
        let found = settings.found();
        if matches!(found.enabled.as_str(), "" | "Disabled") {
            return Ok(found);
        }
        tokio::time::sleep(session.timeouts().poll).await;
    }
    let found = settings.found();
    let message = format!("the boot override is not given up: {} {}", found.target, found.enabled);
    Err(session.transient(Reason::BootOverrideNotKept, message))
}

/// What is set, wherever the service keeps it.
pub(super) async fn current(session: &Session, system: &System) -> Result<Option<Boot>, Fault> {
    let found = BootSettings::find(session, system).await?.found();
    Ok(Some(found).filter(|found| !found.enabled.is_empty()))
}

/// LED off and, if asked, power off: gracefully, and without asking when that does not come to an end.
pub(super) async fn wind_down(session: &Session, power_off: bool) -> Result<PowerState, Fault> {
    led(session, false).await?;
    let mut system = System::find(session).await?;
    if !power_off || system.settled(PowerState::Off) {
        return Ok(system.power());
    }
    let types = system.reset_types(session).await?;
    // A push of the button is the same question to the operating system.
    let ask = ["GracefulShutdown", "PushPowerButton"].into_iter().find(|kind| types.takes(kind));
    if let Some(kind) = ask {
        match system.reset(session, kind).await {
            Ok(()) => {
                if system.wait_power(session, PowerState::Off, session.timeouts().graceful).await? {
                    return Ok(PowerState::Off);
                }
            }
            // Some services refuse it when no operating system listens.
            Err(fault) if fault.class == FaultClass::Permanent => {}
            Err(fault) => return Err(fault),
        }
    }
    if !types.takes("ForceOff") && ask.is_some() {
        let message = "the machine does not shut down, and the BMC offers nothing stronger";
        return Err(session.transient(Reason::PowerStateNotReached, message));
    }
    system.switch_off(session, &types).await?;
    Ok(PowerState::Off)
}
