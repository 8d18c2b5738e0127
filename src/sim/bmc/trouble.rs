//! What goes wrong with requests and answers of a simulated BMC.

use std::time::Duration;

use serde_json::{Value, json};

use super::task::{When, Work};
use super::{Answer, Bmc, Request, Response, login};
use crate::model::Time;
use crate::sim::chassis::Chassis;
use crate::sim::fault::{Fault, FaultPlan};

/// Chance of 256 for what may happen at any request.
const RARELY: u8 = 10;
/// Chance of 256 for what may happen at any change.
const SELDOM: u8 = 60;

/// What a web server says that runs before its service does.
const PAGE: &str = "<html><head><title>Loading</title></head><body>Please wait</body></html>";

impl Bmc {
    /// What happens to a request instead of its effect, if anything does.
    pub(super) fn refuse(&mut self, faults: &mut FaultPlan, now: Time, request: &Request) -> Option<Answer> {
        let at_once = |response| Some(Answer { response, delay: Duration::ZERO });
        let login = login::is_login(request);
        if !login && faults.fires(Fault::BmcBusy) {
            return at_once(Some(Response::error(503, "the service is busy")));
        }
        if faults.fires_with(Fault::BmcReset, RARELY) {
            return at_once(None);
        }
        if !self.sessions.is_empty() && faults.fires_with(Fault::BmcReboots, RARELY) {
            self.sessions.clear();
            self.down_until = Some(now + self.config.pace.reboot);
            self.tally.reboots += 1;
            return at_once(None);
        }
        if login {
            return None;
        }
        if faults.fires_with(Fault::BmcDropsSession, RARELY) {
            // The request that comes with its token is refused by whoever looks for the session.
            self.sessions.clear();
        }
        if request.headers.contains_key("x-auth-token") && faults.fires_with(Fault::BmcForbidden, RARELY) {
            return at_once(Some(Response::error(403, "the privilege is insufficient")));
        }
        if request.method == "GET" && faults.fires_with(Fault::BmcHtml, RARELY) {
            let page = Response::new(200, Some(json!(PAGE))).with("Content-Type", "text/html".into());
            return at_once(Some(page));
        }
        None
    }

    /// 202 with a task for what would be done at once.
    pub(super) fn defer(&mut self, machine: &mut dyn Chassis, now: Time, request: &Request) -> Option<Response> {
        let volumes = request.path.contains("/Volumes") && request.method != "GET";
        if (request.method != "PATCH" && !volumes) || !machine.faults().fires_with(Fault::BmcTask, SELDOM) {
            return None;
        }
        let path = request.path.trim_end_matches('/');
        if !self.authorized(machine.faults(), now, request) {
            return Some(self.unauthorized("the request lacks valid credentials"));
        }
        if let Some(refused) = self.unmatched(machine, path, request) {
            return Some(refused);
        }
        let mut later = request.clone();
        later.headers.insert("if-match".into(), "*".into());
        self.begin("Change", Work::Change(later), When::Now, self.config.pace.task, true);
        Some(self.accepted())
    }
}

/// What becomes of an answer on its way.
pub(super) fn spoil(faults: &mut FaultPlan, request: &Request, response: Response) -> Option<Response> {
    if login::is_login(request) || request.method == "GET" {
        return Some(response);
    }
    if faults.fires(Fault::BmcError) {
        return Some(Response::error(500, "an internal error occurred"));
    }
    if faults.fires(Fault::BmcLostAnswer) {
        return None;
    }
    if request.method == "PATCH" && response.status == 200 && faults.fires(Fault::BmcEmptyAnswer) {
        return Some(Response::new(204, None));
    }
    Some(response)
}

/// What a careless service leaves out of a resource, or puts there twice.
pub(super) fn disfigure(faults: &FaultPlan, body: &mut Value) {
    let Some(body) = body.as_object_mut() else { return };
    if faults.has(Fault::BmcDuplicates)
        && let Some(Value::Array(members)) = body.get_mut("Members")
        && let Some(first) = members.first().cloned()
    {
        members.push(first);
    }
    if faults.has(Fault::BmcMissing) {
        for name in ["SKU", "ProcessorSummary", "FirmwareVersion", "BiosVersion", "Members@odata.count", "MediaType"] {
            body.remove(name);
        }
        for name in ["Status", "LinkStatus", "MemorySummary", "SerialNumber", "Protocol", "HostCorrelation"] {
            if let Some(value) = body.get_mut(name) {
                *value = Value::Null;
            }
        }
    }
}
