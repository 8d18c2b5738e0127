//! BMCs over Redfish: each action is one function, does its work once, and says what became of it. It never decides
//! and never retries.
//!
//! Whatever a service leaves out or sets to null is done without, unless the action cannot do without it.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::{Fault, FaultClass, HostId, Inventory, Mac, Nic, PowerState, Secret};

mod quirk;
mod redfish;
mod tls;

pub use redfish::BODY_CAP;
pub use tls::Tls;

use redfish::{Reply, Session};

/// Which BMC, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Whose BMC, for messages.
    pub host: HostId,
    /// Its address.
    pub address: IpAddr,
    /// HTTPS port, 443 on real hardware.
    pub port: u16,
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
    /// How its certificate is checked.
    pub tls: Tls,
    /// How long to wait.
    pub patience: Patience,
}

/// How long to wait for a BMC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For one answer.
    pub request: Duration,
    /// For all of one action.
    pub action: Duration,
    /// For a power state to be reached.
    pub power: Duration,
    /// For a graceful shutdown, before power is cut.
    pub graceful: Duration,
    /// Between two looks at the power state.
    pub poll: Duration,
}

/// The firmware mode of a network boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BootMode {
    /// UEFI.
    #[default]
    Uefi,
    /// BIOS.
    Legacy,
    /// Whatever is set.
    AsIs,
}

/// Looks at a boot override that was just set, before it counts as not kept.
const READBACKS: u32 = 3;
/// Members of a collection that are looked at.
const MEMBERS: usize = 64;

/// Asks who and what the machine is. `boot_mac` is the NIC written in the repository, which wins over any guess.
/// Also gives the certificate that was shown (SHA-256, hex).
pub async fn probe(target: &Target, boot_mac: Option<Mac>) -> Result<(Inventory, Option<String>), Fault> {
    let session = Session::open(target).await?;
    let result = session.within(inventory(&session, boot_mac)).await;
    let pin = session.pin();
    session.close().await;
    Ok((result?, pin))
}

/// Switches the LED on. A BMC that has none, or keeps it as it is, is no reason to stop.
pub async fn prepare(target: &Target) -> Result<(), Fault> {
    let session = Session::open(target).await?;
    let result = session.within(led(&session, true)).await;
    session.close().await;
    result
}

/// Sets a one-shot network boot, reads it back, and starts or restarts the machine.
pub async fn arm(target: &Target, mode: BootMode) -> Result<(), Fault> {
    let session = Session::open(target).await?;
    let result = session.within(boot_from_network(&session, mode)).await;
    session.close().await;
    result
}

/// Clears the boot override and starts or restarts the machine, from its own disk.
pub async fn power_cycle(target: &Target) -> Result<(), Fault> {
    let session = Session::open(target).await?;
    let result = session.within(boot_normally(&session)).await;
    session.close().await;
    result
}

/// LED off and, if asked, power off: gracefully, then without asking. Gives the power state that was reached.
pub async fn finish(target: &Target, power_off: bool) -> Result<PowerState, Fault> {
    let session = Session::open(target).await?;
    let result = session.within(wind_down(&session, power_off)).await;
    session.close().await;
    result
}

/// The system of a service: where it is, and what it said.
struct System {
    path: String,
    reply: Reply,
}

impl System {
    async fn find(session: &Session<'_>) -> Result<Self, Fault> {
        let systems = link(&session.root["Systems"]).unwrap_or("/redfish/v1/Systems");
        let members = session.get(systems).await?.body;
        let path = members.pointer("/Members/0").and_then(link);
        let path = path.ok_or_else(|| session.permanent("NoSystem", "the BMC lists no system"))?.to_owned();
        Ok(System { reply: session.get(&path).await?, path })
    }

    async fn refresh(&mut self, session: &Session<'_>) -> Result<(), Fault> {
        self.reply = session.get(&self.path).await?;
        Ok(())
    }

    fn body(&self) -> &Value {
        &self.reply.body
    }

