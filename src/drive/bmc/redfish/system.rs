//! The system of a service (DMTF ComputerSystem): its state, and its power.

use std::time::Duration;

use serde_json::{Value, json};

use super::session::{Reply, Session};
use super::{link, strings};
use crate::model::{Fault, PowerState};

/// The system of a service: where it is, and what it said.
pub(super) struct System {
    /// Its URI.
    pub path: String,
    reply: Reply,
}

impl System {
    pub(super) async fn find(session: &Session) -> Result<Self, Fault> {
        let systems = link(&session.root["Systems"]).unwrap_or("/redfish/v1/Systems");
        let members = session.get(systems).await?.body;
        let path = members.pointer("/Members/0").and_then(link);
        let path = path.ok_or_else(|| session.permanent("NoSystem", "the BMC lists no system"))?.to_owned();
        Ok(System { reply: session.get(&path).await?, path })
    }

    pub(super) async fn refresh(&mut self, session: &Session) -> Result<(), Fault> {
        self.reply = session.get(&self.path).await?;
        Ok(())
    }

    pub(super) fn body(&self) -> &Value {
        &self.reply.body
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

    pub(super) fn boot(&self, name: &str) -> Option<&str> {
        self.body().pointer("/Boot")?.get(name)?.as_str()
    }

    pub(super) async fn patch(&self, session: &Session, body: &Value) -> Result<Option<Fault>, Fault> {
        session.patch(&self.path, self.reply.etag.as_deref(), body).await
    }

    /// Waits until the power state is reached; says whether it was.
    pub(super) async fn wait_power(
        &mut self,
        session: &Session,
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

    pub(super) async fn must_reach(&mut self, session: &Session, wanted: PowerState) -> Result<(), Fault> {
        if self.wait_power(session, wanted, session.patience().power).await? {
            return Ok(());
        }
        let word = if wanted == PowerState::On { "on" } else { "off" };
        Err(session.transient("PowerStateNotReached", format!("the machine did not switch {word}")))
    }

    /// What `ComputerSystem.Reset` takes, where the service says so: inline or by ActionInfo.
    pub(super) async fn reset_types(&self, session: &Session) -> Result<Option<Vec<String>>, Fault> {
        let action = &self.body()["Actions"]["#ComputerSystem.Reset"];
        if let Some(values) = strings(&action["ResetType@Redfish.AllowableValues"]) {
            return Ok(Some(values));
        }
        let info = session.get_if_any(action["@Redfish.ActionInfo"].as_str()).await?;
        let parameters = info["Parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let reset = parameters.iter().find(|parameter| parameter["Name"] == "ResetType");
        Ok(reset.and_then(|parameter| strings(&parameter["AllowableValues"])))
    }

    pub(super) async fn reset(&self, session: &Session, kind: &str) -> Result<(), Fault> {
        let target = self.body().pointer("/Actions/#ComputerSystem.Reset/target").and_then(Value::as_str);
        let target = target.ok_or_else(|| session.permanent("ResetNotSupported", "the system cannot be reset"))?;
        session.post(target, &json!({ "ResetType": kind })).await.map(|_| ())
    }

    /// From whatever state to a fresh start.
    pub(super) async fn restart(&mut self, session: &Session) -> Result<(), Fault> {
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
