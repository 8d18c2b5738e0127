//! The system of a service (DMTF ComputerSystem): which one is the machine, its state, and its power.

use std::time::Duration;

use serde_json::{Value, json};

use super::json::{array, link, links, strings};
use super::quirk;
use super::session::{Reply, Session};
use crate::model::{Fault, PowerState, Reason};

/// Systems of a service that are looked at.
const SYSTEMS: usize = 8;

/// Parts of names of systems that are no machines of their own: boards of accelerators, and computers on network cards.
const PARTS: &[&str] = &["hgx", "baseboard", "bluefield", "dpu", "gpu"];

/// The system of a service: where it is, and what it said.
pub(super) struct System {
    pub path: String,
    reply: Reply,
}

impl System {
    /// The machine. Found once in a session.
    pub(super) async fn find(session: &Session) -> Result<Self, Fault> {
        if let Some(path) = session.system.get() {
            return Ok(System { reply: session.get(path).await?, path: path.clone() });
        }
        let systems = link(&session.root["Systems"]).unwrap_or("/redfish/v1/Systems");
        let mut paths = links(&session.get(systems).await?.body["Members"]);
        paths.truncate(SYSTEMS);
        let system = match paths.len() {
            0 => return Err(session.permanent(Reason::NoSystem, "the BMC lists no system")),
            1 => System { reply: session.get(&paths[0]).await?, path: paths.remove(0) },
            _ => System::among(session, paths).await?,
        };
        let _ = session.system.set(system.path.clone());
        Ok(system)
    }

    /// Of several systems the one that is a machine. Two of a kind are nobody's to choose between: power and disks of
    /// the wrong one would be at stake.
    async fn among(session: &Session, paths: Vec<String>) -> Result<Self, Fault> {
        let mut best: Vec<(u32, System)> = Vec::new();
        for path in paths {
            let reply = session.look(&path).await?;
            if reply.status.as_u16() == 404 {
                continue;
            }
            let system = System { reply: session.accept_json(reply, &path)?, path };
            let rank = system.rank(session);
            if best.first().is_none_or(|(most, _)| rank > *most) {
                best.clear();
            }
            if best.first().is_none_or(|(most, _)| rank == *most) {
                best.push((rank, system));
            }
        }
        match best.len() {
            1 => Ok(best.remove(0).1),
            0 => Err(session.permanent(Reason::NoSystem, "the BMC lists systems that are not there")),
            _ => {
                let paths: Vec<_> = best.iter().map(|(_, system)| system.path.as_str()).collect();
                let message =
                    format!("the BMC has several machines ({}), and nothing says which is meant", paths.join(", "));
                Err(session.permanent(Reason::SeveralSystems, message))
            }
        }
    }

    /// How much it looks like the machine itself: by its kind, by what can be done to it, by who manages it.
    fn rank(&self, session: &Session) -> u32 {
        let body = self.body();
        let kind = body["SystemType"].as_str();
        let words = [&body["Id"], &body["Name"], &body["Model"]].map(|word| word.as_str().unwrap_or_default());
        let words = format!("{} {}", self.path, words.join(" ")).to_ascii_lowercase();
        let whole = kind != Some("DPU") && !PARTS.iter().any(|part| words.contains(part));
        let can_start = body["Actions"]["#ComputerSystem.Reset"]["target"].is_string() && body["Boot"].is_object();
        let managed = links(&body["Links"]["ManagedBy"]);
        let service = link(&session.root["Managers"]).unwrap_or("/redfish/v1/Managers").to_ascii_lowercase();
        let by_bmc = managed.iter().any(|manager| manager.to_ascii_lowercase().starts_with(&service));
        [by_bmc, matches!(kind, None | Some("Physical")), can_start, whole]
            .into_iter()
            .enumerate()
            .map(|(bit, holds)| u32::from(holds) << bit)
            .sum()
    }

    /// Where its manager is: the one it names, else the service's first.
    pub(super) async fn manager(&self, session: &Session) -> Result<Option<String>, Fault> {
        let managed = links(&self.body()["Links"]["ManagedBy"]).into_iter().next();
        if managed.is_some() {
            return Ok(managed);
        }
        let list = session.get_if_any(link(&session.root["Managers"])).await?;
        Ok(links(&list["Members"]).into_iter().next())
    }

    pub(super) async fn refresh(&mut self, session: &Session) -> Result<(), Fault> {
        self.reply = session.get(&self.path).await?;
        Ok(())
    }

    pub(super) fn body(&self) -> &Value {
        &self.reply.body
    }

    pub(super) fn reply(&self) -> &Reply {
        &self.reply
    }

    pub(super) fn power(&self) -> PowerState {
        match self.body()["PowerState"].as_str() {
            Some("On" | "PoweringOn") => PowerState::On,
            Some("Off" | "PoweringOff") => PowerState::Off,
            _ => PowerState::Unknown,
        }
    }

    /// Reached for good, unlike `PoweringOn`.
    pub(super) fn settled(&self, wanted: PowerState) -> bool {
        self.body()["PowerState"].as_str() == Some(if wanted == PowerState::On { "On" } else { "Off" })
    }

