//! Sessions (DSP0266, "Redfish session login authentication") and Basic authentication of a simulated BMC.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::{Bmc, FailedLogin, Request, Response};
use crate::model::{Secret, Time};
use crate::sim::chassis::Chassis;
use crate::sim::fault::{Fault, FaultPlan};
use crate::sim::tree::Vendor;

pub(super) const SERVICE: &str = "/redfish/v1/SessionService";
pub(super) const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
/// Chance of 256 for what happens at few logins.
const SELDOM: u8 = 40;

pub(super) fn is_login(request: &Request) -> bool {
    request.path.starts_with(SERVICE)
}

impl Bmc {
    pub fn open_sessions(&self) -> usize {
        self.sessions.len()
    }

    /// URIs of the sessions that are open.
    pub fn session_uris(&self) -> impl Iterator<Item = String> + '_ {
        self.sessions.keys().map(|id| format!("{SESSIONS}/{id}"))
    }

    /// Gives the account another name and password, as people and playbooks do. Open sessions stay open.
    pub fn set_account(&mut self, username: &str, password: Secret) {
        self.config.username = username.to_owned();
        self.config.password = password;
    }

    /// The password that it takes, which with [`Fault::BmcWrongPassword`] is not the one it was set up with.
    pub fn password(&self, faults: &FaultPlan) -> Secret {
        match faults.has(Fault::BmcWrongPassword) {
            true => Secret::new(format!("not-{}", self.config.password.reveal())),
            false => self.config.password.clone(),
        }
    }

    fn knows(&mut self, faults: &FaultPlan, now: Time, username: &str, password: &str) -> bool {
        self.logins += 1;
        let right = username == self.config.username && password == self.password(faults).reveal();
        if !right {
            let (username, password) = (username.to_owned(), Secret::new(password));
            self.tally.failed.push(FailedLogin { at: now, username, password });
        }
        right
    }

    /// 401, with the challenge where Basic is understood (RFC 9110 section 11.6.1).
    pub(super) fn unauthorized(&self, message: &str) -> Response {
        let response = Response::error(401, message);
        match self.config.basic {
            true => response.with("WWW-Authenticate", "Basic realm=\"BMC\"".into()),
            false => response,
        }
    }

    pub(super) fn login(&mut self, faults: &mut FaultPlan, now: Time, request: &Request) -> Response {
        let body = request.json().unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        if !self.knows(faults, now, text("UserName"), text("Password")) {
            return self.unauthorized("the user name or password is wrong");
        }
        if faults.fires_with(Fault::BmcSessionsFull, SELDOM) {
            self.full_until = Some(now + self.config.pace.full);
        }
        let full = self.full_until.is_some_and(|until| until > now);
        if full || self.sessions.len() >= self.config.max_sessions {
            return Response::error(503, "there are too many sessions");
        }
        self.opened += 1;
        self.sessions.insert(self.opened, now);
        self.tally.most_sessions = self.tally.most_sessions.max(self.sessions.len());
        let path = format!("{SESSIONS}/{}", self.opened);
        let host = request.headers.get("host").cloned().unwrap_or_default();
        // iLO gives an absolute URL, others a path.
        let location = if self.config.vendor == Vendor::Hpe { format!("https://{host}{path}") } else { path.clone() };
        let headers = vec![("X-Auth-Token", self.token(self.opened)), ("Location", location)];
        let body = json!({ "@odata.id": path, "Id": self.opened.to_string(), "UserName": self.config.username });
        Response { status: 201, headers, body: Some(body) }
    }

    /// Shows another certificate from now on.
    pub fn change_certificate(&mut self) {
        self.certificate += 1;
    }

    fn token(&self, session: u64) -> String {
        format!("sim{session:029x}")
    }

    pub(super) fn authorized(&mut self, faults: &FaultPlan, now: Time, request: &Request) -> bool {
        if let Some(token) = request.headers.get("x-auth-token") {
            let session = self.sessions.keys().copied().find(|id| self.token(*id) == *token);
            return session.is_some_and(|id| self.sessions.insert(id, now).is_some());
        }
        let Some(given) = request.headers.get("authorization").filter(|_| self.config.basic) else { return false };
        let pair = given.strip_prefix("Basic ").and_then(|coded| BASE64_STANDARD.decode(coded).ok());
        let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
        let pair = pair.unwrap_or_default();
        let (username, password) = pair.split_once(':').unwrap_or((&pair, ""));
        self.knows(faults, now, username, password)
    }

    pub(super) fn session_service(&mut self, machine: &mut dyn Chassis, method: &str, path: &str) -> Response {
        let id = path.strip_prefix(SESSIONS).and_then(|rest| rest.strip_prefix('/')?.parse::<u64>().ok());
        match (method, id) {
            ("GET", None) if path == SESSIONS => {
                let members: Vec<_> = self.session_uris().map(|uri| json!({ "@odata.id": uri })).collect();
                Response::new(200, Some(json!({ "Members@odata.count": members.len(), "Members": members })))
            }
            ("GET", Some(id)) if self.sessions.contains_key(&id) => {
                let user = &self.config.username;
                Response::new(200, Some(json!({ "@odata.id": path, "Id": id.to_string(), "UserName": user })))
            }
            ("GET", None) => self.resource(machine, path),
            ("DELETE", Some(id)) if self.sessions.remove(&id).is_some() => {
                self.tally.closed.push(path.to_owned());
                // People renew certificates between two visits of ours.
                if machine.faults().fires_with(Fault::BmcCertificate, SELDOM) {
                    self.change_certificate();
                }
                Response::new(204, None)
            }
            _ => Response::error(404, "there is no such session"),
        }
    }
}
