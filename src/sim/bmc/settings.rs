//! BIOS and manager settings of a simulated BMC (DSP0266, "Settings resource").

use serde_json::{Value, json};

use super::task::{When, Work};
use super::{Attributes, Bmc, Request, Response};
use crate::sim::chassis::Chassis;
use crate::sim::tree::Vendor;

impl Bmc {
    /// All attributes or none: one that is unknown or does not fit refuses the whole request, and names what it was
    /// given, as real services do.
    fn read_attributes(body: &Value, known: &Attributes) -> Result<Attributes, Response> {
        let refusal = |id: &str, message: &str, names: &[&String]| {
            let names: Vec<_> = names.iter().map(|name| format!("#/Attributes/{name}")).collect();
            Response::refusal(400, &format!("Base.1.8.{id}"), message, &names)
        };
        let Some(given) = body["Attributes"].as_object().filter(|given| !given.is_empty()) else {
            return Err(refusal("PropertyMissing", "Attributes is missing", &[]));
        };
        let unknown: Vec<_> = given.keys().filter(|name| !known.contains_key(*name)).collect();
        if !unknown.is_empty() {
            let message = format!("The properties {unknown:?} are not in the list of valid properties");
            return Err(refusal("PropertyUnknown", &message, &unknown));
        }
        for (name, value) in given {
            let current = &known[name];
            if !current.is_null() && std::mem::discriminant(current) != std::mem::discriminant(value) {
                let message = format!("The value {value} for the property {name} is of a different type");
                return Err(refusal("PropertyValueTypeError", &message, &[name]));
            }
            if !fits(current, value) {
                let message = format!("The value {value} for the property {name} is not in the list of values");
                return Err(refusal("PropertyValueNotInList", &message, &[name]));
            }
        }
        Ok(given.clone().into_iter().collect())
    }

    pub(super) fn patch_bios(&mut self, machine: &dyn Chassis, body: &Value) -> Response {
        let wanted = match Self::read_attributes(body, &self.bios) {
            Ok(wanted) => wanted,
            Err(refused) => return refused,
        };
        let vendor = self.config.vendor;
        let apply = &body["@Redfish.SettingsApplyTime"];
        let refuse = |message: &str| Response::refusal(400, "Base.1.8.PropertyUnknown", message, &[]);
        if !apply.is_null() && !has_apply_times(vendor) {
            return refuse("@Redfish.SettingsApplyTime is unknown");
        }
        if vendor == Vendor::Dell && self.bios_job() {
            return refuse("a configuration job is pending; delete it or wait until it has ended");
        }
        let on_reset = match apply["ApplyTime"].as_str() {
            None if apply.is_null() => false,
            Some("OnReset") => true,
            _ => return refuse("ApplyTime is not among the SupportedApplyTimes"),
        };
        self.pending.extend(wanted);
        let when = When::Restarted(self.starts(machine));
        let lasts = self.config.pace.bios;
        match vendor {
            Vendor::Dell if on_reset => {
                self.begin("ConfigBIOS:BIOS.Setup.1-1", Work::Bios, when, lasts, true);
                self.accepted()
            }
            // Staged: it takes a job to carry it out.
            Vendor::Dell => self.patched(machine, ""),
            Vendor::Supermicro if !self.bios_job() => {
                self.begin("BIOS Settings", Work::Bios, when, lasts, true);
                self.accepted()
            }
            _ => {
                if !self.bios_job() {
                    self.begin("BIOS Settings", Work::Bios, when, lasts, false);
                }
                let [_, path] = vendor.bios().unwrap_or_default();
                self.patched(machine, path)
            }
        }
    }

    /// POST to an iDRAC's jobs: carries out what is staged for the BIOS at the next restart.
    pub(super) fn make_job(&mut self, machine: &dyn Chassis, request: &Request) -> Response {
        let body = request.json().unwrap_or_default();
        let target = body["TargetSettingsURI"].as_str().unwrap_or_default().trim_end_matches('/');
        if self.config.vendor.bios().is_none_or(|[_, pending]| target != pending) {
            return Response::error(400, "TargetSettingsURI is missing or wrong");
        }
        if self.pending.is_empty() || self.bios_job() {
            return Response::error(400, "there is nothing to configure, or a job is there already");
        }
        let when = When::Restarted(self.starts(machine));
        self.begin("ConfigBIOS:BIOS.Setup.1-1", Work::Bios, when, self.config.pace.bios, true);
        let (jobs, task) = (self.config.vendor.jobs(), self.tasks.last());
        let path = format!("{}/{}", jobs.unwrap_or_default(), task.map_or("", |task| &task.id));
        Response::new(200, None).with("Location", path)
    }

    pub(super) fn patch_manager(&mut self, body: &Value) -> Response {
        match Self::read_attributes(body, &self.manager) {
            Ok(wanted) => {
                self.manager.extend(wanted);
                Response::new(200, Some(json!({ "@Message.ExtendedInfo": [] })))
            }
            Err(refused) => refused,
        }
    }
}

/// Whether a service says which apply times it takes; others refuse to hear of any.
pub(super) fn has_apply_times(vendor: Vendor) -> bool {
    matches!(vendor, Vendor::Dell | Vendor::Generic)
}

/// Switches take their two words; of other settings any value of their type is taken.
fn fits(current: &Value, value: &Value) -> bool {
    let pairs = [["Enabled", "Disabled"], ["Enable", "Disable"]];
    let pair = pairs.iter().find(|pair| pair.iter().any(|word| current == word));
    pair.is_none_or(|pair| pair.iter().any(|word| value == word))
}
