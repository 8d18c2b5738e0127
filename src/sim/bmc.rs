//! One Redfish service (DMTF DSP0266) over one machine: sessions, power, boot override, LED. A router without sockets:
//! request in, answer out, with the faults of its machine's plan.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::chassis::Chassis;
use super::fault::Fault;
use super::machine::{Override, Power};
use super::tree::{self, Vendor};
use crate::model::{PowerState, Secret, Time};

/// A request, as the transport understood it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `POST`, `PATCH`, `DELETE`.
    pub method: String,
    /// Path, without query.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers other than the content's.
    pub headers: Vec<(&'static str, String)>,
    /// JSON body, if any.
    pub body: Option<Value>,
}

impl Response {
    fn new(status: u16, body: Option<Value>) -> Self {
        Response { status, headers: Vec::new(), body }
    }

    fn error(status: u16, message: &str) -> Self {
        let info = json!({ "MessageId": "Base.1.8.GeneralError", "Message": message });
        let error = json!({ "code": "Base.1.8.GeneralError", "message": message, "@Message.ExtendedInfo": [info] });
        Response::new(status, Some(json!({ "error": error })))
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub struct Answer {
    /// The answer; `None` when it is lost although the request had its effect.
    pub response: Option<Response>,
    /// How long the BMC takes for it.
    pub delay: Duration,
}

/// How a BMC is set up.
#[derive(Clone, Debug)]
pub struct BmcConfig {
    /// Whose shape it has.
    pub vendor: Vendor,
    /// The account.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// Sessions that may be open at once; one more is refused with 503.
    pub max_sessions: usize,
    /// Idle sessions end after this.
    pub session_timeout: Duration,
    /// How long a slow answer takes.
    pub slow: Duration,
}

impl BmcConfig {
    /// A BMC of this vendor with this account.
    pub fn new(vendor: Vendor, username: &str, password: Secret) -> Self {
        let (max_sessions, session_timeout) = (6, Duration::from_secs(300));
        let slow = Duration::from_secs(2);
        BmcConfig { vendor, username: username.into(), password, max_sessions, session_timeout, slow }
    }
}

/// The Redfish service.
pub struct Bmc {
    config: BmcConfig,
    sessions: BTreeMap<u64, Time>,
    opened: u64,
    /// The indicator LED, in the vendor's word.
    pub led: String,
    mode: String,
    /// Attempts to log in, good and bad.
    pub logins: u32,
    /// Resets that were carried out, in order.
    pub resets: Vec<String>,
}

const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

impl Bmc {
    /// A BMC that nobody has talked to.
    pub fn new(config: BmcConfig) -> Self {
        let led = config.vendor.led_off().to_owned();
        Bmc { config, sessions: BTreeMap::new(), opened: 0, led, mode: "UEFI".into(), logins: 0, resets: Vec::new() }
    }

    /// How it is set up.
    pub fn config(&self) -> &BmcConfig {
        &self.config
    }

    /// Sessions that are open.
    pub fn open_sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Whether the LED is on, as people in the room see it.
    pub fn led_on(&self) -> bool {
        self.led != self.config.vendor.led_off()
    }

    /// Answers one request.
    pub fn handle(&mut self, machine: &mut dyn Chassis, now: Time, request: &Request) -> Answer {
        let timeout = self.config.session_timeout;
        self.sessions.retain(|_, used| now.since(*used) < timeout);
        let login = request.path.starts_with("/redfish/v1/SessionService");
        let faults = machine.faults();
        if !login && faults.fires(Fault::BmcBusy) {
            let response = Some(Response::error(503, "the service is busy"));
            return Answer { response, delay: Duration::ZERO };
        }
        let delay = if faults.fires(Fault::BmcSlow) { self.config.slow } else { Duration::ZERO };
        let mut response = Some(self.route(machine, now, request));
        if !login && request.method != "GET" {
            let faults = machine.faults();
            if faults.fires(Fault::BmcError) {
                response = Some(Response::error(500, "an internal error occurred"));
            } else if faults.fires(Fault::BmcLostAnswer) {
                response = None;
            }
        }
        Answer { response, delay }
    }

    fn route(&mut self, machine: &mut dyn Chassis, now: Time, request: &Request) -> Response {
        let path = request.path.trim_end_matches('/');
        let method = request.method.as_str();
        match (method, path) {
            ("GET", "/redfish") => return Response::new(200, Some(json!({ "v1": "/redfish/v1/" }))),
            ("GET", "/redfish/v1") => return self.resource(machine, "/redfish/v1"),
            ("POST", SESSIONS) => return self.login(now, request),
            _ => {}
        }
        if !self.authorized(now, request) {
            return Response::error(401, "the request lacks valid credentials");
        }
        let system = self.config.vendor.system_path();
        let reset = format!("{system}/Actions/ComputerSystem.Reset");
        match method {
            "GET" if path == SESSIONS => {
                let members: Vec<_> =
                    self.sessions.keys().map(|id| json!({ "@odata.id": format!("{SESSIONS}/{id}") })).collect();
                Response::new(200, Some(json!({ "Members@odata.count": members.len(), "Members": members })))
            }
            "GET" => self.resource(machine, path),
            "DELETE" => match path.strip_prefix(SESSIONS).and_then(|rest| rest.strip_prefix('/')?.parse().ok()) {
                Some(id) if self.sessions.remove(&id).is_some() => Response::new(204, None),
                _ => Response::error(404, "there is no such session"),
            },
            "PATCH" if path == system => self.patch(machine, now, request),
            "POST" if path == reset => self.reset(machine, now, request),
            _ => Response::error(405, "the method is not allowed here"),
        }
    }

    fn login(&mut self, now: Time, request: &Request) -> Response {
        self.logins += 1;
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (user, password) = (&body["UserName"], &body["Password"]);
        if user.as_str() != Some(&self.config.username) || password.as_str() != Some(self.config.password.reveal()) {
            return Response::error(401, "the user name or password is wrong");
        }
        if self.sessions.len() >= self.config.max_sessions {
            return Response::error(503, "there are too many sessions");
        }
        self.opened += 1;
        self.sessions.insert(self.opened, now);
        let path = format!("{SESSIONS}/{}", self.opened);
        let host = request.headers.get("host").cloned().unwrap_or_default();
        // iLO gives an absolute URL, others a path.
        let location = if self.config.vendor == Vendor::Hpe { format!("https://{host}{path}") } else { path.clone() };
        let headers = vec![("X-Auth-Token", self.token(self.opened)), ("Location", location)];
        let body = json!({ "@odata.id": path, "Id": self.opened.to_string(), "UserName": self.config.username });
        Response { status: 201, headers, body: Some(body) }
    }

    fn token(&self, session: u64) -> String {
        format!("sim{session:029x}")
    }

    fn authorized(&mut self, now: Time, request: &Request) -> bool {
        if let Some(token) = request.headers.get("x-auth-token") {
            let session = self.sessions.keys().copied().find(|id| self.token(*id) == *token);
            return session.is_some_and(|id| self.sessions.insert(id, now).is_some());
        }
        let Some(given) = request.headers.get("authorization") else { return false };
        let pair = format!("{}:{}", self.config.username, self.config.password.reveal());
        let right = given.strip_prefix("Basic ") == Some(&base64(pair.as_bytes()));
        self.logins += 1;
        right
    }

    fn resource(&self, machine: &dyn Chassis, path: &str) -> Response {
        match tree::resource(self, machine, path) {
            Some(body) => {
                let etag = tree::etag(&body);
                let tagged = self.config.vendor != Vendor::Dell;
                let headers = if tagged { vec![("ETag", etag)] } else { Vec::new() };
                Response { status: 200, headers, body: Some(body) }
            }
            None => Response::error(404, "there is no such resource"),
        }
    }

    /// The boot mode last set.
    pub fn mode(&self) -> &str {
        &self.mode
    }

    fn patch(&mut self, machine: &mut dyn Chassis, now: Time, request: &Request) -> Response {
        let vendor = self.config.vendor;
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
            return Response::error(400, "the body is not JSON");
        };
        let current = tree::resource(self, machine, vendor.system_path()).map(|body| tree::etag(&body));
        match request.headers.get("if-match") {
            Some(wanted) if wanted != "*" && Some(wanted) != current.as_ref() => {
                return Response::error(412, "the resource has changed");
            }
            // AMI's MegaRAC insists.
            None if vendor == Vendor::Generic => return Response::error(428, "If-Match is required"),
            _ => {}
        }
        if let Err(message) = self.patch_led(&body) {
            return Response::error(400, &message);
        }
        if let Some(boot) = body.get("Boot") {
            let wanted = match self.read_boot(boot) {
                Ok(wanted) => wanted,
                Err(message) => return Response::error(400, &message),
            };
            machine.set_override(now, wanted);
        }
        match vendor {
            Vendor::Dell | Vendor::Hpe => Response::new(200, Some(json!({ "@Message.ExtendedInfo": [] }))),
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
        let text = |name: &str| boot.get(name).and_then(Value::as_str);
        if let Some(mode) = text("BootSourceOverrideMode") {
            if !["UEFI", "Legacy"].contains(&mode) {
                return Err(format!("BootSourceOverrideMode cannot be {mode}"));
            }
            self.mode = mode.to_owned();
        }
        let enabled = text("BootSourceOverrideEnabled");
        // Supermicro wants to be told for how long, each time.
        if self.config.vendor == Vendor::Supermicro && enabled.is_none() {
            return Err("BootSourceOverrideEnabled is missing".into());
        }
        let once = match enabled {
            None | Some("Once") => true,
            Some("Continuous") => false,
            Some("Disabled") => return Ok(None),
            Some(other) => return Err(format!("BootSourceOverrideEnabled cannot be {other}")),
        };
        match text("BootSourceOverrideTarget") {
            Some("None") => Ok(None),
            Some("Pxe") => Ok(Some(Override { network: true, once })),
            Some("Hdd") => Ok(Some(Override { network: false, once })),
            other => Err(format!("BootSourceOverrideTarget cannot be {other:?}")),
        }
    }

    fn reset(&mut self, machine: &mut dyn Chassis, now: Time, request: &Request) -> Response {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let word = body["ResetType"].as_str().unwrap_or_default();
        if !self.config.vendor.reset_types().contains(&word) {
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
        machine.switch(now, power);
        match self.config.vendor {
            Vendor::Dell | Vendor::Supermicro => Response::new(204, None),
            Vendor::Hpe => Response::new(200, Some(json!({ "@Message.ExtendedInfo": [] }))),
            Vendor::Generic => Response::new(202, None),
        }
    }
}

/// RFC 4648, for comparing Basic credentials.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, b| word << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit)) & 0x3f;
            out.push(if digit <= chunk.len() { DIGITS[index as usize] as char } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_as_in_the_rfc() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(super::base64(plain.as_bytes()), coded);
        }
    }
}
