//! One Redfish service (DMTF DSP0266) over one machine: sessions, power, boot override, LED, storage, settings, tasks. A
//! router without sockets: request in, answer out, with the faults of its machine's plan.
//!
//! What it takes time for (a volume, a BIOS setting that waits for a restart) happens when the next request arrives after
//! it was due: nobody can tell the difference.
#![allow(missing_docs, reason = "the names of fields and functions say the rest")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::chassis::Chassis;
use super::fault::Fault;
use super::tree;
use crate::model::{Secret, Time};

mod boot;
mod config;
mod login;
mod settings;
mod storage;
mod task;
mod trouble;

pub use config::{Attributes, BmcConfig, Drive, Pace, Volume};
pub use task::Task;

/// A request, as the transport understood it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `POST`, `PATCH`, `DELETE`.
    pub method: String,
    /// Path, without query.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    pub status: u16,
    /// Headers other than the content's, unless the content is no JSON.
    pub headers: Vec<(&'static str, String)>,
    /// JSON body, if any. With a `Content-Type` among the headers: text, as a JSON string.
    pub body: Option<Value>,
}

impl Response {
    fn new(status: u16, body: Option<Value>) -> Self {
        Response { status, headers: Vec::new(), body }
    }

    fn error(status: u16, message: &str) -> Self {
        Self::refusal(status, "Base.1.8.GeneralError", message, &[])
    }

    /// An error body (DSP0266, "Error responses") that names what was wrong with the request.
    fn refusal(status: u16, id: &str, message: &str, properties: &[String]) -> Self {
        let mut info = json!({ "MessageId": id, "Message": message, "Severity": "Warning" });
        if !properties.is_empty() {
            info["RelatedProperties"] = json!(properties);
        }
        let error = json!({ "code": id, "message": message, "@Message.ExtendedInfo": [info] });
        Response::new(status, Some(json!({ "error": error })))
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

#[derive(Debug)]
pub struct Answer {
    /// The answer; `None` when it is lost although the request had its effect, or when nobody is there.
    pub response: Option<Response>,
    pub delay: Duration,
}

/// A login that was refused for its user or password.
#[derive(Clone, Debug)]
pub struct FailedLogin {
    pub at: Time,
    pub username: String,
    pub password: Secret,
}

/// What has happened to a BMC, whatever its client remembers of it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Logins that were refused for their credentials.
    pub failed: Vec<FailedLogin>,
    /// Most sessions of clients' open at once.
    pub most_sessions: usize,
    /// URIs of sessions that clients closed.
    pub closed: Vec<String>,
    /// Requests of any kind that reached it.
    pub requests: u64,
    /// Requests to end a session, heard or not.
    pub farewells: u64,
    /// Requests that wanted to change something, sessions apart.
    pub writes: u64,
    pub made: Vec<Volume>,
    /// Volumes deleted, and when.
    pub deleted: Vec<(Time, Volume)>,
    pub configured: u32,
    pub reboots: u32,
}

pub struct Bmc {
    config: BmcConfig,
    sessions: BTreeMap<u64, Time>,
    opened: u64,
    /// Until when other people's sessions fill the table.
    full_until: Option<Time>,
    down_until: Option<Time>,
    /// The indicator LED, in the vendor's word.
    pub led: String,
    mode: String,
    /// The URL of the HTTP boot that is set for the next start; empty where the vendor has none.
    http_boot: Option<String>,
    bios: Attributes,
    pending: Attributes,
    manager: Attributes,
    volumes: Vec<Volume>,
    numbered: u32,
    tasks: Vec<Task>,
    /// Restarts of the machine that went through here.
    restarts: u64,
    certificate: u32,
    /// Attempts to log in, good and bad.
    pub logins: u32,
    /// Resets that were carried out, in order.
    pub resets: Vec<String>,
    /// What else has happened.
    pub tally: Tally,
}

impl Bmc {
    pub fn new(config: BmcConfig) -> Self {
        Bmc {
            sessions: BTreeMap::new(),
            opened: 0,
            full_until: None,
            down_until: None,
            led: config.vendor.led_off().to_owned(),
            mode: "UEFI".into(),
            http_boot: None,
            bios: config.bios.clone(),
            pending: Attributes::new(),
            manager: config.manager.clone(),
            volumes: config.volumes.clone(),
            numbered: config.volumes.len() as u32,
            tasks: Vec::new(),
            restarts: 0,
            certificate: 0,
            logins: 0,
            resets: Vec::new(),
            tally: Tally::default(),
            config,
        }
    }

    pub fn config(&self) -> &BmcConfig {
        &self.config
    }

    /// Whether the LED is on, as people in the room see it.
    pub fn led_on(&self) -> bool {
        self.led != self.config.vendor.led_off()
    }

    /// Which of its certificates it shows: the number changes when the certificate does.
    pub fn certificate(&self) -> u32 {
        self.certificate
    }

    pub fn is_up(&self, now: Time) -> bool {
        self.down_until.is_none_or(|until| until <= now)
    }

    pub fn bios(&self) -> &Attributes {
        &self.bios
    }

    /// The BIOS settings that wait for a restart of the machine.
    pub fn pending(&self) -> &Attributes {
        &self.pending
    }

