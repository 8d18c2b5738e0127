//! pvc-installer as seen from outside, and the first boot of what it installs: answer file, keys, check-ins, wipe.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::json;

use super::{Answers, Disk, Doing, Effect, Machine};
use crate::model::Time;
use crate::sim::fault::Fault;
use crate::sim::preseed;

impl Machine {
    pub(super) fn start_kernel(&mut self, now: Time, args: &str) {
        let arg = |name: &str| {
            args.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        self.installer_boots += 1;
        let seeded = arg("pvcinstall.preseed").as_deref() == Some("on");
        match (arg("pvcinstall.seed_host"), arg("pvcinstall.seed_file")) {
            (Some(host), Some(file)) if seeded => {
                self.seed = Some((host, file));
                if self.config.faults.fires(Fault::HungInstaller) {
                    self.console = "the live system hangs".into();
                    return self.rest(Doing::Hung);
                }
                self.enter(now, Doing::LiveBoot, self.config.timings.live_boot);
            }
            _ => {
                self.console = "the installer waits for a person: it was given no answer file".into();
                self.rest(Doing::Hung);
            }
        }
    }

    pub(super) fn ask_answers(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Some((host, name)) = self.seed.clone() else { return self.restart_installer(now, "no answer file") };
        self.ask_file(now, Doing::AnswerFile, &format!("tftp://{host}/{name}"), effects);
    }

    pub(super) fn read_answers(&mut self, now: Time, body: Option<Vec<u8>>, effects: &mut Vec<Effect>) {
        let Some(body) = body else { return self.restart_installer(now, "the answer file cannot be read") };
        let vars = match preseed::parse(&String::from_utf8_lossy(&body)) {
            Ok(vars) => vars,
            Err(why) => return self.restart_installer(now, &why),
        };
        let var = |name: &str| vars.get(name).cloned().unwrap_or_default();
        let (hostname, disk, uri) = (var("target_hostname"), var("target_disk"), var("pvcbootstrapd_checkin_uri"));
        if hostname.is_empty() || !is_disk(&disk) || !uri.starts_with("http") {
            return self.restart_installer(now, "the answer file lacks host name, disk or check-in URI");
        }
        self.answers = Some(Answers { hostname, token: token_of(&uri), uri });
        self.ask_keys(now, &vars, effects);
    }

    pub(super) fn ask_keys(&mut self, now: Time, vars: &BTreeMap<String, String>, effects: &mut Vec<Effect>) {
        let path = vars.get("target_keys_path").cloned().unwrap_or_default();
        let host = self.seed.as_ref().map(|(host, _)| host.clone()).unwrap_or_default();
        match vars.get("target_keys_method").map(String::as_str) {
            Some("tftp") => self.ask_file(now, Doing::Keys, &format!("tftp://{host}/{path}"), effects),
            Some("wget") => self.ask_file(now, Doing::Keys, &path, effects),
            _ => self.enter(now, Doing::CancelWindow, self.config.timings.cancel_window),
        }
    }

    /// pvc-installer's trap: any failure starts it over.
    pub(super) fn restart_installer(&mut self, now: Time, why: &str) {
        self.console = why.to_owned();
        self.answers = None;
        self.enter(now, Doing::RestartInstaller, self.config.timings.restart);
    }

    /// Sends a check-in and goes to `doing`, in which its answer is awaited.
    pub(super) fn check_in(&mut self, now: Time, doing: Doing, who: &Answers, action: &str, effects: &mut Vec<Effect>) {
        let installer = action.starts_with("install");
        let short = who.hostname.split('.').next().unwrap_or_default();
        let text = |value: Option<String>| value.unwrap_or_default();
        let body = json!({
            "action": action,
            "hostname": if installer { &who.hostname } else { short },
            "host_macaddr": self.config.boot_mac.to_string(),
            "host_ipaddr": text(self.ip().map(|ip| ip.to_string())),
            "bmc_macaddr": text(self.config.bmc_mac.map(|mac| mac.to_string())),
            "bmc_ipaddr": text(self.bmc_ip.map(|ip| ip.to_string())),
        });
        self.enter(now, doing, self.config.timings.network);
        self.last_id += 1;
        let id = self.last_id;
        self.pending = Some(id);
        let from = self.ip().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let effect = Effect::CheckIn { id, from, uri: who.uri.clone(), body };
        let faults = &mut self.config.faults;
        if faults.fires(Fault::LostCallback) {
            self.unheard(now);
        } else if faults.fires(Fault::LateCallback) {
            self.late.push((now + self.config.timings.late, effect));
            self.unheard(now);
        } else {
            if faults.fires(Fault::DoubledCallback) {
                effects.push(effect.clone());
            }
            effects.push(effect);
        }
    }

    /// A check-in that went into the void looks to the machine as if it had been answered.
    pub(super) fn unheard(&mut self, now: Time) {
        self.pending = None;
        self.checked_in(now, true);
    }

    pub(super) fn checked_in(&mut self, now: Time, answered: bool) {
        match self.doing {
            Doing::InstallStart if !answered => self.restart_installer(now, "the check-in could not be sent"),
            Doing::InstallStart if self.config.faults.fires(Fault::CrashingInstaller) => {
                self.restart_installer(now, "the installer failed");
            }
            Doing::InstallStart => self.wipe(now),
            // pvc-installer ignores what becomes of this one.
            Doing::InstallComplete => self.enter(now, Doing::BeforeReboot, self.config.timings.before_reboot),
            _ => {}
        }
    }

    pub(super) fn wipe(&mut self, now: Time) {
        let token = self.answers.as_ref().and_then(|answers| answers.token.clone());
        self.wipes.push((now, token.clone()));
        self.disk = Disk::Installing { token };
        self.system = None;
        self.configured = false;
        let blip = self.config.faults.fires(Fault::PowerBlip);
        let hang = !blip && self.config.faults.fires(Fault::HungInstaller);
        let write = self.config.timings.write;
        self.enter(now, Doing::Writing { blip, hang }, if blip || hang { write / 2 } else { write });
    }

    pub(super) fn written(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Some(who) = self.answers.clone() else { return self.restart_installer(now, "no answer file") };
        self.disk = Disk::Installed { token: who.token.clone() };
        self.system = Some(who.clone());
        self.check_in(now, Doing::InstallComplete, &who, "install-complete", effects);
    }

    pub(super) fn report_boot(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.sshd_at = Some(now + self.config.timings.sshd);
        let Some(who) = self.system.clone() else { return self.rest(Doing::Running) };
        let action = if self.configured { "system-boot_configured" } else { "system-boot_initial" };
        self.check_in(now, Doing::Running, &who, action, effects);
        self.rest(Doing::Running);
    }
}

/// `/dev/…`, or `detect:NAME:SIZE:ID`.
fn is_disk(text: &str) -> bool {
    text.strip_prefix("/dev/").is_some_and(|rest| !rest.is_empty())
        || (text.starts_with("detect:") && text.split(':').count() == 4)
}

/// The token in a check-in URI's path: 32 hex digits at its end.
pub(super) fn token_of(uri: &str) -> Option<String> {
    let last = uri.rsplit('/').next()?;
    (last.len() == 32 && last.bytes().all(|b| b.is_ascii_hexdigit())).then(|| last.to_ascii_lowercase())
}
