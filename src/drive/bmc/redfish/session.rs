//! A session with one BMC (DMTF DSP0266): how its requests are signed, and what an answer that is not the one hoped for
//! comes to. Every request is limited; none leaves the BMC.

use std::net::SocketAddr;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use super::super::endpoint::{Endpoint, Timeouts};
use super::super::text::clip;
use super::super::transport::{NoResponse, Request, Response};
use super::client::HttpClient;
use super::error::{ErrorBody, tls_failure};
use crate::model::{Fault, Reason};

pub(super) enum Auth {
    Token { token: String, location: Option<String> },
    Basic,
}

/// A session with one BMC, or the credentials with every request where the service has no sessions.
pub struct Session {
    pub(super) endpoint: Endpoint,
    client: HttpClient,
    pub(super) auth: Auth,
    pub(super) root: Value,
    /// Which of the service's systems is the machine; found once.
    pub(super) system: OnceLock<String>,
}

#[derive(Clone)]
pub(super) struct Reply {
    pub status: StatusCode,
    pub etag: Option<String>,
    /// JSON, or null when there was none.
    pub body: Value,
    /// Where to look next: a task monitor of a 202, or something that was made.
    pub location: Option<String>,
}

impl Session {
    /// Nobody has logged in, and nothing is sent yet.
    pub(super) async fn new(endpoint: Endpoint) -> Result<Self, Fault> {
        let client = HttpClient::new(&endpoint).await?;
        Ok(Session { endpoint, client, auth: Auth::Basic, root: Value::Null, system: OnceLock::new() })
    }

