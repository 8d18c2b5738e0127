//! The simulated Redfish service itself: what it promises to those who test drivers against it.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rackwright::model::{Mac, Secret, Time};
use rackwright::sim::bmc::{Bmc, BmcConfig, Request, Response};
use rackwright::sim::fault::{Fault, FaultPlan};
use rackwright::sim::machine::{Disk, Machine, MachineConfig, MachineEvent, Power, Timings};
use rackwright::sim::tree::{Vendor, storage};
use serde_json::{Value, json};

const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

/// A BMC, its machine, and somebody who talks to it.
struct Desk {
    bmc: Bmc,
    machine: Machine,
    now: Time,
    token: Option<String>,
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

impl Desk {
    fn with(config: BmcConfig, faults: FaultPlan) -> Desk {
        let mut machine = MachineConfig::new(
            "hv1",
            Some(Mac([0x52, 0x54, 0, 0xaa, 0, 1])),
            Mac([0x52, 0x54, 0, 0xbb, 0, 1]),
            Timings::real(),
        );
        machine.faults = faults;
        let mut desk =
            Desk { bmc: Bmc::new(config), machine: Machine::new(machine), now: Time::from_secs(100), token: None };
        desk.login();
        desk
    }

    fn new(vendor: Vendor) -> Desk {
        Desk::with(BmcConfig::new(vendor, "root", Secret::new("calvin")), FaultPlan::none())
    }

    fn faulty(vendor: Vendor, fault: Fault) -> Desk {
        let mut desk = Desk::new(vendor);
        desk.machine.faults().give(fault, 1);
        desk
    }

    /// Logs in where there are sessions.
    fn login(&mut self) {
        self.token = None;
        let body = json!({ "UserName": "root", "Password": "calvin" });
        let Some(response) = self.ask("POST", SESSIONS, body) else { return };
        self.token = response.headers.iter().find(|(name, _)| *name == "X-Auth-Token").map(|(_, value)| value.clone());
    }

    fn ask(&mut self, method: &str, path: &str, body: Value) -> Option<Response> {
        let mut headers = std::collections::BTreeMap::from([("if-match".to_owned(), "*".to_owned())]);
        match &self.token {
            Some(token) => headers.insert("x-auth-token".into(), token.clone()),
            // root:calvin
            None => headers.insert("authorization".into(), "Basic cm9vdDpjYWx2aW4=".into()),
        };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request { method: method.into(), path: path.into(), headers, body };
        self.bmc.handle(&mut self.machine, self.now, &request).response
    }

    #[track_caller]
    fn get(&mut self, path: &str) -> Value {
        let response = self.ask("GET", path, Value::Null).unwrap();
        assert!(matches!(response.status, 200 | 202), "{path}: {response:?}");
        response.body.unwrap()
    }