    fn power(&self) -> PowerState {
        match self.body()["PowerState"].as_str() {
            Some("On" | "PoweringOn") => PowerState::On,
            Some("Off" | "PoweringOff") => PowerState::Off,
            _ => PowerState::Unknown,
        }
    }

    /// Reached for good, unlike `PoweringOn`.
    fn settled(&self, wanted: PowerState) -> bool {
        self.body()["PowerState"].as_str() == Some(if wanted == PowerState::On { "On" } else { "Off" })
    }

    fn boot(&self, name: &str) -> Option<&str> {
        self.body().pointer("/Boot")?.get(name)?.as_str()
    }

    async fn patch(&self, session: &Session<'_>, body: &Value) -> Result<Option<Fault>, Fault> {
        session.patch(&self.path, self.reply.etag.as_deref(), body).await
    }

    /// Waits until the power state is reached; says whether it was.
    async fn wait_power(
        &mut self,
        session: &Session<'_>,
        wanted: PowerState,
        patience: Duration,
    ) -> Result<bool, Fault> {
        let polls = patience.as_millis() / session.patience().poll.as_millis().max(1);
        for _ in 0..=polls {
            self.refresh(session).await?;
            if self.settled(wanted) {
                return Ok(true);
            }
            tokio::time::sleep(session.patience().poll).await;
        }
        Ok(false)
    }

    async fn must_reach(&mut self, session: &Session<'_>, wanted: PowerState) -> Result<(), Fault> {
        if self.wait_power(session, wanted, session.patience().power).await? {
            return Ok(());
        }
        let word = if wanted == PowerState::On { "on" } else { "off" };
        Err(session.transient("PowerStateNotReached", format!("the machine did not switch {word}")))
    }

