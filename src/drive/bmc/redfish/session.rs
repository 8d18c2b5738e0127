//! A thin Redfish client (DMTF DSP0266): logging in, and requests whose faults are told apart. Every request is limited.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::{Patience, Target};
use super::wire::{Broken, Request, Response, Wire};
use crate::model::Fault;

/// The largest answer that is read.
pub const BODY_CAP: usize = 4 << 20;

/// What a service answered.
pub(super) struct Reply {
    pub status: StatusCode,
    pub etag: Option<String>,
    /// JSON, or null when there was none.
    pub body: Value,
    /// Where to look next: a task monitor of a 202, or something that was made.
    pub location: Option<String>,
}

enum Auth {
    Token { token: String, location: Option<String> },
    Basic,
}

/// A conversation with one BMC.
pub struct Session {
    target: Target,
    wire: Wire,
    auth: Auth,
    /// The service root.
    pub(super) root: Value,
}

impl Session {
    /// Reads the service root and logs in, once.
    pub async fn open(target: Target) -> Result<Self, Fault> {
        let wire = Wire::new(&target).await?;
        let mut session = Session { target, wire, auth: Auth::Basic, root: Value::Null };
        let root = session.request(Method::GET, "/redfish/v1/", None)?;
        let (root, _) = session.exchange(root).await?;
        session.root = match root.status {
            StatusCode::NOT_FOUND => {
                return Err(session.permanent("NotRedfish", "there is no Redfish service at /redfish/v1/"));
            }
            // Against DSP0266 section 9.2, which wants the root open to everybody.
            StatusCode::UNAUTHORIZED => Value::Null,
            _ => session.accept(root, "/redfish/v1/")?.body,
        };
        session.auth = session.login().await?;
        if session.root.is_null() {
            match session.get("/redfish/v1/").await {
                Ok(reply) => session.root = reply.body,
                Err(fault) => {
                    session.close().await;
                    return Err(fault);
                }
            }
        }
        Ok(session)
    }

    /// The session's URI, where the service has sessions.
    pub fn uri(&self) -> Option<&str> {
        match &self.auth {
            Auth::Token { location, .. } => location.as_deref(),
            Auth::Basic => None,
        }
    }

