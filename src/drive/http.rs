//! The HTTP client for requests to people's services (webhooks, notifications), and how its failures are told.
//!
//! TLS is checked against the system's roots. Proxies of the environment are not used. No text made here holds more
//! of an address than scheme, host and port: paths, queries and user names of such addresses are secrets.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, ClientBuilder, Method, Response, StatusCode, Url};
use serde_json::Value;

use crate::model::{Fault, Reason, Secret};

/// Time for a whole request, redirects and answer included.
const TOTAL: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
/// Time for a file; whoever downloads has a shorter one.
const DOWNLOAD: Duration = Duration::from_secs(24 * 3600);
/// Time in which a file's sender may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// Octets of an answer that are read; the rest is of no interest.
const ANSWER: usize = 64 << 10;
/// Redirects that are followed, all to the same host.
const REDIRECTS: usize = 3;

/// Makes the client. It can be cloned and shared; connections are kept for a short while.
pub fn client() -> Result<Client, Fault> {
    build(builder)
}

/// Makes the client for files of any length: no limit on the whole, but on every silence; redirects may lead anywhere,
/// for mirrors do, and what comes is judged by its digest.
pub fn downloads() -> Result<Client, Fault> {
    build(|| builder().timeout(DOWNLOAD).read_timeout(SILENCE).redirect(Policy::limited(REDIRECTS)))
}

fn build(make: impl Fn() -> ClientBuilder) -> Result<Client, Fault> {
    make().build().or_else(|error| {
        // A system without CA certificates can still send plain HTTP; HTTPS fails there when it is used.
        tracing::warn!(cause = %innermost(&error), "no CA certificates: outgoing HTTPS will fail");
        let client = make().tls_backend_preconfigured(without_roots()?).build();
        client.map_err(|error| Fault::transient(Reason::NoHttpClient, innermost(&error)))
    })
}

/// Reads a response's body, at most `limit` octets of it; says whether there was more.
pub(crate) async fn body(response: &mut Response, limit: usize) -> reqwest::Result<(Vec<u8>, bool)> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > limit {
            body.truncate(limit);
            return Ok((body, true));
        }
    }
    Ok((body, false))
}

fn builder() -> ClientBuilder {
    // The TLS library wants one cryptography provider for the process. Somebody else may have chosen before us.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("rackwright/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .connect_timeout(CONNECT)
        .timeout(TOTAL)
        .pool_idle_timeout(Duration::from_secs(30))
        .redirect(Policy::custom(same_host))
}

fn without_roots() -> Result<rustls::ClientConfig, Fault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::transient(Reason::NoHttpClient, error.to_string()))?;
    Ok(config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

/// Follows only what keeps method and body (307, 308) and stays with the same scheme, host and port.
fn same_host(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let keeps = matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    let same = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
    if keeps && same && attempt.previous().len() <= REDIRECTS { attempt.follow() } else { attempt.stop() }
}

/// Sends one JSON body (none for `null`) and waits for the answer's end. Anything but 2xx is a fault.
pub async fn send(client: &Client, what: &str, uri: &Secret, method: &str, body: &Value) -> Result<(), Fault> {
    let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes());
    let method = method.map_err(|_| Fault::operator(Reason::InvalidRequest, format!("{what}: no such HTTP method")))?;
    exchange(client, what, uri.reveal(), method, HeaderMap::new(), Some(body)).await?.judge(what)
}

/// Posts one JSON body with headers of one's own; gives the answer whatever its status.
pub async fn post(client: &Client, what: &str, uri: &str, headers: HeaderMap, body: &Value) -> Result<Answer, Fault> {
    exchange(client, what, uri, Method::POST, headers, Some(body)).await
}

/// Asks for something with headers of one's own; gives the answer whatever its status.
pub async fn get(client: &Client, what: &str, uri: &str, headers: HeaderMap) -> Result<Answer, Fault> {
    exchange(client, what, uri, Method::GET, headers, None).await
}

/// What came back.
pub struct Answer {
    /// Scheme, host and port.
    place: String,
    pub status: StatusCode,
    pub body: String,
}

async fn exchange(
    client: &Client,
    what: &str,
    uri: &str,
    method: Method,
    headers: HeaderMap,
    body: Option<&Value>,
) -> Result<Answer, Fault> {
    let invalid = |why: &str| Fault::operator(Reason::InvalidRequest, format!("{what}: {why}"));
    let url = Url::parse(uri).map_err(|_| invalid("its address is not a URI"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(invalid("its address is not an http or https URI"));
    }
    let place = url.origin().ascii_serialization();
    let mut request = client.request(method, url).headers(headers);
    if let Some(body) = body {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        request = request.header(CONTENT_TYPE, "application/json").body(text);
    }
    let request = request.build().map_err(|_| invalid("the request cannot be made"))?;
    let mut answer = client.execute(request).await.map_err(|error| failed(what, &place, &error))?;
    let status = answer.status();
    // The status is what counts.
    let (read, _) = self::body(&mut answer, ANSWER).await.unwrap_or_default();
    Ok(Answer { place, status, body: String::from_utf8_lossy(&read).into_owned() })
}

impl Answer {
    /// What its status means for the one who asked.
    pub fn judge(&self, what: &str) -> Result<(), Fault> {
        let told = format!("{what}: {} answered {}", self.place, self.status);
        match self.status.as_u16() {
            200..=299 => Ok(()),
            300..=399 => {
                Err(Fault::permanent(Reason::Redirected, format!("{told}; a redirect elsewhere is not followed")))
            }
            408 | 429 => Err(Fault::transient(Reason::TryAgain, told)),
            400..=499 => Err(Fault::permanent(Reason::Refused, told)),
            _ => Err(Fault::transient(Reason::ServerError, told)),
        }
    }
}

/// What a request that got no answer tells people.
pub(super) fn failed(what: &str, place: &str, error: &reqwest::Error) -> Fault {
    if error.is_timeout() {
        Fault::transient(Reason::Timeout, format!("{what}: {place} did not answer in time"))
    } else if error.is_connect() {
        Fault::transient(Reason::Unreachable, format!("{what}: cannot connect to {place}: {}", innermost(error)))
    } else {
        Fault::transient(Reason::BrokenAnswer, format!("{what}: the connection to {place} broke off before an answer"))
    }
}

/// The last cause: what the system or the TLS library said. The outer ones quote the address.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    match cause.downcast_ref::<reqwest::Error>() {
        Some(_) => "no cause given".into(),
        None => cause.to_string(),
    }
}