    /// What `ComputerSystem.Reset` takes, where the service says so: inline or by ActionInfo.
    async fn reset_types(&self, session: &Session<'_>) -> Result<Option<Vec<String>>, Fault> {
        let action = &self.body()["Actions"]["#ComputerSystem.Reset"];
        if let Some(values) = strings(&action["ResetType@Redfish.AllowableValues"]) {
            return Ok(Some(values));
        }
        let info = session.get_if_any(action["@Redfish.ActionInfo"].as_str()).await?;
        let parameters = info["Parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let reset = parameters.iter().find(|parameter| parameter["Name"] == "ResetType");
        Ok(reset.and_then(|parameter| strings(&parameter["AllowableValues"])))
    }

    async fn reset(&self, session: &Session<'_>, kind: &str) -> Result<(), Fault> {
        let target = self.body().pointer("/Actions/#ComputerSystem.Reset/target").and_then(Value::as_str);
        let target = target.ok_or_else(|| session.permanent("ResetNotSupported", "the system cannot be reset"))?;
        session.post(target, &json!({ "ResetType": kind })).await
    }

    /// From whatever state to a fresh start.
    async fn restart(&mut self, session: &Session<'_>) -> Result<(), Fault> {
        let types = self.reset_types(session).await?;
        let takes = |kind: &str| types.as_ref().is_none_or(|types| types.iter().any(|known| known == kind));
        if self.power() == PowerState::Off {
            self.reset(session, "On").await?;
        } else if takes("ForceRestart") {
            self.reset(session, "ForceRestart").await?;
        } else {
            self.reset(session, "ForceOff").await?;
            self.must_reach(session, PowerState::Off).await?;
            self.reset(session, "On").await?;
        }
        self.must_reach(session, PowerState::On).await
    }
}

fn link(value: &Value) -> Option<&str> {
    value["@odata.id"].as_str()
}

fn strings(value: &Value) -> Option<Vec<String>> {
    Some(value.as_array()?.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
}

/// A text that says something: not null, not blank, at most 200 printable characters.
fn text(value: &Value) -> Option<String> {
    let text: String = value.as_str()?.trim().chars().filter(|c| !c.is_control()).take(200).collect();
    (!text.is_empty()).then_some(text)
}

async fn inventory(session: &Session<'_>, boot_mac: Option<Mac>) -> Result<Inventory, Fault> {
    let system = System::find(session).await?;
    let managers = session.get_if_any(link(&session.root["Managers"])).await?;
    let manager = session.get_if_any(managers.pointer("/Members/0").and_then(link)).await?;
    let nics = nics(session, &system).await?;
    let body = system.body();
    Ok(Inventory {
        manufacturer: text(&body["Manufacturer"]),
        model: text(&body["Model"]),
        sku: text(&body["SKU"]),
        serial: text(&body["SerialNumber"]),
        uuid: text(&body["UUID"]),
        bios_version: text(&body["BiosVersion"]),
        bmc_version: text(&manager["FirmwareVersion"]),
        health: text(&body["Status"]["Health"]),
        boot_mac: boot_mac.or_else(|| guess_boot_mac(&nics, body)),
        nics,
        power: Some(system.power()),
    })
}

/// The machine's own NICs: those with an address, without the one that leads to the BMC.
async fn nics(session: &Session<'_>, system: &System) -> Result<Vec<Nic>, Fault> {
    let list = session.get_if_any(link(&system.body()["EthernetInterfaces"])).await?;
    let members = list["Members"].as_array().cloned().unwrap_or_default();
    let mut nics = Vec::new();
    for member in members.iter().take(MEMBERS) {
        let Some(path) = link(member) else { continue };
        let body = session.get_if_any(Some(path)).await?;
        let id = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let mac = [&body["MACAddress"], &body["PermanentMACAddress"]];
        let mac = mac.into_iter().find_map(|mac| mac.as_str()?.parse::<Mac>().ok());
        let Some(mac) = mac.filter(|mac| !mac.is_zero() && !mac.is_multicast()) else { continue };
        let told = format!("{id} {}", body["Name"].as_str().unwrap_or_default()).to_ascii_lowercase();
        if told.contains("tomanager") || told.contains("usb") {
            continue;
        }
        nics.push(Nic { name: text(&json!(id)).unwrap_or_default(), mac, link: text(&body["LinkStatus"]) });
    }
    Ok(nics)
}

/// The NIC that network boot is expected from: the first embedded one, else what an old iLO calls the host's, else the
/// first with a link, else the first.
fn guess_boot_mac(nics: &[Nic], system: &Value) -> Option<Mac> {
    let embedded = nics.iter().filter(|nic| nic.name.contains("Embedded")).min_by_key(|nic| &nic.name);
    let correlated = ["/HostCorrelation/HostMACAddress/0", "/Oem/Hp/HostCorrelation/HostMACAddress/0"]
        .into_iter()
        .find_map(|place| system.pointer(place)?.as_str()?.parse().ok());
    let linked = nics.iter().find(|nic| nic.link.as_deref() == Some("LinkUp"));
    embedded.map(|nic| nic.mac).or(correlated).or_else(|| linked.or(nics.first()).map(|nic| nic.mac))
}

async fn led(session: &Session<'_>, on: bool) -> Result<(), Fault> {
    let mut system = System::find(session).await?;
    let quirk = quirk::of(&session.root, system.body());
    // DSP0268: `IndicatorLED` is deprecated in favour of `LocationIndicatorActive`.
    let (name, wanted) = match (&system.body()["LocationIndicatorActive"], &system.body()["IndicatorLED"]) {
        (Value::Bool(_), _) => ("LocationIndicatorActive", json!(on)),
        (_, Value::String(_)) => ("IndicatorLED", json!(if on { quirk.led_on } else { quirk.led_off })),
        _ => return Ok(()),
    };
    if system.body()[name] == wanted {
        return Ok(());
    }
    let refused = system.patch(session, &json!({ name: wanted })).await?;
    system.refresh(session).await?;
    if refused.is_some() || system.body()[name] != wanted {
        tracing::warn!(refused = refused.map(|fault| fault.message), "{name} does not become {wanted}");
    }
    Ok(())
}

async fn boot_from_network(session: &Session<'_>, mode: BootMode) -> Result<(), Fault> {
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

async fn boot_normally(session: &Session<'_>) -> Result<(), Fault> {
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

async fn wind_down(session: &Session<'_>, power_off: bool) -> Result<PowerState, Fault> {
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