    fn status(&mut self, method: &str, path: &str, body: Value) -> u16 {
        self.ask(method, path, body).unwrap().status
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    fn restart(&mut self) {
        self.machine.step(self.now, MachineEvent::Power(Power::ForceOff));
        self.machine.step(self.now, MachineEvent::Power(Power::On));
    }

    /// The paths of two drives for a system, and of the collection of volumes.
    fn drives(&mut self) -> (Vec<String>, String) {
        let config = self.bmc.config();
        let drives = config.drives.iter().take(2).map(|drive| storage::drive_path(config, drive).unwrap());
        (drives.collect(), storage::volumes_path(config.vendor).unwrap())
    }
}

fn links(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("@odata.id").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| links(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| links(value, found)),
        _ => {}
    }
}

fn location(response: &Response) -> String {
    response.headers.iter().find(|(name, _)| *name == "Location").unwrap().1.clone()
}

#[test]
fn every_link_of_every_vendor_leads_somewhere() {
    for vendor in Vendor::EVERY {
        let config = BmcConfig::new(vendor, "root", Secret::new("calvin"));
        let mut desk = Desk::with(config.with_foreign_volume("RAID1", &[1, 2]), FaultPlan::none());
        let (mut seen, mut queue) = (BTreeSet::new(), VecDeque::from(["/redfish/v1/".to_owned()]));
        while let Some(path) = queue.pop_front() {
            let body = desk.get(&path);
            let mut found = Vec::new();
            links(&body, &mut found);
            queue.extend(found.into_iter().filter(|path| seen.insert(path.trim_end_matches('/').to_owned())));
        }
        let least = if vendor == Vendor::OldHp { 8 } else { 20 };
        assert!(seen.len() >= least, "{vendor:?}: {seen:?}");
    }
}

fn setting(vendor: Vendor) -> (&'static str, Value) {
    match vendor {
        Vendor::Dell | Vendor::Hpe => ("ProcVirtualization", json!("Enabled")),
        Vendor::Supermicro => ("CorrectableErrorThreshold_3C34", json!(100)),
        Vendor::Generic => ("SRIOVEnable", json!("Enabled")),
        _ => ("DevicesandIOPorts_SRIOV", json!("Enabled")),
    }
}

#[test]
fn bios_settings_wait_for_a_restart_of_the_machine() {
    for vendor in Vendor::EVERY {
        let Some([current, pending]) = vendor.bios() else { continue };
        let mut desk = Desk::new(vendor);
        let (name, value) = setting(vendor);
        let mut body = json!({ "Attributes": { name: value } });
        if vendor == Vendor::Dell {
            body["@Redfish.SettingsApplyTime"] = json!({ "ApplyTime": "OnReset" });
        }
        let status = desk.status("PATCH", pending, body.clone());
        assert!(matches!(status, 200 | 202 | 204), "{vendor:?}: {status}");
        desk.wait(secs(200));
        assert_ne!(desk.get(current)["Attributes"][name], value, "{vendor:?}: without a restart");
        assert_eq!(desk.get(pending)["Attributes"][name], value, "{vendor:?}");
        desk.login();
        desk.restart();
        assert_ne!(desk.get(current)["Attributes"][name], value, "{vendor:?}: before the self test is over");
        desk.wait(desk.bmc.config().pace.bios);
        assert_eq!(desk.get(current)["Attributes"][name], value, "{vendor:?}");
        assert_eq!((desk.bmc.pending().len(), desk.bmc.tally.configured), (0, 1), "{vendor:?}");
        if vendor == Vendor::Hpe {
            assert_eq!(
                desk.status(
                    "PATCH",
                    pending,
                    json!({ "Attributes": { name: value }, "@Redfish.SettingsApplyTime": {} })
                ),
                400
            );
        }
    }
}

#[test]
fn one_setting_that_is_unknown_or_does_not_fit_refuses_them_all() {
    for vendor in Vendor::EVERY {
        let Some([_, pending]) = vendor.bios() else { continue };
        let mut desk = Desk::new(vendor);
        let (name, value) = setting(vendor);
        for (bad, id) in [
            (json!({ name: value, "Nonsense": "On" }), "Base.1.8.PropertyUnknown"),
            (json!({ name: [1] }), "Base.1.8.PropertyValueTypeError"),
        ] {
            let refused = desk.ask("PATCH", pending, json!({ "Attributes": bad })).unwrap();
            let info = refused.body.unwrap()["error"]["@Message.ExtendedInfo"][0].clone();
            assert_eq!((refused.status, info["MessageId"].as_str()), (400, Some(id)), "{vendor:?}");
            assert!(info["RelatedProperties"][0].as_str().unwrap().starts_with("#/Attributes/"));
        }
        assert!(desk.bmc.pending().is_empty());
    }
}

#[test]
fn an_idrac_needs_a_job_and_has_one_at_a_time() {
    let mut desk = Desk::new(Vendor::Dell);
    let [current, pending] = Vendor::Dell.bios().unwrap();
    let jobs = Vendor::Dell.jobs().unwrap();
    let body = json!({ "Attributes": { "ProcVirtualization": "Enabled" } });
    assert_eq!(desk.status("PATCH", pending, body.clone()), 200);
    desk.restart();
    desk.wait(secs(200));
    assert_eq!(desk.get(current)["Attributes"]["ProcVirtualization"], "Disabled", "staged only");
    let made = desk.ask("POST", jobs, json!({ "TargetSettingsURI": pending })).unwrap();
    assert_eq!(desk.get(&location(&made))["JobState"], "Scheduled");
    assert_eq!(desk.status("POST", jobs, json!({ "TargetSettingsURI": pending })), 400);
    assert_eq!(desk.status("PATCH", pending, body), 400);
    desk.restart();
    desk.get(jobs);
    desk.wait(secs(60));
    assert_eq!(desk.get(&location(&made))["JobState"], "Running");
    desk.wait(secs(60));
    assert_eq!(desk.get(&location(&made))["JobState"], "Completed");
    assert_eq!(desk.get(current)["Attributes"]["ProcVirtualization"], "Enabled");
    for path in Vendor::Dell.manager_attributes().unwrap() {
        assert_eq!(desk.status("PATCH", path, json!({ "Attributes": { "WebServer.1.Timeout": 600 } })), 200);
        assert_eq!(desk.get(path)["Attributes"]["WebServer.1.Timeout"], 600);
        assert_eq!(desk.status("PATCH", path, json!({ "Attributes": { "WebServer.1.Timeout": "600" } })), 400);
    }
}

#[test]
fn volumes_are_made_in_the_vendors_words_and_only_of_free_drives() {
    for vendor in Vendor::ALL.into_iter().chain([Vendor::Lenovo]) {
        let mut desk = Desk::new(vendor);
        desk.restart();
        let (drives, volumes) = desk.drives();
        let drives: Vec<_> = drives.iter().map(|path| json!({ "@odata.id": path })).collect();
        let by_raid = json!({ "RAIDType": "RAID1", "Links": { "Drives": drives } });
        let by_volume = json!({ "VolumeType": "Mirrored", "Drives": drives });
        let (right, wrong) = if vendor == Vendor::Supermicro { (by_volume, by_raid) } else { (by_raid, by_volume) };
        if vendor != Vendor::Dell {
            assert_eq!(desk.status("POST", &volumes, wrong), 400, "{vendor:?}");
        }
        let made = desk.ask("POST", &volumes, right.clone()).unwrap();
        let tasked = matches!(vendor, Vendor::Dell | Vendor::Supermicro);
        assert_eq!(made.status, if tasked { 202 } else { 201 }, "{vendor:?}");
        let mut at = location(&made);
        if tasked {
            assert_eq!(desk.ask("GET", &at, Value::Null).unwrap().status, 202);
            assert_eq!(desk.status("POST", &volumes, right.clone()), 400, "these drives are being used");
            desk.wait(desk.bmc.config().pace.volume);
            let done = desk.ask("GET", &at, Value::Null).unwrap();
            assert_eq!(done.status, if vendor == Vendor::Dell { 200 } else { 201 }, "{vendor:?}");
            at = desk.get(&volumes)["Members"][0]["@odata.id"].as_str().unwrap().to_owned();
        }
        let volume = desk.get(&at);
        assert_eq!(volume["Links"]["Drives"].as_array().unwrap().len(), 2);
        let path = drives[0]["@odata.id"].as_str().unwrap();
        assert_eq!(desk.get(path)["Links"]["Volumes"][0]["@odata.id"], json!(at));
        assert_eq!(desk.status("POST", &volumes, right), 400, "{vendor:?}");
        assert_eq!((desk.bmc.tally.made.len(), desk.bmc.volumes().len()), (1, 1));
    }
}

#[test]
fn deleting_the_first_volume_takes_the_system_with_it() {
    for vendor in [Vendor::Hpe, Vendor::Dell] {
        let first = u32::from(vendor == Vendor::Hpe);
        let config = BmcConfig::new(vendor, "root", Secret::new("calvin"));
        let config =
            config.with_foreign_volume("RAID5", &[first + 2, first + 3]).with_foreign_volume("RAID0", &[first]);
        let mut desk = Desk::with(config, FaultPlan::none());
        desk.machine = Machine::installed(desk.machine.config().clone(), "hv1", "http://10.0.0.1/checkin/host/x");
        desk.restart();
        let volumes = desk.drives().1;
        let members = desk.get(&volumes)["Members"].as_array().unwrap().clone();
        for (index, member) in members.iter().enumerate() {
            let path = member["@odata.id"].as_str().unwrap();
            assert!(matches!(desk.status("DELETE", path, Value::Null), 202 | 204));
            desk.wait(secs(60));
            desk.get("/redfish/v1/");
            assert_eq!(*desk.machine.disk() == Disk::Blank, index == 1, "{vendor:?}");
        }
        let deleted: Vec<_> = desk.bmc.tally.deleted.iter().map(|(_, volume)| volume.foreign).collect();
        assert_eq!(deleted, [true, true]);
    }
}

#[test]
fn logins_are_counted_and_limited() {
    let mut desk = Desk::new(Vendor::Hpe);
    for _ in 0..7 {
        desk.login();
    }
    assert_eq!((desk.bmc.open_sessions(), desk.bmc.tally.most_sessions), (6, 6));
    let wrong = json!({ "UserName": "root", "Password": "guess" });
    assert_eq!(desk.status("POST", SESSIONS, wrong.clone()), 401);
    assert_eq!(desk.bmc.tally.failed.len(), 1);
    desk.bmc.set_account("root", Secret::new("guess"));
    desk.wait(secs(300));
    assert_eq!(desk.status("POST", SESSIONS, wrong), 201, "idle sessions have ended");
    assert_eq!(desk.bmc.open_sessions(), 1);

    let mut old = Desk::new(Vendor::OldHp);
    assert_eq!(old.token, None);
    assert_eq!(old.status("POST", SESSIONS, Value::Null), 404);
    assert_eq!(old.get("/redfish/v1/Systems/1")["HostCorrelation"]["HostMACAddress"][0], "52:54:00:bb:00:01");

    let mut tokens_only = Desk::new(Vendor::Lenovo);
    tokens_only.token = None;
    let refused = tokens_only.ask("GET", "/redfish/v1/Systems", Value::Null).unwrap();
    assert_eq!((refused.status, refused.headers.len(), tokens_only.bmc.tally.failed.len()), (401, 0, 0));
}

#[test]
fn a_wrong_password_is_wrong_until_it_is_set_right() {
    let mut desk = Desk::faulty(Vendor::Dell, Fault::BmcWrongPassword);
    desk.machine.faults().stop();
    desk.login();
    assert_eq!((desk.token.clone(), desk.bmc.tally.failed.len()), (None, 1));
    let right = desk.bmc.password(desk.machine.faults());
    desk.machine.faults().cure(Fault::BmcWrongPassword);
    desk.bmc.set_account("root", right);
    assert_eq!(desk.bmc.password(desk.machine.faults()).reveal(), "not-calvin");
}

#[test]
fn each_fault_does_what_it_says_and_passes() {
    let system = Vendor::Dell.system_path();
    let on = || json!({ "IndicatorLED": "Blinking" });
    // Faults are dealt by chance: ask until it happens.
    let until = |fault: Fault, method: &str, body: Value, seen: &dyn Fn(&mut Desk, Option<Response>) -> bool| {
        let mut desk = Desk::faulty(Vendor::Dell, fault);
        for _ in 0..500 {
            let response = desk.ask(method, system, body.clone());
            if seen(&mut desk, response) {
                return desk;
            }
        }
        panic!("{fault} never happens");
    };
    let status = |response: &Option<Response>| response.as_ref().map(|response| response.status);
    until(Fault::BmcReset, "GET", Value::Null, &|_, response| response.is_none());
    until(Fault::BmcForbidden, "GET", Value::Null, &|_, response| status(&response) == Some(403));
    until(Fault::BmcEmptyAnswer, "PATCH", on(), &|_, response| status(&response) == Some(204));
    let desk = until(Fault::BmcDropsSession, "GET", Value::Null, &|_, response| status(&response) == Some(401));
    assert_eq!(desk.bmc.open_sessions(), 0);
    until(Fault::BmcHtml, "GET", Value::Null, &|_, response| response.is_some_and(|it| it.body.unwrap().is_string()));
    let mut desk = until(Fault::BmcReboots, "GET", Value::Null, &|_, response| response.is_none());
    assert_eq!((desk.bmc.open_sessions(), desk.bmc.is_up(desk.now)), (0, false));
    desk.wait(desk.bmc.config().pace.reboot);
    desk.login();
    desk.get(system);
    let mut desk = until(Fault::BmcTask, "PATCH", on(), &|desk, response| {
        let deferred = status(&response) == Some(202);
        if !deferred {
            desk.ask("PATCH", system, json!({ "IndicatorLED": "Lit" }));
        }
        deferred
    });
    assert!(!desk.bmc.led_on());
    desk.get(system);
    desk.wait(secs(5));
    desk.get(system);
    assert!(desk.bmc.led_on());
    let desk =
        until(Fault::BmcIgnoresPatch, "PATCH", on(), &|desk, _| !std::mem::take(&mut desk.bmc.led).contains("Bl"));
    assert!(!desk.bmc.led.contains("Bl"));
    let mut desk = Desk::faulty(Vendor::Hpe, Fault::BmcSessionsFull);
    let full = (0..100).any(|_| {
        desk.bmc.tasks().count();
        desk.wait(secs(200));
        desk.login();
        desk.token.is_none()
    });
    assert!(full && desk.bmc.open_sessions() < 6);
    let mut desk = Desk::faulty(Vendor::Hpe, Fault::BmcCertificate);
    for _ in 0..100 {
        let session = desk.bmc.session_uris().next().unwrap();
        desk.status("DELETE", &session, Value::Null);
        desk.login();
    }
    assert_eq!(desk.bmc.certificate(), 1);
    let mut desk = Desk::faulty(Vendor::Dell, Fault::BmcDuplicates);
    assert_eq!(desk.get("/redfish/v1/Systems")["Members"].as_array().unwrap().len(), 2);
    let mut desk = Desk::faulty(Vendor::Dell, Fault::BmcMissing);
    let body = desk.get(system);
    assert!(body["SKU"].is_null() && body["Status"].is_null() && !body["PowerState"].is_null());
}

#[test]
fn a_task_that_fails_leaves_nothing_behind() {
    let mut desk = Desk::faulty(Vendor::Supermicro, Fault::BmcTaskFails);
    let (drives, volumes) = desk.drives();
    let drives: Vec<_> = drives.iter().map(|path| json!({ "@odata.id": path })).collect();
    let wanted = json!({ "VolumeType": "Mirrored", "Links": { "Drives": drives } });
    let mut failed = 0;
    while desk.bmc.volumes().is_empty() {
        let monitor = location(&desk.ask("POST", &volumes, wanted.clone()).unwrap());
        desk.wait(secs(40));
        failed += u32::from(desk.ask("GET", &monitor, Value::Null).unwrap().status == 500);
    }
    assert!(failed <= 1 && desk.bmc.tasks().filter(|task| task.failed).count() as u32 == failed);
}
