//! Logging in and out of a Redfish service (DSP0266, "Redfish session login authentication"). Credentials are shown once
//! for each login.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::endpoint::Endpoint;
use super::error::ErrorBody;
use super::json::link;
use super::session::{Auth, Reply, Session};
use crate::model::{Fault, Reason};

/// The service root (DSP0266, "Redfish-defined URIs"), which some services have under one of its two names only.
const ROOTS: [&str; 2] = ["/redfish/v1/", "/redfish/v1"];

impl Session {
    /// Reads the service root and logs in, once.
    pub async fn open(endpoint: Endpoint) -> Result<Self, Fault> {
        let mut session = Session::new(endpoint).await?;
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
            let (root, _) = self.exchange(self.request(Method::GET, path, None)?).await?;
            match root.status {
                StatusCode::NOT_FOUND => {}
                StatusCode::UNAUTHORIZED => return Ok(Value::Null),
                _ => return self.accept_json(root, path).map(|reply| reply.body),
            }
        }
        Err(self.permanent(Reason::NotRedfish, "there is no Redfish service at /redfish/v1/"))
    }

    async fn login(&self) -> Result<Auth, Fault> {
        // A root that names no session service has none (DSP0266 section 13.3.4 wants it named): asking for it anyway is
        // answered with a refusal by services that let nobody without an account beyond the root.
        let named = ["/Links/Sessions", "/SessionService"].iter().any(|name| self.root.pointer(name).is_some());
        if self.root.is_object() && !named {
            return Ok(Auth::Basic);
        }
        let path = link(&self.root["Links"]["Sessions"]).unwrap_or("/redfish/v1/SessionService/Sessions");
        let body = json!({ "UserName": self.endpoint.username, "Password": self.endpoint.password.reveal() });
        let (reply, response) = self.exchange(self.request(Method::POST, path, Some(&body))?).await?;
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
            tracing::debug!(host = %self.endpoint.host, %fault, "a BMC session could not be closed");
        }
    }

    /// Ends a session. That it is gone already is fine.
    pub async fn end(&self, uri: &str) -> Result<(), Fault> {
        self.delete_session(uri).await.map(|_| ())
    }

    /// Ends a session that a previous run of the daemon left open, with the credentials instead of a token, so that no
    /// second session is needed beside it. Says `false` where the service does not take Basic authentication and has
    /// therefore not judged the credentials: then [`Session::open`] and [`Session::end`] are the way.
    pub async fn end_by_password(endpoint: Endpoint, uri: &str) -> Result<bool, Fault> {
        Session::new(endpoint).await?.delete_session(uri).await
    }

    async fn delete_session(&self, uri: &str) -> Result<bool, Fault> {
        let (reply, response) = self.exchange(self.signed(Method::DELETE, uri, None)?).await?;
        let takes_basic = || {
            let challenge = response.header("www-authenticate").unwrap_or_default();
            challenge.to_ascii_lowercase().contains("basic")
        };
        match (reply.status, &self.auth) {
            (StatusCode::NOT_FOUND | StatusCode::GONE, _) => Ok(true),
            (StatusCode::UNAUTHORIZED, Auth::Basic) if !takes_basic() => Ok(false),
            _ => self.accept(reply, uri).map(|_| true),
        }
    }

    /// The fault that a full table of sessions is, however the service words it: `SessionLimitExceeded` of the Base
    /// registry (DSP8011), `RAC0218` of an iDRAC, or plain words.
    fn too_many_sessions(&self, reply: &Reply) -> Option<Fault> {
        let said = ErrorBody::of(&reply.body);
        let words = said.text.to_ascii_lowercase();
        let plain = words.contains("sessions") && (words.contains("maximum number") || words.contains("too many"));
        let full = said.any(&["SessionLimitExceeded", "RAC0218"]) || plain;
        (!reply.status.is_success() && full).then(|| {
            let idle = match super::quirk::of(&self.root, &Value::Null).session_minutes {
                Some(minutes) => format!("; it ends idle ones after {minutes} minutes"),
                None => String::new(),
            };
            let message =
                format!("its table of sessions is full{idle}; if it stays so, close sessions in its web interface");
            self.transient(Reason::TooManySessions, message)
        })
    }
}
