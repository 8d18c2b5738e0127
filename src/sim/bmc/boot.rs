//! The computer system of a simulated BMC: boot override, LED, power.

use serde_json::{Value, json};

use super::{Bmc, Request, Response};
use crate::model::{PowerState, Time};
use crate::sim::chassis::Chassis;
use crate::sim::machine::{Override, Power};
use crate::sim::tree::{self, Vendor};

impl Bmc {
    pub fn mode(&self) -> &str {
        &self.mode
    }

    /// The URL of the HTTP boot that is set, empty if the firmware is to ask for it; nothing when none is set.
    pub fn http_boot(&self) -> Option<&str> {
        self.http_boot.as_deref()
    }

    pub(super) fn patch_system(&mut self, machine: &mut dyn Chassis, now: Time, body: &Value) -> Response {
        if let Err(message) = self.patch_led(body) {
            return Response::error(400, &message);
        }
        if let Some(boot) = body.get("Boot") {
            let wanted = match self.read_boot(boot) {
                Ok(wanted) => wanted,
                Err(message) => return Response::error(400, &message),
            };
            machine.set_override(now, wanted);
        }
        self.patched(machine, self.config.vendor.system_path())
    }

    pub(super) fn patched(&self, machine: &dyn Chassis, path: &str) -> Response {
        match self.config.vendor {
            Vendor::Dell | Vendor::Hpe | Vendor::OldHp => {
                Response::new(200, Some(json!({ "@Message.ExtendedInfo": [] })))
            }
            Vendor::Lenovo => Response::new(200, tree::resource(self, machine, path)),
            Vendor::Supermicro => Response::new(202, None),
            Vendor::Generic => Response::new(204, None),
        }
    }

    fn patch_led(&mut self, body: &Value) -> Result<(), String> {
        let vendor = self.config.vendor;
        if let Some(led) = body.get("IndicatorLED") {
            let word = led.as_str().filter(|word| vendor.led_words().contains(word));
            self.led = word.ok_or_else(|| format!("IndicatorLED cannot be {led}"))?.to_owned();
        }
        if let Some(on) = body.get("LocationIndicatorActive") {
            let on = on.as_bool().filter(|_| vendor.has_location_indicator());
            let on = on.ok_or("LocationIndicatorActive cannot be set")?;
            self.led = if on { vendor.led_on() } else { vendor.led_off() }.to_owned();
        }
        Ok(())
    }

    fn read_boot(&mut self, boot: &Value) -> Result<Option<Override>, String> {
        let vendor = self.config.vendor;
        let text = |name: &str| boot.get(name).and_then(Value::as_str);
        if let Some(mode) = text("BootSourceOverrideMode") {
            if !["UEFI", "Legacy"].contains(&mode) || vendor == Vendor::OldHp {
                return Err(format!("BootSourceOverrideMode cannot be {mode}"));
            }
            self.mode = mode.to_owned();
        }
        let enabled = text("BootSourceOverrideEnabled");
        // Supermicro wants to be told for how long, each time.
        if vendor == Vendor::Supermicro && enabled.is_none() {
            return Err("BootSourceOverrideEnabled is missing".into());
        }
        let once = match enabled {
            None | Some("Once") => true,
            Some("Continuous") => false,
            Some("Disabled") => {
                self.http_boot = None;
                return Ok(None);
            }
            Some(other) => return Err(format!("BootSourceOverrideEnabled cannot be {other}")),
        };
        let target = text("BootSourceOverrideTarget").unwrap_or_default();
        if !vendor.boot_targets().contains(&target) {
            return Err(format!("BootSourceOverrideTarget cannot be {target}"));
        }
        self.http_boot = None;
        match target {
            "None" => Ok(None),
            "Pxe" => Ok(Some(Override { network: true, once })),
            "Hdd" => Ok(Some(Override { network: false, once })),
            "UefiHttp" => {
                let uri = text("HttpBootUri").filter(|_| vendor.has_http_boot_uri()).unwrap_or_default();
                self.http_boot = Some(uri.to_owned());
                Ok(Some(Override { network: true, once }))
            }
            other => Err(format!("nobody simulates a boot from {other}")),
        }
    }

    pub(super) fn reset(&mut self, machine: &mut dyn Chassis, now: Time, request: &Request) -> Response {
        let body = request.json().unwrap_or_default();
        let word = body["ResetType"].as_str().unwrap_or_default();
        if !self.config.reset_types.contains(&word) {
            return Response::error(400, &format!("ResetType cannot be {word}"));
        }
        let on = machine.power() == PowerState::On;
        let power = match word {
            "On" => Power::On,
            "ForceOff" => Power::ForceOff,
            "GracefulShutdown" => Power::GracefulShutdown,
            "ForceRestart" => Power::ForceRestart,
            "PushPowerButton" => Power::PushButton,
            _ => return Response::error(501, "not implemented"),
        };
        let fits = match power {
            Power::On => !on,
            Power::PushButton => true,
            Power::ForceOff | Power::GracefulShutdown | Power::ForceRestart => on,
        };
        if !fits {
            return Response::error(409, "the operation does not fit the power state");
        }
        self.resets.push(word.to_owned());
        self.restarts += u64::from(!on || power == Power::ForceRestart);
        machine.switch(now, power);
        match self.config.vendor {
            Vendor::Dell | Vendor::Supermicro => Response::new(204, None),
            Vendor::Hpe | Vendor::OldHp | Vendor::Lenovo => {
                Response::new(200, Some(json!({ "@Message.ExtendedInfo": [] })))
            }
            Vendor::Generic => Response::new(202, None),
        }
    }
}
