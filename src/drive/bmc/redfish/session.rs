//! A conversation with one BMC (DMTF DSP0266): logging in and out. Credentials are shown once for each login.

use std::sync::OnceLock;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::super::{Patience, Target};
use super::fault::said;
use super::link;
use super::wire::Wire;
use crate::model::{Fault, Reason};

/// The service root (DSP0266, "Redfish-defined URIs"), which some services have under one of its two names only.
const ROOTS: [&str; 2] = ["/redfish/v1/", "/redfish/v1"];

/// How requests show who sends them.
pub(super) enum Auth {
    Token { token: String, location: Option<String> },
    Basic,
}

/// A conversation with one BMC.
pub struct Session {
    pub(super) target: Target,
    pub(super) wire: Wire,
    pub(super) auth: Auth,
    /// The service root.
    pub(super) root: Value,
    /// Which of the service's systems is the machine; found once.
    pub(super) system: OnceLock<String>,
}

impl Session {
    /// Reads the service root and logs in, once.
    pub async fn open(target: Target) -> Result<Self, Fault> {
        let wire = Wire::new(&target).await?;
        let mut session = Session { target, wire, auth: Auth::Basic, root: Value::Null, system: OnceLock::new() };
        session.root = session.read_root().await?;
        session.auth = session.login().await?;
        if session.root.is_null() {
            match session.get(ROOTS[0]).await {
                Ok(reply) => session.root = reply.body,
                Err(fault) => {
                    session.close().await;
                    return Err(fault);
                }
            }
        }
        Ok(session)
    }

    /// Null where it is shown only to those who have logged in, against DSP0266 ("Service root request").
    async fn read_root(&self) -> Result<Value, Fault> {
        for path in ROOTS {
            let (root, _) = self.exchange(self.request("GET", path, None)?).await?;
            match root.status {
                StatusCode::NOT_FOUND => {}
                StatusCode::UNAUTHORIZED => return Ok(Value::Null),
                _ => return self.accept_json(root, path).map(|reply| reply.body),
            }
        }
        Err(self.permanent(Reason::NotRedfish, "there is no Redfish service at /redfish/v1/"))
    }

    /// The session's URI, where the service has sessions.
    pub fn uri(&self) -> Option<&str> {
        match &self.auth {
            Auth::Token { location, .. } => location.as_deref(),
            Auth::Basic => None,
        }
    }

    /// Which BMC it is with.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The certificate that was shown (SHA-256, hex).
    pub fn pin(&self) -> Option<String> {
        self.wire.pin()
    }

    /// How long to wait for what.
    pub(super) fn patience(&self) -> &Patience {
        &self.target.patience
    }

    async fn login(&self) -> Result<Auth, Fault> {
        // A root that names no session service has none (DSP0266 section 13.3.4 wants it named): asking for it anyway is
        // answered with a refusal by services that let nobody without an account beyond the root.
        let named = ["/Links/Sessions", "/SessionService"].iter().any(|name| self.root.pointer(name).is_some());
        if self.root.is_object() && !named {
            return Ok(Auth::Basic);
        }
        let path = self.root.pointer("/Links/Sessions").and_then(link);
        let path = path.unwrap_or("/redfish/v1/SessionService/Sessions");
        let body = json!({ "UserName": self.target.username, "Password": self.target.password.reveal() });
        let (reply, response) = self.exchange(self.request("POST", path, Some(&body))?).await?;
        if let Some(full) = self.too_many_sessions(&reply) {
            return Err(full);
        }
        match reply.status {
            // No session service: the credentials go with every request.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok(Auth::Basic),
            // iLO says 400 where others say 401; a second try could lock the account.
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.not_allowed()),
            // The body may repeat what was sent: nothing of it may reach a message.
            status if !status.is_success() => Err(self.refused(status, path, "")),
            _ => {
                let Some(token) = response.header("x-auth-token").map(str::to_owned) else { return Ok(Auth::Basic) };
                let location = reply.location.or_else(|| link(&reply.body).map(str::to_owned));
                Ok(Auth::Token { token, location })
            }
        }
    }

    /// Ends the session. What the BMC says to that changes nothing.
    pub async fn close(self) {
        let Auth::Token { location: Some(location), .. } = &self.auth else { return };
        if let Err(fault) = self.end(location).await {
            tracing::debug!(host = %self.target.host, %fault, "a BMC session could not be closed");
        }
    }

    /// Ends another session, one that an earlier life of the daemon left open. That it is gone already is fine.
    pub async fn end(&self, uri: &str) -> Result<(), Fault> {
        let (reply, _) = self.exchange(self.signed("DELETE", uri, None)?).await?;
        match reply.status {
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(()),
            _ => self.accept(reply, uri).map(|_| ()),
        }
    }

    /// Ends a session that an earlier life of the daemon left open, with the credentials instead of a token, so that no
    /// second session is needed beside it. Says `false` where the service does not take Basic authentication and has
    /// therefore not judged the credentials: then [`Session::open`] and [`Session::end`] are the way.
    pub async fn end_by_password(target: Target, uri: &str) -> Result<bool, Fault> {
        let wire = Wire::new(&target).await?;
        let session = Session { target, wire, auth: Auth::Basic, root: Value::Null, system: OnceLock::new() };
        let (reply, response) = session.exchange(session.signed("DELETE", uri, None)?).await?;
        match reply.status {
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(true),
            StatusCode::UNAUTHORIZED => {
                let basic = |value: &str| value.to_ascii_lowercase().contains("basic");
                match response.header("www-authenticate").is_some_and(basic) {
                    true => Err(session.not_allowed()),
                    false => Ok(false),
                }
            }
            _ => session.accept(reply, uri).map(|_| true),
        }
    }

    /// Runs the action's work within its time limit.
    pub(super) async fn within<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        match tokio::time::timeout(self.target.patience.action, work).await {
            Ok(result) => result,
            Err(_) => Err(self.transient(Reason::BmcTooSlow, "the action took too long")),
        }
    }

    /// The fault that a full table of sessions is, however the service words it: `SessionLimitExceeded` of the Base
    /// registry (DSP8011), `RAC0218` of an iDRAC, or plain words.
    fn too_many_sessions(&self, reply: &super::exchange::Reply) -> Option<Fault> {
        let ids = said(&reply.body);
        let words = ids.text.to_ascii_lowercase();
        let plain = words.contains("sessions") && (words.contains("maximum number") || words.contains("too many"));
        let full = ids.any(&["SessionLimitExceeded", "RAC0218"]) || plain;
        (!reply.status.is_success() && full).then(|| {
            let minutes = super::quirk::of(&self.root, &Value::Null).session_minutes;
            let idle = match minutes {
                Some(minutes) => format!("; it forgets idle ones after {minutes} minutes"),
                None => String::new(),
            };
            let message = format!("its table of sessions is full{idle}; somebody may have to close some");
            self.transient(Reason::TooManySessions, message)
        })
    }
}