    pub(super) async fn patch(&self, session: &Session, body: &Value) -> Result<Option<Fault>, Fault> {
        session.patch(&self.path, self.reply.etag.as_deref(), body).await
    }

    /// Waits until the power state is reached; says whether it was.
    pub(super) async fn wait_power(
        &mut self,
        session: &Session,
        wanted: PowerState,
        limit: Duration,
    ) -> Result<bool, Fault> {
        let polls = limit.as_millis() / session.timeouts().poll.as_millis().max(1);
        for _ in 0..=polls {
            self.refresh(session).await?;
            if self.settled(wanted) {
                return Ok(true);
            }
            tokio::time::sleep(session.timeouts().poll).await;
        }
        Ok(false)
    }

    pub(super) async fn must_reach(&mut self, session: &Session, wanted: PowerState) -> Result<(), Fault> {
        if self.wait_power(session, wanted, session.timeouts().power).await? {
            return Ok(());
        }
        let word = if wanted == PowerState::On { "on" } else { "off" };
        Err(session.transient(Reason::PowerStateNotReached, format!("the machine did not switch {word}")))
    }

    /// What `ComputerSystem.Reset` takes: inline or by ActionInfo; what every service takes where it does not say.
    pub(super) async fn reset_types(&self, session: &Session) -> Result<ResetTypes, Fault> {
        let action = &self.body()["Actions"]["#ComputerSystem.Reset"];
        if let Some(values) = strings(&action["ResetType@Redfish.AllowableValues"]) {
            return Ok(ResetTypes(values));
        }
        let info = session.get_if_any(action["@Redfish.ActionInfo"].as_str()).await?;
        let reset = array(&info["Parameters"]).iter().find(|parameter| parameter["Name"] == "ResetType");
        let values = reset.and_then(|parameter| strings(&parameter["AllowableValues"]));
        let usual = || ["On", "ForceOff", "GracefulShutdown", "ForceRestart"].map(str::to_owned).to_vec();
        Ok(ResetTypes(values.filter(|values| !values.is_empty()).unwrap_or_else(usual)))
    }

    pub(super) async fn reset(&self, session: &Session, kind: &str) -> Result<(), Fault> {
        let target = self.body().pointer("/Actions/#ComputerSystem.Reset/target").and_then(Value::as_str);
        let target =
            target.ok_or_else(|| session.permanent(Reason::ResetNotSupported, "the system cannot be reset"))?;
        session.post(target, &json!({ "ResetType": kind })).await.map(|_| ())
    }

    /// From whatever state to a fresh start.
    pub(super) async fn restart(&mut self, session: &Session) -> Result<(), Fault> {
        let types = self.reset_types(session).await?;
        self.settle(session).await?;
        if self.power() != PowerState::Off {
            if let Some(kind) = types.first_of(&["ForceRestart", "PowerCycle"]) {
                self.reset(session, kind).await?;
                return self.must_reach(session, PowerState::On).await;
            }
            self.switch_off(session, &types).await?;
            let rest = quirk::of(&session.root, self.body()).rest;
            tokio::time::sleep(session.timeouts().poll * rest).await;
        }
        let kind = types.first_of(&["On", "ForceOn", "PushPowerButton"]);
        let kind =
            kind.ok_or_else(|| session.permanent(Reason::ResetNotSupported, "the system cannot be switched on"))?;
        self.reset(session, kind).await?;
        self.must_reach(session, PowerState::On).await
    }

    /// Off without asking, where the service can; else as a person would, by the button.
    pub(super) async fn switch_off(&mut self, session: &Session, types: &ResetTypes) -> Result<(), Fault> {
        let kind = types.first_of(&["ForceOff", "GracefulShutdown", "PushPowerButton"]);
        let kind =
            kind.ok_or_else(|| session.permanent(Reason::ResetNotSupported, "the system cannot be switched off"))?;
        self.reset(session, kind).await?;
        if kind != "ForceOff" && !self.wait_power(session, PowerState::Off, session.timeouts().graceful).await? {
            let message = format!("the machine did not switch off for `{kind}`, and the BMC offers nothing stronger");
            return Err(session.transient(Reason::PowerStateNotReached, message));
        }
        self.must_reach(session, PowerState::Off).await
    }

    /// A machine between two states takes no orders: it is waited for, for a while.
    async fn settle(&mut self, session: &Session) -> Result<(), Fault> {
        match self.body()["PowerState"].as_str() {
            Some("PoweringOn") => self.wait_power(session, PowerState::On, session.timeouts().power).await.map(|_| ()),
            Some("PoweringOff") => {
                self.wait_power(session, PowerState::Off, session.timeouts().power).await.map(|_| ())
            }
            _ => Ok(()),
        }
    }
}

/// What `ComputerSystem.Reset` takes.
pub(super) struct ResetTypes(Vec<String>);

impl ResetTypes {
    pub(super) fn takes(&self, kind: &str) -> bool {
        self.0.iter().any(|known| known == kind)
    }

    fn first_of<'k>(&self, kinds: &[&'k str]) -> Option<&'k str> {
        kinds.iter().copied().find(|kind| self.takes(kind))
    }
}
