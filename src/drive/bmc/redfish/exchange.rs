//! Requests of a session and what they are answered with. Every request is limited; none leaves the BMC.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::fault::{clip, said};
use super::session::{Auth, Session};
use super::wire::{Request, Response};
use crate::model::{Fault, Reason};

/// The largest answer that is read.
pub const BODY_CAP: usize = 4 << 20;

/// Looks at a task that a service makes of a small change (DSP0266, "Asynchronous operations"), before it is left alone.
const TASK_LOOKS: u32 = 5;

/// What a service answered.
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
    /// GET of something that is needed.
    pub(super) async fn get(&self, path: &str) -> Result<Reply, Fault> {
        self.accept_json(self.look(path).await?, path)
    }

    /// GET of something that may be absent or forbidden: null then.
    pub(super) async fn get_if_any(&self, path: Option<&str>) -> Result<Value, Fault> {
        let Some(path) = path else { return Ok(Value::Null) };
        self.if_any(self.look(path).await?, path)
    }

    /// GET of something that may be absent: null then. That it is forbidden is no reason to do without it.
    pub(super) async fn get_unless_absent(&self, path: Option<&str>) -> Result<Value, Fault> {
        let Some(path) = path else { return Ok(Value::Null) };
        let reply = self.look(path).await?;
        match reply.status {
            StatusCode::FORBIDDEN => self.accept_json(reply, path).map(|reply| reply.body),
            _ => self.if_any(reply, path),
        }
    }

    /// GET, whatever the status.
    pub(super) async fn look(&self, path: &str) -> Result<Reply, Fault> {
        Ok(self.exchange(self.signed("GET", path, None)?).await?.0)
    }

    /// What is there, or null where it is absent or forbidden.
    pub(super) fn if_any(&self, reply: Reply, path: &str) -> Result<Value, Fault> {
        if reply.status.is_client_error() && !matches!(reply.status.as_u16(), 401 | 408 | 423 | 425 | 429) {
            return Ok(Value::Null);
        }
        self.accept_json(reply, path).map(|reply| reply.body)
    }

    /// POST of an action. A task that it becomes is followed for a moment.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Reply, Fault> {
        let (reply, _) = self.exchange(self.signed("POST", path, Some(body))?).await?;
        let reply = self.accept(reply, path)?;
        self.follow(&reply).await?;
        Ok(reply)
    }

    /// POST of something new. Gives the refusal when it was refused for what it asked, as [`Session::patch`] does; a task
    /// that it becomes is not followed: its monitor is the reply's `location`.
    pub(super) async fn post_reply(&self, path: &str, body: &Value) -> Result<Result<Reply, Fault>, Fault> {
        let (reply, _) = self.exchange(self.signed("POST", path, Some(body))?).await?;
        let words = said(&reply.body);
        match reply.status.as_u16() {
            400 | 404 | 405 | 501 if !words.later() => Ok(Err(self.refused(reply.status, path, &words.text))),
            _ => self.accept(reply, path).map(Ok),
        }
    }

    /// PATCH, conditional where the service gave an ETag; a task that it becomes is followed for a moment. Gives the
    /// refusal when it was refused for what it asked (400, 404, 405, 501), so that the caller may ask for less.
    pub(super) async fn patch(&self, path: &str, etag: Option<&str>, body: &Value) -> Result<Option<Fault>, Fault> {
        match self.patch_reply(path, etag, body).await? {
            Ok(reply) => self.follow(&reply).await.map(|()| None),
            Err(refusal) => Ok(Some(refusal)),
        }
    }

    /// The same without following a task: its monitor is the reply's `location`.
    ///
    /// Some services give weak ETags and take strong ones only, some demand a condition and give no ETag, some quote it
    /// twice in the header; `*` is what remains (RFC 9110 section 13.1.1). Seen on ThinkSystem SR655 (stmcginnis/gofish
    /// #171, 428 without a condition), Gigabyte (ansible-collections/community.general #6434, weak given and strong
    /// taken) and in #3268 of the same (412 to the very ETag that was given).
    pub(super) async fn patch_reply(
        &self,
        path: &str,
        etag: Option<&str>,
        body: &Value,
    ) -> Result<Result<Reply, Fault>, Fault> {
        let strong = etag.and_then(|etag| etag.strip_prefix("W/"));
        let mut forms: Vec<Option<&str>> = vec![etag];
        forms.extend(strong.map(Some));
        forms.push(Some("*"));
        let last = forms.len() - 1;
        for (index, form) in forms.into_iter().enumerate() {
            let mut request = self.signed("PATCH", path, Some(body))?;
            request.headers.extend(form.map(|etag| ("if-match", etag.to_owned())));
            let (reply, _) = self.exchange(request).await?;
            let words = said(&reply.body);
            match reply.status.as_u16() {
                412 | 428 if index < last => {}
                400 | 404 | 405 | 501 if !words.later() => {
                    return Ok(Err(self.refused(reply.status, path, &words.text)));
                }
                _ => return self.accept(reply, path).map(Ok),
            }
        }
        Err(self.transient(Reason::BmcBusy, format!("{} changes faster than it can be written", clip(path))))
    }

    /// DELETE of something.
    pub(super) async fn delete(&self, path: &str) -> Result<Reply, Fault> {
        let (reply, _) = self.exchange(self.signed("DELETE", path, None)?).await?;
        self.accept(reply, path)
    }

    /// Follows the task that a 202 names for a moment: most are over in a second, and what was asked for is read back
    /// in any case. One that failed is a fault.
    async fn follow(&self, reply: &Reply) -> Result<(), Fault> {
        let (StatusCode::ACCEPTED, Some(monitor)) = (reply.status, &reply.location) else { return Ok(()) };
        for _ in 0..TASK_LOOKS {
            let (look, _) = self.exchange(self.signed("GET", monitor, None)?).await?;
            match (look.status.as_u16(), look.body["TaskState"].as_str()) {
                (200..=299, Some("Exception" | "Killed" | "Cancelled" | "Interrupted")) => {
                    let why = look.body.pointer("/Messages/0/Message").and_then(Value::as_str).unwrap_or_default();
                    return Err(self.transient(
                        Reason::BmcTaskFailed,
                        format!("the task {} failed: {}", clip(monitor), clip(why)),
                    ));
                }
                (202, _) | (200, Some("New" | "Starting" | "Running" | "Pending" | "Stopping" | "Suspended")) => {}
                (401, _) => return self.accept(look, monitor).map(|_| ()),
                // Over, or nothing that can be followed.
                _ => return Ok(()),
            }
            tokio::time::sleep(self.patience().poll).await;
        }
        Ok(())
    }

    pub(super) fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Request, Fault> {
        let fine = path.starts_with('/') && !path.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\');
        let method = Method::from_bytes(method.as_bytes()).ok().filter(|_| fine);
        let Some(method) = method else {
            return Err(self.permanent(Reason::BmcNonsense, format!("the BMC links to `{}`", clip(path))));
        };
        let mut headers = vec![("accept", "application/json".to_owned()), ("odata-version", "4.0".to_owned())];
        headers.extend(body.map(|_| ("content-type", "application/json".to_owned())));
        Ok(Request { method, path: path.to_owned(), headers, body: body.map(|body| body.to_string().into_bytes()) })
    }

    pub(super) fn signed(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Request, Fault> {
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
        self.wire.exchange(request).await.map_err(|broken| self.broken(broken, &path))
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
        let slashless = |path: &str| path.trim_end_matches('/').to_owned();
        let same = slashless(path) == slashless(&request.path);
        let fine = path != request.path && (same || (request.method == Method::GET && path.starts_with("/redfish/")));
        (fine && self.is_here(url)).then(|| path.to_owned())
    }

    /// Whether a URL is on this BMC: relative, or with its address and port.
    fn is_here(&self, url: &str) -> bool {
        let Some((scheme, rest)) = url.split_once("://") else { return url.starts_with('/') && !url.starts_with("//") };
        let authority = rest.split('/').next().unwrap_or_default();
        let address = self.target.address.to_string();
        let bracketed = format!("[{address}]");
        let host = [address, bracketed].into_iter().find(|host| authority.starts_with(host.as_str()));
        let port = host.map(|host| authority[host.len()..].to_owned());
        match port.as_deref() {
            Some("") => scheme == "http" || self.target.port == 443,
            Some(port) => port == format!(":{}", self.target.port),
            None => false,
        }
    }
}

/// The path of an absolute or relative URL: requests never leave the BMC.
fn path_of(url: &str) -> &str {
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => url,
    }
}