    pub fn manager(&self) -> &Attributes {
        &self.manager
    }

    pub fn volumes(&self) -> &[Volume] {
        &self.volumes
    }

    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| task.visible)
    }

    pub fn handle(&mut self, machine: &mut dyn Chassis, now: Time, request: &Request) -> Answer {
        let timeout = self.config.session_timeout;
        self.sessions.retain(|_, used| now.since(*used) < timeout);
        self.tick(machine, now);
        if !self.is_up(now) {
            return Answer { response: None, delay: Duration::ZERO };
        }
        self.tally.requests += 1;
        let login = login::is_login(request);
        match request.method.as_str() {
            "GET" => {}
            "DELETE" if login => self.tally.farewells += 1,
            _ => self.tally.writes += u64::from(!login),
        }
        if let Some(answer) = self.refuse(machine.faults(), now, request) {
            return answer;
        }
        let delay = if machine.faults().fires(Fault::BmcSlow) { self.config.slow } else { Duration::ZERO };
        let response = self.defer(machine, now, request).unwrap_or_else(|| self.route(machine, now, request));
        // What this request began, or waited for, begins now and not when somebody asks again.
        self.tick(machine, now);
        Answer { response: trouble::spoil(machine.faults(), request, response), delay }
    }

    fn route(&mut self, machine: &mut dyn Chassis, now: Time, request: &Request) -> Response {
        let path = request.path.trim_end_matches('/');
        let method = request.method.as_str();
        match (method, path) {
            ("GET", "/redfish") => return Response::new(200, Some(json!({ "v1": "/redfish/v1/" }))),
            ("GET", "/redfish/v1") => return self.resource(machine, "/redfish/v1"),
            _ if path.starts_with(login::SERVICE) && !self.config.sessions => {
                return Response::error(404, "there is no such resource");
            }
            ("POST", login::SESSIONS) => return self.login(machine.faults(), now, request),
            _ => {}
        }
        if !self.authorized(machine.faults(), now, request) {
            return self.unauthorized("the request lacks valid credentials");
        }
        if path.starts_with(login::SERVICE) {
            return self.session_service(machine, method, path);
        }
        match method {
            "GET" => self.task_monitor(path).unwrap_or_else(|| self.resource(machine, path)),
            "PATCH" => self.patch(machine, now, path, request),
            "POST" => self.post(machine, now, path, request),
            "DELETE" if path.contains("/Volumes/") => self.delete_volume(machine, now, path),
            _ => Response::error(405, "the method is not allowed here"),
        }
    }

    fn resource(&self, machine: &mut dyn Chassis, path: &str) -> Response {
        let Some(mut body) = tree::resource(self, machine, path) else {
            return Response::error(404, "there is no such resource");
        };
        trouble::disfigure(machine.faults(), &mut body);
        let etag = self.config.vendor.has_etags().then(|| tree::etag(&body));
        // An iDRAC answers 202 for a task that still runs.
        let status = if self.runs(path) { 202 } else { 200 };
        let response = Response::new(status, Some(body));
        match etag {
            Some(etag) => response.with("ETag", etag),
            None => response,
        }
    }

    fn patch(&mut self, machine: &mut dyn Chassis, now: Time, path: &str, request: &Request) -> Response {
        let vendor = self.config.vendor;
        let Some(body) = request.json() else { return Response::error(400, "the body is not JSON") };
        if let Some(refused) = self.unmatched(machine, path, request) {
            return refused;
        }
        if machine.faults().fires(Fault::BmcIgnoresPatch) {
            return self.patched(machine, path);
        }
        if path == vendor.system_path() {
            return self.patch_system(machine, now, &body);
        }
        if vendor.bios().is_some_and(|[_, pending]| path == pending) {
            return self.patch_bios(machine, &body);
        }
        if vendor.manager_attributes().is_some_and(|paths| paths.contains(&path)) {
            return self.patch_manager(&body);
        }
        match tree::resource(self, machine, path) {
            Some(_) => Response::error(405, "nothing can be changed here"),
            None => Response::error(404, "there is no such resource"),
        }
    }

    /// Why a conditional request is refused, if it is (RFC 9110 section 13).
    fn unmatched(&self, machine: &dyn Chassis, path: &str, request: &Request) -> Option<Response> {
        match request.headers.get("if-match") {
            Some(wanted) if wanted != "*" && self.config.vendor.has_etags() => {
                let current = tree::resource(self, machine, path).map(|body| tree::etag(&body));
                (Some(wanted) != current.as_ref()).then(|| Response::error(412, "the resource has changed"))
            }
            None if self.config.vendor.demands_if_match() => Some(Response::error(428, "If-Match is required")),
            _ => None,
        }
    }

    fn post(&mut self, machine: &mut dyn Chassis, now: Time, path: &str, request: &Request) -> Response {
        let vendor = self.config.vendor;
        if path.strip_prefix(vendor.system_path()) == Some("/Actions/ComputerSystem.Reset") {
            return self.reset(machine, now, request);
        }
        if vendor.jobs() == Some(path) {
            return self.make_job(machine, request);
        }
        if path.ends_with("/Volumes") {
            return self.make_volume(machine, path, request);
        }
        Response::error(405, "the method is not allowed here")
    }
}