    /// The certificate that was shown (SHA-256, hex).
    pub(super) fn pin(&self) -> Option<String> {
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
        let path = self.root.pointer("/Links/Sessions/@odata.id").and_then(Value::as_str);
        let path = path.unwrap_or("/redfish/v1/SessionService/Sessions");
        let body = json!({ "UserName": self.target.username, "Password": self.target.password.reveal() });
        let (reply, response) = self.exchange(self.request(Method::POST, path, Some(&body))?).await?;
        match reply.status {
            // No session service: the credentials go with every request.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok(Auth::Basic),
            // iLO says 400 where others say 401; a second try could lock the account.
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.not_allowed()),
            // The body may repeat what was sent: nothing of it may reach a message.
            status if !status.is_success() => Err(self.refused(status, path, "")),
            _ => {
                let Some(token) = response.header("x-auth-token").map(str::to_owned) else { return Ok(Auth::Basic) };
                let location = reply.location.or_else(|| reply.body["@odata.id"].as_str().map(str::to_owned));
                Ok(Auth::Token { token, location })
            }
        }
    }

    /// Ends the session. What the BMC says to that changes nothing.
    pub async fn close(self) {
        let Auth::Token { location: Some(location), .. } = &self.auth else { return };
        let Ok(request) = self.signed(Method::DELETE, location, None) else { return };
        if let Err(fault) = self.exchange(request).await {
            tracing::debug!(host = %self.target.host, %fault, "a BMC session could not be closed");
        }
    }

    /// Runs the action's work within its time limit.
    pub(super) async fn within<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        match tokio::time::timeout(self.target.patience.action, work).await {
            Ok(result) => result,
            Err(_) => Err(self.transient("BmcTooSlow", "the action took too long")),
        }
    }

    /// GET of something that is needed.
    pub(super) async fn get(&self, path: &str) -> Result<Reply, Fault> {
        let (reply, _) = self.exchange(self.signed(Method::GET, path, None)?).await?;
        self.accept(reply, path)
    }

    /// GET of something that may be absent or forbidden: null then.
    pub(super) async fn get_if_any(&self, path: Option<&str>) -> Result<Value, Fault> {
        let Some(path) = path else { return Ok(Value::Null) };
        let (reply, _) = self.exchange(self.signed(Method::GET, path, None)?).await?;
        if reply.status.is_client_error() && reply.status != StatusCode::UNAUTHORIZED {
            return Ok(Value::Null);
        }
        self.accept(reply, path).map(|reply| reply.body)
    }

    /// POST of an action.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Reply, Fault> {
        let (reply, _) = self.exchange(self.signed(Method::POST, path, Some(body))?).await?;
        self.accept(reply, path)
    }

    /// PATCH, conditional where the service gave an ETag. Gives the refusal's status when it was refused for what it
    /// asked (400, 404, 405, 501), so that the caller may ask for less.
    pub(super) async fn patch(&self, path: &str, etag: Option<&str>, body: &Value) -> Result<Option<Fault>, Fault> {
        // Some services give weak ETags and take strong ones only; `*` is what remains (RFC 9110 section 13.1.1).
        let strong = etag.and_then(|etag| etag.strip_prefix("W/"));
        let forms: Vec<Option<&str>> = match etag {
            Some(etag) => [Some(etag), strong, Some("*")].into_iter().flatten().map(Some).collect(),
            None => vec![None, Some("*")],
        };
        let last = forms.len() - 1;
        for (index, form) in forms.into_iter().enumerate() {
            let mut request = self.signed(Method::PATCH, path, Some(body))?;
            request.headers.extend(form.map(|etag| ("if-match", etag.to_owned())));
            let (reply, _) = self.exchange(request).await?;
            match reply.status.as_u16() {
                412 | 428 if index < last => {}
                400 | 404 | 405 | 501 => return Ok(Some(self.refused(reply.status, path, &said(&reply.body)))),
                _ => return self.accept(reply, path).map(|_| None),
            }
        }
        Ok(None)
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Request, Fault> {
        let fine = path.starts_with('/') && !path.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\');
        if !fine {
            return Err(self.permanent("BmcNonsense", format!("the BMC links to `{}`", clip(path))));
        }
        let mut headers = vec![("accept", "application/json".to_owned()), ("odata-version", "4.0".to_owned())];
        headers.extend(body.map(|_| ("content-type", "application/json".to_owned())));
        Ok(Request { method, path: path.to_owned(), headers, body: body.map(|body| body.to_string().into_bytes()) })
    }

    fn signed(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Request, Fault> {
        let mut request = self.request(method, path, body)?;
        request.headers.push(match &self.auth {
            Auth::Token { token, .. } => ("x-auth-token", token.clone()),
            Auth::Basic => {
                let pair = format!("{}:{}", self.target.username, self.target.password.reveal());
                ("authorization", format!("Basic {}", BASE64_STANDARD.encode(pair)))
            }
        });
        Ok(request)
    }

    /// Sends and reads, whatever the status.
    async fn exchange(&self, request: Request) -> Result<(Reply, Response), Fault> {
        let path = request.path.clone();
        let response = self.wire.exchange(request).await.map_err(|broken| self.broken(broken, &path))?;
        let status = StatusCode::from_u16(response.status);
        let status = status.map_err(|_| self.permanent("BmcNonsense", "an impossible HTTP status"))?;
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let etag = response.header("etag").or_else(|| body["@odata.etag"].as_str());
        let etag = etag.filter(|etag| !etag.is_empty()).map(str::to_owned);
        let location = response.header("location").map(|url| path_of(url).to_owned());
        Ok((Reply { status, etag, body, location }, response))
    }

    /// A good answer, or the fault that it is.
    fn accept(&self, reply: Reply, path: &str) -> Result<Reply, Fault> {
        if reply.status.is_success() {
            return Ok(reply);
        }
        Err(self.refused(reply.status, path, &said(&reply.body)))
    }

    fn refused(&self, status: StatusCode, path: &str, said: &str) -> Fault {
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        let message = format!("{} was answered with {}{said}", clip(path), status.as_u16());
        match status.as_u16() {
            401 if matches!(self.auth, Auth::Token { .. }) => self.transient("SessionLost", message),
            401 | 403 => self.not_allowed(),
            408 | 409 | 412 | 423 | 425 | 429 => self.transient("BmcBusy", message),
            500..=599 => self.transient("BmcError", message),
            _ => self.permanent("BmcRefused", message),
        }
    }

    fn not_allowed(&self) -> Fault {
        let message = format!("{}: the BMC refuses the user `{}`", self.place(), self.target.username);
        Fault::operator("AuthenticationFailed", format!("{message}; correct bmc.username or bmc.password"))
    }

    /// A request that got no answer.
    fn broken(&self, broken: Broken, path: &str) -> Fault {
        match broken {
            Broken::Certificate { expected, shown } => Fault::operator(
                "CertificateChanged",
                format!("{}: the pinned certificate is {expected}, but {shown} was shown", self.place()),
            ),
            Broken::Tls(tls) => {
                let advice = match &tls {
                    rustls::Error::InvalidCertificate(_) => "the certificate is not acceptable",
                    _ => "its TLS is too old or broken; a firmware update or `bmc.protocol: ipmi` may help",
                };
                Fault::permanent("TlsFailed", format!("{}: {tls}: {advice}", self.place()))
            }
            Broken::TooLarge => self.permanent("BmcNonsense", format!("the answer to {} is too large", clip(path))),
            Broken::Timeout => self.transient("Unreachable", format!("{}: no answer in time", clip(path))),
            Broken::Connection => {
                self.transient("Unreachable", format!("{}: the connection failed or broke", clip(path)))
            }
        }
    }

    /// A fault that may pass, with the BMC's address.
    pub(super) fn transient(&self, reason: &str, message: impl std::fmt::Display) -> Fault {
        Fault::transient(reason, format!("{}: {message}", self.place()))
    }

    /// A refusal, with the BMC's address.
    pub(super) fn permanent(&self, reason: &str, message: impl std::fmt::Display) -> Fault {
        Fault::permanent(reason, format!("{}: {message}", self.place()))
    }

    fn place(&self) -> String {
        format!("BMC of {} at {}", self.target.host, self.target.address)
    }
}

/// The first message of an error body (DSP0266, "Error responses"), shortened.
fn said(body: &Value) -> String {
    let info = body.pointer("/error/@Message.ExtendedInfo/0/Message");
    let text = info.or_else(|| body.pointer("/error/message")).and_then(Value::as_str).unwrap_or("");
    clip(text)
}

/// At most 200 printable characters of something a BMC said.
fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// The path of an absolute or relative URL: requests never leave the BMC.
fn path_of(url: &str) -> &str {
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => url,
    }
}
