//! A thin Redfish client (DMTF DSP0266): one session for one action, closed at its end, every request limited.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};

use super::tls::Witness;
use super::{Patience, Target};
use crate::model::Fault;

/// The largest answer that is read.
pub const BODY_CAP: usize = 4 << 20;

/// What a service answered.
pub(super) struct Reply {
    pub status: StatusCode,
    pub etag: Option<String>,
    /// JSON, or null when there was none.
    pub body: Value,
}

enum Auth {
    Token { token: String, location: Option<String> },
    Basic,
}

/// A conversation with one BMC.
pub(super) struct Session<'t> {
    target: &'t Target,
    client: Client,
    base: String,
    witness: Arc<Witness>,
    auth: Auth,
    /// The service root.
    pub root: Value,
}

impl<'t> Session<'t> {
    /// Reads the service root and logs in, once.
    pub(super) async fn open(target: &'t Target) -> Result<Self, Fault> {
        let witness = Witness::new(&target.tls).await?;
        let client = Client::builder()
            .tls_backend_preconfigured(witness.client()?)
            .https_only(true)
            .no_proxy()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(target.patience.request)
            .timeout(target.patience.request)
            .build()
            .map_err(|error| Fault::permanent("TlsUnsupported", error.to_string()))?;
        let host = match target.address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        let base = format!("https://{host}:{}", target.port);
        let mut session = Session { target, client, base, witness, auth: Auth::Basic, root: Value::Null };
        let root = session.exchange(session.request(Method::GET, "/redfish/v1/")?, "/redfish/v1/").await?;
        session.root = match root.0.status {
            StatusCode::NOT_FOUND => {
                return Err(session.permanent("NotRedfish", "there is no Redfish service at /redfish/v1/"));
            }
            // Against DSP0266 section 9.2, which wants the root open to everybody.
            StatusCode::UNAUTHORIZED => Value::Null,
            _ => session.accept(root.0, "/redfish/v1/")?.body,
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

    /// The certificate that was shown (SHA-256, hex).
    pub(super) fn pin(&self) -> Option<String> {
        self.witness.seen()
    }

    /// How long to wait for what.
    pub(super) fn patience(&self) -> &Patience {
        &self.target.patience
    }

    async fn login(&self) -> Result<Auth, Fault> {
        let path = self.root.pointer("/Links/Sessions/@odata.id").and_then(Value::as_str);
        let path = path.unwrap_or("/redfish/v1/SessionService/Sessions");
        let body = json!({ "UserName": self.target.username, "Password": self.target.password.reveal() });
        let request = self.request(Method::POST, path)?.json(&body);
        let (reply, headers) = self.exchange(request, path).await?;
        match reply.status {
            // No session service: the credentials go with every request.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok(Auth::Basic),
            // iLO says 400 where others say 401; a second try could lock the account.
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.not_allowed()),
            // The body may repeat what was sent: nothing of it may reach a message.
            status if !status.is_success() => Err(self.refused(status, path, "")),
            _ => {
                let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
                let Some(token) = text("x-auth-token").map(str::to_owned) else { return Ok(Auth::Basic) };
                let location = text("location").or_else(|| reply.body["@odata.id"].as_str());
                Ok(Auth::Token { token, location: location.map(|url| path_of(url).to_owned()) })
            }
        }
    }

    /// Ends the session. What the BMC says to that changes nothing.
    pub(super) async fn close(self) {
        let Auth::Token { location: Some(location), .. } = &self.auth else { return };
        let Ok(request) = self.request(Method::DELETE, location) else { return };
        if let Err(fault) = self.exchange(self.signed(request), location).await {
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
        let request = self.signed(self.request(Method::GET, path)?);
        let (reply, _) = self.exchange(request, path).await?;
        self.accept(reply, path)
    }

    /// GET of something that may be absent or forbidden: null then.
    pub(super) async fn get_if_any(&self, path: Option<&str>) -> Result<Value, Fault> {
        let Some(path) = path else { return Ok(Value::Null) };
        let request = self.signed(self.request(Method::GET, path)?);
        let (reply, _) = self.exchange(request, path).await?;
        if reply.status.is_client_error() && reply.status != StatusCode::UNAUTHORIZED {
            return Ok(Value::Null);
        }
        self.accept(reply, path).map(|reply| reply.body)
    }

    /// POST of an action.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<(), Fault> {
        let request = self.signed(self.request(Method::POST, path)?).json(body);
        let (reply, _) = self.exchange(request, path).await?;
        self.accept(reply, path).map(|_| ())
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
            let mut request = self.signed(self.request(Method::PATCH, path)?).json(body);
            if let Some(etag) = form {
                request = request.header(header::IF_MATCH, etag);
            }
            let (reply, _) = self.exchange(request, path).await?;
            match reply.status.as_u16() {
                412 | 428 if index < last => {}
                400 | 404 | 405 | 501 => return Ok(Some(self.refused(reply.status, path, &said(&reply.body)))),
                _ => return self.accept(reply, path).map(|_| None),
            }
        }
        Ok(None)
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Fault> {
        let fine = path.starts_with('/') && !path.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\');
        if !fine {
            return Err(self.permanent("BmcNonsense", format!("the BMC links to `{}`", clip(path))));
        }
        Ok(self.client.request(method, format!("{}{path}", self.base)).header(header::ACCEPT, "application/json"))
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.auth {
            Auth::Token { token, .. } => request.header("X-Auth-Token", token),
            Auth::Basic => request.basic_auth(&self.target.username, Some(self.target.password.reveal())),
        }
    }

    /// Sends and reads, whatever the status.
    async fn exchange(&self, request: RequestBuilder, path: &str) -> Result<(Reply, header::HeaderMap), Fault> {
        let mut response = request.send().await.map_err(|error| self.broken(&error, path))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error, path))? {
            if bytes.len() + chunk.len() > BODY_CAP {
                return Err(self.permanent("BmcNonsense", format!("the answer to {} is too large", clip(path))));
            }
            bytes.extend_from_slice(&chunk);
        }
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let etag = headers.get(header::ETAG).and_then(|value| value.to_str().ok());
        let etag = etag.or_else(|| body["@odata.etag"].as_str()).filter(|etag| !etag.is_empty()).map(str::to_owned);
        Ok((Reply { status, etag, body }, headers))
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
    fn broken(&self, error: &reqwest::Error, path: &str) -> Fault {
        if let Some((expected, shown)) = self.witness.mismatch() {
            return Fault::operator(
                "CertificateChanged",
                format!("{}: the pinned certificate is {expected}, but {shown} was shown", self.place()),
            );
        }
        if let Some(tls) = tls_error(error) {
            let advice = match &tls {
                rustls::Error::InvalidCertificate(_) => "the certificate is not acceptable",
                _ => "its TLS is too old or broken; a firmware update or `bmc.protocol: ipmi` may help",
            };
            return Fault::permanent("TlsFailed", format!("{}: {tls}: {advice}", self.place()));
        }
        let what = if error.is_timeout() { "no answer in time" } else { "the connection failed or broke" };
        self.transient("Unreachable", format!("{}: {what}", clip(path)))
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

/// The TLS error inside a client's error, if that is what it is.
fn tls_error(error: &reqwest::Error) -> Option<rustls::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls.clone());
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(tls.clone());
        }
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

impl Default for Patience {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Patience { request: secs(15), action: secs(120), power: secs(40), graceful: secs(60), poll: secs(2) }
    }
}
