//! BIOS settings and settings of the BMC, by name (DSP0266, "Settings resource"; DSP2046, Bios and its `Attributes`).
//!
//! A value may be a password: none is ever shown, and what a service says about a refusal is freed of them first.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use super::compare::{self, Difference, names};
use super::json::{link, links, strings};
use super::session::Reply;
use super::task;
use super::work::{Work, pending};
use crate::model::{Fault, Pending, Reason, Secret, Stage};

pub(super) enum Bios {
    /// As wanted, or nothing is.
    Right,
    /// Handed over: it takes a restart, which is still to be ordered.
    Staged(Pending),
    /// It takes effect later, or is to be begun.
    Waits(Pending),
}

impl Work<'_> {
    pub(super) async fn bios(&mut self) -> Result<Bios, Fault> {
        let prepare = self.prepare;
        let wanted = &prepare.bios;
        if wanted.is_empty() {
            return Ok(Bios::Right);
        }
        let path = link(&self.system.body()["Bios"]).map(str::to_owned);
        let bios = self.session.get_unless_absent(path.as_deref()).await?;
        let (Some(path), Some(current)) = (path, bios["Attributes"].as_object().filter(|map| !map.is_empty())) else {
            return self.no_bios(bios["Attributes"].is_object()).await;
        };
        let difference = self.compare("BIOS", wanted, current)?;
        if difference.set.is_empty() {
            return Ok(Bios::Right);
        }
        let object = link(&bios["@Redfish.Settings"]["SettingsObject"]).map(str::to_owned);
        let object = object.unwrap_or_else(|| format!("{}{}", path.trim_end_matches('/'), self.quirk.bios_settings));
        let reply = self.session.look(&object).await?;
        let waiting = (reply.body.clone(), reply.etag.clone());
        let staged = difference.set.iter().all(|(name, value)| waiting.0["Attributes"][name] == *value);
        let what = format!("BIOS settings take effect in a restart ({})", names(difference.set.keys()));
        if !self.apply {
            return self.look_at_bios(&difference, staged, what);
        }
        let times = strings(&bios["@Redfish.Settings"]["SupportedApplyTimes"]).unwrap_or_default();
        let task = match staged {
            true => self.job(&waiting.0).await?,
            false => self.stage(&object, waiting, &difference, &times).await.map_err(|fault| self.scrubbed(fault))?,
        };
        Ok(Bios::Staged(pending(what, task, Stage::Settings)))
    }

    /// A BIOS that tells of no settings; some do only once the machine was on.
    async fn no_bios(&mut self, empty: bool) -> Result<Bios, Fault> {
        if empty && self.apply && self.is_off() {
            return Ok(Bios::Waits(self.switch_on("so that its BMC learns the BIOS settings").await?));
        }
        if empty && self.starts() {
            return Ok(Bios::Waits(self.still("the machine starts")));
        }
        let wanted = names(self.prepare.bios.keys());
        self.notes.push(format!("this machine has no BIOS settings over Redfish: {wanted} not set"));
        Ok(Bios::Right)
    }

    /// Without `apply`: whether they wait, are to be handed over, or were not taken.
    fn look_at_bios(&self, difference: &Difference, staged: bool, what: String) -> Result<Bios, Fault> {
        let Some(over) = self.over else {
            return Ok(Bios::Waits(pending(what, None, Stage::Next)));
        };
        match (over.stage, &over.task) {
            (Stage::Settings, _) if staged => Ok(Bios::Waits(over.clone())),
            // Its job has ended, nothing waits any more, and they are as before.
            (Stage::Settings, Some(_)) => {
                let message = format!("BIOS settings were not taken over: {}", names(difference.set.keys()));
                Err(self.session.permanent(Reason::SettingsReverted, message + &difference.hint()))
            }
            // The firmware has them; it tells the BMC when its self test is over.
            (Stage::Settings, None) => Ok(Bios::Waits(over.clone())),
            _ => Ok(Bios::Waits(pending(what, None, Stage::Next))),
        }
    }

    /// Compares, and notes what is not there. What can't be meant is a fault before anything is written.
    fn compare(
        &mut self,
        whose: &str,
        wanted: &BTreeMap<String, Secret>,
        current: &Map<String, Value>,
    ) -> Result<Difference, Fault> {
        let difference = compare::compare(wanted, current);
        self.notes.extend(difference.notes.iter().map(|note| format!("{whose}: {note}")));
        match difference.unfit.as_slice() {
            [] => Ok(difference),
            unfit => {
                let message = format!("{whose} settings of the wrong type: {}", unfit.join(", "));
                Err(Fault::operator(Reason::SettingsNotValid, message))
            }
        }
    }

    /// Hands all settings over in one PATCH; gives the job or task that carries them out, where the service tells.
    async fn stage(
        &self,
        object: &str,
        (before, etag): (Value, Option<String>),
        difference: &Difference,
        times: &[String],
    ) -> Result<Option<String>, Fault> {
        let time = times.iter().any(|time| time == "OnReset").then_some("OnReset").or(self.quirk.apply_time);
        let plain = json!({ "Attributes": difference.set });
        let mut timed = plain.clone();
        timed["@Redfish.SettingsApplyTime"] = json!({ "ApplyTime": time });
        let mut answer = match time {
            Some(_) => self.session.patch_reply(object, etag.as_deref(), &timed).await?,
            None => self.session.patch_reply(object, etag.as_deref(), &plain).await?,
        };
        let mut needs_job = time.is_none();
        if answer.is_err() && time.is_some() && jobs(&before).is_some() {
            // An iDRAC8 knows no apply times.
            answer = self.session.patch_reply(object, etag.as_deref(), &plain).await?;
            needs_job = true;
        }
        let reply = answer.map_err(|refusal| self.refused("BIOS", difference, &refusal))?;
        if let Some(task) = task_of(&reply) {
            return Ok(Some(task));
        }
        let after = self.session.get_unless_absent(Some(object)).await?;
        let kept = difference.set.iter().all(|(name, value)| after["Attributes"][name] == *value);
        if !kept {
            let message = format!("BIOS settings were taken and are not kept: {}", names(difference.set.keys()));
            return Err(self.session.transient(Reason::SettingsNotKept, message));
        }
        if needs_job { self.job(&after).await } else { Ok(None) }
    }

    /// The job that an iDRAC needs to carry out what is staged; made unless there is one.
    async fn job(&self, object: &Value) -> Result<Option<String>, Fault> {
        let Some(jobs) = jobs(object) else { return Ok(None) };
        if let Some(job) = task::bios_job(self.session, jobs).await? {
            return Ok(Some(job));
        }
        let Some(target) = link(object) else { return Ok(None) };
        match self.session.post_reply(jobs, &json!({ "TargetSettingsURI": target })).await? {
            Ok(reply) => Ok(reply.location),
            Err(fault) => Err(self.scrubbed(fault)),
        }
    }

    fn refused(&self, whose: &str, difference: &Difference, refusal: &Fault) -> Fault {
        let said = self.scrub(&refusal.message);
        let message = format!("{whose} settings are refused ({}): {said}", names(difference.set.keys()));
        Fault { class: refusal.class, reason: Reason::SettingsRefused, message: message + &difference.hint() }
    }

    /// Settings of the BMC itself, which take effect at once or soon. Only iDRACs have them under names.
    pub(super) async fn manager(&mut self) -> Result<Option<Pending>, Fault> {
        let prepare = self.prepare;
        if prepare.manager.is_empty() {
            return Ok(None);
        }
        let resources = self.manager_resources().await?;
        let mut all = Map::new();
        for (_, attributes) in &resources {
            all.extend(attributes.clone());
        }
        if all.is_empty() {
            let wanted = names(prepare.manager.keys());
            self.notes.push(format!("this BMC has no settings by name over Redfish: {wanted} not set"));
            return Ok(None);
        }
        let difference = self.compare("BMC", &prepare.manager, &all)?;
        if difference.set.is_empty() {
            return Ok(None);
        }
        let what = format!("settings of the BMC take effect ({})", names(difference.set.keys()));
        let waits = self.over.is_some_and(|over| over.what == what);
        if !self.apply {
            let stage = if waits { Stage::Begun } else { Stage::Next };
            return Ok(Some(pending(what, None, stage)));
        }
        let mut task = None;
        for (path, attributes) in resources {
            let mine = difference.among(&attributes);
            if !mine.set.is_empty() {
                let patched = self.session.patch_reply(&path, None, &json!({ "Attributes": mine.set })).await;
                let answer = patched.map_err(|fault| self.scrubbed(fault))?;
                task = task_of(&answer.map_err(|refusal| self.refused("BMC", &mine, &refusal))?).or(task);
            }
        }
        let now = self.manager_resources().await?;
        let right =
            |(name, value): (&String, &Value)| now.iter().any(|(_, attributes)| attributes.get(name) == Some(value));
        match difference.set.iter().all(right) {
            true => Ok(None),
            false => Ok(Some(pending(what, task, Stage::Begun))),
        }
    }

    /// Where the BMC's attributes are, and what they are: behind Dell's links, else below the manager.
    async fn manager_resources(&self) -> Result<Vec<(String, Map<String, Value>)>, Fault> {
        let Some(manager) = self.system.manager(self.session).await? else { return Ok(Vec::new()) };
        let body = self.session.get_unless_absent(Some(&manager)).await?;
        let mut paths = links(&body["Links"]["Oem"]["Dell"]["DellAttributes"]);
        if paths.is_empty() {
            paths.push(format!("{}/Attributes", manager.trim_end_matches('/')));
        }
        let mut found = Vec::new();
        for path in paths.into_iter().take(8) {
            let body = self.session.get_unless_absent(Some(&path)).await?;
            let attributes = body["Attributes"].as_object().filter(|map| !map.is_empty()).cloned();
            found.extend(attributes.map(|attributes| (path, attributes)));
        }
        Ok(found)
    }
}

/// The collection of an iDRAC's jobs, which its pending settings link to.
fn jobs(object: &Value) -> Option<&str> {
    link(&object["Oem"]["Dell"]["Jobs"])
}

/// The task or job that a PATCH became.
fn task_of(reply: &Reply) -> Option<String> {
    // Some iDRACs answer 200 and name the job all the same.
    let names_job = reply.location.as_deref().is_some_and(|path| path.contains("/Jobs/") || path.contains("/Tasks/"));
    (reply.status == StatusCode::ACCEPTED || names_job).then(|| reply.location.clone()).flatten()
}