    /// The session's URI, where the service has sessions.
    pub fn uri(&self) -> Option<&str> {
        match &self.auth {
            Auth::Token { location, .. } => location.as_deref(),
            Auth::Basic => None,
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The certificate that was shown (SHA-256, hex).
    pub(crate) fn pin(&self) -> Option<String> {
        self.client.pin()
    }

    pub(super) fn timeouts(&self) -> &Timeouts {
        &self.endpoint.timeouts
    }

    /// A request without credentials.
    pub(super) fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Request, Fault> {
        if !path.starts_with('/') || path.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(self.permanent(Reason::BmcNonsense, format!("the BMC links to `{}`", clip(path))));
        }
        let mut headers = vec![("accept", "application/json".to_owned()), ("odata-version", "4.0".to_owned())];
        headers.extend(body.map(|_| ("content-type", "application/json".to_owned())));
        Ok(Request { method, path: path.to_owned(), headers, body: body.map(|body| body.to_string().into_bytes()) })
    }

    /// A request with the session's token, or the credentials.
    pub(super) fn signed(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Request, Fault> {
        let mut request = self.request(method, path, body)?;
        request.headers.push(match &self.auth {
            Auth::Token { token, .. } => ("x-auth-token", token.clone()),
            Auth::Basic => {
                let pair = format!("{}:{}", self.endpoint.username, self.endpoint.password.reveal());
                ("authorization", format!("Basic {}", BASE64_STANDARD.encode(pair)))
            }
        });
        Ok(request)
    }

    /// Sends and reads, whatever the status. A redirect within the BMC is followed once.
    pub(super) async fn exchange(&self, request: Request) -> Result<(Reply, Response), Fault> {
        let mut response = self.send(request.clone()).await?;
        if let Some(path) = self.redirect(&request, &response) {
            response = self.send(Request { path, ..request }).await?;
        }
        let status = StatusCode::from_u16(response.status);
        let status = status.map_err(|_| self.permanent(Reason::BmcNonsense, "an impossible HTTP status"))?;
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let etag = response.header("etag").or_else(|| body["@odata.etag"].as_str());
        let etag = etag.filter(|etag| !etag.is_empty()).map(str::to_owned);
        let location = response.header("location").map(|url| path_of(url).to_owned());
        Ok((Reply { status, etag, body, location }, response))
    }

    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let path = request.path.clone();
        self.client.exchange(request).await.map_err(|why| self.no_response(why, &path))
    }

    /// The path to ask for instead, when it is on this BMC: iLO 4 and old Lenovo and Supermicro BMCs redirect to the
    /// same path with a slash at its end (ansible/ansible #48296, bb-Ricardo/check_redfish #187). Anything but a GET is
    /// sent again only to the same path in that sense: its effect must not be another's.
    fn redirect(&self, request: &Request, response: &Response) -> Option<String> {
        if !matches!(response.status, 301 | 302 | 307 | 308) {
            return None;
        }
        let url = response.header("location")?;
        let path = path_of(url);
        let same = super::json::same(path, &request.path);
        let fine = path != request.path && (same || (request.method == Method::GET && path.starts_with("/redfish/")));
        (fine && self.is_here(url)).then(|| path.to_owned())
    }

    /// Whether a URL is on this BMC: relative, or with its address and port.
    fn is_here(&self, url: &str) -> bool {
        let address = SocketAddr::new(self.endpoint.address, self.endpoint.port);
        let Ok(base) = Url::parse(&format!("https://{address}")) else { return false };
        base.join(url).is_ok_and(|url| {
            let port = url.port_or_known_default() == Some(self.endpoint.port);
            url.host() == base.host() && (port || (url.scheme() == "http" && url.port().is_none()))
        })
    }

    /// A good answer, or the fault that it is.
    pub(super) fn accept(&self, reply: Reply, path: &str) -> Result<Reply, Fault> {
        if reply.status.is_success() {
            return Ok(reply);
        }
        let said = ErrorBody::of(&reply.body);
        if said.later() {
            return Err(self.transient(Reason::BmcBusy, format!("not now: {}", said.text)));
        }
        Err(self.refused(reply.status, path, &said.text))
    }

    /// A good answer with a resource in it. A web server that runs before its service answers 200 with a page.
    pub(super) fn accept_json(&self, reply: Reply, path: &str) -> Result<Reply, Fault> {
        let reply = self.accept(reply, path)?;
        if reply.body.is_object() {
            return Ok(reply);
        }
        let why = "was answered with something other than a resource; the BMC may be starting, or have no Redfish \
                   (then write `bmc.protocol: ipmi`)";
        Err(self.transient(Reason::BmcNotReady, format!("{} {why}", clip(path))))
    }

    /// The fault of an answer with this status.
    pub(super) fn refused(&self, status: StatusCode, path: &str, said: &str) -> Fault {
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        let message = format!("{} was answered with {}{said}", clip(path), status.as_u16());
        match (status.as_u16(), &self.auth) {
            (401, Auth::Token { .. }) => {
                self.transient(Reason::SessionLost, format!("the BMC no longer knows the session: {message}"))
            }
            (401, Auth::Basic) => self.not_allowed(),
            // The account was accepted and may not do this: a role, a licence, a lock-down mode, a password to change.
            (403, _) => {
                self.permanent(Reason::Forbidden, format!("the BMC does not let this account do that: {message}"))
            }
            (408 | 409 | 412 | 423 | 425 | 429, _) => self.transient(Reason::BmcBusy, message),
            (500..=599, _) => self.transient(Reason::BmcError, message),
            _ => self.permanent(Reason::BmcRefused, message),
        }
    }

    /// The fault of an account that is not accepted.
    pub(super) fn not_allowed(&self) -> Fault {
        let message = format!("{}: the BMC refuses the user `{}`", self.who(), self.endpoint.username);
        Fault::operator(Reason::AuthenticationFailed, format!("{message}; correct bmc.username or bmc.password"))
    }

    /// The fault of a request that got no answer.
    fn no_response(&self, why: NoResponse, path: &str) -> Fault {
        match why {
            NoResponse::Certificate { expected, shown } => Fault::operator(
                Reason::CertificateChanged,
                format!(
                    "{}: the certificate {expected} is trusted, but {shown} was shown: where that is right, write \
                     `bmc.fingerprint: {shown}` in bootstrap.yml; where it is not, find out who answers there, or put the \
                     old one back",
                    self.who()
                ),
            ),
            NoResponse::Tls(error) => {
                let (reason, message) = tls_failure(&error, &self.endpoint.tls);
                self.permanent(reason, message)
            }
            NoResponse::TooLarge => {
                self.permanent(Reason::BmcNonsense, format!("the answer to {} is too large", clip(path)))
            }
            NoResponse::Timeout => {
                let limit = self.timeouts().request.as_secs();
                self.transient(Reason::Unreachable, format!("{}: no answer within {limit} s", clip(path)))
            }
            NoResponse::Refused => self.transient(Reason::ConnectionRefused, "nothing listens at its HTTPS port"),
            NoResponse::Connection => {
                self.transient(Reason::Unreachable, format!("{}: the connection failed or broke", clip(path)))
            }
        }
    }

    /// A fault that may pass, with the BMC's address.
    pub(super) fn transient(&self, reason: Reason, message: impl std::fmt::Display) -> Fault {
        Fault::transient(reason, format!("{}: {message}", self.who()))
    }

    /// A refusal, with the BMC's address.
    pub(super) fn permanent(&self, reason: Reason, message: impl std::fmt::Display) -> Fault {
        Fault::permanent(reason, format!("{}: {message}", self.who()))
    }

    fn who(&self) -> String {
        self.endpoint.who()
    }
}

/// The path of an absolute or relative URL.
fn path_of(url: &str) -> &str {
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => url,
    }
}
